"""The line to the scoring process: questions out, answers back, and quick about it where nobody is there.

A payment waits for an answer no longer than ``timeout_s``. After a question that was not answered the line rests: nobody
waits any more, everybody is told at once, and the line itself knocks at the other side until it opens. A single hiccup
costs a tenth of a second of judgements; a side that stays silent, or that opens and is silent again, at most one question
a second.
"""

import asyncio
from typing import NamedTuple

import structlog

from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent
from tongbao.core.metrics import Metrics
from tongbao.risk.adapters.judge_seal import JudgeSeal
from tongbao.risk.schema.scoring import HEALTH_PATH, JUDGEMENTS_PATH, MEDIA_TYPE, SEAL_HEADER

ANSWER_BYTES_MAX = 262_144
CONNECTIONS_MAX = 64
OK, BUSY = 200, 503
HICCUP_S = 0.1
"""So long the line rests where it was well before."""
REST_S = 1.0
"""So long it rests where it failed less than ``WELL_S`` ago."""
WELL_S = 10.0
KNOCK_S = 0.2
"""So often it looks whether the other side is there again."""

_log = structlog.get_logger(__name__)


class Sealed(NamedTuple):
    """An answer that is proved to come from the scoring process of this house."""

    status: int
    body: bytes

    @property
    def is_judgement(self) -> bool:
        """Whether the question was answered; otherwise it was refused."""
        return self.status == OK


class JudgeLine:
    """Asks the scoring process at ``url``. One per process; belongs to one event loop; close it."""

    def __init__(self, url: str, seal: JudgeSeal, *, timeout_s: float, metrics: Metrics) -> None:
        self._url = url.rstrip("/")
        self._seal = seal
        self._timeout_s = timeout_s
        self._http = HttpClient(connections_max=CONNECTIONS_MAX)
        self._knocking: asyncio.Task[None] | None = None
        self._failed_at_s = -WELL_S
        self._ends = metrics.counter(
            "risk_questions", "Judgements asked of the scoring process", labels=("end",)
        )

    @property
    def is_resting(self) -> bool:
        """Whether nobody is asked now."""
        return self._knocking is not None and not self._knocking.done()

    async def ask(self, body: bytes) -> Sealed:
        """Return the answer to a question.

        Raises Unavailable: ``scoring_away`` where nobody answers in time or the line rests, ``scoring_busy``,
        ``scoring_refused`` for an answer without a proof, such as that of a process with another secret, and
        ``scoring_forged`` for one with a wrong proof.
        """
        if self.is_resting:
            raise self._counted(Unavailable("scoring_away", "the scoring process does not answer"))
        seal = self._seal.of_question(body)
        try:
            answer = await self._http.request(
                "POST",
                self._url + JUDGEMENTS_PATH,
                headers={SEAL_HEADER: seal, "content-type": MEDIA_TYPE},
                body=body,
                timeout_s=self._timeout_s,
                answer_bytes_max=ANSWER_BYTES_MAX,
            )
        except (NotSent, NoAnswer) as error:
            self._rest()
            away = Unavailable("scoring_away", f"the scoring process does not answer: {error}")
            raise self._counted(away) from error
        return self._proved(answer, seal)

    async def close(self) -> None:
        """Knock no more and close all connections."""
        if self._knocking is not None:
            self._knocking.cancel()
            await asyncio.gather(self._knocking, return_exceptions=True)
        await self._http.close()

    def _proved(self, answer: HttpAnswer, question_seal: str) -> Sealed:
        seal = answer.headers.get(SEAL_HEADER)
        if seal is None:
            if answer.status == BUSY:
                self._rest()
                raise self._counted(Unavailable("scoring_busy", "the scoring process has too much to do"))
            raise self._counted(
                Unavailable(
                    "scoring_refused", f"the scoring process answered {answer.status} without a proof"
                )
            )
        if not self._seal.seals_answer(seal, question_seal, answer.status, answer.body):
            raise self._counted(
                Unavailable(
                    "scoring_forged", "the answer does not come from the scoring process of this house"
                )
            )
        self._ends.labels("answered").inc()
        return Sealed(answer.status, answer.body)

    def _counted(self, error: Unavailable) -> Unavailable:
        self._ends.labels(error.code).inc()
        return error

    def _rest(self) -> None:
        """Ask nobody until the other side answers a knock; of several who fail at once the first counts."""
        if not self.is_resting:
            now_s = asyncio.get_running_loop().time()
            pause_s = REST_S if now_s - self._failed_at_s < WELL_S else HICCUP_S
            self._failed_at_s = now_s
            _log.warning("risk_scoring_away")
            self._knocking = asyncio.create_task(self._knock(pause_s), name="risk-scoring-knocking")

    async def _knock(self, pause_s: float) -> None:
        """Return once the other side answers."""
        while True:
            await asyncio.sleep(pause_s)
            if await self._is_there():
                break
            pause_s = KNOCK_S
        _log.info("risk_scoring_back")

    async def _is_there(self) -> bool:
        try:
            answer = await self._http.request("GET", self._url + HEALTH_PATH, timeout_s=self._timeout_s)
        except (NotSent, NoAnswer):
            return False
        return answer.status == OK
