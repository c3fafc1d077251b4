"""Answering: the scoring process reads a question, has it judged, and seals what it answers.

Whoever cannot seal a question is told so and nothing else. A question changes nothing, so asking one twice is harmless.
"""

from typing import NamedTuple

import structlog

from tongbao.core.errors import AppError, InvariantBroken, LimitExceeded, NotPermitted, Unavailable
from tongbao.core.metrics import Metrics
from tongbao.risk.adapters.judge_seal import JudgeSeal
from tongbao.risk.schema.scoring import QUESTION_BYTES_MAX
from tongbao.risk.service import judging_form
from tongbao.risk.service.assessor import Asked, Assessor

_log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What is sent back: MessagePack of a judgement, or of a refusal where there is an ``error``."""

    body: bytes
    error: AppError | None = None


class Answering:
    """Answers for the scoring process. One per process."""

    def __init__(self, assessor: Assessor, seal: JudgeSeal, metrics: Metrics) -> None:
        self._assessor = assessor
        self._seal = seal
        self._ends = metrics.counter("risk_answers", "Judgements given to other processes", labels=("end",))

    def admit(self, seal: str, body: bytes) -> Asked:
        """Return a question that a process of this house has sealed.

        Raises LimitExceeded ``body_too_large`` above 16,384 bytes, NotPermitted ``seal_wrong``, InvalidRequest
        ``question_malformed`` for what another version of this program may have sealed.
        """
        if len(body) > QUESTION_BYTES_MAX:
            raise too_large()
        if not self._seal.seals_question(seal, body):
            self._ends.labels("forged").inc()
            raise NotPermitted(
                "seal_wrong", "only processes that share the secret of this house are answered"
            )
        return judging_form.asked_of(body)

    def answer(self, asked: Asked) -> Answer:
        """Return the answer to a question; whatever goes wrong in scoring is an answer, too."""
        try:
            looked = self._assessor.assess(asked)
        except AppError as error:
            return self._refused(error)
        except Exception:
            _log.exception("risk_control_failed", id=asked.signals.subject)
            return self._refused(
                Unavailable("scoring_failed", "scoring this payment broke; it has been logged")
            )
        self._ends.labels("judged").inc()
        return Answer(judging_form.answer_bytes(looked))

    def sealed(self, question_seal: str, status: int, body: bytes) -> str:
        """Return the seal of an answer."""
        return self._seal.of_answer(question_seal, status, body)

    def _refused(self, error: AppError) -> Answer:
        self._ends.labels("refused").inc()
        if isinstance(error, InvariantBroken):
            _log.error("risk_control_broken", code=error.code, detail=error.detail)
        return Answer(judging_form.refusal_bytes(error), error)


def too_large() -> LimitExceeded:
    """Return the error about a question that is longer than any can be."""
    return LimitExceeded("body_too_large", f"a question has at most {QUESTION_BYTES_MAX} bytes")
