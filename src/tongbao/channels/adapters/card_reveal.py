"""Turning the vault token of a call into a card, for the length of that call.

A card that cannot be had is an answer: nothing was sent, so either nothing will ever come of it (the token is
unknown) or a repeat is safe (the vault is away).
"""

from tongbao.channels.ports import CardVault
from tongbao.channels.schema import Answer, Card, Method, Outcome, Reason
from tongbao.core.errors import AppError, NotFound
from tongbao.privacy.schema import RevealedCard


async def reveal(
    vault: CardVault, method: Method, *, purpose: str, actor: str, subject: str
) -> RevealedCard | Answer:
    """Return the card behind ``method``, or the answer to a call that cannot have it.

    ``subject`` is our reference of the act, ``actor`` the channel; the vault audits both.
    """
    if not isinstance(method, Card):
        return Answer(
            outcome=Outcome.DECLINED, reason=Reason.REQUEST_INVALID, code="excluded", message="cards only"
        )
    try:
        return await vault.reveal_card(
            method.token, purpose=purpose, actor=f"channel:{actor}", subject=subject
        )
    except NotFound as error:
        return Answer(outcome=Outcome.DECLINED, reason=Reason.ACCOUNT_UNKNOWN, code=error.code)
    except AppError as error:
        return Answer(outcome=Outcome.NOT_SENT, code=error.code)
