"""The time zones that a merchant or a store may lie in."""

import zoneinfo
from functools import cache

from tongbao.parties.errors import BadField


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def check_timezone(name: str) -> None:
    """Raise BadField for a name that the machine's time zone database (IANA) does not hold."""
    if name not in _zones():
        raise BadField("timezone", "a time zone is a name of the IANA database such as Asia/Shanghai")
