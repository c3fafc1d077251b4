"""Writing pain.001.001.09: a group header with its sum, one block for each execution date, one entry for each order.

Every order is asked to be booked by itself (``BtchBookg`` false), since the statement is matched by ``EndToEndId``. Equal
orders make equal bytes.
"""

from collections.abc import Sequence
from datetime import UTC, date
from decimal import Decimal
from itertools import groupby
from typing import Any

from lxml import etree

from tongbao.channels.adapters.bank.letters import written
from tongbao.channels.adapters.bank.values import (
    ID_CHARS,
    NAME_CHARS,
    ORDERS_MAX,
    TEXT_CHARS,
    BankSettings,
    Order,
    OrderMessage,
    OwnAccount,
)
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_BIC_CHARS = (8, 11)
_CLEARING_SYSTEMS = {"CN": "CNAPS", "US": "USABA"}
Element = Any
"""An element of lxml, which ships no types."""


def part_id(message_id: str, execution_on: date) -> str:
    """Return the id of the block of an execution date in a message."""
    return f"{message_id}-{execution_on:%y%m%d}"


def initiation(message: OrderMessage, house: BankSettings) -> bytes:
    """Return the message as bytes.

    Raises InvalidRequest ``bank_message_invalid`` for no orders, more than ``ORDERS_MAX``, several currencies, a currency
    that the house has no account in, an id that is longer than 35 characters or comes twice, or an amount of nothing.
    """
    account = _checked(message, house)
    root = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    body = _add(root, "CstmrCdtTrfInitn")
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", message.message_id)
    _add(header, "CreDtTm", message.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _sums(header, message.orders)
    _add(_add(header, "InitgPty"), "Nm", written(house.holder, house.charset, NAME_CHARS))
    ordered = sorted(message.orders, key=lambda order: (order.execution_on, order.end_to_end))
    for execution_on, orders in groupby(ordered, key=lambda order: order.execution_on):
        _part(
            _add(body, "PmtInf"), part_id(message.message_id, execution_on), tuple(orders), (house, account)
        )
    found: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return found


def _checked(message: OrderMessage, house: BankSettings) -> OwnAccount:
    orders = message.orders
    currencies = {order.currency for order in orders}
    ids = [order.end_to_end for order in orders]
    wrong = None
    if not 1 <= len(orders) <= ORDERS_MAX:
        wrong = f"a message holds 1 to {ORDERS_MAX} orders"
    elif len(currencies) > 1:
        wrong = "a message holds one currency"
    elif not currencies <= house.accounts.keys():
        wrong = f"no account in {orders[0].currency}"
    elif len(set(ids)) < len(ids):
        wrong = "an end-to-end id comes twice"
    elif any(not 1 <= len(each) <= ID_CHARS for each in (part_id(message.message_id, date.max), *ids)):
        wrong = f"an id has more than {ID_CHARS} characters"
    elif any(order.amount_minor <= 0 for order in orders):
        wrong = "an order of nothing"
    if wrong:
        raise InvalidRequest("bank_message_invalid", wrong, message=message.message_id)
    return house.accounts[orders[0].currency]


def _part(part: Element, name: str, orders: Sequence[Order], payer: tuple[BankSettings, OwnAccount]) -> None:
    house, account = payer
    _add(part, "PmtInfId", name)
    _add(part, "PmtMtd", "TRF")
    _add(part, "BtchBookg", "false")
    _sums(part, orders)
    kind = _add(part, "PmtTpInf")
    if orders[0].currency == "EUR":
        _add(_add(kind, "SvcLvl"), "Cd", "SEPA")
    _add(_add(kind, "CtgyPurp"), "Cd", house.purpose)
    _add(_add(part, "ReqdExctnDt"), "Dt", orders[0].execution_on.isoformat())
    _add(_add(part, "Dbtr"), "Nm", written(house.holder, house.charset, NAME_CHARS))
    own = _add(part, "DbtrAcct")
    _number(own, account.scheme, account.number)
    _add(own, "Ccy", orders[0].currency)
    _agent(_add(part, "DbtrAgt"), account.agent_code, account.country)
    _add(part, "ChrgBr", "SLEV")
    for order in orders:
        _order(_add(part, "CdtTrfTxInf"), order, house)


def _order(entry: Element, order: Order, house: BankSettings) -> None:
    ids = _add(entry, "PmtId")
    _add(ids, "InstrId", order.end_to_end)
    _add(ids, "EndToEndId", order.end_to_end)
    amount = _add(_add(entry, "Amt"), "InstdAmt", str(_major(order)))
    amount.set("Ccy", order.currency)
    if order.agent_code:
        _agent(_add(entry, "CdtrAgt"), order.agent_code, order.country)
    creditor = _add(entry, "Cdtr")
    _add(creditor, "Nm", written(order.holder, house.charset, NAME_CHARS))
    if order.country:
        _add(_add(creditor, "PstlAdr"), "Ctry", order.country)
    _number(_add(entry, "CdtrAcct"), order.scheme, order.number)
    text = written(order.text, house.charset, TEXT_CHARS)
    if text:
        _add(_add(entry, "RmtInf"), "Ustrd", text)


def _number(account: Element, scheme: str, number: str) -> None:
    place = _add(account, "Id")
    if scheme == "iban":
        _add(place, "IBAN", number)
    else:
        _add(_add(place, "Othr"), "Id", number)


def _agent(agent: Element, code: str, country: str) -> None:
    """Write a bank: by BIC, by its member id in the country's clearing system, or as not provided (IBAN only)."""
    place = _add(agent, "FinInstnId")
    if len(code) in _BIC_CHARS and code[:4].isalpha():
        _add(place, "BICFI", code)
    elif code and country in _CLEARING_SYSTEMS:
        member = _add(place, "ClrSysMmbId")
        _add(_add(member, "ClrSysId"), "Cd", _CLEARING_SYSTEMS[country])
        _add(member, "MmbId", code)
    else:
        _add(_add(place, "Othr"), "Id", code or "NOTPROVIDED")


def _sums(place: Element, orders: Sequence[Order]) -> None:
    _add(place, "NbOfTxs", str(len(orders)))
    _add(place, "CtrlSum", str(sum((_major(order) for order in orders), Decimal(0))))


def _major(order: Order) -> Decimal:
    return Money(order.amount_minor, order.currency).major


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    child.text = text
    return child
