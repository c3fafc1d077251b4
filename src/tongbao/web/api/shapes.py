"""Shapes that the bodies, parameters and answers of ``/v2`` share.

Amounts are whole minor units beside their currency. Ids are text with a prefix. Instants are ISO 8601 in UTC.
The shape of an answer is built when it is first sent: there are hundreds, and a process that starts needs none.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import parse_int, parse_uuid, uuid_text
from tongbao.ledger.schema import AMOUNT_MINOR_MAX

PAGE_SIZE = 10
PAGE_SIZE_MAX = 100
TEXT_CHARS_MAX = 200
EMAIL_CHARS_MAX = 320
INSTANTS_FROM = datetime(2000, 1, 1, tzinfo=UTC)
INSTANTS_TO = datetime(2200, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """What is sent to us: fields that we do not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(BaseModel):
    """What we send."""

    model_config = ConfigDict(frozen=True, defer_build=True)


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character stands in it")
    return text


def _plausible(at: datetime) -> datetime:
    if not INSTANTS_FROM <= at < INSTANTS_TO:
        raise ValueError("an instant between the years 2000 and 2200")
    return at


Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX), AfterValidator(_storable)]
Email = Annotated[str, StringConstraints(max_length=EMAIL_CHARS_MAX), AfterValidator(_storable)]
Url = Annotated[
    str, StringConstraints(max_length=2_048, pattern=r"^https?://[!-~]+$"), AfterValidator(_storable)
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{3}$"), Field(description="Code of ISO 4217.")]
Amount = Annotated[
    StrictInt, Field(ge=1, le=AMOUNT_MINOR_MAX, description="Whole minor units of the currency.")
]
Instant = Annotated[AwareDatetime, AfterValidator(_plausible)]
IdPath = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="Most rows to return.")]
After = Annotated[str | None, Query(max_length=64, description="Continue after this id.")]
Before = Annotated[str | None, Query(max_length=64, description="The rows just before this id.")]


def path_id(prefix: str, text: str) -> UUID:
    """Return the id in a path; raise NotFound ``resource_missing`` for what can be no such id."""
    try:
        return parse_uuid(prefix, text)
    except ValueError:
        raise NotFound("resource_missing", f"there is no such {prefix}_…") from None


def path_number(prefix: str, text: str) -> int:
    """Return the number in a path; raise NotFound ``resource_missing`` for what can be no such id."""
    try:
        return parse_int(prefix, text)
    except ValueError:
        raise NotFound("resource_missing", f"there is no such {prefix}_…") from None


def given_id(prefix: str, text: str, param: str) -> UUID:
    """Return an id in a body or query; raise InvalidRequest ``id_malformed``, which names the parameter."""
    try:
        return parse_uuid(prefix, text)
    except ValueError:
        raise InvalidRequest("id_malformed", f"{param} is an id like {prefix}_…", param=param) from None


def cursor(prefix: str, text: str | None, param: str) -> UUID | None:
    """Return the id that a page is counted from, where one is given; raise InvalidRequest ``id_malformed``."""
    return None if text is None else given_id(prefix, text, param)


def one_cursor(after: UUID | None, before: UUID | None) -> None:
    """Raise InvalidRequest ``parameters_exclusive`` for a page that is counted from two ids."""
    if after is not None and before is not None:
        raise InvalidRequest(
            "parameters_exclusive", "starting_after and ending_before cannot be given together"
        )


def maybe_id(prefix: str, value: UUID | None) -> str | None:
    """Return an id as text, where there is one."""
    return None if value is None else uuid_text(prefix, value)


def same_fields(model: type[BaseModel], source: object, **others: object) -> Mapping[str, object]:
    """Return the fields that a model and its source call by the same name, and ``others`` over them."""
    return {name: getattr(source, name) for name in model.model_fields if hasattr(source, name)} | others
