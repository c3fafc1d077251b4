"""What codes and reasons mean, for rooms above: the knowledge base behind its door."""

from tongbao.channels.policy import reasons
from tongbao.channels.policy.reasons import ReasonInfo
from tongbao.channels.schema import Reason


def reason_info(reason: Reason) -> ReasonInfo:
    """Return fault, retry advice, outward codes and texts of a standard reason."""
    return reasons.info(reason)


def standard_reason(network: str, code: str) -> Reason:
    """Return the standard reason of a network's code; ``Reason.OTHER`` where it is unknown."""
    return reasons.standard(network, code)
