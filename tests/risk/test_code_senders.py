"""Carriers of codes: e-mail against a server that speaks real SMTP, the console, and the words of both."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.risk.smtp_peer import HOST, Peer, certificate, smtp_peer

from tongbao.core.clock import FrozenClock
from tongbao.core.errors import AppError, InvalidRequest, Unavailable
from tongbao.risk.adapters import email_sender
from tongbao.risk.adapters.code_texts import message
from tongbao.risk.adapters.console_sender import NOTE, ConsoleSender
from tongbao.risk.adapters.email_sender import EmailSender
from tongbao.risk.schema.challenges import CodeFacts, Destination, DestinationKind
from tongbao.risk.schema.mail import MailServer, Security
from tongbao.risk.service.senders import open_sender

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
MEI = Destination(kind=DestinationKind.EMAIL, address="mei@example.com")
FACTS = CodeFacts(payee="Tea House", amount_minor=1_700, currency="CNY", minutes=10, live=True)
CODE = "204816"


@asynccontextmanager
async def sender_to(peer: Peer, **fields: object) -> AsyncIterator[EmailSender]:
    """A sender to a peer without encryption, unless said otherwise."""
    values: dict[str, object] = {"security": Security.NONE, "timeout_s": 5.0} | fields
    server = MailServer(HOST, peer.port, "codes@tongbao.test", **values)  # type: ignore[arg-type]
    sender = EmailSender(server, FrozenClock(AT))
    try:
        yield sender
    finally:
        sender.close()


async def code_of(sender: EmailSender, to: Destination = MEI) -> str:
    """The code of the error that sending ends with; ``sent`` where it is taken."""
    try:
        await sender.send(to, CODE, "en", FACTS)
    except AppError as error:
        return error.code
    return "sent"


async def test_message_arrives_whole_in_the_language_of_the_page() -> None:
    async with smtp_peer(Peer()) as peer, sender_to(peer) as sender:
        await sender.send(MEI, CODE, "zh-CN", FACTS)
        await sender.send(MEI, CODE, "en", FACTS)
    chinese, english = peer.messages
    assert (english["From"], english["To"]) == ("codes@tongbao.test", "mei@example.com")
    assert english["Subject"] == "Your confirmation code"
    assert english["Date"].datetime == AT
    assert english["Auto-Submitted"] == "auto-generated"
    assert english["Message-ID"].endswith("@tongbao.test>")
    text = english.get_content()
    for shown in (CODE, "Tea House", "CN¥17.00", "10 minutes"):
        assert shown in text
    assert "您的验证码：204816" in chinese.get_content()
    assert "¥17.00" in chinese.get_content()
    assert CODE not in english["Subject"] + chinese["Subject"]


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_message_and_password_go_over_an_encrypted_line(security: Security, tmp_path: Path) -> None:
    shown, trust = certificate(tmp_path)
    peer = Peer(context=shown, login=("codes", "s3cret"))
    options = {"security": security, "trust": trust, "username": "codes", "password": SecretStr("s3cret")}
    async with (
        smtp_peer(peer, tls_at_once=security is Security.TLS),
        sender_to(peer, **options) as sender,
    ):
        await sender.send(MEI, CODE, "en", FACTS)
    assert (peer.encrypted, peer.logins) == ([True], [("codes", "s3cret")])


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_server_with_an_unknown_certificate_gets_nothing(security: Security, tmp_path: Path) -> None:
    shown, _ = certificate(tmp_path)
    peer = Peer(context=shown)
    async with (
        smtp_peer(peer, tls_at_once=security is Security.TLS),
        sender_to(peer, security=security, trust=ssl.create_default_context()) as sender,
    ):
        assert await code_of(sender) == "code_not_sent"
    assert peer.messages == []


async def test_wrong_password_sends_nothing(tmp_path: Path) -> None:
    shown, trust = certificate(tmp_path)
    peer = Peer(context=shown, login=("codes", "other"))
    options = {"security": Security.TLS, "trust": trust, "username": "codes", "password": SecretStr("s3cret")}
    async with smtp_peer(peer, tls_at_once=True), sender_to(peer, **options) as sender:
        assert await code_of(sender) == "code_not_sent"
    assert peer.messages == []


@pytest.mark.parametrize(
    ("recipient_answer", "data_answer", "code"),
    [
        ("550 no such person mei@example.com", "250 taken", "destination_refused"),
        ("450 mailbox busy", "250 taken", "code_not_sent"),
        ("250 fine", "554 spam", "code_not_sent"),
        ("250 fine", "250 taken", "sent"),
    ],
)
async def test_answer_of_the_server_decides(
    recipient_answer: str, data_answer: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(recipient_answer=recipient_answer, data_answer=data_answer)
    with caplog.at_level(logging.DEBUG):
        async with smtp_peer(peer), sender_to(peer) as sender:
            assert await code_of(sender) == code
    assert MEI.address not in caplog.text
    assert CODE not in caplog.text


async def test_silent_server_is_given_up_in_time() -> None:
    async with smtp_peer(Peer(silent=True)) as peer, sender_to(peer, timeout_s=0.2) as sender:
        began = asyncio.get_running_loop().time()
        assert await code_of(sender) == "code_not_sent"
        assert asyncio.get_running_loop().time() - began < 2


async def test_server_that_is_not_there_is_unavailable() -> None:
    async with smtp_peer(Peer()) as peer:
        pass
    async with sender_to(peer) as sender:
        assert await code_of(sender) == "code_not_sent"


async def test_more_than_may_wait_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_sender, "WAITING_MAX", 2)
    async with smtp_peer(Peer(silent=True)) as peer, sender_to(peer, timeout_s=0.4) as sender:
        codes = [asyncio.create_task(code_of(sender)) for _ in range(email_sender.THREADS + 3)]
        await asyncio.sleep(0.1)
        assert [task.done() for task in codes].count(True) == 1
        assert set(await asyncio.gather(*codes)) == {"code_not_sent"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mei",
        "@example.com",
        "mei@",
        "a b@example.com",
        "mei@example.com\r\nBcc: all@example.com",
        "m" * 255 + "@x",
    ],
)
async def test_what_is_no_address_goes_nowhere(address: str) -> None:
    async with smtp_peer(Peer()) as peer, sender_to(peer) as sender:
        assert (
            await code_of(sender, Destination(kind=DestinationKind.EMAIL, address=address))
            == "destination_refused"
        )
    assert peer.messages == []


async def test_telephone_gets_no_mail() -> None:
    async with smtp_peer(Peer()) as peer, sender_to(peer) as sender:
        with pytest.raises(InvalidRequest, match="destination_refused"):
            await sender.send(
                Destination(kind=DestinationKind.PHONE, address="+861380013"), CODE, "en", FACTS
            )


def test_password_over_an_open_line_is_refused() -> None:
    server = MailServer(HOST, 25, "codes@tongbao.test", Security.NONE, "codes", SecretStr("s3cret"))
    with pytest.raises(ValueError, match="TLS"):
        EmailSender(server, FrozenClock(AT))
    assert "s3cret" not in repr(server)


def test_payee_cannot_write_headers_or_fields_of_the_text() -> None:
    payee = "Tea\r\nBcc: all@example.com {code}"
    words = message(CODE, "en", CodeFacts(payee=payee, amount_minor=1, currency="JPY", minutes=10, live=True))
    assert words.subject == "Your confirmation code"
    assert words.text.count(CODE) == 1


@pytest.mark.parametrize(("locale", "marked"), [("en", "[Test]"), ("zh-CN", "【测试】"), ("fr", "[Test]")])
def test_payment_in_test_mode_is_marked(locale: str, marked: str) -> None:
    facts = CodeFacts(payee="", amount_minor=1_700, currency="CNY", minutes=10, live=False)
    words = message(CODE, locale, facts)
    assert words.subject.startswith(marked)
    assert "{" not in words.text


async def test_console_shows_the_code_of_a_test_payment_only(caplog: pytest.LogCaptureFixture) -> None:
    facts = CodeFacts(payee="Tea House", amount_minor=1_700, currency="CNY", minutes=10, live=False)
    with caplog.at_level(logging.WARNING):
        await ConsoleSender().send(MEI, CODE, "en", facts)
        for shown in (CODE, NOTE, "m***@example.com"):
            assert shown in caplog.text
        assert MEI.address not in caplog.text
        caplog.clear()
        with pytest.raises(Unavailable, match="code_not_sent"):
            await ConsoleSender().send(MEI, CODE, "en", FACTS)
    assert CODE not in caplog.text


async def test_house_without_a_mail_server_has_the_console() -> None:
    with open_sender(None, FrozenClock(AT)) as sender:
        assert isinstance(sender, ConsoleSender)


async def test_sender_of_a_mail_server_is_closed_with_its_house() -> None:
    async with smtp_peer(Peer()) as peer:
        server = MailServer(HOST, peer.port, "codes@tongbao.test", Security.NONE)
        with open_sender(server, FrozenClock(AT)) as sender:
            await sender.send(MEI, CODE, "en", FACTS)
        with pytest.raises(RuntimeError, match="shutdown"):
            await sender.send(MEI, CODE, "en", FACTS)
    assert len(peer.messages) == 1
