"""Showing the board to people: what is believed of channels now, as the router reads it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from tongbao.routing.models.board import Board
from tongbao.routing.policy.ranking import Z90
from tongbao.routing.schema.health import Estimate

BREAKERS = ("closed", "half_open", "open")


class Segment(NamedTuple):
    """A line of the board: mode, method and channel."""

    live: bool
    method: str
    channel: str


class BoardRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed of a channel for a method, over all issuers; intervals of 90 %.

    ``acceptance``: the chance of an issuer's yes. ``health``: the chance that the channel is technically well.
    ``technical_rate``: the moving rate that its breaker goes by. ``waiting_s``: seconds that an open breaker still
    waits, 0 where it does not.
    """

    live: bool
    method: str
    channel: str
    acceptance: Estimate
    health: Estimate
    technical_rate: float
    breaker: str
    waiting_s: float


def board_rows(board: Board, segments: Sequence[Segment], at: datetime) -> list[BoardRow]:
    """Return what the board holds of segments as of an instant, in their order; what was never seen is its prior."""
    return [_row(board, each, at) for each in segments]


def _row(board: Board, segment: Segment, at: datetime) -> BoardRow:
    path = board.path(segment.live, segment.method, "", (segment.channel,))
    sight = board.read(path, np.array([at.timestamp()]))
    waiting_s = float(sight.breaker.waiting_s[0, 0])
    return BoardRow(
        live=segment.live,
        method=segment.method,
        channel=segment.channel,
        acceptance=_estimate(float(sight.acceptance.mean[0, 0]), float(sight.acceptance.sd[0, 0])),
        health=_estimate(float(sight.health.mean[0, 0]), float(sight.health.sd[0, 0])),
        technical_rate=round(float(sight.rate[0, 0]), 5),
        breaker=BREAKERS[int(sight.breaker.state[0, 0])],
        waiting_s=round(-waiting_s, 1) if np.isfinite(waiting_s) and waiting_s < 0 else 0.0,
    )


def _estimate(mean: float, sd: float) -> Estimate:
    return Estimate(round(mean, 5), round(max(0.0, mean - Z90 * sd), 5), round(min(1.0, mean + Z90 * sd), 5))
