"""What decides now, for the hot path: one dictionary and one SHA-256 a decision, no waiting, no database.

``refresh`` brings the picture up to date from outside of any payment. While the database is away, or a specification
cannot be made ready, the last picture stands: a policy that worked keeps deciding, and says which version it is.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import structlog

from tongbao.core.clock import Clock
from tongbao.core.errors import OutcomeUnknown, Unavailable
from tongbao.decisions.policy.rollout import CHALLENGER, CHAMPION, is_challenged
from tongbao.decisions.schema.policies import Rollout
from tongbao.decisions.service.policy_reading import PolicyReading

REFRESH_S = 2.0

_log = structlog.get_logger(__name__)

Compile = Callable[[str, dict[str, Any]], object]
"""Makes what a room decides with out of a policy's name and specification; called once a version and process."""


class Deciding(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides for a unit, and with what; ``spec`` and ``shadow_spec`` are what ``Compile`` made."""

    policy: str
    epoch: int
    version: int
    arm: str
    spec: object
    shadow_version: int | None = None
    shadow_spec: object | None = None


class _Picture(NamedTuple):
    """One policy, made ready: the two possible answers, and what chooses between them."""

    champion: Deciding
    challenger: Deciding | None
    salt: str
    share_bps: int


class LivePolicies:
    """The policies of one process, of all rooms: ``compile`` goes by the policy's name. One object per process."""

    def __init__(
        self,
        policies: PolicyReading,
        clock: Clock,
        refresh_s: float = REFRESH_S,
        *,
        compile: Compile = lambda _policy, spec: spec,  # noqa: A002 - the word for it
    ) -> None:
        self._policies = policies
        self._clock = clock
        self._refresh = timedelta(seconds=refresh_s)
        self._compile = compile
        self._pictures: dict[str, _Picture] = {}
        self._compiled: dict[tuple[str, int], object] = {}
        self._problems: dict[str, str] = {}
        self._count = -1
        self._refreshed_at: datetime | None = None
        self._single = asyncio.Lock()

    @property
    def refreshed_at(self) -> datetime | None:
        """When the picture was last known to be up to date; None before the first time."""
        return self._refreshed_at

    @property
    def problems(self) -> dict[str, str]:
        """Policies of which something in force could not be made ready, and what: for health pages."""
        return dict(self._problems)

    def deciding(self, policy: str, unit: str) -> Deciding | None:
        """Return who decides for ``unit``; None where the policy is not rolled out, or not known here yet."""
        picture = self._pictures.get(policy)
        if picture is None:
            return None
        challenger = picture.challenger
        if challenger is not None and is_challenged(picture.salt, picture.share_bps, unit):
            return challenger
        return picture.champion

    def specs(self) -> list[object]:
        """Return what ``Compile`` made of every version in force, shadows included."""
        return list(self._compiled.values())

    async def refresh(self) -> bool:
        """Bring the picture up to date, at most once in ``refresh_s``; return whether it is.

        False while the database is away: the picture stands. Reads nothing but a count where nothing has changed.
        """
        async with self._single:
            now, last = self._clock.now(), self._refreshed_at
            # A clock that was set back must not put off the next look.
            if last is not None and last <= now < last + self._refresh:
                return True
            try:
                await self._read()
            except (Unavailable, OutcomeUnknown) as error:
                _log.warning("policies_not_refreshed", code=error.code)
                return False
            self._refreshed_at = now
            return True

    async def _read(self) -> None:
        # Counted before it is read: what comes into force between is read twice, never missed.
        count = await self._policies.rollout_count()
        if count == self._count and not self._problems:
            return
        rollouts = await self._policies.in_force()
        problems = await self._make_ready([key for rollout in rollouts for key in _used(rollout)])
        pictures = {}
        for rollout in rollouts:
            picture = self._picture(rollout) or self._pictures.get(rollout.policy)
            if picture is not None:
                pictures[rollout.policy] = picture
        self._pictures = pictures
        self._count = count
        self._problems = problems

    async def _make_ready(self, keys: Sequence[tuple[str, int]]) -> dict[str, str]:
        """Compile the versions that are new here, forget those out of use; return what failed, by policy."""
        compiled = {key: self._compiled[key] for key in keys if key in self._compiled}
        problems: dict[str, str] = {}
        new = [key for key in keys if key not in compiled]
        for version in await self._policies.versions_named(new):
            try:
                made = self._compile(version.policy, version.spec)
            except Exception as error:
                _log.exception("policy_not_compiled", policy=version.policy, version=version.version)
                problems[version.policy] = f"version {version.version}: {type(error).__name__}"
            else:
                compiled[version.policy, version.version] = made
        self._compiled = compiled
        return problems

    def _picture(self, rollout: Rollout) -> _Picture | None:
        """Return a policy made ready, without a challenger or shadow that is not; None without its champion."""
        if (rollout.policy, rollout.champion) not in self._compiled:
            return None
        champion = self._deciding(rollout, CHAMPION, rollout.champion)
        challenger = None
        if rollout.challenger is not None and (rollout.policy, rollout.challenger) in self._compiled:
            challenger = self._deciding(rollout, CHALLENGER, rollout.challenger)
        return _Picture(champion, challenger, rollout.salt, rollout.share_bps)

    def _deciding(self, rollout: Rollout, arm: str, version: int) -> Deciding:
        shadow = rollout.shadow
        if shadow is not None and (rollout.policy, shadow) not in self._compiled:
            shadow = None
        return Deciding(
            policy=rollout.policy,
            epoch=rollout.epoch,
            version=version,
            arm=arm,
            spec=self._compiled[rollout.policy, version],
            shadow_version=shadow,
            shadow_spec=None if shadow is None else self._compiled[rollout.policy, shadow],
        )


def _used(rollout: Rollout) -> list[tuple[str, int]]:
    versions = (rollout.champion, rollout.challenger, rollout.shadow)
    return [(rollout.policy, version) for version in versions if version is not None]
