"""The shops of a city as merchants of a house: opened once under ids of their own, each with a secret test key."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tongbao.core.db import Connection
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import (
    KeyDraft,
    KeyKind,
    MerchantDraft,
    MerchantId,
    OperatorPermission,
    Package,
    Permission,
    Scope,
)
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.simulator.city.schema import Shop

JOB = "city"
FIRST_ID = 3_001
"""Merchants of the city have odd ids from here on, their test books the even ones after them."""
ZONES = {"CN": "Asia/Shanghai", "JP": "Asia/Tokyo", "US": "America/New_York"}
_DISPLAY_CHARS_MAX = 22


class Open(NamedTuple):
    """A shop as a merchant of the house: its test book, its secret key, and the name that its account is held in."""

    book_id: int
    key: str
    holder: str


Opened = Mapping[int, Open]
"""The shops of a city in a house, by number."""


async def open_shops(
    parties: Parties, shops: Sequence[Shop], path: Path, known: Opened | None = None
) -> Opened:
    """Open the shops that are not open yet; ``path`` keeps their keys (mode 600).

    ``known``: shops that are merchants of the house already. Opens one transaction a shop.
    Raises InvalidRequest ``city_keys_lost`` where a shop is open and its key is not kept.
    """
    known = known or {}
    kept = _read(path)
    for shop in shops:
        if shop.number in known:
            continue
        async with parties.database.transaction() as connection:
            key = await _open(connection, parties, shop)
        if key is not None:
            kept[str(shop.number)] = key
            write_secret(path, msgspec.json.encode(kept))
    own = [shop for shop in shops if shop.number not in known]
    missing = [shop.name for shop in own if str(shop.number) not in kept]
    if missing:
        raise InvalidRequest("city_keys_lost", f"{path} has no key of {', '.join(missing)[:80]}: begin anew")
    opened = {
        shop.number: Open(FIRST_ID + 2 * shop.number + 1, kept[str(shop.number)], shop.name) for shop in own
    }
    return {**known, **opened}


def keys_of(opened: Opened) -> dict[int, str]:
    """Return the secret keys of shops by number."""
    return {number: each.key for number, each in opened.items()}


def write_secret(path: Path, content: bytes) -> None:
    """Put a file that its owner alone can read in the place of the old one, whole or not at all."""
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise InvalidRequest("city_keys_lost", f"{path} holds no keys: {error}") from None


async def _open(connection: Connection, parties: Parties, shop: Shop) -> str | None:
    """Return the key of a shop that was opened now; None for one that is open already."""
    operator = operator_of_job(JOB, frozenset({OperatorPermission.MERCHANTS_WRITE}))
    draft = MerchantDraft(
        name=shop.name,
        display_name=shop.display_name[:_DISPLAY_CHARS_MAX],
        country=shop.country,
        default_currency=shop.currency,
        mcc=shop.mcc,
        package=Package.ENTERPRISE,
        timezone=ZONES.get(shop.country, "UTC"),
    )
    merchant_id = MerchantId(FIRST_ID + 2 * shop.number)
    merchant = await parties.merchants.create_once(connection, operator, draft, merchant_id, merchant_id + 1)
    if merchant is None:
        return None
    scope = Scope(
        merchant_id=merchant.merchant_id,
        book_id=merchant.test_book_id,
        live=False,
        actor=f"job:{JOB}",
        permissions=frozenset(permission.value for permission in Permission),
    )
    issued = await parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET, label="City"))
    return issued.text.get_secret_value()
