"""Judging: who answers when a payment asks, this process or the scoring process of the house.

Whoever asks handles failure alike: the payment goes on at the tier that ``fallback`` gives, and the log tells why.
"""

from typing import Protocol

import structlog

from tongbao.core.errors import Unavailable
from tongbao.risk.schema.signals import Signals
from tongbao.risk.service.assessor import Asked, Assessor, Looked

_log = structlog.get_logger(__name__)


class Judging(Protocol):
    """Judges payments for one process."""

    async def assess(self, asked: Asked) -> Looked:
        """Return the tier of a payment with everything behind it.

        Raises Unavailable where nobody answers in time, and whatever breaks in scoring; ask for ``fallback`` then.
        """
        ...

    def fallback(self, signals: Signals, *, can_step_up: bool = True) -> Looked:
        """Return the tier of a payment that could not be judged; asks nobody. See ``Assessor.fallback``."""
        ...


class InProcess:
    """Judges in this process: nothing is sent, nothing is waited for."""

    def __init__(self, assessor: Assessor) -> None:
        self._assessor = assessor

    async def assess(self, asked: Asked) -> Looked:
        """See ``Judging``."""
        return self._assessor.assess(asked)

    def fallback(self, signals: Signals, *, can_step_up: bool = True) -> Looked:
        """See ``Judging``."""
        return self._assessor.fallback(signals, can_step_up=can_step_up)


def tell_failure(error: Exception, reference: str) -> None:
    """Write down, inside the handler of ``error``, why the payment ``reference`` was not judged.

    That nobody answers is the trouble of another process and needs no trace; everything else is a defect here.
    """
    if isinstance(error, Unavailable):
        _log.warning("risk_control_away", id=reference, code=error.code)
    else:
        _log.exception("risk_control_failed", id=reference)
