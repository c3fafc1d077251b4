"""The day of a merchant: its figures as arithmetic, what needs somebody, the finder, the way in, and its live parts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faces.merchant_place import Shop, open_quiet_shop
from tests.parties.conftest import PASSWORD, scope_of
from tests.web.merchant.visits import Visit, member, visit

from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import MerchantRole, OperatorRole, PersonDraft
from tongbao.payments.schema.overviews import GoneBack, Rail, Taking
from tongbao.web.merchant import today_figures as figures

NOON = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_quiet_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def owner(shop: Shop) -> AsyncIterator[Visit]:
    async with visit(shop) as made:
        yield made


def test_day_begins_at_the_midnight_of_the_merchant() -> None:
    day = figures.day_of(NOON, ZoneInfo("Asia/Shanghai"))
    assert day.from_at.astimezone(UTC) == datetime(2026, 3, 2, 16, tzinfo=UTC)
    assert (day.first_hour, day.hour) == (7 * 24, 7 * 24 + 20)


def test_day_after_a_change_of_the_clocks_is_counted_in_hours_that_passed() -> None:
    day = figures.day_of(datetime(2026, 3, 30, 12, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    assert day.first_hour == 7 * 24 - 1


def test_taken_is_compared_with_the_same_hours_a_week_ago() -> None:
    day = figures.day_of(NOON, UTC)
    hours = [
        Taking("CNY", 3, 1, 1, 1, 1_000),
        Taking("CNY", 20, 1, 1, 1, 9_000),
        Taking("CNY", day.first_hour + 2, 2, 2, 2, 1_500),
        Taking("USD", day.first_hour + 2, 1, 1, 1, 700),
    ]
    found = figures.taken(hours, day, "CNY")
    assert (found.today_minor, found.before_minor, found.before_whole_minor) == (1_500, 1_000, 10_000)
    assert found.change == pytest.approx(0.5)
    assert found.others == (("USD", 700),)
    assert len(found.by_hour) == 13


def test_taken_without_a_week_before_has_no_change() -> None:
    assert figures.taken([], figures.day_of(NOON, UTC), "CNY").change is None


def test_approval_counts_by_day() -> None:
    day = figures.day_of(NOON, UTC)
    hours = [Taking("CNY", 0, 4, 4, 2, 0), Taking("CNY", day.first_hour, 6, 4, 4, 0)]
    found = figures.approval(hours, day)
    assert (found.cases, found.value, found.by_day) == (8, 0.75, (0.5, 1.0))
    assert found.low < 0.75 < found.high
    assert figures.approval([], day).value is None


def test_back_counts_today_and_draws_the_week() -> None:
    day = figures.day_of(NOON, UTC)
    found = figures.back(
        [GoneBack("CNY", day.first_hour - 1, 1, 300, 0, 0), GoneBack("CNY", day.first_hour, 0, 0, 1, 500)],
        day,
        "CNY",
    )
    assert (found.refund_minor, found.dispute_minor, found.dispute_count) == (0, 500, 1)
    assert found.by_day == (0, 0, 0, 0, 0, 0, 300, 500)


def test_shares_leave_out_what_was_never_tried() -> None:
    rails = [Rail("card", "east", 4, 3), Rail("card", "west", 0, 0)]
    assert figures.shares(rails) == [(rails[0], 0.75)]


@given(st.integers(1, 10_000).flatmap(lambda cases: st.tuples(st.integers(0, cases), st.just(cases))))
def test_interval_holds_the_share_and_lies_within_the_possible(counts: tuple[int, int]) -> None:
    good, cases = counts
    low, high = figures.interval(good, cases)
    assert 0 <= low <= good / cases + 1e-12
    assert good / cases - 1e-12 <= high <= 1


@pytest.mark.parametrize(
    ("good", "cases", "low", "high"), [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962)]
)
def test_interval_is_that_of_wilson(good: int, cases: int, low: float, high: float) -> None:
    assert figures.interval(good, cases) == pytest.approx((low, high), abs=5e-4)


async def test_page_shows_figures_and_what_needs_somebody(owner: Visit) -> None:
    text = await owner.page("")
    for words in ("Taken today", "by this hour a week ago", "with 95% certainty", "1 refund, 1 dispute"):
        assert words in text, words
    for words in (
        "1 dispute to answer",
        "1 reservation to capture",
        "1 payment whose outcome is not known yet",
    ):
        assert words in text, words


async def test_viewer_without_payouts_sees_no_payout(shop: Shop) -> None:
    async with visit(shop, await member(shop, MerchantRole.SUPPORT)) as made:
        text = await made.page("")
        assert "Taken today" in text
        assert ("Next payout" in text) is ("payouts.read" in await _held(shop, made))


async def _held(shop: Shop, made: Visit) -> set[str]:
    token = made.http.cookies["session"]
    scope = await shop.whole.house.parties.access.scope_of_session(
        token, merchant_id=shop.tenant.merchant.merchant_id, live=False
    )
    return set(scope.permissions)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{plain}", "/payments/{plain}"),
        ("{refund}", "/refunds/{refund}"),
        ("{dispute}", "/disputes/{dispute}"),
        ("{mei}", "/customers/{mei}"),
        ("{link}", "/links/{link}"),
        ("  {plain} ", "/payments/{plain}"),
        ("an@example.com", "/payments?q=an%40example.com"),
        ("pi_../../x", "/payments?q=pi_..%2F..%2Fx"),
        ("//evil.example", "/payments?q=%2F%2Fevil.example"),
        ("", "/payments"),
    ],
)
async def test_finder_leads_to_what_is_named(shop: Shop, owner: Visit, text: str, where: str) -> None:
    answer = await owner.http.get(f"{shop.home}/find", params={"q": text.format(**shop.named)})
    assert answer.status_code == 303
    assert answer.headers["location"] == shop.home + where.format(**shop.named)


async def test_attempt_leads_to_its_payment(shop: Shop, owner: Visit) -> None:
    view = await shop.whole.house.payments.intents.get(
        shop.tenant.scope, parse_uuid("pi", shop.named["plain"])
    )
    assert view.attempt is not None
    answer = await owner.http.get(f"{shop.home}/find", params={"q": view.attempt.reference})
    assert answer.headers["location"] == f"{shop.home}/payments/{shop.named['plain']}"


async def test_way_in_leads_to_the_only_merchant_or_lets_choose(shop: Shop, owner: Visit) -> None:
    answer = await owner.http.get("/merchant")
    assert answer.headers["location"] == shop.home
    nobody = await shop.whole.people.staff(OperatorRole.RISK, PASSWORD)
    async with visit(shop, nobody) as made:
        assert "You belong to no merchant yet" in (await made.http.get("/merchant")).text
    both = await member(shop, MerchantRole.OWNER)
    second = await shop.whole.tenant()
    async with shop.whole.house.runtime.database.transaction() as connection:
        await shop.whole.house.parties.people.join(
            connection,
            scope_of(second.merchant),
            PersonDraft(email=both.email, name=both.name),
            MerchantRole.VIEWER,
        )
    async with visit(shop, both) as made:
        text = (await made.http.get("/merchant")).text
        assert text.count("Tea House") >= 2


@pytest.mark.parametrize("query", ["", "?channels=secrets", "?channels=latest,secrets"])
async def test_stream_of_what_is_no_part_is_refused(owner: Visit, query: str) -> None:
    assert (await owner.answer(f"/stream{query}")).status_code == 404
