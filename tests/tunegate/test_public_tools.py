"""A stranger's check of a bundle: public tools and public specifications, and nothing of this repository.

DSSE by securesystemslib, the in-toto statement by in-toto's own package; the C2SP signed note, the RFC 6962 leaf and
the inclusion path by sigstore, which checks its own logs so, and once more by a few lines written from those texts over
`cryptography` and `hashlib`. The adapter's own signature is checked by the model-signing tool in test_proving.py.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore.errors import VerificationError as SigstoreError

from tunegate.house import House
from tunegate.outside import check
from tunegate.proving import prove

Proof = tuple[dict[str, Any], Ed25519PublicKey]


@pytest.fixture
def proof(told_home: Path, tmp_path: Path) -> Proof:
    """A bundle as JSON, and the log's public key."""
    house = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")
    prove(house, "bot@1", tmp_path / "bundle.json")
    key = load_pem_public_key(house.public_key)
    assert isinstance(key, Ed25519PublicKey)
    return json.loads((tmp_path / "bundle.json").read_text()), key


def test_securesystemslib_verifies_the_envelope(proof: Proof) -> None:
    bundle, key = proof
    data = json.loads(bundle["statement"])
    public = SSlibKey.from_crypto(key, keyid=data["signatures"][0]["keyid"])
    assert Envelope.from_dict(json.loads(bundle["statement"])).verify([public], 1)
    payload = bytearray(base64.b64decode(data["payload"]))
    payload[len(payload) // 2] ^= 1
    data["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(data).verify([public], 1)


def test_in_toto_reads_the_statement(proof: Proof) -> None:
    bundle, _ = proof
    payload = base64.b64decode(json.loads(bundle["statement"])["payload"])
    found = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(found).validate()
    assert found.subject[0].name == "bot@1"
    assert found.subject[0].digest["sha256"] == hashlib.sha256(bundle["manifest"].encode()).hexdigest()


def test_the_note_verifies_by_the_text_of_its_specification(proof: Proof) -> None:
    bundle, key = proof
    body, name = open_note(bundle["checkpoint"], key)
    origin, size, root = body.splitlines()[:3]
    assert origin == name
    assert int(size) > 0 and len(base64.b64decode(root)) == 32
    with pytest.raises(InvalidSignature):
        open_note(bundle["checkpoint"].replace(f"\n{size}\n", f"\n{int(size) + 1}\n", 1), key)


def test_each_event_is_in_the_signed_tree(proof: Proof) -> None:
    bundle, key = proof
    _, size, root = open_note(bundle["checkpoint"], key)[0].splitlines()[:3]
    for proved in bundle["events"]:
        leaf = hashlib.sha256(b"\0" + proved["event"].encode()).digest()
        path = [bytes.fromhex(node) for node in proved["path"]]
        seq = json.loads(proved["event"])["seq"]
        assert root_of(leaf, seq, int(size), path) == base64.b64decode(root)
        changed = hashlib.sha256(b"\0" + proved["event"].replace("bot", "bob").encode()).digest()
        assert root_of(changed, seq, int(size), path) != base64.b64decode(root)


def open_note(text: str, key: Ed25519PublicKey) -> tuple[str, str]:
    """The text and the signer's name of a note (https://c2sp.org/signed-note). Raises InvalidSignature."""
    head, _, signatures = text.rpartition("\n\n")
    body = head + "\n"
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    (line,) = signatures.splitlines()
    dash, name, encoded = line.split(" ")
    data = base64.b64decode(encoded)
    assert dash == "\u2014"
    assert data[:4] == hashlib.sha256(name.encode() + b"\n\x01" + raw).digest()[:4]
    key.verify(data[4:], body.encode())
    return body, name


def root_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion path leads to (RFC 9162, section 2.1.3.2)."""
    node: Callable[[bytes, bytes], bytes] = lambda left, right: hashlib.sha256(b"\1" + left + right).digest()  # noqa: E731
    at, last, found = index, size - 1, leaf
    for sibling in path:
        assert last > 0
        if at & 1 or at == last:
            found = node(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, sibling)
        at, last = at >> 1, last >> 1
    assert last == 0
    return found


def test_the_check_that_goes_with_an_export_runs_alone(told_home: Path, proof: Proof, tmp_path: Path) -> None:
    """`python -I`: nothing of this repository can be imported by it."""
    house = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")
    (tmp_path / "ledger.pub").write_bytes(house.public_key)
    (sealed,) = house.ledger.events("sealed", "bot@1")
    adapter = house.store.materialise(sealed.body["adapter"]["tree"], tmp_path / "a")
    script = Path(check.__file__)
    (tmp_path / "alone.py").write_bytes(script.read_bytes())
    run = [sys.executable, "-I", "alone.py", "bundle.json", "ledger.pub", str(adapter)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "is that adapter" in done.stdout
    assert "tunegate" not in re.findall(r"^(?:import|from) (\w+)", script.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("checkpoint", "\n", "\u00a0\n"), ("statement", '"payload":"e', '"payload":"f'),
        ("manifest", '"size":', '"size":1'),
        ("events", "bot", "bob"), ("events", "PASS", "FAIL"), ("events", "released", "relaesed"),
    ],
)  # fmt: skip
def test_the_check_that_goes_with_an_export_finds_a_change(
    told_home: Path, proof: Proof, tmp_path: Path, part: str, old: str, new: str
) -> None:
    bundle, _ = proof
    if part == "events":
        changed = [{**event, "event": event["event"].replace(old, new)} for event in bundle["events"]]
        assert changed != bundle["events"]
        bundle["events"] = changed
    else:
        assert old in bundle[part]
        bundle[part] = bundle[part].replace(old, new, 1)
    (tmp_path / "changed.json").write_text(json.dumps(bundle))
    public = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}").public_key
    (tmp_path / "ledger.pub").write_bytes(public)
    with pytest.raises((SystemExit, InvalidSignature, VerificationError, SigstoreError)):
        check.main(str(tmp_path / "changed.json"), str(tmp_path / "ledger.pub"))
