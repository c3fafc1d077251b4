"""Drafted summaries: every number in them is a fact, both languages, and the suggestion follows from the evidence."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.risk.case_house import AT, case_file, judged

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.case_opening import payment_of
from tongbao.risk.policy.case_priority import stakes_of
from tongbao.risk.policy.case_summary import (
    FRAUD_MIN,
    GENUINE_MAX,
    KNOWN_FRAUD_CHANCE,
    Before,
    Draft,
    SummaryFacts,
    draft_of,
    estimate,
    suggested,
)
from tongbao.risk.policy.case_texts import (
    ACTS,
    CAUSES,
    CONFIDENCES,
    DISPOSITIONS,
    ENTITIES,
    SEVERITIES,
    STATES,
    TIERS,
    Confidence,
    confidence_of,
    money,
    reason_text,
)
from tongbao.risk.policy.neighborhood import Neighborhood, Web, drawn
from tongbao.risk.schema.cases import (
    CaseAct,
    CaseState,
    Cause,
    Disposition,
    EntityKey,
    Known,
    Severity,
    Tally,
)
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier

CARD = EntityKey(Entity.CARD, "card_a")
DEVICE = EntityKey(Entity.DEVICE, "device_bad")
SHOP = EntityKey(Entity.MERCHANT, "shop")


def web_of(device_frauds: int, shop_frauds: int = 0) -> Neighborhood:
    web = Web(((CARD, 0), (DEVICE, 1), (SHOP, 1)), (), 0)
    return drawn(web, {DEVICE: Tally(12, device_frauds), SHOP: Tally(900, shop_frauds)}, ())


def facts_of(
    payments: list[Known], *, frauds: int = 0, shop_frauds: int = 0, before: Before | None = None
) -> SummaryFacts:
    looks = [payment_of(each) for each in payments]
    chances = [each.score or 0.0 for each in payments]
    case = case_file(stakes=stakes_of(looks), chance_max=max(chances, default=0.0), payment_count=len(looks))
    return SummaryFacts(
        case=case,
        payments=tuple(payments),
        web=web_of(frauds, shop_frauds),
        before=before or Before(),
    )


def drafted(facts: SummaryFacts, language: str = "en") -> Draft:
    return draft_of(facts, language, lambda code: reason_text(code, language))


SPREE = [
    judged(1, score=0.4, reasons=("spree", "new_device"), rules=("night spree",)),
    judged(2, score=0.87, reasons=("spree",), value=250_050, tier=Tier.DECLINE),
    judged(3, score=0.2, reasons=("spree", "familiar"), tier=Tier.FRICTIONLESS, is_passed=True),
]


def test_draft_tells_what_happened_why_who_and_how_much() -> None:
    text = drafted(facts_of(SPREE, frauds=3, before=Before(count=40, fraud_count=22, genuine_count=11))).text
    for said in (
        "Payments of Card card_a that stood out between 2026-03-02 12:00 and 2026-03-02 12:00 (UTC): 3, over 2,700.50 EUR",
        "1 held for review, 1 declined, 1 let through",
        "Several unusually large payments within days (3 of 3); The device is new, or devices change often (1 of 3). "
        "Highest chance of fraud: 87 %.",
        "Rules that matched: night spree.",
        "Entities met over two hops: 2; known from fraud: Device ce_bad (3 of 12).",
        "2,700.50 EUR, of which 100.00 EUR waits",
        "payments proved by the payer: 1, familiar payments: 1",
        "Cases of this kind closed lately: 40, of which fraud 22, genuine 11.",
        "it counts once an analyst has signed it",
    ):
        assert said in text, said


def test_draft_in_chinese_holds_the_same_figures() -> None:
    text = drafted(facts_of(SPREE, frauds=3), "zh-CN").text
    for said in (
        "卡 card_a 有 3 笔付款异常",
        "2,700.50 EUR",
        "数日内出现多笔异常大额付款（3/3）；",
        "87 %",
        "设备 ce_bad（3/12 笔）",
        "签署后生效",
    ):
        assert said in text, said
    assert text.count("\n\n") == drafted(facts_of(SPREE, frauds=3)).text.count("\n\n")


def test_draft_without_reasons_or_evidence_says_so() -> None:
    text = drafted(facts_of([judged(score=None)], frauds=1)).text
    assert "No reason was recorded" in text
    assert "What speaks for genuine. Nothing that is known." in text
    assert "closed lately" not in text


@pytest.mark.parametrize(
    ("payments", "frauds", "suggestion"),
    [
        ([judged(score=0.8)], 0, Disposition.FRAUD),
        ([judged(score=0.4)], 0, Disposition.INCONCLUSIVE),
        ([judged(score=0.4)], 2, Disposition.FRAUD),
        ([judged(score=0.4, is_passed=True)], 0, Disposition.GENUINE),
        ([judged(score=0.01)], 0, Disposition.GENUINE),
        ([judged(score=0.01, is_fraud=True)], 0, Disposition.FRAUD),
        ([judged(score=0.6, is_passed=False)], 0, Disposition.FRAUD),
        ([judged(score=0.6, reasons=("familiar",))], 0, Disposition.INCONCLUSIVE),
    ],
)
def test_suggestion_follows_from_the_evidence(
    payments: list[Known], frauds: int, suggestion: Disposition
) -> None:
    assert drafted(facts_of(payments, frauds=frauds)).suggestion is suggestion


def test_fraud_at_a_hub_is_no_evidence() -> None:
    payments = [judged(score=0.4)]
    assert estimate(facts_of(payments, shop_frauds=30)) == estimate(facts_of(payments))


@given(st.floats(0, 1), st.booleans(), st.sampled_from([None, True, False]), st.booleans())
def test_estimate_is_a_chance_that_rises_with_evidence_against(
    score: float, linked: bool, is_passed: bool | None, is_familiar: bool
) -> None:
    reasons = ("familiar",) if is_familiar else ()
    one = judged(score=score, is_passed=is_passed, reasons=reasons)
    chance = estimate(facts_of([one], frauds=int(linked)))
    assert 0 < chance < 1
    assert estimate(facts_of([one], frauds=1)) >= chance
    assert estimate(facts_of([msgspec.structs.replace(one, is_passed=True)])) <= chance
    known = estimate(facts_of([msgspec.structs.replace(one, is_fraud=True)]))
    assert known == KNOWN_FRAUD_CHANCE


def test_words_of_confidence_cover_every_chance_in_order() -> None:
    words = [confidence_of(step / 1_000) for step in range(1_001)]
    assert list(dict.fromkeys(words)) == list(reversed(Confidence))
    assert suggested(FRAUD_MIN) is Disposition.FRAUD
    assert suggested(GENUINE_MAX) is Disposition.GENUINE


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        (STATES, CaseState),
        (SEVERITIES, Severity),
        (CAUSES, Cause),
        (DISPOSITIONS, Disposition),
        (ENTITIES, Entity),
        (TIERS, Tier),
        (ACTS, CaseAct),
        (CONFIDENCES, Confidence),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_code_has_words_of_its_own_in_both_languages(
    table: dict[object, tuple[str, str]], keys: type
) -> None:
    assert set(table) == set(keys)  # type: ignore[call-overload]  # an enum class is iterable
    for column in (0, 1):
        assert len({pair[column] for pair in table.values()}) == len(table)
    assert all(pair[0].isascii() and not pair[1].isascii() for pair in table.values())


def test_texts_refuse_unknown_languages_and_pass_unknown_reasons() -> None:
    with pytest.raises(InvalidRequest, match="language_unknown"):
        drafted(facts_of(SPREE), "fr")
    assert reason_text("of_a_later_version", "en") == "of_a_later_version"
    assert (money(50_000, "JPY"), money(5, "EUR")) == ("500 JPY", "0.05 EUR")


def test_draft_of_the_same_facts_is_the_same() -> None:
    assert drafted(facts_of(SPREE)) == drafted(facts_of(SPREE))
    assert AT.isoformat() not in drafted(facts_of(SPREE)).text
