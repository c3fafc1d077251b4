"""The clearing drill: its channels, its bank and its judges are what they should be, and a short one on the real services is sound."""

import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tongbao.bench import clearing_drill
from tongbao.bench.clearing_drill import ROUNDS, ClearingReport, told
from tongbao.bench.clearing_drill_audit import Sighting, World, judge, paid_twice
from tongbao.bench.clearing_drill_bank import BankWay, Teller
from tongbao.bench.clearing_drill_courier import Truth
from tongbao.bench.clearing_drill_faults import CHANGES, Day, Fault, merged, split, twin
from tongbao.bench.clearing_drill_files import Entry, entries_of, names_of, written
from tongbao.bench.clearing_drill_terms import CARD, CHANNELS, SOURCES, ZONE, channel_costs
from tongbao.channels.errors import NotificationMalformed
from tongbao.channels.schema import (
    Answer,
    Authorize,
    Card,
    Follow,
    Inquire,
    Merchant,
    Operation,
    Outcome,
    RawNotification,
)
from tongbao.clearing.schema.bank_messages import Acknowledged, Instruction
from tongbao.clearing.schema.breaks import BreakKind, BreakState
from tongbao.clearing.schema.lines import Side
from tongbao.core.clock import FrozenClock
from tongbao.simulator.paper_channels import Habits, PaperChannel, Tariff, able

NOW = datetime(2026, 9, 21, 3, 0, tzinfo=UTC)
ON = date(2026, 9, 21)
VISA = Card(token="tok_test", exp_month=12, exp_year=2030, brand="visa", card_bin="424242", last4="4242")
DEED = (CARD, "sale", "tx1")
OTHER = (CARD, "sale", "tx2")
KIND_NAMES = {kind.value for kind in BreakKind}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the unprivileged user of the server can enter."""
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def paper(tariff: Tariff | None = None, **habits: float) -> PaperChannel:
    """A channel that says no only where a test asks for it."""
    shares = {"declined_share": 0.0, "lost_share": 0.0, "refused_share": 0.0} | habits
    return PaperChannel(
        "paper",
        able(frozenset({"card"}), frozenset({"CNY"})),
        tariff or Tariff(rate_e6=6_000),
        FrozenClock(NOW),
        Habits(**shares),
        random.Random(1),
    )


def wanted(reference: str = "pa_1", amount: int = 1_000, *, capture: bool = True) -> Authorize:
    return Authorize(
        reference=reference,
        amount_minor=amount,
        currency="CNY",
        capture=capture,
        method=VISA,
        merchant=Merchant(name="Tea House"),
    )


def follow(reference: str, amount: int, *, final: bool = True) -> Follow:
    return Follow(
        reference=reference,
        authorization_reference="pa_1",
        channel_reference=None,
        amount_minor=amount,
        total_minor=1_000,
        currency="CNY",
        method=VISA,
        final=final,
    )


async def test_authorize_again_under_a_reference_is_the_same_deed() -> None:
    channel = paper()
    first = await channel.authorize(wanted())
    assert await channel.authorize(wanted()) == first
    assert [(act.kind, act.amount_minor, act.fee_minor) for act in channel.record] == [("sale", 1_000, 6)]


async def test_authorize_whose_answer_is_lost_is_told_by_an_inquiry() -> None:
    channel = paper(lost_share=1.0)
    assert await channel.authorize(wanted()) == Answer(outcome=Outcome.UNRESOLVED)
    asked = Inquire(
        operation=Operation.AUTHORIZE,
        reference="pa_1",
        authorization_reference="pa_1",
        channel_reference=None,
        amount_minor=1_000,
        currency="CNY",
        method=VISA,
        sent_at=NOW,
    )
    assert (await channel.inquire(asked)).outcome is Outcome.APPROVED
    unknown = msgspec.structs.replace(asked, reference="pa_2")
    assert (await channel.inquire(unknown)).outcome is Outcome.NOT_FOUND


async def test_authorize_and_refund_that_are_refused_leave_no_record() -> None:
    strict = paper(declined_share=1.0)
    assert (await strict.authorize(wanted())).outcome is Outcome.DECLINED
    channel = paper(refused_share=1.0)
    await channel.authorize(wanted())
    assert (await channel.refund(follow("re_1", 100))).outcome is Outcome.DECLINED
    assert (strict.record, len(channel.record)) == ([], 1)


async def test_capture_in_parts_records_each_and_refuses_more_than_was_reserved() -> None:
    channel = paper()
    await channel.authorize(wanted(capture=False))
    answers = [
        await channel.capture(follow(name, amount, final=final))
        for name, amount, final in (
            ("c1", 400, False),
            ("c2", 700, False),
            ("c3", 500, True),
            ("c4", 1, True),
        )
    ]
    assert [answer.outcome is Outcome.APPROVED for answer in answers] == [True, False, True, False]
    assert [(act.reference, act.amount_minor) for act in channel.record] == [("pa_1", 400), ("pa_1", 500)]
    assert len({act.channel_reference for act in channel.record}) == 2


async def test_refund_gives_the_fee_back_in_proportion_and_in_all_exactly() -> None:
    channel = paper(Tariff(rate_e6=7_500, gives_back=True))
    await channel.authorize(wanted(amount=1_001))
    for number, amount in enumerate((333, 333, 335)):
        await channel.refund(follow(f"re_{number}", amount))
    assert sum(act.fee_minor for act in channel.record) == 0
    assert all(act.fee_minor < 0 for act in channel.record[1:])


async def test_dispute_is_told_and_given_back_only_where_it_is_won() -> None:
    channel = paper(Tariff(rate_e6=0, dispute_minor={"CNY": 50}))
    await channel.authorize(wanted())
    notice = channel.parse_notification(channel.dispute("pa_1", 1_000))
    theirs = notice.dispute_reference or ""
    assert (notice.authorization_reference, notice.dispute_status) == ("pa_1", "needs_response")
    assert channel.parse_notification(channel.end_dispute("pa_1", theirs, 1_000, won=False)).dispute_status
    channel.end_dispute("pa_1", theirs, 1_000, won=True)
    told_kinds = [(act.kind, act.amount_minor, act.fee_minor) for act in channel.record[1:]]
    assert told_kinds == [("dispute", -1_000, 50), ("dispute_won", 1_000, 0)]
    with pytest.raises(NotificationMalformed):
        channel.parse_notification(
            RawNotification(method="POST", path="/", headers={}, query="", body=b"{", received_at=NOW)
        )


def test_of_day_goes_by_the_zone() -> None:
    assert paper().of_day(ON, ZONE) == []


def test_terms_fit_each_other() -> None:
    names = {each.source for each in SOURCES}
    assert {each.name for each in CHANNELS} <= names
    assert {each.bank for each in SOURCES if each.bank} <= {
        each.source for each in SOURCES if each.side is Side.BANK
    }
    costs = {charge.match.channels[0] for charge in channel_costs().charges}
    assert costs == {each.name for each in CHANNELS}


async def sold(*amounts: int) -> list[Entry]:
    """The lines of sales of these amounts."""
    channel = paper()
    for number, amount in enumerate(amounts):
        await channel.authorize(wanted(f"pa_{number}", amount))
    return entries_of(CARD, channel.record)


def a_day(entries: list[Entry]) -> Day:
    number = Counter((entry.row.kind, entry.row.reference) for entry in entries)
    return Day(CARD, entries, random.Random(3), number, frozenset())


@pytest.mark.parametrize("change", CHANGES[CARD], ids=lambda change: str(change.__name__))
async def test_change_of_a_day_names_what_is_wrong_and_touches_nothing_else(change: Any) -> None:
    entries = await sold(1_000, 1_000, 2_500, 3_700)
    channel = paper()
    await channel.authorize(wanted("pa_1", 4_000, capture=False))
    await channel.capture(follow("c1", 1_100, final=False))
    await channel.capture(follow("c2", 1_700))
    await channel.refund(follow("re_1", 300))
    parts = entries_of(CARD, channel.record)
    before = [*entries, *(msgspec.structs.replace(each, row=_other(each)) for each in parts)]
    done = change(a_day(before))
    assert done is not None
    assert done.faults
    faulted = frozenset().union(*(fault.deeds for fault in done.faults))
    kept = [each for each in before if not each.deeds & faulted]
    assert all(each in done.entries for each in kept)
    assert change(a_day(before)._replace(touched=frozenset().union(*(each.deeds for each in before)))) is None


def _other(entry: Entry) -> Any:
    return msgspec.structs.replace(
        entry.row, reference=f"x{entry.row.reference}", channel_reference=f"x{entry.row.channel_reference}"
    )


async def test_merged_line_stands_for_all_parts_and_is_no_fault() -> None:
    channel = paper()
    await channel.authorize(wanted(capture=False))
    await channel.capture(follow("c1", 300, final=False))
    await channel.capture(follow("c2", 600))
    day = a_day(entries_of(CARD, channel.record))
    right, wrong = merged(day), split(day)
    assert right is not None
    assert wrong is not None
    assert [(each.row.amount_minor, len(each.deeds)) for each in right.entries] == [(900, 2)]
    assert (right.faults, wrong.faults[0].kind) == ((), BreakKind.SPLIT_MISMATCH)
    assert twin(day) is None


async def test_written_table_has_a_name_for_each_line() -> None:
    entries = await sold(1_000, 2_000)
    assert written(CARD, ON, entries).count(b"\n") == 3
    assert len(names_of(CARD, entries)) == 2


def test_changes_cover_every_kind_that_a_line_can_have() -> None:
    """What is about statements and payouts is made by the courier."""
    text = Path(clearing_drill.__file__).with_name("clearing_drill_faults.py").read_text()
    text += Path(clearing_drill.__file__).with_name("clearing_drill_courier.py").read_text()
    assert all(f"BreakKind.{kind.name}" in text for kind in BreakKind)


def order(end_to_end: str = "E1") -> Instruction:
    return Instruction(
        end_to_end=end_to_end,
        amount_minor=500,
        currency="CNY",
        execution_on=ON,
        holder="Tea House",
        scheme="local",
        number="62220001",
    )


async def test_bank_pays_a_message_once_and_two_messages_twice(tmp_path: Path) -> None:
    way = BankWay("bank", frozenset({"CNY"}), tmp_path, ZONE)
    teller = Teller(way)
    content = way.prepare("M1", NOW, [order()])
    assert [await way.send("M1", content) for _ in range(2)] == [Acknowledged.RECEIVED] * 2
    assert len(teller.execute(ON, NOW)) == 1
    assert not teller.execute(ON, NOW)
    assert teller.twice() == 0
    await way.send("M2", way.prepare("M2", NOW, [order()]))
    assert [row.amount_minor for row in teller.execute(ON, NOW)] == [-500]
    assert teller.twice() == 1
    heard = await way.collect()
    assert [way.read(each.content).kind for each in heard] == ["pain.002", "camt.053"] * 2
    await way.done([each.handle for each in heard])
    assert not await way.collect()


async def test_paid_twice_counts_a_second_payout_of_a_batch_unless_the_first_came_back(
    tmp_path: Path,
) -> None:
    way = BankWay("bank", frozenset({"CNY"}), tmp_path, ZONE)
    teller = Teller(way)
    await way.send("M1", way.prepare("M1", NOW, [order("E1"), order("E2")]))
    teller.execute(ON, NOW)
    one, other = UUID(int=1), UUID(int=2)
    assert paid_twice([teller], {"E1": one, "E2": other}) == 0
    assert paid_twice([teller], {"E1": one, "E2": one}) == 1
    assert paid_twice([teller], {"E1": one}) == 1
    teller.give_back(teller.paid[0], ON, NOW)
    assert paid_twice([teller], {"E1": one, "E2": one}) == 0


def a_world(*matched: tuple[int, int]) -> World:
    names = {1: DEED, 2: OTHER}
    deeds = {UUID(int=1): DEED, UUID(int=2): OTHER}
    return World(names, deeds, frozenset(deeds.values()), [(a, UUID(int=b), 0) for a, b in matched])


TRUE = {DEED: frozenset({DEED}), OTHER: frozenset({OTHER})}
MISSING = Fault(kind=BreakKind.MISSING, label="left out", source=CARD, deeds=frozenset({OTHER}))
SEEN = Sighting("missing", CARD, frozenset({OTHER}), frozenset(), "")


def test_judge_counts_what_is_matched_and_what_falsely() -> None:
    judged = judge(Truth(lines=TRUE), a_world((1, 1), (2, 2)), [], [], {})
    assert (judged.matched_count, judged.expected_count, judged.false_matches) == (2, 2, 0)
    judged = judge(Truth(lines=TRUE), a_world((1, 2), (2, 1)), [], [], {})
    assert (judged.matched_count, judged.expected_count, judged.false_matches) == (0, 2, 2)


@pytest.mark.parametrize(
    ("seen", "state", "found"),
    [
        (SEEN, BreakState.OPEN, 1),
        (SEEN, BreakState.RESOLVED, 0),
        (SEEN._replace(kind="expected"), BreakState.OPEN, 0),
        (SEEN._replace(source="another"), BreakState.OPEN, 0),
        (SEEN._replace(deeds=frozenset({DEED})), BreakState.OPEN, 0),
        (SEEN._replace(lines=frozenset({OTHER})), BreakState.OPEN, 0),
    ],
)
def test_judge_finds_a_fault_by_kind_record_and_state(seen: Sighting, state: BreakState, found: int) -> None:
    judged = judge(Truth(lines=TRUE, faults=[MISSING]), a_world((1, 1)), [seen], [(seen, state)], {})
    assert (len(judged.found), len(judged.missed)) == (found, 1 - found)
    assert (judged.matched_count, judged.expected_count) == (1, 1)
    assert len(judged.false_breaks) == (not found and state is BreakState.OPEN)


@pytest.mark.parametrize(("state", "found"), [(BreakState.OPEN, 0), (BreakState.RESOLVED, 1)])
def test_judge_wants_what_was_mended_to_be_resolved(state: BreakState, found: int) -> None:
    late = msgspec.structs.replace(MISSING, kind=BreakKind.EXPECTED, stays=False)
    seen = SEEN._replace(kind="expected")
    judged = judge(Truth(lines=TRUE, faults=[late]), a_world((1, 1), (2, 2)), [seen], [(seen, state)], {})
    assert len(judged.found) == found


def a_report(**changes: Any) -> ClearingReport:
    values: dict[str, Any] = {
        "auto_match": 1.0,
        "false_matches": 0,
        "faults_injected": 3,
        "faults_found": 3,
        "by_kind": {"missing": (3, 3)},
        "paid_twice": 0,
        "ledger_balanced": True,
        "killed_rounds": ROUNDS,
        "took_s": 1.0,
        "faults": [],
    }
    counts = ("records", "false_breaks", "payments", "refunds", "disputes", "captures", "payouts")
    return ClearingReport(**(dict.fromkeys(counts, 9) | values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"auto_match": 0.994},
        {"false_matches": 1},
        {"faults_found": 2},
        {"paid_twice": 1},
        {"ledger_balanced": False},
        {"killed_rounds": 19},
    ],
)
def test_report_with_anything_wrong_is_not_sound(changes: dict[str, Any]) -> None:
    assert a_report().sound
    assert not a_report(**changes).sound


def test_report_is_told_by_kinds_and_sums_and_goes_into_json() -> None:
    lines = told(a_report(ledger_balanced=False))
    assert lines[0].split() == ["missing", "3", "of", "3"]
    assert "NOT BALANCED" in lines[-1]
    assert json.loads(msgspec.json.encode(a_report()))["by_kind"] == {"missing": [3, 3]}


@pytest.mark.slow
async def test_drill_finds_every_fault_and_pays_nobody_twice(home: Path) -> None:
    report = await clearing_drill.run(home, plan=clearing_drill.QUICK, say=lambda _: None)
    assert report.sound, report.faults
    # The drill proves something only if everything happened that it is about.
    assert report.by_kind.keys() >= KIND_NAMES
    assert report.payments > 150
    assert report.payouts > 20
    assert report.killed_rounds == ROUNDS
    assert report.captures > 0
