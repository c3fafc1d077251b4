"""Modes: a test payment never reaches an acquirer, a live one never a sandbox, and live is asked for in so many words."""

import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tongbao.channels.adapters.direct import DirectChannel
from tongbao.channels.adapters.wallet import WalletChannel
from tongbao.channels.errors import ChannelMisconfigured, UnknownChannel
from tongbao.channels.ports import CardVault
from tongbao.channels.schema import Mode, Presentment
from tongbao.channels.service import building
from tongbao.channels.service.building import ChannelSpec, House
from tongbao.channels.service.registry import Channels, Objection, Wish
from tongbao.core.clock import RealClock
from tongbao.core.http import HttpClient
from tongbao.ledger.service.ledger import Ledger

WISH = Wish(kind="card", presentment=Presentment.DIRECT, currency="CNY", amount_minor=100)
LIVE_WISH = msgspec.structs.replace(WISH, live=True)
NAMES = ("t", "l", "b", "unnamed")
MODES = {"t": Mode.TEST, "l": Mode.LIVE, "b": Mode.BOTH}
DOCS = Path(__file__).parents[2] / "docs"
OF_WALLETS = ChannelSpec(name="purse", adapter="wallet")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """What adapters are lent; the two that are built here take of it nothing but a ledger to keep."""
    http = HttpClient()
    yield House(http, cast(CardVault, None), cast(Ledger, None), RealClock())
    await http.close()


def channels(**options: Any) -> Channels:
    return Channels([DirectChannel(name, frozenset({"CNY"})) for name in NAMES], **options)


def fit(registry: Channels, wish: Wish) -> list[str]:
    return [channel.name for channel in registry.eligible(wish).channels]


def written(tmp_path: Path, text: str) -> Path:
    """A configuration file that only its owner reads."""
    path = tmp_path / "channels.toml"
    path.touch(0o600)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("wish", "names", "left_out"),
    [(WISH, ["t", "b", "unnamed"], "l"), (LIVE_WISH, ["l", "b", "unnamed"], "t")],
)
def test_payment_is_taken_by_channels_of_its_mode_and_of_both(
    wish: Wish, names: list[str], left_out: str
) -> None:
    found = channels(modes=MODES).eligible(wish)
    assert [channel.name for channel in found.channels] == names
    assert found.objections == (Objection(left_out, "other_mode"),)


def test_wish_that_does_not_say_whether_it_is_live_is_a_test() -> None:
    assert not WISH.live
    assert fit(channels(modes={"t": Mode.LIVE}), WISH) == ["l", "b", "unnamed"]


@pytest.mark.parametrize(
    ("mode", "live", "disabled", "kind", "code"),
    [
        (Mode.LIVE, False, True, "wallet", "disabled"),
        (Mode.LIVE, False, False, "wallet", "other_mode"),
        (Mode.TEST, True, False, "wallet", "other_mode"),
        (Mode.TEST, False, False, "wallet", "method_not_supported"),
        (Mode.BOTH, True, False, "wallet", "method_not_supported"),
        (Mode.BOTH, True, False, "card", None),
    ],
)
def test_first_reason_not_to_take_a_payment_is_named(
    mode: Mode, live: bool, disabled: bool, kind: str, code: str | None
) -> None:
    registry = channels(modes={"t": mode}, disabled=frozenset({"t"} if disabled else ()))
    wish = msgspec.structs.replace(WISH, live=live, kind=kind)
    objections = {each.channel: each.code for each in registry.eligible(wish).objections}
    assert objections.get("t") == code


def test_no_channel_takes_both_modes_unless_it_says_so() -> None:
    for mode, disabled in itertools.product(Mode, (False, True)):
        registry = channels(modes=dict.fromkeys(NAMES, mode), disabled=frozenset(NAMES if disabled else ()))
        takes = {live for live in (False, True) if fit(registry, msgspec.structs.replace(WISH, live=live))}
        expected = {Mode.TEST: {False}, Mode.LIVE: {True}, Mode.BOTH: {False, True}}[mode]
        assert takes == (set() if disabled else expected)


def test_switching_a_channel_on_does_not_open_it_to_the_other_mode() -> None:
    registry = channels(modes=dict.fromkeys(NAMES, Mode.LIVE), disabled=frozenset({"t"}))
    registry.switch("t", enabled=True)
    assert (fit(registry, WISH), fit(registry, LIVE_WISH)) == ([], list(NAMES))


def test_mode_of_a_channel_is_told_and_one_that_does_not_exist_has_none() -> None:
    registry = channels(modes=MODES)
    assert [registry.mode(name) for name in NAMES] == [Mode.TEST, Mode.LIVE, Mode.BOTH, Mode.BOTH]
    with pytest.raises(UnknownChannel):
        registry.mode("x")


def test_modes_are_those_of_the_start_whatever_becomes_of_what_was_given() -> None:
    given = dict(MODES)
    registry = channels(modes=given)
    given["t"] = Mode.LIVE
    assert registry.mode("t") is Mode.TEST


def test_channel_of_the_other_mode_is_still_reached_by_its_name() -> None:
    assert channels(modes=MODES).get("l").name == "l"


# Configuration


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("", Mode.TEST),
        ('mode = "test"', Mode.TEST),
        ('mode = "live"', Mode.LIVE),
        ('mode = "both"', Mode.BOTH),
    ],
)
def test_route_of_a_file_takes_test_payments_unless_it_says_otherwise(
    tmp_path: Path, line: str, mode: Mode
) -> None:
    path = written(tmp_path, f'[[channel]]\nname = "purse"\nadapter = "wallet"\n{line}\n')
    assert building.read_specs(path) == [msgspec.structs.replace(OF_WALLETS, mode=mode)]


@pytest.mark.parametrize("line", ['mode = "LIVE"', 'mode = "production"', "mode = true", 'live = "true"'])
def test_mode_that_does_not_exist_is_refused(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f'[[channel]]\nname = "purse"\nadapter = "wallet"\n{line}\n')
    with pytest.raises(ChannelMisconfigured) as refused:
        building.read_specs(path)
    assert refused.value.code == "channel_misconfigured"


async def test_registry_that_is_built_holds_the_modes_of_its_routes(house: House) -> None:
    specs = [
        ChannelSpec(name="play", adapter="direct"),
        OF_WALLETS,
        msgspec.structs.replace(OF_WALLETS, name="purse_live", mode=Mode.LIVE),
        msgspec.structs.replace(OF_WALLETS, name="purse_both", mode=Mode.BOTH, enabled=False),
    ]
    registry = building.build(specs, house)
    assert {channel.name: registry.mode(channel.name).value for channel in registry.all()} == {
        "play": "test",
        "purse": "test",
        "purse_live": "live",
        "purse_both": "both",
    }
    assert isinstance(registry.get("purse_live"), WalletChannel)
    wish = msgspec.structs.replace(WISH, kind="wallet")
    assert fit(registry, wish) == ["purse"]
    assert fit(registry, msgspec.structs.replace(wish, live=True)) == ["purse_live"]
    assert fit(registry, WISH) == ["play"]
    assert fit(registry, LIVE_WISH) == []


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.BOTH])
async def test_channel_that_approves_everything_is_refused_outside_of_tests(house: House, mode: Mode) -> None:
    spec = ChannelSpec(name="play", adapter="direct", mode=mode)
    for act in (lambda: building.check(spec), lambda: building.build([spec], house)):
        with pytest.raises(ChannelMisconfigured, match="test mode only"):
            act()
    switched_off = msgspec.structs.replace(spec, enabled=False)
    with pytest.raises(ChannelMisconfigured):
        building.build([switched_off], house)
    building.check(msgspec.structs.replace(spec, mode=Mode.TEST))


@pytest.mark.parametrize("page", ["reference/settings.md", "howto/connect-alipay-and-wechatpay.md"])
def test_file_of_channels_that_the_docs_show_takes_live_payments(tmp_path: Path, page: str) -> None:
    (shown,) = re.findall(r"```toml\n(.+?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    (spec,) = building.read_specs(written(tmp_path, shown))
    building.check(spec)
    assert (spec.mode, spec.enabled) == (Mode.LIVE, True)


def test_settings_page_names_every_mode_and_every_adapter() -> None:
    page = (DOCS / "reference/settings.md").read_text(encoding="utf-8")
    lines = {line.split(" = ")[0]: line.partition("# ")[2] for line in page.splitlines() if " = " in line}
    assert set(re.findall(r"\w+", lines["mode"])) >= {mode.value for mode in Mode}
    assert set(re.split(r", | or ", lines["adapter"])) == set(building._KINDS)
