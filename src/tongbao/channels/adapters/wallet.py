"""The channel of our own wallets: a payer's balance, moved inside the payer's book of the ledger.

It is a channel like any other, so a payment from a balance has the same states, the same unknown outcomes and the same
resolver. Keys derive from our references: a repeat posts nothing twice. In the payer's book::

    authorized   hold       wallet → wallet_clearing
    captured     capture of the hold
    sale         transfer   wallet → wallet_clearing
    voided       void of the hold
    refunded     transfer   wallet_clearing → wallet
"""

from uuid import UUID

from tongbao.channels.errors import NotificationForged
from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Inquire,
    Method,
    Notification,
    Outcome,
    Payout,
    Presentment,
    RawNotification,
    Reason,
    Wallet,
    WireUnit,
)
from tongbao.core.errors import NotFound, OutcomeUnknown, Unavailable
from tongbao.core.ids import derive, parse_uuid
from tongbao.ledger.schema import (
    AccountId,
    BookId,
    Kind,
    PostResult,
    Refusal,
    Transfer,
    capture,
    void,
)
from tongbao.ledger.schema import (
    Outcome as Posted,
)
from tongbao.ledger.service.ledger import Ledger

ACCOUNTS_CACHED_MAX = 50_000
_REASONS = {
    Refusal.BELOW_FLOOR: Reason.INSUFFICIENT_FUNDS,
    Refusal.ACCOUNT_FROZEN: Reason.ACCOUNT_FROZEN,
    Refusal.ACCOUNT_CLOSED: Reason.ACCOUNT_CLOSED,
    Refusal.ACCOUNT_UNKNOWN: Reason.ACCOUNT_UNKNOWN,
    Refusal.ABOVE_CEILING: Reason.LIMIT_EXCEEDED,
    Refusal.KEY_CONFLICT: Reason.REFERENCE_CONFLICT,
    Refusal.HOLD_EXCEEDED: Reason.AMOUNT_TOO_LARGE,
    Refusal.HOLD_CLOSED: Reason.STATE_INVALID,
    Refusal.HOLD_UNKNOWN: Reason.STATE_INVALID,
    Refusal.HOLD_EXPIRED: Reason.EXPIRED,
}


class WalletChannel:
    """Moves money of our own wallets; see ``ports.Channel`` for the methods."""

    def __init__(self, name: str, ledger: Ledger, currencies: frozenset[str]) -> None:
        self._name = name
        self._ledger = ledger
        self._accounts: dict[tuple[int, str], tuple[AccountId, AccountId, int]] = {}
        self._capabilities = Capabilities(
            adapter="wallet",
            methods=frozenset({"wallet"}),
            presentments=frozenset({Presentment.DIRECT}),
            currencies=currencies,
            wire_unit=WireUnit.MINOR,
            manual_capture=True,
            partial_capture=True,
            multiple_capture=True,
            void=True,
            refund=True,
            partial_refund=True,
            refund_inquiry=True,
            inquires_by_our_reference=True,
            settles_not_found_s=30,
            authorization_days=7,
            extended_authorization_days=30,
        )

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._capabilities

    async def authorize(self, call: Authorize) -> Answer:
        """Hold, or with ``capture`` take, money of the wallet."""
        found = await self._wallet(call.method, call.currency)
        if isinstance(found, Answer):
            return found
        book_id, wallet, clearing, asset_id = found
        transfer = Transfer(
            key=_key(call.reference),
            book_id=book_id,
            debit_account_id=wallet,
            credit_account_id=clearing,
            amount_minor=call.amount_minor,
            asset_id=asset_id,
            code="wallet.paid" if call.capture else "wallet.held",
            kind=Kind.PLAIN if call.capture else Kind.HOLD,
            reference=call.reference,
        )
        return await self._post(
            transfer, call.reference, call.amount_minor, call.currency, captured=call.capture
        )

    async def increment(self, call: Follow) -> Answer:
        """Decline: a hold of a wallet does not grow; authorize again."""
        del call
        return _excluded()

    async def capture(self, call: Follow) -> Answer:
        """Take all or part of what is held."""
        transfer = capture(
            _key(call.reference),
            _book(call.method),
            _key(call.authorization_reference),
            call.amount_minor,
            "wallet.paid",
            final=call.final,
            reference=call.reference,
        )
        return await self._post(transfer, call.reference, call.amount_minor, call.currency, captured=True)

    async def void(self, call: Follow) -> Answer:
        """Release what is held."""
        transfer = void(
            _key(call.reference),
            _book(call.method),
            _key(call.authorization_reference),
            "wallet.released",
            reference=call.reference,
        )
        return await self._post(transfer, call.reference, None, call.currency)

    async def refund(self, call: Follow) -> Answer:
        """Put money back into the wallet."""
        found = await self._wallet(call.method, call.currency)
        if isinstance(found, Answer):
            return found
        book_id, wallet, clearing, asset_id = found
        transfer = Transfer(
            key=_key(call.reference),
            book_id=book_id,
            debit_account_id=clearing,
            credit_account_id=wallet,
            amount_minor=call.amount_minor,
            asset_id=asset_id,
            code="wallet.refunded",
            reference=call.reference,
        )
        return await self._post(transfer, call.reference, call.amount_minor, call.currency)

    async def inquire(self, call: Inquire) -> Answer:
        """Look into the journal: what is there happened, what is not did not."""
        book_id = _book(call.method)
        try:
            row = await self._ledger.reading.transfer(book_id, _key(call.reference))
        except NotFound:
            return Answer(outcome=Outcome.NOT_FOUND)
        except (Unavailable, OutcomeUnknown) as error:
            return Answer(outcome=Outcome.UNRESOLVED, code=error.code)
        return Answer(
            outcome=Outcome.APPROVED,
            amount_minor=None if row.kind is Kind.VOID else row.amount_minor,
            currency=call.currency,
            captured=row.kind in (Kind.PLAIN, Kind.CAPTURE),
            channel_reference=call.reference,
        )

    async def payout(self, call: Payout) -> Answer:
        """Decline: wallets are paid out by ``payments``, not by this channel."""
        del call
        return _excluded()

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Refuse: the house does not notify itself."""
        del raw
        raise NotificationForged(self._name, "wallets send no notifications")

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return an empty answer."""
        return Acknowledgment(204 if accepted else 400, "text/plain", b"")

    async def close(self) -> None:
        """Do nothing: the ledger belongs to the house."""

    async def _wallet(
        self, method: Method, currency: str
    ) -> "tuple[BookId, AccountId, AccountId, int] | Answer":
        """Return book, accounts and asset of a wallet, or the answer that there is none."""
        book_id = _book(method)
        known = self._accounts.get((book_id, currency))
        if known is None:
            try:
                wallet = await self._ledger.accounts.account_by_code(book_id, "wallet", currency)
                clearing = await self._ledger.accounts.account_by_code(book_id, "wallet_clearing", currency)
            except NotFound:
                return Answer(outcome=Outcome.DECLINED, reason=Reason.ACCOUNT_UNKNOWN, code="account_unknown")
            except (Unavailable, OutcomeUnknown) as error:
                return Answer(outcome=Outcome.NOT_SENT, code=error.code)
            known = (wallet.account_id, clearing.account_id, wallet.asset_id)
            if len(self._accounts) >= ACCOUNTS_CACHED_MAX:
                self._accounts.clear()
            self._accounts[(book_id, currency)] = known
        return book_id, *known

    async def _post(
        self,
        transfer: Transfer,
        reference: str,
        amount_minor: int | None,
        currency: str,
        *,
        captured: bool = False,
    ) -> Answer:
        try:
            result: PostResult = await self._ledger.posting.post_one(transfer)
        except Unavailable as error:
            return Answer(outcome=Outcome.NOT_SENT, code=error.code)
        except OutcomeUnknown as error:
            return Answer(outcome=Outcome.UNRESOLVED, code=error.code)
        if result.outcome is Posted.REFUSED:
            refusal = result.refusal or Refusal.FIELDS_INVALID
            reason = _REASONS.get(refusal, Reason.REQUEST_INVALID)
            return Answer(outcome=Outcome.DECLINED, reason=reason, code=refusal.value, message=result.detail)
        return Answer(
            outcome=Outcome.APPROVED,
            amount_minor=amount_minor,
            currency=currency,
            captured=captured,
            channel_reference=reference,
            occurred_at=result.recorded_at,
        )


def _key(reference: str) -> UUID:
    """Return the ledger key of one of our references, whatever its prefix."""
    return derive(parse_uuid(reference.partition("_")[0], reference), "wallet")


def _book(method: Method) -> BookId:
    assert isinstance(method, Wallet)
    return BookId(method.book_id)


def _excluded() -> Answer:
    return Answer(outcome=Outcome.DECLINED, reason=Reason.REQUEST_INVALID, code="not_supported")
