"""Policies as somebody rolled them out: what ``LivePolicies`` reads, held in memory."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tongbao.decisions.schema.policies import PolicyVersion, Rollout, VersionState


class Written:
    """Roll-outs and the versions that they name."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._rollouts: list[Rollout] = []
        self._versions: dict[tuple[str, int], dict[str, Any]] = {}

    def roll_out(self, policy: str, *specs: dict[str, Any], **fields: Any) -> None:
        """Let versions 1, 2, … decide as ``fields`` of a roll-out say; the first is champion unless they say else."""
        for number, spec in enumerate(specs, 1):
            self._versions[policy, number] = spec
        values: dict[str, Any] = {
            "epoch": 1,
            "champion": 1,
            "salt": "salt",
            "started_at": self._at,
            "started_by": "ann",
        }
        self._rollouts.append(Rollout(policy=policy, **(values | fields)))

    async def rollout_count(self) -> int:
        """How many there were so far."""
        return len(self._rollouts)

    async def in_force(self) -> list[Rollout]:
        """All of them: no policy is rolled out twice here."""
        return self._rollouts

    async def versions_named(self, keys: Sequence[tuple[str, int]]) -> list[PolicyVersion]:
        """The versions of these policies and numbers."""
        return [
            PolicyVersion(
                policy=policy,
                version=version,
                state=VersionState.PUBLISHED,
                spec=self._versions[policy, version],
                digest="",
                note="",
                created_at=self._at,
                created_by="ann",
            )
            for policy, version in keys
        ]
