"""A key opens what its snapshot says and nothing else."""

import pytest

from serving.errors import Refusal
from serving.keys import authenticate, require
from serving.view import View
from tests.serving.conftest import SECRET, api_key, bearer
from tunegate_core.snapshot import Snapshot

KEYS = View.of(Snapshot(epoch=1, keys=(api_key(), api_key(2, expires="2026-01-01T00:00:00Z")))).keys
NEW_YEAR = 1767225600.0


def test_a_right_key_is_known() -> None:
    assert authenticate(f"Bearer {bearer()}", KEYS, 0.0).key_id == api_key().key_id
    assert authenticate(f"bearer   {bearer()}", KEYS, 0.0).key_id == api_key().key_id


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "Bearer", "Bearer ", bearer(), f"Basic {bearer()}", f"Bearer {bearer()} ", f"Bearer {bearer()}x"),
        *(f"Bearer {bearer(7)}", f"Bearer tg_{1:016x}_{'t' * 43}", f"Bearer {bearer()[:-1]}", f"Bearer {bearer()}\n"),
        f"Bearer tg_{1:016X}_{SECRET}".replace("0001", "000A"),
        f"Bearer sk-{SECRET}",
        f"Bearer tg_{1:016x}_{'é' * 43}",
    ],
)
def test_every_other_is_refused_alike(header: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        authenticate(header, KEYS, 0.0)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert SECRET not in str(refused.value)


def test_a_key_expires() -> None:
    assert authenticate(f"Bearer {bearer(2)}", KEYS, NEW_YEAR - 1)
    with pytest.raises(Refusal):
        authenticate(f"Bearer {bearer(2)}", KEYS, NEW_YEAR)


def test_scopes_are_not_implied() -> None:
    key = KEYS[api_key().key_id]
    require(key, "infer")
    require(key, "admin", "feedback")
    with pytest.raises(Refusal) as refused:
        require(key, "admin")
    assert refused.value.status == 403
