"""What was decided about a payment, told: risk control's judgement, the choice of the channel, proofs of the payer. Pure.

A merchant reads the reasons in words; the house reads them with their numbers, and every candidate with its chance.
"""

from collections.abc import Iterator

from markupsafe import Markup

from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import Candidate, Decision
from tongbao.decisions.service.log import Traced
from tongbao.payments.schema.attempts import Attempt
from tongbao.risk.schema.challenges import Challenge, ChallengeState, Means
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import explaining as risk_words
from tongbao.risk.service.compiling import POLICY as RISK
from tongbao.routing.service import explaining as routing_words
from tongbao.routing.service.compiling import POLICY as ROUTING
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.stories.payment_story import Story
from tongbao.web.stories.reader import Reader

REASONS_MAX = 5
_TIER_TONES = {Tier.FRICTIONLESS: "ok", Tier.STEP_UP: "warn", Tier.REVIEW: "review", Tier.DECLINE: "error"}
_QUIET = frozenset({"low_risk"})
"""Codes that say that there was nothing to say."""
_ENDS = {
    ChallengeState.PASSED: "ok",
    ChallengeState.FAILED: "error",
    ChallengeState.EXPIRED: "warn",
    ChallengeState.ABANDONED: "plain",
}


def judged(story: Story, reader: Reader) -> Iterator[Entry]:
    """Return a line for each decision about a payment that chose no attempt's channel."""
    known = {attempt.decision_id for attempt in story.attempts}
    for traced in story.decisions:
        decision = traced.decision
        if decision.kind == RISK:
            yield _judged(traced, reader)
        elif decision.kind == ROUTING and decision.id not in known:
            yield _routed(traced, reader)
        elif decision.kind != ROUTING:
            yield Entry(
                at=decision.decided_at,
                part=Part.DECISION,
                title=reader.t("decided", chosen=decision.chosen),
                glyph="scale",
                details=_facts(traced, reader),
            )


def routed(attempt: Attempt, story: Story, reader: Reader) -> Iterator[Entry]:
    """Return why an attempt went over its channel."""
    for traced in story.decisions:
        if traced.decision.kind == ROUTING and traced.decision.id == attempt.decision_id:
            yield _routed(traced, reader)


def challenges(story: Story, reader: Reader) -> Iterator[Entry]:
    """Return what the payer was asked, and how it ended."""
    for each in story.challenges:
        yield Entry(
            at=each.opened_at,
            part=Part.PAYMENT,
            title=reader.t("asked"),
            line=_asked(each, reader),
            tone="warn",
            glyph="shield",
        )
        if each.state in _ENDS and each.ended_at is not None:
            yield Entry(
                at=each.ended_at,
                part=Part.PAYMENT,
                title=reader.t(f"asked_{each.state}"),
                tone=_ENDS[each.state],
                glyph="shield",
            )


def risk_reasons(decision: Decision, reader: Reader) -> list[str]:
    """Return why risk control judged as it did: in words for a merchant, with numbers for the house."""
    told = [each for each in decision.reasons if each.code not in _QUIET][:REASONS_MAX]
    if reader.for_house:
        return [risk_words.said(each, reader.language) for each in told]
    # What a list or a rule of the house is called is nobody else's business; what was noticed is.
    return list(dict.fromkeys(risk_words.code_words(each.code, reader.language) for each in told))


def _asked(challenge: Challenge, reader: Reader) -> str:
    if challenge.means is Means.CODE and not challenge.masked:
        return ""
    return reader.t(f"asked_{challenge.means}", masked=challenge.masked)


def _judged(traced: Traced, reader: Reader) -> Entry:
    decision = traced.decision
    known = decision.chosen in set(Tier)
    reasons = risk_reasons(decision, reader)
    end = "；" if reader.is_chinese else "; "
    line = end.join(each.rstrip(".。") for each in reasons) + ("。" if reader.is_chinese else ".")
    return Entry(
        at=decision.decided_at,
        part=Part.DECISION,
        title=reader.t(f"judged_{decision.chosen}") if known else reader.t("decided", chosen=decision.chosen),
        line=line if reasons else reader.t("judged_nothing"),
        tone=_TIER_TONES[Tier(decision.chosen)] if known else "plain",
        glyph="shield",
        details=_facts(traced, reader),
    )


def _routed(traced: Traced, reader: Reader) -> Entry:
    decision = traced.decision
    return Entry(
        at=decision.decided_at,
        part=Part.DECISION,
        title=reader.t("routed", channel=decision.chosen),
        line=routing_words.sentence(decision, reader.language),
        glyph="scale",
        details=_candidates(decision, reader) + _facts(traced, reader),
    )


def _facts(traced: Traced, reader: Reader) -> Markup:
    """Return who decided and what came of it; only the house is told, a merchant learns the decision's id."""
    decision = traced.decision
    if not reader.for_house:
        return reader.facts((("f_decision", decision.reference),))
    score = decision.context.get("score")
    heard = [f"{each.name} {'—' if each.value is None else f'{each.value:g}'}" for each in traced.outcomes]
    return reader.facts(
        (
            ("f_decision", decision.reference),
            ("f_policy", f"{decision.policy}@{decision.version} ({decision.arm})"),
            ("f_chance", reader.ui.percent(decision.propensity)),
            ("f_score", reader.ui.percent(float(score), 2) if isinstance(score, float) else None),
            ("f_latency", f"{decision.latency_us / 1000:.1f} ms"),
            ("f_attempt", None if decision.effect_id is None else uuid_text("pa", decision.effect_id)),
            ("f_outcomes", ", ".join(dict.fromkeys(heard))),
        )
    )


def _candidates(decision: Decision, reader: Reader) -> Markup:
    """Return what could have been chosen, as a table."""
    heads = ["candidate", "approval", "out_because"]
    if reader.for_house:
        heads[2:2] = ["score", "chance"]
    rows = []
    for each in sorted(decision.candidates, key=lambda one: (one.excluded is not None, -one.propensity)):
        cells = [each.name, _approval(each, reader), _excluded(each, reader)]
        if reader.for_house:
            cells[2:2] = [
                "—" if each.score is None else f"{each.score:,.1f}",
                reader.ui.percent(each.propensity),
            ]
        first = Markup('<th scope="row">{}</th>').format(cells[0])
        rows.append(first + Markup().join(Markup("<td>{}</td>").format(cell) for cell in cells[1:]))
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{0}"><table class="plain">'
        '<caption class="vh">{0}</caption><thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>'
    ).format(
        reader.t("candidates"),
        Markup().join(Markup('<th scope="col">{}</th>').format(reader.t(head)) for head in heads),
        Markup().join(Markup("<tr>{}</tr>").format(row) for row in rows),
    )


def _approval(candidate: Candidate, reader: Reader) -> str:
    chance = candidate.facts.get("approval")
    return reader.ui.percent(chance) if isinstance(chance, float) else "—"


def _excluded(candidate: Candidate, reader: Reader) -> str:
    if candidate.excluded is None:
        return ""
    text = routing_words.text_of(candidate.excluded)
    return text.zh if reader.is_chinese else text.en
