"""The words of messages to payers, handed to the carrier that codes of payments go by."""

from tongbao.core.errors import InvalidRequest
from tongbao.parties.ports import Contact, ContactKind, Notice
from tongbao.risk.ports import CodeSender
from tongbao.risk.schema.challenges import CodeFacts, Destination, DestinationKind, Letter
from tongbao.web.locale import signing as words
from tongbao.web.locale.ledger import LANGUAGES

_NO_CURRENCY = "XXX"


class CodeMail:
    """Carries codes and notices of the wallet (``parties.ports.Messages``)."""

    def __init__(self, sender: CodeSender, base_url: str) -> None:
        self._sender = sender
        self._base_url = base_url

    async def code(self, to: Contact, code: str, locale: str, minutes: int) -> None:
        """See ``parties.ports.Messages``; raises InvalidRequest ``destination_refused`` for telephones, which nobody calls."""
        subject, text = _word("mail_code_subject", locale), _word("mail_code", locale)
        await self._send(to, code, locale, Letter(subject, text.format(code="{code}", minutes=minutes)))

    async def notice(self, to: Contact, notice: Notice, locale: str) -> None:
        """See ``parties.ports.Messages``."""
        subject = _word(f"mail_{notice.value}_subject", locale)
        text = _word(f"mail_{notice.value}", locale).format(address=f"{self._base_url}/wallet/security")
        await self._send(to, "", locale, Letter(subject, text))

    async def _send(self, to: Contact, code: str, locale: str, letter: Letter) -> None:
        if to.kind is not ContactKind.EMAIL:
            raise InvalidRequest("destination_refused", "this house sends e-mail alone")
        facts = CodeFacts(
            payee="", amount_minor=0, currency=_NO_CURRENCY, minutes=0, live=True, letter=letter
        )
        destination = Destination(kind=DestinationKind.EMAIL, address=to.address)
        await self._sender.send(destination, code, locale, facts)


def _word(key: str, locale: str) -> str:
    language = "zh-CN" if locale.partition("-")[0] == "zh" else "en"
    return words.TEXTS[key][LANGUAGES.index(language)]
