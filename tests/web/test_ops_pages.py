"""The ops console page by page: both languages, hostile names, empty states, unknown ids, the way to a payment, every act."""

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.web.signed_in import ANALYST, SignedIn, become, signed_in
from tests.web.whole_house import BASE, Whole, open_whole, random_decision

from tongbao.clearing.schema.announcements import AnnouncedHoliday, AnnouncementOrder
from tongbao.core.db import Database
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import int_text
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.experiments import ExperimentDraft, ExperimentState, Metric
from tongbao.decisions.schema.policies import Guardrail
from tongbao.parties.schema import MERCHANT_PREFIX, MerchantState, OperatorRole
from tongbao.routing.schema.health import Counts
from tongbao.routing.schema.notices import Notice, NoticeKind
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.web import pages
from tongbao.web.locale import ledger, ops_house, stories
from tongbao.web.locale import ops as words
from tongbao.web.ops import board_view, doctor_view
from tongbao.web.ops.board_view import Span

LANGUAGES = ("en", "zh-CN")
PAGE_BYTES_MAX = 120 * 1024
SCRIPT = "<script>alert(1)</script>"
EVERYTHING = (OperatorRole.OPERATOR_L2, OperatorRole.RISK, OperatorRole.AUDITOR)
OPS_TEMPLATES = [
    "house",
    "_modes",
    "alerts",
    "health",
    "_health",
    "today",
    "_today",
    "wall",
    "_wall",
    "wall_kiosk",
    "list",
    "merchant",
    "people",
    "settings",
    "payment",
    "payment_decisions",
    "decisions",
    "costs",
    "experiments",
    "experiment",
    "policies",
    "routing",
    "doctor",
]
PAGES = {
    "/ops/today?mode=live": ("No payments in the last hour", "最近一小时没有付款"),
    "/ops/alerts?mode=live": ("What is wrong now", "当前的异常"),
    "/ops/health?mode=live": ("Readers of facts", "事实处理器"),
    "/ops/wall?mode=live": ("Rails in traffic", "正常通道"),
    "/ops/routing?mode=live": ("there is nothing to judge", "暂无可评判的内容"),
    "/ops/routing/doctor?mode=live": ("There are too few payments", "支付笔数太少"),
    "/ops/payments?mode=live": ("Nobody has paid yet", "还没有付款"),
    "/ops/decisions": ("Nothing was decided", "没有决策"),
    "/ops/policies": ("No policy has been rolled out", "尚未发布任何策略"),
    "/ops/experiments": ("No experiments yet", "还没有实验"),
    "/ops/costs?mode=live": ("Nothing was cleared", "没有清算记录"),
    "/ops/merchants": ("No merchant has been opened", "还没有商户"),
    "/ops/audit": ("Signed in", "登录"),
    "/ops/people": ("What roles may do", "角色权限"),
}


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


@pytest.fixture(autouse=True)
async def somebody(whole: Whole) -> SignedIn:
    """Whoever may see and do everything that is tried here."""
    return await become(whole, "Lin", EVERYTHING)


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
    assert [tag for tag, _ in tags].count("h1") == 1
    hidden = ("hidden", "checkbox", "radio")
    fields = {
        attrs["id"] for tag, attrs in tags if tag in {"input", "select"} and attrs.get("type") not in hidden
    }
    assert fields <= {attrs["for"] for tag, attrs in tags if tag == "label"}
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    assert SCRIPT not in answer.text
    return answer.text


async def post(whole: Whole, path: str, who: SignedIn, **fields: object) -> tuple[int, str]:
    """Send a form as somebody; return the status, and where it leads or what it says."""
    body = {"csrf": who.csrf, **{name: str(value) for name, value in fields.items()}}
    answer = await whole.http.post(path, data=body, headers={"origin": BASE})
    return answer.status_code, answer.headers.get("location", answer.text)


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
    for path, texts in PAGES.items():
        for language, text in zip(LANGUAGES, texts, strict=True):
            assert text in await get(whole, path, language=language), path


async def test_payment_is_explained_and_found_by_each_of_its_ids(whole: Whole) -> None:
    tenant = await whole.tenant()
    intent = await whole.pay(tenant)
    await whole.tally()
    address = f"/ops/payments/{intent}/decisions"
    for language, texts in zip(
        LANGUAGES,
        (
            ("Over ", "Probability", "approved", "Same answer: yes"),
            ("经由 ", "选择概率", "已通过", "结果相同：是"),
        ),
        strict=True,
    ):
        html = await get(whole, address, language=language)
        assert [text for text in texts if text not in html] == []
    # Risk control decides first, and an attempt comes of where the payment was routed.
    decision = re.findall(r'id="(dec_[0-9a-z]{26})"', html)[-1]
    attempt = re.findall(r"\bpa_[0-9a-z]{26}", html)[0]
    for wanted, target in (
        (intent, f"/ops/payments/{intent}"),
        (decision, f"{address}#{decision}"),
        (attempt, f"{address}#{decision}"),
        (f" {attempt} ", f"{address}#{decision}"),
    ):
        answer = await whole.http.get("/ops/payments", params={"q": wanted})
        assert (answer.status_code, answer.headers["location"]) == (303, target)
    for language, text in zip(LANGUAGES, ("What happened", "经过"), strict=True):
        assert text in await get(whole, f"/ops/payments/{intent}", language=language)
    whole.clock.advance(timedelta(minutes=1))
    assert intent in await get(whole, "/ops/payments?mode=test")
    assert intent in await get(whole, "/ops/decisions")


async def test_payments_are_narrowed_and_exported(whole: Whole) -> None:
    tenant = await whole.tenant()
    intent = await whole.pay(tenant, 4_242)
    merchant = int_text(MERCHANT_PREFIX, tenant.merchant.merchant_id)
    whole.clock.advance(timedelta(minutes=1))
    base = f"/ops/payments?mode=test&merchant={merchant}"
    assert intent in await get(whole, f"{base}&state=succeeded&method=card&columns=amount.id")
    assert intent not in await get(whole, f"{base}&state=declined&columns=amount.id")
    file = await whole.http.get(f"{base}&format=csv&columns=amount.id")
    assert file.headers["content-type"].startswith("text/csv")
    assert file.text.split() == ["Amount,Id", f"42.42,{intent}"]


@pytest.mark.parametrize(
    "wanted",
    ["pi_nothing", "dec_" + "0" * 26, "pa_" + "0" * 26, "re_" + "0" * 26, "order 7", SCRIPT, "pi_\0"],
)
@pytest.mark.parametrize("path", ["/ops/payments", "/ops/decisions"])
async def test_search_for_what_is_unknown_says_so_with_404(whole: Whole, wanted: str, path: str) -> None:
    for language in LANGUAGES:
        await get(whole, f"{path}?q=" + wanted.replace("\0", "%00"), 404, language)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ops/payments/pi_00000000000000000000000001", 404),
        ("/ops/payments/pi_00000000000000000000000001/decisions", 404),
        ("/ops/payments/nonsense/decisions", 404),
        ("/ops/payments/dec_00000000000000000000000001/decisions", 404),
        ("/ops/policies?policy=unheard-of", 404),
        ("/ops/merchants/acct_0000000000001", 404),
        ("/ops/merchants/nonsense", 404),
        ("/ops/experiments/book_1/none", 404),
        ("/ops/experiments/nonsense/none", 404),
        ("/ops/routing?amount=nonsense", 422),
        ("/ops/routing/doctor?period=2000y", 400),
        ("/ops/routing/doctor?baseline=never", 400),
        ("/ops/routing/doctor?mode=both", 400),
        ("/ops/live?channels=nonsense", 404),
    ],
)
async def test_wrong_address_is_a_page_with_its_status(whole: Whole, path: str, status: int) -> None:
    for language in LANGUAGES:
        await get(whole, path, status, language)
    assert (await whole.http.get("/ops/payments", params={"q": random_decision()})).status_code == 404


@pytest.mark.parametrize(
    ("path", "permission"),
    [("/ops/people", "staff.read"), ("/ops/audit", "audit.read"), ("/ops/settings", "settings.write")],
)
async def test_page_of_others_is_refused_with_the_permission_it_needs(
    whole: Whole, path: str, permission: str
) -> None:
    await become(whole, "Mei", ANALYST)
    assert permission in await get(whole, path, 403)


@pytest.mark.parametrize("path", [*PAGES, "/ops/settings", "/ops/live?channels=today"])
async def test_page_of_nobody_leads_to_sign_in(whole: Whole, path: str) -> None:
    whole.http.cookies.clear()
    answer = await whole.http.get(path)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")


async def test_administrator_sees_how_the_house_is_set_up(whole: Whole) -> None:
    await become(whole, "Ann", (OperatorRole.ADMIN,))
    html = await get(whole, "/ops/settings")
    assert all(text in html for text in ("east", "west", "http://localhost"))


@pytest.mark.parametrize(
    "path",
    [
        "/ops/alerts",
        "/ops/policies/publish",
        "/ops/policies/replay",
        "/ops/policies/rollout",
        "/ops/merchants/acct_0000000000001/state",
        "/ops/experiments/book_1/x/stop",
    ],
)
async def test_form_without_the_token_of_its_page_does_nothing(whole: Whole, path: str) -> None:
    answer = await whole.http.post(path, data={"reason": "x", "policy": "routing", "csrf": "wrong"})
    assert answer.status_code in (401, 403), path


async def test_merchant_is_suspended_with_a_reason_and_opened_again(whole: Whole, somebody: SignedIn) -> None:
    merchant = await whole.people.merchant()
    path = f"/ops/merchants/{int_text(MERCHANT_PREFIX, merchant.merchant_id)}"
    assert "Suspend" in await get(whole, path)
    status, said = await post(whole, f"{path}/state", somebody, act="suspend", version=merchant.version)
    assert (status, "Not done" in said) == (400, True)
    status, where = await post(
        whole,
        f"{path}/state",
        somebody,
        act="suspend",
        version=merchant.version,
        reason=f"Complaints {SCRIPT}",
    )
    assert (status, where) == (303, f"{path}?said=merchant_suspend")
    found = await whole.house.parties.merchants.any(whole.people.operator, merchant.merchant_id)
    assert found.state is MerchantState.SUSPENDED
    assert (
        await post(whole, f"{path}/state", somebody, act="open", version=merchant.version, reason="again")
    )[0] == 409
    for language, text in zip(LANGUAGES, ("Suspended", "暂停"), strict=True):
        html = await get(whole, f"{path}?said=merchant_suspend", language=language)
        assert text in html
        assert "Lin" in html
    status, _ = await post(
        whole, f"{path}/state", somebody, act="open", version=found.version, reason="settled"
    )
    assert status == 303
    audit = await get(whole, "/ops/audit?room=parties")
    assert all(text in audit for text in ("Complaints", "settled", "Lin", "Opened again"))
    file = (await whole.http.get(f"/ops/audit?format=csv&who={somebody.actor}")).text
    assert "settled" in file
    assert "Complaints" in file
    assert "settled" not in await get(whole, "/ops/audit?room=decisions")
    assert (await post(whole, f"{path}/state", somebody, act="erase"))[0] == 404


async def test_person_without_the_right_sees_no_acts_and_cannot_do_them(whole: Whole) -> None:
    merchant = await whole.people.merchant()
    path = f"/ops/merchants/{int_text(MERCHANT_PREFIX, merchant.merchant_id)}"
    reader = await become(whole, "Ode", (OperatorRole.AUDITOR,))
    assert "Suspend" not in await get(whole, path)
    status, _ = await post(whole, f"{path}/state", reader, act="suspend", version=1, reason="x")
    assert status == 403
    assert (await post(whole, "/ops/policies/publish", reader, policy="routing", version=1))[0] == 403


async def test_board_tells_a_failing_channel_and_the_doctor_names_it(
    whole: Whole, somebody: SignedIn
) -> None:
    well = [attempted(whole, channel=name) for name in ("east", "west") for _ in range(150)]
    hour_ago = whole.clock.now() - timedelta(minutes=70)
    earlier = [
        attempted(whole, channel=name, occurred_at=hour_ago) for name in ("east", "west") for _ in range(150)
    ]
    await publish(whole, earlier)
    await publish(whole, well)
    html = await get(whole, "/ops/routing?mode=live")
    assert "Channels are well" in html
    assert html.count('class="tag ok">In traffic') >= 2
    ill = [attempted(whole, channel="west", mark=Mark.TECHNICAL, code="channel_error") for _ in range(60)]
    await publish(whole, ill)
    view = await board_view.Boards(whole.house).read(True)
    west = next(row for row in view.methods[0].rows if row.channel == "west")
    assert (west.state, view.standing.key, view.standing.names) == (board_view.OPEN, "s_out", ("west",))
    assert west.since is not None
    assert 0 < west.wait_s <= 120
    assert west.counts == Counts(approved=300, technical=60)
    assert west.believed.low <= west.believed.value <= west.believed.high
    assert sum(row.share or 0 for row in view.methods[0].rows) == pytest.approx(1)
    whole.clock.advance(timedelta(seconds=30))
    for language, texts in zip(
        LANGUAGES, (("technical failures", "west"), ("技术故障", "west")), strict=True
    ):
        html = await get(whole, "/ops/routing/doctor?mode=live&period=1h", language=language)
        assert [text for text in texts if text not in html] == []
    alerts = await get(whole, "/ops/alerts?mode=live")
    # By now it is out of traffic still, or tried again.
    key = re.findall(r'name="alert" value="(breaker_\w+:card/west)"', alerts)[0]
    status, said = await post(whole, "/ops/alerts?mode=live", somebody, alert=key, reason="")
    assert (status, "Not done" in said) == (400, True)
    status, where = await post(
        whole, "/ops/alerts?mode=live", somebody, alert=key, reason=f"Called them {SCRIPT}"
    )
    assert (status, where) == (303, "/ops/alerts?mode=live&said=alert_seen")
    assert "Called them" in await get(whole, where)
    status, where = await post(whole, "/ops/alerts?mode=live", somebody, alert="drift:none", reason="x")
    assert (status, where) == (303, "/ops/alerts?mode=live&said=alert_gone")
    today = await get(whole, "/ops/today?mode=live")
    assert re.search("(Out of traffic|again with a few payments): west", today)


async def test_supposed_payment_is_routed_without_being_made(whole: Whole) -> None:
    for language, text in zip(LANGUAGES, ("chosen", "已选"), strict=True):
        html = await get(
            whole, "/ops/routing?mode=test&amount=120.00&currency=CNY&method=card", language=language
        )
        assert "east" in html
        assert "Probability" in html or "选择概率" in html, text
    assert "No channel" in await get(whole, "/ops/routing?mode=test&amount=100&currency=JPY&method=card", 409)


async def test_hostile_names_are_escaped_wherever_they_are_shown(whole: Whole) -> None:
    facts = [
        attempted(whole, channel=SCRIPT, method=SCRIPT, issuer=SCRIPT, mark=mark, code=SCRIPT)
        for mark in (Mark.APPROVED, *[Mark.TECHNICAL] * 20)
    ]
    await publish(whole, facts)
    whole.clock.advance(timedelta(minutes=1))
    for path in (
        "/ops/routing",
        "/ops/routing/doctor",
        "/ops/today",
        "/ops/wall",
        "/ops/alerts",
        "/ops/health",
    ):
        for language in LANGUAGES:
            await get(whole, f"{path}?mode=live", language=language)


async def test_policy_is_written_back_tested_published_tried_and_taken_back(
    whole: Whole, somebody: SignedIn
) -> None:
    policies = whole.house.decisions.policies
    for number, strategy in enumerate(("learned", "least_cost"), 1):
        await policies.draft("routing", {"strategy": strategy}, f"Try {SCRIPT}", "mei")
        if number == 1:
            order = {"policy": "routing", "version": 1}
            assert (await post(whole, "/ops/policies/publish", somebody, **order))[0] == 400
            done = await post(whole, "/ops/policies/publish", somebody, **order, reason="the first")
            assert done == (303, "/ops/policies?said=policy_publish&policy=routing")
            rolled = await post(
                whole, "/ops/policies/rollout", somebody, policy="routing", champion=1, reason="go"
            )
            assert rolled[0] == 303
    await whole.follow()
    tenant = await whole.tenant()
    for _ in range(3):
        await whole.pay(tenant)
    await whole.tally()
    done = await post(whole, "/ops/policies/replay?mode=test", somebody, policy="routing", version=2, days=1)
    assert done == (303, "/ops/policies?said=policy_replay&policy=routing")
    assert (await post(whole, "/ops/policies/publish", somebody, policy="routing", version=2, reason="x"))[
        0
    ] == 303
    tried = {"policy": "routing", "champion": 1, "challenger": 2, "share": 5, "reason": "on trial"}
    assert (await post(whole, "/ops/policies/rollout", somebody, **tried))[0] == 303
    rollout = await policies.current("routing")
    assert rollout is not None
    assert (rollout.challenger, rollout.share_bps, rollout.note) == (2, 500, "on trial")
    more = Guardrail(outcome="chosen=east", worse_by=0.2, higher_is_better=False)
    guarded = RolloutOrder(champion=1, challenger=2, share_bps=500, guardrails=(more,))
    await policies.roll_out("routing", guarded, somebody.actor)
    for language, texts in (
        (
            "en",
            ("Version 1 decides for 95%", "Verdict: refused", "rolled out", "“east” is chosen more often"),
        ),
        ("zh-CN", ("第 1 版为 95% 的付款决策", "结论：拒绝评估", "上线", "选择“east”的占比升高超过 0.2")),
    ):
        html = await get(whole, "/ops/policies?version=2&against=1", language=language)
        assert [text for text in texts if text not in html] == []
        assert "least_cost" in html
    back = await post(whole, "/ops/policies/return", somebody, policy="routing", reason="worse")
    assert back[0] == 303
    rollout = await policies.current("routing")
    assert rollout is not None
    assert rollout.challenger is None
    assert (await post(whole, "/ops/policies/retire", somebody, policy="routing", version=1, reason="x"))[
        0
    ] == 409
    assert (await post(whole, "/ops/policies/publish", somebody, policy="unheard-of", version=1, reason="x"))[
        0
    ] == 404
    audit = await get(whole, f"/ops/audit?room=decisions&who={somebody.actor}")
    assert all(text in audit for text in ("Rolled back", "Published", "Back-tested"))


async def test_experiment_is_started_and_stopped_with_a_reason(whole: Whole, somebody: SignedIn) -> None:
    tenant = await whole.tenant()
    draft = ExperimentDraft(
        name="button",
        unit="customer",
        arms=("control", "green"),
        weights_bps={"control": 5_000, "green": 5_000},
        metric=Metric(outcome="paid"),
    )
    made = await whole.house.decisions.experiments.draft(tenant.scope.book_id, draft, "mei")
    path = f"/ops/experiments/{int_text('book', tenant.scope.book_id)}/button"
    assert "button" in await get(whole, "/ops/experiments")
    assert "Not started" in await get(whole, path)
    assert (await post(whole, f"{path}/start", somebody, version=made.version))[0] == 409
    assert (await post(whole, f"{path}/start", somebody, version=made.version, reason="go"))[0] == 303
    running = await whole.house.decisions.experiments.get(tenant.scope.book_id, "button")
    assert running.state is ExperimentState.RUNNING
    for language, text in zip(LANGUAGES, ("Sample ratio", "分流检验"), strict=True):
        assert text in await get(whole, path, language=language)
    assert (await post(whole, f"{path}/stop", somebody, version=running.version + 7, reason="x"))[0] == 409
    assert (await post(whole, f"{path}/stop", somebody, version=running.version, reason="done"))[0] == 303
    stopped = await whole.house.decisions.experiments.get(tenant.scope.book_id, "button")
    assert stopped.state is ExperimentState.STOPPED
    assert (await post(whole, f"{path}/erase", somebody, version=1, reason="x"))[0] == 404


async def test_wall_fills_the_screen_without_anything_around_it(whole: Whole) -> None:
    for scene, title in (("money", "Money in per minute"), ("settlement", "Open breaks")):
        html = await get(whole, f"/ops/wall?kiosk=1&mode=live&scene={scene}")
        assert title in html
        assert 'class="side"' not in html
        assert html.count(" data-scene=") == 4
        shown = re.findall(r'data-scene="(\w+)"( hidden)?', html)
        assert [name for name, hidden in shown if not hidden] == [scene]
    assert "scene=rails" in await get(whole, "/ops/wall?kiosk=1&mode=live&scene=nonsense")


async def test_preferences_hold_in_the_console_too(whole: Whole) -> None:
    whole.http.cookies.update({"theme": "dark", "elder": "1", "lang": "zh-CN"})
    html = await get(whole, "/ops/payments")
    assert '<html lang="zh-CN" data-theme="dark" data-elder>' in html
    answer = await whole.http.get("/ops")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops/today")


async def test_trail_leads_to_announced_holidays(whole: Whole, somebody: SignedIn) -> None:
    order = AnnouncementOrder(
        calendar="US",
        year=2030,
        source="Board of Governors",
        holidays=(AnnouncedHoliday("A day", date(2030, 6, 3), date(2030, 6, 3)),),
    )
    made = await whole.house.clearing.announcements.propose(order, actor=somebody.actor)
    audit = await get(whole, f"/ops/audit?room=clearing&who={somebody.actor}")
    assert "Entered holidays" in audit
    assert f'href="/ops/holidays/{made.text_id}"' in audit


async def test_trail_names_people_and_not_their_ids(whole: Whole) -> None:
    someone = await signed_in(whole, "Lin", EVERYTHING)
    guardrail = Guardrail(outcome="approved", worse_by=0.02)
    await whole.house.decisions.policies.draft("risk", {}, "", someone.actor)
    assert RolloutOrder(champion=1, guardrails=(guardrail,)).guardrails
    html = await get(whole, "/ops/policies?policy=risk")
    assert "Lin" in html
    assert someone.actor not in html


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


def test_every_text_has_words_in_every_language_with_the_same_values() -> None:
    fields = re.compile(r"\{(\w+)\}")
    for key, texts in [*words.TEXTS.items(), *ops_house.TEXTS.items()]:
        assert len(texts) == len(LANGUAGES), key
        assert all(texts), key
        assert set(fields.findall(texts[0])) == set(fields.findall(texts[1])), key
    used = set()
    for name in OPS_TEMPLATES:
        path = pages.HERE / "templates" / "ops" / f"{name}.html"
        used |= set(re.findall(r"(?<!ui)(?:\b|\.)t\('(\w+)'[,)]", path.read_text(encoding="utf-8")))
    known = words.TEXTS.keys() | ops_house.TEXTS.keys() | stories.TEXTS.keys() | ledger.TEXTS.keys()
    assert used - known <= {"brand"}
