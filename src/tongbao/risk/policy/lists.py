"""Which lists a payment is on: entries checked before they are kept, and a picture in memory that answers at once.

What lists do together: one entry that blocks is a decline, whatever a score, a rule or an entry that allows says; entries
that allow set the score aside, as a rule does; marks do nothing by themselves. An entry of the house applies to every
book, an entry of a book to its own payments; live payments and those of the sandbox have lists of their own.
"""

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.rules import Applied
from tongbao.risk.schema.lists import (
    ACTOR_CHARS_MAX,
    HOUSE_BOOK_ID,
    LIST_NAME,
    LIST_NAME_CHARS_MAX,
    REASON_CHARS_MAX,
    Listed,
    ListEffect,
    ListEntry,
    ListKind,
    NewEntry,
)
from tongbao.risk.schema.signals import KEY_CHARS_MAX, Signals
from tongbao.risk.schema.tiers import Tier

_KINDS: dict[ListKind, Callable[[Signals], str]] = {
    ListKind.CUSTOMER: lambda of: of.customer,
    ListKind.CARD: lambda of: of.card,
    ListKind.DEVICE: lambda of: of.device,
    ListKind.MERCHANT: lambda of: of.merchant,
    ListKind.ADDRESS: lambda of: of.address,
    ListKind.EMAIL_DOMAIN: lambda of: of.email_domain,
    ListKind.BENEFICIARY: lambda of: of.beneficiary,
    ListKind.CARD_COUNTRY: lambda of: of.card_country,
    ListKind.ADDRESS_COUNTRY: lambda of: of.address_country,
    ListKind.MERCHANT_COUNTRY: lambda of: of.merchant_country,
    ListKind.MCC: lambda of: of.mcc,
}
_KEY = re.compile(r"[!-~]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_FORMS: dict[ListKind, tuple[re.Pattern[str], str]] = {
    ListKind.EMAIL_DOMAIN: (re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+"), "a domain in small letters"),
    ListKind.CARD_COUNTRY: (_COUNTRY, "an ISO 3166 code of two capitals"),
    ListKind.ADDRESS_COUNTRY: (_COUNTRY, "an ISO 3166 code of two capitals"),
    ListKind.MERCHANT_COUNTRY: (_COUNTRY, "an ISO 3166 code of two capitals"),
    ListKind.MCC: (re.compile(r"[0-9]{4}"), "four digits"),
}
_ORDER = {ListEffect.BLOCK: 0, ListEffect.ALLOW: 1, ListEffect.MARK: 2}
_Stored = tuple[Listed, datetime | None]


def check_list(name: str, note: str, actor: str) -> None:
    """Raise InvalidRequest ``list_invalid`` for a list that cannot be declared."""
    if len(name) > LIST_NAME_CHARS_MAX or not LIST_NAME.fullmatch(name):
        detail = f"a list is named in at most {LIST_NAME_CHARS_MAX} small letters and digits, words apart by one space"
        raise InvalidRequest("list_invalid", detail, field="name")
    for field, text, chars_max in (("note", note, REASON_CHARS_MAX), ("actor", actor, ACTOR_CHARS_MAX)):
        if not _is_said(text, chars_max):
            raise InvalidRequest(
                "list_invalid", f"{field} has 1 to {chars_max} visible characters", field=field
            )


def check_entry(entry: NewEntry, now: datetime) -> None:
    """Raise InvalidRequest ``list_entry_invalid`` for an entry that cannot be kept; its value is not repeated."""
    form, words = _FORMS.get(entry.kind, (_KEY, "a key of visible ASCII characters"))
    if len(entry.value) > KEY_CHARS_MAX or not form.fullmatch(entry.value):
        raise _invalid("value", f"a {entry.kind} is {words}, of at most {KEY_CHARS_MAX}", entry)
    if "@" in entry.value or _is_card_number(entry.value):
        raise _invalid("value", "lists hold pseudonyms: no card number and no e-mail address", entry)
    check_reason(entry.reason)
    if entry.expires_at is None:
        return
    if entry.expires_at.tzinfo is None:
        raise _invalid("expires_at", "an expiry names its time zone", entry)
    if entry.expires_at <= now:
        raise _invalid("expires_at", "an entry expires after it is added", entry)


def check_reason(reason: str) -> None:
    """Raise InvalidRequest ``list_entry_invalid`` for words that cannot be kept, or for none."""
    if not _is_said(reason, REASON_CHARS_MAX):
        detail = f"a reason has 1 to {REASON_CHARS_MAX} visible characters"
        raise InvalidRequest("list_entry_invalid", detail, field="reason")


def check_actor(actor: str) -> None:
    """Raise InvalidRequest ``list_entry_invalid`` for an act of nobody."""
    if not _is_said(actor, ACTOR_CHARS_MAX):
        detail = f"an actor has 1 to {ACTOR_CHARS_MAX} visible characters"
        raise InvalidRequest("list_entry_invalid", detail, field="actor")


def effect_of(listed: Iterable[Listed]) -> ListEffect | None:
    """Return what the entries do together: block before allow; None where none does anything."""
    effects = {each.effect for each in listed}
    return next((effect for effect in (ListEffect.BLOCK, ListEffect.ALLOW) if effect in effects), None)


def bounds(applied: Applied, effect: ListEffect | None) -> tuple[Tier, Tier]:
    """Return floor and ceiling of a payment's tier by rules and lists together; where they contradict, the floor holds."""
    if effect is ListEffect.BLOCK:
        return Tier.DECLINE, Tier.DECLINE
    return applied.floor, Tier.FRICTIONLESS if effect is ListEffect.ALLOW else applied.ceiling


class Picture:
    """Every entry that stands, ready to be asked; one object a process. Not safe for several threads.

    A question costs one look-up for each kind of value that any list of the mode has, whatever the number of entries.
    """

    def __init__(self) -> None:
        self._by_value: dict[bool, dict[ListKind, dict[str, list[_Stored]]]] = {True: {}, False: {}}
        self._entries: dict[UUID, ListEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: ListEntry, effect: ListEffect) -> None:
        """Take up an entry; one that is known already is passed over."""
        if entry.id in self._entries:
            return
        told = Listed(entry.list_name, effect, entry.kind, entry.id, entry.book_id, entry.reason)
        of_kind = self._by_value[entry.live].setdefault(entry.kind, {})
        stored = of_kind.setdefault(entry.value, [])
        stored.append((told, entry.expires_at))
        stored.sort(key=lambda each: (_ORDER[each[0].effect], each[0].entry_id))
        self._entries[entry.id] = entry

    def remove(self, entry_id: UUID) -> None:
        """Drop an entry; one that is not known is passed over."""
        entry = self._entries.pop(entry_id, None)
        if entry is None:
            return
        kinds = self._by_value[entry.live]
        of_kind = kinds[entry.kind]
        left = [each for each in of_kind[entry.value] if each[0].entry_id != entry_id]
        if left:
            of_kind[entry.value] = left
            return
        del of_kind[entry.value]
        if not of_kind:
            del kinds[entry.kind]

    def forget_expired(self, now: datetime, kept: timedelta) -> None:
        """Drop what expired longer than ``kept`` ago; payments of that age are judged no more."""
        gone = [
            each.id
            for each in self._entries.values()
            if each.expires_at is not None and each.expires_at + kept <= now
        ]
        for entry_id in gone:
            self.remove(entry_id)

    def listed(self, signals: Signals) -> tuple[Listed, ...]:
        """Return why a payment is on lists at its instant: what blocks first, then what allows, then marks."""
        found: list[Listed] = []
        for kind, of_kind in self._by_value[signals.live].items():
            stored = of_kind.get(_KINDS[kind](signals))
            if stored is not None:
                found += [
                    told
                    for told, expires_at in stored
                    if told.book_id in (HOUSE_BOOK_ID, signals.book_id)
                    and (expires_at is None or signals.at < expires_at)
                ]
        if len(found) > 1:
            found.sort(key=lambda told: (_ORDER[told.effect], told.entry_id))
        return tuple(found)


def _invalid(field: str, detail: str, entry: NewEntry) -> InvalidRequest:
    return InvalidRequest("list_entry_invalid", detail, field=field, kind=entry.kind.value)


def _is_said(text: str, chars_max: int) -> bool:
    return len(text.strip()) > 0 and len(text) <= chars_max and text.isprintable()


def _is_card_number(value: str) -> bool:
    """Return whether a value has the form of a card number: 12 to 19 digits whose Luhn sum (ISO/IEC 7812) is right."""
    digits = value.replace("-", "")
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 * (number > 9) for number in doubled) % 10 == 0
