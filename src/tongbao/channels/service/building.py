"""Building channels from configuration: a TOML file that names each route, its adapter and the adapter's settings.

::

    [[channel]]
    name = "card_main"
    adapter = "iso8583"
    mode = "live"
    [channel.settings.line]
    host = "acquirer.example"
    port = 8583
    [channel.settings.terminal]
    …

    [[bank]]
    name = "house_bank"
    mode = "live"
    [bank.settings]
    holder = "Example Payments"
    [bank.settings.accounts.EUR]
    …

The file holds secrets, so it must be readable by its owner only. Unknown names in it are errors, not ignored.
"""

import stat
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from pydantic import SecretStr

from tongbao.channels.adapters.alipay.channel import AlipayChannel
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.adapters.direct import DirectChannel
from tongbao.channels.adapters.iso8583.channel import Iso8583Channel, Iso8583Settings
from tongbao.channels.adapters.stripe.channel import StripeChannel, StripeChargesChannel
from tongbao.channels.adapters.stripe.requests import StripeSettings
from tongbao.channels.adapters.wallet import WalletChannel
from tongbao.channels.adapters.wechatpay.channel import WechatPayChannel
from tongbao.channels.adapters.wechatpay.settings import WechatPaySettings
from tongbao.channels.errors import ChannelMisconfigured
from tongbao.channels.policy import reasons
from tongbao.channels.ports import CardVault, Channel
from tongbao.channels.schema import Mode
from tongbao.channels.service.banks import BankSpec
from tongbao.channels.service.registry import Channels
from tongbao.core.clock import Clock
from tongbao.core.http import HttpClient
from tongbao.ledger.service.ledger import Ledger

CHANNELS_MAX = 200


class MoneySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of channels that only need to know their currencies."""

    currencies: frozenset[str] = frozenset({"CNY", "USD"})


class ChannelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One route of the configuration; ``settings`` are those of its adapter.

    ``mode``: whose payments it takes. Real money is asked for in so many words: without one only test payments go there.
    """

    name: str
    adapter: str
    mode: Mode = Mode.TEST
    enabled: bool = True
    settings: dict[str, Any] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: list[ChannelSpec] = []
    bank: list[BankSpec] = []


class House(NamedTuple):
    """What adapters are lent: connections, the vault, the ledger and the time."""

    http: HttpClient
    vault: CardVault
    ledger: Ledger
    clock: Clock


def read_specs(path: Path) -> list[ChannelSpec]:
    """Return the routes of a configuration file.

    Raises ChannelMisconfigured where the file is missing, unreadable, readable by others, or not understood.
    """
    return _read(path).channel


def read_bank_specs(path: Path) -> list[BankSpec]:
    """Return the banks of a configuration file (``[[bank]]`` with its ``settings``); raises as ``read_specs`` does."""
    return _read(path).bank


def _read(path: Path) -> _File:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise ChannelMisconfigured(path.name, f"{path} cannot be read ({type(error).__name__})") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ChannelMisconfigured(path.name, f"{path} holds secrets: chmod 600 it")
    try:
        return msgspec.convert(tomllib.loads(content.decode()), _File, dec_hook=_secret)
    except (ValueError, msgspec.ValidationError) as error:
        raise ChannelMisconfigured(path.name, f"{path}: {error}") from error


def build(specs: Sequence[ChannelSpec], house: House) -> Channels:
    """Return the channels of these routes, open for calls.

    Raises ChannelMisconfigured for adapters that do not exist, settings that make no sense, and names used twice.
    """
    if len(specs) > CHANNELS_MAX:
        raise ChannelMisconfigured("channels", f"at most {CHANNELS_MAX} routes")
    built = [_channel(spec, house) for spec in specs]
    return Channels(
        built,
        disabled=frozenset(spec.name for spec in specs if not spec.enabled),
        modes={spec.name: spec.mode for spec in specs},
    )


def check(spec: ChannelSpec) -> None:
    """Raise ChannelMisconfigured where a route names no adapter, or settings that its adapter does not have."""
    if spec.adapter not in _KINDS:
        raise ChannelMisconfigured(
            spec.name, f"no adapter {spec.adapter}; there are {', '.join(sorted(_KINDS))}"
        )
    if spec.adapter == "direct" and spec.mode is not Mode.TEST:
        raise ChannelMisconfigured(spec.name, "direct approves everything and asks nobody: test mode only")
    _settings(spec, _KINDS[spec.adapter])


def _channel(spec: ChannelSpec, house: House) -> Channel:
    check(spec)
    return _MAKERS[spec.adapter](spec, house)


def _settings(spec: ChannelSpec, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(spec.settings, kind, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise ChannelMisconfigured(spec.name, str(error)) from None


def _secret(kind: type[Any], value: object) -> object:
    if kind is SecretStr and isinstance(value, str):
        return SecretStr(value)
    # What msgspec wants to hear of types that are not known here.
    raise NotImplementedError


def _stripe(spec: ChannelSpec, house: House) -> Channel:
    return StripeChannel(spec.name, _settings(spec, StripeSettings), house.http, house.vault)


def _stripe_charges(spec: ChannelSpec, house: House) -> Channel:
    return StripeChargesChannel(spec.name, _settings(spec, StripeSettings), house.http, house.vault)


def _iso8583(spec: ChannelSpec, house: House) -> Channel:
    return Iso8583Channel(spec.name, _settings(spec, Iso8583Settings), house.vault, house.clock)


def _alipay(spec: ChannelSpec, house: House) -> Channel:
    return AlipayChannel(
        spec.name, _settings(spec, AlipaySettings), house.http, house.clock, reasons.standard
    )


def _wechatpay(spec: ChannelSpec, house: House) -> Channel:
    return WechatPayChannel(
        spec.name, _settings(spec, WechatPaySettings), house.http, house.clock, reasons.standard
    )


def _wallet(spec: ChannelSpec, house: House) -> Channel:
    return WalletChannel(spec.name, house.ledger, _settings(spec, MoneySettings).currencies)


def _direct(spec: ChannelSpec, house: House) -> Channel:
    del house
    return DirectChannel(spec.name, _settings(spec, MoneySettings).currencies)


_MAKERS: dict[str, Callable[[ChannelSpec, House], Channel]] = {
    "alipay": _alipay,
    "direct": _direct,
    "iso8583": _iso8583,
    "stripe": _stripe,
    "stripe_charges": _stripe_charges,
    "wallet": _wallet,
    "wechatpay": _wechatpay,
}
_KINDS: dict[str, type[Any]] = {
    "alipay": AlipaySettings,
    "direct": MoneySettings,
    "iso8583": Iso8583Settings,
    "stripe": StripeSettings,
    "stripe_charges": StripeSettings,
    "wallet": MoneySettings,
    "wechatpay": WechatPaySettings,
}
