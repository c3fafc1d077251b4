"""Agreements: which can be kept, and which one holds for a book, a currency and an instant.

Of the versions that are effective at an instant the one with the highest number holds, so the latest word counts. Where a
merchant agreed on nothing the house's own holds (book 0), and where the house said nothing either, ``house_default``.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from tongbao.clearing.policy.calendars import CALENDARS, Known, of_codes
from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.schema.agreements import Agreement, AgreementVersion, Cycle
from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest

HOUSE_BOOK = 0
BUILT_IN = "tongbao"
"""Who made the agreement that holds where nobody agreed on anything; its version is 0."""
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def check(agreement: Agreement) -> None:
    """Raise InvalidRequest where an agreement cannot be kept.

    In this order: ``zone_unknown``, ``calendar_unknown``, ``calendar_twice``, ``cuts_not_ascending``,
    ``cycle_days_invalid`` (days without effect), ``cycle_without_calendar``, ``cycle_needs_limit`` (what is paid at
    once needs a limit above which people look), ``reserve_incomplete``.
    """
    zone_of(agreement.zone)
    of_codes(agreement.calendars)
    rules = (
        (
            len(set(agreement.calendars)) == len(agreement.calendars),
            "calendar_twice",
            "a calendar is named once",
        ),
        (
            list(agreement.cuts) == sorted(set(agreement.cuts))
            and all(cut.tzinfo is None for cut in agreement.cuts),
            "cuts_not_ascending",
            "cuts are local times of day without a zone of their own, ascending, each once",
        ),
        (
            agreement.cycle is not Cycle.REAL_TIME or agreement.days == 0,
            "cycle_days_invalid",
            "real time pays at once: its days are 0",
        ),
        (
            agreement.cycle is not Cycle.T or bool(agreement.calendars),
            "cycle_without_calendar",
            "a cycle of working days names the calendars that it counts by",
        ),
        (
            agreement.cycle is not Cycle.REAL_TIME or agreement.approval_above_minor is not None,
            "cycle_needs_limit",
            "real time needs approval_above_minor: a limit above which two people look",
        ),
        (
            (agreement.reserve_e6 > 0) == (agreement.reserve_days > 0),
            "reserve_incomplete",
            "a reserve has a share and a number of days",
        ),
    )
    for holds, code, detail in rules:
        if not holds:
            raise InvalidRequest(code, detail)


def house_default(currency: str) -> Agreement:
    """Return what holds where neither merchant nor house agreed on anything: T1 by the currency's own calendar.

    Raises InvalidRequest ``currency_unknown``.
    """
    currencies.currency(currency)
    match currency:
        case "EUR":
            return Agreement(zone="Europe/Berlin", calendars=("TARGET",))
        case "USD":
            return Agreement(zone="America/New_York", calendars=("US",))
        case _:
            return Agreement()


class Terms:
    """The agreements of some books and of the house, to find in memory which one holds; and the calendars ``known`` then."""

    def __init__(self, versions: Iterable[AgreementVersion], known: Known = CALENDARS) -> None:
        self.known = known
        self._versions: dict[tuple[int, str], list[AgreementVersion]] = {}
        for each in sorted(versions, key=lambda version: -version.version):
            self._versions.setdefault((each.book_id, each.currency), []).append(each)

    def at(self, book_id: int, currency: str, instant: datetime) -> AgreementVersion:
        """Return what holds for a book; raise InvalidRequest ``currency_unknown`` where nobody agreed on such a currency."""
        for owner in (book_id, HOUSE_BOOK):
            for version in self._versions.get((owner, currency), ()):
                if version.effective_at <= instant:
                    return version
        return AgreementVersion(
            book_id=HOUSE_BOOK,
            currency=currency,
            version=0,
            effective_at=_ALWAYS,
            agreement=house_default(currency),
            made_by=BUILT_IN,
            made_at=_ALWAYS,
        )
