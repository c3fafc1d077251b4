"""Cases as pages show them: words of every state, evidence in words, the picture with its table."""

from collections.abc import AsyncIterator

import pytest
from tests.risk.case_house import House, case_file, hand

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.risk.schema.cases import CaseState, Disposal, Disposition, Stake
from tongbao.risk.service.case_showing import (
    CaseWords,
    case_words,
    evidence_words,
    picture_of,
    suggestion_words,
)


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    await made.clean()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            CaseWords(
                "open",
                "medium",
                "payment held for review",
                "Card card_a",
                "",
                "10.00 CNY, 500 JPY",
                "500 JPY",
            ),
        ),
        ("zh", CaseWords("待领取", "中", "付款被暂扣待审", "卡 card_a", "", "10.00 CNY、500 JPY", "500 JPY")),
    ],
)
def test_case_words_tell_state_entity_and_money(language: str, words: CaseWords) -> None:
    stakes = (Stake("CNY", 1_000, 0), Stake("JPY", 50_000, 50_000))
    assert case_words(case_file(stakes=stakes), language) == words


def test_case_words_of_a_closed_case_without_an_entity_name_payment_and_disposition() -> None:
    closed = case_file(entity=None, key="pi_1", state=CaseState.CLOSED, disposition=Disposition.GENUINE)
    words = case_words(closed, "en")
    assert (words.state, words.who, words.disposition, words.at_stake) == ("closed", "pi_1", "genuine", "0")
    with pytest.raises(InvalidRequest, match="language_unknown"):
        case_words(closed, "fr")


async def test_whole_case_is_shown_in_both_languages(house: House) -> None:
    await house.rang(house.known(score=0.95, device="device_a", merchant="mch_a"))
    case = await house.taken("ana")
    await house.cases.close(hand(case, "ana"), Disposal(disposition=Disposition.FRAUD))
    case = await house.reading.one(case.id)
    entries = await house.reading.timeline(case.id)
    web = await house.reading.neighborhood(case.id)
    english, chinese = (picture_of(case, web, language) for language in ("en", "zh-CN"))
    assert len(english.table.rows) == len(chinese.table.rows) == 3
    assert case.name in english.svg
    assert "Merchant mch_a" in english.text
    assert [len(evidence_words(entries, language)) for language in ("en", "zh-CN")] == [len(entries)] * 2
    assert evidence_words(entries, "en")[-1] == "Closed by ana"
    summary = await house.reading.summary(case.id, "en")
    assert suggestion_words(summary, "en") == ("fraud", "fraud is almost certain")
    assert suggestion_words(summary, "zh") == ("欺诈", "几乎可以确定是欺诈")
