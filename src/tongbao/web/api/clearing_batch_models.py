"""How batches and their waterfalls look under ``/v2/settlements``."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tongbao.clearing.schema.batches import Batch as BatchFound
from tongbao.clearing.schema.batches import BatchState, Step, Totals
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.web.api.clearing_sides import who_did
from tongbao.web.api.shapes import Body, Model, maybe_id

Note = Annotated[str, StringConstraints(max_length=500)]
FALLS = (
    "gross",
    "refunds",
    "disputes",
    "adjustments",
    "fees",
    "reserve_held",
    "reserve_released",
    "brought",
)
"""The steps from gross to net, in the order in which they are drawn."""


class Fall(Model):
    """One step of a waterfall: what it moves, and what is left after it, minor units."""

    step: str
    amount_minor: int
    after_minor: int


class Waterfall(Model):
    """From what was sold to what is paid. The steps sum to `net_minor`; `net_minor` is `paid_minor` and `carried_minor`."""

    count: int = Field(description="Movements.")
    steps: list[Fall]
    net_minor: int
    paid_minor: int = Field(description="What goes to the merchant's account.")
    carried_minor: int = Field(description="What the next batch begins with; negative: owed by the merchant.")
    tax_minor: int = Field(description="Tax, which stands within the fees; positive.")

    @classmethod
    def of(cls, batch: BatchFound) -> "Waterfall":
        """Return the waterfall of a batch; of one that is not priced its steps are 0."""
        steps, after = [], 0
        for name in FALLS:
            amount: int = getattr(batch.totals, f"{name}_minor")
            after += amount
            steps.append(Fall(step=name, amount_minor=amount, after_minor=after))
        return cls(
            count=batch.totals.count,
            steps=steps,
            net_minor=batch.totals.net_minor,
            paid_minor=batch.paid_minor,
            carried_minor=batch.carried_minor,
            tax_minor=batch.totals.tax_minor,
        )


class Move(Model):
    """One move of a batch."""

    state: BatchState
    at: datetime
    actor: str = Field(description="`automatic`, `house`; for the house itself who of its people.")
    note: str

    @classmethod
    def of(cls, step: Step, *, is_house: bool) -> "Move":
        """Return a move as it is sent; notes of the house's people are the house's."""
        shown = step.note if is_house or step.actor.startswith("job:") else ""
        return cls(state=step.state, at=step.at, actor=who_did(step.actor, is_house=is_house), note=shown)


class Costs(Model):
    """What only the house sees of a batch, minor units: what channels and agents cost, and what is left of the fees."""

    cost_minor: int
    agent_minor: int
    margin_minor: int

    @classmethod
    def of(cls, totals: Totals) -> "Costs":
        """Return the costs of a batch."""
        margin = -totals.fees_minor - totals.tax_minor - totals.cost_minor - totals.agent_minor
        return cls(cost_minor=totals.cost_minor, agent_minor=totals.agent_minor, margin_minor=margin)


class Batch(Model):
    """The movements of one currency up to a cut, netted to one payout."""

    object: Literal["settlement_batch"] = "settlement_batch"
    id: str
    book: str
    live: bool
    currency: str
    state: BatchState
    version: int
    cut_at: datetime
    payout_on: date
    is_provisional: bool = Field(description="Counted over days that are not announced yet: it may move.")
    payout: str | None
    waterfall: Waterfall
    schedule: str = Field(description="The price list and its version, as they held at the cut.")
    schedule_version: int
    agreement_version: int
    needs_two: bool = Field(description="Above the limit of the agreement: two people approve it.")
    approval_count: int
    history: list[Move]
    costs: Costs | None = Field(default=None, description="For the house only.")

    @classmethod
    def of(cls, found: BatchFound, *, is_house: bool = False) -> "Batch":
        """Return a batch as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        told = {
            "id": found.reference,
            "book": int_text(BOOK_PREFIX, found.book_id),
            "payout": maybe_id(PAYOUT_PREFIX, found.payout_id),
            "waterfall": Waterfall.of(found),
            "approval_count": len(found.approvals),
            "history": [Move.of(each, is_house=is_house) for each in found.history],
            "costs": Costs.of(found.totals) if is_house else None,
        }
        return cls.model_validate(own | told)


class Batches(Model):
    """Batches."""

    object: Literal["list"] = "list"
    data: list[Batch]
    has_more: bool = False
    next_cursor: str | None = Field(
        default=None, description="Of the house's list: its next page, as `cursor`."
    )


class ApproveOrder(Body):
    """Approval of the version of a batch that was looked at."""

    version: int = Field(ge=1)
    note: Note = ""
