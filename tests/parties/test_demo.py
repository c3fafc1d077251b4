"""The demonstration: opened once, with keys that are told once and open what they should."""

import asyncio

from tests.parties.conftest import Town, scope_of

from tongbao.parties.schema import Permission
from tongbao.parties.service.demo import DEMO, open_demo


async def test_demo_is_opened_once_and_its_keys_open_their_modes(town: Town) -> None:
    results = await asyncio.gather(*(open_demo(town.parties) for _ in range(3)))
    opened = [keys for result in results for keys in result]
    assert sorted(keys.merchant.name for keys in opened) == sorted(demo.draft.name for demo in DEMO)
    assert await open_demo(town.parties) == []
    for keys in opened:
        assert set(keys.texts) == {"sk_live_", "pk_live_", "sk_test_", "pk_test_"}
        for prefix, text in keys.texts.items():
            assert text.get_secret_value() not in repr(keys)
            scope = await town.parties.access.scope_of_key(text.get_secret_value(), address=None)
            assert scope.merchant_id == keys.merchant.merchant_id
            assert scope.live == ("_live_" in prefix)
            assert (Permission.PAYMENTS_WRITE in scope.permissions) == prefix.startswith("sk_")
        demo = next(demo for demo in DEMO if demo.merchant_id == keys.merchant.merchant_id)
        stores = await town.parties.stores.list(scope_of(keys.merchant))
        assert {store.name for store in stores.items} == {draft.name for draft in demo.stores}


def test_demo_has_two_merchants_whose_books_never_meet() -> None:
    books = [book for demo in DEMO for book in (int(demo.merchant_id), demo.test_book_id)]
    assert len(DEMO) == 2
    assert len(set(books)) == 4
