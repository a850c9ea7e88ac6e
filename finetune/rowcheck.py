"""What the prepared rows and the template show without a model: quality, tokens, the loss mask, the ends of turns."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.data import Row, form
from finetune.dataset import Prepared
from finetune.findings import Finding, fail, judge, ok, warn
from finetune.render import Encoded, Renderer

FEW_ROWS = 50
LITTLE_SUPERVISED = 0.05
MUCH_DROPPED = 0.2
CONTEXT = "max_position_embeddings"

Example = tuple[Row, Encoded]


def row_findings(prepared: Prepared, renderer: Renderer) -> list[Finding]:
    """Counts, tokens, and texts that would break the template's frame."""
    return [_quality(prepared), _tokens(prepared), _special_texts(prepared, renderer), _date(renderer)]


def context_finding(prepared: Prepared, config: Mapping[str, Any]) -> Finding:
    """Rows against the length that the base's config.json says it was made for; no serving goes beyond that."""
    longest, context = max(len(example.input_ids) for example in prepared.examples), config.get(CONTEXT)
    if not isinstance(context, int):
        return warn("context", f"the base's config.json has no {CONTEXT}; the longest row has {longest} tokens")
    return (
        ok("context", f"the base takes {context} tokens, the longest row has {longest}")
        if longest <= context
        else warn(
            "context",
            f"the longest row has {longest} tokens, the base was made for {context}; "
            f"set finetune.train.max_length to {context} or less",
        )
    )


def mask_finding(examples: Sequence[Example], renderer: Renderer) -> Finding:
    """Decode what is supervised and compare it with what was to be learnt: an independent way to the same answer."""
    for row, encoded in examples:
        learnt = [_bare(part.text, renderer) for part in row.parts if part.role in form(row.form).learnt]
        told = [segment.text for segment in renderer.segments(encoded) if segment.supervised]
        if [_bare(text, renderer) for text in told] != learnt and not encoded.truncated:
            return fail(
                "loss mask",
                f"row {row.index + 1}: supervised is {told!r}, expected {learnt!r}; is the chat template changed?",
            )
    return ok("loss mask", f"on {len(examples)} rows exactly what the assistant says is learnt")


def end_finding(examples: Sequence[Example], renderer: Renderer) -> Finding:
    """The last supervised token of every stretch must be one at which generation stops."""
    ends = renderer.template.end_ids
    for row, encoded in examples:
        last = [at for at, learnt in enumerate(encoded.labels_mask) if learnt and not _learnt_after(encoded, at)]
        missing = [at for at in last if encoded.input_ids[at] not in ends]
        if missing and not encoded.truncated:
            token = renderer.tokenizer.convert_ids_to_tokens(encoded.input_ids[missing[0]])
            return fail("end of turn", f"row {row.index + 1}: a turn ends with {token!r}, which stops nothing")
    names = ", ".join(sorted(renderer.template.end_tokens))
    return ok("end of turn", f"the token that ends a turn ({names}) is learnt")


def _learnt_after(encoded: Encoded, at: int) -> bool:
    return at + 1 < len(encoded.labels_mask) and encoded.labels_mask[at + 1]


def _bare(told: str, renderer: Renderer) -> str:
    """Without the end of a turn, which a raw text may hold already, in a form of Unicode (many tokenizers have one)."""
    for token in renderer.template.end_tokens:
        told = told.removesuffix(token)
    return unicodedata.normalize("NFKC", told).strip()


def _quality(prepared: Prepared) -> Finding:
    counts = prepared.record.counts
    why = {key: value for key, value in counts.model_dump().items() if key not in ("read", "kept") and value}
    dropped = {entry["reason"] for entry in prepared.lineage if "copy" not in entry}
    kept = {key: " kept" for key in ("duplicate", "near_duplicate") if key not in dropped}  # counted all the same
    told = "".join(f", {value} {key.replace('_', ' ')}{kept.get(key, '')}" for key, value in why.items())
    made = prepared.record.augmented
    copies = f", and {made.copies} copies ({made.ambiguous} rows have none: a word has two partners)" if made else ""
    what = f"{counts.kept} of {counts.read} rows are learnt from{told}{copies}"
    if counts.kept < FEW_ROWS:
        return warn("rows", f"{what}; fewer than {FEW_ROWS} seldom teach anything that lasts")
    many = counts.read - counts.kept > MUCH_DROPPED * counts.read
    return warn("rows", f"{what}; look at what is dropped") if many else ok("rows", what)


def _tokens(prepared: Prepared) -> Finding:
    record = prepared.record
    share = record.supervised_tokens / record.tokens
    longest = max(len(example.input_ids) for example in prepared.examples)
    what = f"{record.tokens:,} tokens, {record.supervised_tokens:,} supervised ({share:.0%}), longest row {longest}"
    if share < LITTLE_SUPERVISED:
        return warn("tokens", f"{what}; most of the work goes into tokens that are not learnt")
    return ok("tokens", what)


def _special_texts(prepared: Prepared, renderer: Renderer) -> Finding:
    """A row that holds the template's own marks can open a turn of its own."""
    special = [str(token) for token in renderer.tokenizer.added_tokens_decoder.values() if token.special]
    marks = re.compile("|".join(map(re.escape, special)))
    hits = [row.index + 1 for row in prepared.rows if any(marks.search(part.text) for part in row.parts)]
    if hits:
        what = f"{len(hits)} rows hold special tokens as text (first: row {hits[0]}); take them out of the data"
        return warn("special tokens", what)
    return ok("special tokens", "no row holds a special token as text")


def _date(renderer: Renderer) -> Finding:
    return judge(
        "strftime_now" not in (renderer.template.text or ""),
        "template",
        f"the chat template depends on the messages only ({renderer.template_digest[:19]})",
        "the chat template writes today's date: training, evaluation and serving would differ; "
        "give finetune.base.chat_template without strftime_now",
    )
