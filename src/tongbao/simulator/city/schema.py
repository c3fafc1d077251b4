"""The nouns of the city: people, shops, issuers, visits and what comes after them. Money is integer minor units."""

from datetime import date, datetime, timedelta
from enum import StrEnum

import msgspec

PAYERS_MAX = 100_000
SHOPS_MAX = 500
DAYS_MAX = 400


class Mood(StrEnum):
    """How a payer is, for a day."""

    CALM = "calm"
    BUSY = "busy"
    CHEERFUL = "cheerful"
    THRIFTY = "thrifty"


class Means(StrEnum):
    """What a visit is paid with."""

    CARD = "card"
    ALIPAY = "alipay"
    WECHAT_PAY = "wechat_pay"


class ShopKind(StrEnum):
    """Kinds of merchants, each with its hours, tickets and refunds."""

    TEA_HOUSE = "tea_house"
    NOODLES = "noodles"
    COFFEE = "coffee"
    BOOKSHOP = "bookshop"
    GROCERY = "grocery"
    PHARMACY = "pharmacy"
    CLOTHES = "clothes"
    ELECTRONICS = "electronics"
    CINEMA = "cinema"
    BIKES = "bikes"
    FLOWERS = "flowers"
    HOTEL = "hotel"
    GAMES = "games"
    UTILITIES = "utilities"


class School(StrEnum):
    """Schools of fraud."""

    STOLEN_CARD = "stolen_card"
    TAKEOVER = "takeover"
    CARD_TESTING = "card_testing"
    COLLUSION = "collusion"
    REFUND_ABUSE = "refund_abuse"


class Sky(StrEnum):
    """The weather of a day."""

    CLEAR = "clear"
    CLOUDY = "cloudy"
    RAIN = "rain"
    HEAT = "heat"
    SNOW = "snow"


class CityTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes one city: equal terms make equal cities.

    ``began_on`` is the first day, local to ``zone``. ``visits_per_day`` is what an ordinary day comes to.
    """

    seed: int
    began_on: date
    days: int
    payers: int = 600
    shops: int = 16
    visits_per_day: int = 400
    fraud_share: float = 0.008
    zone: str = "Asia/Shanghai"


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card of a payer's or a thief's; ``number`` passes Luhn and is of the sandbox's test ranges."""

    number: str
    exp_month: int
    exp_year: int
    issuer: str


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who lives in the city. ``salary_minor`` arrives on ``payday``; ``home`` is a district, 0 to 11."""

    number: int
    name: str
    email: str
    phone: str
    device: str
    address: str
    locale: str
    age: int
    home: int
    salary_minor: int
    payday: int
    cards: tuple[Card, ...]
    means: dict[Means, float]
    tastes: dict[ShopKind, float]


class Shop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merchant. ``hours``: open and closing minute of the local day by weekday (0 is Monday); None is closed.

    Tickets are log-normal around ``ticket_minor``; ``country`` and ``currency`` say where it is at home.
    """

    number: int
    name: str
    display_name: str
    kind: ShopKind
    district: int
    mcc: str
    country: str
    currency: str
    hours: tuple[tuple[int, int] | None, ...]
    ticket_minor: int
    spread: float
    refund_share: float
    dispute_share: float
    goods: tuple[str, ...]


class Day(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One day of the calendar: ``is_off`` where offices are closed, ``holiday`` by its name, the weather.

    ``festival`` is what shops celebrate, on a working day as well.
    """

    on: date
    is_off: bool
    holiday: str | None
    sky: Sky
    celsius: int
    festival: str | None = None


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wish to pay. ``number`` grows through the whole plan; ``payer`` is None where a thief has no name.

    ``attempt_means`` are tried in this order until one is approved; ``is_manual`` captures later, ``capture_share``
    of it (1.0: all). ``school`` is None for the honest. What comes after a payment that succeeded: ``refund_after``
    with ``refund_share``, ``dispute_after``, ``label_after`` (when an issuer reports fraud).
    """

    number: int
    at: datetime
    shop: int
    payer: int | None
    amount_minor: int
    currency: str
    item: str
    attempt_means: tuple[Means, ...]
    card: Card | None
    device: str
    address: str
    email: str
    passes_step_up: bool = True
    is_manual: bool = False
    capture_share: float = 1.0
    school: School | None = None
    refund_after: timedelta | None = None
    refund_share: float = 1.0
    dispute_after: timedelta | None = None
    label_after: timedelta | None = None


class Trouble(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A spell of bad health of an acquirer (``channel``) or of one issuer's cards over it."""

    channel: str
    issuer: str | None
    begins_at: datetime
    ends_at: datetime
    kind: str


class Outcome(StrEnum):
    """How a visit ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    BLOCKED = "blocked"
    HELD = "held"
    ABANDONED = "abandoned"
    UNRESOLVED = "unresolved"
    REFUSED = "refused"


class Visited(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a visit, as the API told it. ``payment`` is the intent's reference."""

    number: int
    outcome: Outcome
    payment: str | None = None
    means: Means | None = None
    tries: int = 0
    was_stepped_up: bool = False
    error_code: str | None = None
    captured_minor: int = 0
    refunded_minor: int = 0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a city came to: equal for equal terms. Shares are 0 to 1; None where nothing could be counted.

    ``breaks`` are differences of reconciliation; ``in_transit`` is what is still to be reported when the city ends, in time.
    """

    visits: int
    payments: int
    approved: int
    approval_share: float | None
    taken_minor: dict[str, int]
    refunded_minor: dict[str, int]
    disputes: int
    fraud_visits: int
    fraud_share: float | None
    fraud_stopped_share: float | None
    by_school: dict[School, tuple[int, int]]
    step_ups: int
    false_step_up_share: float | None
    false_block_share: float | None
    settled_minor: dict[str, int]
    batches: int
    breaks: int
    unresolved: int
    in_transit: int = 0
