"""Rules: those in force with how often they matched, and an editor that checks, compares and drafts; it never publishes."""

from datetime import timedelta

from fastapi import Request, Response

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.service.rule_drafting import RULES_CHARS_MAX, STARTER_RULES, Checked, TriedRules
from tongbao.web.ops.rendering import query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed, language_of, problem_text

HITS_DAYS = 7
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
        if typed.text("act") != "draft":
            return await self._page(request, typed, found, None)

        async def draft(typed: Typed) -> str:
            typed.require(OperatorPermission.RULES_WRITE)
            if not found.is_sound:
                raise InvalidRequest("rules_not_sound", "only sound rules are drafted")
            if not typed.text("note"):
                raise InvalidRequest("policy_text_invalid", "a draft says what changes, and why")
            made = await drafting.draft(_text(typed), typed.text("note"), typed.actor)
            return f"/ops/risk/rules?drafted={made.version}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, failed.typed, found, failed)

        return await self._desk.act(typed, draft, again)

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
        context = {
            "mode": mode,
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
