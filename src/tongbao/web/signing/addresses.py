"""Where a browser is sent after signing in: an address of this house or none."""

from urllib.parse import quote, unquote, urlsplit

ADDRESS_CHARS_MAX = 2_000
FRONT = "/"
"""Where the front door of the house is."""


def own_address(text: str, otherwise: str) -> str:
    """Return a path of this house with its query, or ``otherwise`` for anything that could lead elsewhere.

    Browsers read two slashes, backslashes and addresses with control characters in ways of their own; so what is not
    plainly a path is none, also where it is one only after it was decoded once more.
    """
    return text if _is_own(text) and _is_own(unquote(text)) else otherwise


def with_next(address: str, wanted: str) -> str:
    """Return an address that remembers where its reader wanted to go."""
    return f"{address}?next={quote(wanted, safe='/')}" if own_address(wanted, "") else address


def _is_own(text: str) -> bool:
    if not text.startswith("/") or text[1:2] in {"/", "\\"} or len(text) > ADDRESS_CHARS_MAX:
        return False
    if not text.isprintable() or "\\" in text:
        return False
    path = text.partition("?")[0].partition("#")[0]
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc and "//" not in path
