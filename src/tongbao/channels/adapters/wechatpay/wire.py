"""The form of what passes between WeChat Pay and us: what is signed, what is believed, what is sealed.

- A request carries ``Authorization``: a signature over method, path with query, time, nonce and body.
- An answer and a notification carry ``Wechatpay-*`` headers: a signature over time, nonce and the body's bytes, by a
  key that its serial names. It is verified before the body is read. The time is required and may not be older than
  ``AGE_MAX``; a clock ahead of ours is no replay.
- What a notification is about is sealed with AES-256-GCM under the API v3 key.

Source: WeChat Pay API v3, 'signature authentication' and 'decrypting certificates and callbacks'.
"""

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tongbao.channels.adapters import signatures
from tongbao.core.clock import EPOCH

SCHEME = "WECHATPAY2-SHA256-RSA2048"
AGE_MAX = timedelta(minutes=5)
TIMESTAMP_DIGITS_MAX = 11
Fen = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]


class Amount(msgspec.Struct, frozen=True):
    """An amount of a payment or a refund, in fen. Notifications of refunds name no currency."""

    total: Fen | None = None
    refund: Fen | None = None
    currency: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """The fields of answers and of sealed resources that are acted on; what was not said is None."""

    code: str | None = None
    message: str | None = None
    appid: str | None = None
    mchid: str | None = None
    code_url: str | None = None
    h5_url: str | None = None
    prepay_id: str | None = None
    out_trade_no: str | None = None
    transaction_id: str | None = None
    trade_state: str | None = None
    trade_state_desc: str | None = None
    success_time: datetime | None = None
    amount: Amount | None = None
    out_refund_no: str | None = None
    refund_id: str | None = None
    status: str | None = None
    refund_status: str | None = None
    out_bill_no: str | None = None
    transfer_bill_no: str | None = None
    state: str | None = None
    transfer_amount: Fen | None = None
    fail_reason: str | None = None
    package_info: str | None = None
    update_time: datetime | None = None


class Resource(msgspec.Struct, frozen=True):
    """What a notification seals."""

    algorithm: str
    ciphertext: str
    nonce: str
    associated_data: str = ""


class Notice(msgspec.Struct, frozen=True):
    """A notification around its sealed resource."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    event_type: str
    resource_type: str
    resource: Resource


class Untrusted(Exception):
    """A message that cannot be believed; its text is fit for engineers and never quotes the message."""


def authorization(
    key: RSAPrivateKey, parties: Mapping[str, str], at: datetime, nonce: str, message: tuple[str, str, bytes]
) -> str:
    """Return the ``Authorization`` header of a request.

    ``parties``: ``mchid`` and ``serial_no``. ``message``: the method, the path with its query, and the body.
    """
    method, path, body = message
    seconds = str(timestamp(at))
    signed = f"{method}\n{path}\n{seconds}\n{nonce}\n".encode() + body + b"\n"
    fields = {
        **parties,
        "nonce_str": nonce,
        "timestamp": seconds,
        "signature": signatures.sign(key, signed),
    }
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in fields.items())


def timestamp(at: datetime) -> int:
    """Return whole seconds since 1970."""
    return (at - EPOCH) // timedelta(seconds=1)


def verify(keys: Mapping[str, RSAPublicKey], headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raise Untrusted unless WeChat Pay signed ``body`` not long ago; ``headers`` in lower case."""
    if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
        raise Untrusted("an unknown kind of signature")
    key = keys.get(headers.get("wechatpay-serial", ""))
    if key is None:
        raise Untrusted("signed by nobody known")
    seconds, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= TIMESTAMP_DIGITS_MAX):
        raise Untrusted("no time of signing")
    message = f"{seconds}\n{nonce}\n".encode() + body + b"\n"
    if not signatures.is_signed(key, message, headers.get("wechatpay-signature", "")):
        raise Untrusted("wrong signature")
    if now - EPOCH - timedelta(seconds=int(seconds)) > AGE_MAX:
        raise Untrusted("signed too long ago")


def unseal(api_v3_key: bytes, resource: Resource) -> bytes:
    """Return what a resource seals; raise Untrusted where it was not sealed with our key, or altered."""
    if resource.algorithm != "AEAD_AES_256_GCM":
        raise Untrusted("an unknown kind of seal")
    try:
        ciphertext = base64.b64decode(resource.ciphertext, validate=True)
        return AESGCM(api_v3_key).decrypt(
            resource.nonce.encode(), ciphertext, resource.associated_data.encode()
        )
    except (InvalidTag, ValueError):
        raise Untrusted("a broken seal") from None


def read_reply(body: bytes) -> Reply:
    """Return the fields of a verified body, which may be empty; raise Untrusted where it is unreadable."""
    try:
        return msgspec.json.decode(body, type=Reply) if body else Reply()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Untrusted("signed, yet unreadable") from None
