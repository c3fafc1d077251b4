"""Who decides for a unit, and what may be asked of a roll-out.

A unit (a customer, a payment) falls into one of 2**53 places of [0, 1) by SHA-256 of salt and unit, the same in every
process and for ever. The challenger has the places below its share: a share that grows takes units in and lets none
go. Different salts are independent; a checksum such as CRC-32 is not, because it is linear.
"""

import hashlib
import math
from collections.abc import Collection

import msgspec

from tongbao.decisions.schema.evaluation import Verdict
from tongbao.decisions.schema.policies import NAME_CHARS_MAX, SHARE_BPS_MAX, Guardrail

CHAMPION = "champion"
CHALLENGER = "challenger"
UNPROVED_SHARE_BPS_MAX = 500
"""What a version may decide at most whose replay tells nothing: 5 % of the units, enough to make a log that tells."""
GUARDRAILS_MAX = 10
GUARDRAIL_COUNT_MIN = 50
"""Below some dozens of decisions an arm the central limit theorem, on which guardrails rest, promises nothing."""


class RolloutOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A roll-out as somebody wants it; the service adds epoch, salt and time.

    ``epoch``: the one in force when the order was written; where it is given, another one in force refuses the order.
    """

    champion: int
    challenger: int | None = None
    share_bps: int = 0
    shadow: int | None = None
    guardrails: tuple[Guardrail, ...] = ()
    note: str = ""
    epoch: int | None = None


def bucket(salt: str, unit: str) -> float:
    """Return the place of ``unit`` under ``salt``, in [0, 1).

    The first 8 bytes of SHA-256(salt ":" unit) over 2**64, cut to the 53 bits of a float: rounded, it could be 1.
    """
    # Half a surrogate is no text, but no reason to fail a payment either.
    digest = hashlib.sha256(f"{salt}:{unit}".encode(errors="surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def is_challenged(salt: str, share_bps: int, unit: str) -> bool:
    """Return whether the challenger decides for ``unit`` at a share of ``share_bps`` in 1/10,000."""
    return bucket(salt, unit) < share_bps / SHARE_BPS_MAX


def fault_of(order: RolloutOrder) -> str:
    """Return what is wrong with an order as such, whatever the versions are; empty where nothing is."""
    named = [each for each in (order.champion, order.challenger, order.shadow) if each is not None]
    if len(set(named)) != len(named):
        return "champion, challenger and shadow are different versions"
    if not 0 <= order.share_bps <= SHARE_BPS_MAX:
        return f"share_bps lies between 0 and {SHARE_BPS_MAX}"
    if order.challenger is None and (order.share_bps or order.guardrails):
        return "without a challenger there is no share and nothing to guard"
    if order.guardrails and order.share_bps == SHARE_BPS_MAX:
        return "a guardrail compares with the champion, which needs some units of its own"
    if len(order.guardrails) > GUARDRAILS_MAX:
        return f"at most {GUARDRAILS_MAX} guardrails"
    if len({each.outcome for each in order.guardrails}) != len(order.guardrails):
        return "one guardrail an outcome"
    return next((fault for each in order.guardrails if (fault := _guardrail_fault(each))), "")


def choice_fault_of(order: RolloutOrder, choices: Collection[str]) -> str:
    """Return what is wrong where a guardrail counts what its policy never chooses; ``choices`` are those that there are."""
    wrong = next((each.choice for each in order.guardrails if each.choice not in (None, *choices)), None)
    return f"a choice is one of {', '.join(sorted(choices))}; not {wrong}" if wrong is not None else ""


def is_unproved(share_bps: int, verdict: Verdict | None, *, is_forced: bool) -> bool:
    """Return whether a share is more than a version with this verdict may have; None: it was never replayed.

    A replay that tells nothing (``refused``), or one that tells of harm and that nobody overruled, leaves a version at
    most ``UNPROVED_SHARE_BPS_MAX`` of the units.
    """
    doubtful = verdict is Verdict.REFUSED or (verdict is Verdict.WORSE and not is_forced)
    return doubtful and share_bps > UNPROVED_SHARE_BPS_MAX


def _guardrail_fault(guardrail: Guardrail) -> str:
    if not 0 < len(guardrail.outcome) <= NAME_CHARS_MAX or "\x00" in guardrail.outcome:
        return f"a guardrail names an outcome in 1 to {NAME_CHARS_MAX} characters"
    if guardrail.choice == "":
        return f"{guardrail.outcome} names what is chosen, as in chosen=decline"
    if not 0 <= guardrail.worse_by < math.inf:
        return f"worse_by of {guardrail.outcome} is a number from 0 on"
    if not 0 < guardrail.value_range < math.inf:
        return f"value_range of {guardrail.outcome} is above 0"
    if guardrail.count_min < GUARDRAIL_COUNT_MIN:
        return f"count_min of {guardrail.outcome} is at least {GUARDRAIL_COUNT_MIN}"
    return ""
