"""Whom risk control bothers: counts are right, small groups are not told, and what stands apart does so beyond chance."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk.case_house import House

from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.fairness import Told, group_counts, shares
from tongbao.risk.policy.model_card import GROUP_COUNT_MIN
from tongbao.risk.schema.fairness import COUNTRIES_MAX, Segment
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.fairness import DUE, FairnessReading, group_words, segment_words

COUNTRY, CUSTOMER, AMOUNT = range(3)


def told(
    tier: Tier = Tier.FRICTIONLESS,
    country: str = "DE",
    *,
    value: int = 5_000,
    known: bool | None = True,
    good: bool | None = True,
) -> Told:
    return Told(tier, value, country, known, good)


def test_shares_and_false_positives_are_counted_by_group() -> None:
    payments = [told()] * 150 + [told(Tier.STEP_UP)] * 40 + [told(Tier.DECLINE, good=None)] * 10
    (group,) = shares(payments)[COUNTRY].groups
    assert (group.group, group.count, group.good_count, group.false_count) == ("DE", 200, 190, 40)
    assert group.step_up is not None
    assert group.false is not None
    assert (group.step_up.value, group.false.value) == (0.2, 40 / 190)
    assert group.step_up.low < 0.2 < group.step_up.high


def test_group_that_is_bothered_beyond_chance_is_marked() -> None:
    fair = [told()] * 380 + [told(Tier.STEP_UP)] * 20
    hard = [told(country="FR")] * 300 + [told(Tier.STEP_UP, "FR")] * 100
    near = [told(country="IT")] * 377 + [told(Tier.STEP_UP, "IT")] * 23
    found = shares(fair + hard + near)[COUNTRY]
    assert found.marked == {"FR"}
    assert found.ratio == 0.05 / 0.25
    assert {each.group for each in group_counts([found])} == {
        f"card_country {code}" for code in ("DE", "FR", "IT")
    }


def test_bands_customers_and_countries_without_a_name_have_groups_of_their_own() -> None:
    payments = [told(value=value) for value in (1_999, 2_000, 9_999, 10_000, 50_000)]
    assert [each.group for each in shares(payments)[AMOUNT].groups] == [
        "below 20",
        "20 to 100",
        "100 to 500",
        "500 and more",
    ]
    found = shares([told(known=True), told(known=False), told(country="", known=None)])
    assert {each.group for each in found[CUSTOMER].groups} == {"known", "new", "unknown"}
    assert {each.group for each in found[COUNTRY].groups} == {"others", "unknown"}
    for language in ("en", "zh-CN"):
        assert all(segment_words(each, language) for each in Segment)
    assert group_words("new", "zh") == "新客户"
    assert group_words("DE", "en") == "DE"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Tier)), st.sampled_from([f"{a}{b}" for a in "ABCDE" for b in "ABCDE"])
        ),
        max_size=60,
    ),
    st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_every_payment_is_in_one_group_and_small_groups_are_not_told(
    rows: list[tuple[Tier, str]], times: int
) -> None:
    payments = [told(tier, country) for tier, country in rows] * times
    for of in shares(payments):
        assert sum(each.count for each in of.groups) == len(payments)
        assert all((each.step_up is None) == (each.count < GROUP_COUNT_MIN) for each in of.groups)
    assert len(shares(payments)[COUNTRY].groups) <= COUNTRIES_MAX + 2


async def test_payments_of_the_log_are_read_with_what_is_known_of_them(
    database: Database, ids: IdFactory
) -> None:
    house = House(database, ids)
    book_id = ids.int63()
    reading = FairnessReading(database, house.clock)
    twice = f"twice-{book_id}"
    payments = [
        house.known(book_id=book_id, customer=twice, tier=Tier.FRICTIONLESS, is_approved=True),
        house.known(book_id=book_id, customer=twice, tier=Tier.STEP_UP, is_fraud=False),
        house.known(book_id=book_id, customer=f"once-{book_id}", tier=Tier.REVIEW, is_fraud=True),
        house.known(book_id=book_id, customer="", tier=Tier.DECLINE),
    ]
    await house.write(*payments)
    live = payments[0].signals.live
    found = await reading.look(live=live, book_id=book_id)
    # A payment without a label is good once it had the time to get one.
    assert (found.payment_count, found.good_count, found.is_partial) == (4, 1, False)
    assert {each.group: each.count for each in found.segments[CUSTOMER].groups} == {
        "new": 2,
        "known": 1,
        "unknown": 1,
    }
    house.clock.advance(DUE + timedelta(hours=1))
    assert (await reading.look(live=live, book_id=book_id)).good_count == 2
    assert (await reading.look(live=not live, book_id=book_id)).payment_count == 0
