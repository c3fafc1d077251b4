"""RSA signatures (SHA-256, PKCS #1 v1.5) and the many forms in which merchants are handed the keys for them.

A key is accepted as PKCS #1, PKCS #8, SubjectPublicKeyInfo or X.509 certificate, in PEM or as the bare base64 that
portals show. Keys below ``KEY_BITS_MIN`` are refused. No error quotes a key. Source: RFC 8017 (8.2), RFC 7468.
"""

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from tongbao.channels.errors import ChannelMisconfigured

KEY_BITS_MIN = 2048
_ARMOR = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


def load_private_key(channel: str, text: str) -> RSAPrivateKey:
    """Return the RSA private key in ``text``; raise ChannelMisconfigured where there is none."""
    try:
        key = load_der_private_key(_der(text)[1], password=None)
    except _UNREADABLE:
        raise ChannelMisconfigured(channel, "its private key cannot be read") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise ChannelMisconfigured(channel, f"its private key is no RSA key of {KEY_BITS_MIN} bits or more")
    return key


def load_public_key(channel: str, text: str) -> RSAPublicKey:
    """Return the RSA public key in ``text``, a key or a certificate; raise ChannelMisconfigured without one."""
    try:
        label, der = _der(text)
        is_certificate = label == "CERTIFICATE"
        key = x509.load_der_x509_certificate(der).public_key() if is_certificate else load_der_public_key(der)
    except _UNREADABLE:
        raise ChannelMisconfigured(channel, "the other side's public key cannot be read") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < KEY_BITS_MIN:
        raise ChannelMisconfigured(
            channel, f"the other side's public key is no RSA key of {KEY_BITS_MIN} bits or more"
        )
    return key


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """Return the signature of ``message`` in base64; equal input gives an equal signature."""
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode("ascii")


def is_signed(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Return whether ``signature`` (base64) is one of ``message``; False for anything that is no base64."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _der(text: str) -> tuple[str, bytes]:
    """Return the label (empty for bare base64) and the content of the first PEM block; raise ValueError."""
    found = _ARMOR.search(text)
    label, body = (found[1], found[2]) if found else ("", text)
    try:
        return label, base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("neither PEM nor base64") from error
