"""The ledger and the reference ledger do the same acts in the same order and must agree on everything.

Hypothesis chooses the acts; the ledger runs on an event loop of its own, because a state machine is no
coroutine. Every example works in a fresh book of one database.
"""

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import CNY, make_bench, utc
from tests.ledger import reference

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.errors import AccountNotEmpty
from tongbao.ledger.schema import (
    Account,
    AccountId,
    AccountState,
    Kind,
    Outcome,
    Refusal,
    Transfer,
    capture,
    linked,
    reversal,
    void,
)
from tongbao.ledger.service.ledger import Ledger

Result = TypeVar("Result")

START = utc(2026, 3, 1)
NAMES = ("equity", "a", "b", "c", "capped", "striped", "dollars", "unknown")
AMOUNTS = (1, 7, 50, 120, 300, 450, 999, 1001, 0, -5, 2**53)
LIMITS = ((None, None), (0, None), (-200, None), (100, None), (None, 1000), (0, 600), (-50, 0))
ACTS = (
    *("plain",) * 4,
    *("hold",) * 3,
    *("capture",) * 3,
    *("up_to",) * 2,
    "capture_final",
    "capture_all",
    "void",
    "expiry",
    "reversal",
    "replay",
    "altered",
)


ON_HOLD = {"capture", "capture_final", "capture_all", "void", "expiry"}
REACHED = {
    Outcome.POSTED.value,
    Outcome.EXISTS.value,
    Refusal.KEY_CONFLICT.value,
    Refusal.HOLD_CLOSED.value,
    Refusal.HOLD_EXCEEDED.value,
    Refusal.BELOW_FLOOR.value,
    Refusal.ABOVE_CEILING.value,
    Refusal.GROUP_REFUSED.value,
}


class Wish(NamedTuple):
    """One act as numbers; the machine turns it into a transfer that fits what went before."""

    act: str
    debit: int
    credit: int
    amount: int
    which: int


WISHES = st.builds(
    Wish,
    st.sampled_from(ACTS),
    # The first places fit most often: money flows between accounts that exist.
    st.integers(0, 15).map(lambda n: n % 4 if n < 11 else n - 8),
    st.integers(0, 15).map(lambda n: n % 4 if n < 11 else n - 8),
    st.integers(0, 20).map(lambda n: AMOUNTS[n % 8 if n < 18 else n - 10]),
    st.integers(0, 40),
)
SEGMENTS = st.tuples(st.booleans(), st.lists(WISHES, min_size=1, max_size=4))


class Driver:
    """A ledger on an event loop of its own in a thread."""

    def __init__(self, dsn: str) -> None:
        self.clock = FrozenClock(START)
        self.batch_count = 0
        self.seen: Counter[str] = Counter()
        self._metrics = Metrics()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._database = Database(dsn, pool_size=3)
        self.ledger = self.run(self._open())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do some work on the ledger's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def batches_by_way(self, way: str) -> float:
        """How many batches were decided the fast or the exact way."""
        return self._metrics.registry.get_sample_value("tongbao_ledger_batches_total", {"way": way}) or 0

    def close(self) -> None:
        """Close ledger, database, loop and thread."""
        self.run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> Ledger:
        await self._database.__aenter__()
        ledger = Ledger(self._database, self.clock, self._metrics, IdFactory(RealClock()), lane_count=1)
        return await ledger.__aenter__()

    async def _shut(self) -> None:
        await self.ledger.__aexit__(None, None, None)
        await self._database.close()


class Acts(RuleBasedStateMachine):
    """Random acts on one book, each done by both ledgers."""

    driver: Driver

    def __init__(self) -> None:
        super().__init__()
        self.clock = self.driver.clock
        self.posting = self.driver.ledger.posting
        self.reference = reference.ReferenceLedger()
        self.singles: list[Transfer] = []
        self.groups: list[list[Transfer]] = []
        self.hold_keys: list[UUID] = []
        self.plain_keys: list[UUID] = []

    @initialize()
    def open_book(self) -> None:
        self.clock.set(START)
        self.bench = self.driver.run(make_bench(self.driver.ledger))
        self.ids = [
            self.bench.accounts[name].account_id if name in self.bench.accounts else AccountId(404)
            for name in NAMES
        ]
        for account in self.bench.accounts.values():
            self.reference.accounts[account.account_id] = reference.Account(
                account.asset_id, account.floor_minor, account.ceiling_minor
            )
        self.both([self.transfer(Wish("plain", 0, place, 1_000, 0)) for place in (1, 2, 3)])

    @rule(segments=st.lists(SEGMENTS, min_size=1, max_size=3))
    def post(self, segments: list[tuple[bool, list[Wish]]]) -> None:
        """A batch of single transfers and linked groups, some of them repeated."""
        batch: list[Transfer] = []
        for together, wishes in segments:
            if together:
                batch += self.group(wishes)
            else:
                singles = [self.single(wish) for wish in wishes]
                self.singles += singles
                batch += singles
        self.both(batch)

    @rule(batches=st.lists(st.lists(WISHES, min_size=1, max_size=6), min_size=1, max_size=4))
    def post_acceptable(self, batches: list[list[Wish]]) -> None:
        """Batches without anything to refuse: these are what the fast way is for."""
        for wishes in batches:
            trial = copy.deepcopy(self.reference)
            drawn = [self.transfer(wish) for wish in wishes]
            answers = [trial.post([t], self.clock.now())[0] for t in drawn]
            batch = [t for t, answer in zip(drawn, answers, strict=True) if answer.outcome == "posted"]
            if batch:
                self.singles += batch
                self.both(batch)

    @precondition(lambda self: self.groups)
    @rule(which=st.integers(0, 40), change=st.sampled_from(("none", "shorter", "longer", "code")))
    def repeat_group(self, which: int, change: str) -> None:
        """A whole group once more, or something else under its keys."""
        group = self.groups[which % len(self.groups)]
        if change == "shorter" and len(group) > 1:
            group = group[:-1]
        elif change == "longer":
            group = [
                *group,
                msgspec.structs.replace(self.transfer(Wish("plain", 0, 1, 7, 0)), group_key=group[0].key),
            ]
        elif change == "code":
            group = [*group[:-1], msgspec.structs.replace(group[-1], code="altered")]
        self.both(group)

    @rule(minutes=st.integers(-90, 240))
    def move_clock(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))

    @rule()
    def sweep(self) -> None:
        """Expire what is due; holds of earlier books may be among it, so go on until nothing is."""
        while self.driver.run(self.posting.expire_due_holds()):
            pass
        self.reference.expire(self.clock.now())

    @rule(place=st.integers(1, 4), limits=st.sampled_from(LIMITS))
    def change_limits(self, place: int, limits: tuple[int | None, int | None]) -> None:
        account = self.reference.accounts[self.ids[place]]
        if account.state != "closed":
            account.floor, account.ceiling = limits
            self.change(place, floor_minor=limits[0], ceiling_minor=limits[1])

    @rule(place=st.integers(1, 5), state=st.sampled_from((*(AccountState.OPEN,) * 3, *AccountState)))
    def change_state(self, place: int, state: AccountState) -> None:
        account = self.reference.accounts[self.ids[place]]
        if account.state == "closed":
            return
        if state is AccountState.CLOSED and (account.posted or account.debits_held or account.credits_held):
            with pytest.raises(AccountNotEmpty):
                self.change(place, state=state)
        else:
            account.state = state.name.lower()
            self.change(place, state=state)

    @rule()
    def seal(self) -> None:
        self.driver.run(self.driver.ledger.sealing.seal_all())

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.driver.run(self.compare())

    def both(self, batch: list[Transfer]) -> None:
        """Post a batch to both ledgers and compare answer by answer."""
        results = self.driver.run(self.posting.post(batch))
        answers = self.reference.post(batch, self.clock.now())
        self.driver.batch_count += 1
        got = [
            (r.outcome.value, None if r.refusal is None else r.refusal.value, r.amount_minor) for r in results
        ]
        assert got == [(answer.outcome, answer.refusal, answer.amount) for answer in answers], [
            (t.kind.name, result) for t, result in zip(batch, results, strict=True)
        ]
        assert [result.key for result in results] == [t.key for t in batch]
        self.driver.seen.update(result.refusal or result.outcome for result in results)
        for t, result in zip(batch, results, strict=True):
            if result.outcome is Outcome.POSTED:
                keys = {Kind.HOLD: self.hold_keys}.get(t.kind, self.plain_keys)
                keys.append(t.key)

    def change(self, place: int, **change: Any) -> None:
        account_id = self.ids[place]
        accounts = self.driver.ledger.accounts
        self.driver.run(
            accounts.change_account(
                self.bench.book.book_id, account_id, actor="test", reason="test", **change
            )
        )

    def single(self, wish: Wish) -> Transfer:
        """A new transfer, or an earlier one again, as it was or altered."""
        if wish.act not in ("replay", "altered") or not self.singles:
            return self.transfer(wish)
        earlier = self.singles[wish.which % len(self.singles)]
        return earlier if wish.act == "replay" else altered(earlier, wish.debit)

    def group(self, wishes: list[Wish]) -> list[Transfer]:
        members = [self.transfer(wish) for wish in wishes]
        keys = [t.key for t in members]
        # The same reversal twice has one key, and a group names each key once.
        group = linked([t for i, t in enumerate(members) if t.key not in keys[:i]])
        if not any(group[0].key == earlier[0].key for earlier in self.groups):
            self.groups.append(group)
            return group
        return []

    def transfer(self, wish: Wish) -> Transfer:
        """A new transfer as the wish says."""
        book_id, key, now = self.bench.book.book_id, self.bench.key(), self.clock.now()
        if wish.which % 8 and wish.debit == wish.credit:
            wish = wish._replace(credit=(wish.debit + 1) % 4)
        if wish.which % 8 and not self.hold_keys and wish.act in ON_HOLD:
            wish = wish._replace(act="hold")
        hold = pick(self.hold_keys, wish.which) or key
        build: dict[str, Callable[[], Transfer]] = {
            "capture": lambda: capture(key, book_id, hold, wish.amount, "test"),
            "capture_final": lambda: capture(key, book_id, hold, max(wish.amount, 1), "test", final=True),
            "capture_all": lambda: capture(key, book_id, hold, 0, "test", final=True),
            "void": lambda: void(key, book_id, hold, "test"),
            "expiry": lambda: msgspec.structs.replace(void(key, book_id, hold, "test"), kind=Kind.EXPIRY),
            "reversal": lambda: reversal(book_id, self.original(wish.which), "test"),
        }
        if wish.act in build:
            return build[wish.act]()
        is_hold = wish.act == "hold"
        return Transfer(
            key=key,
            book_id=book_id,
            debit_account_id=self.ids[wish.debit],
            credit_account_id=self.ids[wish.credit],
            amount_minor=wish.amount,
            asset_id=CNY,
            code="test",
            kind=Kind.HOLD if is_hold else Kind.PLAIN,
            reference=None if wish.which % 3 else f"order {wish.which}",
            occurred_at=None if wish.which % 4 else now - timedelta(hours=wish.which),
            expires_at=now + timedelta(minutes=15 * (wish.which - 3)) if is_hold and wish.which % 3 else None,
            up_to=wish.act == "up_to",
        )

    def original(self, which: int) -> UUID:
        """What a reversal refers to: mostly something that can be reversed."""
        if which % 13 == 5:
            return self.bench.key()
        return pick(self.hold_keys if which % 13 == 7 else self.plain_keys, which) or self.bench.key()

    async def compare(self) -> None:
        """Compare balances and holds with the reference, seal, and verify the book."""
        ledger, book = self.driver.ledger, self.bench.book
        accounts = await ledger.accounts.accounts(book.book_id)
        assert {a.account_id: sums(a) for a in accounts} == {
            AccountId(i): (a.debits, a.credits, a.debits_held, a.credits_held)
            for i, a in self.reference.accounts.items()
        }
        holds = await ledger.reading.holds(book.book_id, open_only=False, limit=500)
        assert {h.key: (h.state.name.lower(), h.remaining_minor) for h in holds} == {
            key: (hold.state, hold.left) for key, hold in self.reference.holds.items()
        }
        await ledger.sealing.seal_all()
        report = await ledger.verifying.verify(book.code)
        assert report.findings == ()
        expiries = sum(hold.state == "expired" for hold in self.reference.holds.values())
        by_hand = sum(row.request.kind is Kind.EXPIRY for row in self.reference.rows.values())
        assert report.transfer_count + report.unsealed_count == len(self.reference.rows) + expiries - by_hand


def altered(t: Transfer, how: int) -> Transfer:
    """The same key with another content."""
    changes: list[dict[str, Any]] = [{"code": "altered"}, {"reference": "altered"}]
    if t.amount_minor > 0:
        changes.append({"amount_minor": t.amount_minor + 1})
    if t.kind in (Kind.PLAIN, Kind.HOLD):
        changes.append({"debit_account_id": t.credit_account_id, "credit_account_id": t.debit_account_id})
    if t.kind is Kind.PLAIN:
        changes.append({"up_to": not t.up_to})
    if t.kind is Kind.CAPTURE and t.amount_minor:
        changes.append({"final": not t.final})
    return msgspec.structs.replace(t, **changes[how % len(changes)])


def pick(keys: list[UUID], which: int) -> UUID | None:
    """One of the last few keys: what is recent is most often still open."""
    return keys[-1 - which % min(len(keys), 6)] if keys else None


def sums(account: Account) -> tuple[int, int, int, int]:
    return account.debits_minor, account.credits_minor, account.debits_held_minor, account.credits_held_minor


@pytest.fixture
def driver(dsn: str) -> Iterator[Driver]:
    """The file's database behind a loop of its own."""
    opened = Driver(dsn)
    yield opened
    opened.close()


def test_random_acts_on_both_ledgers_agree(driver: Driver) -> None:
    run(driver, derandomize=True, max_examples=60, stateful_step_count=40)
    assert driver.batch_count >= 300
    assert set(driver.seen) >= REACHED
    assert min(driver.batches_by_way("fast"), driver.batches_by_way("exact")) >= 60


@pytest.mark.nightly
def test_many_random_acts_on_both_ledgers_agree(driver: Driver) -> None:
    run(driver, max_examples=400, stateful_step_count=60)


def run(driver: Driver, **options: Any) -> None:
    """Run the machine; what fails is printed as the acts that lead there."""
    run_state_machine_as_test(
        type("ActsOfThisRun", (Acts,), {"driver": driver}),
        settings=settings(
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )
