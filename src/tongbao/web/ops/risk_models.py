"""Models: those that were kept, the one that decides, and the card of each."""

from fastapi import Request, Response

from tongbao.risk.service import wording
from tongbao.web.ops import card_text
from tongbao.web.ops.risk_desk import Desk, Shown, language_of


class ModelsPage:
    """Answers the pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shelf = desk.house.risk.shelf

    async def show(self, request: Request) -> Response:
        """Answer the models, newest first."""
        models = await self._shelf.newest()
        context = {
            "models": models,
            "facts": {each.digest: wording.facts_of_card(each.card) for each in models},
            "deciding": await self._deciding(),
        }
        return self._desk.page(request, Shown("risk_models.html", "models", context))

    async def card(self, request: Request, digest: str) -> Response:
        """Answer the card of a model."""
        row = await self._shelf.row(digest.replace("\0", "")[:80])
        facts = wording.facts_of_card(row.card)
        language = language_of(request)
        text = "" if facts is None else wording.model_card(facts, language)
        alarms = wording.alarms(facts.drift) if facts is not None and facts.drift is not None else []
        context = {
            "model": row,
            "deciding": await self._deciding(),
            "blocks": card_text.blocks(text),
            "alarm_count": len(list(alarms)),
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
