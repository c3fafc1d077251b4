"""Volume commitments as prices: how many basis points a channel's score is credited with for each unit sent there.

A commitment to send volume ``V`` in a month costs ``s`` basis points of whatever is missing at its end. As a constrained
problem its Lagrange multiplier is what one more unit on the channel saves: ``s`` times how sure it is that the gap will
still be open at the end. With ``done`` of the month behind and ``E`` expected to come anyway::

    gap    = max(0, V - done - E)
    spread = SPREAD_SHARE * V * sqrt(share of the month that is left)
    price  = s * erf(gap / (spread * sqrt(2)))

Volume still to come is as uncertain as a random walk over the time left, and ``erf`` is the probability that normal noise
of that spread is smaller than the gap. So the price is exactly 0 on track or ahead, rises smoothly with the gap and as
time runs out, never passes ``s``, and is ``s`` for any gap once no time is left. (The multiplier proper would take
the noise of one side only and stand at ``s / 2`` on track; payments would then be bent for commitments that are met.)
"""

import math

import msgspec

from tongbao.routing.schema.spec import Commitment

SPREAD_SHARE = 0.1
"""Standard deviation of a whole month's volume, as a share of the commitment."""


class CommitmentPrice(msgspec.Struct, frozen=True, kw_only=True):
    """``bps`` of an amount to credit the channel with, from 0 to the commitment's shortfall rate.

    ``gap_minor``: what is expected to be missing, in the commitment's currency; ``shortfall_prob`` how sure that is.
    """

    bps: float
    gap_minor: int
    shortfall_prob: float


def price(commitment: Commitment, done_minor: int, expected_minor: int, left_share: float) -> CommitmentPrice:
    """Return the price of a commitment now.

    ``done_minor``: volume of the month so far, ``expected_minor``: what will come anyway, both in minor units of the
    commitment's currency; ``left_share``: of the month, in [0, 1].
    """
    gap_minor = max(0, commitment.volume_minor - done_minor - expected_minor)
    spread = SPREAD_SHARE * commitment.volume_minor * math.sqrt(min(max(left_share, 0.0), 1.0))
    if gap_minor == 0:
        prob = 0.0
    elif spread == 0:
        prob = 1.0
    else:
        prob = math.erf(gap_minor / (spread * math.sqrt(2)))
    return CommitmentPrice(bps=commitment.shortfall_bps * prob, gap_minor=gap_minor, shortfall_prob=prob)


def expected_at_pace(done_minor: int, left_share: float) -> int:
    """Return what comes in the rest of a month that goes on as it began; 0 at its first instant, when nothing is known."""
    passed = 1.0 - min(max(left_share, 0.0), 1.0)
    return 0 if passed <= 0 else round(done_minor * (1.0 - passed) / passed)
