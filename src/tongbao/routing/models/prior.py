"""The context prior: what a payment's context adds to the log-odds of an issuer's yes over each channel.

A table ``channel -> feature -> weight`` that is fitted off-line (``models.prior_fit``) and served by adding up a few
weights. Features: brand, funding, region (``domestic``, ``foreign``), currency, amount (digits of its whole major units,
``0`` to ``6``), hour (``night`` from 0 UTC, ``morning`` from 6, ``afternoon`` from 12, ``evening`` from 18), mcc,
recurring (``true``, ``false``), a few pairs of these (``funding=debit&hour=night``), and ``always``, which every payment
has. What is not known of a payment, and what the table does not name, counts 0. Output: log-odds, positive for more
approvals, within ``OFFSET_MAX``. Not calibrated by itself: it shifts a belief that is. No chance is used. Cost: below
10 us for eight channels. Baseline to beat: no context, that is, zeros.

>>> from uuid import UUID
>>> payment = Payment(book_id=1, live=True, subject_id=UUID(int=1), amount_minor=990, currency="USD", method="card",
...                   funding="debit")
>>> offsets(Prior({"a": {"funding=debit": -0.5}}), payment, ("a", "b")).tolist()
[[-0.5, 0.0]]
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tongbao.core.currencies import CURRENCIES
from tongbao.core.errors import InvalidRequest
from tongbao.routing.schema.payments import UNKNOWN, Payment

Floats = NDArray[np.float64]
Key = tuple[str, ...]
"""Name and value of a feature; of a pair, those of both."""

OFFSET_MAX = 3.0
"""Context never overrules a belief by more: 3 turns 88 % into 27 % or 99.3 %."""
DIGITS_MAX = 6
ORDERS_MAX = 256
ALWAYS: Key = ("always",)
NAMES = ("brand", "funding", "region", "currency", "amount", "hour", "mcc", "recurring")
PAIRS = (
    ("brand", "region"),
    ("funding", "region"),
    ("funding", "hour"),
    ("funding", "amount"),
    ("region", "hour"),
)
HOURS = ("night", "morning", "afternoon", "evening")
_EXPONENTS = {row.code: row.exponent for row in CURRENCIES}


class Prior:
    """A table of weights, made ready by the order of channels in which it is asked."""

    def __init__(self, table: Mapping[str, Mapping[str, float]]) -> None:
        self.table = {channel: dict(weights) for channel, weights in table.items()}
        self._by_order: dict[tuple[str, ...], dict[Key, tuple[float, ...]]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self.table == other.table

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.table)))

    def __bool__(self) -> bool:
        return any(self.table.values())

    def weights(self, channels: tuple[str, ...]) -> Mapping[Key, tuple[float, ...]]:
        """Return the weights of every feature over ``channels``; remembered, for orders are few."""
        found = self._by_order.get(channels)
        if found is None:
            if len(self._by_order) >= ORDERS_MAX:
                self._by_order.clear()
            named = {feature for channel in channels for feature in self.table.get(channel, {})}
            found = self._by_order[channels] = {
                _key(feature): tuple(self.table.get(channel, {}).get(feature, 0.0) for channel in channels)
                for feature in sorted(named)
            }
        return found


EMPTY = Prior({})
"""What policies without a prior have."""


def offsets(prior: Prior, payment: Payment, channels: Sequence[str]) -> Floats:
    """Return what the context adds to the log-odds of each channel, (1, k), within ``OFFSET_MAX``; changes nothing."""
    if not prior.table:
        return np.zeros((1, len(channels)))
    find = prior.weights(tuple(channels)).get
    rows = [row for key in keys_of(payment) if (row := find(key)) is not None]
    if not rows:
        return np.zeros((1, len(channels)))
    total = [sum(column) for column in zip(*rows, strict=True)]
    if max(total) > OFFSET_MAX or min(total) < -OFFSET_MAX:
        total = [max(-OFFSET_MAX, min(each, OFFSET_MAX)) for each in total]
    return np.array([total])


def keys_of(payment: Payment) -> list[Key]:
    """Return the features of a payment; those that are not known of it are left out."""
    region, amount = _region(payment), _amount(payment)
    hour = HOURS[payment.hour % 24 // 6]
    brand, funding = payment.brand, payment.funding
    keys: list[Key] = [ALWAYS, ("hour", hour), ("recurring", "true" if payment.is_recurring else "false")]
    keys += [("currency", payment.currency), ("amount", amount)] if amount else []
    if payment.mcc:
        keys.append(("mcc", payment.mcc))
    if brand:
        keys.append(("brand", brand))
    if region:
        keys += [("region", region), ("region", region, "hour", hour)]
        if brand:
            keys.append(("brand", brand, "region", region))
    if funding:
        keys += [("funding", funding), ("funding", funding, "hour", hour)]
        if region:
            keys.append(("funding", funding, "region", region))
        if amount:
            keys.append(("funding", funding, "amount", amount))
    return keys


def feature_of(key: Key) -> str:
    """Return a feature as a table names it: ``always``, ``brand=visa``, ``funding=debit&hour=night``."""
    if key == ALWAYS:
        return ALWAYS[0]
    return "&".join(f"{name}={value}" for name, value in zip(key[::2], key[1::2], strict=True))


def check(table: Mapping[str, Mapping[str, float]]) -> None:
    """Raise InvalidRequest ``prior_invalid`` (facts ``channel``, ``feature``) for a feature that no payment has."""
    for channel, weights in table.items():
        for feature in weights:
            key = _key(feature)
            named = key[::2]
            known = key == ALWAYS or (len(named) == 1 and named[0] in NAMES) or named in PAIRS
            if not known or (key != ALWAYS and not all(key[1::2])) or feature_of(key) != feature:
                raise InvalidRequest(
                    "prior_invalid",
                    f"{feature!r} is no feature: name one of {', '.join(NAMES)} as name=value",
                    channel=channel,
                    feature=feature,
                )


def _key(feature: str) -> Key:
    """Return the key of a feature's name."""
    if feature == ALWAYS[0]:
        return ALWAYS
    return tuple(part for pair in feature.split("&") for part in pair.partition("=")[::2])


def _region(payment: Payment) -> str:
    if UNKNOWN in (payment.card_country, payment.merchant_country):
        return UNKNOWN
    return "domestic" if payment.card_country == payment.merchant_country else "foreign"


def _amount(payment: Payment) -> str:
    """Return the number of digits of the whole major units; empty for a currency that is none."""
    exponent = _EXPONENTS.get(payment.currency)
    if exponent is None:
        return UNKNOWN
    major = payment.amount_minor // 10**exponent
    return str(min(len(str(major)), DIGITS_MAX)) if major > 0 else "0"
