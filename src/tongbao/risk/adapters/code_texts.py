"""The words of a message with a code, in English and in Chinese: what it is for, how long it is good, whom to tell."""

from typing import NamedTuple

from tongbao.core.money import Money, format_money
from tongbao.risk.schema.challenges import CodeFacts


class Message(NamedTuple):
    """A message as its reader sees it; the code stands in the text only, so that no list of subjects shows it."""

    subject: str
    text: str


class _Words(NamedTuple):
    money_locale: str
    subject: str
    text: str
    somebody: str
    test: str


_ENGLISH = _Words(
    "en_US",
    "Your confirmation code",
    "Your code is {code}\n\n"
    "It confirms a payment of {amount} to {payee}. It is good for {minutes} minutes, and only for this payment.\n\n"
    "Tell it to nobody: no merchant, bank or helpdesk ever asks for it. If you are not paying right now, somebody else "
    "is trying to: do nothing, and the payment is not made.\n",
    "the merchant",
    "[Test] ",
)
_CHINESE = _Words(
    "zh_Hans_CN",
    "您的付款验证码",
    "您的验证码：{code}\n\n"
    "用于确认向{payee}付款 {amount}，{minutes} 分钟内有效，仅限本次付款使用。\n\n"
    "请勿告知任何人：商家、银行和客服都不会向您索要验证码。如果不是您本人正在付款，请忽略此消息，付款不会完成。\n",
    "商家",
    "【测试】",
)


def message(code: str, locale: str, facts: CodeFacts) -> Message:
    """Return the message for a code; a payment in test mode says so in its subject."""
    if facts.letter is not None:
        return Message(facts.letter.subject, facts.letter.text.replace("{code}", code))
    words = _CHINESE if locale.partition("-")[0] == "zh" else _ENGLISH
    text = words.text.format(
        code=code,
        amount=format_money(Money(facts.amount_minor, facts.currency), words.money_locale),
        payee=facts.payee or words.somebody,
        minutes=facts.minutes,
    )
    return Message(words.subject if facts.live else words.test + words.subject, text)
