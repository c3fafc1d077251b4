"""A card acquirer behind ISO 8583:1987, as a channel.

What the wire cannot say is said by ``unresolved``: no answer in time, a broken connection after the first byte,
an answer without a readable code. A reversal is the one message that is repeated here (0420 after 0400), since
undoing twice is undoing once.
"""

import msgspec
from pydantic import SecretStr

from tongbao.channels.adapters import hmac_header
from tongbao.channels.adapters.card_reveal import reveal
from tongbao.channels.adapters.exclusions import refusal, refuse
from tongbao.channels.adapters.iso8583 import dialect, notices, transform
from tongbao.channels.adapters.iso8583.line import Line, LineSettings
from tongbao.channels.adapters.iso8583.transform import Terminal
from tongbao.channels.ports import CardVault
from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Inquire,
    Notification,
    Operation,
    Outcome,
    Payout,
    Presentment,
    RawNotification,
    WireUnit,
)
from tongbao.core.clock import Clock
from tongbao.core.currencies import CURRENCIES, Kind
from tongbao.core.http import NoAnswer, NotSent
from tongbao.privacy.schema import RevealedCard

ALL_MONEY = frozenset(row.code for row in CURRENCIES if row.kind is Kind.MONEY)

_TYPES = {
    Operation.INCREMENT: dialect.AUTHORIZATION,
    Operation.CAPTURE: dialect.COMPLETION,
    Operation.VOID: dialect.REVERSAL,
    Operation.REFUND: dialect.SALE,
}


class Iso8583Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host, who we are to it, and what this acquirer can do beyond the standard.

    ``inquires``: it answers 0600 and recognizes repeats by field 48 (see ``dialect``), so "not found" is the truth
    ``settles_not_found_s`` seconds after sending. ``increments``, ``captures_often``, ``voids_captured``: it
    takes more on an authorization, several completions of one, reversals of a sale of today. ``authenticates``: it takes
    field 46 and leads the payer to the issuer. ``notice_secret``
    signs what it posts to us (``notices``), in the header ``notice_header`` (lower case); empty: nothing is believed.
    """

    line: LineSettings
    terminal: Terminal
    currencies: frozenset[str] = ALL_MONEY
    inquires: bool = False
    increments: bool = False
    captures_often: bool = False
    voids_captured: bool = False
    authenticates: bool = False
    settles_not_found_s: int = 60
    notice_secret: SecretStr = SecretStr("")
    notice_header: str = "sandbox-signature"


class Iso8583Channel:
    """``channels.ports.Channel`` over ISO 8583:1987. Cards only."""

    def __init__(self, name: str, settings: Iso8583Settings, vault: CardVault, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._vault = vault
        self._clock = clock
        # Traces of a restarted process should not repeat those of the minutes before.
        self._line = Line(settings.line, clock, first_trace=clock.now().microsecond)
        self._capabilities = _capabilities(settings)

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What this acquirer can do."""
        return self._capabilities

    async def authorize(self, call: Authorize) -> Answer:
        """Send 0200 where the money is to be claimed at once, else 0100."""
        card = await self._card(Operation.AUTHORIZE, call)
        if isinstance(card, Answer):
            return card
        mti = dialect.SALE if call.capture else dialect.AUTHORIZATION
        fields = transform.authorization_fields(call, card, self._settings.terminal, self._clock.now())
        return await self._ask(mti, fields)

    async def increment(self, call: Follow) -> Answer:
        """Send 0100 with the authorization's reference."""
        return await self._follow(Operation.INCREMENT, call)

    async def capture(self, call: Follow) -> Answer:
        """Send 0220."""
        return await self._follow(Operation.CAPTURE, call)

    async def void(self, call: Follow) -> Answer:
        """Send 0400, and 0420 with the same fields where no answer comes."""
        return await self._follow(Operation.VOID, call)

    async def refund(self, call: Follow) -> Answer:
        """Send 0200 with processing code 20."""
        return await self._follow(Operation.REFUND, call)

    async def inquire(self, call: Inquire) -> Answer:
        """Send 0600; unresolved without a question where the acquirer knows none."""
        excluded = refusal(self._capabilities, call.operation, call)
        if excluded is not None:
            return excluded
        if not self._settings.inquires:
            return Answer(outcome=Outcome.UNRESOLVED, code="no_inquiry")
        fields = transform.inquiry_fields(call, self._settings.terminal, self._clock.now())
        try:
            got = await self._line.ask(dialect.INQUIRY, fields)
        except (NotSent, NoAnswer, dialect.Unreadable) as error:
            return Answer(outcome=Outcome.UNRESOLVED, code=type(error).__name__)
        return transform.read_inquiry(call, got)

    async def payout(self, call: Payout) -> Answer:
        """Refuse: acquirers send no money out here."""
        return refusal(self._capabilities, Operation.PAYOUT, call) or refuse("no payouts")

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Check and read a notice; raise NotificationForged (always, without a secret) or NotificationMalformed."""
        header = raw.headers.get(self._settings.notice_header, "")
        secret = self._settings.notice_secret.get_secret_value()
        hmac_header.check(self._name, secret, header, raw.body, raw.received_at)
        return notices.read(self._name, raw.body)

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return 204; anything else makes the acquirer post it again."""
        return Acknowledgment(204 if accepted else 503, "text/plain", b"")

    async def close(self) -> None:
        """Close all connections to the host."""
        await self._line.close()

    async def _follow(self, operation: Operation, call: Follow) -> Answer:
        card = await self._card(operation, call)
        if isinstance(card, Answer):
            return card
        now = self._clock.now()
        fields = transform.follow_fields(operation, call, card, self._settings.terminal, now)
        answer = await self._ask(_TYPES[operation], fields)
        if operation is Operation.VOID and answer.outcome is Outcome.UNRESOLVED:
            again = await self._ask(dialect.REVERSAL_ADVICE, fields)
            answer = answer if again.outcome is Outcome.NOT_SENT else again
        return answer

    async def _ask(self, mti: str, fields: dict[str, str]) -> Answer:
        try:
            got = await self._line.ask(mti, fields)
        except NotSent as error:
            return Answer(outcome=Outcome.NOT_SENT, code="not_sent", message=str(error))
        except NoAnswer as error:
            return Answer(outcome=Outcome.UNRESOLVED, code="no_answer", message=str(error))
        except dialect.Unreadable as error:
            return refuse(str(error))
        return transform.read_answer(mti, fields, got)

    async def _card(self, operation: Operation, call: Authorize | Follow) -> RevealedCard | Answer:
        """Return the card for a call that may be sent, or the answer to one that may not."""
        excluded = refusal(self._capabilities, operation, call)
        if excluded is not None:
            return excluded
        return await reveal(
            self._vault, call.method, purpose=str(operation), actor=self._name, subject=call.reference
        )


def _capabilities(settings: Iso8583Settings) -> Capabilities:
    return Capabilities(
        adapter="iso8583",
        methods=frozenset({"card"}),
        presentments=frozenset({Presentment.DIRECT}),
        currencies=settings.currencies,
        wire_unit=WireUnit.MINOR,
        manual_capture=True,
        partial_capture=True,
        multiple_capture=settings.captures_often,
        void=True,
        void_after_capture=settings.voids_captured,
        increment=settings.increments,
        refund=True,
        partial_refund=True,
        refund_inquiry=settings.inquires,
        mandates=True,
        authenticates=settings.authenticates,
        inquires_by_our_reference=settings.inquires,
        settles_not_found_s=settings.settles_not_found_s,
        notifies=bool(settings.notice_secret.get_secret_value()),
        amount_minor_max=dialect.AMOUNT_MINOR_MAX,
    )
