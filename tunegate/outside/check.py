"""Check an exported release with public tools and nothing of Tunegate.

    pip install securesystemslib sigstore cryptography
    python check.py bundle.json ledger.pub [adapter]

Who checks what: the signed statement (DSSE) securesystemslib; the signed tree head (C2SP signed-note) and each event's
place in the tree (RFC 6962) sigstore, which reads its own logs with the same code; people's signatures `cryptography`;
digests hashlib. This file only carries bytes from one to the other: read it, or write it anew.
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import SignedCheckpoint
from sigstore._internal.trust import Keyring, RekorKeyring
from sigstore._utils import KeyID
from sigstore_models.common import v1 as common


def main(bundle_file: str, key_file: str, adapter: str | None = None) -> None:
    """Raises at the first thing that does not hold; prints what does."""
    bundle: dict[str, Any] = json.loads(Path(bundle_file).read_bytes())
    if bundle["rotations"]:
        sys.exit("the log's key was rotated: this check follows one key only; use 'tunegate verify-bundle'")
    key = ed25519(Path(key_file).read_bytes())
    head = tree_head(bundle["checkpoint"], key)
    print(f"ok  tree head: {head.log_size} events, root {head.log_hash}, signed for {head.origin}")
    events = [event_in_tree(proved, head) for proved in bundle["events"]]
    print(f"ok  {len(events)} events are in that tree: {', '.join(event['kind'] for event in events)}")
    said = {event["kind"]: event["body"] for event in events}
    statement = signed_statement(bundle["statement"], key)
    print(f"ok  statement: {statement['predicateType']} about {statement['subject'][0]['name']}")
    same(said["released"]["statement"], sha256(bundle["statement"].encode()), "the released statement")
    manifest = sha256(bundle["manifest"].encode())
    same(f"sha256:{statement['subject'][0]['digest']['sha256']}", manifest, "the statement's subject")
    same(said["sealed"]["adapter"]["tree"], manifest, "the sealed adapter")
    for event in events:
        if event["kind"] == "approval":
            decision(event, said)
            by, what = event["body"]["approver"], event["body"]["decision"]
            print(f"ok  {by} signed: {what}, outcome {said['judged']['outcome']}")
    if adapter is not None:
        folder(Path(adapter), json.loads(bundle["manifest"]))
        print(f"ok  {adapter} is that adapter")


def ed25519(pem: bytes) -> Ed25519PublicKey:
    """The key in a PEM file."""
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        sys.exit("the key is no Ed25519 key")
    return key


def tree_head(note: str, key: Ed25519PublicKey) -> Any:
    """Size and root, by sigstore. The key's hash is C2SP's: SHA-256(name, newline, 0x01, key), first four bytes."""
    details = common.PublicKeyDetails.PKIX_ED25519
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    keys = RekorKeyring(Keyring([common.PublicKey(raw_bytes=base64.b64encode(der), key_details=details)]))
    signed = SignedCheckpoint.from_text(note)
    name = signed.checkpoint.origin
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    signed.signed_note.verify(keys, KeyID(hashlib.sha256(name.encode() + b"\n\x01" + raw).digest()))
    return signed.checkpoint


def event_in_tree(proved: dict[str, Any], head: Any) -> Any:
    """An event, if it is where it says in the signed tree, by sigstore."""
    event = json.loads(proved["event"])
    proof = SimpleNamespace(
        log_index=event["seq"], tree_size=head.log_size, root_hash=bytes.fromhex(head.log_hash),
        hashes=[bytes.fromhex(node) for node in proved["path"]],
    )  # fmt: skip
    entry: Any = SimpleNamespace(
        _inner=SimpleNamespace(inclusion_proof=proof, canonicalized_body=proved["event"].encode())
    )
    verify_merkle_inclusion(entry)
    return event


def signed_statement(envelope: str, key: Ed25519PublicKey) -> Any:
    """The in-toto statement, by securesystemslib."""
    data = json.loads(envelope)
    payload, keyid = data["payload"], data["signatures"][0]["keyid"]  # which it takes out of what it is given
    Envelope.from_dict(data).verify([SSlibKey.from_crypto(key, keyid=keyid)], 1)
    return json.loads(base64.b64decode(payload))


def decision(event: dict[str, Any], said: dict[str, Any]) -> None:
    """A person's signature over exactly this adapter, evidence, policy and verdict (canonical JSON, RFC 8785)."""
    body = event["body"]
    about = {
        "tunegate": "approval/v1", "subject": event["subject"], "adapter": said["sealed"]["adapter"]["tree"],
        "evidence": said["examined"]["evidence"], "policy": said["planned"]["policy"],
        "verdict": said["judged"]["verdict"], "outcome": said["judged"]["outcome"],
        "decision": body["decision"], "reason": body["reason"], "expires": body["expires"],
    }  # fmt: skip
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    ed25519(body["public_key"].encode()).verify(bytes.fromhex(body["signature"]), text.encode())


def folder(path: Path, manifest: dict[str, Any]) -> None:
    """The files of the manifest and no other."""
    expected = {file["path"]: file["sha256"] for file in manifest["files"]}
    found = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    same(sorted(found), sorted(expected), f"the files in {path}")
    for name, file in found.items():
        same(sha256(file.read_bytes()), expected[name], f"{path / name}")


def sha256(data: bytes) -> str:
    """As events write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def same(found: object, expected: object, what: str) -> None:
    """End with a message unless they are equal."""
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle_file", metavar="BUNDLE", help="bundle.json of the export")
    parser.add_argument("key_file", metavar="KEY", help="the log's public key, from somebody you trust")
    parser.add_argument("adapter", nargs="?", metavar="ADAPTER", help="the adapter's folder: its files are hashed too")
    try:
        main(**vars(parser.parse_args()))
    except Exception as error:  # what the libraries say of bytes that do not fit, in their own words
        sys.exit(f"NOT ok  {type(error).__name__}: {str(error)[:500]}")
