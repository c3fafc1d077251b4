"""What a fact is, how it is written down, and what a consumer is handed.

A room declares its facts as frozen structs with a topic that never changes::

    class Sealed(Fact, frozen=True, kw_only=True, tag="ledger.sealed"):
        book_id: int

        @property
        def subject(self) -> str:
            return int_text("bk", self.book_id)

The stored form is JSON with the topic inside, so that a reader outside of this program understands it too.
Fields may be added with a default and are ignored by older readers; nothing else about a topic may change.
What this program cannot read (an unknown topic, or a form it does not know) is delivered as ``Raw``.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.errors import InvalidRequest, InvariantBroken

PAYLOAD_BYTES_MAX = 65_536
"""A fact names things; it does not carry documents."""
SUBJECT_CHARS_MAX = 200
TOPIC = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="topic"):
    """Base of all facts: something that happened at ``occurred_at``, in UTC."""

    occurred_at: datetime

    @property
    def subject(self) -> str:
        """Id of the thing that the fact is about; empty where it is about none."""
        return ""


class Raw(msgspec.Struct, frozen=True):
    """A fact that this program cannot read: the topic and the JSON as they were stored."""

    topic: str
    payload: bytes


class Delivered(NamedTuple):
    """A fact at its place in the order of commits. Positions count from 1 and have no gaps."""

    position: int
    id: UUID
    topic: str
    subject: str
    occurred_at: datetime
    recorded_at: datetime
    fact: Fact | Raw


_ENCODER = msgspec.json.Encoder()
_topics: dict[type[Fact], str] = {}
_decoders: dict[str, "msgspec.json.Decoder[Any]"] = {}


def topic_of(kind: type[Fact]) -> str:
    """Return the topic of a kind of fact.

    Raises InvariantBroken ``topic_invalid`` where the struct declares none of the form ``room.happened``, and
    ``topic_twice`` where two kinds declare the same.
    """
    topic = _topics.get(kind)
    if topic is None:
        _learn()
        topic = _topics.get(kind)
    if topic is None:
        raise InvariantBroken("topic_invalid", f"{kind.__name__} needs a topic such as 'ledger.sealed'")
    return topic


def encode(fact: Fact) -> bytes:
    """Return the stored form of a fact: JSON of at most ``PAYLOAD_BYTES_MAX`` bytes.

    Raises InvalidRequest ``fact_too_large``, ``fact_not_encodable``, ``fact_without_zone`` or
    ``fact_subject_invalid``.
    """
    topic = topic_of(type(fact))
    subject = fact.subject
    if fact.occurred_at.utcoffset() is None:
        raise InvalidRequest("fact_without_zone", f"occurred_at of {topic} needs a time zone")
    if len(subject) > SUBJECT_CHARS_MAX or "\x00" in subject:
        raise InvalidRequest(
            "fact_subject_invalid", f"a subject of {topic} is longer than {SUBJECT_CHARS_MAX} or has NUL"
        )
    try:
        subject.encode()
        payload = _ENCODER.encode(fact)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            "fact_not_encodable", f"{topic} does not fit JSON: {type(error).__name__}"
        ) from error
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidRequest(
            "fact_too_large",
            f"{topic} has {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX}",
            bytes=len(payload),
        )
    return payload


def decode(topic: str, payload: bytes) -> Fact | Raw:
    """Read a stored fact; ``Raw`` where the topic or the form is unknown here. Never raises for bad data."""
    decoder = _decoders.get(topic)
    if decoder is None:
        _learn()
        decoder = _decoders.get(topic)
    if decoder is None:
        return Raw(topic, payload)
    try:
        fact: Fact = decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError):
        return Raw(topic, payload)
    return fact


def _learn() -> None:
    """Take in the kinds declared since; a kind counts once its module is imported."""
    for kind in _below(Fact):
        topic = kind.__struct_config__.tag
        if kind in _topics or not isinstance(topic, str) or not TOPIC.fullmatch(topic):
            continue
        if topic in _decoders:
            raise InvariantBroken("topic_twice", f"two kinds of fact declare the topic {topic}")
        _topics[kind] = topic
        _decoders[topic] = msgspec.json.Decoder(kind)


def _below(kind: type[Fact]) -> Iterator[type[Fact]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
