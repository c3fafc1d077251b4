"""Fields of forms read with the server's truth: what was entered stays, what is wrong is said beside its field.

    form = Form(await pages.form(request), kit)
    name = form.text("name", most=80)
    fee = form.amount("fee", "CNY", least=0)
    if form.errors: return render(…, {"form": form})     # k.field('name', …, value=form['name'], error=form.error('name'))

A reading never raises for what a person typed; it gives an empty value and keeps the error.
"""

import re
from collections.abc import Collection, Mapping
from datetime import date
from functools import lru_cache

from markupsafe import Markup

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money, parse_money
from tongbao.web.ui import money
from tongbao.web.ui.kit import Kit

TEXT_MAX = 500
EMAIL_MAX = 254
WHOLE_DIGITS_MAX = 18
_EMAIL = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)+")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Form:
    """One form as it was sent. ``form['name']`` is what was entered, as long as it is no secret."""

    def __init__(self, fields: Mapping[str, str], kit: Kit) -> None:
        self._fields = fields
        self._kit = kit
        self._secret: set[str] = set()
        self.errors: dict[str, Markup] = {}

    def __getitem__(self, name: str) -> str:
        return "" if name in self._secret else self._fields.get(name, "")

    def error(self, name: str) -> Markup | str:
        """Return what is wrong with a field, in words; empty where nothing is."""
        return self.errors.get(name, "")

    def wrong(self, name: str, words: Markup) -> None:
        """Keep an error that only a service could see; the first one of a field stays."""
        self.errors.setdefault(name, words)

    def text(self, name: str, most: int = TEXT_MAX, least: int = 0, required: bool = True) -> str:
        """Return text without what cannot be seen, of ``least`` to ``most`` characters."""
        found = _UNSEEN.sub("", self._fields.get(name, "")).strip()
        if not found:
            return self._nothing(name, required)
        if len(found) > most:
            return self._refuse(name, "e_too_long", most=most)
        if len(found) < least:
            return self._refuse(name, "e_too_short", least=least)
        return found

    def secret(self, name: str, most: int = TEXT_MAX) -> str:
        """Return what must never be shown again, untrimmed."""
        self._secret.add(name)
        found = self._fields.get(name, "")
        if not found:
            return self._nothing(name, required=True)
        return self._refuse(name, "e_too_long", most=most) if len(found) > most else found

    def email(self, name: str, required: bool = True) -> str:
        """Return an address of e-mail, as far as its form can tell."""
        found = self.text(name, EMAIL_MAX, required=required)
        return self._refuse(name, "e_email") if found and not _EMAIL.fullmatch(found) else found

    def choice(self, name: str, known: Collection[str], required: bool = True) -> str:
        """Return one of ``known``."""
        found = self._fields.get(name, "")
        if not found:
            return self._nothing(name, required)
        return found if found in known else self._refuse(name, "e_choice")

    def checked(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return bool(self._fields.get(name))

    def whole(self, name: str, least: int = 0, most: int = 10**9, required: bool = True) -> int | None:
        """Return a whole number from ``least`` to ``most``; None where it is missing or wrong."""
        found = self._fields.get(name, "").strip()
        if not found:
            self._nothing(name, required)
            return None
        if not re.fullmatch(r"-?[0-9]+", found) or len(found) > WHOLE_DIGITS_MAX:
            self._refuse(name, "e_whole")
            return None
        return self._within(name, int(found), least, most)

    def amount(
        self, name: str, currency: str, least: int = 1, most: int = 10**15, required: bool = True
    ) -> int | None:
        """Return an amount in minor units, read as the language writes it; ``least`` and ``most`` in minor units."""
        found = self._fields.get(name, "").strip()
        if not found:
            self._nothing(name, required)
            return None
        try:
            minor = parse_money(found, currency, money.LOCALES[self._kit.language]).amount_minor
        except InvalidRequest as error:
            if error.code == "amount_too_precise":
                places = currencies.currency(currency).exponent
                self.wrong(name, self._kit.plural("e_precise", places, currency=currency, places=places))
            else:
                self._refuse(name, "e_amount", example=money.plain_amount(123456, currency))
            return None
        shown = (self._kit.money(least, currency), self._kit.money(most, currency))
        return self._within(name, minor, least, most, shown)

    def money(self, name: str, currency: str, least: int = 1) -> Money | None:
        """Return the same as ``Money``."""
        minor = self.amount(name, currency, least)
        return None if minor is None else Money(minor, currency)

    def day(self, name: str, required: bool = True) -> date | None:
        """Return a day of ISO 8601, as date fields send it."""
        found = self._fields.get(name, "").strip()
        if not found:
            self._nothing(name, required)
            return None
        day = _day(found)
        if day is None:
            self._refuse(name, "e_day", example="2026-11-30")
        return day

    def days(self, first: str = "from", last: str = "to", required: bool = True) -> tuple[date, date] | None:
        """Return a range of days, both ends included; the error of an end before its beginning stands at ``first``."""
        start, end = self.day(first, required), self.day(last, required)
        if start is None or end is None:
            return None
        if end < start:
            self._refuse(first, "e_range")
            return None
        return start, end

    def _within(
        self, name: str, number: int, least: int, most: int, shown: tuple[str, str] | None = None
    ) -> int | None:
        words = shown or (str(least), str(most))
        if number < least:
            self._refuse(name, "e_least", least=words[0])
        elif number > most:
            self._refuse(name, "e_most", most=words[1])
        else:
            return number
        return None

    def _nothing(self, name: str, required: bool) -> str:
        return self._refuse(name, "e_required") if required else ""

    def _refuse(self, name: str, key: str, **values: object) -> str:
        self.wrong(name, self._kit.t(key, **values))
        return ""


@lru_cache(maxsize=64)
def _day(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
