"""The published clients of Alipay and WeChat Pay judge what went over the wire between the house and the wallets.

Every request of ours, every answer to it and every notification, as the taps saw them: does the client sign as we did, and does it
believe what we believed? One altered copy of each kind must be refused, or the judge would believe anything.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tongbao.bench.demo_real_asking import Asked
from tongbao.bench.demo_real_peers import ALIPAY_CLIENT, ALIPAY_OFFICIAL, WECHAT_CLIENT, Peers
from tongbao.bench.demo_real_taps import Exchange
from tongbao.simulator.sandbox.credentials import AlipayMerchant, MerchantCredentials, WechatPayMerchant

JUDGED_MAX = 400
"""Messages of one kind that a judge looks at; all, in a demonstration of the usual size."""
_NOTICE_WECHAT, _NOTICE_ALIPAY = "/channels/wechatpay/notifications", "/channels/alipay/notifications"
_HEADER = re.compile(r'(\w+)="([^"]*)"')


class Judged(msgspec.Struct):
    """What the judges said: ``believed`` and ``refused`` by judge and kind of message, ``forgeries`` that were believed."""

    believed: dict[str, int] = {}
    refused: dict[str, int] = {}
    forgeries: int = 0


async def judge(
    home: Path, peers: Peers, credentials: Path, outward: Iterable[Exchange], inward: Iterable[Exchange]
) -> Judged:
    """Let every published client that is there judge; ``outward``: house to wallets, ``inward``: wallets to house."""
    known = msgspec.json.decode(await asyncio.to_thread(credentials.read_bytes), type=MerchantCredentials)
    outward, inward = list(outward), list(inward)
    tally = _Tally()
    if peers.has(WECHAT_CLIENT):
        async with _Session(home, peers, WECHAT_CLIENT, _wechat_keys(known.wechat_pay)) as session:
            await _judge_wechat(session, tally, known.wechat_pay, outward, inward)
    for name in (ALIPAY_CLIENT, ALIPAY_OFFICIAL):
        if peers.has(name):
            keys = _alipay_keys(known.alipay, is_bare=name == ALIPAY_OFFICIAL)
            async with _Session(home, peers, name, keys) as session:
                await _judge_alipay(session, tally, outward, inward)
    return tally.judged()


class _Tally:
    """Counts by judge and kind."""

    def __init__(self) -> None:
        self._believed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._forgeries = 0

    def say(self, judge: str, kind: str, *, believed: bool) -> None:
        """Count one message."""
        (self._believed if believed else self._refused)[f"{judge}: {kind}"] += 1

    def lie(self, *, believed: bool) -> None:
        """Count one forgery."""
        self._forgeries += believed

    def judged(self) -> Judged:
        """Return the sums."""
        return Judged(dict(self._believed), dict(self._refused), self._forgeries)


class _Session:
    """One judge that is asked with its keys. ``async with`` starts and ends it."""

    def __init__(self, home: Path, peers: Peers, name: str, keys: dict[str, str]) -> None:
        self.name = name
        self._keys = keys
        self._asked = Asked(name, [peers.program(name), "-I", peers.script(name)], home)

    async def __aenter__(self) -> "_Session":
        await self._asked.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._asked.close()

    async def ask(self, act: str, **values: Any) -> dict[str, Any]:
        """Ask with the keys, of which ``values`` may replace some."""
        return await self._asked.ask(act, **(self._keys | values))

    def own(self, name: str) -> str:
        """Return one of its keys."""
        return self._keys[name]


async def _judge_wechat(
    session: _Session,
    tally: _Tally,
    known: WechatPayMerchant,
    outward: list[Exchange],
    inward: list[Exchange],
) -> None:
    asked = [each for each in outward if each.path.startswith("/v3/")]
    for each in asked[:JUDGED_MAX]:
        told = dict(_HEADER.findall(each.headers.get("authorization", "")))
        signed = await session.ask(
            "authorization",
            path=each.path,
            method=each.method,
            mchid=known.mch_id,
            serial_no=known.merchant_serial,
            body=each.body.decode(),
            timestamp=told.get("timestamp", ""),
            nonce=told.get("nonce_str", ""),
        )
        is_same = dict(_HEADER.findall(signed["header"])) == told
        tally.say(session.name, "requests of ours", believed=is_same)
        if each.status:
            text = each.answer.decode()
            verdict = await session.ask("verify", headers=_wechat_headers(each.answer_headers), body=text)
            tally.say(session.name, "answers", believed=verdict["ok"])
    notices = [each for each in inward if each.path.endswith(_NOTICE_WECHAT)]
    for each in notices[:JUDGED_MAX]:
        headers, text = _wechat_headers(each.headers), each.body.decode()
        verdict = await session.ask("callback", headers=headers, body=text)
        tally.say(session.name, "notifications", believed=verdict["read"] is not None)
    for each in notices[:1]:
        verdict = await session.ask(
            "callback", headers=_wechat_headers(each.headers), body=each.body.decode() + " "
        )
        tally.lie(believed=verdict["read"] is not None)


async def _judge_alipay(
    session: _Session, tally: _Tally, outward: list[Exchange], inward: list[Exchange]
) -> None:
    asked = [(each, _params(each)) for each in outward if not each.path.startswith("/v3/")]
    for each, params in asked[:JUDGED_MAX]:
        verdict = await session.ask("verify_request", params=params, public_key=session.own("own_public_key"))
        tally.say(session.name, "requests of ours", believed=verdict["ok"])
        if each.status:
            member = params.get("method", "").replace(".", "_") + "_response"
            verdict = await session.ask("read_response", text=each.answer.decode(), member=member)
            tally.say(session.name, "answers", believed=verdict["ok"])
    for _, params in asked[:1]:
        lie = {**params, "timestamp": "2001-01-01 00:00:00"}
        verdict = await session.ask("verify_request", params=lie, public_key=session.own("own_public_key"))
        tally.lie(believed=verdict["ok"])
    if session.name == ALIPAY_OFFICIAL:
        # The official client has no act for notifications: it leaves them to who received them.
        return
    notices = [dict(parse_qsl(each.body.decode())) for each in inward if each.path.endswith(_NOTICE_ALIPAY)]
    for notice in notices[:JUDGED_MAX]:
        verdict = await session.ask("verify_notification", params=notice)
        tally.say(session.name, "notifications", believed=verdict["ok"])
    for notice in notices[:1]:
        verdict = await session.ask("verify_notification", params={**notice, "total_amount": "0.01"})
        tally.lie(believed=verdict["ok"])


def _params(exchange: Exchange) -> dict[str, str]:
    query = parse_qsl(urlsplit(exchange.path).query, keep_blank_values=True)
    return dict(query) | dict(parse_qsl(exchange.body.decode(), keep_blank_values=True))


def _wechat_headers(headers: Any) -> dict[str, str]:
    """Return the headers that are signed, spelled as the published client looks for them."""
    return {name.title(): value for name, value in headers.items() if name.startswith("wechatpay-")}


def _wechat_keys(known: WechatPayMerchant) -> dict[str, str]:
    return {
        "private_key": known.merchant_private_key,
        "public_key": known.platform_public_key,
        "public_key_id": known.platform_public_key_id,
        "api_v3_key": known.api_v3_key,
    }


def _alipay_keys(known: AlipayMerchant, *, is_bare: bool) -> dict[str, str]:
    """Return the keys of Alipay; the official client takes them without their armor, the private one in its older form."""
    keys = {
        "app_id": known.app_id,
        "private_key": known.app_private_key,
        "public_key": known.alipay_public_key,
        "own_public_key": known.app_public_key,
    }
    if not is_bare:
        return keys
    private = load_pem_private_key(known.app_private_key.encode(), None)
    older = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return {
        "app_id": known.app_id,
        "private_key": _bare(older),
        "public_key": _bare(known.alipay_public_key),
        "own_public_key": _bare(known.app_public_key),
    }


def _bare(pem: str) -> str:
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))
