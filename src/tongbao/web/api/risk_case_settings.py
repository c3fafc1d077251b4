"""``/v2/operations/risk/case_settings``: what rings, deadlines, how much one person releases; version by version.

The house's alone: cases of all merchants are worked by them. Who changes them, or agrees, is signed in: a key is nobody.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, StrictInt, StringConstraints

from tongbao.risk.schema.case_settings import NOTE_CHARS_MAX, VERSIONS_MAX, CaseSetting, CaseSettings
from tongbao.risk.service.case_setting import CaseSettingDesk
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.risk_sides import Side, person_of
from tongbao.web.api.shapes import PAGE_SIZE, Body, Limit, Model

Version = Annotated[int, Path(ge=1, le=VERSIONS_MAX)]
BeforeVersion = Annotated[
    int | None, Query(ge=1, le=VERSIONS_MAX, description="The versions before this one.")
]


class SettingOrder(Body):
    """The next version, whole: what is left out of ``spec`` is as it is built in."""

    spec: dict[str, Any]
    latest: Annotated[StrictInt, Field(ge=0, le=VERSIONS_MAX)] = Field(
        description="The newest version that you saw, 0 for none; another one refuses."
    )
    note: Annotated[str, StringConstraints(max_length=NOTE_CHARS_MAX)] = Field(description="What and why.")


class Setting(Model):
    """A version. ``waiting``: it lets one person release more than before, so a second person has to agree."""

    object: Literal["risk_case_setting"] = "risk_case_setting"
    version: int
    state: str
    made_at: datetime
    made_by: str
    note: str
    decided_at: datetime | None
    decided_by: str
    spec: dict[str, Any]

    @classmethod
    def of(cls, found: CaseSetting) -> "Setting":
        """Return a version as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"spec": plain(found.spec), "state": found.state.value})


class Settings(Model):
    """What is in force, whole; version 0 is what is built in."""

    object: Literal["risk_case_settings"] = "risk_case_settings"
    version: int
    latest: int
    spec: dict[str, Any]
    waiting: Setting | None

    @classmethod
    def of(cls, found: CaseSettings) -> "Settings":
        """Return the settings as they are sent."""
        waiting = None if found.waiting is None else Setting.of(found.waiting)
        return cls(version=found.version, latest=found.latest, spec=plain(found.spec), waiting=waiting)


class History(Model):
    """Versions, newest first."""

    object: Literal["list"] = "list"
    data: list[Setting]
    has_more: bool


def add_case_settings(routes: APIRouter, side: Side, acts: Acts, desk: CaseSettingDesk) -> None:
    """Add the settings; who reads rules on cases reads them, who writes rules changes them."""

    @routes.get(f"{side.path}/case_settings")
    async def settings(who: Annotated[Caller, side.reads]) -> Settings:
        """Return how cases are worked, and what waits for a second person."""
        return Settings.of(await desk.now())

    @routes.get(f"{side.path}/case_settings/history")
    async def history(
        who: Annotated[Caller, side.reads], before: BeforeVersion = None, limit: Limit = PAGE_SIZE
    ) -> History:
        """List versions, newest first."""
        found = await desk.history(before, limit)
        shown = [Setting.of(each) for each in found]
        return History(data=shown, has_more=bool(found) and found[-1].version > 1)

    @routes.post(f"{side.path}/case_settings", status_code=201, response_model=Setting)
    async def change(request: Request, who: Annotated[Caller, side.lists], order: SettingOrder) -> Response:
        """Make the next version; it counts from its commit on, or waits for a second person."""

        async def work() -> CaseSetting:
            return await desk.change(order.spec, order.latest, order.note, person_of(who))

        return await acts.run(request, who.book, work, lambda made: rendered(Setting.of(made), 201))

    @routes.post(f"{side.path}/case_settings/{{version}}/approve", response_model=Setting)
    async def approve(request: Request, who: Annotated[Caller, side.lists], version: Version) -> Response:
        """Agree, as the second person, to the version that waits."""

        async def work() -> CaseSetting:
            return await desk.approve(version, person_of(who))

        return await acts.run(request, who.book, work, lambda made: rendered(Setting.of(made)))

    @routes.post(f"{side.path}/case_settings/{{version}}/refuse", response_model=Setting)
    async def refuse(request: Request, who: Annotated[Caller, side.lists], version: Version) -> Response:
        """Refuse the version that waits; by whoever made it, take it back."""

        async def work() -> CaseSetting:
            return await desk.refuse(version, person_of(who))

        return await acts.run(request, who.book, work, lambda made: rendered(Setting.of(made)))


def plain(spec: Any) -> dict[str, Any]:
    """Return a specification with every field, those that are built in too."""
    told: dict[str, Any] = msgspec.to_builtins(
        {name: getattr(spec, name) for name in type(spec).__struct_fields__}
    )
    return told
