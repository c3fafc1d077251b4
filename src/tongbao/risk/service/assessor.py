"""The assessor: one payment, what is known of everybody in it, one tier with reasons, in well under a millisecond.

Reads the memory of this process, the policy in force, lists and freezes; waits for nothing and changes nothing. In order:
a freeze or a block list declines; rules set floors; an allow list or rule sets the score aside; within what is left the tier
of the least expected cost is taken, or now and then its neighbor, by chances that are written down. A payer who has just
proved who it is meets no second step: unless a rule, list or freeze says otherwise the payment passes.
"""

import hashlib
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import Candidate, Decision, Fact, Shadow, Why
from tongbao.decisions.service.live_policies import Deciding
from tongbao.risk.models.base import Floats
from tongbao.risk.models.rates import TierBeliefs
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import exploring, reasons, rules, tiering
from tongbao.risk.policy.exploring import Chosen, Exploring
from tongbao.risk.policy.language import ValuesReader
from tongbao.risk.policy.rules import Applied
from tongbao.risk.policy.tiering import Range, Weighed
from tongbao.risk.policy.worth import counted
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.freezes import Freeze
from tongbao.risk.schema.lists import Listed, ListEffect
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.compiling import DEFAULT, POLICY, Compiled, compile_spec
from tongbao.risk.service.following import Following
from tongbao.risk.service.shelf import Judge, Shelf

BUILT_IN = 0
"""The version of the policy that decides where none was published."""
NEW_HISTORY = 20.0
"""Payments after which a payer is no longer new to the rates of its segment."""
REASONS_SHOWN = 4
"""Reasons of a model that are written with a decision, the heaviest first."""
_HISTORY = NAMES.index("customer_history")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to be judged. ``is_proved``: its payer has just proved who it is; ``can_step_up``: the payer can be asked."""

    signals: Signals
    is_proved: bool = False
    can_step_up: bool = True


class Looked(NamedTuple):
    """What came of a look: the tier, the decision to be written, and the fact to be told with it."""

    tier: Tier
    decision: Decision
    fact: Assessed


class Ready(NamedTuple):
    """A policy made ready: what it says, and what reads the values its rules ask for."""

    compiled: Compiled
    reader: ValuesReader


class PoliciesInForce(Protocol):
    """Who decides for a unit; see ``decisions.service.live_policies``."""

    def deciding(self, policy: str, unit: str) -> Deciding | None:
        """Return the version in force for a unit; None where the policy is not rolled out."""
        ...


class Lists(Protocol):
    """Who is on a list; see ``service.lists``."""

    def listed(self, signals: Signals) -> tuple[Listed, ...]:
        """Return why a payment is on lists."""
        ...


class Freezes(Protocol):
    """Who is frozen; see ``service.freezing``."""

    def frozen(self, signals: Signals) -> Freeze | None:
        """Return the freeze that stops a payment."""
        ...


class _Seen(NamedTuple):
    """What is known of a payment before anything is decided about it."""

    asked: Asked
    features: Floats
    listed: tuple[Listed, ...]
    freeze: Freeze | None
    segment: tuple[str, ...]
    beliefs: TierBeliefs


class _Judged(NamedTuple):
    """What one version of a policy makes of it."""

    chance: float
    judge: Judge
    applied: Applied
    weighed: Weighed
    within: Range
    exploring: Exploring
    chosen: Chosen


def ready(spec: dict[str, Any]) -> Ready:
    """Return a policy made ready; raise InvalidRequest as ``compiling.compile_spec``."""
    return made_ready(compile_spec(spec))


def made_ready(compiled: Compiled) -> Ready:
    """Return a compiled policy with the reader of its rules' values."""
    return Ready(compiled, ValuesReader(compiled.rules.fields, NAMES))


_DEFAULT = made_ready(DEFAULT)


class Assessor:
    """Judges for one process. ``chance`` draws what is explored; a seeded one makes equal runs equal."""

    def __init__(
        self,
        following: Following,
        policies: PoliciesInForce,
        shelf: Shelf,
        lists: Lists,
        freezes: Freezes,
        clock: Clock,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self._following = following
        self._policies = policies
        self._shelf = shelf
        self._lists = lists
        self._freezes = freezes
        self._clock = clock
        self._chance = chance or random.SystemRandom()

    def assess(self, asked: Asked) -> Looked:
        """Return the tier of a payment with everything behind it."""
        begun = time.perf_counter()
        signals = asked.signals
        deciding = self._deciding(signals)
        policy = deciding.spec if deciding and isinstance(deciding.spec, Ready) else _DEFAULT
        seen = self._seen(asked)
        judged = self._judged(policy, seen, self._chance.random())
        why = _why(seen, judged)
        decision = Decision(
            id=signals.id,
            book_id=signals.book_id,
            live=signals.live,
            kind=POLICY,
            subject_id=signals.subject_id,
            decided_at=signals.at,
            policy=deciding.policy if deciding else POLICY,
            version=deciding.version if deciding else BUILT_IN,
            arm=deciding.arm if deciding else "champion",
            context=self._context(policy, seen, judged),
            candidates=exploring.candidates(judged.weighed, judged.chosen, judged.within),
            chosen=judged.chosen.tier.value,
            reasons=why,
            shadow=self._shadow(deciding, seen),
            latency_us=round((time.perf_counter() - begun) * 1e6),
        )
        fact = Assessed(
            occurred_at=signals.at,
            signals=signals,
            tier=judged.chosen.tier,
            score=judged.chance,
            decision_id=decision.id,
            reasons=tuple(dict.fromkeys(each.code for each in why)),
            rules=tuple(hit.name for hit in judged.applied.hits if not hit.is_draft),
            segment=seen.segment,
        )
        return Looked(judged.chosen.tier, decision, fact)

    def fallback(self, signals: Signals, *, can_step_up: bool = True) -> Looked:
        """Return the tier of a payment that could not be judged: what the policy in force has for that case.

        A payer who cannot be asked is reviewed instead of stepped up. Freezes and block lists need no score and hold.
        """
        deciding = self._deciding(signals)
        policy = deciding.spec if deciding and isinstance(deciding.spec, Ready) else _DEFAULT
        tier = policy.compiled.spec.fallback
        if tier is Tier.STEP_UP and not can_step_up:
            tier = Tier.REVIEW
        stopped = self._stopped(signals)
        if stopped:
            tier = Tier.DECLINE
        why = (*stopped, Why(ReasonCode.UNAVAILABLE.value))
        decision = Decision(
            id=signals.id,
            book_id=signals.book_id,
            live=signals.live,
            kind=POLICY,
            subject_id=signals.subject_id,
            decided_at=signals.at,
            policy=deciding.policy if deciding else POLICY,
            version=deciding.version if deciding else BUILT_IN,
            arm=deciding.arm if deciding else "champion",
            candidates=tuple(Candidate(name=each.value, propensity=float(each is tier)) for each in Tier),
            chosen=tier.value,
            reasons=why,
        )
        fact = Assessed(
            occurred_at=signals.at,
            signals=signals,
            tier=tier,
            decision_id=decision.id,
            reasons=tuple(dict.fromkeys(each.code for each in why)),
        )
        return Looked(tier, decision, fact)

    def _stopped(self, signals: Signals) -> list[Why]:
        """Return the freeze and the block lists that stop a payment, whatever a score would say."""
        freeze = self._freezes.frozen(signals)
        listed = [each for each in self._lists.listed(signals) if each.effect is ListEffect.BLOCK]
        return [*([_frozen(freeze)] if freeze else []), *map(_listed, listed)]

    def _seen(self, asked: Asked) -> _Seen:
        signals = asked.signals
        mode = self._following.memory.of(signals.live)
        features = mode.state.features(signals)
        history = features[_HISTORY]
        segment = ("known" if history >= NEW_HISTORY else "new", signals.method)
        return _Seen(
            asked,
            features,
            self._lists.listed(signals),
            self._freezes.frozen(signals),
            segment,
            mode.rates.beliefs(segment, signals.at.timestamp()),
        )

    def _judged(self, policy: Ready, seen: _Seen, uniform: float) -> _Judged:
        """Return what a version of the policy makes of a payment; ``uniform`` in [0, 1) draws what is explored."""
        signals, compiled = seen.asked.signals, policy.compiled
        judge = self._shelf.judge(compiled.spec.model)
        chance = judge.scorer.score_one(seen.features)
        names = {each.list_name for each in seen.listed}
        values = policy.reader.read(signals, seen.features, chance, names)
        applied = rules.apply(compiled.rules, values, signals.at, signals.subject)
        within = _range(seen, applied, compiled.within)
        value = counted(signals.value, signals.currency, compiled.spec.worth)
        weighed = tiering.weigh(chance, value, seen.beliefs, compiled.terms, within)
        # A payer who proved something is not experimented with.
        bounds = compiled.exploring if not seen.asked.is_proved else Exploring()
        chosen = exploring.choose(weighed, chance, value, bounds, uniform)
        return _Judged(chance, judge, applied, weighed, within, bounds, chosen)

    def _shadow(self, deciding: Deciding | None, seen: _Seen) -> Shadow | None:
        """Return what the version that only watches would do."""
        if deciding is None or deciding.shadow_version is None or not isinstance(deciding.shadow_spec, Ready):
            return None
        judged = self._judged(deciding.shadow_spec, seen, 0.0)
        shares = {tier.value: share for tier, share in zip(Tier, judged.chosen.propensities, strict=True)}
        return Shadow(
            version=deciding.shadow_version,
            chosen=max(shares, key=shares.__getitem__),
            propensities=shares,
        )

    def _deciding(self, signals: Signals) -> Deciding | None:
        unit = uuid_text("pi", signals.subject_id)
        own = self._policies.deciding(f"{POLICY}/{signals.book_id}", unit)
        return own or self._policies.deciding(POLICY, unit)

    def _context(self, policy: Ready, seen: _Seen, judged: _Judged) -> dict[str, Fact]:
        """Return what the choice depended on; with the position and the digest anybody can prove the features."""
        signals = seen.asked.signals
        context: dict[str, Fact] = {
            "score": judged.chance,
            "value": signals.value,
            "currency": signals.currency,
            "method": signals.method,
            "segment": "/".join(seen.segment),
            "model": policy.compiled.spec.model,
            "position": self._following.position,
            "features": digest_of(seen.features),
        }
        if seen.asked.is_proved:
            context["is_proved"] = True
        if drafts := [hit.name for hit in judged.applied.hits if hit.is_draft]:
            context["drafts"] = ", ".join(drafts)
        return context


def digest_of(features: Floats) -> str:
    """Return what names a row of features: the first 16 digits of SHA-256 over its bytes."""
    return hashlib.sha256(features.tobytes()).hexdigest()[:16]


def _range(seen: _Seen, applied: Applied, within: Range) -> Range:
    """Return between which tiers the choice is: what rules, lists, a freeze and a proof leave of the policy's own range."""
    floor, ceiling = applied.floor, applied.ceiling
    effects = {each.effect for each in seen.listed}
    if ListEffect.ALLOW in effects or seen.asked.is_proved:
        ceiling = Tier.FRICTIONLESS
    if seen.asked.is_proved and floor is Tier.STEP_UP:
        floor = Tier.FRICTIONLESS
    if ListEffect.BLOCK in effects or seen.freeze is not None:
        floor = Tier.DECLINE
    can_step_up = within.can_step_up and seen.asked.can_step_up and not seen.asked.is_proved
    return Range(floor, ceiling, can_step_up, within.can_review)


def _why(seen: _Seen, judged: _Judged) -> tuple[Why, ...]:
    """Return the reasons, those that decided first; a payment that passes unseen pays for no long explanation."""
    found: list[Why] = []
    if seen.freeze is not None:
        found.append(_frozen(seen.freeze))
    found += [_listed(each) for each in seen.listed if each.effect is not ListEffect.MARK]
    found += [
        Why(ReasonCode.RULE.value, {"rule": hit.name, "act": hit.act.value, "because": hit.because})
        for hit in judged.applied.hits
        if not hit.is_draft
    ]
    if seen.asked.is_proved:
        found.append(Why(ReasonCode.PROVED.value))
    if judged.chosen.is_explored:
        found.append(Why(ReasonCode.EXPLORED.value, {"best": judged.weighed.best.value}))
    if judged.chosen.tier is Tier.FRICTIONLESS:
        return tuple(found) or (Why(ReasonCode.LOW_RISK.value),)
    found += _contributed(judged.judge, seen.features)
    return tuple(found) or (Why(ReasonCode.LOW_RISK.value),)


def _frozen(freeze: Freeze) -> Why:
    return Why(ReasonCode.ACCOUNT_FROZEN.value, {"freeze": freeze.reference})


def _listed(each: Listed) -> Why:
    code = ReasonCode.LISTED_BLOCKED if each.effect is ListEffect.BLOCK else ReasonCode.LISTED_ALLOWED
    return Why(code.value, {"list": each.list_name, "kind": each.kind.value, "reason": each.reason})


def _contributed(judge: Judge, features: Floats) -> Sequence[Why]:
    """Return what speaks against a payment in the model's own arithmetic, with the values behind each reason."""
    shown = reasons.against(judge.explainer.explain(features), REASONS_SHOWN)
    return [
        Why(each.code.value, {"log_odds": round(each.log_odds, 4), **dict(each.features)}) for each in shown
    ]
