"""What a time would have cost by a draft, on real movements, against sums worked out by hand."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.clearing import fee_oracle

from tongbao.clearing.policy.fees import compile_schedule
from tongbao.clearing.policy.price_simulation import Sides, Simulator
from tongbao.clearing.policy.price_timeline import Timeline
from tongbao.clearing.policy.pricing import Seller
from tongbao.clearing.schema.agreements import Agreement
from tongbao.clearing.schema.fees import Charge, Match, Priceable, ScheduleSpec, Tier
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.schema.schedules import MOVED_MAX, PastMovement, Role, Simulation, Sums
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.prices import Prices
from tongbao.clearing.service.simulating import Simulating, Span
from tongbao.clearing.store import movements as store
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest

NOW = datetime(2026, 4, 10, tzinfo=UTC)
MARCH = Span(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
HALFWAY = datetime(2026, 3, 16, tzinfo=UTC)


class Known:
    """Sellers of this test."""

    async def seller(self, book_id: int) -> Seller:
        return Seller(country="CN", package="basic", mcc="5411")


def charge(name: str, rate_e6: int, **fields: Any) -> dict[str, Any]:
    return {"name": name, "tiers": [{"rate_e6": rate_e6}]} | fields


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def prices(database: Database, clock: FrozenClock) -> Prices:
    return Prices(database, clock)


@pytest.fixture
def simulating(database: Database, clock: FrozenClock, prices: Prices) -> Simulating:
    return Simulating(database, clock, prices, Agreements(database, clock), Known())


class Till:
    """Writes movements of one book."""

    def __init__(self, database: Database, book_id: int) -> None:
        self._database = database
        self._book_id = book_id
        self._rows: list[Movement] = []

    def add(
        self, kind: MovementKind, amount_minor: int, at: datetime, payment: int = 0, **fields: Any
    ) -> None:
        number = len(self._rows) + 1
        ids = [UUID(int=(self._book_id << 64) + (number << 8) + place) for place in range(3)]
        values: dict[str, Any] = {"channel": "mock", "method": "card", "currency": "CNY", "live": True}
        self._rows.append(
            Movement(
                id=ids[0],
                book_id=self._book_id,
                kind=kind,
                transfer_key=ids[1],
                source_id=ids[2],
                intent_id=UUID(int=(self._book_id << 64) + (payment << 32)) if payment else None,
                amount_minor=amount_minor,
                reference="",
                channel_reference=None,
                occurred_at=at,
                recorded_at=at,
                cut_at=at,
                payout_on=at.date(),
                **(values | fields),
            )
        )

    async def write(self) -> None:
        async with self._database.transaction() as connection:
            await store.write(connection, self._rows)


async def agreed(database: Database, book_id: int, **fields: Any) -> None:
    agreements = Agreements(database, FrozenClock(datetime(2026, 1, 1, tzinfo=UTC)))
    await agreements.make(book_id, "CNY", Agreement(zone="UTC", **fields), actor="ann", note="test")


async def simulated(
    prices: Prices, simulating: Simulating, name: str, *charges: dict[str, Any], span: Span = MARCH
) -> Simulation:
    draft = await prices.draft(name, {"charges": list(charges)}, "", "ann")
    found = (await simulating.simulate(name, draft.version, span, "ann")).simulation
    assert found is not None
    return found


async def publish(prices: Prices, simulating: Simulating, name: str, at: datetime, rate_e6: int) -> None:
    draft = await prices.draft(name, {"charges": [charge("fee", rate_e6, on_refund="returned")]}, "", "ann")
    await simulating.simulate(name, draft.version, MARCH, "ann")
    await prices.publish(name, draft.version, at, "ben")


async def test_simulate_a_month_adds_up_old_and_new_with_refunds_and_volume_before(
    database: Database, prices: Prices, simulating: Simulating
) -> None:
    await agreed(database, 101, schedule="sim")
    await publish(prices, simulating, "sim", datetime(2026, 1, 1, tzinfo=UTC), 10_000)
    till = Till(database, 101)
    day = timedelta(days=1)
    till.add(MovementKind.SALE, 5_000_000, MARCH.start_at - day, payment=1)
    till.add(MovementKind.SALE, 1_000_000, MARCH.start_at, payment=2)
    till.add(MovementKind.SALE, 400_000, MARCH.start_at + day, payment=3, method="alipay")
    till.add(MovementKind.REFUND, -100_000, MARCH.start_at + 2 * day, payment=3, method="alipay")
    till.add(MovementKind.REFUND, -5_000, MARCH.start_at + 3 * day, payment=1)
    till.add(MovementKind.SALE, 777, MARCH.start_at + day, payment=4, live=False)
    till.add(MovementKind.SALE, 888, MARCH.until_at, payment=5)
    await till.write()
    cheaper = charge("fee", 5_000, on_refund="returned", match={"currencies": ["CNY"]})
    cheaper["tiers"] = [{"rate_e6": 10_000}, {"from_minor": 1_000_000, "rate_e6": 5_000}]
    per_refund = {
        "name": "refund_fee",
        "match": {"kinds": ["refund"], "currencies": ["CNY"]},
        "tiers": [{"fixed_minor": {"CNY": 50}}],
    }
    found = await simulated(prices, simulating, "sim", cheaper, per_refund)
    # Old: 1 % of 1,400,000 less a quarter of 4,000. New: 10,000 and 0.5 % of 400,000, less a quarter of it, and two refunds.
    (total,) = found.totals
    assert (total.count, total.amount_minor) == (4, 1_400_000)
    assert (total.old.merchant_minor, total.new.merchant_minor) == (13_000, 10_000 + 2_000 - 500 + 100)
    assert (found.count, found.left_out_count, found.raised_count, found.lowered_count) == (4, 1, 0, 1)
    by_method = {
        line.key: (line.count, line.old.merchant_minor, line.new.merchant_minor) for line in found.methods
    }
    assert by_method == {"card": (2, 10_000, 10_050), "alipay": (2, 3_000, 1_550)}
    by_charge = {line.name: (line.old_minor, line.new_minor) for line in found.charges}
    assert by_charge == {"fee": (13_000, 11_500), "refund_fee": (0, 100)}
    assert [(line.key, line.new.merchant_minor) for line in found.moved] == [("101", 11_600)]
    assert found.known == 1


async def test_simulate_prices_the_old_side_by_the_versions_of_each_day(
    database: Database, prices: Prices, simulating: Simulating
) -> None:
    await agreed(database, 201, schedule="days")
    # What holds was published before: the clock of the publisher stood earlier.
    early = Prices(database, FrozenClock(datetime(2026, 3, 2, tzinfo=UTC)))
    span = Span(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    before = Simulating(
        database,
        FrozenClock(datetime(2026, 3, 2, tzinfo=UTC)),
        early,
        Agreements(database, FrozenClock(NOW)),
        Known(),
    )
    for rate, at in ((10_000, datetime(2026, 1, 1, tzinfo=UTC)), (20_000, HALFWAY)):
        draft = await early.draft("days", {"charges": [charge("fee", rate)]}, "", "ann")
        await before.simulate("days", draft.version, span, "ann")
        await early.publish("days", draft.version, at, "ben")
    till = Till(database, 201)
    till.add(MovementKind.SALE, 1_000_000, HALFWAY - timedelta(seconds=1), payment=1)
    till.add(MovementKind.SALE, 1_000_000, HALFWAY, payment=2)
    till.add(MovementKind.REFUND, -1_000_000, HALFWAY, payment=1)
    await till.write()
    found = await simulated(prices, simulating, "days", charge("fee", 15_000))
    assert (found.totals[0].old, found.totals[0].new) == (
        Sums(merchant_minor=30_000),
        Sums(merchant_minor=30_000),
    )
    assert (found.raised_count, found.lowered_count, found.moved, found.known) == (0, 0, (), 2)


async def test_simulate_a_list_of_commissions_moves_the_agents_side_only(
    database: Database, prices: Prices, simulating: Simulating
) -> None:
    await agreed(database, 301, schedule="with_agent", agent_schedule="agents/sim")
    await publish(prices, simulating, "with_agent", datetime(2026, 1, 1, tzinfo=UTC), 10_000)
    till = Till(database, 301)
    till.add(MovementKind.SALE, 1_000_000, HALFWAY, payment=1)
    await till.write()
    share = charge("share", 35_000, bearer="agent", basis="fee")
    found = await simulated(prices, simulating, "agents/sim", share)
    (line,) = found.moved
    assert (line.old.agent_minor, line.new.agent_minor, line.new.merchant_minor) == (0, 350, 10_000)
    assert line.new.margin_minor == 9_650
    assert found.raised_count == 1


async def test_simulate_a_list_that_nobody_agreed_on_costs_nothing(
    prices: Prices, simulating: Simulating
) -> None:
    found = await simulated(prices, simulating, "nobody", charge("fee", 1))
    assert (found.count, found.totals) == (0, ())


async def test_simulate_half_a_month_knows_what_was_sold_before_and_all_that_is_priced_by_the_house(
    database: Database, prices: Prices, simulating: Simulating
) -> None:
    await prices.install()
    till = Till(database, 401)
    till.add(MovementKind.SALE, 700_000, HALFWAY - timedelta(days=2), payment=1)
    till.add(MovementKind.SALE, 100_000, HALFWAY, payment=2)
    await till.write()
    stepped = charge("fee", 0, match={"currencies": ["CNY"]})
    stepped["tiers"] = [{"rate_e6": 6_000}, {"from_minor": 700_000, "rate_e6": 5_000}]
    span = Span(HALFWAY, MARCH.until_at)
    found = await simulated(prices, simulating, "house", stepped, span=span)
    assert [(line.key, line.old.merchant_minor, line.new.merchant_minor) for line in found.moved] == [
        ("401", 600, 500)
    ]
    assert (found.count, found.left_out_count) == (1, 0)


async def test_simulate_what_cannot_be_is_refused(prices: Prices, simulating: Simulating) -> None:
    await prices.draft("bad", {"charges": [charge("fee", 1)]}, "", "ann")
    for span in (
        Span(MARCH.until_at, MARCH.start_at),
        Span(MARCH.start_at, NOW + timedelta(seconds=1)),
        Span(NOW - timedelta(days=401), NOW),
    ):
        with pytest.raises(InvalidRequest, match="simulation_time_invalid"):
            await simulating.simulate("bad", 1, span, "ann")
    await prices.withdraw("bad", 1, "no", "ann")
    with pytest.raises(Conflict, match="schedule_no_draft"):
        await simulating.simulate("bad", 1, MARCH, "ann")


def test_simulate_many_merchants_equals_the_oracle_and_names_the_ten_that_move_most() -> None:
    drawn = random.Random(7)
    steps = (Tier(rate_e6=9_000), Tier(from_minor=500_000, rate_e6=7_000))
    old = ScheduleSpec(charges=(Charge(name="fee", tiers=(Tier(rate_e6=8_000),)),))
    new = ScheduleSpec(charges=(Charge(name="fee", match=Match(currencies=("CNY",)), tiers=steps),))
    both = [
        Timeline((MARCH.start_at,), (compile_schedule("x", number, each),))
        for number, each in enumerate((old, new))
    ]
    simulator = Simulator(MARCH.start_at, Role.MERCHANTS)
    changes: dict[int, int] = {}
    for book_id in range(1, 40):
        volume = 0
        for number in range(drawn.randrange(1, 30)):
            amount = drawn.randrange(1, 90_000)
            at = MARCH.start_at + timedelta(hours=number)
            simulator.take(past(book_id, amount, at), at.date(), Seller(), Sides(both[0], both[1]))
            told = [
                sum(part[2] for part in fee_oracle.price(each, priceable(amount, at, volume)))
                for each in (old, new)
            ]
            changes[book_id] = changes.get(book_id, 0) + told[1] - told[0]
            volume += amount
    (total,) = simulator.totals()
    assert total.new.merchant_minor - total.old.merchant_minor == sum(changes.values())
    most = sorted(changes, key=lambda book: (-abs(changes[book]), book))[:MOVED_MAX]
    assert [int(line.key) for line in simulator.moved()] == most
    assert simulator.raised_count == sum(change > 0 for change in changes.values())
    assert simulator.lowered_count == sum(change < 0 for change in changes.values())


def past(book_id: int, amount_minor: int, at: datetime) -> PastMovement:
    return PastMovement(
        book_id=book_id,
        currency="CNY",
        kind=MovementKind.SALE,
        amount_minor=amount_minor,
        intent_id=None,
        occurred_at=at,
        method="card",
        channel="mock",
        brand="",
        funding="",
        card_country="",
        store="",
        is_refunded=False,
    )


def priceable(amount_minor: int, at: datetime, volume_minor: int) -> Priceable:
    return Priceable(
        kind="sale",
        amount_minor=amount_minor,
        currency="CNY",
        on=at.date(),
        volume_minor=volume_minor,
        method="card",
        channel="mock",
    )
