"""One version of the rules: what it changes, what it would have done, and then its way into force.

The back-test stands before publication: the form to publish is only there, and only obeyed, where it was looked at. What
else a publication takes (a replay for every version but the first) is asked by ``decisions``.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

import msgspec
from fastapi import Request, Response

from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.policies import PolicyVersion, Rollout, VersionState
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.spec import RiskSpec
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.rule_drafting import Checked, TriedRules
from tongbao.web.ops.rendering import query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed, language_of, problem_text
from tongbao.web.ops.risk_rules import TRIED, role_of

PATH = "/ops/risk/rules"
TRIAL_BPS = 1_000
"""A tenth of all payments, for a challenger."""
VERSION_DIGITS_MAX = 6


class VersionView(NamedTuple):
    """What the page shows. ``role``: champion, challenger, shadow or empty; ``step`` as the steps of the page count."""

    version: PolicyVersion
    role: str
    step: int
    text: str
    checked: Checked
    rollout: Rollout | None
    report: Report | None
    needs_replay: bool


class VersionPage:
    """Answers the page and its forms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._policies = desk.house.decisions.policies
        self._acts: dict[str, Callable[[Typed, int, bool], Awaitable[str]]] = {
            "replay": self._replay,
            "publish": self._publish,
            "force": self._force,
        }

    async def show(self, request: Request, version: str) -> Response:
        """Answer a version; with ``tested=1`` its back-test too."""
        return await self._page(request, _number(version), None)

    async def act(self, request: Request, version: str) -> Response:
        """Do what one of the forms asks for."""
        number, mode = _number(version), await self._desk.mode(request)

        async def do(typed: Typed) -> str:
            act = self._acts.get(typed.form)
            if act is None:
                raise InvalidRequest("form_invalid", "this page has no such form")
            said = await act(typed, number, MODES[mode])
            return f"{PATH}/{number}?mode={mode}&tested=1&said={said}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, number, failed)

        return await self._desk.act(await self._desk.read(request), do, again)

    async def _replay(self, typed: Typed, number: int, live: bool) -> str:
        typed.require(OperatorPermission.RULES_WRITE)
        now = self._desk.clock.now()
        # The payments of this very moment count too.
        span = (now - TRIED, now + timedelta(seconds=1))
        await self._desk.hindsight.replaying.replay(POLICY, number, span, typed.actor, live=live)
        return "replayed"

    async def _publish(self, typed: Typed, number: int, _: bool) -> str:
        typed.require(OperatorPermission.RULES_PUBLISH)
        if typed.text("tested") != "1":
            raise InvalidRequest("rules_untested", "the back-test stands before publication")
        await self._policies.publish(POLICY, number, typed.actor, note=_reason(typed))
        return "published"

    async def _force(self, typed: Typed, number: int, _: bool) -> str:
        typed.require(OperatorPermission.RULES_PUBLISH)
        standing = await self._policies.current(POLICY)
        order = _order(typed.text("how"), number, standing, _reason(typed))
        await self._policies.roll_out(POLICY, order, typed.actor)
        return "in_force"

    async def _page(self, request: Request, number: int, failed: Failed | None) -> Response:
        mode, language = await self._desk.mode(request), language_of(request)
        view = await self._view(number, language)
        tried: TriedRules | None = None
        why_not: object = ""
        if query(request, "tested") == "1" and view.text:
            try:
                tried = await self._desk.drafting.tried(view.text, TRIED, language, live=MODES[mode])
            except (InvalidRequest, LimitExceeded) as error:
                why_not = problem_text(error, language)
        context = {
            "mode": mode,
            "view": view,
            "is_tested": query(request, "tested") == "1",
            "tested": tried,
            "test_problem": why_not,
            "test_days": TRIED.days,
        }
        return self._desk.page(request, Shown("risk_version.html", "rules", context, failed))

    async def _view(self, number: int, language: str) -> VersionView:
        version = await self._policies.version(POLICY, number)
        rollout = await self._policies.current(POLICY)
        text = msgspec.convert(version.spec, RiskSpec).rules
        replays = await self._policies.replays(POLICY, number, limit=1)
        role = role_of(rollout, number)
        step = 5 if role else 4 if version.state is VersionState.PUBLISHED else 2
        return VersionView(
            version=version,
            role=role,
            step=step,
            text=text,
            checked=await self._desk.drafting.check(text, language),
            rollout=rollout,
            report=replays[0] if replays else None,
            # The first version that a policy publishes has no log to be replayed on.
            needs_replay=version.state is VersionState.DRAFT and rollout is not None,
        )


def _order(how: str, number: int, standing: Rollout | None, note: str) -> RolloutOrder:
    """Return the roll-out that a form asks for; raise InvalidRequest ``form_invalid``."""
    if how == "champion":
        return RolloutOrder(champion=number, note=note)
    if standing is None or how not in ("challenger", "shadow"):
        raise InvalidRequest("form_invalid", "this page has no such choice")
    if how == "challenger":
        return RolloutOrder(
            champion=standing.champion,
            challenger=number,
            share_bps=TRIAL_BPS,
            shadow=standing.shadow,
            note=note,
        )
    return RolloutOrder(
        champion=standing.champion,
        challenger=standing.challenger,
        share_bps=standing.share_bps,
        shadow=number,
        guardrails=standing.guardrails,
        note=note,
    )


def _reason(typed: Typed) -> str:
    if not typed.text("reason"):
        raise InvalidRequest("policy_reason_missing", "an act that changes what decides says why")
    return typed.text("reason")


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > VERSION_DIGITS_MAX:
        raise NotFound("policy_version_unknown", "there is no such version")
    return int(text)
