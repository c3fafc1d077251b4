"""Which column of a history means what: by an option, by the names that retailers' files use, or not at all. Pure."""

from collections.abc import Mapping, Sequence

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.histories.schema import REQUIRED, Field

COLUMNS_MAX = 200
DISCOUNT_COLUMNS_MAX = 8
KNOWN: Mapping[Field, tuple[str, ...]] = {
    Field.CUSTOMER: ("customer_id", "household_id", "household_key", "customer", "household", "member_id"),
    Field.ORDER: ("order_id", "basket_id", "transaction_id", "invoice_no", "order", "basket", "receipt_id"),
    Field.STORE: ("store_id", "store", "shop_id", "shop", "branch_id"),
    Field.PRODUCT: ("product_id", "product", "sku", "article_id", "item_id", "stock_code"),
    Field.QUANTITY: ("quantity", "qty", "units"),
    Field.AMOUNT: ("amount", "sales_value", "line_total", "paid"),
    Field.DISCOUNT: ("coupon_disc",),
    Field.AT: ("transaction_timestamp", "timestamp", "occurred_at", "purchased_at", "datetime", "at"),
}
"""Names that are understood without being told, first ones first. Of discounts only a manufacturer's coupon is: what a shop
takes off by itself is off the amount already in every file known here."""


def told(text: str) -> dict[Field, tuple[str, ...]]:
    """Return the mapping that an option names, ``field=column`` with commas between; a discount may be ``a+b``.

    An empty column (``discount=``) says that there is none. Raises InvalidRequest ``history_columns_invalid``.
    """
    found: dict[Field, tuple[str, ...]] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, columns = (each.strip() for each in part.partition("="))
        if not equals or name not in set(Field):
            fields = ", ".join(Field)
            raise _invalid(f"{part[:60]!r} is no field=column; the fields are {fields}")
        field = Field(name)
        if field in found:
            raise _invalid(f"{name} is given twice")
        found[field] = tuple(each.strip() for each in columns.split("+") if each.strip())
        most = DISCOUNT_COLUMNS_MAX if field is Field.DISCOUNT else 1
        if len(found[field]) > most or (not found[field] and field in REQUIRED):
            raise _invalid(f"{name} takes {'one column' if most == 1 else f'up to {most} columns'}")
    return found


def mapped(header: Sequence[str], given: Mapping[Field, tuple[str, ...]]) -> dict[Field, tuple[str, ...]]:
    """Return which columns of a file are what, ``given`` first; names are compared without case.

    Raises InvalidRequest ``history_columns_invalid`` for a column that is not there or there twice, and
    ``history_columns_missing``, which names the fields that nothing stands for.
    """
    if len(header) > COLUMNS_MAX:
        raise _invalid(f"a history has at most {COLUMNS_MAX} columns")
    by_name = {name.strip().lower(): name for name in header}
    if len(by_name) < len(header):
        raise _invalid("the file names a column twice")
    found: dict[Field, tuple[str, ...]] = {}
    for field in Field:
        wanted = given.get(field)
        if wanted is None:
            wanted = next(((name,) for name in KNOWN[field] if name in by_name), ())
        elif absent := [name for name in wanted if name.lower() not in by_name]:
            raise _invalid(f"the file has no column {absent[0][:60]!r}; it has {_listed(header)}")
        if wanted:
            found[field] = tuple(by_name[name.lower()] for name in wanted)
    if missing := [field for field in REQUIRED if field not in found]:
        raise InvalidRequest(
            "history_columns_missing",
            f"no column is known as {', '.join(missing)}; the file has {_listed(header)}: say which with --columns",
        )
    return found


def is_recognized(header: Sequence[str]) -> bool:
    """Return whether every required field is understood without being told."""
    names = {name.strip().lower() for name in header}
    return all(names & set(KNOWN[field]) for field in REQUIRED)


def _listed(header: Sequence[str]) -> str:
    return ", ".join(header)[:200]


def _invalid(detail: str) -> InvalidRequest:
    return InvalidRequest("history_columns_invalid", detail)
