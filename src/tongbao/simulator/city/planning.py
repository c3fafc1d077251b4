"""The plan of a city: every visit of every day, a pure function of the terms.

A day is made by itself, from chance that belongs to its date: the thirtieth day needs none of the days before it, and a
city of the same seed that begins later goes on with the same days. Visits are numbered by date (``NUMBERS_PER_DAY`` for
each), so a number names one visit in all plans of a seed and grows with time.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from tongbao.simulator.city.chances import day_number
from tongbao.simulator.city.days import calendar
from tongbao.simulator.city.schema import CityTerms, Day, Payer, Shop, Trouble, Visit
from tongbao.simulator.city.schools import stolen_visits
from tongbao.simulator.city.town import build
from tongbao.simulator.city.troubles import troubles
from tongbao.simulator.city.visiting import honest_visits

NUMBERS_PER_DAY = 1_000_000

Visits = Iterable[Visit]
"""Visits by (``at``, ``number``), wherever they come from: planned, read from a script or from a till's journal."""


class Acts(Protocol):
    """What can be acted out: shops, bad hours, and days with their visits."""

    @property
    def shops(self) -> tuple[Shop, ...]:
        """The shops, by number."""
        ...

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Bad hours of channels and issuers."""
        ...

    def days(self) -> Iterable[tuple[Day, Visits]]:
        """Return the days in order, each with its visits."""
        ...


class Plan:
    """A city's people, shops, calendar and bad hours, and its visits day by day."""

    def __init__(self, terms: CityTerms) -> None:
        self._town = build(terms)
        self.terms = terms
        self.people: tuple[Payer, ...] = tuple(self._town.people)
        self.shops: tuple[Shop, ...] = tuple(self._town.shops)
        self.calendar: tuple[Day, ...] = calendar(terms)
        self.troubles: tuple[Trouble, ...] = troubles(terms)

    def days(self) -> Iterator[tuple[Day, tuple[Visit, ...]]]:
        """Yield each day with its visits, by (``at``, ``number``); a day is made when it is asked for."""
        for day in self.calendar:
            yield day, self.visits_on(day)

    def visits_on(self, day: Day) -> tuple[Visit, ...]:
        """Return the visits of one day by (``at``, ``number``), without the days before it."""
        found = honest_visits(self._town, day) + stolen_visits(self._town, day)
        # Sorting is stable: of visits in one millisecond the one that was made first goes first.
        found.sort(key=lambda visit: visit.at)
        first = day_number(day.on) * NUMBERS_PER_DAY
        return tuple(
            msgspec.structs.replace(visit, number=first + each)
            for each, visit in enumerate(found[:NUMBERS_PER_DAY])
        )


def plan(terms: CityTerms) -> Plan:
    """Return the plan of a city; raise InvalidRequest ``city_terms_invalid`` naming the ``field``."""
    return Plan(terms)
