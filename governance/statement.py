"""The release statement: an in-toto Statement v1 about the adapter's files, signed in a DSSE envelope.

Subject: the adapter's manifest by SHA-256. Predicate: its files, the digests of all that made it and of why it was
released. Formats: in-toto Attestation Framework v1, Statement; DSSE v1.
"""

from collections.abc import Callable
from typing import Any

from governance.lifecycle import Approved
from tunegate_core.canonical import canonical_json
from tunegate_core.proof.dsse import IN_TOTO, format_envelope, pae
from tunegate_core.store import Tree

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:tunegate:release:v1"


def release_statement(approved: Approved, manifest: Tree) -> dict[str, Any]:
    """What is said about a release. `manifest` is the adapter's tree."""
    planned = approved.planned
    files = {file.path: _hex(file.sha256) for file in manifest.files}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": planned.subject, "digest": {"sha256": _hex(approved.adapter.tree)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "name": planned.name,
            "version": planned.version,
            "route": planned.route,
            "files": files,
            "base": planned.base.model_dump(mode="json"),
            "data": planned.data.rows if planned.data else None,
            "sourceAdapter": planned.source_adapter,
            "config": planned.config,
            "policy": planned.policy,
            "margins": planned.margins,
            "items": {task: items["digest"] for task, items in planned.items.items()},
            "champion": planned.champion,
            "attempt": planned.attempt,
            "evidence": list(approved.evidence),
            "verdict": approved.verdict,
            "outcome": approved.outcome,
            "approvals": [approval.model_dump(mode="json") for approval in approved.approvals],
        },
    }


def sign_statement(statement: dict[str, Any], sign: Callable[[bytes], bytes], key_id: str) -> bytes:
    """The DSSE envelope (canonical JSON) over the statement's canonical form."""
    payload = canonical_json(statement)
    return format_envelope(payload, key_id, sign(pae(IN_TOTO, payload)))


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
