"""Experiments over a real database: their life, exposures that hold, news in any order, and read-outs."""

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound
from tongbao.decisions.policy import assignment, looks
from tongbao.decisions.schema.experiments import (
    EXPERIMENTS_MAX,
    MEASUREMENTS_MAX,
    Experiment,
    ExperimentDraft,
    ExperimentState,
    Measurement,
    Metric,
    Place,
    ReadoutState,
)
from tongbao.decisions.service.experiments import Experiments
from tongbao.decisions.service.units import FRESH_S_MAX
from tongbao.decisions.store import experiments as store

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BOOKS = itertools.count(1_000)
EVEN = {"control": 5_000, "treated": 5_000}


def draft(**changes: object) -> ExperimentDraft:
    fields: dict[str, object] = {
        "name": "coupon",
        "unit": "customer",
        "arms": ("control", "treated"),
        "weights_bps": EVEN,
        "metric": Metric(outcome="paid"),
    }
    return ExperimentDraft(**(fields | changes))  # type: ignore[arg-type]


@dataclass
class Lab:
    """Experiments of a fresh book, a clock that stands still, and short ways."""

    database: Database
    clock: FrozenClock
    book_id: int
    real_s: float = 0.0
    experiments: Experiments = field(init=False)

    def __post_init__(self) -> None:
        self.experiments = self.process()

    def process(self) -> Experiments:
        """Experiments as another process has them; all share this lab's clocks."""
        salts = (hashlib.sha256(f"{self.book_id}-{n}".encode()).hexdigest() for n in itertools.count())
        new_salt: Callable[[], str] = lambda: next(salts)  # noqa: E731 - a name for the type
        return Experiments(self.database, self.clock, new_salt, monotonic_s=lambda: self.real_s)

    async def run(self, **changes: object) -> Experiment:
        """Draft and start an experiment."""
        made = await self.experiments.draft(self.book_id, draft(**changes), "person:test")
        return await self.experiments.start(self.book_id, made.name, made.version)

    async def expose_many(self, count: int, name: str = "coupon", prefix: str = "cus") -> dict[str, str]:
        """Expose units and return their arms."""
        arms = {}
        for unit in (f"{prefix}_{n}" for n in range(count)):
            placed = await self.experiments.expose(self.book_id, name, unit)
            assert placed is not None
            arms[unit] = placed.arm
        return arms

    async def measure(self, values: dict[str, float], outcome: str = "paid", minutes: float = 0) -> None:
        """Measure units, some minutes after now by the clock."""
        at = self.clock.now() + timedelta(minutes=minutes)
        news = [
            Measurement(unit=unit, outcome=outcome, value=v, measured_at=at) for unit, v in values.items()
        ]
        for start in range(0, len(news), MEASUREMENTS_MAX):
            await self.experiments.measure(self.book_id, "coupon", news[start : start + MEASUREMENTS_MAX])

    async def value(self, unit: str, outcome: str = "paid") -> float:
        """The value that is kept of a unit."""
        async with self.database.connection() as connection:
            values = await store.measured(connection, self.book_id, "coupon", unit)
        return next(each.value for each in values if each.outcome == outcome)

    async def fill(self, rates: dict[str, float], count: int, prefix: str = "cus") -> dict[str, str]:
        """Expose many units at once, of which exactly a share has paid in each arm."""
        now = self.clock.now()
        current = await self.experiments.get(self.book_id, "coupon")
        plan = assignment.plan(current)
        units = [f"{prefix}_{n}" for n in range(count)]
        arms = {unit: each.arm for unit in units if (each := assignment.place(plan, unit)) is not None}
        async with self.database.transaction() as connection:
            await connection.copy_records_to_table(
                "exposure",
                schema_name="decisions",
                records=[
                    (self.book_id, "coupon", unit, current.epochs[-1].number, now, arm)
                    for unit, arm in arms.items()
                ],
                columns=["book_id", "experiment", "unit", "epoch", "exposed_at", "arm"],
            )
        for arm, rate in rates.items():
            inside = [unit for unit, its in arms.items() if its == arm]
            await self.measure(dict.fromkeys(inside[: round(rate * len(inside))], 1.0))
        return arms


@pytest.fixture
def lab(database: Database) -> Lab:
    return Lab(database, FrozenClock(NOON), next(BOOKS))


async def refused(act: object, code: str) -> AppError:
    with pytest.raises(AppError) as caught:
        await act  # type: ignore[misc]
    assert caught.value.code == code
    return caught.value


async def test_draft_starts_stops_and_concludes(lab: Lab) -> None:
    made = await lab.experiments.draft(lab.book_id, draft(note="a coupon of 5"), "person:test")
    assert (made.state, made.version, made.created_by) == (ExperimentState.DRAFT, 1, "person:test")
    assert await lab.experiments.assign(lab.book_id, "coupon", "cus_1") is None
    lab.clock.advance(timedelta(hours=1))
    started = await lab.experiments.start(lab.book_id, "coupon", 1)
    assert started.started_at == started.epochs[0].started_at == lab.clock.now()
    assert await lab.experiments.assign(lab.book_id, "coupon", "cus_1") in EVEN
    lab.clock.advance(timedelta(hours=1))
    stopped = await lab.experiments.stop(lab.book_id, "coupon", 2, "enough")
    assert (stopped.state, stopped.ended_at, stopped.note) == (
        ExperimentState.STOPPED,
        lab.clock.now(),
        "enough",
    )
    assert await lab.experiments.assign(lab.book_id, "coupon", "cus_1") is None
    assert await lab.experiments.expose(lab.book_id, "coupon", "cus_1") is None
    lab.clock.advance(timedelta(hours=1))
    concluded = await lab.experiments.conclude(lab.book_id, "coupon", 3, "no coupon")
    assert concluded.ended_at == stopped.ended_at
    assert await lab.experiments.get(lab.book_id, "coupon") == concluded
    assert await lab.experiments.experiments(lab.book_id) == [concluded]


async def test_salt_of_each_experiment_is_its_own(lab: Lab) -> None:
    first, second = await lab.run(), await lab.run(name="banner")
    assert first.salt != second.salt


async def test_acts_in_the_wrong_state_are_refused(lab: Lab) -> None:
    act, book = lab.experiments, lab.book_id
    await act.draft(book, draft(), "person:test")
    await refused(act.read(book, "coupon"), "experiment_state")
    await refused(act.stop(book, "coupon"), "experiment_state")
    await refused(act.conclude(book, "coupon"), "experiment_state")
    await refused(act.change_weights(book, "coupon", EVEN), "experiment_state")
    await act.start(book, "coupon")
    await refused(act.start(book, "coupon"), "experiment_state")
    await act.conclude(book, "coupon")
    await refused(act.stop(book, "coupon"), "experiment_state")


async def test_acts_on_an_unknown_experiment_or_one_of_another_book_are_refused(lab: Lab) -> None:
    await lab.run()
    act, other = lab.experiments, next(BOOKS)
    for book, name in (
        (other, "coupon"),
        (lab.book_id, "banner"),
        (lab.book_id, "nul\x00"),
        (lab.book_id, "\ud800"),
    ):
        for coroutine in (
            act.get(book, name),
            act.read(book, name),
            act.start(book, name),
            act.stop(book, name),
            act.conclude(book, name),
            act.change_weights(book, name, EVEN),
            act.measure(book, name, []),
        ):
            assert isinstance(await refused(coroutine, "experiment_unknown"), NotFound)
        assert await act.assign(book, name, "cus_1") is None
        assert await act.expose(book, name, "cus_1") is None
    assert await act.experiments(other) == []


async def test_change_of_an_older_version_is_refused(lab: Lab) -> None:
    await lab.run()
    await lab.experiments.change_weights(lab.book_id, "coupon", {"control": 9_000, "treated": 1_000}, 2)
    error = await refused(
        lab.experiments.change_weights(lab.book_id, "coupon", EVEN, 2), "experiment_changed"
    )
    assert isinstance(error, Conflict)
    assert error.facts["version"] == 3


async def test_changes_at_once_of_one_version_let_one_through(lab: Lab) -> None:
    await lab.run()
    wishes = [{"control": 5_000 + n, "treated": 5_000 - n} for n in range(1, 6)]
    outcomes = await asyncio.gather(
        *(lab.process().change_weights(lab.book_id, "coupon", wish, 2) for wish in wishes),
        return_exceptions=True,
    )
    changed = [each for each in outcomes if isinstance(each, Experiment)]
    codes = [each.code for each in outcomes if isinstance(each, Conflict)]
    assert (len(changed), codes) == (1, ["experiment_changed"] * 4)
    assert await lab.experiments.get(lab.book_id, "coupon") == changed[0]


async def test_draft_of_a_name_that_exists_is_refused(lab: Lab) -> None:
    await lab.run()
    await refused(lab.experiments.draft(lab.book_id, draft(), "person:test"), "experiment_exists")
    await lab.experiments.draft(next(BOOKS), draft(), "person:test")


async def test_draft_above_the_most_of_a_book_is_refused(lab: Lab) -> None:
    for number in range(EXPERIMENTS_MAX):
        await lab.experiments.draft(lab.book_id, draft(name=f"test-{number}"), "person:test")
    await refused(lab.experiments.draft(lab.book_id, draft(), "person:test"), "experiments_max")


PAID = Metric(outcome="paid")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "Coupon"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"unit": "a customer"}, "unit"),
        ({"layer": ""}, "layer"),
        ({"layer": "pages", "layer_from_bps": 500, "layer_to_bps": 500}, "layer_from_bps"),
        ({"layer": "pages", "layer_to_bps": 10_001}, "layer_from_bps"),
        ({"layer": "pages", "layer_from_bps": -1}, "layer_from_bps"),
        ({"layer_to_bps": 5_000}, "layer"),
        ({"arms": ("control",), "weights_bps": {"control": 10_000}}, "arms"),
        ({"arms": ("control", "control")}, "arms"),
        ({"arms": tuple(f"arm{n}" for n in range(21))}, "arms"),
        ({"arms": ("control", "TREATED")}, "arms"),
        ({"weights_bps": {"control": 10_000}}, "weights_bps"),
        ({"weights_bps": {"control": 5_000, "treated": 5_001}}, "weights_bps"),
        ({"weights_bps": {"control": 11_000, "treated": -1_000}}, "weights_bps"),
        ({"weights_bps": {"control": 0, "treated": 10_000}}, "weights_bps"),
        ({"weights_bps": EVEN | {"other": 0}}, "weights_bps"),
        ({"metric": Metric(outcome="Paid")}, "metric"),
        ({"metric": Metric(outcome="paid", value_min=1.0)}, "metric"),
        ({"metric": Metric(outcome="paid", value_max=float("inf"))}, "metric"),
        ({"metric": Metric(outcome="paid", value_max=float("nan"))}, "metric"),
        ({"metric": Metric(outcome="paid", covariate="paid")}, "metric"),
        ({"metric": Metric(outcome="paid", covariate="before", per="orders")}, "metric"),
        ({"metric": Metric(outcome="paid", per="")}, "metric"),
        ({"guardrails": (PAID,)}, "guardrails"),
        ({"guardrails": tuple(Metric(outcome=f"g{n}") for n in range(11))}, "guardrails"),
        ({"looks": 0}, "looks"),
        ({"looks": 13}, "looks"),
        ({"horizon_days": 6}, "horizon_days"),
        ({"horizon_days": 366}, "horizon_days"),
        ({"effect_min": 0.0}, "effect_min"),
        ({"effect_min": float("nan")}, "effect_min"),
        ({"note": "x" * 1_001}, "note"),
        ({"note": "\x00"}, "note"),
    ],
)
async def test_draft_that_can_never_run_is_refused(lab: Lab, changes: dict[str, object], param: str) -> None:
    error = await refused(
        lab.experiments.draft(lab.book_id, draft(**changes), "person:test"), "experiment_invalid"
    )
    assert isinstance(error, InvalidRequest)
    assert error.facts["param"] == param


async def test_start_in_a_taken_slice_of_a_layer_is_refused_until_it_is_free(lab: Lab) -> None:
    act, book = lab.experiments, lab.book_id
    await lab.run(layer="pages", layer_to_bps=6_000)
    await act.draft(book, draft(name="late", layer="pages", layer_from_bps=5_000), "person:test")
    error = await refused(act.start(book, "late"), "layer_full")
    assert error.facts["experiment"] == "coupon"
    await lab.run(name="beside", layer="pages", layer_from_bps=6_000)
    await lab.run(name="elsewhere", layer="prices")
    await act.stop(book, "coupon")
    await act.stop(book, "beside")
    assert (await act.start(book, "late")).state is ExperimentState.RUNNING


async def test_starts_at_once_in_one_slice_let_one_through(lab: Lab) -> None:
    for name in ("a", "b", "c", "d"):
        await lab.experiments.draft(lab.book_id, draft(name=name, layer="pages"), "person:test")
    outcomes = await asyncio.gather(
        *(lab.process().start(lab.book_id, name) for name in ("d", "b", "a", "c")), return_exceptions=True
    )
    codes = [each.code for each in outcomes if isinstance(each, Conflict)]
    assert codes == ["layer_full"] * 3


async def test_assign_in_a_layer_puts_no_unit_into_two_experiments(lab: Lab) -> None:
    await lab.run(layer="pages", layer_to_bps=5_000)
    await lab.run(name="banner", layer="pages", layer_from_bps=5_000)
    for unit in (f"cus_{n}" for n in range(300)):
        arms = [await lab.experiments.assign(lab.book_id, name, unit) for name in ("coupon", "banner")]
        assert arms.count(None) == 1


async def test_expose_twice_keeps_the_first(lab: Lab) -> None:
    await lab.run()
    first = await lab.experiments.expose(lab.book_id, "coupon", "cus_1")
    lab.clock.advance(timedelta(days=1))
    assert await lab.experiments.expose(lab.book_id, "coupon", "cus_1") == first
    assert await lab.process().expose(lab.book_id, "coupon", "cus_1") == first
    async with lab.database.transaction() as connection:
        kept = await store.lock_exposures(connection, lab.book_id, "coupon", ["cus_1"])
    assert kept["cus_1"].exposed_at == NOON


async def test_exposed_units_keep_arm_and_epoch_when_weights_change(lab: Lab) -> None:
    await lab.run()
    before = await lab.expose_many(200)
    await lab.experiments.change_weights(lab.book_id, "coupon", {"control": 1_000, "treated": 9_000}, 2)
    elsewhere = lab.process()
    for process in (lab.experiments, elsewhere):
        assert {unit: await process.assign(lab.book_id, "coupon", unit) for unit in before} == before
    placed = [await elsewhere.expose(lab.book_id, "coupon", unit) for unit in before]
    assert {each.epoch for each in placed if each is not None} == {1}
    late = [await elsewhere.expose(lab.book_id, "coupon", f"late_{n}") for n in range(200)]
    assert {each.epoch for each in late if each is not None} == {2}
    assert sum(each == Place("treated", 2) for each in late) > 160


async def test_other_processes_follow_a_change_within_some_seconds(lab: Lab) -> None:
    elsewhere = lab.process()
    assert await elsewhere.assign(lab.book_id, "coupon", "cus_1") is None
    await lab.run()
    lab.real_s += FRESH_S_MAX + 0.1
    assert await elsewhere.assign(lab.book_id, "coupon", "cus_1") in EVEN
    await lab.experiments.stop(lab.book_id, "coupon")
    lab.real_s += FRESH_S_MAX + 0.1
    assert await elsewhere.assign(lab.book_id, "coupon", "cus_1") is None


@pytest.mark.parametrize("unit", ["", "x" * 201, "a\x00b", "\ud800", "a\nb"])
async def test_acts_on_what_names_no_unit_are_refused(lab: Lab, unit: str) -> None:
    await lab.run()
    act, book = lab.experiments, lab.book_id
    news = [Measurement(unit=unit, outcome="paid", value=1.0, measured_at=NOON)]
    for coroutine in (
        act.assign(book, "coupon", unit),
        act.expose(book, "coupon", unit),
        act.measure(book, "coupon", news),
        act.merge(book, unit, "cus_1"),
        act.merge(book, "cus_1", unit),
    ):
        await refused(coroutine, "experiment_invalid")


async def test_measure_in_any_order_keeps_the_latest(lab: Lab) -> None:
    await lab.run(metric=Metric(outcome="paid", value_max=100.0))
    news = [(1.0, 0), (5.0, 2), (3.0, 1), (4.0, 2), (5.0, 2)]
    for order, permutation in enumerate(itertools.permutations(news)):
        unit = f"cus_{order % 20}"
        for value, minutes in permutation:
            await lab.measure({unit: value}, minutes=minutes)
        assert await lab.value(unit) == 5.0
        if order == 19:
            break


async def test_measure_in_one_call_keeps_the_latest(lab: Lab) -> None:
    await lab.run()
    at = [NOON, NOON + timedelta(minutes=2), NOON + timedelta(minutes=1)]
    news = [Measurement(unit="cus_1", outcome="paid", value=n, measured_at=at[n]) for n in range(3)]
    await lab.experiments.measure(lab.book_id, "coupon", news)
    assert await lab.value("cus_1") == 1.0
    correction = Measurement(unit="cus_1", outcome="paid", value=0.0, measured_at=NOON + timedelta(minutes=3))
    await lab.experiments.measure(lab.book_id, "coupon", [correction])
    assert await lab.value("cus_1") == 0.0


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"outcome": "clicked"}, "outcome"),
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"measured_at": NOON + timedelta(hours=1)}, "measured_at"),
        ({"measured_at": NOON.replace(tzinfo=None)}, "measured_at"),
    ],
)
async def test_measure_of_what_cannot_be_is_refused(lab: Lab, changes: dict[str, object], param: str) -> None:
    await lab.run()
    fields = {"unit": "cus_1", "outcome": "paid", "value": 1.0, "measured_at": NOON} | changes
    news = [Measurement(**fields)]  # type: ignore[arg-type]
    error = await refused(lab.experiments.measure(lab.book_id, "coupon", news), "experiment_invalid")
    assert error.facts["param"] == param
    too_many = [Measurement(unit="cus_1", outcome="paid", value=1.0, measured_at=NOON)] * (
        MEASUREMENTS_MAX + 1
    )
    await refused(lab.experiments.measure(lab.book_id, "coupon", too_many), "experiment_invalid")


async def opposite(lab: Lab, arm: str, prefix: str) -> str:
    """A unit whose name alone gives it the other arm."""
    for unit in (f"{prefix}_{n}" for n in range(1_000)):
        if await lab.experiments.assign(lab.book_id, "coupon", unit) not in (arm, None):
            return unit
    raise AssertionError("no such unit")


async def test_merge_gives_the_customer_the_place_of_the_device_that_came_first(lab: Lab) -> None:
    await lab.run()
    device = await lab.experiments.expose(lab.book_id, "coupon", "dev_1")
    assert device is not None
    customer = await opposite(lab, device.arm, "cus")
    lab.clock.advance(timedelta(hours=1))
    await lab.experiments.expose(lab.book_id, "coupon", customer)
    await lab.measure({customer: 0.0})
    await lab.measure({"dev_1": 1.0}, minutes=1)
    assert await lab.experiments.merge(lab.book_id, "dev_1", customer) == 1
    for process in (lab.experiments, lab.process()):
        assert await process.place(lab.book_id, "coupon", customer) == device
        assert await process.assign(lab.book_id, "coupon", "dev_1") == device.arm
        assert await process.expose(lab.book_id, "coupon", "dev_1") == Place(device.arm, 0)
    assert await lab.value(customer) == 1.0
    reading = await lab.experiments.read(lab.book_id, "coupon")
    assert {arm.arm: arm.units for arm in reading.arms}[device.arm] == 1
    assert sum(arm.units for arm in reading.arms) == 1
    assert await lab.experiments.merge(lab.book_id, "dev_1", customer) == 0


async def test_merge_into_a_customer_who_came_first_leaves_the_customer_where_it_is(lab: Lab) -> None:
    await lab.run()
    customer = await lab.experiments.expose(lab.book_id, "coupon", "cus_1")
    assert customer is not None
    device = await opposite(lab, customer.arm, "dev")
    lab.clock.advance(timedelta(hours=1))
    await lab.experiments.expose(lab.book_id, "coupon", device)
    await lab.experiments.merge(lab.book_id, device, "cus_1")
    assert await lab.experiments.place(lab.book_id, "coupon", "cus_1") == customer
    assert await lab.experiments.assign(lab.book_id, "coupon", device) == customer.arm


async def test_merge_into_a_customer_who_was_never_exposed_moves_the_exposure(lab: Lab) -> None:
    await lab.run()
    await lab.run(name="banner")
    device = await lab.experiments.expose(lab.book_id, "coupon", "dev_1")
    assert device is not None
    customer = await opposite(lab, device.arm, "cus")
    assert await lab.experiments.merge(lab.book_id, "dev_1", customer) == 1
    assert await lab.process().place(lab.book_id, "coupon", customer) == device


async def test_merge_touches_neither_other_books_nor_what_has_ended(lab: Lab) -> None:
    await lab.run()
    await lab.experiments.expose(lab.book_id, "coupon", "dev_1")
    assert await lab.experiments.merge(next(BOOKS), "dev_1", "cus_1") == 0
    assert await lab.experiments.merge(lab.book_id, "dev_1", "dev_1") == 0
    await lab.experiments.stop(lab.book_id, "coupon")
    assert await lab.experiments.merge(lab.book_id, "dev_1", "cus_1") == 0


async def test_read_after_a_week_takes_the_look_once(lab: Lab) -> None:
    await lab.run(effect_min=0.01)
    await lab.fill({"control": 0.10, "treated": 0.20}, 4_000)
    assert (await lab.experiments.read(lab.book_id, "coupon")).state is ReadoutState.TOO_EARLY
    lab.clock.advance(timedelta(days=7, hours=5))
    first = await lab.experiments.read(lab.book_id, "coupon")
    assert (first.state, first.look, first.looks) == (ReadoutState.BETTER, 1, 4)
    treated = first.arms[1]
    assert treated.difference == pytest.approx(0.1, abs=0.001)
    assert treated.low is not None
    assert treated.always_low is not None
    assert 0 < treated.low < 0.1
    assert 0 < treated.always_low < 0.1
    assert first.units_missing is not None
    assert first.units_missing > 10_000
    # Units of the second week wait for the second look, and the version is no editor's trouble.
    await lab.fill({"control": 0.30, "treated": 0.10}, 4_000, prefix="late")
    again = await lab.experiments.read(lab.book_id, "coupon")
    assert again.arms[1].difference == treated.difference
    kept = await lab.experiments.get(lab.book_id, "coupon")
    assert (kept.version, [look.number for look in kept.taken]) == (2, [1])


async def test_reads_at_once_keep_one_look(lab: Lab) -> None:
    await lab.run()
    await lab.fill({"control": 0.10, "treated": 0.12}, 1_000)
    lab.clock.advance(timedelta(days=14))
    readings = await asyncio.gather(*(lab.process().read(lab.book_id, "coupon") for _ in range(4)))
    assert {reading.look for reading in readings} == {2}
    assert [look.number for look in (await lab.experiments.get(lab.book_id, "coupon")).taken] == [2]


async def test_read_of_a_look_leaves_out_units_exposed_after_its_instant(lab: Lab) -> None:
    await lab.run()
    await lab.fill({"control": 0.10, "treated": 0.20}, 2_000)
    lab.clock.advance(timedelta(days=10))
    await lab.fill({"control": 0.50, "treated": 0.0}, 2_000, prefix="late")
    reading = await lab.experiments.read(lab.book_id, "coupon")
    assert reading.arms[1].difference == pytest.approx(0.1, abs=0.001)
    assert sum(arm.units for arm in reading.arms) == 4_000


async def test_read_of_a_change_of_weights_compares_within_epochs(lab: Lab) -> None:
    await lab.run(metric=Metric(outcome="paid"))
    weights = {"control": 9_000, "treated": 1_000}
    await lab.experiments.change_weights(lab.book_id, "coupon", weights)
    await lab.fill({"control": 0.02, "treated": 0.01}, 6_000)
    lab.clock.advance(timedelta(days=3))
    await lab.experiments.change_weights(lab.book_id, "coupon", {"control": 1_000, "treated": 9_000})
    await lab.fill({"control": 0.12, "treated": 0.11}, 6_000, prefix="sale")
    lab.clock.advance(timedelta(days=25))
    reading = await lab.experiments.read(lab.book_id, "coupon")
    control, treated = reading.arms
    assert control.mean is not None
    assert treated.mean is not None
    assert treated.mean - control.mean > 0.06
    assert treated.difference == pytest.approx(-0.01, abs=0.001)


async def test_read_of_a_skewed_split_is_blocked_and_takes_no_look(lab: Lab) -> None:
    await lab.run()
    arms = await lab.fill({"control": 0.10, "treated": 0.20}, 2_000)
    gone = [unit for unit, arm in arms.items() if arm == "treated"][:200]
    async with lab.database.connection() as connection:
        await connection.execute(
            "DELETE FROM decisions.exposure WHERE book_id = $1 AND unit = ANY ($2::text[])", lab.book_id, gone
        )
    lab.clock.advance(timedelta(days=8))
    reading = await lab.experiments.read(lab.book_id, "coupon")
    assert reading.state is ReadoutState.BLOCKED
    assert (await lab.experiments.get(lab.book_id, "coupon")).taken == ()


async def test_stop_harmful_stops_what_breaks_a_guardrail_and_nothing_else(lab: Lab) -> None:
    refunds = Metric(outcome="refunded", higher_is_better=False)
    await lab.run(guardrails=(refunds,))
    await lab.run(name="banner")
    arms = await lab.fill({"control": 0.10, "treated": 0.12}, 3_000)
    assert await lab.experiments.stop_harmful(lab.book_id) == ()
    treated = [unit for unit, arm in arms.items() if arm == "treated"]
    await lab.measure(dict.fromkeys(treated[:150], 1.0), outcome="refunded")
    reading = await lab.experiments.read(lab.book_id, "coupon")
    assert reading.state is ReadoutState.HARMFUL
    assert reading.guardrails[0].harmful == ("treated",)
    assert (lab.book_id, "coupon") in await lab.experiments.stop_harmful_anywhere()
    assert await lab.experiments.stop_harmful(lab.book_id) == ()
    stopped = await lab.experiments.get(lab.book_id, "coupon")
    assert stopped.state is ExperimentState.STOPPED
    assert (await lab.experiments.get(lab.book_id, "banner")).state is ExperimentState.RUNNING


async def test_read_keeps_values_within_their_range(lab: Lab) -> None:
    await lab.run(metric=Metric(outcome="paid", value_min=-10.0, value_max=50.0))
    arms = await lab.expose_many(40)
    await lab.measure(dict.fromkeys(arms, 1e12))
    assert {arm.mean for arm in (await lab.experiments.read(lab.book_id, "coupon")).arms} == {50.0}


async def test_cells_agree_with_single_units(lab: Lab) -> None:
    metric = Metric(outcome="paid", value_max=1e6, covariate="before")
    await lab.run(metric=metric)
    arms = await lab.expose_many(300)
    rng = np.random.default_rng(5)
    before = dict(zip(arms, rng.gamma(2, 10, 300).tolist(), strict=True))
    paid = {unit: 0.8 * value + rng.normal(0, 3) for unit, value in before.items()}
    paid = {unit: max(value, 0.0) for unit, value in paid.items()}
    await lab.measure(before, outcome="before")
    await lab.measure({unit: paid[unit] for unit in list(paid)[:290]})
    async with lab.database.connection() as connection:
        cells = await store.cells(connection, lab.book_id, "coupon", metric, None)
    for cell in cells:
        units = [unit for unit, arm in arms.items() if arm == cell.arm]
        x = np.array([before[unit] for unit in units])
        y = np.array([paid[unit] if unit in list(paid)[:290] else 0.0 for unit in units])
        assert cell.units == len(units)
        assert (cell.mean, cell.variance) == pytest.approx((y.mean(), y.var(ddof=1)))
        assert (cell.second_mean, cell.second_variance) == pytest.approx((x.mean(), x.var(ddof=1)))
        assert cell.covariance == pytest.approx(np.cov(y, x)[0, 1])
    plain, less = (looks.effect(c, "treated", "control") for c in (cells, looks.prepared(cells, metric)))
    assert plain is not None
    assert less is not None
    assert less.variance < 0.5 * plain.variance
