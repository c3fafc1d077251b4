"""``/v2/risk/decisions/{decision}/explanation`` and the models of the house with their cards."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.risk.service.assessor import Ready
from tongbao.risk.service.fairness import FairnessReading
from tongbao.risk.service.live_card import LiveCards
from tongbao.risk.service.looking import Looking
from tongbao.risk.service.recalling import Recalling
from tongbao.risk.service.risk import Risk
from tongbao.web.api import risk_card_models as models
from tongbao.web.api import risk_watch_models as watch_models
from tongbao.web.api.callers import Caller
from tongbao.web.api.policies import Language
from tongbao.web.api.risk_sides import Side
from tongbao.web.api.shapes import IdPath, path_id

Digest = Annotated[str, Path(max_length=64, description="Digest of the model.")]


class Markdown(Response):
    """A text for people, with headings and tables."""

    media_type = "text/markdown"


def add_explanation(routes: APIRouter, side: Side, recalling: Recalling, looking: Looking) -> None:
    """Add the account of a score."""

    @routes.get(f"{side.path}/decisions/{{decision}}/explanation")
    async def explanation(who: Annotated[Caller, side.looks], decision: IdPath) -> models.Explanation:
        """Return what each feature added to a score, found again from what was known when it was made."""
        decision_id = path_id(DECISION_PREFIX, decision)
        book_id = await looking.book_of_look(decision_id) if who.book_id is None else who.book_id
        return models.Explanation.of(await recalling.decision(book_id, decision_id))


def add_models(routes: APIRouter, side: Side, risk: Risk, cards: LiveCards) -> None:
    """Add the models, which are the house's."""

    @routes.get(f"{side.path}/models")
    async def scorings(who: Annotated[Caller, side.looks]) -> models.Scorings:
        """List the newest models, with those in force."""
        in_force = in_force_of(risk)
        return models.Scorings(data=[models.Scoring.of(each, in_force) for each in await risk.shelf.newest()])

    @routes.get(f"{side.path}/models/{{digest}}")
    async def scoring(who: Annotated[Caller, side.looks], digest: Digest) -> models.Scoring:
        """Return a model by its digest."""
        return models.Scoring.of(await risk.shelf.row(digest), in_force_of(risk))

    @routes.get(f"{side.path}/models/{{digest}}/card", response_class=Markdown)
    async def card(who: Annotated[Caller, side.looks], digest: Digest, language: Language = "en") -> Response:
        """Return the card of a model: what it is for, how good and how fair it is, what was seen of it, what it cannot do."""
        return Markdown(await cards.text(digest, language, live=who.live))

    @routes.get(f"{side.path}/models/{{digest}}/watch")
    async def watch(who: Annotated[Caller, side.looks], digest: Digest) -> watch_models.Watch:
        """Return what was seen of a model at the latest look: drift of scores and features, calibration, alarms."""
        found = await cards.read(digest, live=who.live)
        return watch_models.Watch.of(found.row.digest, found.watch)


def add_fairness(routes: APIRouter, side: Side, reading: FairnessReading) -> None:
    """Add whom risk control bothers."""

    @routes.get(f"{side.path}/fairness")
    async def fairness(who: Annotated[Caller, side.looks]) -> watch_models.Fairness:
        """Return shares and false positives by groups of the latest payments; small groups are not told."""
        return watch_models.Fairness.of(await reading.look(live=who.live, book_id=who.book_id))


def in_force_of(risk: Risk) -> set[str]:
    """Return the models that policies in force name."""
    return {spec.compiled.spec.model for spec in risk.live.specs() if isinstance(spec, Ready)}
