"""One case: what happened and why, whom it touches, and what may be done with it by whom."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Request, Response
from markupsafe import Markup

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.cases import (
    CaseEvent,
    CaseFile,
    CasePayment,
    CaseState,
    Disposal,
    Disposition,
    HeldAct,
    parse_case,
)
from tongbao.risk.schema.freezes import Freeze, FreezeQuery, FreezeState
from tongbao.risk.service import case_showing, wording
from tongbao.risk.service.case_reading import Summary
from tongbao.risk.service.case_showing import CaseWords, Picture
from tongbao.risk.service.cases import Hand
from tongbao.web.ops import risk_drawings
from tongbao.web.ops.entering import colleagues_of, with_names
from tongbao.web.ops.risk_desk import Desk, Failed, Shown, Typed, language_of, words_of
from tongbao.web.ops.risk_queue import TONES
from tongbao.web.ops.risk_words import translator
from tongbao.web.ui.figure import Figure
from tongbao.web.wording import Say

PAYMENTS_SHOWN = 40
EVIDENCE_SHOWN = 60
TRAIL_SHOWN = 60
FREEZES_READ = 100
LABEL_PREFIX = "label_"


class Entry(NamedTuple):
    """An entry of the evidence in words; ``kind`` tells of what."""

    at: object
    kind: str
    text: str
    is_of_case: bool


class CaseView(NamedTuple):
    """Everything that the page of a case shows; lists are the newest that fit, ``*_more`` counts those before."""

    case: CaseFile
    words: CaseWords
    payments: list[CasePayment]
    payments_more: int
    evidence: list[Entry]
    evidence_more: int
    trail: list[CaseEvent]
    trail_more: int
    summary: Summary
    suggestion: case_showing.SuggestionWords
    picture: Picture
    svg: Markup
    freeze: Freeze | None
    similar: list[CaseFile]
    weights: Figure | None


class Told(NamedTuple):
    """A line of the evidence as the timeline of the kit draws it."""

    at: object
    title: str
    line: str
    tone: str
    glyph: str


class CasePage:
    """Answers the page and its forms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._cases = desk.house.risk.cases
        self._reading = desk.house.risk.case_reading
        self._acts: dict[str, Callable[[Hand, Typed], Awaitable[str]]] = {
            "take": self._take,
            "assign": self._assign,
            "unassign": self._unassign,
            "note": self._note,
            "sign": self._sign,
            "close": self._close,
            "approve": self._approve,
            "refuse": self._refuse,
        }

    async def show(self, request: Request, case: str) -> Response:
        """Answer the page of a case."""
        return await self._page(request, _parsed(case), None)

    async def act(self, request: Request, case: str) -> Response:
        """Do what one of the forms asks for."""
        case_id = _parsed(case)

        async def do(typed: Typed) -> str:
            typed.require(OperatorPermission.CASES_DECIDE)
            act = self._acts.get(typed.form)
            version = typed.text("version")
            if act is None or not version.isdecimal() or len(version) > 9:
                raise InvalidRequest("form_invalid", "this page has no such form")
            language = typed.text("language")
            if typed.form == "assign" and typed.text("assignee") not in colleagues_of(request):
                raise InvalidRequest("case_actor_invalid", "this is nobody who decides cases")
            said = await act(Hand(case_id, typed.actor, int(version)), typed)
            kept = f"&lang={language}" if language in ("en", "zh-CN") and typed.form == "sign" else ""
            return f"/ops/risk/cases/{case}?said={said}{kept}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, case_id, failed)

        return await self._desk.act(await self._desk.read(request), do, again)

    async def _take(self, hand: Hand, _: Typed) -> str:
        await self._cases.assign(hand, hand.actor)
        return "taken"

    async def _assign(self, hand: Hand, typed: Typed) -> str:
        await self._cases.assign(hand, typed.text("assignee"))
        return "assigned"

    async def _unassign(self, hand: Hand, _: Typed) -> str:
        await self._cases.unassign(hand)
        return "unassigned"

    async def _note(self, hand: Hand, typed: Typed) -> str:
        await self._cases.note(hand, typed.text("text"))
        return "noted"

    async def _sign(self, hand: Hand, typed: Typed) -> str:
        await self._cases.sign_summary(hand, typed.text("text"), typed.text("language"))
        return "signed"

    async def _close(self, hand: Hand, typed: Typed) -> str:
        if not typed.text("note"):
            raise InvalidRequest("case_note_missing", "say why the case is closed so")
        closed = await self._cases.close(hand, disposal_of(typed))
        return "asked" if closed.is_waiting else "closed"

    async def _approve(self, hand: Hand, _: Typed) -> str:
        await self._cases.approve(hand)
        return "closed"

    async def _refuse(self, hand: Hand, typed: Typed) -> str:
        await self._cases.refuse(hand, typed.text("text"))
        return "refused"

    async def _page(self, request: Request, case_id: UUID, failed: Failed | None) -> Response:
        language = language_of(request)
        view = await self._view(case_id, language)
        say = translator(language)
        context = {
            "view": view,
            "told": [_told(request, each, say) for each in view.evidence],
            "words": lambda case: case_showing.case_words(case, language),
            "tones": TONES,
            "case": view.case,
            "language": language,
            "colleagues": colleagues_of(request),
            "named": lambda text: with_names(request, text),
            "tone": TONES[view.case.severity],
            "states": CaseState,
            "dispositions": list(Disposition),
            "held_acts": list(HeldAct),
            "label_prefix": LABEL_PREFIX,
            "intent_text": lambda key: uuid_text("pi", key),
            "act_text": lambda act: words_of(wording.ACTS, act, language),
            "disposition_text": lambda key: words_of(wording.DISPOSITIONS, key, language),
            "severity_text": lambda key: words_of(wording.SEVERITIES, key, language),
            "changes": lambda line: changes_of(line, language),
        }
        return self._desk.page(request, Shown("risk_case.html", "cases", context, failed))

    async def _view(self, case_id: UUID, language: str) -> CaseView:
        reading = self._reading
        case = await reading.one(case_id)
        payments = await reading.payments(case_id)
        evidence = await reading.timeline(case_id)
        trail = await reading.trail(case_id)
        summary = await reading.summary(case_id, language)
        web = await reading.neighborhood(case_id)
        picture = case_showing.picture_of(case, web, language)
        shown = evidence[-EVIDENCE_SHOWN:]
        texts = case_showing.evidence_words(shown, language)
        return CaseView(
            case=case,
            words=case_showing.case_words(case, language),
            payments=payments[-PAYMENTS_SHOWN:][::-1],
            payments_more=max(0, len(payments) - PAYMENTS_SHOWN),
            evidence=[
                Entry(each.at, each.kind.value, text, each.is_of_case)
                for each, text in zip(shown, texts, strict=True)
            ],
            evidence_more=max(0, len(evidence) - EVIDENCE_SHOWN),
            trail=trail[-TRAIL_SHOWN:][::-1],
            trail_more=max(0, len(trail) - TRAIL_SHOWN),
            summary=summary,
            suggestion=case_showing.suggestion_words(summary, language),
            picture=picture,
            # Everything from outside was escaped where it was drawn.
            svg=Markup(_sized(picture.svg)),  # noqa: S704 - drawn by us, escaped there
            freeze=await self._freeze(case),
            similar=await reading.similar(case, web),
            weights=await self._weights(payments, language),
        )

    async def _weights(self, payments: list[CasePayment], language: str) -> Figure | None:
        """Return what each reason added to the score of the riskiest payment; None where that was not kept."""
        if not payments:
            return None
        riskiest = max(payments, key=lambda each: each.score or 0.0)
        house = self._desk.house
        looks = await house.risk.assessing.looks(riskiest.book_id, riskiest.subject_id)
        decision_id = next((each.decision_id for each in looks if each.id == riskiest.event_id), None)
        if decision_id is None:
            return None
        try:
            traced = await house.decisions.log.decision(riskiest.book_id, decision_id)
        except NotFound:
            return None
        said = [wording.why_said(each, language) for each in traced.decision.reasons]
        weighed = risk_drawings.weighed(said)
        return risk_drawings.weights(weighed, translator(language)) if weighed else None

    async def _freeze(self, case: CaseFile) -> Freeze | None:
        """Return the freeze that holds for the entity of a case, where one of the latest does."""
        if case.entity is None:
            return None
        page = await self._desk.house.risk.freezing.page(
            FreezeQuery(live=case.live, entity=case.entity, limit=FREEZES_READ)
        )
        return next(
            (each for each in page.items if each.key == case.key and each.state is not FreezeState.RELEASED),
            None,
        )


def disposal_of(typed: Typed) -> Disposal:
    """Return how a form wants a case to be closed; raise InvalidRequest ``case_disposition_missing``, ``form_invalid``.

    Labels of single payments count where at least one is given; otherwise the disposition goes for all.
    """
    try:
        disposition = Disposition(typed.text("disposition"))
    except ValueError:
        raise InvalidRequest("case_disposition_missing", "say what the case came to") from None
    labels: dict[str, list[UUID]] = {"fraud": [], "genuine": []}
    try:
        for name, value in typed.fields.items():
            if name.startswith(LABEL_PREFIX) and value:
                labels[value].append(UUID(name.removeprefix(LABEL_PREFIX)))
        on_held = HeldAct(typed.text("on_held")) if typed.text("on_held") else None
    except (KeyError, ValueError):
        raise InvalidRequest("form_invalid", "this page has no such choice") from None
    is_single = any(labels.values())
    return Disposal(
        disposition=disposition,
        fraud=tuple(labels["fraud"]) if is_single else None,
        genuine=tuple(labels["genuine"]) if is_single else None,
        on_held=on_held,
        freeze=typed.text("freeze") == "1",
        note=typed.text("note"),
    )


_GLYPHS = {
    "payment": ("card", "plain"),
    "decision": ("shield", "plain"),
    "proof": ("key", "plain"),
    "end": ("check", "plain"),
    "alert": ("bell", "warn"),
    "label": ("flag", "error"),
    "act": ("person", "review"),
}


def _told(request: Request, entry: Entry, say: Say) -> Told:
    glyph, tone = _GLYPHS[entry.kind]
    line = "" if entry.is_of_case else say("of_entity")
    return Told(entry.at, with_names(request, entry.text), line, tone if entry.is_of_case else "plain", glyph)


def _sized(svg: str) -> str:
    """Return a drawing with the size of its own canvas, so that its letters keep theirs wherever it stands."""
    found = re.search(r'viewBox="0 0 ([0-9]+) ([0-9]+)"', svg)
    if found is None:
        return svg
    return svg.replace("<svg ", f'<svg width="{found[1]}" height="{found[2]}" ', 1)


def changes_of(line: CaseEvent, language: str) -> list[tuple[str, str, str]]:
    """Return the plain fields that a line of the trail changed: name, before, after; what is nested is left to the API."""
    return [
        (name, _said(name, line.before.get(name), language), _said(name, line.after.get(name), language))
        for name in _TRAIL_FIELDS
        if name in line.before or name in line.after
    ]


_TRAIL_FIELDS = ("state", "assignee", "severity", "disposition", "payment_count")
_TRAIL_WORDS: Mapping[str, Mapping[Any, tuple[str, str]]] = {
    "state": wording.STATES,
    "severity": wording.SEVERITIES,
    "disposition": wording.DISPOSITIONS,
}


def _said(name: str, value: object, language: str) -> str:
    if value is None or value == "":
        return ""
    return words_of(_TRAIL_WORDS.get(name, {}), value, language)


def _parsed(text: str) -> UUID:
    try:
        return parse_case(text)
    except ValueError:
        raise NotFound("case_missing", "there is no such case") from None
