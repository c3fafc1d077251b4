"""Codes by e-mail over SMTP (RFC 5321): encrypted by TLS at once (RFC 8314) or after STARTTLS (RFC 3207).

The standard library's client blocks, so it runs on a few threads of its own; ``WAITING_MAX`` messages wait for them, more
are turned away. A message counts as sent once a server has taken it on; what becomes of it then nobody is told.
"""

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from functools import cached_property

from tongbao.core.clock import Clock
from tongbao.core.errors import InvalidRequest, Unavailable
from tongbao.core.logs import get_logger
from tongbao.risk.adapters.code_texts import message
from tongbao.risk.schema.challenges import CodeFacts, Destination, DestinationKind
from tongbao.risk.schema.mail import MailServer, Security

THREADS = 4
WAITING_MAX = 64
ADDRESS_CHARS_MAX = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
_REFUSED_FOR_GOOD = 500

_log = get_logger("risk.email_sender")


class EmailSender:
    """A ``CodeSender`` for e-mail addresses. One object a process; ``close`` it.

    Raises ValueError where a password would cross a connection that is not encrypted.
    """

    def __init__(self, server: MailServer, clock: Clock) -> None:
        if server.password is not None and server.security is Security.NONE:
            raise ValueError("a mail server that wants a password needs TLS or STARTTLS")
        self._server = server
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="code-mail")
        self._waiting = 0

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whose certificates are believed. Read when first needed: a machine's own are many, and a start waits for nobody's."""
        return self._server.trust or ssl.create_default_context()

    def close(self) -> None:
        """Let the threads go; one that is talking to a server ends when that does."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, destination: Destination, code: str, locale: str, facts: CodeFacts) -> None:
        """Hand a message over within ``timeout_s``; see ``ports.CodeSender`` for what is raised."""
        composed = self._composed(destination, code, locale, facts)
        if self._waiting >= THREADS + WAITING_MAX:
            raise Unavailable("code_not_sent", "too many codes wait to be sent", retry_after_s=5)
        self._waiting += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, self._deliver, composed)
            # The client's own timeout is one for each answer; a server that drips is cut off here.
            await asyncio.wait_for(work, self._server.timeout_s)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(error) from None
        except (OSError, smtplib.SMTPException) as error:
            # Only the kind: what a server says repeats the address.
            _log.warning("code_not_sent", kind=type(error).__name__)
            raise _not_sent() from None
        finally:
            self._waiting -= 1

    def _composed(self, destination: Destination, code: str, locale: str, facts: CodeFacts) -> EmailMessage:
        words = message(code, locale, facts)
        composed = EmailMessage()
        composed["From"] = self._server.sender
        composed["To"] = _address(destination)
        composed["Subject"] = words.subject
        composed["Date"] = format_datetime(self._clock.now())
        composed["Message-ID"] = make_msgid(domain=self._server.sender.rpartition("@")[2])
        # No holiday notice comes back (RFC 3834, 5).
        composed["Auto-Submitted"] = "auto-generated"
        composed.set_content(words.text)
        return composed

    def _deliver(self, composed: EmailMessage) -> None:
        server = self._server
        if server.security is Security.TLS:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.timeout_s, context=self._trust
            )
        else:
            client = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
        with client:
            if server.security is Security.STARTTLS:
                client.starttls(context=self._trust)
            if server.password is not None:
                client.login(server.username, server.password.get_secret_value())
            client.send_message(composed)


def _address(destination: Destination) -> Address:
    """Return an address for a header; raise InvalidRequest ``destination_refused`` for what can be none."""
    given = destination.address
    name, _, domain = given.rpartition("@")
    is_mail = destination.kind is DestinationKind.EMAIL and name and domain
    if not is_mail or len(given) > ADDRESS_CHARS_MAX or not given.isprintable() or " " in given:
        raise InvalidRequest("destination_refused", "this is no e-mail address")
    try:
        return Address(username=name, domain=domain)
    except ValueError:
        raise InvalidRequest("destination_refused", "this is no e-mail address") from None


def _refused(error: smtplib.SMTPRecipientsRefused) -> InvalidRequest | Unavailable:
    """Return what a server's no to the one recipient means: for good (5xx), or for now."""
    codes = [code for code, _ in error.recipients.values()]
    if codes and min(codes) >= _REFUSED_FOR_GOOD:
        return InvalidRequest("destination_refused", "the mail server takes nothing for this address")
    return _not_sent()


def _not_sent() -> Unavailable:
    return Unavailable("code_not_sent", "the code could not be handed to a mail server", retry_after_s=5)
