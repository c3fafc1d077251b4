"""The ops console page by page: both languages, hostile names, empty states, unknown ids, the way to a payment."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.web.whole_house import Whole, open_whole, random_decision

from tongbao.core.db import Database
from tongbao.core.events.outbox import Outbox
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.policies import Guardrail
from tongbao.routing.schema.health import Counts
from tongbao.routing.schema.notices import Notice, NoticeKind
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.web import pages
from tongbao.web.locale import ledger
from tongbao.web.locale import ops as words
from tongbao.web.ops import board_view, doctor_view, drawing, rendering
from tongbao.web.ops.drawing import Span

LANGUAGES = ("en", "zh-CN")
PAGE_BYTES_MAX = 120 * 1024
SCRIPT = "<script>alert(1)</script>"
ROLLED_OUT = 500


class _Reader(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    """The whole program's application."""
    home: Path = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home) as opened:
        yield opened


async def get(whole: Whole, path: str, status: int = 200, language: str = "en") -> str:
    """Fetch a page and hold it against everything that must be true of every page."""
    answer = await whole.http.get(path, headers={"accept-language": language})
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert len(answer.content) <= PAGE_BYTES_MAX
    reader = _Reader()
    reader.feed(answer.text)
    tags = reader.tags
    assert not [tag for tag, attrs in tags if tag == "style" or "style" in attrs]
    assert not [tag for tag, attrs in tags if tag == "script" and not attrs.get("src")]
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    if "fragment" not in path:
        assert [tag for tag, _ in tags].count("h1") == 1
        marked = [attrs for tag, attrs in tags if tag == "a" and attrs.get("aria-current") == "page"]
        assert len(marked) == (1 if status == 200 or "q=" in path else 0)
    fields = {
        attrs["id"] for tag, attrs in tags if tag in {"input", "select"} and attrs.get("type") != "hidden"
    }
    assert fields <= {attrs["for"] for tag, attrs in tags if tag == "label"}
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    assert all(attrs.get("aria-label") or attrs.get("aria-labelledby") for tag, attrs in tags if tag == "svg")
    assert SCRIPT not in answer.text
    return answer.text


def attempted(whole: Whole, **fields: Any) -> Attempted:
    """The end of an attempt a moment ago."""
    values: dict[str, Any] = {
        "occurred_at": whole.clock.now(),
        "attempt_id": whole.ids.uuid(),
        "decision_id": None,
        "book_id": 1,
        "live": True,
        "channel": "east",
        "method": "card",
        "issuer": "424242",
        "currency": "CNY",
        "amount_minor": 1_000,
        "mark": Mark.APPROVED,
        "took_ms": 10,
    }
    return Attempted(**(values | fields))


async def publish(whole: Whole, facts: list[Attempted]) -> None:
    """Let routing hear of attempts, and count them."""
    outbox = Outbox(whole.clock, whole.ids)
    async with whole.house.runtime.database.transaction() as connection:
        await outbox.publish(connection, facts)
    await whole.tally()
    while await whole.house.routing.following.step():
        pass
    # By then the board is read anew.
    whole.clock.advance(timedelta(seconds=5))


async def test_empty_house_says_so_on_every_page(whole: Whole) -> None:
    cases = {
        "/ops/routing?mode=live": ("there is nothing to judge", "暂无可评判的内容"),
        "/ops/routing?mode=live&fragment=live": ("no channel failed", "没有通道故障"),
        "/ops/routing/doctor?mode=live": ("There are too few payments", "支付笔数太少"),
        "/ops/payments": ("Nothing was decided", "没有决策"),
        "/ops/policies": ("No policy has been rolled out", "尚未发布任何策略"),
    }
    for path, texts in cases.items():
        for language, text in zip(LANGUAGES, texts, strict=True):
            assert text in await get(whole, path, language=language), path


async def test_payment_is_explained_and_found_by_each_of_its_ids(whole: Whole) -> None:
    tenant = await whole.tenant()
    intent = await whole.pay(tenant)
    await whole.tally()
    address = f"/ops/payments/{intent}/decisions"
    for language, texts in zip(
        LANGUAGES, (("Over ", "Probability", "approved"), ("经由 ", "选择概率", "已通过")), strict=True
    ):
        html = await get(whole, address, language=language)
        assert all(text in html for text in texts)
        assert "routing@" in html
    # Risk control decides first, and an attempt comes of where the payment was routed.
    decision = re.findall(r'id="(dec_[0-9a-z]{26})"', html)[-1]
    attempt = re.findall(r"\bpa_[0-9a-z]{26}", html)[0]
    for wanted, target in (
        (intent, address),
        (decision, f"{address}#{decision}"),
        (attempt, f"{address}#{decision}"),
        (f" {attempt} ", f"{address}#{decision}"),
    ):
        answer = await whole.http.get("/ops/payments", params={"q": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, target)
    assert intent in await get(whole, "/ops/payments")


async def test_ledger_leads_from_an_attempt_to_its_decision(whole: Whole) -> None:
    tenant = await whole.tenant()
    await whole.pay(tenant)
    book = next(
        each
        for each in await whole.house.runtime.ledger.accounts.books()
        if each.book_id == tenant.scope.book_id
    )
    page = await get_plain(whole, f"/books/{book.code}")
    account = re.findall(rf'href="(/books/{book.code}/accounts/\w+)"', page)
    found = [await get_plain(whole, each) for each in account]
    transfer = re.findall(r'href="(/transfers/[^"]+)"', "".join(found))[0]
    link = re.findall(r'href="(/ops/payments\?q=pa_\w+)"', await get_plain(whole, transfer))[0]
    answer = await whole.http.get(link)
    assert answer.status_code == 303
    await get(whole, answer.headers["location"].partition("#")[0])


async def get_plain(whole: Whole, path: str) -> str:
    """Fetch a page of the explorer."""
    answer = await whole.http.get(path)
    assert answer.status_code == 200
    assert 'href="/ops/routing"' in answer.text
    return answer.text


@pytest.mark.parametrize(
    "wanted",
    ["pi_nothing", "dec_" + "0" * 26, "pa_" + "0" * 26, "re_" + "0" * 26, "order 7", SCRIPT, "pi_\0"],
)
async def test_search_for_what_is_unknown_says_so_with_404(whole: Whole, wanted: str) -> None:
    for language in LANGUAGES:
        html = await get(whole, "/ops/payments?q=" + wanted.replace("\0", "%00"), 404, language)
        assert words.TEXTS["not_found_note"][LANGUAGES.index(language)] in html


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ops/payments/pi_00000000000000000000000001/decisions", 404),
        ("/ops/payments/nonsense/decisions", 404),
        ("/ops/payments/dec_00000000000000000000000001/decisions", 404),
        ("/ops/policies?policy=unheard-of", 404),
        ("/ops/routing?mode=both", 400),
        ("/ops/routing/doctor?period=2000y", 400),
        ("/ops/routing/doctor?baseline=never", 400),
    ],
)
async def test_wrong_address_is_a_page_with_its_status(whole: Whole, path: str, status: int) -> None:
    for language, text in zip(LANGUAGES, ("Back to routing", "返回路由"), strict=True):
        assert text in await get(whole, path, status, language)
    assert (await whole.http.get("/ops/payments", params={"q": random_decision()})).status_code == 404


async def test_board_tells_a_failing_channel_and_the_doctor_names_it(whole: Whole) -> None:
    well = [attempted(whole, channel=name) for name in ("east", "west") for _ in range(150)]
    hour_ago = whole.clock.now() - timedelta(minutes=70)
    earlier = [
        attempted(whole, channel=name, occurred_at=hour_ago) for name in ("east", "west") for _ in range(150)
    ]
    await publish(whole, earlier)
    await publish(whole, well)
    html = await get(whole, "/ops/routing?mode=live")
    assert "All is well" in html
    assert html.count("In traffic") == 2
    ill = [
        attempted(whole, channel="west", mark=Mark.TECHNICAL, code="channel_error", method="card")
        for _ in range(60)
    ]
    await publish(whole, ill)
    view = await board_view.Boards(whole.house).read(True)
    west = next(row for row in view.methods[0].rows if row.channel == "west")
    assert (west.state, view.standing.key, view.standing.names) == (board_view.OPEN, "s_out", ("west",))
    assert west.since is not None
    assert 0 < west.wait_s <= 120
    assert west.counts == Counts(approved=300, technical=60)
    assert west.technical == pytest.approx(60 / 360)
    assert west.believed.low <= west.believed.value <= west.believed.high
    assert sum(row.share or 0 for row in view.methods[0].rows) == pytest.approx(1)
    assert len(west.course) == board_view.COURSE_STEPS
    assert west.course[-1] is not None
    assert west.course[0] is None
    for language, text in zip(LANGUAGES, ("technical failures", "技术故障"), strict=True):
        html = await get(whole, "/ops/routing/doctor?mode=live&period=1h", language=language)
        assert text in html
        assert "west" in html
        assert 'class="loss"' in html


async def test_hostile_names_are_escaped_wherever_they_are_shown(whole: Whole) -> None:
    facts = [
        attempted(whole, channel=SCRIPT, method=SCRIPT, issuer=SCRIPT, mark=mark, code=SCRIPT)
        for mark in (Mark.APPROVED, *[Mark.TECHNICAL] * 20)
    ]
    await publish(whole, facts)
    view = await board_view.Boards(whole.house).read(True)
    assert SCRIPT in {row.channel for group in view.methods for row in group.rows}
    whole.clock.advance(timedelta(minutes=1))
    for path in ("/ops/routing?mode=live", "/ops/routing/doctor?mode=live&period=1h"):
        for language in LANGUAGES:
            await get(whole, path, language=language)


async def test_policies_show_roll_out_versions_and_trail(whole: Whole) -> None:
    policies = whole.house.decisions.policies
    for number, strategy in enumerate(("learned", "least_cost"), 1):
        await policies.draft("routing", {"strategy": strategy}, f"Try {SCRIPT}", SCRIPT)
        if number == 1:
            await policies.publish("routing", 1, "mei")
            await policies.roll_out("routing", RolloutOrder(champion=1), "mei")
    await whole.follow()
    tenant = await whole.tenant()
    for _ in range(3):
        await whole.pay(tenant)
    now = whole.clock.now()
    span = (now - timedelta(hours=1), now + timedelta(hours=1))
    await whole.house.routing.replaying.replay("routing", 2, span, "wei", live=False)
    await policies.publish("routing", 2, "wei")
    guardrail = Guardrail(outcome="approved", worse_by=0.02)
    await policies.roll_out(
        "routing",
        RolloutOrder(champion=1, challenger=2, share_bps=ROLLED_OUT, guardrails=(guardrail,)),
        "wei",
    )
    cases = (
        (
            "en",
            ("Version 1 decides for 95%", "on trial", "log does not tell", "Verdict: refused", "rolled out"),
        ),
        ("zh-CN", ("第 1 版为 95% 的付款决策", "试行中", "记录不足", "结论：拒绝评估", "上线")),
    )
    for language, texts in cases:
        html = await get(whole, "/ops/policies", language=language)
        assert [text for text in texts if text not in html] == []
        assert 'class="replay"' in html


async def test_preferences_hold_in_the_console_too(whole: Whole) -> None:
    whole.http.cookies.update({"theme": "dark", "elder": "1", "lang": "zh-CN"})
    try:
        html = await get(whole, "/ops/payments")
    finally:
        whole.http.cookies.clear()
    assert '<html lang="zh-CN" data-theme="dark" data-elder>' in html
    answer = await whole.http.get("/ops")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops/routing")


def test_standing_names_the_worst_first_and_forgets_what_is_mended(whole: Whole) -> None:
    now = whole.clock.now()

    def row(name: str, state: int) -> board_view.ChannelRow:
        belief = Span(0.9, 0.8, 1.0)
        return board_view.ChannelRow(name, True, state, None, 0, belief, Counts(), None, 0.0, None, ())

    def notice(kind: NoticeKind, minutes: float, issuer: str = "") -> Notice:
        at = now - timedelta(minutes=minutes)
        return Notice(
            id=whole.ids.uuid(), at=at, kind=kind, channel="a", live=True, method="card", issuer=issuer
        )

    fell, rose = NoticeKind.ACCEPTANCE_FELL, NoticeKind.ACCEPTANCE_ROSE
    opened, closed = NoticeKind.OPENED, NoticeKind.CLOSED
    cases: tuple[tuple[list[int], list[Notice], str], ...] = (
        ([], [], "s_nothing"),
        ([2, 2], [], "s_all_out"),
        ([2, 1], [], "s_out"),
        ([0, 1], [notice(fell, 5)], "s_tried"),
        ([0, 0], [notice(opened, 5, "424242"), notice(fell, 9)], "s_issuers"),
        ([0, 0], [notice(closed, 3, "424242"), notice(opened, 5, "424242")], "s_well"),
        ([0, 0], [notice(fell, 5)], "s_fell"),
        ([0, 0], [notice(rose, 2), notice(fell, 5)], "s_well"),
        ([0, 0], [notice(fell, 61)], "s_well"),
    )
    for states, notices, key in cases:
        rows = tuple(row(f"c{at}", state) for at, state in enumerate(states))
        methods = (board_view.MethodRows("card", rows, 0.0),) if rows else ()
        assert board_view._standing(methods, notices, now).key == key


@pytest.mark.parametrize("period", doctor_view.PERIODS)
@pytest.mark.parametrize("baseline", doctor_view.BASELINES)
def test_baseline_never_overlaps_the_period(whole: Whole, period: str, baseline: str) -> None:
    visit = doctor_view.visit(whole.clock.now(), period, baseline)
    assert visit.baseline.end <= visit.period.start
    assert visit.baseline.end - visit.baseline.start == visit.period.end - visit.period.start


@pytest.mark.parametrize(("value", "low", "high"), [(0.5, 0.4, 0.6), (0, 0, 0), (1, 1, 1), (2, -1, 3)])
def test_drawings_stay_on_their_track(value: float, low: float, high: float) -> None:
    shown = Span(value, low, high)
    drawn = (
        drawing.span(shown, SCRIPT),
        drawing.loss(shown, SCRIPT, (0.0, 1.0)),
        drawing.share(value, SCRIPT),
        drawing.course([None, value, None, low], 0.0, SCRIPT),
    )
    for svg in drawn:
        assert SCRIPT not in svg
        places = [float(each) for each in re.findall(r'\b(?:x|cx|width)="(-?[\d.]+)"', svg)]
        assert all(0 <= each <= drawing.SPAN_WIDTH for each in places)


def test_course_without_neighbors_is_a_dot_and_gaps_stay_open() -> None:
    svg = drawing.course([0.5, None, 0.7, 0.8], 0.0, "course")
    assert svg.count("M") - svg.count("M0 ") == 2
    assert svg.count("L") == 1
    assert svg.count("<circle") == 1
    assert "<circle" not in drawing.course([None, None], 0.0, "course")


def test_every_text_has_words_in_every_language_with_the_same_values() -> None:
    fields = re.compile(r"\{(\w+)\}")
    for key, texts in words.TEXTS.items():
        assert len(texts) == len(LANGUAGES), key
        assert all(texts), key
        assert set(fields.findall(texts[0])) == set(fields.findall(texts[1])), key
    used = set()
    for path in (pages.HERE / "templates" / "ops").glob("*.html"):
        used |= set(re.findall(r"\bt\('(\w+)'[,)]", path.read_text(encoding="utf-8")))
    assert used <= words.TEXTS.keys() | ledger.TEXTS.keys()


def test_money_of_an_unknown_currency_is_still_written() -> None:
    assert rendering.money(1_234, "CNY", "en").endswith("12.34")
    assert rendering.money(1_234, "???", "en") == "1,234 ???"
    assert rendering.percent(-0.5) == "−50.0%"
