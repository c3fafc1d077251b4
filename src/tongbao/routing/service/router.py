"""The router: one payment, the channels that can carry it, one decision with reasons, in well under a millisecond.

Reads what was learned (the board), what is under way, the policy in force, volumes; waits for nothing. The state changes by
facts only (``following``), so a decision that is never committed leaves no trace but an open call that is forgotten.
"""

import random
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.decisions.models.choosing import draw_one
from tongbao.decisions.schema.log import Decision, Shadow
from tongbao.decisions.service.live_policies import Deciding
from tongbao.routing.errors import NoChannel
from tongbao.routing.models.board import Board
from tongbao.routing.models.breakers import OPEN
from tongbao.routing.models.prior import offsets
from tongbao.routing.policy import reckoning, recording
from tongbao.routing.policy.economics import Terms
from tongbao.routing.policy.reckoning import Reckoned
from tongbao.routing.policy.traffic import Known
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.volumes import Convert, Used, no_rates
from tongbao.routing.service.compiling import DEFAULT, POLICY, Compiled, policy_of
from tongbao.routing.service.under_way import UnderWay
from tongbao.routing.service.volumes import month_left_share

BUILT_IN = 0
"""The version of the policy that decides where none was published."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with the channels that can carry it, those that cannot (with the code of why), and those that said no."""

    payment: Payment
    candidates: tuple[str, ...]
    excluded: dict[str, str] = {}
    tried: tuple[str, ...] = ()


class Routed(NamedTuple):
    """Where a payment goes first, where it may go next in order, and the decision to be written with it."""

    channel: str
    fallbacks: tuple[str, ...]
    decision: Decision


class PoliciesInForce(Protocol):
    """Who decides for a unit; see ``decisions.service.live_policies``."""

    def deciding(self, policy: str, unit: str) -> Deciding | None:
        """Return the version in force for a unit; None where the policy is not rolled out."""
        ...


class KnownVolumes(Protocol):
    """What went over channels; see ``service.volumes``."""

    def used(self, live: bool, channel: str) -> Used:
        """Return the volumes of the running day and month."""
        ...

    def sent(self, attempt_id: UUID, channel: str, payment: Payment) -> None:
        """Count what is about to be sent."""
        ...

    def ended(self, attempt_id: UUID, is_approved: bool) -> None:
        """Take note of an end."""
        ...


def fresh_board() -> Board:
    """Return a board that has learned nothing."""
    return Board()


class Router:
    """Decides for one process. ``chance`` draws; a seeded one makes equal runs equal."""

    def __init__(
        self,
        board: Board,
        policies: PoliciesInForce,
        volumes: KnownVolumes,
        clock: Clock,
        ids: IdFactory,
        *,
        chance: random.Random | None = None,
        convert: Convert = no_rates,
    ) -> None:
        self.board = board
        self._policies = policies
        self._volumes = volumes
        self._clock = clock
        self._ids = ids
        self._chance = chance or random.SystemRandom()
        self._convert = convert
        self._under_way = UnderWay()

    def choose(self, asked: Asked) -> Routed:
        """Return the route of a payment; raise NoChannel where filters leave none."""
        begun = time.perf_counter()
        now = self._clock.now()
        payment = asked.payment
        deciding = self._deciding(payment)
        compiled = deciding.spec if deciding and isinstance(deciding.spec, Compiled) else DEFAULT
        known = self._known(payment, asked.candidates, compiled, now.timestamp())
        reckoned = self._reckon(compiled, asked, known)
        place = draw_one(reckoned.shares, self._chance.random())
        fallbacks = reckoned.fallbacks(place)
        decision = Decision(
            id=self._ids.uuid(),
            book_id=payment.book_id,
            live=payment.live,
            kind=POLICY,
            subject_id=payment.subject_id,
            decided_at=now,
            policy=deciding.policy if deciding else POLICY,
            version=deciding.version if deciding else BUILT_IN,
            arm=deciding.arm if deciding else "champion",
            context=recording.context(payment, len(asked.tried)),
            candidates=recording.candidates(reckoned, asked.excluded, asked.tried),
            chosen=reckoned.channels[place],
            reasons=recording.reasons(reckoned, place, asked.tried),
            shadow=self._shadow(deciding, asked, known),
            latency_us=round((time.perf_counter() - begun) * 1e6),
        )
        self._begin(decision, payment)
        return Routed(decision.chosen, fallbacks, decision)

    def chance(self, payment: Payment, candidates: tuple[str, ...]) -> float | None:
        """Return how likely the likeliest channel in traffic brings an approval, in [0, 1]; None where none is.

        For showing ways to pay before one is chosen: decides nothing, writes nothing, counts no call.
        """
        deciding = self._deciding(payment)
        compiled = deciding.spec if deciding and isinstance(deciding.spec, Compiled) else DEFAULT
        known = self._known(payment, candidates, compiled, self._clock.now().timestamp())
        in_traffic = [mean for mean, state in zip(known.chance, known.state, strict=True) if state != OPEN]
        return max(in_traffic, default=None)

    def heard(self, decision_id: UUID) -> None:
        """Note that the channel of a decision has answered, whatever it said."""
        self._under_way.end(decision_id, self._clock.now().timestamp())

    def ended(self, decision_id: UUID, *, approved: bool) -> None:
        """Note how the attempt of a decision ended; volumes count what was approved."""
        self._under_way.end(decision_id)
        self._volumes.ended(decision_id, approved)

    def _known(self, payment: Payment, channels: Sequence[str], compiled: Compiled, at_s: float) -> Known:
        """Return what is known of channels for a payment now."""
        names = tuple(channels)
        live, method = payment.live, payment.method
        calls = [self._under_way.calls((live, method, name), at_s) for name in names]
        path = self.board.path(live, method, payment.issuer, names)
        offset = offsets(compiled.prior, payment, names)[0].tolist() if compiled.prior else None
        seen = self.board.glance(path, at_s, offset, [each.open for each in calls])
        return Known(
            names,
            [each.chance.mean for each in seen],
            [each.chance.sd for each in seen],
            [each.breaker.state for each in seen],
            [each.breaker.probe_share for each in seen],
            [each.breaker.waiting_s for each in seen],
            [each.rate for each in seen],
            [each.overdue for each in calls],
            offset,
        )

    def _reckon(self, compiled: Compiled, asked: Asked, known: Known) -> Reckoned:
        payment = asked.payment
        terms = Terms(
            used=lambda name: self._used(payment.live, name),
            convert=self._convert,
            month_left_share=month_left_share(self._clock.now()),
        )
        reckoned = reckoning.reckon(compiled.book, payment, known, terms, self.board.tuning)
        if reckoned is None:
            raise NoChannel(uuid_text("pi", payment.subject_id), asked.candidates)
        return reckoned

    def _shadow(self, deciding: Deciding | None, asked: Asked, known: Known) -> Shadow | None:
        """Return what the version that only watches would do; a failure of it is nobody's but its own."""
        if (
            deciding is None
            or deciding.shadow_version is None
            or not isinstance(deciding.shadow_spec, Compiled)
        ):
            return None
        try:
            reckoned = self._reckon(deciding.shadow_spec, asked, known)
        except NoChannel:
            return None
        shares = reckoned.chances()
        chosen = max(shares, key=shares.__getitem__)
        return Shadow(version=deciding.shadow_version, chosen=chosen, propensities=shares)

    def _used(self, live: bool, channel: str) -> Used:
        return self._volumes.used(live, channel)

    def _deciding(self, payment: Payment) -> Deciding | None:
        unit = uuid_text("pi", payment.subject_id)
        own = self._policies.deciding(policy_of(payment.book_id), unit)
        return own or self._policies.deciding(POLICY, unit)

    def _begin(self, decision: Decision, payment: Payment) -> None:
        line = (payment.live, payment.method, decision.chosen)
        self._under_way.begin(decision.id, line, decision.decided_at.timestamp())
        self._volumes.sent(decision.id, decision.chosen, payment)
