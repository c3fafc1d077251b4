"""What pages of the ops console read of their address, and how they write shares."""

from collections.abc import Mapping

from fastapi import Request

from tongbao.core.errors import InvalidRequest

QUERY_CHARS_MAX = 200


def query(request: Request, name: str) -> str:
    """Return a parameter of the address, cut to a sane length and without what no text column can hold."""
    return request.query_params.get(name, "")[:QUERY_CHARS_MAX].replace("\0", "").strip()


def choice(request: Request, name: str, known: Mapping[str, object], otherwise: str) -> str:
    """Return a parameter that is one of ``known``, or the usual one; raise InvalidRequest ``choice_unknown``."""
    asked = query(request, name)
    if asked and asked not in known:
        raise InvalidRequest("choice_unknown", f"{name} is none of {', '.join(known)}")
    return asked or otherwise


def percent(share: float, places: int = 1) -> str:
    """Return a share in percent."""
    return f"{share * 100:.{places}f}%".replace("-", "−")


def spread(low: float, high: float) -> str:
    """Return an interval of shares in percent, as short as can be."""
    return f"{low * 100:.1f}–{high * 100:.1f}%"
