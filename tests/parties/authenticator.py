"""An authenticator in software: makes passkeys and signs as WebAuthn level 3 says, and cheats where a test wants it."""

import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tongbao.core.ids import IdFactory

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class Credential:
    """A passkey with its key and its counter; ``step`` 0 is an authenticator that does not count."""

    id: bytes
    key: ec.EllipticCurvePrivateKey
    user_handle: bytes
    count: int = 0
    step: int = 0


@dataclass
class Authenticator:
    """A phone with a browser on one site. Whatever a test sets here goes into the next answer."""

    ids: IdFactory
    origin: str
    rp_id: str = ""
    flags: int = PRESENT | VERIFIED
    cross_origin: bool = False
    credentials: list[Credential] = field(default_factory=list)

    def create(self, options: str, *, step: int = 0) -> bytes:
        """Answer ``PublicKeyCredentialCreationOptions`` with a new passkey, as JSON."""
        asked = json.loads(options)
        made = Credential(
            self.ids.uuid().bytes * 2,
            ec.generate_private_key(ec.SECP256R1()),
            decoded(asked["user"]["id"]),
            count=step,
            step=step,
        )
        self.credentials.append(made)
        attested = bytes(16) + struct.pack(">H", len(made.id)) + made.id + cose(made.key)
        data = self._data(asked["rp"]["id"], made.count, ATTESTED) + attested
        said = {
            "clientDataJSON": encoded(self._client("webauthn.create", asked["challenge"])),
            "attestationObject": encoded(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
            "transports": ["internal", "hybrid"],
        }
        return _answer(made, said)

    def get(
        self,
        options: str,
        credential: Credential | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        """Answer ``PublicKeyCredentialRequestOptions`` with a passkey, the last one unless told; ``key`` forges."""
        asked = json.loads(options)
        used = credential or self.credentials[-1]
        used.count += used.step
        data = self._data(asked["rpId"], used.count)
        client = self._client("webauthn.get", asked["challenge"])
        signed = (key or used.key).sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        said = {
            "clientDataJSON": encoded(client),
            "authenticatorData": encoded(data),
            "signature": encoded(signed),
            "userHandle": encoded(used.user_handle),
        }
        return _answer(used, said)

    def _data(self, asked_rp: str, count: int, more_flags: int = 0) -> bytes:
        rp = hashlib.sha256((self.rp_id or asked_rp).encode()).digest()
        return rp + struct.pack(">BI", self.flags | more_flags, count)

    def _client(self, kind: str, challenge: str) -> bytes:
        client = {
            "type": kind,
            "challenge": challenge,
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        }
        return json.dumps(client).encode()


def cose(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A public key as authenticators tell it: ES256 over P-256 (RFC 9053)."""
    numbers = key.public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})


def encoded(content: bytes) -> str:
    """Bytes in base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _answer(credential: Credential, said: Mapping[str, object]) -> bytes:
    named = encoded(credential.id)
    answer = {
        "id": named,
        "rawId": named,
        "type": "public-key",
        "response": said,
        "clientExtensionResults": {},
    }
    return json.dumps(answer).encode()
