"""Refreshing the context prior: fitted on the decision log, compared on its later part, drafted and replayed.

Only what issuers said teaches (approved against declined by the issuer); technical ends and payers' own mistakes do not.
The log is cut by time: weights come from the earlier part, and both the comparison and the replay of the draft see the
later part only. Nothing is published: people do that, after reading the replay.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.log import Range
from tongbao.decisions.service.log import DecisionLog, Learned
from tongbao.decisions.service.policies import Policies
from tongbao.routing.models.prior import keys_of
from tongbao.routing.models.prior_fit import ChannelFit, Example, fit_channel
from tongbao.routing.service.compiling import POLICY
from tongbao.routing.service.logged import LOGGED_OFFSET, number_of, odds_of, payment_of
from tongbao.routing.service.replaying import APPROVED, Replaying

EARLIER_SHARE = 0.7
ERROR_SHARE = 0.01
"""The chance that a prior is kept for any channel although context tells nothing."""
EXAMPLES_MAX = 400_000

Told = Callable[[str, int], None]
"""Hears what is being done and how many decisions were read so far."""


class Refreshed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``version``: the draft, None where the prior is what the champion has already.

    ``reason``: in one sentence, why the prior is what it is. ``replay``: what the draft would have done with the later
    part; ``replay_refused`` says why there is none.
    """

    policy: str
    from_at: datetime
    split_at: datetime
    to_at: datetime
    count: int
    channels: tuple[ChannelFit, ...]
    prior: dict[str, dict[str, float]]
    reason: str
    version: int | None = None
    replay: Report | None = None
    replay_refused: str = ""


class _Taught(NamedTuple):
    """One example with its channel and instant."""

    at: datetime
    channel: str
    example: Example


class Refreshing:
    """Fits priors for one house. ``issuer_labels``: labels of outcomes that are an issuer's no."""

    def __init__(
        self, log: DecisionLog, policies: Policies, replaying: Replaying, issuer_labels: Collection[str]
    ) -> None:
        self._log = log
        self._policies = policies
        self._replaying = replaying
        self._issuer_labels = frozenset(issuer_labels)

    async def refresh(
        self,
        policy: str,
        span: tuple[datetime, datetime],
        actor: str,
        *,
        live: bool = True,
        told: Told = lambda _step, _count: None,
    ) -> Refreshed:
        """Return what the log of ``span`` teaches, and draft and replay it where it differs from the champion's prior.

        Raises InvalidRequest ``prior_unknowable`` where no issuer answered in the time, LimitExceeded
        ``prior_too_large`` beyond ``EXAMPLES_MAX`` answers, and what drafting raises.
        """
        taught = await self._read(policy, span, live, told)
        if not taught:
            raise InvalidRequest("prior_unknowable", "no decision of this time has an issuer's answer")
        split_at = taught[int(len(taught) * EARLIER_SHARE)].at
        told("fitting", len(taught))
        fits = await asyncio.to_thread(_fitted, taught, split_at)
        prior = {each.channel: each.weights for each in fits if each.kept}
        outcome = Refreshed(
            policy=policy,
            from_at=span[0],
            split_at=split_at,
            to_at=span[1],
            count=len(taught),
            channels=tuple(fits),
            prior=prior,
            reason=_reason(fits),
        )
        return await self._drafted(outcome, actor, live, told)

    async def _drafted(self, outcome: Refreshed, actor: str, live: bool, told: Told) -> Refreshed:
        base = await self._champion(outcome.policy)
        if base.get("prior", {}) == outcome.prior:
            return outcome
        spec = {name: value for name, value in base.items() if name != "prior"}
        if outcome.prior:
            spec["prior"] = outcome.prior
        note = f"context prior of {outcome.from_at:%Y-%m-%d} to {outcome.split_at:%Y-%m-%d %H:%M}"
        drafted = await self._policies.draft(outcome.policy, spec, note, actor)
        told("replaying", outcome.count)
        outcome = msgspec.structs.replace(outcome, version=drafted.version)
        later = (outcome.split_at, outcome.to_at)
        try:
            report = await self._replaying.replay(outcome.policy, drafted.version, later, actor, live=live)
        except AppError as error:
            # The draft stands; whoever wants to publish it replays it on another time.
            return msgspec.structs.replace(outcome, replay_refused=str(error))
        return msgspec.structs.replace(outcome, replay=report)

    async def _champion(self, policy: str) -> dict[str, Any]:
        rollout = await self._policies.current(policy)
        if rollout is None:
            return {}
        return (await self._policies.version(policy, rollout.champion)).spec

    async def _read(
        self, policy: str, span: tuple[datetime, datetime], live: bool, told: Told
    ) -> list[_Taught]:
        """Return what issuers answered in a time, oldest first."""
        _, _, own = policy.partition("/")
        of = Range(span[0], span[1], book_id=int(own) if own.isdigit() else None, live=live)
        taught: list[_Taught] = []
        read = 0
        async for page in self._log.learned(of, APPROVED):
            taught += [found for each in page if (found := self._taught(each)) is not None]
            read += len(page)
            told("reading", read)
            if len(taught) > EXAMPLES_MAX:
                raise LimitExceeded(
                    "prior_too_large", f"a prior reads up to {EXAMPLES_MAX:,} answers at a time"
                )
        return sorted(taught, key=lambda each: each.at)

    def _taught(self, learned: Learned) -> _Taught | None:
        """Return what a decision teaches; None where no issuer answered, or nothing was believed when it was made."""
        decision, value = learned.decision, learned.value
        if (
            decision.kind != POLICY
            or value is None
            or (value < 1 and learned.label not in self._issuer_labels)
        ):
            return None
        payment = payment_of(decision)
        chosen = next(each for each in decision.candidates if each.name == decision.chosen)
        approval = number_of(chosen, "approval")
        if payment is None or approval is None:
            return None
        belief = odds_of(approval) - (number_of(chosen, LOGGED_OFFSET) or 0.0)
        example = Example(tuple(keys_of(payment)), belief, value >= 1)
        return _Taught(decision.decided_at, decision.chosen, example)


def _fitted(taught: list[_Taught], split_at: datetime) -> list[ChannelFit]:
    """Return the fit of every channel, by name."""
    channels = sorted({each.channel for each in taught})
    fits = []
    for channel in channels:
        own = [each for each in taught if each.channel == channel]
        earlier = [each.example for each in own if each.at < split_at]
        later = [each.example for each in own if each.at >= split_at]
        fits.append(fit_channel(channel, earlier, later, ERROR_SHARE / len(channels)))
    return fits


def _reason(fits: list[ChannelFit]) -> str:
    kept = [each.channel for each in fits if each.kept]
    if kept:
        return f"context foretells the issuers' answers better than no context over {', '.join(kept)}"
    if all(each.context is None for each in fits):
        return "the prior is empty: no channel has issuers' answers enough to fit and to compare"
    return "the prior is empty: over no channel does context foretell the issuers' answers better than no context"
