"""WebAuthn by the library ``webauthn``: what browsers are asked, and what the answers of authenticators are worth.

Level 3 of the standard: 7.1 registration, 7.2 authentication. The library checks; what is asked before it here only tells
the payer which check failed. Functions are synchronous, read no database and take about a millisecond; the library is
loaded (0.4 s) when the first of them is called. An answer is JSON as ``PublicKeyCredential.toJSON`` makes it.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from tongbao.core.lazy import Lazily
from tongbao.core.logs import get_logger
from tongbao.parties.schema import Passkey, PasskeyVerdict, RelyingParty

ANSWER_BYTES_MAX = 12_000
TIMEOUT_MS = 120_000
"""How long a browser waits for the payer, who may have to look for a finger or a PIN."""

_log = get_logger("passkeys")
_webauthn = Lazily("webauthn")
_helpers = Lazily("webauthn.helpers")
_structs = Lazily("webauthn.helpers.structs")
_errors = Lazily("webauthn.helpers.exceptions")


class Ceremony(NamedTuple):
    """One question: by whom it is asked, and the challenge in it."""

    party: RelyingParty
    challenge: bytes


class Account(NamedTuple):
    """For whom a passkey is made, as an authenticator keeps it: ``handle`` says nothing, the names are shown to the payer."""

    handle: bytes
    name: str
    display_name: str


class Registered(NamedTuple):
    """A credential that was made; ``kind`` is ``multi_device`` or ``single_device``."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]
    kind: str


def question(ceremony: Ceremony, allowed: Sequence[Passkey]) -> str:
    """Return the JSON of ``PublicKeyCredentialRequestOptions``; the authenticator must ask who is there."""
    options = _webauthn.generate_authentication_options(
        rp_id=ceremony.party.id,
        challenge=ceremony.challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=_descriptors(allowed),
        user_verification=_structs.UserVerificationRequirement.REQUIRED,
    )
    return str(_helpers.options_to_json(options))


def offer(ceremony: Ceremony, account: Account, present: Sequence[Passkey], *, anywhere: bool = False) -> str:
    """Return the JSON of ``PublicKeyCredentialCreationOptions`` for a passkey on this device, none of which is there yet.

    ``anywhere``: a security key or another device will do as well.
    """
    structs = _structs
    options = _webauthn.generate_registration_options(
        rp_id=ceremony.party.id,
        rp_name=ceremony.party.name,
        user_id=account.handle,
        user_name=account.name,
        user_display_name=account.display_name,
        challenge=ceremony.challenge,
        timeout=TIMEOUT_MS,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            authenticator_attachment=None if anywhere else structs.AuthenticatorAttachment.PLATFORM,
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(present),
    )
    return str(_helpers.options_to_json(options))


def credential_of(answer: bytes) -> bytes | None:
    """Return the id of the passkey that answered; None for what is no answer."""
    try:
        credential = _helpers.parse_authentication_credential_json(_text(answer))
        return bytes(credential.raw_id)
    except Exception:
        # Hostile bytes make the library's decoders (JSON, CBOR, keys, certificates) raise whatever they like.
        return None


def judge_assertion(
    ceremony: Ceremony, passkey: Passkey, handle: bytes, answer: bytes
) -> tuple[PasskeyVerdict, int]:
    """Return what an answer to ``question`` is worth, and the counter that came with it.

    A counter that did not grow is ``CLONED`` (6.1.1); both zero means that the authenticator does not count.
    """
    try:
        credential = _helpers.parse_authentication_credential_json(_text(answer))
        given = credential.response
        data = _helpers.parse_authenticator_data(given.authenticator_data)
        failed = _failed(ceremony, given.client_data_json, data)
        if failed is not None:
            return failed, 0
        if given.user_handle is not None and bytes(given.user_handle) != handle:
            return PasskeyVerdict.UNKNOWN, 0
        verified = _webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=ceremony.challenge,
            expected_rp_id=ceremony.party.id,
            expected_origin=ceremony.party.origin,
            credential_public_key=passkey.public_key,
            # The counter is judged below, and once more in the row, under its lock.
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except _errors.InvalidAuthenticationResponse:
        return PasskeyVerdict.FORGED, 0
    except Exception:
        _log.warning("passkey_unreadable", exc_info=True)
        return PasskeyVerdict.MALFORMED, 0
    count = int(verified.new_sign_count)
    is_grown = count > passkey.sign_count or count == passkey.sign_count == 0
    return PasskeyVerdict.GOOD if is_grown else PasskeyVerdict.CLONED, count


def judge_registration(ceremony: Ceremony, answer: bytes) -> tuple[PasskeyVerdict, Registered | None]:
    """Return what an answer to ``offer`` is worth, and the credential where it is good."""
    try:
        credential = _helpers.parse_registration_credential_json(_text(answer))
        given = credential.response
        data = _helpers.parse_attestation_object(given.attestation_object).auth_data
        failed = _failed(ceremony, given.client_data_json, data)
        if failed is not None:
            return failed, None
        verified = _webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=ceremony.challenge,
            expected_rp_id=ceremony.party.id,
            expected_origin=ceremony.party.origin,
            require_user_verification=True,
        )
    except _errors.InvalidRegistrationResponse:
        return PasskeyVerdict.FORGED, None
    except Exception:
        _log.warning("passkey_unreadable", exc_info=True)
        return PasskeyVerdict.MALFORMED, None
    return PasskeyVerdict.GOOD, Registered(
        credential_id=bytes(verified.credential_id),
        public_key=bytes(verified.credential_public_key),
        sign_count=int(verified.sign_count),
        transports=tuple(each.value for each in given.transports or () if each.value != "cable"),
        kind=str(verified.credential_device_type.value),
    )


def _failed(ceremony: Ceremony, client_data_json: bytes, data: Any) -> PasskeyVerdict | None:
    """Return the first of the checks that both ceremonies share which an answer does not pass."""
    client = _helpers.parse_client_data_json(client_data_json)
    party = ceremony.party
    is_ours = client.origin == party.origin and not client.cross_origin
    if not is_ours or data.rp_id_hash != hashlib.sha256(party.id.encode()).digest():
        return PasskeyVerdict.FOREIGN
    if client.challenge != ceremony.challenge:
        return PasskeyVerdict.STALE
    return None if data.flags.up and data.flags.uv else PasskeyVerdict.UNVERIFIED


def _descriptors(passkeys: Sequence[Passkey]) -> list[Any]:
    kinds = {kind.value: kind for kind in _structs.AuthenticatorTransport}
    return [
        _structs.PublicKeyCredentialDescriptor(
            id=each.credential_id, transports=[kinds[name] for name in each.transports] or None
        )
        for each in passkeys
    ]


def _text(answer: bytes) -> str:
    if len(answer) > ANSWER_BYTES_MAX:
        raise ValueError("an answer of an authenticator is shorter")
    return answer.decode("utf-8")
