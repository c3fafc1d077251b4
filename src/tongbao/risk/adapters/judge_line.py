"""The line to the scoring process: questions out, answers back, and quick about it where nobody is there.

A payment waits for an answer no longer than ``timeout_s``. Questions that come while others are out go together in the next
request, so that a full house asks seldom and much; an idle one asks at once. After a question that was not answered the line
rests: nobody waits any more, everybody is told at once, and the line itself knocks at the other side until it opens. A single
hiccup costs a tenth of a second of judgements; a side that stays silent, or that opens and is silent again, at most one
request a second.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import structlog

from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent
from tongbao.core.metrics import Metrics
from tongbao.risk.adapters.judge_seal import JudgeSeal
from tongbao.risk.schema import scoring
from tongbao.risk.schema.scoring import (
    HEALTH_PATH,
    JUDGED,
    JUDGEMENTS_PATH,
    MEDIA_TYPE,
    QUESTIONS_MAX,
    SEAL_HEADER,
)

ANSWER_BYTES_MAX = 4_194_304
REQUESTS_MAX = 2
"""So many are out at once: while one is judged the next one travels."""
WAITING_MAX = 10_000
OK, BUSY = 200, 503
HICCUP_S = 0.1
"""So long the line rests where it was well before."""
REST_S = 1.0
"""So long it rests where it failed less than ``WELL_S`` ago."""
WELL_S = 10.0
KNOCK_S = 0.2
"""So often it looks whether the other side is there again."""
AWAY = "the scoring process does not answer"

_log = structlog.get_logger(__name__)


class Sealed(NamedTuple):
    """An answer that is proved to come from the scoring process of this house."""

    status: int
    body: bytes

    @property
    def is_judgement(self) -> bool:
        """Whether the question was answered; otherwise it was refused."""
        return self.status == JUDGED


class _Asked(NamedTuple):
    """A question that waits for its answer."""

    question: bytes
    answer: "asyncio.Future[Sealed]"


class JudgeLine:
    """Asks the scoring process at ``url``. One per process; belongs to one event loop; close it."""

    def __init__(self, url: str, seal: JudgeSeal, *, timeout_s: float, metrics: Metrics) -> None:
        self._url = url.rstrip("/")
        self._seal = seal
        self._timeout_s = timeout_s
        self._http = HttpClient(connections_max=REQUESTS_MAX + 1)
        self._waiting: deque[_Asked] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._knocking: asyncio.Task[None] | None = None
        self._failed_at_s = -WELL_S
        self._ends = metrics.counter(
            "risk_questions", "Judgements asked of the scoring process", labels=("end",)
        )

    @property
    def is_resting(self) -> bool:
        """Whether nobody is asked now."""
        return self._knocking is not None and not self._knocking.done()

    async def ask(self, question: bytes) -> Sealed:
        """Return the answer to a question.

        Raises Unavailable: ``scoring_away`` where nobody answers in time or the line rests, ``scoring_busy``,
        ``scoring_refused`` for an answer without a proof, such as that of a process with another secret,
        ``scoring_forged`` for one with a wrong proof, and ``scoring_garbled`` for what is no answer.
        """
        try:
            sealed = await self._asked(question)
        except Unavailable as error:
            self._ends.labels(error.code).inc()
            raise
        self._ends.labels("answered").inc()
        return sealed

    async def close(self) -> None:
        """Knock no more and close all connections; who still waits is told that nobody answers."""
        ending = [*self._senders, *([self._knocking] if self._knocking is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        _tell(self._waiting, Unavailable("scoring_away", AWAY))
        await self._http.close()

    async def _asked(self, question: bytes) -> Sealed:
        if self.is_resting:
            raise Unavailable("scoring_away", AWAY)
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("scoring_busy", f"{WAITING_MAX} questions are waiting")
        asked = _Asked(question, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._senders) < REQUESTS_MAX:
            sender = asyncio.create_task(self._send(), name="risk-judge-line")
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asked.answer
        except TimeoutError as error:
            self._rest()
            raise Unavailable("scoring_away", f"{AWAY} within {self._timeout_s} s") from error

    async def _send(self) -> None:
        """Ask what waits until nothing does."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(QUESTIONS_MAX, len(self._waiting)))]
            # Whoever has waited too long by now has left.
            batch = [each for each in batch if not each.answer.done()]
            if not batch:
                continue
            try:
                if self.is_resting:
                    raise Unavailable("scoring_away", AWAY)
                answers = await self._exchanged([each.question for each in batch])
            except Unavailable as error:
                _tell(batch, error)
            except BaseException:
                _tell(batch, Unavailable("scoring_away", AWAY))
                raise
            else:
                for each, answer in zip(batch, answers, strict=True):
                    if not each.answer.done():
                        each.answer.set_result(answer)

    async def _exchanged(self, questions: list[bytes]) -> list[Sealed]:
        """Return the answers to questions, one to each in their order; raises as ``ask`` says."""
        body = scoring.questions_bytes(questions)
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
            raise Unavailable("scoring_away", f"{AWAY}: {error}") from error
        self._prove(answer, seal)
        try:
            answers = [Sealed(*each) for each in scoring.answers_of(answer.body)]
        except msgspec.MsgspecError as error:
            raise Unavailable("scoring_garbled", f"the answers cannot be read: {error}") from error
        if len(answers) != len(questions):
            raise Unavailable("scoring_garbled", f"{len(questions)} questions got {len(answers)} answers")
        return answers

    def _prove(self, answer: HttpAnswer, question_seal: str) -> None:
        """Raise Unavailable for an answer that the scoring process of this house has not given."""
        seal = answer.headers.get(SEAL_HEADER)
        if seal is None:
            if answer.status == BUSY:
                self._rest()
                raise Unavailable("scoring_busy", "the scoring process has too much to do")
            raise Unavailable(
                "scoring_refused", f"the scoring process answered {answer.status} without a proof"
            )
        if not self._seal.seals_answer(seal, question_seal, answer.status, answer.body):
            raise Unavailable(
                "scoring_forged", "the answer does not come from the scoring process of this house"
            )

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


def _tell(waiting: Iterable[_Asked], error: Unavailable) -> None:
    """Tell everybody who still waits that there is no answer."""
    for each in waiting:
        if not each.answer.done():
            each.answer.set_exception(error)
