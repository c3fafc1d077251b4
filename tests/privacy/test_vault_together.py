"""Reveals of one moment read their cards together, and each gets its own, or its own refusal."""

import asyncio

from tests.privacy.conftest import VISA, Tokenize

from tongbao.core.ids import IdFactory
from tongbao.privacy.errors import TokenShredded, TokenUnknown
from tongbao.privacy.schema import RevealedCard, parse_token, token_text
from tongbao.privacy.service.vault import Vault

MASTERCARD = "5555555555554444"


async def test_reveals_at_once_get_each_its_own_card_or_refusal(
    vault: Vault, tokenize: Tokenize, ids: IdFactory
) -> None:
    person = ids.uuid()
    visa, mastercard, shredded = (
        await tokenize(VISA),
        await tokenize(MASTERCARD),
        await tokenize(VISA, person=person),
    )
    await vault.shred(person)
    foreign = token_text(ids.int63(), parse_token(visa.token)[1])
    tokens = (visa.token, foreign, mastercard.token, shredded.token, visa.token)
    found = await asyncio.gather(
        *(
            vault.reveal_card(token, purpose="authorize", actor="channel:iso_main", subject="pa_1")
            for token in tokens
        ),
        return_exceptions=True,
    )
    told = [each.number if isinstance(each, RevealedCard) else type(each) for each in found]
    assert told == [VISA, TokenUnknown, MASTERCARD, TokenShredded, VISA]
