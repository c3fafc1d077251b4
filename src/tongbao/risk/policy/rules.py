"""Rules of risk control, one a block, in words.

    # Whatever is above a rule and begins with # belongs to it.
    card testing: when card_count_1h > 5 and amount < 5 EUR
        then decline because "many small payments in an hour" owner mei until 2027-01-31 share 50
        test "six in an hour": card_count_1h = 6, amount = 3 EUR -> matches
        test "two cards": card_count_1h = 2, amount = 3 EUR -> does not match

A rule has a name, a condition in the language of ``policy.language``, an act, a reason (``because``) and an ``owner``; in
any order may follow ``until`` (the first day in UTC on which it is gone), ``share`` (whole percent of payments) and
``draft``. Its tests stand below it, their form in ``policy.rules_tests``.

A rule matches a payment where its condition holds, it has not expired, and the payment is in its share: the first bits
of SHA-256 over the rule's name and the payment, so a share that grows takes payments in and lets none go. Rules that
match, drafts and ``watch`` left out, act. The law of their acts:

- ``step_up``, ``review`` and ``decline`` are floors: the payment gets at least that tier. The strictest floor wins.
- ``allow`` sets the score aside: the tier is then that of the floors alone, ``frictionless`` where there is none. It
  lifts no floor, neither one of a rule nor one of a block list or a freeze.
- So the tier is max(score's tier unless allowed, floors). The order of rules means nothing; one more rule that is no
  ``allow`` never lowers a tier, one more ``allow`` never raises one; drafts, ``watch`` and expired rules change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

from tongbao.decisions.policy.expressions import Compiled
from tongbao.decisions.policy.rollout import bucket
from tongbao.risk.schema.rules import Act, Hit
from tongbao.risk.schema.tiers import Tier

PERCENT = 100


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test of one rule: ``values`` by field as written, None for unknown; ``is_match`` says what is expected."""

    name: str
    values: tuple[tuple[str, object], ...]
    is_match: bool


@dataclass(frozen=True)
class Rule:
    """One rule. ``until``: the first day (UTC) on which it is gone; ``share``: percent of payments, 1 to 100."""

    name: str
    when: Compiled
    act: Act
    because: str
    owner: str
    until: date | None = None
    share: int = PERCENT
    is_draft: bool = False
    tests: tuple[RuleTest, ...] = ()
    comments: tuple[str, ...] = ()

    @cached_property
    def hit(self) -> Hit:
        """What is told where it matches."""
        return Hit(self.name, self.act, self.because, self.is_draft)

    def is_in_force(self, at: datetime) -> bool:
        """Return whether it has not expired at ``at``."""
        return self.until is None or at.astimezone(UTC).date() < self.until

    def takes(self, unit: str) -> bool:
        """Return whether the payment ``unit`` is in the rule's share. Cost: a SHA-256 where the share is not whole."""
        return self.share == PERCENT or bucket(f"rule:{self.name}", unit) * PERCENT < self.share


@dataclass(frozen=True)
class Rules:
    """The rules of a policy as they were written; ``comments`` stand after the last one."""

    rules: tuple[Rule, ...] = ()
    comments: tuple[str, ...] = ()

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that any condition uses: what values have to hold."""
        return frozenset[str]().union(*(rule.when.fields for rule in self.rules))


@dataclass(frozen=True, slots=True)
class Applied:
    """What rules say of a payment.

    ``tier``: the strictest tier that an act demands, frictionless where only ``allow`` acts, None where none acts.
    ``is_score_set_aside``: an ``allow`` acts. ``hits``: every rule that matched, in the order written.
    """

    tier: Tier | None = None
    is_score_set_aside: bool = False
    hits: tuple[Hit, ...] = ()

    @property
    def floor(self) -> Tier:
        """The least that the payment gets."""
        return self.tier or Tier.FRICTIONLESS

    @property
    def ceiling(self) -> Tier:
        """The most that a score may give it; where the floor is higher, the floor holds."""
        return Tier.FRICTIONLESS if self.is_score_set_aside else Tier.DECLINE

    def over(self, scored: Tier) -> Tier:
        """Return the tier of a payment to which score and costs alone would give ``scored``."""
        return stricter(self.floor, Tier.FRICTIONLESS if self.is_score_set_aside else scored)


_NOTHING = Applied()


def stricter(one: Tier, other: Tier) -> Tier:
    """Return the stricter of two tiers."""
    return one if one.strictness >= other.strictness else other


def apply(rules: Rules, values: Mapping[str, object], at: datetime, unit: str) -> Applied:
    """Return what ``rules`` say of the payment ``unit`` at ``at``, from the values of at least ``rules.fields``."""
    hits = tuple(
        [
            rule.hit
            for rule in rules.rules
            if rule.when.test(values) and rule.is_in_force(at) and rule.takes(unit)
        ]
    )
    return settled(hits) if hits else _NOTHING


def settled(hits: tuple[Hit, ...]) -> Applied:
    """Return what rules say together that matched one payment."""
    acts = [hit.act for hit in hits if not hit.is_draft]
    tiers = [tier for act in acts if (tier := act.tier) is not None]
    return Applied(
        tier=max(tiers, key=lambda tier: tier.strictness, default=None),
        is_score_set_aside=Act.ALLOW in acts,
        hits=hits,
    )
