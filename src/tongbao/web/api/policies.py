"""``/v2/policies/routing``, ``/v2/policies/risk`` and ``/v2/operations/policies/{name}``: versions, replays, roll-outs.

A merchant's own policy and the house's of the same name have the same routes. A merchant's decides for its payments of one mode
once it is rolled out; before that the house's does. Whoever acts stands in the audit trail: the key, or the person.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Protocol

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from tongbao.core.errors import NotFound
from tongbao.core.requests.asks import Rendered
from tongbao.decisions.policy.report_chart import report_chart
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.policies import PolicyVersion, Rollout
from tongbao.decisions.service.live_policies import LivePolicies
from tongbao.decisions.service.policies import Policies
from tongbao.decisions.service.policy_reading import NUMBER_MAX
from tongbao.parties.schema import Feature, OperatorPermission, Permission, Scope
from tongbao.parties.service.merchants import Merchants
from tongbao.risk.service import compiling as risk
from tongbao.routing.service import compiling as routing
from tongbao.web.api import policy_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller, of_house
from tongbao.web.api.calls import Calls, rendered
from tongbao.web.api.shapes import PAGE_SIZE, IdPath, Limit, path_id

PREFIX = "/v2"
OWN = "/policies"
OF_HOUSE = "/operations/policies/{name}"
BODY_BYTES_MAX = 320 * 1024
"""A specification may have 256 KiB."""
Language = Annotated[str, Query(pattern="^(en|zh|zh-CN)$", description="Language of the words.")]
VersionPath = Annotated[int, Path(ge=1, le=NUMBER_MAX, description="Number of the version.")]
NamePath = Annotated[
    str, Path(max_length=64, description="Name of a policy of the house: `routing` or `risk`.")
]


class Steward(NamedTuple):
    """Who acts, on which policy."""

    policy: str
    caller: Caller


class Side(NamedTuple):
    """One of the two sides: below which path, and the dependencies of who reads, drafts and lets out to traffic."""

    path: str
    reads: Any
    drafts: Any
    publishes: Any


class Replays(Protocol):
    """What replays versions of a room's policies; see ``routing.service.replaying``."""

    async def replay(
        self, policy: str, version: int, span: tuple[datetime, datetime], actor: str, *, live: bool = True
    ) -> Report:
        """Return the report of a version on the decisions of a time, and record it with the version."""
        ...


class Kind(NamedTuple):
    """What a room lends to its policies: their replays, and what of them is in force in this process."""

    replaying: Replays
    live: LivePolicies


class Services(NamedTuple):
    """The services behind the routes; ``kinds`` by the names of the house's policies."""

    policies: Policies
    merchants: Merchants
    kinds: Mapping[str, Kind]

    def kind(self, policy: str) -> Kind:
        """Return what the room of a policy lends."""
        return self.kinds[policy.partition("/")[0]]


class Right(NamedTuple):
    """What a merchant's own policy of a name takes: to look, to write, and to draft a version."""

    reads: Permission
    writes: Permission
    feature: Feature | None


RIGHTS = {
    routing.POLICY: Right(Permission.ROUTING_READ, Permission.ROUTING_WRITE, Feature.CUSTOM_ROUTING),
    risk.POLICY: Right(Permission.RISK_READ, Permission.RISK_WRITE, None),
}


class Svg(Response):
    """A picture."""

    media_type = "image/svg+xml"


def router(calls: Calls, gate: Gate, acts: Acts, services: Services) -> APIRouter:
    """Return the routes of both sides."""
    routes = calls.router(PREFIX, "policies", body_bytes_max=BODY_BYTES_MAX)
    owned = [_merchants(gate, services.merchants, name) for name in services.kinds]
    for side in (*owned, _house(gate, services)):
        _add_reads(routes, side, services)
        _add_replays(routes, side, acts, services)
        _add_versions(routes, side, acts, services.policies)
        _add_rollouts(routes, side, acts, services.policies)
    return routes


def _merchants(gate: Gate, merchants: Merchants, name: str) -> Side:
    """Return a merchant's side. To write a version takes the feature; whoever lost it may still look and go back."""
    right = RIGHTS[name]

    def may(permission: Permission, feature: Feature | None = None) -> Any:
        async def steward(scope: Annotated[Scope, Depends(gate.scope(permission))]) -> Steward:
            if feature is not None:
                await merchants.require_feature(scope, feature)
            return Steward(f"{name}/{scope.book_id}", Caller(scope.live, scope.actor, scope))

        return Depends(steward)

    return Side(f"{OWN}/{name}", may(right.reads), may(right.writes, right.feature), may(right.writes))


def _house(gate: Gate, services: Services) -> Side:
    def may(permission: OperatorPermission) -> Any:
        async def steward(caller: Annotated[Caller, of_house(gate, permission)], name: NamePath) -> Steward:
            if name not in services.kinds:
                raise NotFound("resource_missing", "the house has no such policy")
            return Steward(name, caller)

        return Depends(steward)

    return Side(
        OF_HOUSE,
        may(OperatorPermission.OPERATIONS_READ),
        may(OperatorPermission.RULES_WRITE),
        may(OperatorPermission.RULES_PUBLISH),
    )


def _add_reads(routes: APIRouter, side: Side, services: Services) -> None:
    policies = services.policies

    @routes.get(side.path)
    async def policy(who: Annotated[Steward, side.reads]) -> models.Policy:
        """Return what is rolled out."""
        rollout = await policies.current(who.policy)
        return models.Policy(
            name=who.policy,
            rollout=None if rollout is None else models.Rollout.of(rollout),
            problem=services.kind(who.policy).live.problems.get(who.policy),
        )

    @routes.get(f"{side.path}/versions")
    async def versions(
        who: Annotated[Steward, side.reads],
        before: Annotated[int | None, Query(ge=1, le=NUMBER_MAX, description="Only older ones.")] = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Versions:
        """List versions, newest first."""
        found = await policies.versions(who.policy, before=before, limit=limit + 1)
        shown = [models.Version.of(each) for each in found[:limit]]
        return models.Versions(data=shown, has_more=len(found) > limit)

    @routes.get(f"{side.path}/versions/{{version}}")
    async def version(who: Annotated[Steward, side.reads], version: VersionPath) -> models.VersionWithReplays:
        """Return a version with its specification and its replays."""
        found = await policies.version(who.policy, version)
        return models.VersionWithReplays.told(found, await policies.replays(who.policy, version))

    @routes.get(f"{side.path}/changes")
    async def changes(
        who: Annotated[Steward, side.reads],
        after: Annotated[int, Query(ge=0, le=NUMBER_MAX, description="Only later ones.")] = 0,
        limit: Limit = PAGE_SIZE,
    ) -> models.Changes:
        """Return the audit trail, oldest first: who did what, when and why."""
        found = await policies.changes(who.policy, after, limit + 1)
        shown = [models.Change.of(each) for each in found[:limit]]
        return models.Changes(data=shown, has_more=len(found) > limit)


def _add_replays(routes: APIRouter, side: Side, acts: Acts, services: Services) -> None:
    @routes.post(f"{side.path}/versions/{{version}}/replay", response_model=models.Report)
    async def replay(
        request: Request, who: Annotated[Steward, side.drafts], version: VersionPath, span: models.Span
    ) -> Response:
        """Replay a version on the decisions of a time, and keep the report with it."""

        async def work() -> Report:
            return await services.kind(who.policy).replaying.replay(
                who.policy, version, (span.from_at, span.to_at), who.caller.actor, live=who.caller.live
            )

        return await acts.run(request, who.caller.book, work, _report)

    @routes.get(f"{side.path}/versions/{{version}}/replays/{{replay}}.svg", response_class=Svg)
    async def chart(
        who: Annotated[Steward, side.reads], version: VersionPath, replay: IdPath, language: Language = "en"
    ) -> Response:
        """Draw a replay: what was seen, and what each estimator says, with intervals."""
        replay_id = path_id(models.REPLAY_PREFIX, replay)
        for report in await services.policies.replays(who.policy, version):
            if report.id == replay_id:
                return Svg(report_chart(report, language))
        raise NotFound("resource_missing", f"version {version} has no such replay")


def _add_versions(routes: APIRouter, side: Side, acts: Acts, policies: Policies) -> None:
    @routes.post(f"{side.path}/versions", response_model=models.Version)
    async def draft(request: Request, who: Annotated[Steward, side.drafts], order: models.Draft) -> Response:
        """Write a version; the one that says the same already, where there is one."""

        async def work() -> PolicyVersion:
            return await policies.draft(who.policy, order.spec, order.note, who.caller.actor)

        return await acts.run(request, who.caller.book, work, _version)

    @routes.post(f"{side.path}/versions/{{version}}/publish", response_model=models.Version)
    async def publish(
        request: Request,
        who: Annotated[Steward, side.publishes],
        version: VersionPath,
        order: models.PublishOrder | None = None,
    ) -> Response:
        """Let a replayed version be rolled out; the first of a policy needs no replay."""
        wanted = order or models.PublishOrder()

        async def work() -> PolicyVersion:
            return await policies.publish(
                who.policy, version, who.caller.actor, force=wanted.force, note=wanted.note
            )

        return await acts.run(request, who.caller.book, work, _version)

    @routes.post(f"{side.path}/versions/{{version}}/retire", response_model=models.Version)
    async def retire(
        request: Request,
        who: Annotated[Steward, side.publishes],
        version: VersionPath,
        order: models.RetireOrder | None = None,
    ) -> Response:
        """Put a version away for good."""
        note = (order or models.RetireOrder()).note

        async def work() -> PolicyVersion:
            return await policies.retire(who.policy, version, who.caller.actor, note=note)

        return await acts.run(request, who.caller.book, work, _version)


def _add_rollouts(routes: APIRouter, side: Side, acts: Acts, policies: Policies) -> None:
    @routes.post(f"{side.path}/rollout", response_model=models.Rollout)
    async def roll_out(
        request: Request, who: Annotated[Steward, side.publishes], body: models.RolloutBody
    ) -> Response:
        """Say which version decides, which is tried on a share of the payments, and which only watches."""

        async def work() -> Rollout:
            return await policies.roll_out(who.policy, body.order(), who.caller.actor)

        return await acts.run(request, who.caller.book, work, _rollout)

    @routes.post(f"{side.path}/promote", response_model=models.Rollout)
    async def promote(
        request: Request, who: Annotated[Steward, side.publishes], order: models.PromoteOrder | None = None
    ) -> Response:
        """Make the challenger the champion, for every payment."""
        wanted = order or models.PromoteOrder()

        async def work() -> Rollout:
            return await policies.promote(who.policy, who.caller.actor, note=wanted.note, epoch=wanted.epoch)

        return await acts.run(request, who.caller.book, work, _rollout)

    @routes.post(f"{side.path}/return_to_control", response_model=models.Rollout)
    async def return_to_control(
        request: Request, who: Annotated[Steward, side.publishes], order: models.ReturnOrder
    ) -> Response:
        """Let the champion decide for every payment again."""

        async def work() -> Rollout:
            return await policies.return_to_control(
                who.policy, order.reason, who.caller.actor, epoch=order.epoch
            )

        return await acts.run(request, who.caller.book, work, _rollout)


def _version(version: PolicyVersion) -> Rendered:
    return rendered(models.Version.of(version))


def _report(report: Report) -> Rendered:
    return rendered(models.Report.of(report))


def _rollout(rollout: Rollout) -> Rendered:
    return rendered(models.Rollout.of(rollout))
