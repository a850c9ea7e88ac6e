"""Limits hold whatever is asked, settled or left open, in whatever order; the clock is the test's."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.errors import Refusal
from serving.quota import Account, Accounts, Amount, Reservation
from serving.rates import Rate, RateCard
from tunegate_core.snapshot import Limits

amounts = st.builds(Amount, st.integers(0, 400), st.integers(0, 400))


def account(**limits: int) -> Account:
    return Accounts().of(["k"], Limits(**limits), 0.0)


def refused(ask: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as found:
        ask()
    return found.value


class Budget(RuleBasedStateMachine):
    """Spent and held together never pass the budget, unless one request used more than it said it could."""

    def __init__(self) -> None:
        super().__init__()
        self.account = account(budget_tokens=1000, budget_micros=1500)
        self.open: list[Reservation] = []
        self.overrun = 0

    @rule(most=amounts)
    def reserve(self, most: Amount) -> None:
        before = self.account.held
        try:
            self.open.append(self.account.reserve(most, 0.0))
        except Refusal as refusal:
            assert refusal.code == "insufficient_quota" and refusal.retry_after is None
            assert self.account.held == before

    @precondition(lambda self: self.open)
    @rule(share=st.floats(0, 1), twice=st.booleans())
    def settle(self, share: float, twice: bool) -> None:
        reservation = self.open.pop()
        used = Amount(int(reservation.held.tokens * share), int(reservation.held.micros * share))
        for _ in range(1 + twice):
            self.account.settle(reservation, used, 0.0)

    @invariant()
    def holds(self) -> None:
        account = self.account
        assert account.spent.tokens + account.held.tokens <= 1000
        assert account.spent.micros + account.held.micros <= 1500
        assert account.held.tokens == sum(one.held.tokens for one in self.open)


TestBudget = Budget.TestCase
TestBudget.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 80), st.floats(0, 1)), max_size=40))
def test_no_minute_uses_more_tokens_than_a_full_bucket_and_its_refill(asks: list[tuple[float, int, float]]) -> None:
    ours, now, used = account(tokens_per_minute=100), 0.0, []
    for wait, most, share in asks:
        now += wait
        try:
            reservation = ours.reserve(Amount(most), now)
        except Refusal as refusal:
            assert refusal.retry_after and refusal.retry_after >= 1
            continue
        ours.settle(reservation, Amount(int(most * share)), now)
        used.append((now, int(most * share)))
    for begin, _ in used:
        assert sum(tokens for at, tokens in used if begin <= at < begin + 60) <= 200


@given(st.integers(1, 1000), st.integers(1, 3000), st.integers(0, 1000))
def test_waiting_as_told_is_enough(limit: int, most: int, before: int) -> None:
    ours = account(tokens_per_minute=limit)
    ours.settle(ours.reserve(Amount(before), 0.0), Amount(before), 0.0)
    try:
        ours.reserve(Amount(most), 0.0)
    except Refusal as refusal:
        ours.reserve(Amount(most), float(refusal.retry_after or 0))


def test_a_request_larger_than_a_minute_is_owed() -> None:
    ours = account(tokens_per_minute=100)
    ours.settle(ours.reserve(Amount(250), 0.0), Amount(250), 0.0)
    assert refused(lambda: ours.reserve(Amount(1), 60.0)).code == "rate_limit_exceeded"
    ours.reserve(Amount(1), 92.0)


def test_requests_are_counted_one_by_one() -> None:
    ours = account(requests_per_minute=2)
    ours.admit(0.0)
    ours.admit(0.0)
    assert refused(lambda: ours.admit(0.0)).retry_after == 30
    ours.admit(30.0)


def test_nothing_allowed_is_nothing_allowed() -> None:
    assert refused(lambda: account(requests_per_minute=0).admit(0.0)).retry_after == 60
    assert refused(lambda: account(tokens_per_minute=0).reserve(Amount(1), 0.0)).status == 429
    assert refused(lambda: account(budget_tokens=0).reserve(Amount(1), 0.0)).code == "insufficient_quota"


def test_a_clock_that_goes_back_gives_nothing() -> None:
    ours = account(requests_per_minute=1)
    ours.admit(100.0)
    refused(lambda: ours.admit(0.0))
    refused(lambda: ours.admit(100.0))


def test_new_limits_keep_what_was_spent_and_is_held() -> None:
    accounts = Accounts({"k": Amount(900)})
    ours = accounts.of(["k"], Limits(budget_tokens=1000), 0.0)
    held = ours.reserve(Amount(50), 0.0)
    same = accounts.of(["k"], Limits(budget_tokens=990), 0.0)
    same.settle(held, Amount(40), 0.0)
    assert (same.spent, same.held) == (Amount(940), Amount())
    refused(lambda: same.reserve(Amount(51), 0.0))
    same.reserve(Amount(50), 0.0)


def test_a_rotated_key_goes_on_where_the_old_one_was() -> None:
    limits = Limits(budget_tokens=1000, tokens_per_minute=100)
    accounts = Accounts({"old": Amount(300), "new": Amount(400), "other": Amount(7)})
    old = accounts.of(["old"], limits, 0.0)
    held = old.reserve(Amount(100), 0.0)
    new = accounts.of(["old", "new"], limits, 0.0)
    assert new is old and new.spent == Amount(700)
    assert refused(lambda: new.reserve(Amount(50), 0.0)).code == "rate_limit_exceeded"
    new.settle(held, Amount(100), 0.0)
    assert refused(lambda: new.reserve(Amount(201), 3600.0)).code == "insufficient_quota"
    assert accounts.of(["old", "new"], limits, 0.0).spent == Amount(800)  # counted once
    assert accounts.of(["other"], limits, 0.0).spent == Amount(7)


def test_money_is_rounded_up() -> None:
    card = RateCard(default=Rate(prompt=1), by_alias={"bot": Rate(prompt=2_000_000, output=8_000_000)})
    assert card.micros("bot", 10, 3) == 44
    assert card.micros("other", 1, 99) == 1
    assert RateCard().micros("bot", 10**6, 10**6) == 0
