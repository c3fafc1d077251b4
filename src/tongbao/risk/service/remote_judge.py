"""Judging elsewhere: the scoring process of the house knows everybody's history, this process knows the policy.

So policies, lists and freezes are kept fresh here, and where no answer comes the payment goes on at the tier that the policy
in force has for that case, stopped by a freeze or a block list all the same.
"""

from typing import Never, cast

from tongbao.core.errors import Unavailable
from tongbao.risk.adapters.judge_line import JudgeLine
from tongbao.risk.schema.signals import Signals
from tongbao.risk.service import judging_form
from tongbao.risk.service.assessor import Asked, Assessor, Looked
from tongbao.risk.service.following import Following


class RemoteJudge:
    """Asks the scoring process over ``line``; ``assessor`` gives the fallback and is never asked to score."""

    def __init__(self, line: JudgeLine, assessor: Assessor) -> None:
        self._line = line
        self._assessor = assessor

    async def assess(self, asked: Asked) -> Looked:
        """Return the judgement of the scoring process, the same that a process with its memory would give.

        Raises Unavailable as ``JudgeLine.ask``, ``scoring_garbled`` for what cannot be read, ``scoring_failed`` where
        scoring broke there, and what scoring raises about the question itself.
        """
        sealed = await self._line.ask(judging_form.question_bytes(asked))
        if not sealed.is_judgement:
            raise judging_form.error_of(sealed.body)
        return judging_form.looked_of(sealed.body)

    def fallback(self, signals: Signals, *, can_step_up: bool = True) -> Looked:
        """Return the tier of a payment that could not be judged; see ``Assessor.fallback``."""
        return self._assessor.fallback(signals, can_step_up=can_step_up)


class _KnownElsewhere:
    """Stands for the memory that a process with a remote judge does not have."""

    @property
    def memory(self) -> Never:
        """Raise Unavailable ``judged_elsewhere``: an empty memory would score everybody as a stranger."""
        raise Unavailable("judged_elsewhere", "this process keeps no history; the scoring process judges")

    position = 0


def known_elsewhere() -> Following:
    """Return what the assessor of a process without a memory reads."""
    return cast("Following", _KnownElsewhere())
