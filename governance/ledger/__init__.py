"""The ledger: every change of state as an event in one Merkle tree log, and nothing that could disagree with it.

Events are canonical JSON (RFC 8785), appended by one writer at a time, hashed as in RFC 6962. The root of the tree is
signed as a C2SP checkpoint and kept a second time in a file outside the database, the anchor, because a head that lies
only beside the log can't reveal that both were cut. Verification hashes the stored bytes and says where a fault is.
"""

from governance.ledger.event import Event
from governance.ledger.ledger import Ledger
from governance.ledger.report import Problem, VerifyReport
from governance.ledger.transaction import Transaction
from tunegate_core.proof.paths import ConsistencyProof, InclusionProof

__all__ = ["ConsistencyProof", "Event", "InclusionProof", "Ledger", "Problem", "Transaction", "VerifyReport"]
