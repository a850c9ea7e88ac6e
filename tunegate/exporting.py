"""Everything about a release as one folder that stands on its own: what to read, and what to check it with.

Every record in it is named by its digest in an event, and the bundle proves those events. Rows, answers and reasons are
personal text, so only their commitments are in it; what people declared for the documents stands in those.
"""

import json
from pathlib import Path
from typing import Any

from tunegate import outside
from tunegate.documenting import write_all
from tunegate.house import House
from tunegate.proving import ended, export_adapter, prove
from tunegate.recording import standing
from tunegate.tracing import trace_release
from tunegate_core.errors import StoreFault

README = """\
# {subject}

When this was written it was {state}.

| file | what it is |
|---|---|
| `adapter/`, `adapter.sig`, `adapter.pub` | the adapter and its OpenSSF model-signing signature |
| `bundle.json` | the release's events, their place in the log's signed tree, and the signed statement |
| `ledger.pub` | the log's public key; get it from somebody you trust as well, and compare |
| `documents/` | model card, data sheet, evaluation report and the others, each value with its event |
| `records/` | config, policy, evidence, verdict and the account of the training rows, with their digests |
| `trace.json` | which record made which |
| `check.py` | the check of the bundle with public tools alone; it says which |

Check it without access to the service:

    tunegate verify-bundle bundle.json --key ledger.pub --adapter adapter
    model_signing verify key --public_key adapter.pub --signature adapter.sig adapter
    (cd records && sha256sum -c SHA256SUMS)
    python check.py bundle.json ledger.pub adapter      # public tools only

The digests in `bundle.json` are those of `records/`. `adapter.sig` shows that the folder is as it was written by who
has the key `adapter.pub`, which no event names; that it is the adapter of this release, the first and the last line
show. The texts of training rows, answers and reasons are not here: they are personal, and can be erased where they lie.
What people declared, and answers that they had explained for the record, do stand in `documents/` with their words. An
erasure does not reach this folder: write it again after one, and destroy this copy.
"""


def export_release(house: House, subject: str, out: Path) -> str:
    """Write the folder. Raises BadInput for a folder that exists, or a candidate that is no release."""
    told = export_adapter(house, subject, out)
    try:
        prove(house, subject, out / "bundle.json")
        (out / "ledger.pub").write_bytes(house.public_key)
        write_all(house, subject, "html", out / "documents")
        trace = trace_release(house, subject, named=False)
        (out / "trace.json").write_text(json.dumps(trace, indent=2) + "\n", encoding="utf-8")
        (out / "README.md").write_text(
            README.format(subject=subject, state=type(standing(house, subject).state).__name__.lower()),
            encoding="utf-8",
        )
        (out / "check.py").write_bytes(Path(outside.__file__).with_name("check.py").read_bytes())
        _records(house, subject, out / "records")
    except OSError as error:
        raise StoreFault(f"can't write {out}: {error.strerror}; free space, or choose another place") from error
    told = f"{told}\nand all that its events name beside it; {out / 'README.md'} says what is what"
    return told + ended(standing(house, subject))


def _records(house: House, subject: str, folder: Path) -> None:
    """The stored records that the release's events name, and their digests for `sha256sum -c`."""
    folder.mkdir()
    sums = []
    for name, blob in named(house, subject).items():
        (folder / f"{name}.json").write_bytes(house.store.get(blob))
        sums.append(f"{blob.removeprefix('sha256:')}  {name}.json\n")
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


def named(house: House, subject: str) -> dict[str, str]:
    """The records of a release by what they are, each by its digest."""
    now = standing(house, subject)
    planned = now.planned
    found: dict[str, Any] = {
        "config": planned.config,
        "policy": planned.policy,
        "statement": now.body("released")["statement"],
        "verdict": now.body("judged")["verdict"],
        "manifest": now.adapter.tree,
    }
    found |= {f"evidence-{at}": blob for at, blob in enumerate(now.body("examined")["evidence"])}
    if planned.data is not None:
        found["rows-account"] = planned.data.lineage
    if now.has("trained"):
        found["environment"] = now.body("trained")["environment"]
    return found
