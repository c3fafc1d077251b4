"""Wallets of the house: opened for a payer whose address was proved, with the payer and the address in one commit."""

from tongbao.parties.ports import Contact
from tongbao.parties.schema import Payer
from tongbao.web.house import House

CURRENCY = "CNY"


async def open_wallet(
    house: House, name: str, locale: str, contact: Contact, *, book_id: int | None = None
) -> Payer:
    """Open a wallet, its book first: a book whose payer was not committed belongs to nobody and stays empty.

    Raises BadField, ContactTaken, WalletTaken where ``book_id`` has a payer.
    """
    wanted = house.runtime.ledger.ids.int63() if book_id is None else book_id
    await house.payments.wallets.open(wanted, CURRENCY)
    parties = house.parties
    async with house.runtime.database.transaction() as connection:
        payer = await parties.payers.create(connection, wanted, name, locale)
        await parties.payer_sign_in.add_contact(connection, payer, contact)
    return payer
