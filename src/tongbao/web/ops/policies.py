"""``/ops/policies``: who decides now; versions compared, back-tested, published, tried on a share, promoted and taken back."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from difflib import unified_diff

from fastapi import Response
from markupsafe import Markup

from tongbao.core.errors import AppError, InvalidRequest, NotFound
from tongbao.decisions.policy import report_chart, report_words
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.evaluation import Report, Verdict
from tongbao.decisions.schema.policies import PolicyVersion, Rollout, VersionState
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.service import compiling as risk
from tongbao.risk.service.hindsight import Hindsight
from tongbao.routing.service import compiling as routing
from tongbao.web.ops import policies_view
from tongbao.web.ops.rendering_desk import MODES, Desk, Pages, Shown, mode_of

PATH = "/ops/policies"
TONES = {Verdict.BETTER: "ok", Verdict.WORSE: "error", Verdict.UNDECIDED: "plain", Verdict.REFUSED: "warn"}
SPANS = {"1": 1, "7": 7, "30": 30}
DIFF_LINES_MAX = 400
SHARE_BPS_MAX = 10_000
O = OperatorPermission  # noqa: E741  # one letter keeps the acts readable
Act = Callable[[Desk, str, Mapping[str, str]], Awaitable[object]]


def add(pages: Pages) -> None:
    """Add the page and its acts."""
    pages.get(PATH, _page, O.OPERATIONS_READ)
    pages.post(f"{PATH}/replay", _acting("replay", _replay), O.RULES_WRITE)
    for name, act in (
        ("publish", _publish),
        ("rollout", _roll_out),
        ("promote", _promote),
        ("return", _return),
        ("retire", _retire),
    ):
        pages.post(f"{PATH}/{name}", _acting(name, act), O.RULES_PUBLISH)


def _acting(name: str, act: Act) -> Callable[[Desk], Awaitable[Response]]:
    async def answer(desk: Desk) -> Response:
        return await _act(desk, name, act)

    return answer


async def _page(desk: Desk) -> Response:
    return await _answer(desk, desk.param("policy") or routing.POLICY)


async def _answer(desk: Desk, name: str, status: int = 200, wrong: str = "") -> Response:
    view = await policies_view.view(desk.house.decisions.policies, name)
    language = desk.language
    numbers = [row.version.version for row in view.versions]
    shown = _number(desk.param("version")) or (numbers[0] if numbers else 0)
    against = _number(desk.param("against")) or (view.rollout.champion if view.rollout else 0)
    context = {
        "view": view,
        "name": name,
        "wrong": wrong,
        "rows": [_row(row, name, desk) for row in view.versions],
        "in_force": [_in_force(each, desk) for each in view.in_force],
        "reports": [
            (
                desk.t("version_n", n=each.version),
                (desk.t(f"r_{each.verdict}"), TONES[each.verdict]),
                report_words.report_text(each, language),
                _chart(each, language),
                each.to_at,
            )
            for each in view.reports
        ],
        "trail": [
            (
                desk.ui.when(each.at, "minute"),
                desk.t(f"a_{each.action}"),
                each.version or "—",
                Markup("<bdi>{}</bdi>").format(desk.who(each.actor)),
                Markup("<bdi>{}</bdi>").format(policies_note(each.details) or "—"),
            )
            for each in view.changes
        ],
        "numbers": [(str(each), desk.t("version_n", n=each)) for each in numbers],
        "published": [
            (str(row.version.version), desk.t("version_n", n=row.version.version))
            for row in view.versions
            if row.version.state is VersionState.PUBLISHED
        ],
        "shown": shown,
        "against": against,
        "spans": [(each, desk.t("last_days", n=each)) for each in SPANS],
        "may_publish": desk.visitor.may(O.RULES_PUBLISH),
        "may_write": desk.visitor.may(O.RULES_WRITE) and _kind(name) is not None,
        "share_bps": lambda bps: f"{bps / 100:g}%",
        **await _compared(desk, name, shown, against, numbers),
    }
    return desk.page(Shown("policies.html", "policies", context, status))


def _kind(name: str) -> str | None:
    kind = name.partition("/")[0]
    return kind if kind in (routing.POLICY, risk.POLICY) else None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 7 else 0


async def _compared(desk: Desk, name: str, shown: int, against: int, numbers: list[int]) -> dict[str, object]:
    """Return what a version says, and how that differs from another one."""
    if shown not in numbers:
        return {"spec": "", "diff": ""}
    policies = desk.house.decisions.policies
    one = _lines(await policies.version(name, shown))
    if against not in numbers or against == shown:
        return {"spec": "\n".join(one), "diff": ""}
    other = _lines(await policies.version(name, against))
    found = list(unified_diff(other, one, f"@{against}", f"@{shown}", lineterm="", n=2))[:DIFF_LINES_MAX]
    return {"spec": "\n".join(one), "diff": "\n".join(found)}


def _lines(version: PolicyVersion) -> list[str]:
    return json.dumps(version.spec, indent=2, ensure_ascii=False, sort_keys=True).split("\n")


def _in_force(each: Rollout, desk: Desk) -> tuple[object, ...]:
    link = Markup('<a href="{}?policy={}">{}</a>').format(PATH, each.policy, each.policy)
    tried = (
        Markup("{} · {}").format(each.challenger, f"{each.share_bps / 100:g}%")
        if each.challenger is not None
        else "—"
    )
    return (
        link,
        each.champion,
        tried,
        each.shadow if each.shadow is not None else "—",
        desk.ui.when(each.started_at, "minute"),
        Markup("<bdi>{}</bdi>").format(desk.who(each.started_by)),
    )


def _row(row: policies_view.VersionRow, name: str, desk: Desk) -> tuple[object, ...]:
    version = row.version
    link = Markup('<a href="{}?policy={}&amp;version={}">{}</a>').format(
        PATH, name, version.version, desk.t("version_n", n=version.version)
    )
    state = Markup('<span class="tag {}">{}</span>').format(
        "ok" if version.state is VersionState.PUBLISHED else "plain", desk.t(f"v_{version.state}")
    )
    role = (
        Markup(' <span class="tag review">{}</span>').format(desk.t(f"role_{row.role}")) if row.role else ""
    )
    replay = (
        Markup('<span class="tag {}">{}</span>').format(
            TONES[row.report.verdict], desk.t(f"r_{row.report.verdict}")
        )
        if row.report
        else desk.t("no_replay")
    )
    return (
        link,
        Markup("{}{}").format(state, role),
        Markup("<bdi>{}</bdi>").format(version.note or "—"),
        replay,
        desk.ui.when(version.created_at, "minute"),
        Markup("<bdi>{}</bdi>").format(desk.who(version.created_by)),
    )


def _chart(report: Report, language: str) -> Markup:
    """Return the drawing of a replay; everything from outside was escaped where it was put in."""
    return Markup(report_chart.report_chart(report, language))  # noqa: S704 - drawn by us, escaped there


def policies_note(details: Mapping[str, object]) -> str:
    """Return what somebody wrote down with an act."""
    note = details.get("note")
    return note if isinstance(note, str) else ""


async def _act(desk: Desk, name: str, act: Act) -> Response:
    fields = await desk.form()
    policy = fields.get("policy", "")
    if _kind(policy) is None:
        raise NotFound("policy_not_found", "there is no such policy")
    try:
        await act(desk, policy, fields)
    except AppError as error:
        return await _answer(desk, policy, desk.wrong(error), name)
    return desk.done(PATH, f"policy_{name}", policy=policy)


def _version(fields: Mapping[str, str], name: str = "version") -> int:
    """Return the version that a form names; raise InvalidRequest ``version_missing``."""
    number = _number(fields.get(name, ""))
    if not number:
        raise InvalidRequest("version_missing", "choose a version")
    return number


def _note(fields: Mapping[str, str]) -> str:
    """Return why; raise InvalidRequest ``reason_missing`` where nobody says so."""
    note = fields.get("reason", "").strip()
    if not note:
        raise InvalidRequest("reason_missing", "say why")
    return note


async def _replay(desk: Desk, policy: str, fields: Mapping[str, str]) -> object:
    days = SPANS.get(fields.get("days", ""), 7)
    house, runtime = desk.house, desk.house.runtime
    now = runtime.clock.now()
    live = MODES[await mode_of(desk.floor, desk.request)]
    span = (now - timedelta(days=days), now + timedelta(seconds=1))
    if _kind(policy) == routing.POLICY:
        return await house.routing.replaying.replay(
            policy, _version(fields), span, desk.visitor.actor, live=live
        )
    made = house.decisions
    hindsight = Hindsight(
        runtime.database, runtime.clock, runtime.ledger.ids, (made.log, made.policies), house.risk
    )
    return await hindsight.replaying.replay(policy, _version(fields), span, desk.visitor.actor, live=live)


async def _publish(desk: Desk, policy: str, fields: Mapping[str, str]) -> object:
    return await desk.house.decisions.policies.publish(
        policy, _version(fields), desk.visitor.actor, force=fields.get("force") == "1", note=_note(fields)
    )


async def _roll_out(desk: Desk, policy: str, fields: Mapping[str, str]) -> object:
    share = _number(fields.get("share", "0") or "0") * 100
    tried = _number(fields.get("challenger", ""))
    current = await desk.house.decisions.policies.current(policy)
    order = RolloutOrder(
        champion=_version(fields, "champion"),
        challenger=tried or None,
        share_bps=min(share, SHARE_BPS_MAX) if tried else 0,
        shadow=_number(fields.get("shadow", "")) or None,
        guardrails=current.guardrails if current is not None and tried else (),
        note=_note(fields),
        epoch=_number(fields.get("epoch", "")) or None,
    )
    return await desk.house.decisions.policies.roll_out(policy, order, desk.visitor.actor)


async def _promote(desk: Desk, policy: str, fields: Mapping[str, str]) -> object:
    epoch = _number(fields.get("epoch", "")) or None
    return await desk.house.decisions.policies.promote(
        policy, desk.visitor.actor, note=_note(fields), epoch=epoch
    )


async def _return(desk: Desk, policy: str, fields: Mapping[str, str]) -> object:
    epoch = _number(fields.get("epoch", "")) or None
    return await desk.house.decisions.policies.return_to_control(
        policy, _note(fields), desk.visitor.actor, epoch=epoch
    )


async def _retire(desk: Desk, policy: str, fields: Mapping[str, str]) -> object:
    return await desk.house.decisions.policies.retire(
        policy, _version(fields), desk.visitor.actor, note=_note(fields)
    )
