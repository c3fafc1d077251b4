"""Which carrier of codes a house has: its mail server, or the log of a house that has none."""

from collections.abc import Iterator
from contextlib import contextmanager

from tongbao.core.clock import Clock
from tongbao.risk.adapters.console_sender import ConsoleSender
from tongbao.risk.adapters.email_sender import EmailSender
from tongbao.risk.ports import CodeSender
from tongbao.risk.schema.mail import MailServer


@contextmanager
def open_sender(server: MailServer | None, clock: Clock) -> Iterator[CodeSender]:
    """Lend the carrier of e-mail codes until the block ends; None: codes of test payments go to the log, of live ones nowhere.

    Raises ValueError where a password would cross a connection that is not encrypted.
    """
    if server is None:
        yield ConsoleSender()
        return
    sender = EmailSender(server, clock)
    try:
        yield sender
    finally:
        sender.close()
