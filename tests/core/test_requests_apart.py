"""Requests whose work commits by itself: done once for each key, also when several ask at once or a process dies."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, NotFound
from tongbao.core.requests.apart import ABANDONED, RequestsApart
from tongbao.core.requests.asks import Ask, Rendered, ask_digest

BOOK = 7


class Work:
    """Work that counts how often it was done."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> int:
        self.count += 1
        return self.count


def ask(key: str, clock: FrozenClock, says: str = "the same") -> Ask:
    return Ask(
        digest=ask_digest(key),
        fingerprint=ask_digest(says),
        key=key,
        request_id="req_x",
        render=lambda made: Rendered(200, str(made).encode()),
        kept_until=clock.now() + timedelta(days=1),
    )


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(datetime.now(UTC))


@pytest.fixture
def requests(database: Database, clock: FrozenClock) -> RequestsApart:
    return RequestsApart(database, clock)


async def raised(work: Awaitable[object]) -> str:
    with pytest.raises(Conflict) as caught:
        await work
    return caught.value.code


async def test_request_twice_with_one_key_is_done_once(requests: RequestsApart, clock: FrozenClock) -> None:
    work = Work()
    assert await requests.run(BOOK, ask("twice", clock), work) == (Rendered(200, b"1"), False)
    assert await requests.run(BOOK, ask("twice", clock), work) == (Rendered(200, b"1"), True)
    assert await requests.run(BOOK + 1, ask("twice", clock), work) == (Rendered(200, b"2"), False)


async def test_request_that_says_something_else_under_a_key_is_refused(
    requests: RequestsApart, clock: FrozenClock
) -> None:
    work = Work()
    await requests.run(BOOK, ask("other", clock), work)
    again = requests.run(BOOK, ask("other", clock, "something else"), work)
    assert await raised(again) == "idempotency_key_reused"
    assert work.count == 1


async def test_request_while_the_first_is_under_way_is_refused(
    requests: RequestsApart, clock: FrozenClock
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go.wait()
        return "done"

    first = asyncio.create_task(requests.run(BOOK, ask("slow", clock), slow))
    await begun.wait()
    assert await raised(requests.run(BOOK, ask("slow", clock), Work())) == "idempotency_key_in_use"
    go.set()
    assert (await first)[0].body == b"done"


async def test_request_that_fails_frees_its_key(requests: RequestsApart, clock: FrozenClock) -> None:
    async def fails() -> None:
        raise NotFound("resource_missing", "gone")

    with pytest.raises(NotFound):
        await requests.run(BOOK, ask("fails", clock), fails)
    assert (await requests.run(BOOK, ask("fails", clock, "another"), Work()))[0].body == b"1"


async def test_request_that_is_canceled_frees_its_key(requests: RequestsApart, clock: FrozenClock) -> None:
    begun = asyncio.Event()

    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(requests.run(BOOK, ask("canceled", clock), forever))
    await begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await requests.run(BOOK, ask("canceled", clock), Work()))[0].body == b"1"


@pytest.mark.parametrize(("says", "code"), [("the same", ""), ("another", "idempotency_key_reused")])
async def test_request_of_a_process_that_died_is_done_again_after_a_while(
    requests: RequestsApart,
    clock: FrozenClock,
    says: str,
    code: str,
) -> None:
    key = f"died {says}"
    claimed: Callable[..., Awaitable[object]] = requests._claimed
    await claimed(BOOK, ask(key, clock))  # and nothing after it
    assert await raised(requests.run(BOOK, ask(key, clock), Work())) == "idempotency_key_in_use"
    clock.advance(ABANDONED)
    again = requests.run(BOOK, ask(key, clock, says), Work())
    if code:
        assert await raised(again) == code
    else:
        assert await again == (Rendered(200, b"1"), False)
