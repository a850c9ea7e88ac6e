"""Witnesses from both sides: a log asks and keeps what they cosigned; a witness looks, remembers and cosigns."""

from pathlib import Path
from typing import Any

from governance.keys import load, load_or_create
from governance.ledger.anchor import append_note, parse_line, read_anchor
from governance.ledger.witnesses import WITNESS_ADDED
from governance.witness import cosign, format_request, witness_key
from tunegate.house import LEDGER_KEY, House, make_folder
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.proof.checkpoint import parse_checkpoint
from tunegate_core.proof.cosignature import WitnessKey, parse_vkey, verify_cosignature
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.proof.note import parse_note


def create(house: House, name: str) -> str:
    """A witness' key in this home, which is the witness' own; its vkey, for logs to add."""
    if name == LEDGER_KEY:
        raise BadInput("a log can't be its own witness; choose another name")
    make_folder(house.home)
    return witness_key(load_or_create(house.keys, name)).vkey()


def sign(house: House, request: Path, name: str, log: Path) -> str:
    """Cosign what a log asks, as the witness `name` of this home; the cosigned checkpoint."""
    key, public = load(house.keys, name), parse_public_key(_read(log))
    state = house.home / "witness" / f"{name}.json"
    return cosign(_read(request).decode(), key, public, state, int(house.clock().timestamp()))


def add(house: House, vkey: str) -> str:
    """Make a witness known to this log. Raises BadInput for what is no vkey, or a name that another key has."""
    key = parse_vkey(vkey)
    with house.ledger.write() as tx:
        known = {found.name: found for found in map(_told, tx.events(WITNESS_ADDED))}
        if known.get(key.name, key) != key:
            raise BadInput(f"another key is known as the witness '{key.name}'; choose another name")
        if key.name not in known:
            tx.append(
                WITNESS_ADDED, {"name": key.name, "vkey": key.vkey()}, actor=house.person_key(house.person).key_id
            )
    house.ledger.checkpoint()
    return f"the witness {key.name} is known; ask it with 'tunegate witness request {key.name}'"


def request(house: House, name: str) -> str:
    """What to send to a witness: the newest tree head, and the proof that it extends what the witness saw."""
    ledger = house.proving_ledger
    note = ledger.checkpoint()
    key = _known(house, name)
    sizes = [
        parse_checkpoint(parse_note(found).body).size for found in cosigned(house) if verify_cosignature(found, key)
    ]
    old = max(sizes, default=0)
    return format_request(old, ledger.consistency(old, parse_checkpoint(parse_note(note).body).size), note)


def take(house: House, file: Path) -> str:
    """Keep a cosigned checkpoint. Raises IntegrityError unless a known witness cosigned it; NotFound."""
    note = _read(file).decode()
    names = [key.name for key in witnesses(house) if verify_cosignature(note, key) is not None]
    if not names:
        raise BadInput(
            f"{file} is cosigned by no witness that this log knows; 'tunegate witness add VKEY' makes one known"
        )
    if note not in cosigned(house):
        append_note(cosigned_file(house), note)
    return f"kept: {', '.join(names)} has seen {parse_checkpoint(parse_note(note).body).size} events"


def listed(house: House) -> dict[str, Any]:
    """How far each witness has seen, by what is kept here."""
    size, found = house.existing_ledger.size(), {key.name: 0 for key in witnesses(house)}
    for note in cosigned(house):
        for key in witnesses(house):
            if verify_cosignature(note, key) is not None:
                found[key.name] = max(found[key.name], parse_checkpoint(parse_note(note).body).size)
    rows = [{"name": name, "size": seen, "behind": size - seen} for name, seen in found.items()]
    return {"size": size, "witnesses": rows}


def witnesses(house: House) -> list[WitnessKey]:
    """The witnesses that this log knows."""
    return [_told(event) for event in house.existing_ledger.events(WITNESS_ADDED)]


def cosigned_file(house: House) -> Path:
    """Cosigned tree heads, outside the database."""
    return house.home / "cosignatures.log"


def cosigned(house: House) -> list[str]:
    """The cosigned tree heads that are kept. Raises IntegrityError for a damaged line."""
    return [parse_line(line) for line in read_anchor(cosigned_file(house)).lines]


def _told(event: Any) -> WitnessKey:
    return parse_vkey(str(event.body["vkey"]))


def _known(house: House, name: str) -> WitnessKey:
    found = next((key for key in witnesses(house) if key.name == name), None)
    if found is None:
        raise NotFound(f"there is no witness '{name}'; 'tunegate witness list' shows them")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} can't be read: {error.strerror}") from error
