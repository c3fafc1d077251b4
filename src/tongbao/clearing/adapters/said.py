"""Texts of a line as they are kept: references that can be compared in full, and a note that people read."""

from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.policy.matching_records import REFERENCE_CHARS_MAX
from tongbao.clearing.schema.lines import LINE_TEXT_CHARS_MAX

_SHOWN_CHARS = 4
_SURELY_SHORT = REFERENCE_CHARS_MAX // 4


def reference(text: str, column: str = "") -> str:
    """Return a reference; raise Unfit ``reference_too_long`` above 120 bytes, ``reference_malformed`` for what cannot be printed.

    Nothing is cut off: two payments must not come to share a reference.
    """
    if not text.isprintable():
        raise Unfit("reference_malformed", "a reference has no control characters", column, text)
    if len(text) > _SURELY_SHORT and len(text.encode()) > REFERENCE_CHARS_MAX:
        raise Unfit(
            "reference_too_long", f"a reference has at most {REFERENCE_CHARS_MAX} bytes", column, text
        )
    return text


def note(text: str) -> str:
    """Return what people read of a line: at most 200 characters, all of them printable."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text[: 4 * LINE_TEXT_CHARS_MAX])
    return text[:LINE_TEXT_CHARS_MAX].strip()


def masked(account: str) -> str:
    """Return an account as people may see it: its last four characters."""
    bare = account.replace(" ", "")
    return f"****{bare[-_SHOWN_CHARS:]}" if len(bare) > _SHOWN_CHARS else "****"
