"""The routes of the ops console: the routing board, the doctor, a payment's decisions, policies; risk control has its own."""

from collections.abc import Mapping

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from tongbao.channels.schema import Reason
from tongbao.channels.service.codes import reason_info
from tongbao.core.errors import NotFound
from tongbao.core.ids import uuid_text
from tongbao.decisions.policy import report_chart, report_words
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.log import Candidate
from tongbao.parties.schema import OperatorPermission
from tongbao.payments.schema.intents import Intent
from tongbao.risk.service import wording
from tongbao.routing.schema.health import Verdict
from tongbao.routing.service import explaining
from tongbao.routing.service.compiling import POLICY
from tongbao.web import pages
from tongbao.web.house import House
from tongbao.web.ops import board_view, doctor_view, lineage, policies_view, risk_decisions, risk_routes
from tongbao.web.ops.drawing import Span
from tongbao.web.ops.entering import Entrance
from tongbao.web.ops.rendering import choice, error_page, query, render
from tongbao.web.ops.risk_desk import words_of
from tongbao.web.page_route import page_route

MODES = {"live": True, "test": False}
_TONES = {Verdict.FELL: "bad", Verdict.ROSE: "good", Verdict.STEADY: "good", Verdict.TOO_FEW: "quiet"}


def router(house: House) -> APIRouter:
    """Return the routes of the console over an open house."""
    console = _Console(house)
    routes = APIRouter(prefix="/ops", include_in_schema=False, route_class=page_route(error_page))
    enters = [Depends(Entrance(house).of(OperatorPermission.OPERATIONS_READ))]
    for path, answer in (
        ("", console.home),
        ("/routing", console.routing),
        ("/routing/doctor", console.doctor),
        ("/payments", console.payments),
        ("/payments/{reference}/decisions", console.decisions),
        ("/policies", console.policies),
    ):
        routes.add_api_route(path, answer, methods=["GET", "HEAD"], dependencies=enters, response_model=None)
    outer = APIRouter()
    for inner in (routes, risk_routes.router(house)):
        outer.include_router(inner)
    return outer


class _Console:
    """Answers the pages."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._boards = board_view.Boards(house)
        self._lineage = lineage.Lineage(house)

    async def home(self) -> Response:
        """Go to the first page of the console."""
        return RedirectResponse("/ops/routing", 303)

    async def routing(self, request: Request) -> Response:
        """Answer the routing board, or its live part alone."""
        mode = await self._mode(request)
        language = _short(request)
        context = {
            "view": await self._boards.read(MODES[mode]),
            "mode": mode,
            "notice_text": lambda notice: explaining.notice_text(notice, language),
        }
        if query(request, "fragment") == "live":
            return render(request, "_routing_live.html", "routing", context)
        return render(request, "routing.html", "routing", context)

    async def doctor(self, request: Request) -> Response:
        """Answer what changed in a period against its baseline, and why."""
        mode = await self._mode(request)
        period = choice(request, "period", doctor_view.PERIODS, doctor_view.PERIOD)
        baseline = choice(request, "baseline", doctor_view.BASELINES, doctor_view.BASELINE)
        asked = doctor_view.visit(self._house.runtime.clock.now(), period, baseline)
        view = await doctor_view.view(self._house.routing.health, asked, live=MODES[mode])
        language = _short(request)
        context = {
            "view": view,
            "mode": mode,
            "period": period,
            "baseline": baseline,
            "periods": doctor_view.PERIODS,
            "baselines": doctor_view.BASELINES,
            "tone": _TONES[view.diagnosis.verdict],
            "verdict": explaining.verdict_text(view.diagnosis, language),
            "cause_text": lambda cause: explaining.cause_text(cause, language),
            "action_text": lambda action: explaining.action_text(action, language),
            "span_of": doctor_view.span_of,
            "loss_of": doctor_view.loss_of,
        }
        return render(request, "doctor.html", "doctor", context)

    async def payments(self, request: Request) -> Response:
        """Answer the search for a payment, or go to what was found."""
        wanted = query(request, "q")
        status = 200
        if wanted:
            try:
                found = await self._lineage.find(wanted)
                return RedirectResponse(found.address, 303)
            except NotFound:
                status = 404
        context = {
            "wanted": wanted,
            "latest": [] if wanted else await self._lineage.latest(),
            "now": self._house.runtime.clock.now(),
            "intent_text": lambda key: uuid_text(Intent.PREFIX, key),
        }
        return render(request, "payments.html", "payments", context, status)

    async def decisions(self, request: Request, reference: str) -> Response:
        """Answer the lineage of a payment: each decision with its reasons, candidates and outcomes."""
        view = await self._lineage.view(reference.replace("\0", ""))
        language = _short(request)
        context = {
            "view": view,
            "intent": view.story.intent,
            "sentence": lambda decision: explaining.sentence(decision, language),
            "excluded": lambda candidate: _excluded(candidate, language),
            "approval": _approval,
            "meaning": lambda code: _meaning(code, language),
            "risk_cards": {
                card.decision.id: risk_decisions.card_of(
                    card.decision, view.known.get(card.decision.id), language
                )
                for card in view.cards
                if risk_decisions.is_of_risk(card.decision)
            },
            "cost_text": risk_decisions.cost_text,
            "tier_text": lambda tier: words_of(wording.TIERS, tier, language),
        }
        return render(request, "decisions.html", "payments", context)

    async def policies(self, request: Request) -> Response:
        """Answer the policies in force and one of them in full."""
        name = query(request, "policy") or POLICY
        language = pages.preferences(request).language
        context = {
            "view": await policies_view.view(self._house.decisions.policies, name),
            "now": self._house.runtime.clock.now(),
            "report_text": lambda report: report_words.report_text(report, language),
            "report_chart": lambda report: _chart(report, language),
            "estimator": lambda name: report_words.ESTIMATORS[name][report_words.column(language)],
            "figure": report_words.figure,
            "share_bps": lambda bps: f"{bps / 100:g}%",
            "notes": _notes,
        }
        return render(request, "policies.html", "policies", context)

    async def _mode(self, request: Request) -> str:
        """Return the mode that is asked for; otherwise live where there are live payments at all."""
        asked = choice(request, "mode", MODES, "")
        return asked or ("live" if await self._boards.busier_mode() else "test")


def _short(request: Request) -> str:
    """Return the reader's language as routing names it."""
    return "zh" if pages.preferences(request).language == "zh-CN" else "en"


def _meaning(code: str, language: str) -> str:
    """Return what a standard reason means, for people who run the system; empty for any other code."""
    try:
        info = reason_info(Reason(code))
    except ValueError:
        return ""
    return info.engineer_zh if language == "zh" else info.engineer_en


def _approval(candidate: Candidate) -> Span | None:
    """Return what approval was expected of a candidate; None where nothing was reckoned."""
    numbers = [candidate.facts.get(name) for name in ("approval", "approval_low", "approval_high")]
    known = [float(each) for each in numbers if isinstance(each, int | float)]
    return Span(*known) if len(known) == len(numbers) else None


def _excluded(candidate: Candidate, language: str) -> str:
    """Return why a candidate could not be chosen, in words; empty where it could."""
    if candidate.excluded is None:
        return ""
    text = explaining.text_of(candidate.excluded)
    return text.zh if language == "zh" else text.en


def _chart(report: Report, language: str) -> Markup:
    """Return the drawing of a replay; everything from outside was escaped where it was put in."""
    return Markup(report_chart.report_chart(report, language))  # noqa: S704 - drawn by us, escaped there


def _notes(details: Mapping[str, object]) -> str:
    """Return what somebody wrote down with an act."""
    note = details.get("note")
    return note if isinstance(note, str) else ""
