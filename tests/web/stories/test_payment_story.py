"""Stories: complete, in order, in both languages, with more for the house than for a merchant, and nobody else's."""

import re
import string
from collections.abc import AsyncIterator

import pytest
from tests.faces.merchant_place import Shop, open_quiet_shop

from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.payments.errors import Missing
from tongbao.payments.schema.attempts import AttemptState
from tongbao.payments.schema.refunds import DisputeState, RefundState
from tongbao.payments.schema.standing import Standing
from tongbao.web.locale import merchant, stories
from tongbao.web.stories import telling
from tongbao.web.stories.entries import Part
from tongbao.web.stories.payment_story import PaymentStories, Story
from tongbao.web.stories.reader import Links, Reader


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_quiet_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def story(shop: Shop, name: str) -> Story:
    told = PaymentStories(shop.whole.house)
    return await told.of(shop.tenant.scope, parse_uuid("pi", shop.named[name]))


async def test_story_holds_everything_oldest_first(shop: Shop) -> None:
    found = await story(shop, "cascaded")
    assert [each.state for each in found.attempts] == [AttemptState.DECLINED, AttemptState.CHARGED]
    assert [each.decision.kind for each in found.decisions] == ["risk", "routing", "routing"]
    assert [each.row.code for each in found.ledger] == ["payment.charged"]
    assert len(found.bill) == 1
    assert found.trace is not None
    assert {each.delivery.type for each in found.hooks} >= {"payment_intent.created", "charge.failed"}
    assert found.paid_by is found.attempts[-1]


async def test_story_of_another_book_is_missing(shop: Shop) -> None:
    other = await shop.whole.tenant()
    with pytest.raises(Missing):
        await PaymentStories(shop.whole.house).of(other.scope, parse_uuid("pi", shop.named["plain"]))


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize(
    "name", ["plain", "declined", "cascaded", "held", "unresolved", "refunded", "disputed", "odd"]
)
async def test_every_story_is_told_in_order_and_by_parts(shop: Shop, name: str, language: str) -> None:
    found, reader = await story(shop, name), Reader(language)
    told = telling.timeline(found, reader)
    assert [each.at for each in told] == sorted(each.at for each in told)
    assert sum(len(telling.timeline(found, reader, part)) for part in Part) == len(told)
    assert all(each.title for each in told)


async def test_choice_of_a_channel_stands_before_the_attempt_that_it_became(shop: Shop) -> None:
    titles = [str(each.title) for each in telling.timeline(await story(shop, "cascaded"), Reader("en"))]
    places = [
        next(place for place, title in enumerate(titles) if title.startswith(words))
        for words in ("Risk", "Routed", "Sent to", "Sent on to", "Booked")
    ]
    assert places == sorted(places)
    assert len([title for title in titles if title.startswith("Routed")]) == 2


async def test_house_reads_who_decided_with_what_chance_and_a_merchant_does_not(shop: Shop) -> None:
    found = await story(shop, "plain")
    own, house = (
        " ".join(str(each.details) for each in telling.timeline(found, Reader("en", for_house=each)))
        for each in (False, True)
    )
    for words in ("Chance of this choice", "Decided in", "champion"):
        assert words in house
        assert words not in own
    assert "Expected approval" in own


async def test_parts_lead_to_their_pages_where_the_reader_has_some(shop: Shop) -> None:
    reader = Reader("en", links=Links(refund="/r/{id}", dispute="/d/{id}"))
    hrefs = {each.href for each in telling.timeline(await story(shop, "refunded"), reader)}
    assert f"/r/{shop.named['refund']}" in hrefs
    hrefs = {each.href for each in telling.timeline(await story(shop, "refunded"), Reader("en"))}
    assert hrefs == {""}


def test_words_are_there_for_every_state() -> None:
    keys = [
        *(f"stands_{each}" for each in Standing),
        *(f"refund_{each}" for each in RefundState),
        *(f"dispute_{each}" for each in DisputeState),
        *(f"ended_{each}" for each in AttemptState if each not in _BEFORE_THE_END),
    ]
    assert [key for key in keys if key not in stories.TEXTS] == []


_BEFORE_THE_END = {AttemptState.SENT, AttemptState.CAPTURED, AttemptState.CAPTURED_PARTIAL}


@pytest.mark.parametrize("texts", [stories.TEXTS, merchant.TEXTS])
def test_both_languages_are_complete_and_take_the_same_values(texts: dict[str, tuple[str, str]]) -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    wrong = [
        key
        for key, (english, chinese) in texts.items()
        if not english or not chinese or fields(english) != fields(chinese)
    ]
    assert wrong == []
    assert [key for key, (_, chinese) in texts.items() if re.search(r"[a-z]{4,} [a-z]{3,}", chinese)] == []
