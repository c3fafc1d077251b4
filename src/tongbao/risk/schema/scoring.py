"""How processes of one house and its scoring process meet: paths, headers and bounds of what goes between them.

A request carries questions, MessagePack of a list of byte strings, and its answer as many pairs of a status, as in HTTP, and
a body: a judgement where the status is ``JUDGED``, a refusal otherwise. What is in them is told in ``risk.service.judging_form``.
"""

import msgspec

JUDGEMENTS_PATH = "/judgements"
HEALTH_PATH = "/healthz"
MEDIA_TYPE = "application/msgpack"
SEAL_HEADER = "tongbao-seal"
JUDGED = 200
QUESTION_BYTES_MAX = 16_384
"""A question has a few hundred; keys of entities are at most 80 characters each."""
QUESTIONS_MAX = 32
"""So many are asked at once; they are judged in some ten milliseconds."""
REQUEST_BYTES_MAX = QUESTIONS_MAX * (QUESTION_BYTES_MAX + 8)

_ENCODER = msgspec.msgpack.Encoder()
_QUESTIONS = msgspec.msgpack.Decoder(list[bytes])
_ANSWERS = msgspec.msgpack.Decoder(list[tuple[int, bytes]])


def questions_bytes(questions: list[bytes]) -> bytes:
    """Return questions as they are sent."""
    return _ENCODER.encode(questions)


def questions_of(body: bytes) -> list[bytes]:
    """Return questions that were sent; raise msgspec.MsgspecError for anything else."""
    return _QUESTIONS.decode(body)


def answers_bytes(answers: list[tuple[int, bytes]]) -> bytes:
    """Return answers as they are sent."""
    return _ENCODER.encode(answers)


def answers_of(body: bytes) -> list[tuple[int, bytes]]:
    """Return answers that were sent; raise msgspec.MsgspecError for anything else."""
    return _ANSWERS.decode(body)
