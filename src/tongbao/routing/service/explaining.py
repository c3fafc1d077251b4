"""The door through which faces reach the words of routing: reasons, diagnoses, announcements, moves of a back-test.

Pure functions; languages are ``zh`` and ``en``. What the words are made of is told in the policies named below.
"""

from tongbao.routing.policy.backtest_texts import move_text
from tongbao.routing.policy.health_texts import action_text, cause_text, verdict_text
from tongbao.routing.policy.notice_texts import notice_text
from tongbao.routing.policy.reasons import said, sentence, text_of

__all__ = [
    "action_text",
    "cause_text",
    "move_text",
    "notice_text",
    "said",
    "sentence",
    "text_of",
    "verdict_text",
]
