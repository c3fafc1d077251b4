"""Ways to a bank: what was certainly not sent is told apart from what may have arrived."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from tongbao.channels.adapters.bank.values import (
    Acknowledgment,
    BankSettings,
    FolderWay,
    HttpWay,
    OwnAccount,
)
from tongbao.channels.adapters.bank.ways import FolderBank, HttpBank
from tongbao.channels.errors import ChannelMisconfigured, UnknownChannel
from tongbao.channels.schema import Mode
from tongbao.channels.service.banks import BankSpec, build_banks
from tongbao.channels.service.building import read_bank_specs, read_specs
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient

OWN = {"EUR": OwnAccount(number="NL41MOCK0000000001")}


class Server:
    """A bank's two addresses; what a test set is answered, None drops the connection once the message was read."""

    def __init__(self) -> None:
        self.status: int | None = 202
        self.received: list[bytes] = []
        self.headers: list[str] = []
        self.body = b""
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.received.append(await request.read())
        self.headers.append(request.headers.get("Authorization", ""))
        if self.status is None:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as found:
        yield found


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


def way(server: Server, http: HttpClient) -> HttpBank:
    settings = HttpWay(
        send_url=f"{server.url}/pay",
        collect_url=f"{server.url}/say",
        user="house",
        password=SecretStr("secret"),
        timeout_s=5,
    )
    return HttpBank(settings, http)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Acknowledgment.RECEIVED),
        (202, Acknowledgment.RECEIVED),
        (422, Acknowledgment.RECEIVED),
        (401, Acknowledgment.NOT_SENT),
        (503, Acknowledgment.NOT_SENT),
        (302, Acknowledgment.UNKNOWN),
        (400, Acknowledgment.UNKNOWN),
        (500, Acknowledgment.UNKNOWN),
        (504, Acknowledgment.UNKNOWN),
        (None, Acknowledgment.UNKNOWN),
    ],
)
async def test_send_over_http_says_what_is_certain(
    server: Server, http: HttpClient, status: int | None, expected: Acknowledgment
) -> None:
    server.status = status
    assert await way(server, http).send("MG1", b"<x/>") is expected
    assert server.received == [b"<x/>"]
    assert server.headers == ["Basic aG91c2U6c2VjcmV0"]


async def test_send_to_nobody_was_not_sent(http: HttpClient) -> None:
    nobody = HttpBank(HttpWay(send_url="http://127.0.0.1:9/", collect_url="http://127.0.0.1:9/"), http)
    assert await nobody.send("MG1", b"<x/>") is Acknowledgment.NOT_SENT
    with pytest.raises(Unavailable):
        await nobody.collect()


async def test_collect_over_http_splits_documents_and_takes_nothing_away(
    server: Server, http: HttpClient
) -> None:
    server.status, server.body = 200, b'<?xml version="1.0"?>\n<a/>\n\n<?xml version="1.0"?><b/>'
    bank = way(server, http)
    for _ in range(2):
        found = [each.content for each in await bank.collect()]
        assert found == [b'<?xml version="1.0"?>\n<a/>', b'<?xml version="1.0"?><b/>']
        await bank.done([""])
    server.body = b""
    assert await bank.collect() == []
    server.status = 500
    with pytest.raises(Unavailable):
        await bank.collect()


async def test_folder_takes_whole_files_and_moves_those_that_were_kept(tmp_path: Path) -> None:
    out, into = tmp_path / "out", tmp_path / "in"
    bank = FolderBank(FolderWay(out=str(out), into=str(into)))
    assert await bank.send("MG1", b"<x/>") is Acknowledgment.NOT_SENT
    with pytest.raises(Unavailable):
        await bank.collect()
    out.mkdir()
    into.mkdir()
    for _ in range(2):
        assert await bank.send("MG1", b"<x/>") is Acknowledgment.RECEIVED
    assert [(each.name, each.read_bytes()) for each in out.iterdir()] == [("MG1.xml", b"<x/>")]
    (into / "b.xml").write_bytes(b"2")
    (into / "a.xml").write_bytes(b"1")
    (into / ".c.xml.part").write_bytes(b"half")
    found = await bank.collect()
    assert [(each.handle, each.content) for each in found] == [("a.xml", b"1"), ("b.xml", b"2")]
    await bank.done(["a.xml", "a.xml"])
    assert [each.handle for each in await bank.collect()] == ["b.xml"]
    assert (into / "done" / "a.xml").read_bytes() == b"1"


CONFIGURATION = """
[[channel]]
name = "test"
adapter = "direct"

[[bank]]
name = "house_bank"
mode = "live"
[bank.settings]
holder = "Example Payments"
refuses_repeats = true
cut_off = 14:30:00
zone = "Europe/Berlin"
calendars = ["TARGET"]
[bank.settings.accounts.EUR]
number = "NL41MOCK0000000001"
agent_code = "MOCKNL2A"
[bank.settings.http]
send_url = "https://bank.example/payments"
collect_url = "https://bank.example/messages"
user = "house"
password = "secret"
"""


def test_read_banks_beside_channels_of_one_file(tmp_path: Path, http: HttpClient) -> None:
    path = tmp_path / "channels.toml"
    path.write_text(CONFIGURATION)
    path.chmod(0o600)
    [spec] = read_bank_specs(path)
    assert [each.name for each in read_specs(path)] == ["test"]
    assert (spec.mode, spec.settings.cut_off.hour, spec.settings.calendars) == (Mode.LIVE, 14, ("TARGET",))
    assert "secret" not in repr(spec)
    banks = build_banks([spec], http)
    assert [each.name for each in banks.all()] == ["house_bank"]
    with pytest.raises(UnknownChannel):
        banks.get("another")
    path.write_text(CONFIGURATION.replace("holder", "holdr"))
    with pytest.raises(ChannelMisconfigured):
        read_bank_specs(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda: BankSettings(holder="x", accounts=OWN),
        lambda: BankSettings(holder="x", accounts={}, folder=FolderWay(out="a", into="b")),
        lambda: BankSettings(
            holder="x",
            accounts=OWN,
            folder=FolderWay(out="a", into="b"),
            http=HttpWay(send_url="a", collect_url="b"),
        ),
    ],
    ids=["no way", "no account", "two ways"],
)
def test_build_a_bank_that_cannot_work_is_refused(
    change: Callable[[], BankSettings], http: HttpClient
) -> None:
    with pytest.raises(ChannelMisconfigured):
        build_banks([BankSpec(name="x", settings=change())], http)


def test_build_two_banks_of_one_name_is_refused(http: HttpClient) -> None:
    spec = BankSpec(
        name="x", settings=BankSettings(holder="x", accounts=OWN, folder=FolderWay(out="a", into="b"))
    )
    with pytest.raises(ChannelMisconfigured):
        build_banks([spec, spec], http)
