"""Discovering: a planted fraud is mined as rules, planted oddities come first for labels, what was found is kept."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest
from tests.risk.discovery_stream import (
    BOOK,
    FRAUDS,
    ODD,
    Stream,
    assessed,
    deliver,
    labelled,
)

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, InvariantBroken, NotFound
from tongbao.core.ids import IdFactory
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.models.associations import MinedRule
from tongbao.risk.models.clusters import Cluster, Deviation
from tongbao.risk.models.rates import LearnedRates
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import rules_text
from tongbao.risk.policy.language import ValuesReader
from tongbao.risk.policy.tiering import weigh
from tongbao.risk.schema.discoveries import Discovery
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.models import Interval
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import discovery_findings
from tongbao.risk.service.compiling import DEFAULT, POLICY, checker
from tongbao.risk.service.discovering import EVERY, KEPT, Discovering
from tongbao.risk.service.discovery_detectors import (
    GOOD_MIN,
    WATCHED,
    Detectors,
    digests,
    packed,
    unpacked,
)
from tongbao.risk.service.discovery_reading import FRAUD, GOOD, UNKNOWN, Look, Seen, read
from tongbao.risk.service.discovery_words import cluster_text, condition_text, rule_text
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.store import discoveries as store

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def plain(number: int, at: datetime, **fields: object) -> Assessed:
    """A payment that nobody knows anything of."""
    values: dict[str, object] = {
        "id": UUID(int=number + 1),
        "at": at,
        "book_id": BOOK,
        "live": False,
        "subject_id": UUID(int=1),
        "value": 2_000,
        "currency": "EUR",
        "method": "card",
    }
    return assessed(Signals(**(values | fields)))  # type: ignore[arg-type]


def seen_of(x: np.ndarray, judged: list[Assessed], labels: list[int], matured: list[bool]) -> Seen:
    """Payments as a fold of the journal gives them, with what is believed before any outcome."""
    beliefs = LearnedRates().beliefs((), NOW.timestamp())
    return Seen(x, tuple(judged), np.array(labels), np.array(matured, dtype=np.bool_), beliefs)


class Known(NamedTuple):
    """A house with a month of test payments behind it, and what was discovered there."""

    discovering: Discovering
    stream: Stream
    seen: Seen
    found: Discovery
    next_position: int


@pytest.fixture(scope="module")
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture(scope="module")
async def known(database: Database, ids: IdFactory, clock: FrozenClock) -> Known:
    stream = Stream(NOW)
    position = await deliver(database, clock, stream.facts)
    discovering = Discovering(database, clock, ids, Shelf(database, clock))
    found = await discovering.run(live=False, days=28)
    look = Look(False, found.findings.from_at, NOW - timedelta(days=7), NOW)
    seen = await read(database, look, lambda _step, _count: None)
    return Known(discovering, stream, seen, found, position)


def test_planted_fraud_is_mined_as_a_rule(known: Known) -> None:
    findings = known.found.findings
    assert findings.fraud_count == FRAUDS
    assert findings.payment_count + findings.recent_count == len(known.stream.facts) - FRAUDS
    planted = [each for each in findings.rules if each.recall > 0.9]
    assert planted
    assert planted[0].precision.value > 0.7
    assert planted[0].lift.low > 5
    assert 0 < planted[0].support < 0.15
    assert planted[0].chance < 1e-6
    assert "country" in planted[0].when or "mismatch" in planted[0].when
    assert f"{planted[0].fraud_count:,} are fraud" in planted[0].en
    assert "欺诈" in planted[0].zh


def test_mined_rules_can_be_pasted_and_match_what_was_counted(known: Known) -> None:
    text = "".join(each.text for each in known.found.findings.rules)
    read_back = rules_text.parse(text)
    assert rules_text.format_rules(read_back) == text
    assert all(each.is_draft and each.owner == "discovery" for each in read_back.rules)
    places = np.flatnonzero(known.seen.is_telling)
    newer = places[len(places) - round(len(places) * 0.4) :]
    for rule, mined in zip(read_back.rules, known.found.findings.rules, strict=True):
        reader = ValuesReader(rule.when.fields, NAMES)
        hits = [
            row
            for row in newer.tolist()
            if rule.when.test(reader.read(known.seen.judged[row].signals, known.seen.x[row]))
        ]
        assert len(hits) == mined.count
        assert int((known.seen.labels[hits] == FRAUD).sum()) == mined.fraud_count


def test_hours_are_mined_as_rules_read_them() -> None:
    """The feature of the hour has a fraction, the signal of that name has none."""
    minutes = np.random.default_rng(3).integers(24 * 60, size=2_000).tolist()
    judged = [plain(row, NOW.replace(hour=0) + timedelta(minutes=each)) for row, each in enumerate(minutes)]
    x = np.full((len(judged), len(NAMES)), np.nan)
    x[:, NAMES.index("hour")] = [each / 60 for each in minutes]
    labels = [FRAUD if each.signals.at.hour == 0 else UNKNOWN for each in judged]
    best = discovery_findings.rules(seen_of(x, judged, labels, [True] * len(judged)))[0]
    rule = rules_text.parse(best.text).rules[0]
    assert rule.when.text == "hour <= 0"
    assert "time of day before 01:00 UTC" in best.en
    reader = ValuesReader(rule.when.fields, NAMES)
    newer = [row for row in range(1_200, 2_000) if rule.when.test(reader.read(judged[row].signals, x[row]))]
    assert (best.count, best.precision.value) == (len(newer), 1.0)


@pytest.mark.parametrize(
    ("tier", "label", "is_matured", "telling", "waiting"),
    [
        (Tier.FRICTIONLESS, UNKNOWN, True, True, False),
        (Tier.FRICTIONLESS, UNKNOWN, False, False, True),
        (Tier.FRICTIONLESS, FRAUD, False, False, False),
        (Tier.DECLINE, UNKNOWN, True, False, False),
        (Tier.DECLINE, GOOD, True, True, False),
        (Tier.DECLINE, UNKNOWN, False, False, True),
    ],
)
def test_payment_tells_or_waits_by_age_label_and_tier(
    tier: Tier, label: int, is_matured: bool, telling: bool, waiting: bool
) -> None:
    judged = assessed(plain(0, NOW).signals, tier)
    seen = seen_of(np.zeros((1, len(NAMES))), [judged], [label], [is_matured])
    assert (bool(seen.is_telling[0]), bool(seen.is_waiting[0])) == (telling, waiting)


def test_fraud_of_declined_payments_alone_gives_no_rules() -> None:
    """Nobody complains of what was declined, so silence does not make it good."""
    judged = [assessed(plain(row, NOW).signals, Tier.DECLINE) for row in range(500)]
    x = np.random.default_rng(1).normal(size=(500, len(NAMES)))
    assert discovery_findings.rules(seen_of(x, judged, [UNKNOWN] * 500, [True] * 500)) == ()


def test_tier_of_an_ordinary_payment_changes_at_the_cut(known: Known) -> None:
    cut = known.found.findings.cut
    waiting = [known.seen.judged[row].signals.value for row in np.flatnonzero(known.seen.is_waiting)]
    value = int(np.median(waiting))
    tiers = [
        weigh(chance, value, known.seen.beliefs, DEFAULT.terms, DEFAULT.within).best
        for chance in (cut * 0.999, cut * 1.001)
    ]
    assert tiers[0] is Tier.FRICTIONLESS
    assert tiers[1] is not Tier.FRICTIONLESS


def test_detectors_come_back_as_they_were_kept_and_need_good_payments() -> None:
    rng = np.random.default_rng(5)
    x = rng.lognormal(size=(400, len(NAMES)))
    x[rng.random(x.shape) < 0.1] = np.nan
    is_good = rng.random(400) < 0.9
    fitted = Detectors.fit(x, is_good, 3)
    loaded = Detectors.load(unpacked(packed(fitted.dumps()), digests(fitted.dumps())))
    ranks = fitted.rank(x)
    assert loaded.rank(x).tobytes() == ranks.tobytes()
    assert loaded.dumps() == fitted.dumps() == Detectors.fit(x, is_good, 3).dumps()
    assert ((ranks >= 0) & (ranks <= 1)).all()
    odd = np.full(len(NAMES), np.nan)
    odd[NAMES.index("value")] = 1e7
    assert fitted.telling(odd) == ["value"]
    assert fitted.rank(odd[None])[0] > np.median(ranks)
    with pytest.raises(InvalidRequest, match=f"discovery_payments_few.*{GOOD_MIN} are needed"):
        Detectors.fit(x, np.arange(400) < GOOD_MIN - 1, 3)
    with pytest.raises(InvalidRequest, match="anomaly_rows_invalid"):
        Detectors.fit(np.zeros((400, len(NAMES))), np.ones(400, dtype=np.bool_), 3)
    with pytest.raises(InvalidRequest, match=r"risk_state_invalid.*isolation_forest is missing"):
        Detectors.load({name: each for name, each in fitted.dumps().items() if name != "isolation_forest"})
    assert set(WATCHED) <= set(NAMES)


@pytest.mark.parametrize(
    ("when", "en", "zh"),
    [
        ("card_count_1h > 5", "card: payments, 1h over 5", "卡近 1 小时付款笔数超过 5"),
        ("value <= 12300", "amount at most 123.00", "金额不超过 123.00"),
        ("sign_emulator > 0", "emulated device: yes", "模拟器：是"),
        ("sign_emulator <= 0", "emulated device: no", "模拟器：否"),
        ("hour > 21", "time of day from 22:00 UTC", "时刻不早于 22:00 UTC"),
        ("customer_z > -0.5", "customer: amount above the mean, in standard deviations over -0.5", None),
        (
            'card_country == "NG" and mcc == "7995"',
            "country of the card NG and merchant category 7995",
            "发卡国家为 NG，且商户类别码为 7995",
        ),
    ],
)
def test_condition_is_told_in_words(when: str, en: str, zh: str | None) -> None:
    assert condition_text(when, "en") == en
    if zh is not None:
        assert condition_text(when, "zh") == zh


def test_rule_and_cluster_are_told_in_words() -> None:
    mined = MinedRule(
        text="card_count_1h > 5",
        conditions=1,
        count=1_200,
        fraud_count=300,
        support=0.01,
        precision=Interval(0.25, 0.22, 0.28),
        recall=0.5,
        lift=Interval(25.0, 22.0, 28.0),
        mined_lift=26.0,
        chance=1e-9,
    )
    assert rule_text(mined, "en") == (
        "card: payments, 1h over 5: of 1,200 newer payments that match 300 are fraud (25.0%), 25.0 times the usual share"
    )
    assert rule_text(mined, "zh").endswith("命中 1,200 笔，其中 300 笔为欺诈（25.0%），是平均水平的 25.0 倍")
    deviations = (Deviation("customer_count_30d", 3.1), Deviation("customer_age_d", -1.2))
    cluster = Cluster(share=0.2, deviations=deviations)
    assert (
        cluster_text(cluster, "en") == "high: customer: payments, 30d (+3.1); low: customer: known for (-1.2)"
    )
    assert (
        cluster_text(cluster, "zh-CN") == "偏高：客户近 30 天付款笔数 (+3.1)；偏低：客户首次出现至今 (-1.2)"
    )
    assert cluster_text(Cluster(share=1.0, deviations=()), "en") == "average in everything"


def test_planted_oddities_come_first_for_labels(known: Known) -> None:
    queue = known.found.findings.queue
    first = {each.id for each in queue[: ODD + 1]}
    assert {each.id for each in known.stream.odd} <= first
    assert len(first & {each.id for each in known.stream.spree}) == 1
    assert [each.priority for each in queue] == sorted((each.priority for each in queue), reverse=True)
    odd = next(each for each in queue if each.id == known.stream.odd[0].id)
    assert odd.anomaly_rank > 0.99
    assert "emulated device yes" in odd.en
    assert "模拟器" in odd.zh
    assert (odd.book_id, odd.currency, odd.tier) == (BOOK, "EUR", "frictionless")


def test_queue_holds_recent_unlabelled_payments_one_a_payer(known: Known) -> None:
    queue = known.found.findings.queue
    assert {each.id for each in queue} <= known.stream.recent_ids
    judged = {each.signals.id: each.signals for each in known.seen.judged}
    for keys in zip(
        *((judged[each.id].card, judged[each.id].device, judged[each.id].customer) for each in queue),
        strict=True,
    ):
        assert len(set(keys)) == len(queue)


def test_kinds_of_customers_are_described(known: Known) -> None:
    findings = known.found.findings
    assert findings.silhouette is not None
    assert sum(each.share for each in findings.clusters) == pytest.approx(1)
    customers = {each.signals.customer for each in known.seen.judged}
    assert sum(each.customer_count for each in findings.clusters) <= len(customers)
    biggest = findings.clusters[0]
    assert biggest.fraud_share is not None
    assert biggest.fraud_share.low < biggest.fraud_share.value < biggest.fraud_share.high
    assert all(each.en and each.zh for each in findings.clusters)


async def test_fresh_queue_by_kept_detectors_equals_that_of_the_discovery(known: Known) -> None:
    assert await known.discovering.queue(live=False, count=10) == known.found.findings.queue[:10]


async def test_labelled_payment_leaves_the_queue(
    known: Known, database: Database, clock: FrozenClock
) -> None:
    first = known.found.findings.queue[0]
    signals = next(each.signals for each in known.seen.judged if each.signals.id == first.id)
    await deliver(database, clock, [labelled(signals, NOW, is_fraud=False)], known.next_position)
    kept = await known.discovering.newest(live=False)
    assert kept is not None
    assert kept.id == known.found.id
    assert kept.findings.queue == known.found.findings.queue[1:]
    assert first.id not in {each.id for each in await known.discovering.queue(live=False)}


async def test_case_about_a_payment_takes_it_off_the_queue(
    known: Known, database: Database, ids: IdFactory
) -> None:
    second = known.found.findings.queue[1]
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO risk.case_payment (case_id, event_id, body) VALUES ($1, $2, '{}')",
            ids.uuid(),
            second.id,
        )
    kept = await known.discovering.newest(live=False)
    assert kept is not None
    assert second.id not in {each.id for each in kept.findings.queue}


async def test_run_is_due_once_a_week_and_waits_for_traffic(database: Database, ids: IdFactory) -> None:
    clock = FrozenClock(NOW)
    discovering = Discovering(database, clock, ids, Shelf(database, clock))
    with pytest.raises(InvalidRequest, match="discovery_payments_few"):
        await discovering.run()
    assert await discovering.run_if_due() is None
    assert await discovering.newest() is None
    with pytest.raises(NotFound, match="discovery_missing"):
        await discovering.queue()
    await deliver(database, clock, Stream(NOW, live=True, good=300, frauds=0).facts, 50_000)
    assert await discovering.run_if_due() is None, "it was tried in this week"
    clock.advance(EVERY)
    made = await discovering.run_if_due()
    assert made is not None
    assert made.findings.fraud_count == 0
    assert made.findings.rules == ()
    assert await discovering.run_if_due() is None
    later = FrozenClock(clock.now() + EVERY - timedelta(seconds=1))
    other = Discovering(database, later, ids, Shelf(database, later))
    assert await other.run_if_due() is None, "another process looked less than a week ago"
    later.advance(timedelta(seconds=1))
    again = await other.run_if_due()
    assert again is not None
    assert again.id != made.id
    assert (await other.newest()) == again


async def test_newest_few_are_kept_in_each_mode(known: Known, database: Database, ids: IdFactory) -> None:
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM risk.discovery WHERE live")
        rows = [
            store.DiscoveryRow(ids.uuid(), True, NOW + timedelta(days=day), "", b"")
            for day in range(KEPT + 2)
        ]
        for row in rows:
            await store.save(connection, row, b"", KEPT)
        kept = await connection.fetch("SELECT id FROM risk.discovery WHERE live ORDER BY made_at")
        assert [row[0] for row in kept] == [row.id for row in rows[2:]]
        assert await store.detectors(connection, rows[0].id) is None
        await connection.execute("DELETE FROM risk.discovery WHERE live")
        newest = await store.newest(connection, False)
    assert newest is not None
    assert newest.id == known.found.id


async def test_damaged_discovery_is_refused(known: Known, database: Database) -> None:
    async def write(column: str, value: bytes) -> None:
        async with database.transaction() as connection:
            statement = {
                "body": "UPDATE risk.discovery SET body = $1 WHERE id = $2",
                "detectors": "UPDATE risk.discovery SET detectors = $1 WHERE id = $2",
            }[column]
            await connection.execute(statement, value, known.found.id)

    async with database.connection() as connection:
        row = await store.newest(connection, False)
        payload = await store.detectors(connection, known.found.id)
    assert row is not None
    assert payload is not None
    assert hashlib.sha256(row.body).hexdigest() == known.found.digest
    await write("body", row.body.replace(b"mined", b"taken", 1))
    with pytest.raises(InvariantBroken, match="discovery_damaged"):
        await known.discovering.newest(live=False)
    await write("body", row.body)
    for broken in (payload[:-1], payload[:2_000] + b"x" + payload[2_001:]):
        await write("detectors", broken)
        with pytest.raises(InvariantBroken, match="discovery_damaged"):
            await known.discovering.queue(live=False)
    await write("detectors", payload)
    assert await known.discovering.queue(live=False, count=1)


@pytest.mark.parametrize(
    ("days", "count", "code"),
    [
        (0, 10, "discovery_days_invalid"),
        (366, 10, "discovery_days_invalid"),
        (7, 0, "discovery_count_invalid"),
        (7, 201, "discovery_count_invalid"),
    ],
)
async def test_queue_out_of_range_is_refused(known: Known, days: int, count: int, code: str) -> None:
    with pytest.raises(InvalidRequest, match=code):
        await known.discovering.queue(live=False, days=days, count=count)


@pytest.mark.parametrize("days", [0, -1, 366])
async def test_run_over_days_out_of_range_is_refused(known: Known, days: int) -> None:
    with pytest.raises(InvalidRequest, match="discovery_days_invalid"):
        await known.discovering.run(live=False, days=days)


async def test_policy_in_force_says_where_the_tier_changes(
    known: Known, database: Database, ids: IdFactory, clock: FrozenClock
) -> None:
    """Where it costs more to bother good payers, it takes a higher chance of fraud to do so."""
    policies = Decisions(database, clock, ids, {POLICY: checker()}).policies
    before = await known.discovering.queue(live=False)
    spec = {"step_up_price": 2_000, "review_price": 2_000, "costs": {"goodwill": 2_000}}
    drafted = await policies.draft(POLICY, spec, "", "mei")
    await policies.publish(POLICY, drafted.version, "mei")
    await policies.roll_out(POLICY, RolloutOrder(champion=drafted.version), "mei")
    after = await known.discovering.queue(live=False)
    assert {each.id for each in after} <= known.stream.recent_ids
    said = f"the tier changes at {known.found.findings.cut:.2%}"
    assert any(said in each.en for each in before)
    assert not any(said in each.en for each in after)
    assert {each.id: each.priority for each in after} != {each.id: each.priority for each in before}
