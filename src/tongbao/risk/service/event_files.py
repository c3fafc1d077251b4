"""Payments from a file of anybody's: which column is what, and what one row says.

Columns are found by usual names, whatever their case, or named by whoever runs the replay. Wanted are a time, an amount and at
least one of customer, card and merchant. Times are ISO 8601 (UTC where no zone is told) or numbers: seconds,
milliseconds, microseconds or nanoseconds since 1970, told apart by their size. In a file with the columns ``t``, ``cust``
and ``term`` of the Fraud Detection Handbook's simulator seconds count from 2018-04-01.
"""

import enum
import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from tongbao.core.currencies import currency as currency_row
from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.signals import KEY_CHARS_MAX, Signals
from tongbao.risk.service.table_files import Line, Table, bad, open_table, shown

VALUE_MAX = 10**12
DEFAULT_CURRENCY = "EUR"
HANDBOOK = frozenset({"t", "cust", "term"})
HANDBOOK_BEGINS = datetime(2018, 4, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_MAX = 2200
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
_YES, _NO = {"1", "true", "yes", "y", "t", "1.0", "fraud"}, {"0", "false", "no", "n", "f", "0.0", "", "good"}


class Field(enum.StrEnum):
    """What a column may be."""

    ID = "id"
    TIME = "time"
    CUSTOMER = "customer"
    CARD = "card"
    MERCHANT = "merchant"
    DEVICE = "device"
    ADDRESS = "address"
    EMAIL = "email"
    BENEFICIARY = "beneficiary"
    AMOUNT = "amount"
    AMOUNT_MINOR = "amount_minor"
    CENTS = "cents"
    CURRENCY = "currency"
    COUNTRY = "country"
    CARD_COUNTRY = "card_country"
    MERCHANT_COUNTRY = "merchant_country"
    MCC = "mcc"
    METHOD = "method"
    FUNDING = "funding"
    IS_RECURRING = "is_recurring"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    IS_FRAUD = "is_fraud"


ALIASES: dict[Field, tuple[str, ...]] = {
    Field.ID: ("id", "event_id", "transaction_id", "payment_id", "tx_id", "trans_num", "signals_id"),
    Field.TIME: (
        *("time", "at", "timestamp", "datetime", "tx_datetime", "event_time", "occurred_at", "created_at"),
        *(
            "created",
            "transaction_time",
            "trans_date_trans_time",
            "transaction_date",
            "date",
            "ts",
            "unix_time",
        ),
        *("tx_time_seconds", "transactiondt", "t"),
    ),
    Field.CUSTOMER: (
        *("customer", "customer_id", "cust", "cust_id", "payer", "payer_id", "user", "user_id"),
        *("account", "account_id", "client", "client_id", "nameorig"),
    ),
    Field.CARD: ("card", "card_id", "card_hash", "card_token", "card1", "cc_num", "pan_hash", "card_number"),
    Field.MERCHANT: (
        *("merchant", "merchant_id", "terminal", "terminal_id", "term", "term_id", "shop", "shop_id"),
        *("merchant_name", "payee"),
    ),
    Field.DEVICE: ("device", "device_id", "device_hash", "fingerprint", "deviceinfo"),
    Field.ADDRESS: ("address", "ip", "ip_address", "network_address", "ip_hash", "remote_addr"),
    Field.EMAIL: (
        *("email_domain", "email", "e_mail", "customer_email", "payer_email", "p_emaildomain"),
        "purchaser_email_domain",
    ),
    Field.BENEFICIARY: ("beneficiary", "beneficiary_id", "recipient", "receiver", "namedest"),
    Field.AMOUNT: ("amount", "amt", "tx_amount", "transaction_amount", "transactionamt", "amount_major"),
    Field.AMOUNT_MINOR: ("amount_minor", "minor", "minor_units"),
    Field.CENTS: ("cents", "amount_cents", "value", "hundredths"),
    Field.CURRENCY: ("currency", "currency_code", "ccy"),
    Field.COUNTRY: ("address_country", "ip_country", "country", "country_code", "billing_country"),
    Field.CARD_COUNTRY: ("card_country", "issuer_country", "bin_country"),
    Field.MERCHANT_COUNTRY: ("merchant_country", "shop_country", "terminal_country"),
    Field.MCC: ("mcc", "merchant_category_code"),
    Field.METHOD: ("method", "payment_method", "channel"),
    Field.FUNDING: ("funding", "card_type", "card_funding"),
    Field.IS_RECURRING: ("is_recurring", "recurring"),
    Field.LATITUDE: ("latitude", "lat"),
    Field.LONGITUDE: ("longitude", "lon", "lng", "long"),
    Field.IS_FRAUD: (
        "is_fraud",
        "fraud",
        "tx_fraud",
        "isfraud",
        "label",
        "fraudulent",
        "class",
        "fraud_label",
    ),
}
"""Names by which columns are found, the likeliest first; capitals, spaces and hyphens count for nothing."""
_KEYS = (
    Field.CUSTOMER,
    Field.CARD,
    Field.MERCHANT,
    Field.DEVICE,
    Field.ADDRESS,
    Field.BENEFICIARY,
)
_TEXTS = (Field.CARD_COUNTRY, Field.MERCHANT_COUNTRY, Field.MCC, Field.METHOD, Field.FUNDING)


class Event(NamedTuple):
    """One row: where it stands, what names it in labels, what risk control sees, and its truth where the file tells it."""

    number: int
    key: str
    signals: Signals
    is_fraud: bool | None


class Mapped(NamedTuple):
    """Which column is what, by place; ``unused`` are names of columns that nothing is made of."""

    places: dict[Field, int]
    unused: tuple[str, ...]
    begins: datetime


def plain(name: str) -> str:
    """Return a name of a column as aliases are written."""
    return name.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")


def mapped(table: Table, named: Mapping[str, str]) -> Mapped:
    """Return which column is what; ``named`` gives columns by field and goes before usual names.

    Raises InvalidRequest ``table_file_invalid`` where a named column, or one that is needed, is not there.
    """
    places = dict(_named(table, named))
    names = {plain(column): place for place, column in reversed(list(enumerate(table.columns)))}
    taken = set(places.values())
    for field, aliases in ALIASES.items():
        found = next(
            (names[alias] for alias in aliases if alias in names and names[alias] not in taken), None
        )
        if field not in places and found is not None:
            places[field] = found
            taken.add(found)
    unused = tuple(column for place, column in enumerate(table.columns) if place not in taken)
    _check_needed(table, places)
    begins = HANDBOOK_BEGINS if names.keys() >= HANDBOOK else EPOCH
    return Mapped(places, unused, begins)


def _named(table: Table, named: Mapping[str, str]) -> Iterator[tuple[Field, int]]:
    for field, column in named.items():
        if field not in set(Field):
            raise bad(table.name, f"no column can be {shown(field)}; it may be {', '.join(Field)}")
        if column not in table.columns:
            there = ", ".join(map(str, table.columns))
            raise bad(table.name, f"there is no column {shown(column)}; there are {there[:300]}", 1)
        yield Field(field), table.columns.index(column)


def _check_needed(table: Table, places: Mapping[Field, int]) -> None:
    needed = (
        ("time", (Field.TIME,)),
        ("amount", (Field.AMOUNT, Field.AMOUNT_MINOR, Field.CENTS)),
        ("customer, card or merchant", (Field.CUSTOMER, Field.CARD, Field.MERCHANT)),
    )
    for what, fields in needed:
        if not any(field in places for field in fields):
            usual = ", ".join(name for field in fields for name in ALIASES[field][:4])
            raise bad(
                table.name,
                f"there is no column for {what} (such as {usual}); name it with --column {fields[0]}=NAME",
                1,
            )


class EventRows:
    """Reads the payments of a file, each as often as asked."""

    def __init__(self, path: Path, named: Mapping[str, str], currency: str = DEFAULT_CURRENCY) -> None:
        self._path = path
        self._named = dict(named)
        self._currency = currency
        currency_row(currency)

    def columns(self) -> Mapped:
        """Return which column is what."""
        with self._path.open("rb") as file:
            return mapped(open_table(file, self._path), self._named)

    def read(self) -> Iterator[Event]:
        """Yield the payments in the order of the file.

        Raises InvalidRequest ``table_file_invalid`` with the line for what is no payment, and for one before the one above it.
        """
        with self._path.open("rb") as file:
            yield from self._rows(file)

    def _rows(self, file: BinaryIO) -> Iterator[Event]:
        table = open_table(file, self._path)
        columns = mapped(table, self._named)
        before = EPOCH
        for row, line in enumerate(table.lines):
            try:
                event = self._event(row, line, columns)
            except Unfit as error:
                raise bad(table.name, str(error), line.number) from error
            if event.signals.at < before:
                said = f"{event.signals.at.isoformat()} is before the line above; sort the file by time"
                raise bad(table.name, said, line.number)
            before = event.signals.at
            yield event

    def _event(self, row: int, line: Line, columns: Mapped) -> Event:
        values = {field: _known(line.values[place]) for field, place in columns.places.items()}
        facts: dict[str, Any] = {
            field.value: key_of(values[field], field) for field in _KEYS if field in values
        }
        facts |= {field.value: str(values[field]) for field in _TEXTS if values.get(field) is not None}
        facts["address_country"] = str(values.get(Field.COUNTRY) or "")
        facts["currency"] = str(values.get(Field.CURRENCY) or self._currency).upper()
        for field in (Field.LATITUDE, Field.LONGITUDE):
            if values.get(field) is not None:
                facts[field.value] = _number(values[field], field)
        if email := key_of(values.get(Field.EMAIL), Field.EMAIL):
            facts["email_domain"] = email.rpartition("@")[2].lower()
        if values.get(Field.IS_RECURRING) is not None:
            facts["is_recurring"] = truth(values[Field.IS_RECURRING])
        told = values.get(Field.IS_FRAUD)
        key = values.get(Field.ID)
        signals = Signals(
            id=row_id(row),
            at=instant(values[Field.TIME], columns.begins),
            book_id=1,
            live=True,
            subject_id=row_id(row),
            value=_value(values, facts["currency"]),
            **({"method": "card"} | facts),
        )
        if Field.ID in columns.places and key is None:
            raise Unfit("the id is empty")
        return Event(
            line.number, str(row if key is None else key), signals, None if told is None else truth(told)
        )


class Unfit(ValueError):
    """What is wrong with a value, in words."""


def _known(value: Any) -> Any:
    """Return a value, None for what says nothing."""
    if isinstance(value, str):
        value = value.strip()
        return value or None
    return None if isinstance(value, float) and math.isnan(value) else value


def key_of(value: Any, field: Field) -> str:
    """Return the key of an entity, empty where it is unknown; whole numbers are the same written as decimals."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    if len(text) > KEY_CHARS_MAX:
        raise Unfit(f"the {field.value} has more than {KEY_CHARS_MAX} characters")
    return text


def instant(value: Any, begins: datetime = EPOCH) -> datetime:
    """Return an instant in UTC from text, number or instant. Raises Unfit."""
    if isinstance(value, datetime):
        found = value if value.tzinfo else value.replace(tzinfo=UTC)
    elif value is None:
        raise Unfit("the time is empty")
    else:
        found = _instant_of(value, begins)
    if not found >= EPOCH or found.year > YEAR_MAX:
        raise Unfit(f"the time {shown(value)} is before 1970 or after {YEAR_MAX}")
    return found.astimezone(UTC)


def _instant_of(value: Any, begins: datetime) -> datetime:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise Unfit(f"{shown(value)} is no time; write 2026-01-31T09:30:00Z or seconds") from error
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    if not number.is_finite():
        raise Unfit(f"{shown(value)} is no time")
    unit = next((unit for least, unit in _UNITS if abs(number) >= least), 1)
    try:
        return begins + timedelta(microseconds=int(number * 1_000_000 / unit))
    except OverflowError as error:
        raise Unfit(f"{shown(value)} is no time") from error


def truth(value: Any) -> bool:
    """Return yes or no. Raises Unfit."""
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise Unfit(f"{shown(value)} is neither yes nor no; write 1 or 0")


def _number(value: Any, field: Field) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise Unfit(f"the {field.value} {shown(value)} is no number") from error
    most = 90 if field is Field.LATITUDE else 180
    if not -most <= number <= most:
        raise Unfit(f"the {field.value} {shown(value)} is not from -{most} to {most}")
    return number


def _value(values: Mapping[Field, Any], currency: str) -> int:
    """Return the amount in hundredths of the major unit, halves to even."""
    field = next((each for each in (Field.AMOUNT, Field.AMOUNT_MINOR, Field.CENTS) if each in values), None)
    assert field is not None, "columns are checked"
    try:
        exponent = currency_row(currency).exponent
    except InvalidRequest as error:
        raise Unfit(f"{shown(currency)} is no currency of ISO 4217") from error
    told = values[field]
    try:
        amount = Decimal(str(told))
    except InvalidOperation as error:
        raise Unfit(f"the amount {shown('' if told is None else told)} is no number") from error
    if not amount.is_finite():
        raise Unfit(f"the amount {shown(told)} is no number")
    if amount < 0:
        raise Unfit(f"the amount {shown(told)} is negative; refunds are no payments")
    shift = {Field.AMOUNT: 2, Field.AMOUNT_MINOR: 2 - exponent, Field.CENTS: 0}[field]
    if amount.scaleb(shift) > VALUE_MAX:
        raise Unfit(f"the amount {shown(told)} is too large")
    return int(amount.scaleb(shift).quantize(Decimal(1), ROUND_HALF_EVEN))


def row_id(row: int) -> UUID:
    """Return the id of the payment in a row: it depends on nothing that comes later in the file."""
    # Spread over all bits, as ids of payments are.
    return UUID(int=(row + 1) * _SPREAD % 2**128)


def key_hash(key: str) -> bytes:
    """Return 16 bytes that stand for a key of a payment in a file."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
