"""What differs between two price lists, in words, a sentence a change, for whoever publishes one.

A charge is known by its name, what it is for and its dates: the same under other terms is changed, anything else is
removed and added. The order of charges of one name matters, since the first that matches counts, and is told.
"""

from collections.abc import Iterable

from tongbao.clearing.policy.price_texts import charge_text, place_text, term_name, terms_of
from tongbao.clearing.schema.fees import Charge, ScheduleSpec

_ADDED = ("Added: {text}.", "新增：{text}。")
_REMOVED = ("Removed: {text}.", "删除：{text}。")
_CHANGED = ("Changed: {place}: {terms}.", "修改：{place}：{terms}。")
_TERM = ("{name} from {before} to {after}", "{name}由“{before}”改为“{after}”")
_ORDER = (
    "The order of {name} differs: of its charges the first that matches counts.",
    "{name} 的先后次序不同：同名收费项按先匹配者计。",
)
_SAME = ("Nothing differs.", "没有变化。")
_NONE = ("none", "无")


def diff(old: ScheduleSpec, new: ScheduleSpec, language: str) -> tuple[str, ...]:
    """Return what leads from ``old`` to ``new``, in Chinese where ``language`` begins with zh, else in English."""
    at = int(language.startswith("zh"))
    before = {_identity(charge): charge for charge in old.charges}
    after = {_identity(charge): charge for charge in new.charges}
    said = [
        _ADDED[at].format(text=charge_text(charge, language))
        for key, charge in after.items()
        if key not in before
    ]
    said += [
        _REMOVED[at].format(text=charge_text(charge, language))
        for key, charge in before.items()
        if key not in after
    ]
    for key, charge in after.items():
        if key in before and (terms := _changes(before[key], charge, language)):
            text = ("; ", "；")[at].join(terms)
            said.append(_CHANGED[at].format(place=place_text(charge, language), terms=text))
    said += [_ORDER[at].format(name=name) for name in _reordered(before, after)]
    return tuple(said) or (_SAME[at],)


_Identity = tuple[object, ...]


def _identity(charge: Charge) -> _Identity:
    return charge.name, charge.match, charge.from_on, charge.until_on


def _changes(before: Charge, after: Charge, language: str) -> list[str]:
    at = int(language.startswith("zh"))
    old, new = terms_of(before, language), terms_of(after, language)
    return [
        _TERM[at].format(
            name=term_name(name, language), before=old[name] or _NONE[at], after=new[name] or _NONE[at]
        )
        for name in old
        if old[name] != new[name]
    ]


def _reordered(before: Iterable[_Identity], after: Iterable[_Identity]) -> list[object]:
    """Return the names whose common charges stand in another order."""
    old, new = list(before), list(after)
    common = set(old) & set(new)
    names = dict.fromkeys(key[0] for key in new)
    return [
        name
        for name in names
        if [key for key in old if key in common and key[0] == name]
        != [key for key in new if key in common and key[0] == name]
    ]
