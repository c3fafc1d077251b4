"""The city's mail: codes reach whoever waits, in turn, over real SMTP."""

import asyncio
import smtplib
from email.message import EmailMessage

import pytest

from tongbao.simulator.city.answers_mail import MESSAGE_BYTES_MAX, Mailbox

WAIT_S = 5.0


def send(port: int, to: str, text: str) -> None:
    """Send one message as the house does."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "payments@localhost", to, "Code 验证码"
    message.set_content(text)
    with smtplib.SMTP("127.0.0.1", port, timeout=WAIT_S) as client:
        client.send_message(message)


async def test_codes_reach_those_who_wait_in_turn() -> None:
    async with Mailbox() as mailbox:
        first, second = mailbox.expect("Lin@Example.com"), mailbox.expect("lin@example.com")
        await asyncio.to_thread(send, mailbox.port, "lin@example.com", "Your code is 123456\n.dot\n")
        await asyncio.to_thread(send, mailbox.port, "lin@example.com", "您的验证码：654321\n")
        async with asyncio.timeout(WAIT_S):
            assert (await first, await second) == ("123456", "654321")


async def test_a_code_for_nobody_and_a_message_without_one_are_taken() -> None:
    async with Mailbox() as mailbox:
        waiting = mailbox.expect("a@example.com")
        await asyncio.to_thread(send, mailbox.port, "b@example.com", "Your code is 111111")
        await asyncio.to_thread(send, mailbox.port, "a@example.com", "No code here")
        assert not waiting.done()
        mailbox.forget("a@example.com", waiting)
        await asyncio.to_thread(send, mailbox.port, "a@example.com", "Your code is 222222")
        assert not waiting.done()


async def test_a_message_without_end_is_cut_off() -> None:
    async with Mailbox() as mailbox:
        with pytest.raises((smtplib.SMTPException, OSError)):
            await asyncio.to_thread(
                send, mailbox.port, "a@example.com", "long line\n" * (MESSAGE_BYTES_MAX // 5)
            )
