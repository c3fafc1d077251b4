"""Signatures and ciphers of the three protocols, over bytes: RSA-SHA256, AES-256-GCM and HMAC-SHA256."""

import base64
import binascii
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key


def private_key(pem: str) -> RSAPrivateKey:
    """Return the RSA key of a PEM text; raise ValueError for any other kind."""
    # The sandbox has made every one of its keys: testing the primes of each again took a tenth of each start.
    key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def public_key(pem: str) -> RSAPublicKey:
    """Return the RSA public key of a PEM text; raise ValueError for any other kind."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not an RSA key")
    return key


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """Return the RSA-SHA256 (PKCS #1 v1.5) signature in base 64, as both Chinese channels write it."""
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def is_signed(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Return whether a base 64 signature belongs to the message; any malformed one does not."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def encrypt(key: str, nonce: str, associated: str, plain: bytes) -> str:
    """Return ``plain`` under AES-256-GCM in base 64; the key is 32 characters, the nonce 12."""
    sealed = AESGCM(key.encode()).encrypt(nonce.encode(), plain, associated.encode())
    return base64.b64encode(sealed).decode()


def hmac_signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the header ``Sandbox-Signature`` of a body: ``t=<seconds>,v1=<hex HMAC-SHA256 of t.body>``."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
