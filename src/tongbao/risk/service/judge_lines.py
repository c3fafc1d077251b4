"""Opening the way between the processes that take payments and the one that scores them, at both of its ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tongbao.core.metrics import Metrics
from tongbao.risk.adapters.judge_line import JudgeLine
from tongbao.risk.adapters.judge_seal import open_judge_seal
from tongbao.risk.service.answering import Answering
from tongbao.risk.service.assessor import Assessor

Line = JudgeLine | None
"""The way to the scoring process; None where this process judges itself."""


@asynccontextmanager
async def open_line(
    url: str | None, secrets_dir: Path, timeout_s: float, metrics: Metrics
) -> AsyncIterator[Line]:
    """Lend the line to the scoring process at ``url``.

    Raises NotPermitted ``key_file_exposed``. That nobody is there yet is no error: payments get the fallback until then.
    """
    if url is None:
        yield None
        return
    line = JudgeLine(url, open_judge_seal(secrets_dir), timeout_s=timeout_s, metrics=metrics)
    try:
        yield line
    finally:
        await line.close()


def open_answering(assessor: Assessor, secrets_dir: Path, metrics: Metrics) -> Answering:
    """Return what answers for the scoring process; raise NotPermitted ``key_file_exposed``."""
    return Answering(assessor, open_judge_seal(secrets_dir), metrics)
