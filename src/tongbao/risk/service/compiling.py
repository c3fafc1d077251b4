"""From the specification of a risk policy to what decides with it; done once a version and process."""

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NamedTuple

import msgspec

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy import rules_tests, rules_text
from tongbao.risk.policy.exploring import Exploring
from tongbao.risk.policy.rules import Rules
from tongbao.risk.policy.tiering import Range, Terms, terms_of
from tongbao.risk.schema.spec import RiskSpec
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.shelf import kept

POLICY = "risk"
JUDGEMENT_PRICE = 400.0
"""What a step-up or review costs more, in hundredths, while no trained model scores: the built-in scorecard is a judgement
whose chances nobody has measured, and good payments are not to pay for that."""
_PLACE = re.compile(r"(?P<detail>.*) - at `\$\.(?P<path>.+)`", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<path>[^`]*)`")
_DIGEST = re.compile(r"[0-9a-f]*")


class Compiled(NamedTuple):
    """A specification that was checked: its rules, the terms of its costs, the bounds of exploration and of tiers.

    ``within`` says which tiers there are means for; rules and lists narrow it for each payment.
    """

    spec: RiskSpec
    rules: Rules
    terms: Terms
    exploring: Exploring
    within: Range


def compile_spec(spec: dict[str, Any], lists: Collection[str] | None = None) -> Compiled:
    """Return what decides by ``spec``; where ``lists`` are given, rules may ask for these and no others.

    Raises InvalidRequest ``policy_spec_invalid`` with the path of what is wrong, ``rules_invalid``.
    """
    try:
        read = msgspec.convert(spec, RiskSpec)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from error
    _check(read)
    return _compiled(read, rules_text.parse(read.rules, lists=lists))


def checker() -> Callable[[dict[str, Any]], None]:
    """Return what the registry checks drafts of risk policies with: as ``compile_spec``, and tests of rules must pass."""

    def check(spec: dict[str, Any]) -> None:
        rules_tests.check_tests(compile_spec(spec).rules)

    return check


def checker_over(database: Database) -> Callable[[dict[str, Any]], Awaitable[None]]:
    """Return what the registry of a house checks drafts with: as ``checker``, and the model must be one that is kept.

    It raises NotFound ``model_unknown``: a version that names such a model would be scored by the scorecard.
    """
    check = checker()

    async def check_with_model(spec: dict[str, Any]) -> None:
        check(spec)
        if spec.get("model"):
            await kept(database, spec["model"])

    return check_with_model


def _compiled(spec: RiskSpec, rules: Rules) -> Compiled:
    caution = 0.0 if spec.model else JUDGEMENT_PRICE
    return Compiled(
        spec,
        rules,
        terms_of(spec.costs, spec.step_up_price + caution, spec.review_price + caution),
        Exploring(spec.explore_share, spec.explore_value_max),
        Range(can_step_up=spec.can_step_up, can_review=spec.can_review),
    )


def _check(spec: RiskSpec) -> None:
    """Raise InvalidRequest ``policy_spec_invalid`` for fields that contradict each other or cannot be meant."""
    missing = {tier for tier, can in _means(spec).items() if not can}
    if spec.fallback in missing:
        raise _wrong("fallback", f"there are no means for {spec.fallback}")
    for path, price, tier in (
        ("step_up_price", spec.step_up_price, Tier.STEP_UP),
        ("review_price", spec.review_price, Tier.REVIEW),
    ):
        if price and tier in missing:
            raise _wrong(path, f"a price for {tier}, for which there are no means")
    if spec.explore_share and len(missing) == 2:
        raise _wrong("explore_share", "with neither step-ups nor reviews there is nothing to explore")
    if not _DIGEST.fullmatch(spec.model):
        raise _wrong("model", "a model is named by its digest, hexadecimal in small letters")


def _means(spec: RiskSpec) -> dict[Tier, bool]:
    return {Tier.STEP_UP: spec.can_step_up, Tier.REVIEW: spec.can_review}


def _refusal(said: str) -> InvalidRequest:
    """Return the error for what reading a specification said, with the path that it names."""
    if place := _PLACE.fullmatch(said):
        unknown = _UNKNOWN.search(place["detail"])
        return _wrong(f"{place['path']}.{unknown['path']}" if unknown else place["path"], place["detail"])
    unknown = _UNKNOWN.search(said)
    return _wrong(unknown["path"] if unknown else "", said)


def _wrong(path: str, detail: str) -> InvalidRequest:
    return InvalidRequest("policy_spec_invalid", detail, path=path)


DEFAULT = _compiled(RiskSpec(), Rules())
"""What decides before anybody has published a policy: the scorecard, published costs, no rules; version 0."""
