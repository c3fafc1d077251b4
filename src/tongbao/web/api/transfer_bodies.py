"""The body of ``POST /v2/ledger/transfers`` and its answer: one transfer or a list, and one result each."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_int, parse_uuid, uuid_text
from tongbao.ledger.schema import (
    ACCOUNT_PREFIX,
    BOOK_PREFIX,
    TRANSFER_PREFIX,
    AccountId,
    BookId,
    Kind,
    PostResult,
    Transfer,
)

WRONG_FIELDS_TOLD_MAX = 5
KINDS = {
    "plain": Kind.PLAIN,
    "hold": Kind.HOLD,
    "capture": Kind.CAPTURE,
    "void": Kind.VOID,
    "reversal": Kind.REVERSAL,
}


class TransferBody(BaseModel):
    """One instruction to the ledger. Captures, voids and reversals take accounts and asset from ``refers_to``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: StrictStr = Field(description="`tr_…` (UUIDv7), made by you; repeating it repeats the answer only.")
    book_id: StrictStr = Field(description="`book_…`.")
    kind: Literal["plain", "hold", "capture", "void", "reversal"] = "plain"
    debit_account_id: StrictStr | None = Field(default=None, description="`acct_…` that is debited.")
    credit_account_id: StrictStr | None = Field(default=None, description="`acct_…` that is credited.")
    amount_minor: StrictInt = Field(default=0, description="Whole minor units of the asset, positive.")
    asset: StrictStr | None = Field(default=None, description="ISO 4217 code or a registered asset.")
    code: StrictStr = Field(description="What it is for: 1 to 48 of a-z, 0-9, _ and .")
    reference: StrictStr | None = Field(default=None, description="Your own id, at most 200 characters.")
    occurred_at: AwareDatetime | None = Field(default=None, description="Business time, ISO 8601 with zone.")
    refers_to: StrictStr | None = Field(
        default=None, description="`tr_…` of the hold or the reversed transfer."
    )
    group: StrictStr | None = Field(default=None, description="`tr_…` of the first of a linked group.")
    expires_at: AwareDatetime | None = Field(default=None, description="End of a hold, ISO 8601 with zone.")
    final: StrictBool = Field(
        default=False, description="Of a capture: the last, releases the rest of the hold."
    )
    up_to: StrictBool = Field(default=False, description="Move as much of the amount as limits allow.")


class TransferResult(BaseModel):
    """What became of one transfer; a refusal is an answer, not an error."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    key: str = Field(description="`tr_…`.")
    outcome: Literal["posted", "exists", "refused"] = Field(
        description="`exists`: posted by an earlier call."
    )
    amount_minor: int = Field(description="Whole minor units that were moved or held; 0 where refused.")
    recorded_at: str | None = Field(description="Instant of recording, UTC.")
    refusal: str | None = Field(description="Stable code of the reason, where refused.")
    detail: str


class Results(BaseModel):
    """One result per transfer, in order."""

    results: list[TransferResult]


_ONE = TypeAdapter(TransferBody)
_MANY = TypeAdapter(list[TransferBody])
RESULTS: TypeAdapter[Results] = TypeAdapter(Results)


def _schema() -> dict[str, object]:
    """Return the body as OpenAPI describes it, with nothing left to look up elsewhere."""
    one = _ONE.json_schema()
    shapes = {"anyOf": [one, {"type": "array", "items": one}], "description": "One transfer, or up to 8,000."}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": shapes}}}}


SCHEMA = _schema()


def parse(body: bytes) -> list[TransferBody]:
    """Return the transfers of a body; raise InvalidRequest ``body_invalid`` naming the wrong fields."""
    try:
        if body.lstrip()[:1] == b"[":
            return _MANY.validate_json(body)
        return [_ONE.validate_json(body)]
    except ValidationError as error:
        # Neither values nor our own addresses: only where it is wrong, and how.
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}"
            for item in wrong[:WRONG_FIELDS_TOLD_MAX]
        )
        raise InvalidRequest("body_invalid", told, wrong_count=len(wrong)) from error


def to_transfer(body: TransferBody, index: int, asset_id: int) -> Transfer:
    """Return the ledger's form of a body; raise InvalidRequest ``id_malformed`` for a text that is no such id."""
    try:
        return Transfer(
            key=parse_uuid(TRANSFER_PREFIX, body.key),
            book_id=BookId(parse_int(BOOK_PREFIX, body.book_id)),
            debit_account_id=_account(body.debit_account_id),
            credit_account_id=_account(body.credit_account_id),
            amount_minor=body.amount_minor,
            asset_id=asset_id,
            code=body.code,
            kind=KINDS[body.kind],
            reference=body.reference,
            occurred_at=_utc(body.occurred_at),
            refers_to=None if body.refers_to is None else parse_uuid(TRANSFER_PREFIX, body.refers_to),
            group_key=None if body.group is None else parse_uuid(TRANSFER_PREFIX, body.group),
            expires_at=_utc(body.expires_at),
            final=body.final,
            up_to=body.up_to,
        )
    except OverflowError as error:
        raise InvalidRequest(
            "time_invalid", f"transfer {index}: an instant out of range", index=index
        ) from error
    except ValueError as error:
        raise InvalidRequest("id_malformed", f"transfer {index}: {error}", index=index) from error


def to_result(result: PostResult) -> TransferResult:
    """Return a result as it is sent."""
    return TransferResult.model_construct(
        key=uuid_text(TRANSFER_PREFIX, result.key),
        outcome=result.outcome.value,
        amount_minor=result.amount_minor,
        recorded_at=None if result.recorded_at is None else result.recorded_at.isoformat(),
        refusal=None if result.refusal is None else result.refusal.value,
        detail=result.detail,
    )


def _account(text: str | None) -> AccountId:
    return AccountId(0 if text is None else parse_int(ACCOUNT_PREFIX, text))


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
