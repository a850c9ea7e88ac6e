"""What verification found. A report without problems is `ok`; notes say what could not be known."""

from tunegate_core.records import Record


class Problem(Record):
    """A fault and where it is: `where` in words, `first` and `last` the events it concerns (both included)."""

    where: str
    what: str
    first: int | None = None
    last: int | None = None


class WitnessSeen(Record):
    """The largest tree that a witness cosigned; 0 and None when it cosigned none. `time` in seconds since 1970."""

    name: str
    size: int
    time: int | None


class VerifyReport(Record):
    """The log as re-derived from its bytes.

    `root` is hex, None where a missing event hides it; `checkpoints` counts the signed tree heads that agree. `since`:
    the number of the first event that was looked at.
    """

    ok: bool
    size: int
    root: str | None
    checkpoints: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    witnesses: tuple[WitnessSeen, ...] = ()
    since: int = 0
