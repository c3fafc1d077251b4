"""The rules of freezes alone: two different people, in order, each with a reason."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.errors import AppError, Conflict, InvalidRequest, LimitExceeded, NotPermitted
from tongbao.risk.policy import freezes as policy
from tongbao.risk.schema.freezes import ACTS_MAX, FREEZES_MAX, Freeze, FreezeOrder, FreezeState
from tongbao.risk.schema.signals import Entity

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORDER = FreezeOrder(live=True, entity=Entity.CARD, key="card_1", reason="stolen")
FROZEN = policy.frozen(ORDER, UUID(int=7), "per_ana", AT)
PEOPLE = ("per_ana", "per_bo", "per_cy")
acts = st.lists(
    st.tuples(st.sampled_from(["request", "approve", "refuse"]), st.sampled_from(PEOPLE)), max_size=12
)


def done(freeze: Freeze, act: str, actor: str) -> Freeze:
    """The freeze after an act; as it was where the act is not allowed."""
    try:
        match act:
            case "request":
                return policy.requested(freeze, actor)
            case "approve":
                return policy.approved(freeze, actor, AT)
            case _:
                return policy.refused(freeze, 3)
    except AppError:
        return freeze


@given(acts)
def test_release_always_has_two_people_whatever_is_tried(tried: list[tuple[str, str]]) -> None:
    freeze = FROZEN
    for act, actor in tried:
        before, freeze = freeze, done(freeze, act, actor)
        if before.state is FreezeState.RELEASED:
            assert freeze == before
        elif freeze.state is FreezeState.RELEASED:
            assert act == "approve"
            assert before.requested_by not in ("", actor)


def test_who_froze_may_ask_or_approve_but_not_both() -> None:
    own = policy.requested(FROZEN, "per_ana")
    with pytest.raises(NotPermitted, match="four_eyes_required"):
        policy.approved(own, "per_ana", AT)
    others = policy.requested(FROZEN, "per_bo")
    assert policy.approved(others, "per_ana", AT).state is FreezeState.RELEASED


REQUESTED = policy.requested(FROZEN, "per_bo")
RELEASED = policy.approved(REQUESTED, "per_cy", AT)


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (partial(policy.approved, FROZEN, "per_bo", AT), "release_not_requested"),
        (partial(policy.refused, FROZEN, 1), "release_not_requested"),
        (partial(policy.requested, REQUESTED, "per_cy"), "release_already_requested"),
        (partial(policy.requested, RELEASED, "per_bo"), "already_released"),
        (partial(policy.approved, RELEASED, "per_bo", AT), "already_released"),
        (partial(policy.refused, RELEASED, 3), "already_released"),
    ],
)
def test_act_out_of_order_is_a_conflict(act: Callable[[], Freeze], code: str) -> None:
    with pytest.raises(Conflict, match=code):
        act()


def test_refusals_end_before_releases_do() -> None:
    requested = policy.requested(FROZEN, "per_bo")
    assert policy.refused(requested, ACTS_MAX - 1).state is FreezeState.FROZEN
    with pytest.raises(LimitExceeded, match="freeze_acts_full"):
        policy.refused(requested, ACTS_MAX)
    assert policy.approved(requested, "per_cy", AT).state is FreezeState.RELEASED


@pytest.mark.parametrize(
    ("key", "reason", "actor", "code"),
    [
        ("", "stolen", "per_ana", "key_invalid"),
        ("k" * 81, "stolen", "per_ana", "key_invalid"),
        ("card_1", " ", "per_ana", "reason_invalid"),
        ("card_1", "x" * 501, "per_ana", "reason_invalid"),
        ("card_1", "nul \x00", "per_ana", "reason_invalid"),
        ("card_1", "stolen", "", "actor_invalid"),
        ("card_1", "stolen", "p" * 101, "actor_invalid"),
    ],
)
def test_freeze_needs_key_reason_and_somebody(key: str, reason: str, actor: str, code: str) -> None:
    order = FreezeOrder(live=True, entity=Entity.CARD, key=key, reason=reason)
    with pytest.raises(InvalidRequest, match=code):
        policy.frozen(order, UUID(int=7), actor, AT)


def test_freezes_have_a_most() -> None:
    policy.check_room(FREEZES_MAX - 1)
    with pytest.raises(LimitExceeded, match="freezes_full"):
        policy.check_room(FREEZES_MAX)
