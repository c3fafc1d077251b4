"""Everything that is learned from the facts of risk control, folded in the order of commits.

Live and test payments have histories of their own. ``learn`` is the only thing that changes a memory, and everything in it
follows from the facts and their order: two memories that learned the same facts are equal bit for bit, whatever they were
asked in between.

>>> memory = Memory()
>>> memory.digest() == Memory.load(memory.dump()).digest()
True
"""

import hashlib
from collections.abc import Mapping
from uuid import UUID

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.core.events.facts import Fact
from tongbao.risk.models.rates import LEARNED, LearnedRates, Outcome
from tongbao.risk.models.state import FeatureState
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, LabelSource, Proved
from tongbao.risk.schema.tiers import Tier

FORMAT = 1
PENDING_MAX = 100_000
"""Payments whose outcome may still teach rates, in each mode; beyond it the oldest teach nothing more."""


class _Pending(msgspec.Struct, array_like=True):
    """What is known of a payment that was stepped up or reviewed; ``counted`` is the share counted as fraud so far."""

    outcome: Outcome
    learned_at_s: float | None = None
    counted: float | None = None


class _Stored(msgspec.Struct, array_like=True):
    """One mode of a memory as bytes."""

    state: bytes
    rates: bytes
    pending: dict[UUID, _Pending]


class Mode:
    """The memory of one mode, live or test: features of everybody involved, and what became of each tier."""

    def __init__(self) -> None:
        self.state = FeatureState()
        self.rates = LearnedRates()
        self._pending: dict[UUID, _Pending] = {}

    def learn(self, fact: Fact) -> None:
        """Fold in one fact; those of other rooms change nothing."""
        at_s = fact.occurred_at.timestamp()
        match fact:
            case Assessed(is_again=False):
                self.state.learn(fact.signals)
                self._expect(fact)
            case Ended():
                self.state.ended(fact.signals_id, fact.is_approved, int(at_s * 1000))
            case Proved():
                self.state.proved(fact.signals_id, fact.is_passed, int(at_s * 1000))
                self._news(fact.signals_id, at_s, is_passed=fact.is_passed)
            case Labelled():
                self.state.label(fact.signals_id, fact.is_fraud, int(at_s * 1000))
                is_ruling = fact.source is LabelSource.CASE
                ruling: dict[str, bool] = {"is_approved": not fact.is_fraud} if is_ruling else {}
                self._news(fact.signals_id, at_s, is_fraud=fact.is_fraud, **ruling)

    def stored(self) -> _Stored:
        """Return the state as values that can be written."""
        return _Stored(self.state.dump(), self.rates.dump(), self._pending)

    def restore(self, stored: _Stored) -> None:
        """Take over what ``stored`` returned."""
        self.state = FeatureState.load(stored.state)
        self.rates.load(stored.rates)
        self._pending = stored.pending

    def _expect(self, fact: Assessed) -> None:
        if fact.tier not in LEARNED:
            return
        if len(self._pending) >= PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        outcome = Outcome(tier=fact.tier, segment=fact.segment, chance=fact.score)
        self._pending[fact.signals.id] = _Pending(outcome)

    def _news(self, signals_id: UUID, at_s: float, **known: bool) -> None:
        """Take in what became known of a payment; rates learn of it once, and are put right when the truth comes."""
        pending = self._pending.get(signals_id)
        if pending is None:
            return
        if pending.outcome.tier is Tier.STEP_UP:
            known.pop("is_approved", None)
        pending.outcome = msgspec.structs.replace(pending.outcome, **known)
        if pending.counted is None:
            pending.counted = self.rates.learn(pending.outcome, at_s)
            pending.learned_at_s = at_s if pending.counted is not None else None
        elif "is_fraud" in known and pending.learned_at_s is not None:
            self.rates.correct(pending.outcome, pending.counted, pending.learned_at_s)
            pending.counted = float(known["is_fraud"])


class Memory:
    """Both modes; see ``Mode``."""

    def __init__(self) -> None:
        self._modes: Mapping[bool, Mode] = {True: Mode(), False: Mode()}

    def of(self, live: bool) -> Mode:
        """Return the memory of live payments, or of those of the sandbox."""
        return self._modes[live]

    def learn(self, fact: Fact) -> None:
        """Fold in one fact of risk control."""
        match fact:
            case Assessed():
                self._modes[fact.signals.live].learn(fact)
            case Ended() | Proved() | Labelled():
                self._modes[fact.live].learn(fact)

    def dump(self) -> bytes:
        """Return the state as bytes; equal states give equal bytes."""
        modes = [self._modes[live].stored() for live in (True, False)]
        return msgspec.msgpack.encode((FORMAT, modes))

    def digest(self) -> str:
        """Return what names the state: SHA-256 of its bytes, hexadecimal."""
        return hashlib.sha256(self.dump()).hexdigest()

    def become(self, other: "Memory") -> None:
        """Take over the state of another memory, whose own use ends with that."""
        self._modes = other._modes

    @staticmethod
    def load(data: bytes) -> "Memory":
        """Return the memory that ``dump`` wrote; raise InvalidRequest ``risk_snapshot_invalid`` for anything else."""
        try:
            version, modes = msgspec.msgpack.decode(data, type=tuple[int, list[_Stored]])
        except msgspec.MsgspecError as error:
            raise _invalid(str(error)) from error
        if version != FORMAT or len(modes) != 2:
            raise _invalid(f"it is of form {version}")
        memory = Memory()
        for live, stored in zip((True, False), modes, strict=True):
            memory._modes[live].restore(stored)
        return memory


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest("risk_snapshot_invalid", f"this is no state of risk control: {why}")
