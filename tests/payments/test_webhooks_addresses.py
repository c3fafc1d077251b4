"""Where webhooks may go: what was accepted once is checked again whenever it is connected to."""

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.payments.webhook_house import House, Receiver, moment

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.webhooks import (
    DeliveryFailure,
    UrlRules,
)
from tongbao.payments.service.webhooks import WebhookEndpoints


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, FrozenClock(moment()))
    await made.relay.prepare()
    yield made
    await made.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as opened:
        yield opened


async def attempted(house: House, url: str, **options: Any) -> DeliveryFailure | None:
    """Deliver an event to a URL that was accepted once, under the rules of production; return what failed."""
    endpoint, _ = await house.endpoint("http://merchant.example.com/")
    async with house.database.transaction() as connection:
        await connection.execute("UPDATE webhooks.endpoint SET url = $1", url)
    await house.tell_of("a.x")
    await house.deliver_all(house.worker(UrlRules(), **options))
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    return attempt.failure


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"],
)
async def test_stored_url_that_leads_inside_is_not_called(
    house: House, receiver: Receiver, host: str
) -> None:
    port = receiver.base.rpartition(":")[2]
    assert await attempted(house, f"http://{host}:{port}/hooks") is DeliveryFailure.URL_REFUSED
    assert receiver.got == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::127.0.0.1"],
        ["fd00:ec2::254"],
        ["8.8.8.8", "127.0.0.1"],
    ],
)
async def test_name_that_leads_inside_is_not_called(
    house: House, receiver: Receiver, addresses: list[str]
) -> None:
    asked: list[str] = []

    def lookup(host: str, port: int, *_: object) -> list[object]:
        asked.append(host)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    port = receiver.base.rpartition(":")[2]
    failure = await attempted(house, f"http://rebind.example.com:{port}/hooks", lookup=lookup)
    assert failure is DeliveryFailure.ADDRESS_REFUSED
    assert (asked, receiver.got) == (["rebind.example.com"], [])


async def test_name_is_resolved_once_and_the_checked_address_is_connected_to(
    house: House, receiver: Receiver
) -> None:
    asked: list[str] = []

    def lookup(host: str, port: int, *_: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    port = receiver.base.rpartition(":")[2]
    await house.endpoint(f"http://shop.example.com:{port}/hooks")
    await house.tell_of("a.x")
    await house.deliver_all(house.worker(lookup=lookup))
    assert asked == ["shop.example.com"]
    assert receiver.got[0].headers["Host"] == f"shop.example.com:{port}"


async def test_name_that_does_not_exist_is_told(house: House) -> None:
    def lookup(*_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    failure = await attempted(house, "http://nowhere.example.com/", lookup=lookup)
    assert failure is DeliveryFailure.NAME_UNKNOWN


async def test_port_that_nobody_listens_on_is_told(house: House) -> None:
    endpoint, _ = await house.endpoint("http://127.0.0.1:1/")
    await house.tell_of("a.x")
    await house.deliver_all(house.worker())
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert attempt.failure is DeliveryFailure.NOT_CONNECTED


async def test_server_without_encryption_behind_https_is_told(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url().replace("http:", "https:"))
    await house.tell_of("a.x")
    await house.deliver_all(house.worker())
    (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
    assert (attempt.failure, receiver.got) == (DeliveryFailure.TLS_FAILED, [])


async def test_creation_under_the_rules_of_production_refuses_this_machine(house: House) -> None:
    house.endpoints = WebhookEndpoints(house.database, house.box, UrlRules(), house.clock, house.ids)
    with pytest.raises(InvalidRequest, match="url_invalid"):
        await house.endpoint("http://127.0.0.1/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "merchant of the tests")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment() - timedelta(days=1))
        .not_valid_after(moment() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("trusted", "expected"), [(True, None), (False, DeliveryFailure.TLS_FAILED)])
async def test_live_event_goes_out_encrypted_to_a_certificate_that_is_trusted(
    house: House, certificate: tuple[Path, Path], trusted: bool, expected: DeliveryFailure | None
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    house.scope = house.new_scope(live=True)
    async with Receiver(context) as merchant:
        endpoint, _ = await house.endpoint(merchant.url())
        await house.tell_of("a.x")
        believing = ssl.create_default_context(cafile=certificate[0]) if trusted else True
        worker = house.worker(ssl=believing)
        await house.deliver_all(worker)
        (attempt,) = await house.deliveries.attempts(house.scope, endpoint.id)
        assert (attempt.failure, len(merchant.got)) == (expected, int(trusted))
        await worker.close()
