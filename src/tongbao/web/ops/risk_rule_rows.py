"""A rule written by rows: each a signal, a comparison and a number; all together make one line of the language of rules."""

import re

from tongbao.core.errors import InvalidRequest
from tongbao.risk.service import wording
from tongbao.web.ops.risk_desk import Typed

ROWS = 3
COMPARISONS = (">", ">=", "==", "<=", "<")
ACTS = ("step_up", "review", "decline", "allow", "watch")
SIGNALS = (
    "card_count_1h",
    "card_sum_1d",
    "card_declines_1h",
    "card_ratio",
    "card_history",
    "card_velocity_kmh",
    "card_countries_1d",
    "device_count_1h",
    "device_cards_30d",
    "device_declines_1h",
    "address_cards_1d",
    "address_declines_1h",
    "pair_card_device",
)
"""The signals that most rules are made of; every other one is written in the editor."""
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,4})?")
_UNFIT = re.compile(r'["\n\r]')


def signals(language: str) -> list[tuple[str, str]]:
    """Return the signals with their words, for a choice."""
    return [(name, f"{wording.feature_words(name, language)} ({name})") for name in SIGNALS]


def appended(text: str, typed: Typed) -> str:
    """Return the text of the editor with the rule of the rows below it; raise InvalidRequest ``rule_rows_missing``."""
    conditions = [each for number in range(1, ROWS + 1) if (each := _condition(typed, number))]
    name, because, owner = (
        _UNFIT.sub(" ", typed.text(f"row_{key}")).strip() for key in ("name", "because", "owner")
    )
    act = typed.text("row_act")
    if not conditions or not (name and because and owner) or act not in ACTS:
        raise InvalidRequest("rule_rows_missing", "a rule needs a name, a row, a reason and an owner")
    line = f'{name}: when {" and ".join(conditions)} then {act} because "{because}" owner {owner}'
    if typed.text("row_draft"):
        line += " draft"
    before = text.replace("\r\n", "\n").rstrip("\n")
    return f"{before}\n{line}\n" if before else f"{line}\n"


def _condition(typed: Typed, number: int) -> str:
    """Return the condition of a row; empty for a row that was not filled in."""
    signal, compare = typed.text(f"row_{number}_signal"), typed.text(f"row_{number}_compare")
    value = typed.text(f"row_{number}_value").replace(",", "")
    if not signal:
        return ""
    if signal not in SIGNALS or compare not in COMPARISONS or not _NUMBER.fullmatch(value):
        raise InvalidRequest("rule_rows_missing", "a row is a signal, a comparison and a number")
    return f"{signal} {compare} {value}"
