"""An assessor that stands alone: no database, one policy in force, nobody listed or frozen.

For files that are replayed and speeds that are measured: what judges is what judges in production, with a memory that
whoever made it fills by itself, and models that are put on its shelf as they are trained.
"""

import random
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tongbao.core.clock import Clock
from tongbao.decisions.service.live_policies import Deciding
from tongbao.risk.models import artifact
from tongbao.risk.models.artifact import Model, ModelScorer
from tongbao.risk.models.contributions import Explainer
from tongbao.risk.models.memory import Memory
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.freezes import Freeze
from tongbao.risk.schema.lists import Listed
from tongbao.risk.schema.signals import Signals
from tongbao.risk.service.assessor import Assessor, Ready, ready
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.following import Following
from tongbao.risk.service.shelf import Judge, Shelf


class Alone:
    """An assessor with what it asks. ``learn_from`` makes the policy in force use another model."""

    def __init__(
        self, memory: Memory, clock: Clock, policy: Mapping[str, Any], *, chance: random.Random | None = None
    ) -> None:
        self.policies = _OnePolicy(ready(dict(policy)))
        self.shelf = _ShelfInMemory()
        self.assessor = Assessor(
            # The assessor reads two attributes of the one and calls one method of the other.
            cast("Following", _Known(memory)),
            self.policies,
            cast("Shelf", self.shelf),
            _NobodyListed(),
            _NobodyFrozen(),
            clock,
            chance=chance,
        )

    def use(self, model: Model) -> str:
        """Let the policy judge by another model from now on; return its digest."""
        digest = self.shelf.put(model)
        self.policies.use(digest)
        return digest


def alone(
    memory: Memory,
    clock: Clock,
    policy: Mapping[str, Any],
    *,
    chance: random.Random | None = None,
    model: Model | None = None,
) -> Alone:
    """Return an assessor that judges by ``policy``, a ``RiskSpec`` as plain values, and by a model where one is given.

    Raises InvalidRequest as ``compiling.compile_spec``.
    """
    made = Alone(memory, clock, policy, chance=chance)
    if model is not None:
        made.use(model)
    return made


class _Known:
    """What a follower shows: the memory, and how far it has read."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.position = 0


class _OnePolicy:
    """The policy of a house that has only one, each change of its model a version of its own."""

    def __init__(self, made: Ready) -> None:
        self._ready = made
        self._version = 1
        self._deciding = self._decides()

    def use(self, digest: str) -> None:
        """Name another model."""
        spec = msgspec.structs.replace(self._ready.compiled.spec, model=digest)
        # Compiled anew: what a step costs depends on whether the chances are measured or a judgement.
        self._ready = ready(msgspec.to_builtins(spec))
        self._version += 1
        self._deciding = self._decides()

    def deciding(self, policy: str, unit: str) -> Deciding | None:
        """Return the one policy."""
        del unit
        return self._deciding if policy == POLICY else None

    def _decides(self) -> Deciding:
        return Deciding(policy=POLICY, epoch=1, version=self._version, arm="champion", spec=self._ready)


class _ShelfInMemory:
    """Models by digest; the built-in scorecard under the empty one. The newest model is the only one that is kept."""

    def __init__(self) -> None:
        self._built_in = _judge(artifact.by_judgement(NAMES))
        self._ready: dict[str, Judge] = {}

    def put(self, model: Model) -> str:
        """Make a model ready and let go of the one before."""
        digest = artifact.digest(artifact.dump(model))
        self._ready = {digest: _judge(model)}
        return digest

    def judge(self, digest: str) -> Judge:
        """Return a model by its digest, the built-in scorecard for any other."""
        return self._ready.get(digest, self._built_in)


class _NobodyListed:
    """A house without lists."""

    def listed(self, signals: Signals) -> tuple[Listed, ...]:
        """Return nothing."""
        del signals
        return ()


class _NobodyFrozen:
    """A house without freezes."""

    def frozen(self, signals: Signals) -> Freeze | None:
        """Return nothing."""
        del signals
        return None


def _judge(model: Model) -> Judge:
    return Judge(ModelScorer(model, NAMES), Explainer(model, NAMES))
