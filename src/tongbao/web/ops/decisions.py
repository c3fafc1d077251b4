"""``/ops/decisions``: what the house decided by itself; of any payment every decision with candidates, chances, reasons, replay."""

from collections.abc import Mapping
from typing import NamedTuple

from fastapi import Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from tongbao.channels.schema import Reason
from tongbao.channels.service.codes import reason_info
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import Candidate, Decision
from tongbao.decisions.service.log import Learned
from tongbao.parties.schema import OperatorPermission
from tongbao.payments.schema.intents import Intent
from tongbao.risk.service import wording
from tongbao.routing.service import explaining
from tongbao.routing.service.compiling import POLICY as ROUTING
from tongbao.web.ops import risk_decisions
from tongbao.web.ops.lineage import Card, Lineage, PaymentView
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown
from tongbao.web.ops.risk_desk import words_of

PATH = "/ops/decisions"
SAME = 0.01
"""So far chances may lie apart and still be the same answer: what the log keeps of beliefs is rounded."""
SOURCES = frozenset({"answer", "notification", "inquiry", "settlement"})
RISK_FACTS = frozenset({"rule", "act", "because", "list", "kind", "reason", "freeze", "best"})
EXCLUDED = frozenset({"no_means", "below_floor", "above_ceiling"})
Cell = str | Markup


class Replayed(NamedTuple):
    """Whether a decision's own version gives the same chances again; None where that cannot be asked here."""

    same: bool | None
    apart: float = 0.0


class DecisionCard(NamedTuple):
    """A decision ready to be shown: ``heads`` and ``rows`` are its candidates, ``reasons`` and ``news`` texts."""

    reference: str
    title: Cell
    made: Decision
    heads: tuple[object, ...]
    rows: tuple[tuple[Cell, ...], ...]
    reasons: tuple[Cell, ...]
    news: tuple[Cell, ...]
    facts: tuple[tuple[Cell, Cell], ...]
    replay: tuple[Cell, str]


def add(pages: Pages) -> None:
    """Add the pages."""
    pages.get(PATH, _list, OperatorPermission.OPERATIONS_READ)
    pages.get("/ops/payments/{payment}/decisions", _payment, OperatorPermission.OPERATIONS_READ)


async def _list(desk: Desk) -> Response:
    wanted = desk.param("q")
    lineage = Lineage(desk.house)
    status = 200
    if wanted:
        try:
            return RedirectResponse((await lineage.find(wanted)).address, 303)
        except NotFound:
            status = 404
    rows = [] if wanted else [_latest(each, desk) for each in await lineage.latest()]
    return desk.page(Shown("decisions.html", "decisions", {"wanted": wanted, "rows": rows}, status))


def _latest(each: Learned, desk: Desk) -> tuple[Cell, ...]:
    made = each.decision
    intent = uuid_text(Intent.PREFIX, made.subject_id)
    link = Markup('<a class="mono" href="/ops/payments/{}/decisions#{}">{}</a>').format(
        intent, made.reference, intent
    )
    return (
        link,
        desk.t(f"kind_{made.kind}"),
        Markup("<bdi>{}</bdi>").format(made.chosen),
        desk.ui.percent(made.propensity),
        outcome(each.value, each.label, desk, heard=each.label != ""),
        desk.t("mode_live" if made.live else "mode_test"),
        desk.ui.when(made.decided_at, "age"),
    )


async def _payment(desk: Desk) -> Response:
    reference = str(desk.request.path_params["payment"]).replace("\0", "")
    view = await Lineage(desk.house).view(reference)
    intent = view.story.intent
    context = {
        "view": view,
        "intent": intent,
        "amount": desk.ui.money(intent.amount_minor, intent.currency),
        "merchant_name": view.merchant.display_name or view.merchant.name,
        "cards": [await _card(each, view, desk) for each in view.cards],
    }
    return desk.page(Shown("payment_decisions.html", "decisions", context))


async def _card(card: Card, view: PaymentView, desk: Desk) -> DecisionCard:
    made = card.decision
    of_risk = risk_decisions.is_of_risk(made)
    heads, rows, reasons, title = _risk(card, view, desk) if of_risk else _routing(card, view, desk)
    replayed = Replayed(None) if of_risk else await replay(desk, made)
    facts: list[tuple[Cell, Cell]] = [
        (
            desk.t("policy"),
            Markup('<a href="/ops/policies?policy={}">{} · {}</a>').format(
                made.policy,
                made.policy,
                desk.t("version_n", n=made.version) if made.version else desk.t("built_in"),
            ),
        ),
        (desk.t("c_arm"), desk.word(f"arm_{made.arm}", made.arm)),
        (desk.t("latency"), f"{made.latency_us / 1000:.2f} ms"),
        (desk.t("id"), Markup('<code class="mono">{}</code>').format(made.reference)),
    ]
    if made.shadow is not None:
        facts.append(
            (desk.t("shadow"), desk.t("shadow_says", n=made.shadow.version, name=made.shadow.chosen))
        )
    if card.attempt is not None:
        facts.append(
            (desk.t("attempt"), Markup('<code class="mono">{}</code>').format(card.attempt.reference))
        )
    return DecisionCard(
        made.reference,
        title,
        made,
        heads,
        rows,
        reasons,
        _news(card, view, desk),
        tuple(facts),
        _replay_words(replayed, desk),
    )


def _routing(
    card: Card, view: PaymentView, desk: Desk
) -> tuple[tuple[object, ...], tuple[tuple[Cell, ...], ...], tuple[Cell, ...], Cell]:
    made = card.decision
    currency = str(made.context.get("currency", view.story.intent.currency))
    t, ui = desk.t, desk.ui
    heads = (
        t("candidate"),
        (t("chance"), "num"),
        t("expected"),
        (t("cost"), "num"),
        (t("worth"), "num"),
        t("excluded"),
    )
    rows = []
    for each in card.candidates:
        cost = each.facts.get("cost_minor")
        rows.append(
            (
                _candidate(each.name, each.name == made.chosen, desk),
                ui.percent(each.propensity) if each.excluded is None else "—",
                _approval(each, desk),
                ui.money(round(float(cost)), currency) if isinstance(cost, int | float) else "—",
                ui.money(round(each.score), currency) if each.score is not None else "—",
                _tag(
                    _excluded(each, desk.short),
                    "error" if each.excluded in ("breaker_open", "silent", "together") else "plain",
                )
                if each.excluded
                else "",
            )
        )
    return heads, tuple(rows), (), explaining.sentence(made, desk.short)


def _risk(
    card: Card, view: PaymentView, desk: Desk
) -> tuple[tuple[object, ...], tuple[tuple[Cell, ...], ...], tuple[Cell, ...], Cell]:
    made = card.decision
    t, ui = desk.t, desk.ui
    found = risk_decisions.card_of(made, view.known.get(made.id), desk.short)
    title = (
        t("risk_judged_score", tier=found.tier, score=ui.percent(found.score, 2))
        if found.score is not None
        else t("risk_judged", tier=found.tier)
    )
    heads = (t("tier"), (t("chance"), "num"), (t("expected_cost"), "num"), t("excluded"))
    rows = tuple(
        (
            _candidate(words_of(wording.TIERS, each.name, desk.short), each.name == made.chosen, desk),
            ui.percent(each.propensity) if each.excluded is None else "—",
            risk_decisions.cost_text(each.score, found.currency) if each.score is not None else "—",
            _tag(t(f"ex_{each.excluded}") if each.excluded in EXCLUDED else each.excluded, "plain")
            if each.excluded
            else "",
        )
        for each in found.candidates
    )
    return heads, rows, tuple(_reason(each.text, each.facts, desk) for each in found.reasons), title


def _reason(said: str, facts: Mapping[str, object], desk: Desk) -> Markup:
    more = [
        Markup("{}: <bdi>{}</bdi>").format(
            desk.t(f"wf_{name}") if name in RISK_FACTS else name,
            words_of(wording.TIERS, str(value), desk.short) if name == "best" else value,
        )
        for name, value in facts.items()
        if value
    ]
    return Markup("{}{}").format(
        said, Markup(' <span class="mut">{}</span>').format(Markup(" · ").join(more)) if more else ""
    )


def _candidate(name: str, chosen: bool, desk: Desk) -> Markup:
    tag = Markup(' <span class="tag ok">{}</span>').format(desk.t("chosen")) if chosen else ""
    return Markup("<bdi>{}</bdi>{}").format(name, tag)


def _tag(said: Cell, tone: str) -> Markup:
    return Markup('<span class="tag {}">{}</span>').format(tone, said)


def _approval(candidate: Candidate, desk: Desk) -> Cell:
    """Return what approval was expected of a candidate, with its interval; a line where nothing was reckoned."""
    numbers = [candidate.facts.get(name) for name in ("approval", "approval_low", "approval_high")]
    known = [float(each) for each in numbers if isinstance(each, int | float)]
    if len(known) != len(numbers):
        return "—"
    value, low, high = (desk.ui.percent(each) for each in known)
    return Markup('{} <span class="mut">{} – {}</span>').format(value, low, high)


def _excluded(candidate: Candidate, language: str) -> str:
    text = explaining.text_of(candidate.excluded or "")
    return text.zh if language == "zh" else text.en


def outcome(value: float | None, label: str, desk: Desk, *, heard: bool = True) -> Markup:
    """Return what is known of an outcome, as a tag."""
    if not heard:
        return _tag(desk.t("came_nothing"), "plain")
    if value is None:
        return _tag(desk.t("came_unknown"), "warn")
    if value >= 0.5:
        return _tag(desk.t("came_approved"), "ok")
    return Markup("{} <code>{}</code>").format(_tag(desk.t("came_refused"), "error"), label)


def _news(card: Card, view: PaymentView, desk: Desk) -> tuple[Cell, ...]:
    """Return what came of a decision, oldest first."""
    if risk_decisions.is_of_risk(card.decision):
        known = view.known.get(card.decision.id)
        if known is None:
            return ()
        told = [
            (known.is_passed, "rk_passed", "rk_failed", False),
            (known.is_approved, "rk_approved", "rk_not_approved", False),
            (known.is_fraud, "is_fraud", "is_genuine", True),
        ]
        return tuple(
            _tag(desk.t(yes if is_so else no), "ok" if is_so is not turned else "error")
            for is_so, yes, no, turned in told
            if is_so is not None
        )
    return tuple(
        Markup('{} <span class="mut">{}{}</span> {}').format(
            outcome(each.value, each.label, desk),
            desk.ui.when(each.occurred_at),
            Markup(" · {}").format(desk.t(f"src_{each.source}") if each.source in SOURCES else each.source)
            if each.source
            else "",
            _meaning(each.label, desk.short),
        )
        for each in card.traced.outcomes
    )


def _meaning(code: str, language: str) -> str:
    """Return what a standard reason means, for people who run the system; empty for any other code."""
    try:
        info = reason_info(Reason(code))
    except ValueError:
        return ""
    return info.engineer_zh if language == "zh" else info.engineer_en


async def replay(desk: Desk, made: Decision) -> Replayed:
    """Ask the version that made a decision once more, with what was known then."""
    if made.kind != ROUTING:
        return Replayed(None)
    try:
        found = await desk.house.routing.replaying.again(made)
    except AppError:
        # A version that was put away or does not fit the channels of today cannot be asked any more.
        return Replayed(None)
    apart = max(abs(each.propensity - found.get(each.name, 0.0)) for each in made.candidates)
    return Replayed(apart <= SAME, apart)


def _replay_words(found: Replayed, desk: Desk) -> tuple[Cell, str]:
    if found.same is None:
        return desk.t("re_none"), "plain"
    if found.same:
        return desk.t("re_same"), "ok"
    return desk.t("re_other", points=f"{found.apart * 100:.1f}"), "warn"
