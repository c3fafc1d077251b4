"""How sources, files and runs look under ``/v2/recon``."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from tongbao.clearing.schema.breaks import Leg
from tongbao.clearing.schema.breaks import Run as RunFound
from tongbao.clearing.schema.lines import (
    FILE_PREFIX,
    FileState,
    Format,
    LineKind,
    Side,
    SourceFile,
    SourceTerms,
    Tells,
)
from tongbao.clearing.schema.lines import Balance as BalanceFound
from tongbao.clearing.schema.lines import Line as LineFound
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import uuid_text
from tongbao.web.api.shapes import Body, Model

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class SourceOrder(Body):
    """What is agreed with a source of files, as a whole: a later version takes the place of an earlier one."""

    terms: dict[str, Any] = Field(
        description="`source`, `side` (`channel`, `bank`), `format`, `zone`, `currency`, `report_days`, `is_daily`, "
        "`tells_fees`, `calendars`, `account`, `bank`, `channel` (whose files these are, where the source has a name of its "
        "own), `tells` (`payments`, or `funds`: what moved in the account at the channel), `columns`."
    )

    def told(self) -> SourceTerms:
        """Return it as the service takes it; raise InvalidRequest ``source_invalid``."""
        try:
            return msgspec.convert(self.terms, SourceTerms)
        except msgspec.ValidationError as error:
            raise InvalidRequest("source_invalid", str(error)) from error


class Source(Model):
    """Who sends files, and what is agreed about them."""

    object: Literal["recon_source"] = "recon_source"
    source: str
    side: Side
    format: Format
    zone: str
    currency: str
    report_days: int
    is_daily: bool
    tells_fees: bool
    calendars: list[str]
    account: str
    bank: str
    channel: str
    tells: Tells
    columns: dict[str, Any]

    @classmethod
    def of(cls, terms: SourceTerms) -> "Source":
        """Return a source as it is sent."""
        own = {name: getattr(terms, name) for name in cls.model_fields if hasattr(terms, name)}
        return cls.model_validate(
            own | {"columns": msgspec.to_builtins(terms.columns), "calendars": list(terms.calendars)}
        )


class Sources(Model):
    """All sources, by name."""

    object: Literal["list"] = "list"
    data: list[Source]
    has_more: bool = False


class Refused(Model):
    """A line that was not taken, and why."""

    number: int
    code: str
    detail: str
    column: str
    value: str


class Balance(Model):
    """A balance that a statement tells, minor units."""

    currency: str
    amount_minor: int
    on: date

    @classmethod
    def of(cls, found: BalanceFound | None) -> "Balance | None":
        """Return a balance as it is sent, where there is one."""
        return None if found is None else cls.model_validate(msgspec.structs.asdict(found))


class File(Model):
    """A file that came in. `repeated_count`: lines that another file had brought before."""

    object: Literal["recon_file"] = "recon_file"
    id: str
    name: str
    source: str
    side: Side
    format: Format
    state: FileState
    size_bytes: int
    digest: str = Field(description="SHA-256 of its bytes, hexadecimal.")
    line_count: int
    repeated_count: int
    refused_count: int
    problems: list[str]
    refusals: list[Refused]
    statement: str
    period_by: str = Field(description="Who says which days it is of: `content`, `sender`, `name`, `lines`.")
    from_on: date | None
    until_on: date | None
    opening: Balance | None
    closing: Balance | None
    declared_count: int | None
    declared_minor: int | None
    received_at: datetime
    received_by: str
    is_repeat: bool = Field(default=False, description="These bytes had come before.")

    @classmethod
    def of(cls, found: SourceFile, *, is_repeat: bool = False, refusals_max: int = 100) -> "File":
        """Return a file as it is sent, with its first refusals."""
        own = {
            name: getattr(of, name)
            for of in (found.header, found)
            for name in cls.model_fields
            if hasattr(of, name)
        }
        told = {
            "id": uuid_text(FILE_PREFIX, found.id),
            "digest": found.digest.hex(),
            "problems": list(found.problems),
            "opening": Balance.of(found.header.opening),
            "closing": Balance.of(found.header.closing),
            "refusals": [
                Refused.model_validate(msgspec.structs.asdict(each)) for each in found.refusals[:refusals_max]
            ],
            "is_repeat": is_repeat,
        }
        return cls.model_validate(own | told)


class Files(Model):
    """Files, newest first."""

    object: Literal["list"] = "list"
    data: list[File]
    has_more: bool = False


class Line(Model):
    """One line that a file brought first. Amounts are signed minor units: money to the house is positive."""

    id: int
    number: int
    kind: LineKind
    currency: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    reference: str
    channel_reference: str
    batch: str
    occurred_at: datetime | None
    value_on: date | None
    count: int
    text: str

    @classmethod
    def of(cls, line_id: int, found: LineFound) -> "Line":
        """Return a line as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"id": line_id})


class Lines(Model):
    """Lines in the order of their file; go on with `after` = the last id."""

    object: Literal["list"] = "list"
    data: list[Line]
    has_more: bool = False


class RunOrder(Body):
    """Up to which day a source is reconciled: its own today where it is left out."""

    source: Name
    until_on: date | None = None


class Run(Model):
    """One reconciliation. `matched_share` is of what was expected."""

    object: Literal["recon_run"] = "recon_run"
    id: str
    leg: Leg
    source: str
    until_on: date
    expected_count: int
    reported_count: int
    matched_count: int
    break_count: int
    matched_share: float | None
    by_how: dict[str, int]
    by_kind: dict[str, int]
    digest: str
    took_ms: int
    started_at: datetime
    started_by: str

    @classmethod
    def of(cls, found: RunFound) -> "Run":
        """Return a run as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        share = found.matched_count / found.expected_count if found.expected_count else None
        told = {"id": found.reference, "digest": found.digest.hex(), "matched_share": share}
        return cls.model_validate(own | told)


class Runs(Model):
    """Runs, newest first."""

    object: Literal["list"] = "list"
    data: list[Run]
    has_more: bool = False
