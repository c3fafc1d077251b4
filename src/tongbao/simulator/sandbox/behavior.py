"""How each channel of the sandbox behaves: scripted, magic or drawn from a seed, and changeable while it runs.

Asked for a plan, the first that applies decides: rate limit, a trouble window, a script, a magic card, a magic
amount, and at last chance. Chance is drawn anew for every (seed, channel, operation, number of the ask), so equal seeds
give equal sequences, whatever happened between them, and a change of behavior moves no later draw.
"""

import enum
import random
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox.declines import AMOUNTS, CARDS, DISPUTED_CARD, Decline
from tongbao.simulator.sandbox.schema import Operation

SCRIPTS_MAX = 200
WAIT_MS_MAX = 600_000.0
RATE_WINDOW_S = 1.0
Choice = TypeVar("Choice")


class Fault(enum.StrEnum):
    """What goes wrong between the channel and the merchant. ``_DONE``: the act itself was done."""

    NONE = "none"
    SILENT = "silent"
    SILENT_DONE = "silent_done"
    CUT = "cut"
    CUT_DONE = "cut_done"
    GARBAGE = "garbage"  # done, and answered with bytes that mean nothing
    ERROR = "error"  # answered with the protocol's "system error"
    ERROR_DONE = "error_done"
    TAMPERED = "tampered"  # done, and a wrong amount is said from then on
    LIMITED = "limited"  # not done: too many requests


NOT_DONE = frozenset({Fault.SILENT, Fault.CUT, Fault.ERROR, Fault.LIMITED})
MAGIC_FAULTS: dict[int, Fault] = {
    81: Fault.SILENT,
    82: Fault.SILENT_DONE,
    83: Fault.CUT,
    84: Fault.CUT_DONE,
    85: Fault.GARBAGE,
    86: Fault.TAMPERED,
    87: Fault.ERROR,
}
"""Last two digits of an amount in minor units, and what goes wrong."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings as JSON may give them; a probability outside [0, 1] or a negative number is refused."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float | int) and not isinstance(value, bool):
                ceiling = 1.0 if name.endswith("_prob") else WAIT_MS_MAX if name.endswith("_ms") else None
                if value < 0 or (ceiling is not None and value > ceiling):
                    raise ValueError(f"{name} is out of range: {value}")


class Duration(_Settings, frozen=True):
    """Milliseconds: constant, or lognormal around a median where ``sigma`` (of the logarithm) is not 0."""

    median_ms: float = 0.0
    sigma: float = 0.0

    def draw_ms(self, rng: random.Random) -> float:
        """Return one duration, never longer than ``WAIT_MS_MAX``."""
        return min(self.median_ms * rng.lognormvariate(0.0, self.sigma), WAIT_MS_MAX)


class TroubleKind(enum.StrEnum):
    """What a trouble window does to the asks that it hits."""

    REFUSED = "refused"  # an acquirer stops listening; HTTP closes the connection unanswered
    SILENT = "silent"
    ERROR = "error"
    DECLINING = "declining"  # a brown-out: more issuers than usual say no


class Trouble(_Settings, frozen=True):
    """A window in seconds since the start of the sandbox, half-open; ``hit_prob`` of all asks are hit."""

    kind: TroubleKind
    from_s: float = 0.0
    until_s: float = 1e12
    hit_prob: float = 1.0

    def is_open(self, elapsed_s: float) -> bool:
        """Return whether the instant lies inside the window."""
        return self.from_s <= elapsed_s < self.until_s


class Script(_Settings, frozen=True):
    """What happens to the next asks that match everything given; ``times`` is how many, None all of them.

    ``late_ms`` waits before the act is done, ``latency_ms`` before it is answered. ``pending_ms`` answers
    "accepted" and decides so much later. ``approve_minor`` makes an acquirer approve less than it was asked for.
    """

    operation: Operation | None = None
    reference_prefix: str | None = None
    amount_minor: int | None = None
    amount_ends: int | None = None
    times: int | None = None
    decline: Decline | None = None
    fault: Fault = Fault.NONE
    late_ms: float = 0.0
    latency_ms: float | None = None
    pending_ms: float | None = None
    approve_minor: int | None = None
    disputed: bool = False

    def matches(self, ask: "Ask") -> bool:
        """Return whether every given condition holds."""
        return (
            self.operation in (None, ask.operation)
            and (self.reference_prefix is None or ask.reference.startswith(self.reference_prefix))
            and self.amount_minor in (None, ask.amount_minor)
            and (self.amount_ends is None or str(ask.amount_minor).endswith(f"{self.amount_ends:02d}"))
        )


class Payers(_Settings, frozen=True):
    """People who pay by themselves what waits for a payer; the rest (neither pays nor cancels) walk away."""

    pays_prob: float = 0.0
    cancels_prob: float = 0.0
    delay: Duration = Duration(median_ms=500.0)


class Notifying(_Settings, frozen=True):
    """What happens to notifications. ``shuffle_ms``: each waits up to so long, so that they overtake each other."""

    lost_prob: float = 0.0
    duplicate_prob: float = 0.0
    late_prob: float = 0.0
    late: Duration = Duration(median_ms=1_000.0)
    shuffle_ms: float = 0.0
    tampered_prob: float = 0.0  # genuinely signed, with a wrong amount


class Habits(_Settings, frozen=True):
    """The whole behavior of one channel. Everything defaults to a channel that works."""

    decline_prob: float = 0.0
    declines: dict[Decline, int] = msgspec.field(default_factory=lambda: {Decline.DO_NOT_HONOR: 1})
    faults: dict[Fault, float] = {}
    faulty_operations: frozenset[Operation] = frozenset(Operation) - {Operation.INQUIRE, Operation.PAY}
    latency: Duration = Duration()
    troubles: tuple[Trouble, ...] = ()
    rate_per_s: int | None = None
    payers: Payers = Payers()
    notifying: Notifying = Notifying()
    scripts: tuple[Script, ...] = ()
    refund_ms: float = 0.0  # how long a refund stays under way
    dispute_ms: float = 200.0  # how long after approval a payment that will be disputed is
    dispute_prob: float = 0.0
    tampered_by_minor: int = 1
    magic_amounts: bool = True
    magic_cards: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(share < 0 for share in self.faults.values()) or sum(self.faults.values()) > 1:
            raise ValueError("the shares of faults are probabilities that sum to at most 1")
        if not self.declines or min(self.declines.values()) < 0 or not any(self.declines.values()):
            raise ValueError("the weights of declines are not negative and not all zero")
        if len(self.scripts) > SCRIPTS_MAX:
            raise ValueError(f"at most {SCRIPTS_MAX} scripts")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What decides a plan. ``card_number`` is looked at and not kept."""

    operation: Operation
    reference: str
    amount_minor: int = 0
    card_number: str | None = None

    def __repr__(self) -> str:
        return f"Ask({self.operation}, {self.reference}, {self.amount_minor})"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel will do with one ask."""

    fault: Fault = Fault.NONE
    decline: Decline | None = None
    latency_ms: float = 0.0
    late_ms: float = 0.0
    pending_ms: float | None = None
    tampered_by_minor: int = 0
    approve_minor: int | None = None
    disputed: bool = False


class Behaviors:
    """The habits of all channels and the asks counted so far. Not shared between threads."""

    def __init__(self, seed: int, habits: dict[str, Habits] | None = None) -> None:
        self._seed = seed
        self._habits = dict(habits or {})
        self._asked: Counter[tuple[str, str]] = Counter()
        self._used: Counter[tuple[str, Script]] = Counter()
        self._window: dict[str, tuple[float, int]] = {}

    def habits(self, channel: str) -> Habits:
        """Return how a channel behaves now."""
        return self._habits.get(channel, Habits())

    def set(self, channel: str, habits: Habits) -> None:
        """Behave so from the next ask on; counted scripts begin anew."""
        self._habits[channel] = habits
        for used in [key for key in self._used if key[0] == channel]:
            del self._used[used]

    def draw(self, channel: str, what: str) -> random.Random:
        """Return the randomness of the next event of this name in this channel."""
        self._asked[channel, what] += 1
        return random.Random(f"{self._seed}/{channel}/{what}/{self._asked[channel, what]}")

    def is_refusing(self, channel: str, elapsed_s: float) -> bool:
        """Return whether the channel takes no connections at this instant."""
        return any(
            trouble.kind is TroubleKind.REFUSED and trouble.hit_prob == 1.0 and trouble.is_open(elapsed_s)
            for trouble in self.habits(channel).troubles
        )

    def plan(self, channel: str, ask: Ask, elapsed_s: float) -> Plan:
        """Decide what happens to an ask that arrives ``elapsed_s`` after the start."""
        habits = self.habits(channel)
        rng = self.draw(channel, ask.operation)
        latency_ms = habits.latency.draw_ms(rng)
        by_chance = _by_chance(habits, ask, rng, latency_ms)
        hits = [rng.random() for _ in habits.troubles]
        if self._is_too_fast(channel, habits, elapsed_s):
            return Plan(fault=Fault.LIMITED)
        for trouble, hit in zip(habits.troubles, hits, strict=True):
            if trouble.is_open(elapsed_s) and hit < trouble.hit_prob:
                return _troubled(trouble.kind, ask, latency_ms)
        script = self._script(channel, habits, ask)
        if script is not None:
            return _scripted(script, habits, latency_ms)
        return _magic(habits, ask, latency_ms) or by_chance

    def _is_too_fast(self, channel: str, habits: Habits, elapsed_s: float) -> bool:
        if habits.rate_per_s is None:
            return False
        began, count = self._window.get(channel, (elapsed_s, 0))
        if elapsed_s - began >= RATE_WINDOW_S:
            began, count = elapsed_s, 0
        self._window[channel] = (began, count + 1)
        return count >= habits.rate_per_s

    def _script(self, channel: str, habits: Habits, ask: Ask) -> Script | None:
        for script in habits.scripts:
            if script.matches(ask) and (script.times is None or self._used[channel, script] < script.times):
                self._used[channel, script] += 1
                return script
        return None


def parse_habits(raw: bytes) -> Habits:
    """Read one channel's behavior from JSON; raise InvalidRequest ``behavior_invalid``."""
    try:
        return msgspec.json.decode(raw, type=Habits)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest("behavior_invalid", str(error)) from None


def parse_behavior(raw: bytes) -> dict[str, Habits]:
    """Read the behavior of several channels, ``{channel: habits}``; raise InvalidRequest ``behavior_invalid``."""
    try:
        return msgspec.json.decode(raw, type=dict[str, Habits])
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest("behavior_invalid", str(error)) from None


def _troubled(kind: TroubleKind, ask: Ask, latency_ms: float) -> Plan:
    if kind is TroubleKind.DECLINING:
        declines = ask.operation in (Operation.AUTHORIZE, Operation.PAY)
        return Plan(decline=Decline.ISSUER_UNAVAILABLE if declines else None, latency_ms=latency_ms)
    fault = {TroubleKind.REFUSED: Fault.CUT, TroubleKind.SILENT: Fault.SILENT, TroubleKind.ERROR: Fault.ERROR}
    return Plan(fault=fault[kind], latency_ms=latency_ms)


def _scripted(script: Script, habits: Habits, latency_ms: float) -> Plan:
    return Plan(
        fault=script.fault,
        decline=script.decline,
        latency_ms=latency_ms if script.latency_ms is None else script.latency_ms,
        late_ms=script.late_ms,
        pending_ms=script.pending_ms,
        tampered_by_minor=habits.tampered_by_minor if script.fault is Fault.TAMPERED else 0,
        approve_minor=script.approve_minor,
        disputed=script.disputed,
    )


def _magic(habits: Habits, ask: Ask, latency_ms: float) -> Plan | None:
    """Return what the card number or the last two digits of the amount ask for; only new payments listen."""
    if ask.operation not in (Operation.AUTHORIZE, Operation.PAY, Operation.PAYOUT):
        return None
    if habits.magic_cards and ask.card_number in CARDS:
        return Plan(decline=CARDS[ask.card_number], latency_ms=latency_ms)
    if habits.magic_cards and ask.card_number == DISPUTED_CARD:
        return Plan(disputed=True, latency_ms=latency_ms)
    ending = ask.amount_minor % 100
    if habits.magic_amounts and ending in AMOUNTS:
        return Plan(decline=AMOUNTS[ending], latency_ms=latency_ms)
    if habits.magic_amounts and ending in MAGIC_FAULTS:
        fault = MAGIC_FAULTS[ending]
        tampered = habits.tampered_by_minor if fault is Fault.TAMPERED else 0
        return Plan(fault=fault, latency_ms=latency_ms, tampered_by_minor=tampered)
    return None


def _by_chance(habits: Habits, ask: Ask, rng: random.Random, latency_ms: float) -> Plan:
    """Return what chance says. Every draw is made, so that one probability never shifts another's draws."""
    declines, which, breaks, disputes = rng.random(), rng.random(), rng.random(), rng.random()
    decline = None
    if (
        ask.operation in (Operation.AUTHORIZE, Operation.PAY, Operation.PAYOUT)
        and declines < habits.decline_prob
    ):
        decline = _pick(habits.declines, which * sum(habits.declines.values()))
    fault = Fault.NONE
    if ask.operation in habits.faulty_operations:
        fault = _pick({**habits.faults, Fault.NONE: 1.0}, breaks)
    return Plan(
        fault=fault,
        decline=decline,
        latency_ms=latency_ms,
        tampered_by_minor=habits.tampered_by_minor if fault is Fault.TAMPERED else 0,
        disputed=disputes < habits.dispute_prob,
    )


def _pick(weights: Mapping[Choice, float], at: float) -> Choice:
    """Return the choice into whose stretch of the weights, laid end to end, ``at`` falls."""
    for choice, weight in weights.items():
        if at < weight:
            return choice
        at -= weight
    return choice
