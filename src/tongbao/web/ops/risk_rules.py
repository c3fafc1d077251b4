"""Rules: those in force with how often they matched, and an editor that checks, compares and drafts; it never publishes."""

from datetime import timedelta

from fastapi import Request, Response

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.decisions.schema.policies import Rollout
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.rule_drafting import RULES_CHARS_MAX, STARTER_RULES, Checked, TriedRules
from tongbao.web.ops import risk_rule_rows
from tongbao.web.ops.rendering import query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed, language_of, problem_text

HITS_DAYS = 7
VERSIONS_SHOWN = 10
TRIED = timedelta(days=7)


class RulesPage:
    """Answers the page and its editor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, request: Request) -> Response:
        """Answer the rules in force and the editor."""
        return await self._page(request, None, None, None)

    async def act(self, request: Request) -> Response:
        """Check what stands in the editor, or keep it as a draft of a new version. Anybody may check."""
        typed = await self._desk.read(request)
        drafting = self._desk.drafting
        found = await drafting.check(_text(typed), language_of(request))
        if typed.text("act") == "test" and found.wrong is None:
            return await self._page(request, typed, found, None, await self._tried(request, typed))
        if typed.text("act") == "append":
            return await self._appended(request, typed)
        if typed.text("act") != "draft":
            return await self._page(request, typed, found, None)

        async def draft(typed: Typed) -> str:
            typed.require(OperatorPermission.RULES_WRITE)
            if not found.is_sound:
                raise InvalidRequest("rules_not_sound", "only sound rules are drafted")
            if not typed.text("note"):
                raise InvalidRequest("policy_text_invalid", "a draft says what changes, and why")
            made = await drafting.draft(_text(typed), typed.text("note"), typed.actor)
            mode = query(request, "mode")
            return f"/ops/risk/rules?drafted={made.version}" + (f"&mode={mode}" if mode in MODES else "")

        async def again(failed: Failed) -> Response:
            return await self._page(request, failed.typed, found, failed)

        return await self._desk.act(typed, draft, again)

    async def _appended(self, request: Request, typed: Typed) -> Response:
        """Answer the editor with the rule of the rows in it, checked; or with what the rows lack."""
        try:
            text = risk_rule_rows.appended(_text(typed), typed)
        except InvalidRequest as error:
            found = await self._desk.drafting.check(_text(typed), language_of(request))
            return await self._page(request, typed, found, Failed(typed, error))
        kept = {name: value for name, value in typed.fields.items() if not name.startswith("row_")}
        written = typed._replace(fields=kept | {"rules": text})
        checked = await self._desk.drafting.check(text, language_of(request))
        return await self._page(request, written, checked, None)

    async def _tried(self, request: Request, typed: Typed) -> TriedRules | AppError:
        """Return what the rules would have done lately, or why that cannot be told."""
        live = MODES[await self._desk.mode(request)]
        try:
            return await self._desk.drafting.tried(_text(typed), TRIED, language_of(request), live=live)
        except (InvalidRequest, LimitExceeded) as error:
            return error

    async def _page(
        self,
        request: Request,
        typed: Typed | None,
        checked: Checked | None,
        failed: Failed | None,
        tried: TriedRules | AppError | None = None,
    ) -> Response:
        mode = await self._desk.mode(request)
        in_force = await self._desk.drafting.in_force()
        drafted = query(request, "drafted")
        text = in_force.text
        if not text and query(request, "starter"):
            text = STARTER_RULES
        if typed is not None:
            text = _text(typed)
        rollout = in_force.rollout
        versions = await self._desk.house.decisions.policies.versions(POLICY, limit=VERSIONS_SHOWN)
        context = {
            "mode": mode,
            "versions": [(each, role_of(rollout, each.version)) for each in versions],
            "signals": risk_rule_rows.signals(language_of(request)),
            "row_numbers": range(1, risk_rule_rows.ROWS + 1),
            "comparisons": risk_rule_rows.COMPARISONS,
            "rule_acts": risk_rule_rows.ACTS,
            "is_rowed": typed is not None and typed.text("act") == "append",
            "in_force": in_force,
            "hits": await self._desk.overviewing.rule_hits(MODES[mode], timedelta(days=HITS_DAYS)),
            "hits_days": HITS_DAYS,
            "text": text,
            "note": typed.text("note") if typed else "",
            "rows": min(max(text.count("\n") + 3, 12), 40),
            "chars_max": RULES_CHARS_MAX,
            "checked": checked,
            "wrong_line": _line(text, checked),
            "tested": tried if isinstance(tried, TriedRules) else None,
            "test_problem": problem_text(tried, language_of(request)) if isinstance(tried, AppError) else "",
            "test_days": TRIED.days,
            "drafted": drafted if drafted.isdecimal() else "",
        }
        return self._desk.page(request, Shown("risk_rules.html", "rules", context, failed))


def role_of(rollout: Rollout | None, number: int) -> str:
    """Return what a version is in a roll-out; empty where it is nothing."""
    if rollout is None:
        return ""
    if number == rollout.champion:
        return "champion"
    if number == rollout.challenger:
        return "challenger"
    return "shadow" if number == rollout.shadow else ""


def _text(typed: Typed) -> str:
    return typed.fields.get("rules", "")


def _line(text: str, checked: Checked | None) -> tuple[str, str]:
    """Return the line in which something is wrong, cut in two where it is."""
    if checked is None or checked.wrong is None:
        return "", ""
    lines = text.split("\n")
    line = lines[min(checked.wrong.line, len(lines)) - 1]
    at = max(checked.wrong.column - 1, 0)
    return line[:at], line[at:]
