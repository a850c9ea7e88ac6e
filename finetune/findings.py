"""What a check found: ok, warn or fail, with a sentence that says what and, where it is bad, what to do.

What could not be found out is a warning that says so, never an ok.
"""

from typing import Literal

from tunegate_core.records import Record


class Finding(Record):
    """One thing looked at."""

    name: str
    status: Literal["ok", "warn", "fail"]
    what: str


def ok(name: str, what: str) -> Finding:
    """All is as it should be."""
    return Finding(name=name, status="ok", what=what)


def warn(name: str, what: str) -> Finding:
    """Training can start, but a person should look at this first."""
    return Finding(name=name, status="warn", what=what)


def fail(name: str, what: str) -> Finding:
    """Training would fail, teach the wrong thing, or make an adapter that can't be served."""
    return Finding(name=name, status="fail", what=what)


def judge(good: bool, name: str, what: str, otherwise: str) -> Finding:
    """Ok with `what`, or fail with `otherwise`."""
    return ok(name, what) if good else fail(name, otherwise)
