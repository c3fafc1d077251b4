"""What analysts send about a case: every act names the version that it was decided on."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictBool, StrictInt, StringConstraints

from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.risk.schema.cases import (
    ACTOR_CHARS_MAX,
    CASE_PAYMENTS_MAX,
    NOTE_CHARS_MAX,
    SUMMARY_CHARS_MAX,
    Disposal,
    Disposition,
    HeldAct,
)
from tongbao.risk.service.cases import INCLUDED_MAX
from tongbao.web.api.shapes import Body, given_id

Note = Annotated[str, StringConstraints(max_length=NOTE_CHARS_MAX)]
Look = Annotated[str, StringConstraints(max_length=64), Field(description="A look that rang, `dec_…`.")]
LooksOfCase = Annotated[list[Look], Field(max_length=CASE_PAYMENTS_MAX)]


class VersionOrder(Body):
    """Which version was seen; another one refuses."""

    version: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]


class NoteOrder(VersionOrder):
    """A note for the trail."""

    text: Note


class AssignOrder(VersionOrder):
    """Who gets the case: whoever asks where left out, nobody with null."""

    assignee: Annotated[str, StringConstraints(min_length=1, max_length=ACTOR_CHARS_MAX)] | None = Field(
        default="me", description="`me`, or somebody as the trail names people; null puts it back."
    )


class IncludeOrder(VersionOrder):
    """Payments to be added, by look."""

    looks: Annotated[list[Look], Field(min_length=1, max_length=INCLUDED_MAX)]

    def ids(self) -> list[UUID]:
        """Return the looks; raise InvalidRequest ``id_malformed``."""
        return looks_of(self.looks, "looks")


class SignOrder(VersionOrder):
    """A summary, as drafted or edited."""

    text: Annotated[str, StringConstraints(max_length=SUMMARY_CHARS_MAX)]
    language: Literal["en", "zh", "zh-CN"] = "en"


class CloseOrder(VersionOrder):
    """How the case is to be closed; see ``risk.schema.cases.Disposal``."""

    disposition: Disposition
    fraud: LooksOfCase | None = None
    genuine: LooksOfCase | None = None
    on_held: HeldAct | None = None
    freeze: StrictBool = False
    note: Note = ""

    def disposal(self) -> Disposal:
        """Return it as the service takes it; raise InvalidRequest ``id_malformed``."""
        return Disposal(
            disposition=self.disposition,
            fraud=None if self.fraud is None else tuple(looks_of(self.fraud, "fraud")),
            genuine=None if self.genuine is None else tuple(looks_of(self.genuine, "genuine")),
            on_held=self.on_held,
            freeze=self.freeze,
            note=self.note,
        )


class RefuseOrder(VersionOrder):
    """Why a closing is not agreed to."""

    why: Note


def looks_of(texts: list[str], param: str) -> list[UUID]:
    """Return looks by their ids as people see them; raise InvalidRequest ``id_malformed``."""
    return [given_id(DECISION_PREFIX, text, param) for text in texts]
