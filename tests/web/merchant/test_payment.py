"""One payment: its story, and acts that are checked before they happen, happen once, and only for who may."""

from collections.abc import AsyncIterator

import pytest
from tests.faces.merchant_place import Shop, open_quiet_shop
from tests.payments.scripted import UNRESOLVED, declined
from tests.web.merchant.visits import Visit, member, visit

from tongbao.channels.schema import Reason
from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import MerchantRole
from tongbao.payments.schema.intents import Intent, IntentState


@pytest.fixture(scope="module")
async def shop(database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with open_quiet_shop(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
async def owner(shop: Shop) -> AsyncIterator[Visit]:
    async with visit(shop) as made:
        yield made


async def intent(shop: Shop, payment: str) -> Intent:
    view = await shop.whole.house.payments.intents.get(shop.tenant.scope, parse_uuid("pi", payment))
    return view.intent


async def test_story_tells_every_chapter(shop: Shop, owner: Visit) -> None:
    text = await owner.page(f"/payments/{shop.named['cascaded']}")
    for words in (
        "Payment created",
        "Risk: let through",
        "Routed to",
        "declined",
        "Code 91: The channel is not available.",
        "Sent on to",
        "approved: ¥124.00 paid",
        "Booked: payment received",
        "Counted into your settlement",
        "succeeded waits to be sent",
        "hooks.teahouse.com",
        "for you.",
    ):
        assert words in text, words


async def test_story_in_chinese_has_no_english_states(shop: Shop, owner: Visit) -> None:
    text = await owner.page(f"/payments/{shop.named['disputed']}", language="zh-CN")
    for words in ("创建付款", "风控：放行", "争议金额 ¥456.00", "记账：", "计入结算"):
        assert words in text, words


@pytest.mark.parametrize(
    ("part", "there", "absent"),
    [("money", "Booked:", "Payment created"), ("webhook", "waits to be sent", "Booked:")],
)
async def test_story_shows_one_part(shop: Shop, owner: Visit, part: str, there: str, absent: str) -> None:
    text = await owner.page(f"/payments/{shop.named['plain']}?show={part}")
    assert there in text
    assert absent not in text


async def test_refund_is_made_once_however_often_the_form_is_sent(shop: Shop, owner: Visit) -> None:
    payment = await shop.pay("once", 10_000)
    path = f"/payments/{payment}/refund"
    fields = {"amount": "30.00", "cause": "duplicate", "note": "Paid twice <b>", "step": "do"}
    fields["once"] = (await owner.hidden(path))["once"]
    answers = [await owner.send(path, path, **fields) for _ in range(3)]
    assert [each.status_code for each in answers] == [303, 303, 303]
    assert (await intent(shop, payment)).amount_refunded_minor == 3_000
    story = await shop.whole.house.payments.intents.story(shop.tenant.scope, parse_uuid("pi", payment))
    (refund,) = story.refunds
    assert (refund.cause, refund.metadata["note"]) == ("duplicate", "Paid twice <b>")
    assert refund.metadata["refunded_by"].startswith("person:")
    assert "Paid twice &lt;b&gt;" in await owner.page(f"/refunds/{refund.reference}")


async def test_refund_is_read_again_before_it_is_made(shop: Shop, owner: Visit) -> None:
    payment = await shop.pay("check", 10_000)
    path = f"/payments/{payment}/refund"
    answer = await owner.send(path, path, amount="30.00", cause="duplicate", step="check")
    assert "¥70.00 of it stay with you." in answer.text
    assert (await intent(shop, payment)).amount_refunded_minor == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": "", "cause": "duplicate"},
        {"amount": "0", "cause": "duplicate"},
        {"amount": "-5", "cause": "duplicate"},
        {"amount": "168.01", "cause": "duplicate"},
        {"amount": "1.005", "cause": "duplicate"},
        {"amount": "much", "cause": "duplicate"},
        {"amount": "10.00", "cause": "because"},
        {"amount": "10.00", "cause": ""},
        {"amount": "10.00", "cause": "duplicate", "note": "n" * 401},
    ],
)
async def test_refund_with_a_wrong_field_is_not_made(
    shop: Shop, owner: Visit, fields: dict[str, str]
) -> None:
    path = f"/payments/{shop.named['plain']}/refund"
    answer = await owner.send(path, path, step="do", **fields)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text or 'class="wrong"' in answer.text
    assert (await intent(shop, shop.named["plain"])).amount_refunded_minor == 0


async def test_refund_of_a_disputed_payment_says_why_not(shop: Shop, owner: Visit) -> None:
    path, own = (f"/payments/{shop.named[name]}/refund" for name in ("disputed", "plain"))
    assert "Nothing can be refunded" in await owner.page(path)
    answer = await owner.send(path, own, amount="10.00", cause="duplicate", step="do")
    assert answer.status_code == 409
    assert "a refund would return the money twice" in answer.text


async def test_capture_of_a_part_releases_the_rest(shop: Shop, owner: Visit) -> None:
    payment = await shop.pay("part", 8_000, capture_method="manual")
    path = f"/payments/{payment}/capture"
    answer = await owner.send(path, path, amount="50.00", step="do")
    assert answer.status_code == 303
    found = await intent(shop, payment)
    assert (found.state, found.amount_received_minor) == (IntentState.SUCCEEDED, 5_000)


async def test_cancel_ends_a_payment_that_waits(shop: Shop, owner: Visit) -> None:
    payment = await shop.pay("drop", 8_000, capture_method="manual")
    path = f"/payments/{payment}/cancel"
    answer = await owner.send(path, path, cause="abandoned", step="do")
    assert answer.status_code == 303
    assert (await intent(shop, payment)).state is IntentState.CANCELED
    assert "The payer left." in await owner.page(f"/payments/{payment}")


async def test_act_that_is_not_possible_any_more_changes_nothing(shop: Shop, owner: Visit) -> None:
    assert "cannot be canceled" in await owner.page(f"/payments/{shop.named['plain']}/cancel")
    path = f"/payments/{shop.named['plain']}"
    answer = await owner.send(f"{path}/cancel", f"{path}/refund", cause="abandoned", step="do")
    assert answer.status_code == 409
    assert (await intent(shop, shop.named["plain"])).state is IntentState.SUCCEEDED


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/payments/pi_wrong", 404),
        ("/payments/pi_0000000000000000000000000e", 404),
        ("/payments/{plain}/destroy", 404),
        ("/refunds/re_0000000000000000000000000e", 404),
        ("/disputes/dp_0000000000000000000000000e", 404),
        ("/links/plink_0000000000000000000000000e", 404),
        ("/links/plink_0000000000000000000000000e/code.svg", 404),
        ("/customers/cus_0000000000000000000000000e", 404),
        ("/refunds/{plain}", 404),
    ],
)
async def test_page_of_nothing_is_not_found(shop: Shop, owner: Visit, path: str, status: int) -> None:
    await owner.page(path.format(**shop.named), status)


async def test_ids_of_another_merchant_are_not_found(shop: Shop, owner: Visit) -> None:
    other = await shop.whole.tenant()
    theirs = await shop.whole.pay(other)
    assert (await owner.answer(f"/payments/{theirs}")).status_code == 404
    own = f"/payments/{shop.named['plain']}/refund"
    for act in ("refund", "capture", "cancel", "resend"):
        answer = await owner.send(f"/payments/{theirs}/{act}", own, amount="1", cause="duplicate", step="do")
        assert answer.status_code == 404, act
    found = await shop.whole.house.payments.intents.get(other.scope, parse_uuid("pi", theirs))
    assert found.intent.amount_refunded_minor == 0


async def test_who_may_not_act_is_told_who_may(shop: Shop) -> None:
    async with visit(shop, await member(shop, MerchantRole.VIEWER)) as viewer:
        for act in ("refund", "capture", "cancel"):
            text = await viewer.page(f"/payments/{shop.named['plain']}/{act}", 403)
            assert "Owner" in text


async def test_form_without_its_token_or_of_another_site_is_not_obeyed(shop: Shop, owner: Visit) -> None:
    path = f"/payments/{shop.named['plain']}/refund"
    fields = {"amount": "10.00", "cause": "duplicate", "step": "do"}
    without = await owner.send(path, path, csrf="wrong", **fields)
    assert without.status_code in (401, 403)
    foreign = await owner.http.post(
        shop.home + path, data=await owner.hidden(path) | fields, headers={"origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    keyless = await owner.send(path, path, once="", **fields)
    assert keyless.status_code == 400
    assert (await intent(shop, shop.named["plain"])).amount_refunded_minor == 0


async def test_webhook_is_sent_again(shop: Shop, owner: Visit) -> None:
    payment = f"/payments/{shop.named['plain']}"
    text = await owner.page(payment)
    event = text.split('name="event" value="')[1].split('"')[0]
    endpoint = text.split('name="endpoint" value="')[1].split('"')[0]
    answer = await owner.send(f"{payment}/resend", payment, event=event, endpoint=endpoint)
    assert answer.headers["location"].endswith("said=resent")
    wrong = await owner.send(f"{payment}/resend", payment, event="evt_wrong", endpoint=endpoint)
    assert wrong.status_code == 404


async def test_unresolved_payment_says_that_nobody_pays_twice(shop: Shop, owner: Visit) -> None:
    payment = await shop.pay("lost", 4_000, UNRESOLVED)
    text = await owner.page(f"/payments/{payment}")
    assert "Outcome unknown" in text
    assert "cannot be charged twice" in text


async def test_declined_payment_tells_the_reason(shop: Shop, owner: Visit) -> None:
    payment = await shop.pay("no", 4_000, declined(Reason.INSUFFICIENT_FUNDS, "51"))
    text = await owner.page(f"/payments/{payment}")
    assert "Code 51:" in text
