"""The form of questions and answers between processes: MessagePack of the very types that a process uses inside.

Both sides are the same program. Where they are of different versions for a while, what one cannot read is malformed to it,
and the payment goes on at the fallback.
"""

import msgspec

from tongbao.core.errors import (
    AppError,
    Conflict,
    InvalidRequest,
    InvariantBroken,
    LimitExceeded,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    Unavailable,
)
from tongbao.risk.service.assessor import Asked, Looked

_KINDS: dict[str, type[AppError]] = {
    kind.__name__: kind
    for kind in (
        Conflict,
        InvalidRequest,
        InvariantBroken,
        LimitExceeded,
        NotFound,
        NotPermitted,
        OutcomeUnknown,
        Unavailable,
    )
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a question was not answered: the kind, code and detail of the error that answers it."""

    kind: str
    code: str
    detail: str


_ENCODER = msgspec.msgpack.Encoder()
_QUESTION = msgspec.msgpack.Decoder(Asked)
_ANSWER = msgspec.msgpack.Decoder(Looked)
_REFUSAL = msgspec.msgpack.Decoder(Refusal)


def question_bytes(asked: Asked) -> bytes:
    """Return a question as it is sent."""
    return _ENCODER.encode(asked)


def asked_of(body: bytes) -> Asked:
    """Return a question that was sent; raise InvalidRequest ``question_malformed``."""
    try:
        return _QUESTION.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest("question_malformed", f"this is no question about a payment: {error}") from error


def answer_bytes(looked: Looked) -> bytes:
    """Return an answer as it is sent."""
    return _ENCODER.encode(looked)


def looked_of(body: bytes) -> Looked:
    """Return an answer that was sent; raise Unavailable ``scoring_garbled``."""
    try:
        return _ANSWER.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unavailable(
            "scoring_garbled", f"the answer of the scoring process cannot be read: {error}"
        ) from error


def refusal_bytes(error: AppError) -> bytes:
    """Return a refusal as it is sent; a narrower kind of error as the kind of ``core.errors`` that it is."""
    kind = next((name for name, each in _KINDS.items() if isinstance(error, each)), "InvariantBroken")
    return _ENCODER.encode(Refusal(kind, error.code, error.detail))


def error_of(body: bytes) -> AppError:
    """Return the error behind a refusal that was sent; Unavailable where it cannot be read."""
    try:
        refusal = _REFUSAL.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        return Unavailable("scoring_garbled", f"the refusal of the scoring process cannot be read: {error}")
    kind = _KINDS.get(refusal.kind, Unavailable)
    return kind(refusal.code, refusal.detail)
