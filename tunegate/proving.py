"""Verification from the inside (ledger and store) and proof for the outside (bundle, signed adapter)."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from governance.access import KEY_CREATED, KEY_EVENTS
from governance.erasure import ERASED, ERASURE_EVENTS, Erasures
from governance.ledger import Event, Problem
from governance.ledger.bundling import make_bundle
from governance.ledger.heads import span
from governance.lifecycle import ARROWS
from governance.people import PEOPLE_EVENTS, USER_ADDED
from governance.policies import POLICY_EVENTS
from governance.registry import KINDS
from governance.routing import FOLLOWING
from tunegate.declared import DECLARED
from tunegate.entitling import Entitled, disagreement
from tunegate.explained import EXPLAINED
from tunegate.feedback import RECORDED
from tunegate.house import House
from tunegate.planning import ITEM_FILES
from tunegate.recording import Standing, standing
from tunegate.witnessing import cosigned
from tunegate_core.errors import BadInput, IntegrityError, NotFound, TunegateError
from tunegate_core.proof.bundle import Bundle, verify_bundle
from tunegate_core.proof.checkpoint import parse_checkpoint
from tunegate_core.proof.note import parse_note
from tunegate_core.records import Evidence
from tunegate_core.store import Tree, hash_file

FOLLOWED = (*KINDS, *PEOPLE_EVENTS, *POLICY_EVENTS, *ERASURE_EVENTS)  # what later events are judged by
DECISIONS = (
    RECORDED,
    EXPLAINED,
    DECLARED,
    "approval",
    "revoked",
    ERASED,
    *KEY_EVENTS,
    *PEOPLE_EVENTS,
    *POLICY_EVENTS,
    *FOLLOWING,
)
NAMING = (KEY_CREATED, USER_ADDED)  # a name somebody gave; a policy's name is no such text
CLOCKS_DIFFER = timedelta(minutes=5)
AGAIN = "it was not finished, or an old copy came back; 'tunegate erase' of the same row ends it"
Checks = Iterator[tuple[str, Callable[[], object]]]


def verify(house: House, key: Path | None, witnessed: Sequence[Path] = (), since: Path | None = None) -> dict[str, Any]:
    """Re-derive the tree, check every signature, and re-hash every stored file that events name.

    `witnessed`: files with cosigned tree heads, as witnesses gave them, beside those that are kept here. `since`: a
    file with a tree head that was verified before; only what came after is checked. Earlier events of people, policies,
    routes, erasures and of the candidates that went on are followed as they stand, to judge by them what came after.
    """
    ledger = house.existing_ledger
    public = key.read_bytes() if key else house.public_key
    notes = [*cosigned(house), *(_note(path) for path in witnessed)]
    start = _note(since) if since is not None else None
    looks = _Looks(house)
    before = list(looks.follow(parse_checkpoint(parse_note(start).body).size)) if start is not None else []
    report = ledger.verify([public], looks.look, notes, start).model_dump(mode="json")
    back, lost = _compare(looks.erasures, looks.gone)
    report["problems"] += [problem.model_dump(mode="json") for problem in before + back]
    report["notes"] += lost + looks.times.notes()
    if start is not None:
        report["notes"].append("stored files that only earlier events name were not looked at again")
    erased = sum(len(rows) for rows in looks.gone.values())
    is_ok = report["ok"] and not before + back
    return {**report, "ok": is_ok, "stored_files": len(looks.checked), "erased_rows": erased}


class _Looks:
    """What is asked of every event beside its hashes: the rules, the clock, and the stored things that it names.

    `gone`: the erased rows of every set that was read, by its commitment.
    """

    def __init__(self, house: House):
        self.erasures, self.times, self.gone, self.checked = Erasures(), Times(), dict[str, set[int]](), set[str]()
        self._house, self._entitled = house, Entitled()

    def follow(self, size: int) -> Iterator[Problem]:
        """Take the events before `size` that later ones depend on, as they stand, with no look at what they name."""
        ledger = self._house.existing_ledger
        try:
            going_on = {event.subject for event in ledger.events(tuple(ARROWS), start=size)}
            for event in reversed(ledger.events(FOLLOWED, before=size)):
                self.erasures.take(event, event.seq)
                self.times.take(event)
                is_over = event.kind in KINDS and event.subject not in going_on
                yield from self._entitled.place(event) if is_over else self._entitled.look(event)
        except IntegrityError as error:
            yield Problem(where=span(0, size - 1), what=str(error), first=0, last=size - 1)

    def look(self, event: Event) -> Iterator[Problem]:
        """What is wrong with the next event, and with what it names."""
        self.erasures.take(event, event.seq)
        self.times.take(event)
        yield from self._entitled.look(event)
        try:
            said = list(disagreement(self._house, event, self._entitled.state(event.subject)))
        except TunegateError:
            said = []  # told below
        for what in [*said, *self._stored(event)]:
            where = f"event {event.seq} ({event.kind} {event.subject or ''})".replace(" )", ")")
            yield Problem(where=where, what=what, first=event.seq, last=event.seq)

    def _stored(self, event: Event) -> Iterator[str]:
        for name, check in _named_by(self._house, event):
            if name in self.checked:
                continue
            self.checked.add(name)
            try:
                found = check()
                if name.startswith("rows:") and isinstance(found, list):
                    self.gone[name] = {row for row, text in enumerate(found) if text is None}
            except TunegateError as error:
                yield str(error)


class Times:
    """Where the clock that events tell went back, beyond what the clocks of several machines differ."""

    def __init__(self) -> None:
        self._latest: datetime | None = None
        self._back: list[int] = []

    def take(self, event: Event) -> None:
        """Go on with one event."""
        at = datetime.fromisoformat(event.at)
        if self._latest is not None and at < self._latest - CLOCKS_DIFFER:
            self._back.append(event.seq)
        self._latest = at if self._latest is None else max(at, self._latest)

    def notes(self) -> list[str]:
        """One sentence, if there is anything to say."""
        if not self._back:
            return []
        found = ", ".join(map(str, self._back[:5])) + (", ..." if len(self._back) > 5 else "")
        return [f"{len(self._back)} events tell a time long before an earlier event's ({found}): a clock was set back"]


def _compare(erasures: Erasures, gone: Mapping[str, set[int]]) -> tuple[list[Problem], list[str]]:
    """Rows that an event says are erased and are not, and rows that are erased without an event."""
    back = [
        Problem(where=f"{rows}#{row}", what=f"event {seq} says it is erased, and its text is here: {AGAIN}",
                first=seq, last=seq)
        for rows, numbers in erasures.rows.items()
        for row, seq in numbers.items()
        if rows in gone and row not in gone[rows]
    ]  # fmt: skip
    unsaid = [f"{rows}#{row}" for rows, found in gone.items() for row in sorted(found) if not erasures.has(rows, row)]
    return back, [f"{len(unsaid)} rows read as erased, and no event says so: {', '.join(unsaid[:5])}"] if unsaid else []


def prove(house: House, subject: str, out: Path) -> str:
    """Write a release's bundle."""
    now = standing(house, subject)
    if not now.has("released"):
        raise BadInput(f"{subject} is {type(now.state).__name__.lower()}; only a release can be proved")
    kinds = [event.kind for event in now.events]
    events = now.events[: kinds.index("released") + 1]
    envelope = house.store.get(now.body("released")["statement"])
    out.write_bytes(make_bundle(house.proving_ledger, envelope, house.store.get(now.adapter.tree), events))
    told = f"wrote {out}; check it with: tunegate verify-bundle {out} --key PUB (from 'tunegate keys export')"
    return told + ended(now)


def ended(now: Standing) -> str:
    """What must be said of a release that ended since: its bundle shows how it was released, and nothing after that."""
    state = type(now.state).__name__.lower()
    return "" if state == "released" else f"\nnote: {now.subject} is {state} now, which its bundle does not show"


def check_bundle(bundle: Path, key: Path, adapter: Path | None = None) -> dict[str, Any]:
    """What a bundle proves by itself, and that the folder `adapter` is what it proves."""
    for path in (bundle, key):
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
    data = bundle.read_bytes()
    found = verify_bundle(data, key.read_bytes()).model_dump(mode="json")
    if adapter is not None:
        _verify_folder(adapter, Tree.parse(Bundle.parse(data).manifest.encode()))
    return found


def _verify_folder(folder: Path, manifest: Tree) -> None:
    """Raises IntegrityError unless the folder holds the files of a manifest, and no other."""
    expected = {file.path: file.sha256 for file in manifest.files}
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if odd := sorted(found.keys() ^ expected.keys()):
        raise IntegrityError(f"{folder} is not the adapter that the bundle proves: {odd[0]} is in one of the two only")
    changed = [name for name, path in sorted(found.items()) if path.is_symlink() or hash_file(path) != expected[name]]
    if changed:
        raise IntegrityError(f"{folder} is not the adapter that the bundle proves: {', '.join(changed)} was changed")


def export_adapter(house: House, subject: str, out: Path) -> str:
    """A release's adapter folder with a signature that the public model-signing tool verifies."""
    from governance.export import export_signed_adapter
    from governance.keys import load_or_create_adapter_key

    now = standing(house, subject)
    if not now.has("released"):
        raise BadInput(f"{subject} is {type(now.state).__name__.lower()}; only a release is exported")
    if out.exists():
        raise BadInput(f"{out} exists; expected a new folder")
    house.store.materialise(now.adapter.tree, out / "adapter")
    signature, public = out / "adapter.sig", out / "adapter.pub"
    private, public_key = load_or_create_adapter_key(house.keys)
    public.write_bytes(public_key.read_bytes())
    export_signed_adapter(out / "adapter", private, signature)
    return (
        f"wrote {out / 'adapter'}\n"
        f"check it with: model_signing verify key --public_key {public} --signature {signature} {out / 'adapter'}"
    )


def _named_by(house: House, event: Event) -> Checks:
    """Every stored thing that an event names, with the function that re-reads it."""
    body, store = event.body, house.store
    if event.kind == "planned":
        yield body["config"], partial(_items, house, body["config"])
        yield body["policy"], lambda: store.get(body["policy"])
        yield body["base"]["tree"], lambda: store.verify_tree(body["base"]["tree"])
        if body["data"]:
            yield body["data"]["lineage"], lambda: store.get(body["data"]["lineage"])
            yield body["data"]["rows"], lambda: house.rows.get(body["data"]["rows"])
    elif event.kind == "trained":
        yield body["environment"], lambda: store.get(body["environment"])
        yield body["output"], lambda: store.verify_tree(body["output"])
    elif event.kind == "sealed":
        yield body["adapter"]["tree"], lambda: store.verify_tree(body["adapter"]["tree"])
    elif event.kind == "examined":
        for blob in body["evidence"]:
            yield blob, partial(_samples, house, blob)
    elif event.kind == "judged":
        yield body["verdict"], lambda: store.get(body["verdict"])
    elif event.kind == "released":
        yield body["statement"], lambda: store.get(body["statement"])
    else:
        yield from _decided_by(house, event)


def _decided_by(house: House, event: Event) -> Checks:
    """What events of people, keys, policies and routes name: texts that may be erased, and stored reports."""
    body = event.body
    if event.kind in DECISIONS:
        named = body.get("name") if event.kind in NAMING else None
        rows = body.get("rows") if event.kind in (RECORDED, EXPLAINED, DECLARED) else None
        for text in filter(None, (body.get("reason"), named, rows)):
            yield text, partial(house.rows.get, text)
        for erased in body["rows"] if event.kind == ERASED else ():
            yield erased["rows"], partial(house.rows.get, erased["rows"])
        for blob in filter(None, (body.get("analysis"), body.get("policy"), body.get("backtest"))):
            yield blob, partial(house.store.get, blob)


def _note(path: Path) -> str:
    """A file with a signed note. Raises NotFound without it."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no signed note: it is no text") from error


def _items(house: House, config: str) -> None:
    """Re-read a planned config and the evaluation items it names."""
    for task in json.loads(house.store.get(config))["eval"]["tasks"]:
        for key in ITEM_FILES:
            if task.get(key) is not None:
                house.store.get(task[key])
        if task["task_yaml"] is not None:
            house.store.verify_tree(task["task_yaml"])


def _samples(house: House, evidence: str) -> bytes:
    return house.store.get(Evidence.parse(house.store.get(evidence)).samples)
