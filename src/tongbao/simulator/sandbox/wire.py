"""Small pieces of the Chinese wire formats: amounts in yuan, instants in Beijing time, JSON as they print it."""

import json
import re
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))
YUAN_TEXT = re.compile(r"(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,2}))?")
_SHORT_SPAN = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_SPAN_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def fen(text: object) -> int | None:
    """Return an amount like ``19.9`` (or the number) in fen, or None for anything else and for amounts of 0."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    match = YUAN_TEXT.fullmatch(str(text))
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) or None


def yuan(amount_minor: int) -> str:
    """Return fen as Alipay writes them, always with two decimals."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def beijing(at: datetime) -> str:
    """Return an instant as Alipay writes it: Beijing time, no zone."""
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def rfc3339(at: datetime) -> str:
    """Return an instant as WeChat Pay writes it: seconds and ``+08:00``."""
    return at.astimezone(BEIJING).isoformat(timespec="seconds")


def instant(text: object) -> datetime | None:
    """Return the instant of either form, or None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=BEIJING)


def span(text: object) -> timedelta | None:
    """Return a span like ``90m``, ``2h`` or ``1d``, or None for anything else."""
    match = _SHORT_SPAN.fullmatch(text) if isinstance(text, str) else None
    return timedelta(**{_SPAN_UNITS[match[2]]: int(match[1])}) if match else None


def compact(value: object, *, slashes_escaped: bool = False) -> str:
    r"""Return JSON without spaces, Chinese as it is. Alipay escapes slashes (``\/``), which JSON allows."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("/", "\\/") if slashes_escaped else text
