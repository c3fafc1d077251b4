"""The door through which other rooms reach the scanner for card numbers: ``web`` at ingress, logs, chats.

Pure functions; what they find and what they let through is told in ``policy.scanner``.
"""

from tongbao.privacy.policy.scanner import CARD_NUMBER_FIELDS, find_card_number, refuse_card_data

__all__ = ["CARD_NUMBER_FIELDS", "find_card_number", "refuse_card_data"]
