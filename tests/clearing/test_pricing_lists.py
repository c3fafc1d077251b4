"""Versions of price lists on a real database: four eyes, a simulation first, and nothing that begins in the past."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tongbao.clearing.policy.fees import joint
from tongbao.clearing.policy.price_lists import AGENTS, COSTS, MERCHANTS
from tongbao.clearing.schema.fees import Priceable
from tongbao.clearing.schema.schedules import ScheduleAct, ScheduleState, ScheduleVersion, Simulation
from tongbao.clearing.service.prices import Prices
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, NotPermitted

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MAKER, PUBLISHER = "ann", "ben"


def spec(rate_e6: int) -> dict[str, Any]:
    return {"charges": [{"name": "fee", "tiers": [{"rate_e6": rate_e6}]}]}


def simulation(known: int) -> Simulation:
    return Simulation(
        start_at=NOW - 30 * DAY,
        until_at=NOW,
        made_at=NOW,
        made_by=MAKER,
        known=known,
        count=0,
        left_out_count=0,
        raised_count=0,
        lowered_count=0,
        totals=(),
        methods=(),
        charges=(),
        moved=(),
    )


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def prices(database: Database, clock: FrozenClock) -> Prices:
    return Prices(database, clock)


async def published(prices: Prices, name: str, rate_e6: int, effective_at: datetime) -> ScheduleVersion:
    draft = await prices.draft(name, spec(rate_e6), "", MAKER)
    newest = [each for each in await prices.versions(name) if each.state is ScheduleState.PUBLISHED]
    await prices.simulated(name, draft.version, simulation(newest[0].version if newest else 0))
    return await prices.publish(name, draft.version, effective_at, PUBLISHER)


async def fee_at(prices: Prices, name: str, at: datetime) -> int:
    movement = Priceable(kind="sale", amount_minor=1_000_000, currency="CNY", on=at.date())
    return (await prices.at(name, at)).price(movement).merchant_minor


async def refusal(act: Any) -> str:
    with pytest.raises(AppError) as caught:
        await act
    return caught.value.code


async def test_draft_then_simulate_then_publish_leaves_a_trail(prices: Prices) -> None:
    draft = await prices.draft("trail", spec(6_000), "spring", MAKER)
    assert (draft.version, draft.state) == (1, ScheduleState.DRAFT)
    await prices.simulated("trail", 1, simulation(0))
    await prices.publish("trail", 1, NOW + DAY, PUBLISHER, note="agreed")
    found = await prices.version("trail", 1)
    assert [(step.act, step.actor, step.note) for step in found.history] == [
        (ScheduleAct.DRAFTED, MAKER, "spring"),
        (ScheduleAct.SIMULATED, MAKER, ""),
        (ScheduleAct.PUBLISHED, PUBLISHER, "agreed"),
    ]
    assert (found.state, found.effective_at, found.published_by, found.published_at) == (
        ScheduleState.PUBLISHED,
        NOW + DAY,
        PUBLISHER,
        NOW,
    )
    assert found.simulation == simulation(0)


async def test_draft_the_same_again_is_the_same_draft(prices: Prices) -> None:
    first = await prices.draft("again", spec(6_000), "", MAKER)
    assert await prices.draft("again", spec(6_000), "other note", "eve") == first
    assert (await prices.draft("again", spec(5_000), "", MAKER)).version == 2


async def test_at_an_instant_the_version_of_its_time_holds(prices: Prices) -> None:
    await published(prices, "times", 6_000, NOW - 100 * DAY)
    await published(prices, "times", 5_000, NOW + 10 * DAY)
    await published(prices, "times", 4_000, NOW + 5 * DAY)
    days = (-100, 0, 4, 5, 9, 10, 50)
    fees = [await fee_at(prices, "times", NOW + day * DAY) for day in days]
    assert fees == [6_000, 6_000, 6_000, 4_000, 4_000, 5_000, 5_000]
    assert await refusal(prices.at("times", NOW - 101 * DAY)) == "schedule_unknown"
    assert await refusal(prices.at("never", NOW)) == "schedule_unknown"


async def test_publish_by_its_maker_is_refused(prices: Prices) -> None:
    await prices.draft("eyes", spec(6_000), "", MAKER)
    await prices.simulated("eyes", 1, simulation(0))
    with pytest.raises(NotPermitted, match="schedule_four_eyes"):
        await prices.publish("eyes", 1, NOW + DAY, MAKER)
    assert (await prices.version("eyes", 1)).state is ScheduleState.DRAFT


async def test_publish_without_a_simulation_or_with_an_old_one_is_refused(prices: Prices) -> None:
    await prices.draft("blind", spec(6_000), "", MAKER)
    assert await refusal(prices.publish("blind", 1, NOW, PUBLISHER)) == "schedule_not_simulated"
    await prices.draft("blind", spec(5_000), "", MAKER)
    for version in (1, 2):
        await prices.simulated("blind", version, simulation(0))
    await prices.publish("blind", 1, NOW, PUBLISHER)
    assert await refusal(prices.publish("blind", 2, NOW, PUBLISHER)) == "schedule_simulation_stale"
    await prices.simulated("blind", 2, simulation(1))
    assert (await prices.publish("blind", 2, NOW, PUBLISHER)).state is ScheduleState.PUBLISHED


async def test_publish_into_the_past_is_refused_once_there_were_prices(prices: Prices) -> None:
    await published(prices, "past", 6_000, NOW - 100 * DAY)
    draft = await prices.draft("past", spec(5_000), "", MAKER)
    await prices.simulated("past", draft.version, simulation(1))
    with pytest.raises(InvalidRequest, match="schedule_effective_past"):
        await prices.publish("past", draft.version, NOW - timedelta(seconds=1), PUBLISHER)


async def test_publish_twice_is_once(prices: Prices) -> None:
    first = await published(prices, "twice", 6_000, NOW + DAY)
    assert await prices.publish("twice", 1, NOW + DAY, PUBLISHER) == first
    assert await refusal(prices.publish("twice", 1, NOW + 2 * DAY, PUBLISHER)) == "schedule_no_draft"
    assert await refusal(prices.simulated("twice", 1, simulation(0))) == "schedule_no_draft"


async def test_publish_of_one_draft_by_many_at_once_happens_once(prices: Prices) -> None:
    await prices.draft("race", spec(6_000), "", MAKER)
    await prices.simulated("race", 1, simulation(0))
    acts = [prices.publish("race", 1, NOW + day * DAY, PUBLISHER) for day in (1, 2, 3)]
    results = await asyncio.gather(*acts, return_exceptions=True)
    assert sum(isinstance(result, ScheduleVersion) for result in results) == 1
    assert all(isinstance(result, ScheduleVersion | Conflict) for result in results)
    assert len((await prices.version("race", 1)).history) == 3


async def test_draft_by_many_at_once_numbers_each_or_says_so(prices: Prices) -> None:
    acts = [prices.draft("crowd", spec(rate), "", MAKER) for rate in (1_000, 2_000, 3_000, 4_000)]
    results = await asyncio.gather(*acts, return_exceptions=True)
    numbers = [result.version for result in results if isinstance(result, ScheduleVersion)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert all(
        isinstance(result, ScheduleVersion) or getattr(result, "code", "") == "schedule_changed"
        for result in results
    )


async def test_withdraw_before_it_takes_effect_brings_back_what_was(
    prices: Prices, clock: FrozenClock
) -> None:
    await published(prices, "back", 6_000, NOW)
    await published(prices, "back", 5_000, NOW + DAY)
    withdrawn = await prices.withdraw("back", 2, "too cheap", PUBLISHER)
    assert withdrawn.history[-1].note == "too cheap"
    assert await fee_at(prices, "back", NOW + 2 * DAY) == 6_000
    assert await prices.withdraw("back", 2, "again", PUBLISHER) == withdrawn
    assert await refusal(prices.withdraw("back", 1, "no", PUBLISHER)) == "schedule_in_force"
    assert await refusal(prices.withdraw("back", 1, "  ", PUBLISHER)) == "note_invalid"


async def test_install_the_lists_of_a_new_house_only_once(prices: Prices) -> None:
    assert (await prices.install(), await prices.install()) == (3, 0)
    early = datetime(2020, 1, 1, tzinfo=UTC)
    lists = [await prices.at(name, early) for name in (MERCHANTS, COSTS, AGENTS)]
    movement = Priceable(
        kind="sale",
        amount_minor=10_000,
        currency="EUR",
        on=early.date(),
        method="card",
        brand="visa",
        funding="debit",
        region="intra",
        package="basic",
    )
    priced = joint(*lists).price(movement)
    assert (priced.merchant_minor, priced.house_minor, priced.agent_minor) == (275, 20, 6)
    assert [name for name in await prices.names() if name.startswith("house")] == [MERCHANTS, AGENTS, COSTS]


async def test_draft_of_commissions_needs_a_fee_to_share(prices: Prices) -> None:
    share = {"name": "share", "bearer": "agent", "basis": "fee", "tiers": [{"rate_e6": 20_000}]}
    assert (await prices.draft("agents/x", {"charges": [share]}, "", MAKER)).version == 1
    nothing = share | {"match": {"kinds": ["dispute"]}}
    assert await refusal(prices.draft("agents/y", {"charges": [nothing]}, "", MAKER)) == "schedule_invalid"
    taken = share | {"name": "card_processing"}
    assert await refusal(prices.draft("agents/y", {"charges": [taken]}, "", MAKER)) == "schedule_invalid"
    assert await refusal(prices.draft("agents/x", spec(1), "", MAKER)) == "schedule_role_changed"


@pytest.mark.parametrize(
    ("name", "wrong", "note", "code"),
    [
        ("", spec(1), "", "schedule_name_invalid"),
        ("Upper", spec(1), "", "schedule_name_invalid"),
        ("/x", spec(1), "", "schedule_name_invalid"),
        ("x" * 65, spec(1), "", "schedule_name_invalid"),
        ("x", spec(1), "n" * 501, "note_invalid"),
        ("x", spec(1), "\x00", "note_invalid"),
        ("x", {"charges": [{"name": ""}]}, "", "schedule_invalid"),
        ("x", 7, "", "schedule_invalid"),
    ],
)
async def test_draft_of_bad_input_is_refused(
    prices: Prices, name: str, wrong: object, note: str, code: str
) -> None:
    assert await refusal(prices.draft(name, wrong, note, MAKER)) == code
    assert await refusal(prices.version("x", 1)) == "schedule_unknown"


async def test_diff_tells_what_a_draft_changes_against_what_holds(prices: Prices) -> None:
    await published(prices, "words", 6_000, NOW)
    await prices.draft("words", spec(5_500), "", MAKER)
    assert await prices.diff("words", 2, "en") == ("Changed: fee (for sale): price from 0.6 % to 0.55 %.",)
    assert await prices.diff("words", 2, "zh-CN", against=1) == (
        "修改：fee（适用于 sale）：价格由“0.6 %”改为“0.55 %”。",
    )
    assert (await prices.diff("words", 1, "en", against=1)) == ("Nothing differs.",)
    with pytest.raises(NotFound, match="schedule_unknown"):
        await prices.diff("words", 9, "en")


async def test_versions_come_newest_first_in_pages(prices: Prices) -> None:
    for rate in (1, 2, 3):
        await prices.draft("pages", spec(rate), "", MAKER)
    assert [each.version for each in await prices.versions("pages", limit=2)] == [3, 2]
    assert [each.version for each in await prices.versions("pages", before=2)] == [1]
    assert msgspec.json.decode(msgspec.json.encode((await prices.versions("pages"))[2].spec)) == spec(1)
