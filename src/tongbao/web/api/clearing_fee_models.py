"""How price lists, their simulations and quotes look under ``/v2/fees``."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from tongbao.clearing.schema.fees import Bearer, Priceable
from tongbao.clearing.schema.schedules import (
    NAME_CHARS_MAX,
    NOTE_CHARS_MAX,
    Role,
    ScheduleAct,
    ScheduleState,
    ScheduleVersion,
    SimulatedLine,
)
from tongbao.clearing.schema.schedules import Simulation as SimulationFound
from tongbao.clearing.schema.schedules import Sums as SumsFound
from tongbao.clearing.service.quoting import Quote as QuoteFound
from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.web.api.shapes import Body, Instant, Model

Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARS_MAX)]
Word = Annotated[str, StringConstraints(max_length=64)]
Note = Annotated[str, StringConstraints(max_length=NOTE_CHARS_MAX)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=NOTE_CHARS_MAX)]
Minor = Annotated[int, Field(ge=0, le=AMOUNT_MINOR_MAX)]
Spec = Annotated[
    dict[str, Any], Field(description="`charges` with tiers, bounds and matches; see the concept of fees.")
]


class DraftOrder(Body):
    """A new version of a price list."""

    name: Name
    spec: Spec
    note: Note = ""


class SpecOrder(Body):
    """A price list to be checked."""

    spec: Spec


class SimulateOrder(Body):
    """The half-open time that a draft is simulated on."""

    name: Name
    start_at: Instant = Field(alias="from")
    until_at: Instant = Field(alias="to")


class PublishOrder(Body):
    """From when a draft holds; a minute from now where it is left out."""

    name: Name
    effective_at: Instant | None = None
    note: Note = ""


class WithdrawOrder(Body):
    """Why a version is taken back."""

    name: Name
    reason: Reason


class Example(Body):
    """A payment to be priced; what is left out matches only prices that do not ask for it."""

    kind: Word = "sale"
    amount_minor: Minor
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
    on: date | None = None
    volume_minor: Minor = Field(0, description="Sold this month before it.")
    method: Word = ""
    channel: Word = ""
    brand: Word = ""
    funding: Word = ""
    region: Word = ""
    store: Word = ""
    package: Word = ""
    mcc: Word = ""

    def priceable(self, today: date) -> Priceable:
        """Return it as prices take it."""
        fields = self.model_dump()
        return Priceable(**(fields | {"on": self.on or today}))


class QuoteOrder(Body):
    """An example, and by what: a list by name (the house's), a version of it (the one in force), at an instant (now)."""

    example: Example
    name: Word = ""
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    at: Instant | None = None


class Part(Model):
    """One charge, minor units; positive where its bearer pays. Its tax stands within it."""

    name: str
    bearer: Bearer
    amount_minor: int
    tax_minor: int
    tax_name: str
    tax_e6: int = Field(description="Millionths: 60000 is 6 %.")


class Quote(Model):
    """What a payment costs whom, minor units."""

    object: Literal["fee_quote"] = "fee_quote"
    schedule: str
    version: int
    currency: str
    amount_minor: int
    fee_minor: int = Field(description="The merchant's, with tax.")
    tax_minor: int
    net_minor: int
    cost_minor: int = Field(description="What the channel charges the house.")
    agent_minor: int
    margin_minor: int
    parts: list[Part]

    @classmethod
    def of(cls, quote: QuoteFound, of: Example) -> "Quote":
        """Return a quote as it is sent."""
        priced = quote.priced
        return cls(
            schedule=quote.schedule,
            version=quote.version,
            currency=of.currency,
            amount_minor=of.amount_minor,
            fee_minor=priced.merchant_minor,
            tax_minor=priced.tax_minor,
            net_minor=of.amount_minor - priced.merchant_minor,
            cost_minor=priced.house_minor,
            agent_minor=priced.agent_minor,
            margin_minor=priced.merchant_minor - priced.tax_minor - priced.house_minor - priced.agent_minor,
            parts=[Part.model_validate(msgspec.structs.asdict(each)) for each in priced.parts],
        )


class Sums(Model):
    """What movements cost whom, minor units. `tax_minor` is within `merchant_minor`."""

    merchant_minor: int
    tax_minor: int
    house_minor: int
    agent_minor: int
    margin_minor: int = Field(description="What the house keeps.")

    @classmethod
    def of(cls, found: SumsFound) -> "Sums":
        """Return sums as they are sent."""
        return cls.model_validate({name: getattr(found, name) for name in cls.model_fields})


class Line(Model):
    """Movements that share a key: what they cost by the old lists and by the draft. Amounts are those of sales."""

    currency: str
    key: str
    count: int
    amount_minor: int
    old: Sums
    new: Sums

    @classmethod
    def of(cls, found: SimulatedLine) -> "Line":
        """Return a line as it is sent."""
        own = {name: getattr(found, name) for name in ("currency", "key", "count", "amount_minor")}
        return cls(**own, old=Sums.of(found.old), new=Sums.of(found.new))


class ChargeLine(Model):
    """One charge over all movements of a currency, minor units."""

    currency: str
    name: str
    bearer: Bearer
    old_minor: int
    new_minor: int


class Simulation(Model):
    """What a time would have cost by a draft. `moved` names, by book, the merchants whose costs change most."""

    start_at: datetime
    until_at: datetime = Field(description="Not included.")
    made_at: datetime
    made_by: str
    count: int
    left_out_count: int
    raised_count: int
    lowered_count: int
    totals: list[Line]
    methods: list[Line]
    charges: list[ChargeLine]
    moved: list[Line]

    @classmethod
    def of(cls, found: SimulationFound) -> "Simulation":
        """Return a simulation as it is sent."""
        lined = {
            name: [Line.of(each) for each in getattr(found, name)] for name in ("totals", "methods", "moved")
        }
        charges = [ChargeLine.model_validate(msgspec.structs.asdict(each)) for each in found.charges]
        own = {name: getattr(found, name) for name in cls.model_fields if name not in {*lined, "charges"}}
        return cls.model_validate(own | lined | {"charges": charges})


class Step(Model):
    """One line of a version's trail."""

    act: ScheduleAct
    at: datetime
    actor: str
    note: str


class Version(Model):
    """A version of a price list; published, it holds from `effective_at` until a later one does."""

    object: Literal["fee_schedule_version"] = "fee_schedule_version"
    name: str
    version: int
    state: ScheduleState
    note: str
    made_by: str
    made_at: datetime
    effective_at: datetime | None
    published_by: str | None
    published_at: datetime | None
    spec: dict[str, Any]
    simulation: Simulation | None
    history: list[Step]

    @classmethod
    def of(cls, found: ScheduleVersion) -> "Version":
        """Return a version as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        told = {
            "spec": msgspec.to_builtins(found.spec),
            "simulation": None if found.simulation is None else Simulation.of(found.simulation),
            "history": [Step.model_validate(msgspec.structs.asdict(each)) for each in found.history],
        }
        return cls.model_validate(own | told)


class Versions(Model):
    """Versions, newest first."""

    object: Literal["list"] = "list"
    data: list[Version]
    has_more: bool = False


class Schedule(Model):
    """A price list by its name, with the newest of its versions."""

    object: Literal["fee_schedule"] = "fee_schedule"
    name: str
    newest_version: int
    newest_state: ScheduleState

    @classmethod
    def of(cls, newest: ScheduleVersion) -> "Schedule":
        """Return a list as it is sent."""
        return cls(name=newest.name, newest_version=newest.version, newest_state=newest.state)


class Schedules(Model):
    """Price lists in the order of their names."""

    object: Literal["list"] = "list"
    data: list[Schedule]
    has_more: bool = False


class Checked(Model):
    """A price list that could be drafted."""

    object: Literal["fee_schedule_check"] = "fee_schedule_check"
    role: Role
    charge_count: int
    spec: dict[str, Any]


class Diff(Model):
    """What a version changes, one sentence each."""

    object: Literal["fee_schedule_diff"] = "fee_schedule_diff"
    changes: Sequence[str]
