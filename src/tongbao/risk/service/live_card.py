"""Cards of models as they are today: what was written when a model was made, with what was seen of it since.

Drift is that of the latest look by any process. Fairness is told of the model that decides now: it is of the payments that
it, and the rules beside it, bothered.
"""

from typing import NamedTuple

import msgspec

from tongbao.core.errors import NotFound
from tongbao.decisions.service.policies import Policies
from tongbao.risk.policy.model_card import model_card
from tongbao.risk.schema.models import ModelFacts
from tongbao.risk.schema.watches import Watch
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.fairness import FairnessReading, group_counts
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.service.watching import Watching
from tongbao.risk.service.wording import facts_of_card
from tongbao.risk.store.models import ModelRow


class LiveFacts(NamedTuple):
    """What is known of a model: how it was kept, the facts of its card (None: kept without), the latest look at it."""

    row: ModelRow
    facts: ModelFacts | None
    watch: Watch | None


class LiveCards:
    """Reads cards. One object a process."""

    def __init__(
        self, shelf: Shelf, policies: Policies, watching: Watching, fairness: FairnessReading
    ) -> None:
        self._shelf = shelf
        self._policies = policies
        self._watching = watching
        self._fairness = fairness

    async def deciding(self) -> str:
        """Return the digest of the model that decides for the house; empty: the scorecard."""
        rollout = await self._policies.current(POLICY)
        if rollout is None:
            return ""
        version = await self._policies.version(POLICY, rollout.champion)
        return str(version.spec.get("model", ""))

    async def read(self, digest: str, *, live: bool = True) -> LiveFacts:
        """Return a model with what was seen of it since; raise NotFound ``model_unknown``."""
        row = await self._shelf.row(digest)
        facts, watch = facts_of_card(row.card), await self._watching.kept(digest, live=live)
        if facts is None:
            return LiveFacts(row, None, watch)
        if watch is not None:
            facts = msgspec.structs.replace(facts, drift=watch.facts)
        if digest == await self.deciding():
            found = await self._fairness.look(live=live)
            facts = msgspec.structs.replace(facts, groups=group_counts(found.segments))
        return LiveFacts(row, facts, watch)

    async def text(self, digest: str, language: str, *, live: bool = True) -> str:
        """Return a card as Markdown; raise NotFound ``model_unknown`` and ``model_card_missing``."""
        found = await self.read(digest, live=live)
        if found.facts is None:
            detail = f"nothing was written down for a card of {digest[:12]}"
            raise NotFound("model_card_missing", detail, digest=digest[:80])
        return model_card(found.facts, language)
