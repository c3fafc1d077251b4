"""Answering: the scoring process reads questions, has each judged, and seals what it answers.

Whoever cannot seal questions is told so and nothing else. A question changes nothing, so asking one twice is harmless.
"""

from typing import NamedTuple

import msgspec
import structlog

from tongbao.core.errors import (
    AppError,
    InvalidRequest,
    InvariantBroken,
    LimitExceeded,
    NotPermitted,
    Unavailable,
)
from tongbao.core.metrics import Metrics
from tongbao.risk.adapters.judge_seal import JudgeSeal
from tongbao.risk.schema.scoring import QUESTIONS_MAX, REQUEST_BYTES_MAX, questions_of
from tongbao.risk.service import judging_form
from tongbao.risk.service.assessor import Assessor

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

    def admit(self, seal: str, body: bytes) -> list[bytes]:
        """Return the questions that a process of this house has sealed.

        Raises LimitExceeded ``body_too_large`` above ``REQUEST_BYTES_MAX`` and ``questions_too_many`` above 32, NotPermitted
        ``seal_wrong``, InvalidRequest ``questions_malformed`` for what another version of this program may have sealed.
        """
        if len(body) > REQUEST_BYTES_MAX:
            raise too_large()
        if not self._seal.seals_question(seal, body):
            self._ends.labels("forged").inc()
            raise NotPermitted(
                "seal_wrong", "only processes that share the secret of this house are answered"
            )
        try:
            questions = questions_of(body)
        except msgspec.MsgspecError as error:
            raise InvalidRequest("questions_malformed", f"these are no questions: {error}") from error
        if len(questions) > QUESTIONS_MAX:
            raise LimitExceeded("questions_too_many", f"at most {QUESTIONS_MAX} questions are asked at once")
        return questions

    def answer(self, question: bytes) -> Answer:
        """Return the answer to a question; whatever goes wrong in reading it or in scoring is an answer, too."""
        try:
            looked = self._assessor.assess(judging_form.asked_of(question))
        except AppError as error:
            return self._refused(error)
        except Exception:
            _log.exception("risk_control_failed")
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
    """Return the error about questions that are longer than any can be."""
    return LimitExceeded("body_too_large", f"questions have at most {REQUEST_BYTES_MAX} bytes")
