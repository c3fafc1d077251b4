"""The nouns of a purchase history: fields, lines, refusals, orders. Money is integer minor units of one currency."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

LINE_BYTES_MAX = 64 * 1024
ORDERS_MAX = 1_000_000
STORES_MAX = 5_000
TEXT_CHARS_MAX = 80
"""An order, a store or a customer is called by at most so many characters."""


class Field(StrEnum):
    """What a column may mean; a mapping of columns names them so."""

    CUSTOMER = "customer"
    ORDER = "order"
    STORE = "store"
    PRODUCT = "product"
    QUANTITY = "quantity"
    AMOUNT = "amount"
    DISCOUNT = "discount"
    AT = "at"


REQUIRED = (Field.CUSTOMER, Field.ORDER, Field.STORE, Field.AMOUNT, Field.AT)


class Refusal(StrEnum):
    """Why a line takes no part; the values are stable."""

    LINE_EMPTY = "line_empty"
    LINE_RAGGED = "line_ragged"
    LINE_TOO_LONG = "line_too_long"
    LINE_NOT_UTF8 = "line_not_utf8"
    LINE_BADLY_QUOTED = "line_badly_quoted"
    NAME_MISSING = "name_missing"
    NAME_MALFORMED = "name_malformed"
    AMOUNT_MALFORMED = "amount_malformed"
    AMOUNT_TOO_PRECISE = "amount_too_precise"
    AMOUNT_TOO_LARGE = "amount_too_large"
    QUANTITY_MALFORMED = "quantity_malformed"
    INSTANT_MALFORMED = "instant_malformed"
    ORDER_CONTRADICTS = "order_contradicts"


class Refused(NamedTuple):
    """A line that takes no part: its number from 1, the order that it names (empty where none can be read), and why."""

    line_no: int
    order: str
    refusal: Refusal
    detail: str


class Row(NamedTuple):
    """A line as written; ``line_no`` counts from 1 with the header of a CSV file, without one in Parquet."""

    line_no: int
    fields: tuple[str, ...]


class Line(NamedTuple):
    """What a line says: one product of an order. ``amount_minor`` is what was paid for it, negative where it came back."""

    line_no: int
    order: str
    customer: str
    store: str
    amount_minor: int
    at: datetime


class Order(NamedTuple):
    """One basket: who paid how much where, at the instant of its last line. ``number`` counts orders in order of time."""

    number: int
    order: str
    customer: str
    store: str
    amount_minor: int
    at: datetime


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is understood: its currency and decimals, the zone of instants without one, and what its columns mean.

    ``columns`` maps a field to the columns of it, by name; only a discount may have several.
    """

    currency: str
    exponent: int
    zone: str
    columns: dict[Field, tuple[str, ...]]


class Counts(msgspec.Struct, kw_only=True):
    """What a file holds. Orders without anything to pay, and those with a refused line, are no payments."""

    lines: int = 0
    refused_lines: int = 0
    orders: int = 0
    orders_empty: int = 0
    orders_incomplete: int = 0
    stores: int = 0
    customers: int = 0
