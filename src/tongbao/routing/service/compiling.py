"""From the specification of a routing policy to what decides with it; done once a version and process."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.routing.models import prior as priors
from tongbao.routing.models.prior import EMPTY, Prior
from tongbao.routing.policy import costs, rules_text
from tongbao.routing.policy.pricing import Pricing
from tongbao.routing.policy.reckoning import Book
from tongbao.routing.policy.rules import Rules
from tongbao.routing.schema.spec import CHANNELS_MAX, RoutingSpec, Strategy

POLICY = "routing"
"""The house's policy; a merchant's own is ``routing/`` and the number of its book."""
FLOOR_MAX = 0.05
MARGIN_BPS_MAX = 10_000


class Compiled(NamedTuple):
    """A specification that was checked, with its rules ready to be applied and its context prior ready to be asked."""

    book: Book
    prior: Prior = EMPTY

    @property
    def spec(self) -> RoutingSpec:
        """The specification."""
        return self.book.spec

    @property
    def rules(self) -> Rules:
        """Its rules."""
        return self.book.rules


DEFAULT = Compiled(Book(RoutingSpec(), Rules(), Pricing(RoutingSpec())))
"""What decides before anybody has published a policy: the learned strategy without terms and rules, version 0."""


def policy_of(book_id: int) -> str:
    """Return the name of a merchant's own routing policy."""
    return f"{POLICY}/{book_id}"


def compile_spec(spec: dict[str, Any], channels: Collection[str]) -> Compiled:
    """Return what decides by ``spec``; ``channels`` are the routes of the house.

    Raises InvalidRequest ``policy_spec_invalid`` with the path of what is wrong, ``rules_invalid``, ``costs_invalid``.
    """
    try:
        read = msgspec.convert(spec, RoutingSpec)
    except msgspec.ValidationError as error:
        raise _wrong("", str(error)) from error
    _check(read, channels)
    for name, terms in read.costs.items():
        try:
            costs.check(terms)
        except InvalidRequest as error:
            raise _wrong(f"costs.{name}.{error.facts.get('field', '')}", error.detail) from error
    try:
        priors.check(read.prior)
    except InvalidRequest as error:
        raise _wrong(f"prior.{error.facts['channel']}", error.detail) from error
    book = Book(read, rules_text.parse(read.rules, channels), Pricing(read))
    return Compiled(book, Prior(read.prior) if read.prior else EMPTY)


def compile_rules(text: str, channels: Collection[str]) -> Rules:
    """Return rules that were read from text and may name ``channels``; raise InvalidRequest ``rules_invalid``."""
    return rules_text.parse(text, channels)


def canonical_rules(rules: Rules) -> str:
    """Return the text in which rules are kept; reading it gives equal rules."""
    return rules_text.format_rules(rules)


def checker(channels: Collection[str]) -> Callable[[dict[str, Any]], None]:
    """Return what the registry checks drafts of routing policies with."""

    def check(spec: dict[str, Any]) -> None:
        compile_spec(spec, channels)

    return check


def _check(spec: RoutingSpec, channels: Collection[str]) -> None:
    named = {
        "order": spec.order,
        "weights": spec.weights,
        "costs": spec.costs,
        "commitments": spec.commitments,
        "caps": spec.caps,
        "upstreams": [name for group in spec.upstreams.values() for name in group],
        "prior": spec.prior,
    }
    for path, names in named.items():
        unknown = sorted(set(names) - set(channels))
        if unknown or len(names) > CHANNELS_MAX:
            raise _wrong(path, f"no channels {', '.join(unknown)}; there are {', '.join(sorted(channels))}")
    if spec.strategy is Strategy.SPLIT and not any(weight > 0 for weight in spec.weights.values()):
        raise _wrong("weights", "a split needs a channel with a positive weight")
    if any(weight < 0 for weight in spec.weights.values()):
        raise _wrong("weights", "a weight is not negative")
    if not 0 <= spec.explore_floor <= FLOOR_MAX:
        raise _wrong("explore_floor", f"a floor of exploration is 0 to {FLOOR_MAX}")
    if not 0 <= spec.margin_bps <= MARGIN_BPS_MAX or spec.retry_cost_minor < 0:
        raise _wrong(
            "margin_bps", f"a margin is 0 to {MARGIN_BPS_MAX} basis points, a retry's cost not negative"
        )


def _wrong(path: str, detail: str) -> InvalidRequest:
    return InvalidRequest("policy_spec_invalid", detail, path=path)
