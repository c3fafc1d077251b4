"""The registry: names, switches, and who could take a payment."""

from typing import Any, cast

import msgspec
import pytest

from tongbao.channels.errors import ChannelMisconfigured, UnknownChannel
from tongbao.channels.policy.reasons import info
from tongbao.channels.ports import Channel
from tongbao.channels.schema import Capabilities, Presentment, Reason, WireUnit
from tongbao.channels.service.codes import reason_info, standard_reason
from tongbao.channels.service.registry import Channels, Objection, Wish, objection

CARDS = Capabilities(
    adapter="cards",
    methods=frozenset({"card"}),
    presentments=frozenset({Presentment.DIRECT}),
    currencies=frozenset({"CNY", "USD"}),
    wire_unit=WireUnit.MINOR,
    manual_capture=True,
    amount_minor_min=50,
    amount_minor_max=10_000,
)
WISH = Wish(kind="card", presentment=Presentment.DIRECT, currency="CNY", amount_minor=100)


class Named:
    """A channel of which nothing but name, capabilities and end are asked."""

    def __init__(self, name: str, capabilities: Capabilities = CARDS) -> None:
        self.name = name
        self.capabilities = capabilities
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


def registry(*named: Named, **options: Any) -> Channels:
    return Channels([cast(Channel, one) for one in named], **options)


def names(channels: Channels, wish: Wish = WISH) -> list[str]:
    return [channel.name for channel in channels.eligible(wish).channels]


def test_get_returns_by_name_and_all_keeps_the_order() -> None:
    channels = registry(Named("b"), Named("a"))
    assert channels.get("a").name == "a"
    assert [channel.name for channel in channels.all()] == ["b", "a"]
    with pytest.raises(UnknownChannel):
        channels.get("c")


def test_second_channel_of_a_name_is_refused() -> None:
    with pytest.raises(ChannelMisconfigured):
        registry(Named("a"), Named("a"))


def test_switched_off_channel_is_never_eligible_and_still_reachable() -> None:
    channels = registry(Named("a"), Named("b"), disabled=frozenset({"a"}))
    assert names(channels) == ["b"]
    assert channels.eligible(WISH).objections == (Objection("a", "disabled"),)
    assert channels.get("a").name == "a"
    channels.switch("b", enabled=False)
    assert names(channels) == []
    assert not channels.is_enabled("b")
    channels.switch("a", enabled=True)
    channels.switch("a", enabled=True)
    assert names(channels) == ["a"]


def test_switching_an_unknown_channel_is_an_error() -> None:
    channels = registry(Named("a"))
    for act in (lambda: channels.switch("x", enabled=False), lambda: channels.is_enabled("x")):
        with pytest.raises(UnknownChannel):
            act()
    with pytest.raises(UnknownChannel):
        registry(Named("a"), disabled=frozenset({"x"}))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"currency": "USD"}, None),
        ({"manual_capture": True}, None),
        ({"amount_minor": 50}, None),
        ({"amount_minor": 10_000}, None),
        ({"kind": "alipay", "currency": "EUR"}, "method_not_supported"),
        ({"presentment": Presentment.PAGE}, "presentment_not_supported"),
        ({"currency": "EUR"}, "currency_not_supported"),
        ({"amount_minor": 49}, "amount_too_small"),
        ({"amount_minor": 10_001}, "amount_too_large"),
        ({"mandate": True}, "mandates_not_supported"),
    ],
)
def test_first_objection_is_named(changes: dict[str, Any], code: str | None) -> None:
    assert objection(CARDS, msgspec.structs.replace(WISH, **changes)) == code


def test_channel_that_claims_at_once_cannot_wait() -> None:
    at_once = msgspec.structs.replace(CARDS, manual_capture=False, mandates=True)
    waiting = msgspec.structs.replace(WISH, manual_capture=True)
    assert objection(at_once, waiting) == "manual_capture_not_supported"
    assert objection(at_once, msgspec.structs.replace(WISH, mandate=True)) is None


def test_eligible_explains_every_channel_that_is_left_out() -> None:
    dollars = msgspec.structs.replace(CARDS, currencies=frozenset({"USD"}))
    found = registry(Named("a"), Named("b", dollars), Named("c")).eligible(WISH)
    assert [channel.name for channel in found.channels] == ["a", "c"]
    assert found.objections == (Objection("b", "currency_not_supported"),)


async def test_close_closes_every_channel() -> None:
    both = [Named("a"), Named("b")]
    await registry(*both).close()
    assert all(one.is_closed for one in both)


def test_knowledge_base_is_open_to_other_rooms() -> None:
    assert standard_reason("iso8583", "51") is Reason.INSUFFICIENT_FUNDS
    assert standard_reason("iso8583", "??") is Reason.OTHER
    assert reason_info(Reason.CARD_LOST) == info(Reason.CARD_LOST)
