"""Who may do what with a freeze: anybody entitled may freeze and ask, only a second person may let go (four eyes)."""

from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotPermitted
from tongbao.risk.schema.freezes import (
    ACTOR_CHARS_MAX,
    ACTS_MAX,
    FREEZES_MAX,
    REASON_CHARS_MAX,
    Freeze,
    FreezeOrder,
    FreezeState,
)
from tongbao.risk.schema.signals import KEY_CHARS_MAX


def frozen(order: FreezeOrder, freeze_id: UUID, actor: str, now: datetime) -> Freeze:
    """Return a new freeze; raise InvalidRequest ``key_invalid``, ``reason_invalid``, ``actor_invalid``."""
    if not _is_text(order.key, KEY_CHARS_MAX):
        raise InvalidRequest("key_invalid", f"the key of an entity has 1 to {KEY_CHARS_MAX} characters")
    check_words(order.reason, actor)
    return Freeze(
        id=freeze_id,
        live=order.live,
        entity=order.entity,
        key=order.key,
        reason=order.reason,
        frozen_by=actor,
        frozen_at=now,
    )


def check_words(why: str, actor: str) -> None:
    """Raise InvalidRequest ``reason_invalid`` or ``actor_invalid`` for what explains nothing or names nobody."""
    if not _is_text(why, REASON_CHARS_MAX):
        raise InvalidRequest("reason_invalid", f"a reason has 1 to {REASON_CHARS_MAX} characters")
    if not _is_text(actor, ACTOR_CHARS_MAX):
        raise InvalidRequest(
            "actor_invalid", f"somebody named in 1 to {ACTOR_CHARS_MAX} characters has to act"
        )


def check_room(in_force_count: int) -> None:
    """Raise LimitExceeded ``freezes_full`` where no more freezes may be in force."""
    if in_force_count >= FREEZES_MAX:
        raise LimitExceeded("freezes_full", f"at most {FREEZES_MAX} freezes are in force at once")


def same(standing: Freeze, order: FreezeOrder, actor: str) -> Freeze:
    """Return the freeze that stands where the same person repeats the same; raise Conflict ``already_frozen``."""
    if standing.reason == order.reason and standing.frozen_by == actor:
        return standing
    raise Conflict("already_frozen", "this is frozen already", freeze=standing.reference)


def requested(freeze: Freeze, actor: str) -> Freeze:
    """Return a freeze whose release waits for a second person.

    Raises Conflict ``already_released``, ``release_already_requested``.
    """
    _require_in_force(freeze)
    if freeze.state is FreezeState.REQUIRES_APPROVAL:
        raise Conflict(
            "release_already_requested",
            "the release of this freeze waits for approval already",
            freeze=freeze.reference,
        )
    return msgspec.structs.replace(freeze, requested_by=actor)


def approved(freeze: Freeze, actor: str, now: datetime) -> Freeze:
    """Return a freeze released by a second person.

    Raises Conflict ``already_released``, ``release_not_requested``, NotPermitted ``four_eyes_required`` for the
    person who asked.
    """
    _require_requested(freeze)
    if actor == freeze.requested_by:
        raise NotPermitted(
            "four_eyes_required", "another person has to approve this release", freeze=freeze.reference
        )
    return msgspec.structs.replace(freeze, released_at=now)


def refused(freeze: Freeze, act_count: int) -> Freeze:
    """Return a freeze that stays in force; who asked may take it back so. Raises as ``approved`` for the state.

    Only refusals are bounded, and with them the requests between: LimitExceeded ``freeze_acts_full`` leaves a request
    open, so that a freeze can always be released.
    """
    _require_requested(freeze)
    if act_count >= ACTS_MAX:
        raise LimitExceeded("freeze_acts_full", f"at most {ACTS_MAX} acts on one freeze, then its release")
    return msgspec.structs.replace(freeze, requested_by="")


def _require_in_force(freeze: Freeze) -> None:
    if freeze.state is FreezeState.RELEASED:
        raise Conflict("already_released", "this freeze was released", freeze=freeze.reference)


def _require_requested(freeze: Freeze) -> None:
    _require_in_force(freeze)
    if freeze.state is not FreezeState.REQUIRES_APPROVAL:
        raise Conflict("release_not_requested", "nobody has asked to release this", freeze=freeze.reference)


def _is_text(text: str, chars_max: int) -> bool:
    return bool(text.strip()) and len(text) <= chars_max and "\x00" not in text
