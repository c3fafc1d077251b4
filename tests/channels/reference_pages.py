"""The two reference pages that are printed from code. ``python -m tests.channels.reference_pages`` writes them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import SecretStr

from tongbao.channels.adapters.alipay.channel import CAPABILITIES as ALIPAY
from tongbao.channels.adapters.iso8583.channel import Iso8583Channel, Iso8583Settings
from tongbao.channels.adapters.iso8583.line import LineSettings
from tongbao.channels.adapters.iso8583.transform import Terminal
from tongbao.channels.adapters.stripe.channel import StripeChannel, StripeChargesChannel
from tongbao.channels.adapters.stripe.requests import StripeSettings
from tongbao.channels.adapters.wechatpay.channel import CAPABILITIES as WECHAT_PAY
from tongbao.channels.policy import codes_iso8583
from tongbao.channels.policy.reasons import CODES, info
from tongbao.channels.schema import Capabilities, Reason
from tongbao.core.clock import RealClock
from tongbao.core.http import HttpClient
from tongbao.privacy.schema import RevealedCard

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
NETWORKS = {"iso8583": "ISO 8583", "stripe": "Stripe", "alipay": "Alipay", "wechat_pay": "WeChat Pay"}
SWITCHES = (
    *("manual_capture", "partial_capture", "multiple_capture", "void", "void_after_capture", "increment"),
    *("refund", "partial_refund", "refund_inquiry", "payout", "mandates", "authenticates"),
    *("inquires_by_our_reference", "notifies"),
)


class _NoCards:
    async def reveal_card(self, token: str, *, purpose: str, actor: str, subject: str) -> RevealedCard:
        raise NotImplementedError


def decline_codes() -> str:
    """The page of reasons and codes."""
    reasons = [
        [
            f"`{reason}`",
            row.fault,
            row.retry,
            f"`{row.error_code}`",
            f"`{row.decline_code}`" if row.decline_code else "–",
            f"{row.payer_en}<br>{row.payer_zh}",
            f"{row.engineer_en}<br>{row.engineer_zh}",
        ]
        for reason, row in ((reason, info(reason)) for reason in Reason)
    ]
    parts = [
        _DECLINES_HEAD,
        _table(
            ("reason", "fault", "retry", "code", "decline code", "the payer reads", "the engineer reads"),
            reasons,
        ),
        _CODES_HEAD,
    ]
    for network, title in NETWORKS.items():
        rows = [[f"`{code}`", f"`{reason}`"] for code, reason in CODES[network].items()]
        parts += [f"### {title}\n", _notes(network), _table(("code", "reason"), rows)]
    return "\n".join(part for part in parts if part)


def channels() -> str:
    """The support matrix."""
    columns = _adapters()
    rows = [[f"`{name}`", *(_tick(getattr(can, name)) for can in columns.values())] for name in SWITCHES]
    facts: list[list[str]] = [
        ["methods", *(_words(can.methods) for can in columns.values())],
        ["presentments", *(_words(can.presentments) for can in columns.values())],
        ["currencies", *(_currencies(can) for can in columns.values())],
        ["amounts on the wire", *(f"`{can.wire_unit}`" for can in columns.values())],
        ["largest amount, minor units", *(_amount(can.amount_minor_max) for can in columns.values())],
        ["an authorization lasts, days", *(_lasts(can) for can in columns.values())],
        ["`not_found` is true after, seconds", *(_settles(can) for can in columns.values())],
    ]
    return "\n".join([_CHANNELS_HEAD, _table(("", *columns), [*facts, *rows]), _CHANNELS_FOOT])


def _adapters() -> dict[str, Capabilities]:
    clock, cards, http = RealClock(), _NoCards(), HttpClient()
    line = LineSettings(host="127.0.0.1", port=8583)
    terminal = Terminal(terminal_id="1", merchant_id="1", acquirer_id="1")
    plain = Iso8583Settings(line=line, terminal=terminal)
    able = Iso8583Settings(
        line=line,
        terminal=terminal,
        inquires=True,
        authenticates=True,
        increments=True,
        captures_often=True,
        voids_captured=True,
        notice_secret=SecretStr("s"),
    )
    account = StripeSettings(
        base_url="https://x", secret_key=SecretStr("s"), webhook_secret=SecretStr("s"), increments=True
    )
    return {
        "stripe": StripeChannel("a", account, http, cards).capabilities,
        "stripe_charges": StripeChargesChannel("a", account, http, cards).capabilities,
        "iso8583, plain host": Iso8583Channel("a", plain, cards, clock).capabilities,
        "iso8583, every setting": Iso8583Channel("a", able, cards, clock).capabilities,
        "alipay": ALIPAY,
        "wechat_pay": WECHAT_PAY,
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _notes(network: str) -> str:
    if network != "iso8583":
        return ""
    return (
        f"Approved: {_codes(codes_iso8583.APPROVED)}. Not finished: `{codes_iso8583.PENDING}`. The end is open, and is "
        f"inquired before it is called a decline: {_codes(codes_iso8583.OPEN)}.\n"
    )


def _codes(codes: Iterable[str]) -> str:
    return " ".join(f"`{code}`" for code in sorted(codes))


def _words(names: Iterable[str]) -> str:
    return "<br>".join(sorted(names))


def _currencies(can: Capabilities) -> str:
    return _words(can.currencies) if len(can.currencies) < 5 else f"{len(can.currencies)} of ISO 4217"


def _amount(amount_minor: int | None) -> str:
    return "no limit" if amount_minor is None else f"{amount_minor:,}"


def _lasts(can: Capabilities) -> str:
    return str(can.authorization_days) if can.manual_capture else "–"


def _settles(can: Capabilities) -> str:
    return str(can.settles_not_found_s) if can.inquires_by_our_reference else "never"


def _tick(can: bool) -> str:
    return "yes" if can else "–"


_DECLINES_HEAD = """# Decline codes

Printed from the tables in `src/tongbao/channels/policy/`; a test holds it equal to them. To print it again:
`python -m tests.channels.reference_pages`.

A channel's own code becomes one of these reasons; the raw code is kept beside it (`Answer.code`). Everything else
follows from the reason: who is at fault (routing blames a channel for nothing else than `channel` and `network`),
what may be tried, how a Stripe-shaped error says it, and what people read. Payers are never accused and never told
what protects them from thieves, so a lost, stolen or suspected card reads like any refusal of a bank.

## Reasons
"""

_CODES_HEAD = """
## Codes by network

A code that is not listed becomes `other`.
"""

_CHANNELS_HEAD = """# Channels

What each adapter can do, printed from its capabilities; a test holds it equal to them. To print it again:
`python -m tests.channels.reference_pages`. What is said below holds for every setting switched on, except where a
column says otherwise; a call that the capabilities exclude is answered `declined` with `request_invalid` and never
sent.
"""

_CHANNELS_FOOT = """
Every adapter passes `tests/contracts/test_channels.py`: against its real peer and against servers that stay silent,
answer garbage, cut the line or are not there. Reasons and codes: [decline codes](decline-codes.md). How to add one:
[add a channel](../howto/add-a-channel.md).
"""

PAGES = {"decline-codes.md": decline_codes, "channels.md": channels}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
