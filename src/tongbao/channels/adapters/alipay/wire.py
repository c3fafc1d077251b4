"""The form of what passes between Alipay and us: what is signed, and what is believed.

- A request is signed over all its parameters, sorted by name and joined as ``name=value`` with ``&``; the common ones
  travel in the query, the business content in the body, as Alipay's own clients send them.
- An answer is signed over the bytes of its ``*_response`` member exactly as they came. They are cut out of the text,
  verified, and only then read; nothing around them is ever believed.
- A notification is signed over its decoded form fields without ``sign`` and ``sign_type``.

Source: Alipay open platform, 'signing' and 'asynchronous notification', checked against two published clients.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from tongbao.channels.adapters import signatures

FIELDS_MAX = 200
SIGN_TYPE = "RSA2"
# Up to twelve digits of yuan: far above any limit of Alipay's, far below 63 bits of fen.
AmountText = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,12}(\.[0-9]{1,2})?\Z")]


class Reply(msgspec.Struct, frozen=True):
    """The fields of Alipay's answers and notifications that are acted on; what was not said is None.

    ``refund_fee`` is all that was returned of a trade so far, ``refund_amount`` one refund. Amounts are yuan.
    """

    code: str = ""
    msg: str = ""
    sub_code: str | None = None
    sub_msg: str | None = None
    out_trade_no: str | None = None
    trade_no: str | None = None
    trade_status: str | None = None
    total_amount: AmountText | None = None
    trans_currency: Literal["CNY"] = "CNY"
    gmt_payment: datetime | None = None
    send_pay_date: datetime | None = None
    qr_code: str | None = None
    out_request_no: str | None = None
    out_biz_no: str | None = None
    fund_change: str | None = None
    refund_fee: AmountText | None = None
    refund_amount: AmountText | None = None
    refund_status: str | None = None
    gmt_refund: str | None = None
    gmt_refund_pay: datetime | None = None
    retry_flag: str | None = None
    status: str | None = None
    order_id: str | None = None
    trans_amount: AmountText | None = None
    trans_date: datetime | None = None
    pay_date: datetime | None = None
    error_code: str | None = None
    fail_reason: str | None = None


class Notice(msgspec.Struct, frozen=True):
    """The fields of a notification that say what it is and whether it is meant for us.

    Messages of newer interfaces name a ``msg_method`` and tell the time in milliseconds since 1970.
    """

    notify_id: Annotated[str, msgspec.Meta(min_length=1)]
    app_id: str
    seller_id: str | None = None
    notify_type: str = ""
    msg_method: str = ""
    notify_time: datetime | None = None
    utc_timestamp: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,14}\Z")] | None = None


class Untrusted(Exception):
    """An answer that cannot be believed; its text is fit for engineers and never quotes the answer."""


def sign_content(params: Mapping[str, str]) -> bytes:
    """Return what is signed: ``name=value`` of all parameters, sorted by name, joined with ``&``."""
    return "&".join(f"{name}={value}" for name, value in sorted(params.items())).encode()


def signed(params: Mapping[str, str], key: RSAPrivateKey) -> dict[str, str]:
    """Return ``params`` with their signature as ``sign``."""
    return {**params, "sign": signatures.sign(key, sign_content(params))}


def split(params: Mapping[str, str]) -> tuple[str, bytes]:
    """Return signed parameters as query and form body."""
    common = {name: value for name, value in params.items() if name != "biz_content"}
    return urlencode(common), urlencode({"biz_content": params["biz_content"]}).encode()


def read_reply(body: bytes, method: str, key: RSAPublicKey) -> Reply:
    """Return Alipay's answer to ``method`` after its signature was verified; raise Untrusted."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        raw = bytes(members.get(method.replace(".", "_") + "_response") or members["error_response"])
        signature = msgspec.json.decode(members["sign"], type=str)
    except KeyError as error:
        raise Untrusted(f"no member {error.args[0]}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Untrusted("not the JSON of an answer") from None
    if not signatures.is_signed(key, raw, signature):
        raise Untrusted("wrong signature")
    try:
        return msgspec.json.decode(raw, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Untrusted("signed, yet unreadable") from None


def read_form(body: bytes, key: RSAPublicKey) -> dict[str, str]:
    """Return the fields of a notification after its signature was verified; raise Untrusted.

    Empty fields are no part of the signature, so they are no part of what is believed either.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        raise Untrusted("not a form in UTF-8") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Untrusted("a field twice")
    signature, sign_type = fields.pop("sign", ""), fields.pop("sign_type", "")
    if sign_type != SIGN_TYPE or not signatures.is_signed(key, sign_content(fields), signature):
        raise Untrusted("wrong signature")
    return fields
