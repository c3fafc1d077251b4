"""Models: those that were kept, the one that decides, and the card of each."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import Request, Response

from tongbao.decisions.schema.policies import SHARE_BPS_MAX
from tongbao.risk.schema.fairness import SegmentShares
from tongbao.risk.schema.watches import Watch
from tongbao.risk.service import wording
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.fairness import group_words, segment_words
from tongbao.risk.service.model_curves import DAYS, KNOWN_MIN, ModelCurves
from tongbao.web.ops import card_text, risk_drawings
from tongbao.web.ops.risk_desk import MODES, Desk, Shown, language_of
from tongbao.web.ops.risk_words import translator
from tongbao.web.ui.figure import Figure


class Part(NamedTuple):
    """A version that is rolled out, its model (empty: the scorecard), and its share of payments; None for a shadow."""

    version: int
    role: str
    model: str
    share: float | None


class ModelsPage:
    """Answers the pages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._curves = ModelCurves(desk.house.runtime.database, desk.clock)
        self._shelf = desk.house.risk.shelf

    async def show(self, request: Request) -> Response:
        """Answer the models, newest first."""
        models = await self._shelf.newest()
        language, mode = language_of(request), await self._desk.mode(request)
        deciding = await self._desk.hindsight.cards.deciding()
        watching = self._desk.house.risk.watching
        say = translator(language)
        watch = await watching.kept(deciding, live=MODES[mode]) if deciding else None
        fair = await self._desk.hindsight.fairness.look(live=MODES[mode])
        curves = await self._curves.look(live=MODES[mode])
        versus = await self._versus()
        drawn = (risk_drawings.roc, risk_drawings.precision, risk_drawings.calibration)
        context = {
            **_words(language),
            "mode": mode,
            "model_deciding": deciding,
            "watch": watch,
            "drift_figure": _drift(watch, language),
            "fair": fair,
            "fair_figures": {each.segment: _groups(each, language) for each in fair.segments},
            "curves": curves,
            "curve_figures": [] if curves is None else [draw(curves, say) for draw in drawn],
            "curve_days": DAYS,
            "curves_min": KNOWN_MIN,
            "versus": versus,
            "models": models,
            "facts": {each.digest: wording.facts_of_card(each.card) for each in models},
            "deciding": {each.model: each.role for each in reversed(versus)},
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
            "mode": mode,
            "model": found.row,
            "watch": found.watch,
            "drift_figure": _drift(found.watch, language),
            "deciding": {each.model: each.role for each in reversed(await self._versus())},
            "blocks": card_text.blocks(text),
        }
        return self._desk.page(request, Shown("risk_model.html", "models", context))

    async def _versus(self) -> list[Part]:
        """Return what is rolled out, the champion first."""
        policies = self._desk.house.decisions.policies
        rollout = await policies.current(POLICY)
        if rollout is None:
            return []
        tried = rollout.share_bps / SHARE_BPS_MAX
        parts: list[Part] = []
        for role, number, share in (
            ("champion", rollout.champion, 1 - tried),
            ("challenger", rollout.challenger, tried),
            ("shadow", rollout.shadow, None),
        ):
            if number is not None:
                version = await policies.version(rollout.policy, number)
                parts.append(Part(number, role, str(version.spec.get("model", "")), share))
        return parts


def _drift(watch: Watch | None, language: str) -> Figure | None:
    """Return how far the features moved; None where none was looked at."""
    if watch is None or not watch.facts.features:
        return None
    return risk_drawings.drift(watch.facts.features, language, translator(language))


def _groups(segment: SegmentShares, language: str) -> Figure | None:
    """Return the false positives of groups; None where fewer than two can be told."""
    items = [(group_words(each.group, language), each.false.value) for each in segment.groups if each.false]
    return risk_drawings.groups(items, translator(language)) if len(items) > 1 else None


def _words(language: str) -> dict[str, Callable[[Any], str]]:
    """Return what puts alarms, features and groups into words of a language."""
    return {
        "alarm_text": lambda alarm: wording.alarm_text(alarm, language),
        "feature_words": lambda name: wording.feature_words(name, language),
        "segment_words": lambda segment: segment_words(segment, language),
        "group_words": lambda group: group_words(group, language),
    }
