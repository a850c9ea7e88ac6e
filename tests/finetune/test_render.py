"""Only what the assistant says, with the end of its turn, is learnt; templates that lose something are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data import Part, Row
from finetune.render import Renderer
from tunegate_core.canonical import digest
from tunegate_core.errors import BadInput

TALK = (
    Part("system", "Be brief."),
    Part("user", "Köln?"),
    Part("assistant", "A city. 😀"),
    Part("user", "Bonn?"),
    Part("assistant", "Also one."),
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def renderer(tiny_base: Path) -> Renderer:
    return Renderer(tiny_base)


def row(*parts: Part, form: str = "chat") -> Row:
    return Row(0, 1, form, parts, "")


def learnt(renderer: Renderer, one: Row, max_length: int = 10_000) -> list[str]:
    return [part.text for part in renderer.segments(renderer.encode(one, max_length)) if part.supervised]


def test_every_assistant_turn_is_learnt_to_its_end_and_nothing_else(renderer: Renderer) -> None:
    encoded = renderer.encode(row(*TALK), 10_000)
    assert learnt(renderer, row(*TALK)) == ["A city. 😀<|im_end|>", "Also one.<|im_end|>"]
    assert "".join(part.text for part in renderer.segments(encoded)) == renderer.render(row(*TALK).messages, False)
    assert encoded.supervised == sum(encoded.labels_mask)
    assert (encoded.truncated, encoded.length) == (False, len(encoded.input_ids))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=3))
def test_marks_and_prefixes_agree_on_any_conversation(
    tmp_path_factory: pytest.TempPathFactory, renderer: Renderer, turns: list[tuple[str, str]]
) -> None:
    marked = _marked(tmp_path_factory)
    parts = [part for user, said in turns for part in (Part("user", user), Part("assistant", said))]
    one, other = renderer.encode(row(*parts), 10_000), marked.encode(row(*parts), 10_000)
    assert one == other


_RENDERERS: list[Renderer] = []


def _marked(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    if not _RENDERERS:
        base = tmp_path_factory.mktemp("marked") / "base"
        shutil.copytree(_TINY[0], base)
        (base / "chat_template.jinja").write_text(MARKED, "utf-8")
        _RENDERERS.append(Renderer(base))
    return _RENDERERS[0]


_TINY: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def remember_tiny(tiny_base: Path) -> None:
    _TINY[:] = [tiny_base]


def test_the_prompt_as_served_is_a_prefix_of_what_is_trained(renderer: Renderer) -> None:
    prompt = renderer.render(row(*TALK[:-1]).messages, True)
    ids = renderer.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    encoded = renderer.encode(row(*TALK), 10_000)
    assert encoded.input_ids[: len(ids)] == ids
    assert encoded.labels_mask[len(ids)] and not encoded.labels_mask[len(ids) - 1]


def test_a_completion_continues_its_prompt_and_ends(renderer: Renderer) -> None:
    one = row(Part("prompt", "2+2="), Part("completion", "4"), form="completion")
    assert learnt(renderer, one) == ["4<|im_end|>"]
    assert renderer.tokenizer.decode(renderer.encode(one, 99).input_ids) == "2+2=4<|im_end|>"


@pytest.mark.parametrize(
    "one",
    [
        row(Part("prompt", "def f():\n"), Part("completion", "  return"), form="completion"),
        row(Part("user", "Code?"), Part("assistant", "  a"), Part("user", "More?"), Part("assistant", "  return")),
    ],
)
def test_no_token_is_half_of_the_prompt_and_half_of_what_is_learnt(one: Row, tiny_base: Path, tmp_path: Path) -> None:
    merging = Renderer(with_merge(tiny_base, tmp_path / "base", "Ċ", "Ġ"))
    encoded = merging.encode(one, 99)
    text, spans = merging.spans(one)
    prompt = merging.tokenizer(text[: spans[0][0]], add_special_tokens=False)["input_ids"]
    assert encoded.input_ids[: len(prompt)] == prompt
    assert encoded.labels_mask.index(True) == len(prompt)
    assert learnt(merging, one)[-1] == "  return<|im_end|>"


def with_merge(base: Path, folder: Path, one: str, other: str) -> Path:
    """A copy of a base whose tokenizer makes one token of two."""
    shutil.copytree(base, folder)
    told = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    told["model"]["vocab"][one + other] = len(told["model"]["vocab"])
    told["model"]["merges"] = [[one, other]]
    (folder / "tokenizer.json").write_text(json.dumps(told), "utf-8")
    return folder


def test_a_tokenizer_that_begins_every_text_with_a_space_puts_none_behind_the_prompt(tiny_base: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    spacing = Renderer(tiny_base)
    spacing.tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    one = row(Part("prompt", "2+2="), Part("completion", "4"), form="completion")
    assert spacing.tokenizer.decode(spacing.encode(one, 99).input_ids) == " 2+2=4<|im_end|>"


def test_a_text_is_learnt_whole_and_ends_once(renderer: Renderer) -> None:
    one = row(Part("text", "Hello"), form="text")
    encoded = renderer.encode(one, 99)
    assert all(encoded.labels_mask)
    assert encoded.supervised == len(encoded.labels_mask) - 1  # nothing predicts the first token
    ended = renderer.encode(row(Part("text", "Hello<|im_end|>"), form="text"), 99)
    assert ended.input_ids == encoded.input_ids


def test_a_tokenizer_that_adds_bos_adds_one(tiny_base: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    adding = Renderer(tiny_base)
    adding.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    text = adding.encode(row(Part("text", "a"), form="text"), 99)
    assert text.input_ids.count(0) == 1
    assert text.labels_mask[0] is False
    assert adding.encode(row(*TALK), 999).input_ids.count(0) == 0  # the template says it all


def test_white_space_is_learnt_where_a_tokenizer_counts_it_out_of_its_tokens(tiny_base: Path) -> None:
    from tokenizers.processors import ByteLevel

    trimming = Renderer(tiny_base)
    trimming.tokenizer.backend_tokenizer.post_processor = ByteLevel(trim_offsets=True)
    one = row(Part("prompt", "Code? "), Part("completion", "if a:\n\n    b\n"), form="completion")
    assert learnt(trimming, one) == ["if a:\n\n    b\n<|im_end|>"]
    assert learnt(trimming, row(*TALK)) == ["A city. 😀<|im_end|>", "Also one.<|im_end|>"]


def test_truncation_keeps_the_start_and_says_so(renderer: Renderer) -> None:
    whole = renderer.encode(row(*TALK), 10_000)
    cut = renderer.encode(row(*TALK), 20)
    assert cut.truncated and cut.length == whole.length
    assert cut.input_ids == whole.input_ids[:20]
    assert cut.supervised == 0


def test_the_template_has_a_digest(renderer: Renderer, tiny_base: Path) -> None:
    assert renderer.template_digest == digest((tiny_base / "chat_template.jinja").read_bytes())


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "no chat template"),
        ("{{ messages[0]['content'] }}<|im_end|>", "loses message 2"),
        ("{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}", "loses roles"),
        (
            "{% for m in messages if m['role'] != 'system' %}{{ m['role'] + m['content'] }}<|im_end|>{% endfor %}",
            "system",
        ),
        ("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}", "without a token at which"),
        (
            "{% for m in messages %}{{ m['role'] + ('!' if loop.last else '?') + m['content'] }}<|im_end|>{% endfor %}",
            "loses or rewrites message 3",
        ),
        ("{{ raise_exception('only users may speak') }}", "only users may speak"),
        ("{% if %}", "can't render"),
        (MARKED.replace("message['role'] == 'assistant'", "false"), "loses turns"),
    ],
)
def test_a_lossy_template_is_refused(tiny_with: Callable[[str | None], Path], template: str | None, told: str) -> None:
    renderer = Renderer(tiny_with(template))
    with pytest.raises(BadInput, match="chat_template") as error:
        renderer.encode(row(*TALK), 10_000)
    assert told in str(error.value)


def test_a_mark_that_leaves_out_the_end_of_turn_is_widened(tiny_with: Callable[[str | None], Path]) -> None:
    assert learnt(Renderer(tiny_with(MARKED)), row(*TALK)) == ["A city. 😀<|im_end|>", "Also one.<|im_end|>"]


@pytest.mark.slow
def test_the_real_base_renders_as_its_tokenizer_does(smollm: dict) -> None:
    renderer = Renderer(smollm["folder"])
    messages = row(*TALK).messages
    theirs = renderer.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    encoded = renderer.encode(row(*TALK), 10_000)
    assert encoded.input_ids == theirs
    assert learnt(renderer, row(*TALK)) == ["A city. 😀<|im_end|>", "Also one.<|im_end|>"]
    assert smollm["record"].template == renderer.template_digest
