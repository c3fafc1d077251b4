"""Keys of the demo merchant and of the outside world, made at the first start and kept in a folder.

Two files, both 0600: ``credentials.json`` is what a merchant gets to know and what the app reads; ``world_keys.json``
holds the private keys of Alipay and WeChat Pay, which no merchant ever sees.
"""

import os
import random
import secrets
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from tongbao.core.clock import Clock
from tongbao.core.errors import Conflict
from tongbao.simulator.sandbox import signing

MERCHANT_FILE = "credentials.json"
WORLD_FILE = "world_keys.json"
RSA_BITS = 2048
CERTIFICATE_DAYS = 5 * 365


class AlipayMerchant(msgspec.Struct, kw_only=True):
    """What a merchant needs for Alipay: RSA2, PEM (PKCS #8 private, SubjectPublicKeyInfo public)."""

    app_id: str
    seller_id: str
    app_private_key: str
    app_public_key: str
    alipay_public_key: str
    gateway_url: str = ""


class WechatPayMerchant(msgspec.Struct, kw_only=True):
    """What a merchant needs for WeChat Pay: its key, the API v3 key, and both ways to check the platform."""

    app_id: str
    mch_id: str
    merchant_serial: str
    merchant_private_key: str
    merchant_public_key: str
    api_v3_key: str
    platform_public_key_id: str
    platform_public_key: str
    platform_certificate_serial: str
    platform_certificate: str
    base_url: str = ""


class AcquirerMerchant(msgspec.Struct, kw_only=True):
    """What a merchant needs for one card acquirer."""

    acquirer_id: str
    merchant_id: str
    terminal_id: str
    notification_secret: str
    host: str = ""
    port: int = 0


class MerchantCredentials(msgspec.Struct, kw_only=True):
    """The content of ``credentials.json``; addresses are those of the last start."""

    alipay: AlipayMerchant
    wechat_pay: WechatPayMerchant
    acquirers: dict[str, AcquirerMerchant]


class WorldKeys(msgspec.Struct, kw_only=True):
    """The content of ``world_keys.json``."""

    alipay_private_key: str
    wechat_pay_private_key: str
    wechat_pay_certificate_private_key: str


class Credentials(msgspec.Struct, kw_only=True):
    """Both sides."""

    merchant: MerchantCredentials
    world: WorldKeys

    def __repr__(self) -> str:
        return "Credentials(***)"

    @classmethod
    def generate(cls, clock: Clock, acquirers: tuple[str, ...] = ()) -> "Credentials":
        """Make new RSA pairs, serials and shared secrets. They are true secrets: the seed has no part in them."""
        app_private, app_public = _rsa_pair()
        alipay_private, alipay_public = _rsa_pair()
        merchant_private, merchant_public = _rsa_pair()
        platform_private, platform_public = _rsa_pair()
        certified_private, _ = _rsa_pair()
        certificate = _certificate(certified_private, clock)
        return cls(
            merchant=MerchantCredentials(
                alipay=AlipayMerchant(
                    app_id=f"2021{_digits(12)}",
                    seller_id=f"2088{_digits(12)}",
                    app_private_key=app_private,
                    app_public_key=app_public,
                    alipay_public_key=alipay_public,
                ),
                wechat_pay=WechatPayMerchant(
                    app_id=f"wx{secrets.token_hex(8)}",
                    mch_id=f"19{_digits(8)}",
                    merchant_serial=secrets.token_hex(20).upper(),
                    merchant_private_key=merchant_private,
                    merchant_public_key=merchant_public,
                    api_v3_key=secrets.token_hex(16),
                    platform_public_key_id=f"PUB_KEY_ID_{_digits(10)}{secrets.token_hex(8).upper()}",
                    platform_public_key=platform_public,
                    platform_certificate_serial=f"{certificate.serial_number:040X}",
                    platform_certificate=certificate.public_bytes(Encoding.PEM).decode(),
                ),
                acquirers={name: _acquirer() for name in acquirers},
            ),
            world=WorldKeys(
                alipay_private_key=alipay_private,
                wechat_pay_private_key=platform_private,
                wechat_pay_certificate_private_key=certified_private,
            ),
        )

    @classmethod
    def open(cls, home: Path, clock: Clock, acquirers: tuple[str, ...] = ()) -> "Credentials":
        """Read the keys of a folder, or make them there at the first start; acquirers that are new get theirs.

        Raises Conflict ``credentials_damaged`` where a file is missing or unreadable: new keys would lock out
        an app that holds the old ones, so they are never made silently.
        """
        merchant_file, world_file = home / MERCHANT_FILE, home / WORLD_FILE
        if not merchant_file.exists() and not world_file.exists():
            made = cls.generate(clock, acquirers)
            made.save(home)
            return made
        try:
            read = cls(
                merchant=msgspec.json.decode(merchant_file.read_bytes(), type=MerchantCredentials),
                world=msgspec.json.decode(world_file.read_bytes(), type=WorldKeys),
            )
        except (OSError, msgspec.MsgspecError) as error:
            raise Conflict(
                "credentials_damaged",
                f"the keys in {home} cannot be read ({type(error).__name__}); remove both files for new ones",
            ) from None
        for name in acquirers:
            read.merchant.acquirers.setdefault(name, _acquirer())
        return read

    def save(self, home: Path) -> None:
        """Write both files, readable by their owner only, each whole or not at all."""
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(home / WORLD_FILE, self.world)
        _write(home / MERCHANT_FILE, self.merchant)


def _write(path: Path, content: msgspec.Struct) -> None:
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _rsa_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def _certificate(pem: str, clock: Clock) -> x509.Certificate:
    """Return a certificate over a key, signed by itself: the platform's own authority is not played."""
    key = signing.private_key(pem)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sandbox of WeChat Pay")])
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .sign(key, SHA256())
    )


def _acquirer() -> AcquirerMerchant:
    return AcquirerMerchant(
        acquirer_id=_digits(6),
        merchant_id=_digits(15),
        terminal_id=_digits(8),
        notification_secret=f"whsec_{secrets.token_hex(24)}",
    )


def _digits(count: int) -> str:
    return "".join(random.SystemRandom().choices("123456789", k=count))
