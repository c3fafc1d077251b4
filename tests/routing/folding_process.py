"""A process that follows facts until it is killed, and prints what it knows after each batch.

Run as ``python folding_process.py DSN``. Prints ``started POSITION DIGEST COUNT`` once, then ``at POSITION DIGEST`` lines.
"""

import asyncio
import sys

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.routing.service import following
from tongbao.routing.service.following import Following

SNAPSHOT_FACTS = 40


async def main(dsn: str) -> None:
    """Follow for ever."""
    following.SNAPSHOT_FACTS = SNAPSHOT_FACTS
    clock = RealClock()
    async with Database(dsn, pool_size=2) as database:
        process = Following(database, clock, IdFactory(clock))
        count = await process.start()
        _say("started", process.position, process.board.digest(), count)
        while True:
            if await process.step():
                _say("at", process.position, process.board.digest())
            else:
                await asyncio.sleep(0.002)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
