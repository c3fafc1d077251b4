"""The channels that must pass the conformance checks: one ``Case`` a line, nothing else to do for a new one.

A case says how to start the peer, how to open the adapter on an address, which methods the peer takes and
declines, and what the peer itself cannot do; the checks in ``test_channels.py`` then apply by themselves.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import SecretStr
from tests.channels.cards import (
    NOON,
    Cards,
    ReadRequest,
    authorize,
    card,
    http_answer,
    inquire,
    read_frame,
    read_http,
)
from tests.peers import programs
from tests.peers.programs import Address

from tongbao.channels.adapters.alipay import transform as alipay_transform
from tongbao.channels.adapters.alipay.channel import AlipayChannel
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.adapters.iso8583 import dialect
from tongbao.channels.adapters.iso8583.channel import Iso8583Channel, Iso8583Settings
from tongbao.channels.adapters.iso8583.line import LineSettings
from tongbao.channels.adapters.iso8583.transform import Terminal
from tongbao.channels.adapters.stripe import transform as stripe_transform
from tongbao.channels.adapters.stripe.channel import StripeChannel, StripeChargesChannel
from tongbao.channels.adapters.stripe.requests import StripeSettings
from tongbao.channels.adapters.wechatpay import transform as wechatpay_transform
from tongbao.channels.adapters.wechatpay.channel import WechatPayChannel
from tongbao.channels.adapters.wechatpay.settings import WechatPaySettings
from tongbao.channels.policy.reasons import standard
from tongbao.channels.ports import Channel
from tongbao.channels.schema import (
    Alipay,
    Authorize,
    Inquire,
    Method,
    Operation,
    Presentment,
    Reason,
    WechatPay,
)
from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.http import HttpClient
from tongbao.privacy.schema import RevealedCard
from tongbao.simulator.sandbox.credentials import Credentials, MerchantCredentials
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

KEY = "sk_test_1234"
Open = Callable[[Address, float], AbstractAsyncContextManager[Channel]]
Peer = Callable[[], AbstractAsyncContextManager[Address]]
Wire = Callable[[int, str], int | str | None]
"""Amount in minor units and currency → what stands on the wire; None where the channel refuses the amount."""


@dataclass(frozen=True)
class Case:
    """One adapter with its peer. What the peer cannot do is False, and the check is skipped with that reason.

    ``bad`` are the fields of a call that the peer declines. ``prelude`` answers requests that move no money, so that a bad server fails on the one that does.
    ``large_refund_reason`` is None where the peer pays back whatever it is asked. ``to_wire`` and ``from_wire`` are the adapter's only conversion of amounts.
    """

    name: str
    peer: Peer
    open: Open
    good: Method
    bad: Mapping[str, Any]
    bad_reason: Reason
    read_request: ReadRequest
    garbage: bytes
    to_wire: Wire
    from_wire: Callable[[Any, str], int]
    prelude: Callable[[bytes], bytes | None] = lambda _request: None
    large_refund_reason: Reason | None = Reason.REFUND_TOO_LARGE
    repeats_safely: bool = True
    says_amount_captured: bool = True
    slow: Method | None = None
    currency: str = "USD"
    only_this_currency: bool = False

    def call(self, reference: str, amount_minor: int = 2_500, **fields: Any) -> Authorize:
        """A call that the peer takes."""
        values = {"method": self.good, "currency": self.currency, "amount_minor": amount_minor, **fields}
        return authorize(reference, **values)

    def ask(self, operation: Operation, reference: str, authorization: str, **fields: Any) -> Inquire:
        """A question about a call that the peer took."""
        values = {"method": self.good, "currency": self.currency, **fields}
        return inquire(operation, reference, authorization, **values)


def _process(start: Callable[[], AbstractContextManager[Address]]) -> Peer:
    """A peer that is a program of its own."""

    @asynccontextmanager
    async def running() -> AsyncIterator[Address]:
        with start() as address:
            yield address

    return running


@asynccontextmanager
async def open_stripe(address: Address, timeout_s: float) -> AsyncIterator[Channel]:
    http = HttpClient()
    settings = StripeSettings(
        base_url=address.url,
        secret_key=SecretStr(KEY),
        webhook_secret=SecretStr("whsec_1"),
        plain=True,
        timeout_s=timeout_s,
    )
    yield StripeChannel("stripe_a", settings, http, Cards())
    await http.close()


@asynccontextmanager
async def open_charges(address: Address, timeout_s: float) -> AsyncIterator[Channel]:
    http = HttpClient()
    settings = StripeSettings(
        base_url=address.url,
        secret_key=SecretStr(KEY),
        webhook_secret=SecretStr("whsec_1"),
        plain=True,
        timeout_s=timeout_s,
    )
    yield StripeChargesChannel("charges_a", settings, http, Cards(), source=_test_token)
    await http.close()


@asynccontextmanager
async def open_iso8583(address: Address, timeout_s: float) -> AsyncIterator[Channel]:
    line = LineSettings(host=address.host, port=address.port, timeout_s=timeout_s, signs_on=False, echo_s=0)
    terminal = Terminal(terminal_id="TB000001", merchant_id="MERCHANT0000001", acquirer_id="00000123456")
    channel = Iso8583Channel(
        "acquirer_a", Iso8583Settings(line=line, terminal=terminal), Cards(), FrozenClock(NOON)
    )
    yield channel
    await channel.close()


_TERMINALS: dict[Address, Terminal] = {}


@asynccontextmanager
async def sandbox_acquirer() -> AsyncIterator[Address]:
    """An acquirer of our own sandbox: repeats, inquiries and limits as the dialect has them."""
    async with Sandbox(SandboxConfig(acquirers={"east": 0})) as sandbox:
        known = sandbox.credentials.merchant.acquirers["east"]
        address = Address(known.host, known.port)
        _TERMINALS[address] = Terminal(
            terminal_id=known.terminal_id, merchant_id=known.merchant_id, acquirer_id=known.acquirer_id
        )
        yield address


@asynccontextmanager
async def open_sandbox_acquirer(address: Address, timeout_s: float) -> AsyncIterator[Channel]:
    stranger = Terminal(terminal_id="T", merchant_id="M", acquirer_id="1")
    signs_on = address in _TERMINALS
    line = LineSettings(
        host=address.host, port=address.port, timeout_s=timeout_s, signs_on=signs_on, echo_s=0
    )
    settings = Iso8583Settings(
        line=line,
        terminal=_TERMINALS.get(address, stranger),
        inquires=True,
        increments=True,
        captures_often=True,
        notice_secret=SecretStr("a secret"),
    )
    channel = Iso8583Channel("acquirer_east", settings, Cards(), FrozenClock(NOON))
    yield channel
    await channel.close()


_MERCHANTS: dict[Address, MerchantCredentials] = {}


@asynccontextmanager
async def sandbox_gateways() -> AsyncIterator[Address]:
    """Alipay and WeChat Pay as our own sandbox plays them."""
    async with Sandbox(SandboxConfig()) as sandbox:
        address = Address("127.0.0.1", sandbox.http_port)
        _MERCHANTS[address] = sandbox.credentials.merchant
        yield address


@cache
def _stranger() -> MerchantCredentials:
    """Keys for a server that would never check them."""
    return Credentials.generate(RealClock(), ()).merchant


def _merchant_at(address: Address) -> MerchantCredentials:
    return _MERCHANTS.get(address) or _stranger()


@asynccontextmanager
async def open_alipay(address: Address, timeout_s: float) -> AsyncIterator[Channel]:
    known = _merchant_at(address).alipay
    settings = AlipaySettings(
        app_id=known.app_id,
        seller_id=known.seller_id,
        app_private_key_pem=SecretStr(known.app_private_key),
        alipay_public_key_pem=known.alipay_public_key,
        gateway_url=f"{address.url}/gateway.do",
        timeout_s=timeout_s,
    )
    http = HttpClient()
    yield AlipayChannel("alipay_a", settings, http, RealClock(), standard)
    await http.close()


@asynccontextmanager
async def open_wechat_pay(address: Address, timeout_s: float) -> AsyncIterator[Channel]:
    known = _merchant_at(address).wechat_pay
    settings = WechatPaySettings(
        app_id=known.app_id,
        mch_id=known.mch_id,
        merchant_private_key_pem=SecretStr(known.merchant_private_key),
        merchant_serial=known.merchant_serial,
        platform_public_keys={known.platform_public_key_id: known.platform_public_key},
        api_v3_key=SecretStr(known.api_v3_key),
        base_url=address.url,
        notify_url="https://merchant.test/notify",
        timeout_s=timeout_s,
    )
    http = HttpClient()
    yield WechatPayChannel("wechat_a", settings, http, RealClock(), standard)
    await http.close()


def _test_token(revealed: RevealedCard) -> Mapping[str, str]:
    """The replica knows test cards by Stripe's names for them only."""
    names = {"4242424242424242": "tok_visa", "4000000000009995": "tok_chargeDeclinedInsufficientFunds"}
    return {"source": names[revealed.number]}


def _payment_method(request: bytes) -> bytes | None:
    return http_answer(b'{"id": "pm_1"}') if b" /v1/payment_methods " in request else None


def _stripe_wire(amount_minor: int, currency: str) -> int | None:
    try:
        return stripe_transform.to_wire(amount_minor, currency)
    except stripe_transform.Unwritable:
        return None


def _host() -> AbstractContextManager[Address]:
    def on_card(number: str, **rule: Any) -> dict[str, Any]:
        return {"match": {"pan_prefix": [number], "mti": ["0100", "0200"]}, **rule}

    return programs.iso8583sim(
        [
            on_card("4000000000009995", respond="51"),
            on_card("4000000000000077", delay_ms=400),
            on_card("4000000000000259", action="drop"),
        ]
    )


def iso_amount_text(amount_minor: int, _currency: str) -> str:
    return dialect.amount_text(amount_minor)


CASES = [
    Case(
        name="stripe",
        peer=_process(programs.localstripe),
        open=open_stripe,
        good=card(),
        bad={"method": card("4000000000000341")},
        bad_reason=Reason.DO_NOT_HONOR,
        read_request=read_http,
        garbage=http_answer(b"<html>\xff"),
        to_wire=_stripe_wire,
        from_wire=stripe_transform.from_wire,
        prelude=_payment_method,
        large_refund_reason=None,
        repeats_safely=False,
        says_amount_captured=False,
    ),
    Case(
        name="stripe_charges",
        peer=_process(programs.stripe_stateful_mock),
        open=open_charges,
        good=card(),
        bad={"method": card("4000000000009995")},
        bad_reason=Reason.INSUFFICIENT_FUNDS,
        read_request=read_http,
        garbage=http_answer(b"[]"),
        to_wire=_stripe_wire,
        from_wire=stripe_transform.from_wire,
    ),
    Case(
        name="iso8583",
        peer=_process(_host),
        open=open_iso8583,
        good=card(),
        bad={"method": card("4000000000009995")},
        bad_reason=Reason.INSUFFICIENT_FUNDS,
        read_request=read_frame,
        garbage=b"\x00\x10not a message at",
        to_wire=iso_amount_text,
        from_wire=lambda text, _currency: dialect.amount_minor(text),
        large_refund_reason=None,
        repeats_safely=False,
        slow=card("4000000000000077"),
    ),
    Case(
        name="iso8583_sandbox",
        peer=sandbox_acquirer,
        open=open_sandbox_acquirer,
        good=card(),
        bad={"method": card("4000000000009979")},
        bad_reason=Reason.CARD_STOLEN,
        read_request=read_frame,
        garbage=b"\x00\x10not a message at",
        to_wire=iso_amount_text,
        from_wire=lambda text, _currency: dialect.amount_minor(text),
    ),
    Case(
        name="alipay",
        peer=sandbox_gateways,
        open=open_alipay,
        good=Alipay(presentment=Presentment.PAYER_CODE, payer_code="281234567890123456"),
        bad={"amount_minor": 2_551},
        bad_reason=Reason.INSUFFICIENT_FUNDS,
        read_request=read_http,
        garbage=http_answer(b"<html>"),
        to_wire=lambda amount_minor, code: alipay_transform.to_wire(amount_minor) if code == "CNY" else None,
        from_wire=lambda text, _currency: alipay_transform.from_wire(text),
        currency="CNY",
        only_this_currency=True,
    ),
    Case(
        name="wechat_pay",
        peer=sandbox_gateways,
        open=open_wechat_pay,
        large_refund_reason=Reason.REQUEST_INVALID,  # one code for all that is wrong with a request
        good=WechatPay(presentment=Presentment.PAYER_CODE, payer_code="131234567890123456"),
        bad={"amount_minor": 2_551},
        bad_reason=Reason.INSUFFICIENT_FUNDS,
        read_request=read_http,
        garbage=http_answer(b"<html>"),
        to_wire=lambda amount_minor, code: (
            wechatpay_transform.to_wire(amount_minor) if code == "CNY" else None
        ),
        from_wire=lambda wire, _currency: wechatpay_transform.from_wire(wire),
        currency="CNY",
        only_this_currency=True,
    ),
]
