"""Letters that banks take: texts in the SEPA character set, ids within Max35Text.

Latin letters lose their accents, a few become two (EPC 217-08), everything else a full stop; a text never begins or ends
with a slash nor holds two in a row, which banks read as marks of their own.
"""

import unicodedata

from tongbao.channels.adapters.bank.values import Charset

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
_TWO = str.maketrans(
    {
        "ß": "ss",
        "Æ": "AE",
        "æ": "ae",
        "Œ": "OE",
        "œ": "oe",
        "Ø": "O",
        "ø": "o",
        "Ł": "L",
        "ł": "l",
        "Đ": "D",
        "đ": "d",
        "ð": "d",
        "Þ": "Th",
        "þ": "th",
        "ı": "i",
        "&": "+",
        "_": "-",
        "’": "'",
        "–": "-",
        "—": "-",
    }
)


def written(text: str, charset: Charset, chars_max: int) -> str:
    """Return ``text`` as a bank takes it, at most ``chars_max`` characters; without control characters in any set."""
    if charset is Charset.ANY:
        kept = "".join(" " if unicodedata.category(each)[0] == "C" else each for each in text)
        return " ".join(kept.split())[:chars_max].strip()
    plain = unicodedata.normalize("NFKD", text.translate(_TWO))
    letters = (each for each in plain if not unicodedata.combining(each))
    kept = "".join(each if each in _ALLOWED else " " if each.isspace() else "." for each in letters)
    while "//" in kept:
        kept = kept.replace("//", "/")
    return " ".join(kept.split())[:chars_max].strip("/ ")
