"""The HTTP client against servers that answer, stay silent, cut, talk too much, or are not there."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.channels.cards import Respond, Server, http_answer, read_http, serving
from tests.peers.programs import Address, free_address

from tongbao.core.http import ANSWER_BYTES_MAX, HttpClient, NoAnswer, NotSent


@asynccontextmanager
async def talking(respond: Respond) -> AsyncIterator[tuple[HttpClient, Address, Server]]:
    """A client and a server that answers as ``respond`` says."""
    client = HttpClient()
    try:
        async with serving(read_http, respond) as (address, server):
            yield client, address, server
            await client.close()
    finally:
        await client.close()


async def test_request_sends_all_and_returns_the_whole_answer() -> None:
    async with talking(lambda _: http_answer(b'{"a": 1}', 201)) as (client, address, server):
        answer = await client.request("POST", f"{address.url}/x?y=1", headers={"X-Key": "7"}, body=b"a=b")
    assert (answer.status, answer.body) == (201, b'{"a": 1}')
    assert answer.headers["content-type"] == "application/json"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=1 HTTP/1.1")
    assert b"x-key: 7" in head.lower()
    assert body == b"a=b"


@pytest.mark.parametrize("status", [204, 302, 404, 429, 500, 503])
async def test_any_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    moved = b"HTTP/1.1 %d X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n" % status
    async with talking(lambda _: moved) as (client, address, server):
        assert (await client.request("GET", address.url)).status == status
    assert len(server.requests) == 1


async def test_nobody_listening_is_not_sent() -> None:
    client = HttpClient()
    with pytest.raises(NotSent):
        await client.request("POST", free_address().url, body=b"x")
    await client.close()


@pytest.mark.parametrize("url", ["http://", "not a url", "http://127.0.0.1:99999/"])
async def test_impossible_address_is_not_sent(url: str) -> None:
    client = HttpClient()
    with pytest.raises(NotSent):
        await client.request("GET", url)
    await client.close()


BAD_ANSWERS = {
    "silence": None,
    "closed before a byte": b"",
    "not HTTP": b"SSH-2.0-x\r\n\r\n",
    "cut in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
    "cut in the head": b"HTTP/1.1 200 OK\r\ncontent-",
}


@pytest.mark.parametrize("how", BAD_ANSWERS)
async def test_no_whole_answer_is_no_answer(how: str) -> None:
    async with talking(lambda _: BAD_ANSWERS[how]) as (client, address, server):
        with pytest.raises(NoAnswer):
            await client.request("POST", address.url, body=b"x", timeout_s=0.3)
        assert len(server.requests) >= 1


async def test_dripping_answer_ends_with_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_http(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    client = HttpClient()
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        await client.request("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=0.4)
    assert time.monotonic() - began < 20, "the whole answer would take 50 s"
    await client.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
async def test_answer_is_taken_up_to_its_maximum(size: int, fits: bool) -> None:
    async with talking(lambda _: http_answer(b"x" * size)) as (client, address, _):
        if fits:
            assert len((await client.request("GET", address.url, answer_bytes_max=100)).body) == size
        else:
            with pytest.raises(NoAnswer, match="more than 100 bytes"):
                await client.request("GET", address.url, answer_bytes_max=100)


async def test_large_answer_arrives_whole() -> None:
    body = b"0123456789abcdef" * (ANSWER_BYTES_MAX // 16)
    async with talking(lambda _: http_answer(body)) as (client, address, _):
        assert (await client.request("GET", address.url)).body == body


async def test_connections_are_kept_and_client_works_again_after_close() -> None:
    async with talking(lambda _: http_answer(b"{}")) as (client, address, server):
        for _ in range(3):
            await client.request("GET", address.url)
        assert server.connections == 1
        await client.close()
        assert (await client.request("GET", address.url)).status == 200
        assert server.connections == 2
