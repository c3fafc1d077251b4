"""The channels and the bank of ``tongbao demo real``: what they are called, what they take, and the file that names them to the house."""

import json
from typing import Any

import msgspec

from tongbao.bench.demo_real_peers import BANK, HOST_SIM, REPLICA, Peers
from tongbao.bench.payment_drill_programs import HOST
from tongbao.bench.payment_drill_world import toml
from tongbao.channels.service.building import ChannelSpec
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.credentials import MerchantCredentials

ALIPAY, WECHAT = "alipay", "wechatpay"
WALLETS = {ALIPAY: "alipay", WECHAT: "wechat_pay"}
"""Our channels, and what the sandbox calls them."""
CARD_CURRENCY, WALLET_CURRENCY = "EUR", "CNY"
HOUSE_BANK = "house_bank"
HOLDER = "Tongbao Demonstration"
IBANS = {"EUR": "NL03MOCK0000000006", "CNY": "NL73MOCK0000000007"}
"""The house's accounts at mock-bank, numbers that belong to nobody."""
BIC = "MOCKNL2A"
OPENING_MINOR = 500_000_00
TIMEOUT_S = 2.0
REPLICA_TIMEOUT_S = 8.0
DECLINED, LATE, SILENT = "0000", "1111", "2222"
"""Digits 11 to 14 of cards that the rules of iso8583sim know: declined, approved too late, and never answered."""
LATE_MS = 3_000
LOST_MINOR = 6_180
"""Codes of this amount are made by WeChat Pay, and its answer is lost."""
REPLICA_KEY = "sk_test_demo"


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """Where everybody outside is: the wallets behind their tap, the card host behind its recorder, the folders of the bank."""

    wallets: MerchantCredentials
    wallets_url: str
    tap_url: str
    recorder_port: int
    notice_secret: str
    replica_url: str
    bank_out: str
    bank_into: str


def host_rules(pan_prefix: str) -> list[dict[str, Any]]:
    """Return what iso8583sim does with the cards that are told apart by their digits; it approves all others."""

    def on(digits: str, **rule: object) -> dict[str, Any]:
        return {"match": {"pan_prefix": [pan_prefix + digits], "mti": ["0100", "0200"]}, **rule}

    return [on(DECLINED, respond="51"), on(LATE, delay_ms=LATE_MS), on(SILENT, action="drop")]


def channels_text(peers: Peers, outside: Outside) -> str:
    """Return the file of channels for the parties that are there."""
    known = outside.wallets
    known.alipay.gateway_url = known.alipay.gateway_url.replace(outside.wallets_url, outside.tap_url)
    known.wechat_pay.base_url = known.wechat_pay.base_url.replace(outside.wallets_url, outside.tap_url)
    specs = sandbox_routes.routes(known, timeout_s=TIMEOUT_S)
    if peers.has(HOST_SIM):
        specs.append(_host_spec(outside))
    if peers.has(REPLICA):
        specs.append(_replica_spec(outside))
    return "".join(toml(spec) for spec in specs) + (_bank_toml(outside) if peers.has(BANK) else "")


def _host_spec(outside: Outside) -> ChannelSpec:
    terminal = {"terminal_id": "DEMO0001", "merchant_id": "DEMOMERCHANT001", "acquirer_id": "400001"}
    settings = {
        "line": {"host": HOST, "port": outside.recorder_port, "timeout_s": TIMEOUT_S},
        "terminal": terminal,
        "currencies": [CARD_CURRENCY],
        "notice_secret": outside.notice_secret,
    }
    return ChannelSpec(name=HOST_SIM, adapter="iso8583", settings=settings)


def _replica_spec(outside: Outside) -> ChannelSpec:
    settings = {
        "base_url": outside.replica_url,
        "secret_key": REPLICA_KEY,
        "plain": True,
        "currencies": [CARD_CURRENCY],
        "timeout_s": REPLICA_TIMEOUT_S,
    }
    return ChannelSpec(name=REPLICA, adapter="stripe", settings=settings)


def _bank_toml(outside: Outside) -> str:
    """Return the house's bank as the file has it: a gateway of two folders, which books until midnight."""
    lines = [
        "[[bank]]",
        f'name = "{HOUSE_BANK}"',
        "[bank.settings]",
        f'holder = "{HOLDER}"',
        "refuses_repeats = true",
        "cut_off = 23:59:00",
        f"folder = {{ out = {json.dumps(outside.bank_out)}, into = {json.dumps(outside.bank_into)} }}",
    ]
    for currency, iban in IBANS.items():
        lines += [f"[bank.settings.accounts.{currency}]", f'number = "{iban}"', f'agent_code = "{BIC}"']
    return "\n".join(lines) + "\n"
