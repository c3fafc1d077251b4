"""Models: those that were kept, the one that decides, and the card of each."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response

from tongbao.risk.service import wording
from tongbao.risk.service.fairness import group_words, segment_words
from tongbao.web.ops import card_text
from tongbao.web.ops.risk_desk import MODES, Desk, Shown, language_of


class ModelsPage:
    """Answers the pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shelf = desk.house.risk.shelf

    async def show(self, request: Request) -> Response:
        """Answer the models, newest first."""
        models = await self._shelf.newest()
        language, mode = language_of(request), await self._desk.mode(request)
        deciding = await self._desk.hindsight.cards.deciding()
        watching = self._desk.house.risk.watching
        context = {
            **_words(language),
            "mode": mode,
            "model_deciding": deciding,
            "watch": await watching.kept(deciding, live=MODES[mode]) if deciding else None,
            "fair": await self._desk.hindsight.fairness.look(live=MODES[mode]),
            "models": models,
            "facts": {each.digest: wording.facts_of_card(each.card) for each in models},
            "deciding": await self._deciding(),
        }
        return self._desk.page(request, Shown("risk_models.html", "models", context))

    async def card(self, request: Request, digest: str) -> Response:
        """Answer the card of a model."""
        language, mode = language_of(request), await self._desk.mode(request)
        cards = self._desk.hindsight.cards
        found = await cards.read(digest.replace("\0", "")[:80], live=MODES[mode])
        text = "" if found.facts is None else wording.model_card(found.facts, language)
        context = {
            **_words(language),
            "model": found.row,
            "watch": found.watch,
            "deciding": await self._deciding(),
            "blocks": card_text.blocks(text),
        }
        return self._desk.page(request, Shown("risk_model.html", "models", context))

    async def _deciding(self) -> dict[str, str]:
        """Return the models of the house's policy in force by what they are in it: champion, challenger, shadow."""
        policies = self._desk.house.decisions.policies
        in_force = await self._desk.drafting.in_force()
        rollout = in_force.rollout
        if rollout is None:
            return {}
        found: dict[str, str] = {}
        for role, number in (
            ("shadow", rollout.shadow),
            ("challenger", rollout.challenger),
            ("champion", rollout.champion),
        ):
            if number is not None:
                version = await policies.version(rollout.policy, number)
                found[str(version.spec.get("model", ""))] = role
        return found


def _words(language: str) -> dict[str, Callable[[Any], str]]:
    """Return what puts alarms, features and groups into words of a language."""
    return {
        "alarm_text": lambda alarm: wording.alarm_text(alarm, language),
        "feature_words": lambda name: wording.feature_words(name, language),
        "segment_words": lambda segment: segment_words(segment, language),
        "group_words": lambda group: group_words(group, language),
    }
