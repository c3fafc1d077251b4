"""What callers of the books write - ids, instants, hashes - read strictly, each with its own refusal."""

from datetime import UTC, datetime
from uuid import UUID

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_int, parse_uuid
from tongbao.ledger.schema import ACCOUNT_PREFIX, TRANSFER_PREFIX, AccountId

HASH_BYTES = 32


def account_id(text: str) -> AccountId:
    """Return the account id of ``acct_…``; raise InvalidRequest ``id_malformed``."""
    try:
        return AccountId(parse_int(ACCOUNT_PREFIX, text))
    except ValueError as error:
        raise InvalidRequest("id_malformed", f"an account id has the form {ACCOUNT_PREFIX}_…") from error


def transfer_key(text: str) -> UUID:
    """Return the key of ``tr_…`` or of a UUID's text; raise InvalidRequest ``id_malformed``."""
    try:
        return parse_uuid(TRANSFER_PREFIX, text) if text.startswith(TRANSFER_PREFIX) else UUID(text)
    except ValueError as error:
        raise InvalidRequest(
            "id_malformed", f"a transfer is named by {TRANSFER_PREFIX}_… or a UUID"
        ) from error


def instant(text: str) -> datetime:
    """Return an ISO 8601 instant in UTC; raise InvalidRequest ``time_invalid``."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            "time_invalid", "an instant is ISO 8601, such as 2026-01-31T12:00:00Z"
        ) from error
    raise InvalidRequest("time_invalid", "an instant needs a time zone, such as 2026-01-31T12:00:00Z")


def seal_hash(text: str) -> bytes:
    """Return the bytes of a seal hash in hex; raise InvalidRequest ``hash_malformed``."""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != HASH_BYTES:
        raise InvalidRequest("hash_malformed", f"a seal hash is {2 * HASH_BYTES} hexadecimal digits")
    return digest
