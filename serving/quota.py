"""What a key may still use: reserved before, at the most it could cost; settled after, at what it did cost.

Pure: the clock is passed in, as seconds that never go back. Limits per minute are token buckets that hold one minute's
worth. A request that could cost more than a whole minute's worth waits for a full bucket, and what it really used is
owed afterwards. A budget is a sum over all time, and is never overrun by more than one request got wrong.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from serving.errors import budget_used, rate_limited
from tunegate_core.snapshot import Limits

MINUTE = 60.0


@dataclass(frozen=True)
class Amount:
    """What a request uses. `micros`: millionths of the rate card's currency."""

    tokens: int = 0
    micros: int = 0


@dataclass
class Bucket:
    """`capacity` units a minute, held at most once; below zero is what is owed."""

    capacity: int
    level: float
    at: float

    def fill(self, now: float) -> None:
        """Let time pass."""
        self.level = min(self.capacity, self.level + max(0.0, now - self.at) * self.capacity / MINUTE)
        self.at = max(self.at, now)

    def seconds_until(self, amount: float) -> float:
        """How long until `amount` is there; never, where nothing is allowed."""
        lacking = min(amount, self.capacity) - self.level
        if self.capacity == 0:
            return MINUTE
        return 0.0 if lacking <= 1e-9 else lacking * MINUTE / self.capacity


@dataclass
class Reservation:
    """Held for one request until it is settled, which happens once."""

    held: Amount
    is_settled: bool = False


@dataclass
class Account:
    """One key's use. `spent` is over all time."""

    limits: Limits = field(default_factory=Limits)
    requests: Bucket | None = None
    tokens: Bucket | None = None
    spent: Amount = Amount()
    held: Amount = Amount()
    keys: set[str] = field(default_factory=set)  # whose spending before this process is in it

    def admit(self, now: float) -> None:
        """Count one request. Raises Refusal (429)."""
        if self.requests is None:
            return
        self.requests.fill(now)
        _refuse_until(self.requests, 1, "requests")
        self.requests.level -= 1

    def reserve(self, most: Amount, now: float) -> Reservation:
        """Hold the most that a request could use. Raises Refusal (429), and then holds nothing."""
        _refuse_beyond(self.limits.budget_tokens, self.spent.tokens + self.held.tokens + most.tokens, "tokens")
        _refuse_beyond(self.limits.budget_micros, self.spent.micros + self.held.micros + most.micros, "money")
        if self.tokens is not None:
            self.tokens.fill(now)
            _refuse_until(self.tokens, most.tokens, "tokens")
            self.tokens.level -= most.tokens
        self.held = _plus(self.held, most)
        return Reservation(most)

    def settle(self, reservation: Reservation, used: Amount, now: float) -> None:
        """Replace what was held by what was used; a second time changes nothing."""
        if reservation.is_settled:
            return
        reservation.is_settled = True
        held = reservation.held
        self.held = Amount(self.held.tokens - held.tokens, self.held.micros - held.micros)
        self.spent = _plus(self.spent, used)
        if self.tokens is not None:
            self.tokens.fill(now)
            self.tokens.level = min(self.tokens.capacity, self.tokens.level + held.tokens - used.tokens)


@dataclass
class Accounts:
    """The accounts of all keys. `spent`: what each used before this process, from the request records.

    Keys that came from each other by rotation share one account: what one spent the other has spent.
    """

    spent: Mapping[str, Amount] = field(default_factory=dict)
    _open: dict[str, Account] = field(default_factory=dict)

    def of(self, family: Sequence[str], limits: Limits, now: float) -> Account:
        """A key's account, which all keys of its family share; the first one names it.

        New limits start with full buckets; what was spent and is held stays.
        """
        account = self._open.get(family[0])
        if account is None:
            account = self._open[family[0]] = Account()
        for key_id in family:
            if key_id not in account.keys:
                account.keys.add(key_id)
                account.spent = _plus(account.spent, self.spent.get(key_id, Amount()))
        if account.limits != limits:
            account.limits = limits
            account.requests = _bucket(limits.requests_per_minute, now)
            account.tokens = _bucket(limits.tokens_per_minute, now)
        return account


def _bucket(per_minute: int | None, now: float) -> Bucket | None:
    return None if per_minute is None else Bucket(per_minute, per_minute, now)


def _plus(one: Amount, other: Amount) -> Amount:
    return Amount(one.tokens + other.tokens, one.micros + other.micros)


def _refuse_until(bucket: Bucket, amount: int, what: str) -> None:
    wait = bucket.seconds_until(amount)
    if wait > 0:
        raise rate_limited(what, math.ceil(wait))


def _refuse_beyond(budget: int | None, total: int, what: str) -> None:
    if budget is not None and total > budget:
        raise budget_used(what)
