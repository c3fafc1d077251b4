import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.channels import signed_world as world
from tests.conftest import utc

from tongbao.channels.adapters import signatures
from tongbao.channels.errors import ChannelMisconfigured


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(world.key(world.PLATFORM).public_key())
        .serial_number(7)
        .not_valid_before(utc(2026, 1, 1))
        .not_valid_after(utc(2031, 1, 1))
        .sign(world.key(world.PLATFORM), SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode()


def private_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> str:
    shut = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, shut).decode()


PKCS1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


@pytest.mark.parametrize(
    "text",
    [
        world.private_pem(world.MERCHANT, PKCS1),
        world.private_pem(world.MERCHANT, PKCS8),
        world.bare(world.private_pem(world.MERCHANT, PKCS1)),
        world.bare(world.private_pem(world.MERCHANT, PKCS8)),
        "\n  " + world.private_pem(world.MERCHANT).replace("\n", "\r\n") + "\n",
        "Bag Attributes: none\n" + world.private_pem(world.MERCHANT),
    ],
    ids=["pkcs1", "pkcs8", "bare pkcs1", "bare pkcs8", "windows", "with attributes"],
)
def test_load_private_key_in_any_form_is_the_same_key(text: str) -> None:
    loaded = signatures.load_private_key("route", text)
    assert loaded.private_numbers() == world.key(world.MERCHANT).private_numbers()


@pytest.mark.parametrize(
    "text",
    [
        world.public_pem(world.PLATFORM),
        world.public_pem(world.PLATFORM, PublicFormat.PKCS1),
        world.bare(world.public_pem(world.PLATFORM)),
        certificate(),
    ],
    ids=["pem", "pkcs1", "bare", "certificate"],
)
def test_load_public_key_in_any_form_is_the_same_key(text: str) -> None:
    loaded = signatures.load_public_key("route", text)
    assert loaded.public_numbers() == world.key(world.PLATFORM).public_key().public_numbers()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("not base64!", "cannot be read"),
        (base64.b64encode(b"not a key").decode(), "cannot be read"),
        (world.private_pem(world.MERCHANT)[:-200], "cannot be read"),
        (world.public_pem(world.PLATFORM), "cannot be read"),
        (private_of(world.key(world.MERCHANT), b"secret"), "cannot be read"),
        (private_of(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
        (private_of(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "no RSA key of 2048"),
    ],
    ids=["empty", "text", "other content", "cut", "public", "shut", "elliptic", "short"],
)
def test_load_private_key_without_a_usable_key_is_misconfigured_and_quotes_nothing(
    text: str, why: str
) -> None:
    with pytest.raises(ChannelMisconfigured, match=why) as caught:
        signatures.load_private_key("route", text)
    assert text == "" or text not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "x", world.private_pem(world.MERCHANT)])
def test_load_public_key_without_one_is_misconfigured(text: str) -> None:
    with pytest.raises(ChannelMisconfigured):
        signatures.load_public_key("route", text)


def test_load_public_key_of_another_kind_is_misconfigured() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(ChannelMisconfigured, match="no RSA key"):
        signatures.load_public_key("route", text)


@given(st.binary(max_size=300))
def test_sign_equals_what_the_reference_signs_and_verifies(message: bytes) -> None:
    signature = signatures.sign(world.key(world.MERCHANT), message)
    assert signature == world.sign(world.MERCHANT, message)
    public = world.key(world.MERCHANT).public_key()
    assert signatures.is_signed(public, message, signature)
    assert not signatures.is_signed(public, message + b"x", signature)
    assert not signatures.is_signed(world.key(world.STRANGER).public_key(), message, signature)


@pytest.mark.parametrize("signature", ["", "====", "not base64", "c2hvcnQ=", "中文"])
def test_is_signed_with_no_signature_is_false(signature: str) -> None:
    assert not signatures.is_signed(world.key(world.PLATFORM).public_key(), b"message", signature)
