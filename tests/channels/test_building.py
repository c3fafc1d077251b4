"""Settings of channels in their file: each adapter takes its own names and no others."""

from typing import Any

import msgspec
import pytest

from tongbao.channels.errors import ChannelMisconfigured
from tongbao.channels.service import building
from tongbao.channels.service.building import ChannelSpec

SECRET = "known to nobody"
LINE = {"host": "acquirer.example", "port": 8583}
TERMINAL = {"terminal_id": "T1", "merchant_id": "M1", "acquirer_id": "A1"}
STRIPE = {"base_url": "https://api.stripe.com", "secret_key": SECRET, "webhook_secret": SECRET}
SETTINGS: dict[str, dict[str, Any]] = {
    "alipay": {
        "app_id": "2021001100000001",
        "seller_id": "2088000000000001",
        "app_private_key_pem": SECRET,
        "alipay_public_key_pem": "public",
    },
    "direct": {"currencies": ["CNY"]},
    "iso8583": {"line": LINE, "terminal": TERMINAL},
    "stripe": STRIPE,
    "stripe_charges": STRIPE,
    "wallet": {"currencies": ["CNY"]},
    "wechatpay": {
        "app_id": "wx1",
        "mch_id": "1900000001",
        "merchant_private_key_pem": SECRET,
        "merchant_serial": "5157",
        "platform_public_keys": {"PUB_KEY_ID_1": "public"},
        "api_v3_key": SECRET,
        "transfer_reports": {"scene": "refund"},
    },
}
NESTED = [("iso8583", "line"), ("iso8583", "terminal")]


def spec(adapter: str, settings: dict[str, Any]) -> ChannelSpec:
    return ChannelSpec(name="main", adapter=adapter, settings=settings)


def test_table_of_settings_covers_every_adapter() -> None:
    assert set(SETTINGS) == set(building._KINDS) == set(building._MAKERS)


@pytest.mark.parametrize("adapter", SETTINGS)
def test_settings_that_an_adapter_has_are_taken(adapter: str) -> None:
    building.check(spec(adapter, SETTINGS[adapter]))


@pytest.mark.parametrize("adapter", SETTINGS)
def test_setting_that_an_adapter_does_not_have_is_refused_by_its_name(adapter: str) -> None:
    with pytest.raises(ChannelMisconfigured, match="time_out_s") as refused:
        building.check(spec(adapter, SETTINGS[adapter] | {"time_out_s": 5}))
    assert refused.value.code == "channel_misconfigured"


@pytest.mark.parametrize(("adapter", "table"), NESTED)
def test_name_that_a_table_of_settings_does_not_have_is_refused(adapter: str, table: str) -> None:
    settings = SETTINGS[adapter]
    with pytest.raises(ChannelMisconfigured, match=table):
        building.check(spec(adapter, settings | {table: settings[table] | {"time_out_s": 5}}))


def test_every_table_of_settings_that_has_names_of_its_own_is_tried() -> None:
    found = [
        (adapter, field.name)
        for adapter, kind in building._KINDS.items()
        for field in msgspec.structs.fields(kind)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    ]
    assert found == NESTED


@pytest.mark.parametrize(
    ("adapter", "name"),
    [
        (adapter, name)
        for adapter in ("alipay", "iso8583", "stripe", "wechatpay")
        for name in SETTINGS[adapter]
    ],
)
def test_setting_that_is_needed_is_missed_or_has_a_default(adapter: str, name: str) -> None:
    settings = {key: value for key, value in SETTINGS[adapter].items() if key != name}
    field = next(each for each in msgspec.structs.fields(building._KINDS[adapter]) if each.name == name)
    if field.required:
        with pytest.raises(ChannelMisconfigured, match=name):
            building.check(spec(adapter, settings))
    else:
        building.check(spec(adapter, settings))


@pytest.mark.parametrize("adapter", ["alipay", "stripe", "wechatpay"])
def test_secrets_of_settings_are_masked_where_they_are_printed(adapter: str) -> None:
    read = building._settings(spec(adapter, SETTINGS[adapter]), building._KINDS[adapter])
    assert "**********" in repr(read)
    assert SECRET not in repr(read)
