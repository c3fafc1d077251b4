"""``tongbao policies``: draft, replay, publish, roll out, promote and take back what decides for the house."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.report_words import report_text
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.policies import Guardrail, PolicyChange, PolicyVersion, Rollout
from tongbao.decisions.service.policies import Policies
from tongbao.routing.service.compiling import POLICY
from tongbao.web.commands.at_desk import (
    Actor,
    From,
    Json,
    Live,
    Note,
    To,
    actor_of,
    at_desk,
    instant,
    print_json,
    print_line,
    print_table,
    span_of,
    status,
    text_of,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.desk import Desk

Name = Annotated[str, typer.Option("--policy", help="Which policy; that of the house's routing without.")]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of a version.")]
Epoch = Annotated[
    int | None, typer.Option("--epoch", min=1, help="The roll-out in force; another one in force refuses.")
]
PERCENT_BPS = 100

app = typer.Typer(
    no_args_is_help=True,
    help="What decides: draft a version, replay it on the log, publish it, give it traffic, take it back.",
)


class _Listed(NamedTuple):
    """A policy with its latest version and its roll-out."""

    policy: str
    latest: PolicyVersion | None
    rollout: Rollout | None


class _Shown(NamedTuple):
    """Everything that is shown of a policy."""

    versions: tuple[PolicyVersion, ...]
    rollout: Rollout | None


@app.command("list")
def list_policies(as_json: Json = False) -> None:
    """List the policies with who is in force."""

    async def work(desk: Desk) -> list[_Listed]:
        policies = desk.decisions.policies
        in_force = {each.policy: each for each in await policies.in_force()}
        return [await _listed(policies, name, in_force) for name in sorted({POLICY, *in_force})]

    found = at_desk(work)
    if as_json:
        print_json([each._asdict() for each in found])
        return
    print_table(
        ("Policy", "Latest", "State", "Champion#", "Challenger#", "Share#", "Shadow#", "Since (UTC)"),
        [
            (
                each.policy,
                "" if each.latest is None else str(each.latest.version),
                "built in" if each.latest is None else each.latest.state.value,
                *_force(each.rollout),
            )
            for each in found
        ],
    )


@app.command("show")
def show(
    policy: Name = POLICY,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Its specification.")] = None,
    as_json: Json = False,
) -> None:
    """Show the versions of a policy, newest first; with --version, what that one says."""

    async def work(desk: Desk) -> _Shown | PolicyVersion:
        policies = desk.decisions.policies
        if version is not None:
            return await policies.version(policy, version)
        return _Shown(await policies.versions(policy), await policies.current(policy))

    found = at_desk(work)
    if isinstance(found, PolicyVersion):
        print_json(found if as_json else found.spec)
        return
    if as_json:
        print_json(found._asdict())
        return
    if not found.versions:
        print_line(f"{policy} has no versions; what is built in decides.")
        return
    rollout = found.rollout
    print_table(
        ("Version#", "State", "Role", "Made (UTC)", "By", "Note"),
        [
            (
                str(each.version),
                each.state.value,
                _role(rollout, each.version),
                instant(each.created_at),
                each.created_by,
                each.note,
            )
            for each in found.versions
        ],
    )


@app.command("draft")
def draft(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Specification: JSON, or TOML by its ending.")],
    policy: Name = POLICY,
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Check FILE and keep it as a new version; nothing changes until it is published and rolled out."""
    spec, actor = _spec(file), actor_of(by)
    made = at_desk(lambda desk: desk.decisions.policies.draft(policy, spec, note, actor))
    if as_json:
        print_json(made)
        return
    print_line(f"{policy} version {made.version} is a {made.state}.")
    print_line(f"next: tongbao policies replay {made.version}{_named(policy)}", "dim")


@app.command("replay")
def replay(
    version: Number,
    from_text: From = None,
    to_text: To = None,
    policy: Name = POLICY,
    live: Live = True,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the report.")] = Language.EN,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Ask what VERSION would have done with the payments of a time; the report is kept with it."""
    span, actor = span_of(from_text, to_text), actor_of(by)

    async def work(desk: Desk) -> Report:
        return await desk.replaying_of(policy).replay(policy, version, span, actor, live=live)

    with status(f"Replaying version {version} of {policy} …", hidden=as_json):
        report = at_desk(work)
    if as_json:
        print_json(report)
        return
    print_line(report_text(report, lang.value))


@app.command("publish")
def publish(
    version: Number,
    policy: Name = POLICY,
    force: Annotated[
        bool, typer.Option("--force", help="Although its replay says worse; needs --note.")
    ] = False,
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Let VERSION be rolled out; its replay must not say worse."""
    actor = actor_of(by)
    made = at_desk(
        lambda desk: desk.decisions.policies.publish(policy, version, actor, force=force, note=note)
    )
    if as_json:
        print_json(made)
        return
    print_line(f"{policy} version {version} is {made.state}; no payment meets it before a roll-out.")


@app.command("rollout")
def rollout(
    champion: Annotated[int, typer.Option("--champion", min=1, help="Version that decides.")],
    challenger: Annotated[
        int | None, typer.Option("--challenger", min=1, help="Version that is tried on a share.")
    ] = None,
    share: Annotated[
        float, typer.Option("--share", min=0, max=100, help="Percent of payments for the challenger.")
    ] = 0.0,
    shadow: Annotated[int | None, typer.Option("--shadow", min=1, help="Version that only watches.")] = None,
    guardrail: Annotated[
        list[str] | None,
        typer.Option(
            help="OUTCOME:WORSE_BY, such as approved:0.01 for one point; lower:OUTCOME:… where less is better; "
            "chosen=decline in place of an outcome: how often that is chosen."
        ),
    ] = None,
    policy: Name = POLICY,
    epoch: Epoch = None,
    note: Note = "",
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Put a champion in force, and try a challenger on a share of the payments beside it."""
    order = RolloutOrder(
        champion=champion,
        challenger=challenger,
        share_bps=_bps(share),
        shadow=shadow,
        guardrails=tuple(_guardrail(each) for each in guardrail or ()),
        note=note,
        epoch=epoch,
    )
    actor = actor_of(by)
    _tell_rollout(at_desk(lambda desk: desk.decisions.policies.roll_out(policy, order, actor)), as_json)


@app.command("promote")
def promote(
    policy: Name = POLICY, epoch: Epoch = None, note: Note = "", by: Actor = None, as_json: Json = False
) -> None:
    """Make the challenger the champion, for every payment."""
    actor = actor_of(by)
    made = at_desk(lambda desk: desk.decisions.policies.promote(policy, actor, note=note, epoch=epoch))
    _tell_rollout(made, as_json)


@app.command("return")
def return_to_control(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")],
    policy: Name = POLICY,
    epoch: Epoch = None,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Let the champion decide for every payment again, at once."""
    actor = actor_of(by)
    made = at_desk(lambda desk: desk.decisions.policies.return_to_control(policy, reason, actor, epoch=epoch))
    _tell_rollout(made, as_json)


@app.command("changes")
def changes(
    policy: Name = POLICY,
    after: Annotated[int, typer.Option("--after", min=0, help="Only beyond this line.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Most lines to show.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the audit trail: who did what to a policy, oldest first."""

    async def work(desk: Desk) -> tuple[PolicyChange, ...]:
        return await desk.decisions.policies.changes(policy, after, limit)

    found = at_desk(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("#", "At (UTC)", "Who", "Did", "Version#", "Details"),
        [
            (
                str(each.change_no),
                instant(each.at),
                each.actor,
                each.action.value,
                "" if each.version is None else str(each.version),
                ", ".join(
                    f"{name} {value}" for name, value in each.details.items() if value not in (None, "")
                ),
            )
            for each in found
        ],
    )
    if len(found) == limit:
        print_line(f"more lines: --after {found[-1].change_no}", "dim")


async def _listed(policies: Policies, name: str, in_force: dict[str, Rollout]) -> _Listed:
    versions = await policies.versions(name, limit=1)
    return _Listed(name, versions[0] if versions else None, in_force.get(name))


def _force(rollout: Rollout | None) -> tuple[str, str, str, str, str]:
    if rollout is None:
        return "", "", "", "", ""
    challenger, shadow = rollout.challenger, rollout.shadow
    return (
        str(rollout.champion),
        "" if challenger is None else str(challenger),
        "" if challenger is None else f"{rollout.share_bps / PERCENT_BPS:g} %",
        "" if shadow is None else str(shadow),
        instant(rollout.started_at),
    )


def _role(rollout: Rollout | None, version: int) -> str:
    if rollout is None:
        return ""
    roles = {rollout.champion: "champion", rollout.challenger: "challenger", rollout.shadow: "shadow"}
    role = roles.get(version, "")
    return f"{role} {rollout.share_bps / PERCENT_BPS:g} %" if role == "challenger" else role


def _tell_rollout(made: Rollout, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    text = f"{made.policy}, roll-out {made.epoch}: version {made.champion} decides"
    if made.challenger is not None:
        text += f", version {made.challenger} for {made.share_bps / PERCENT_BPS:g} % of the payments"
    if made.shadow is not None:
        text += f", version {made.shadow} watches"
    print_line(f"{text}.")


def _spec(file: Path) -> dict[str, Any]:
    """Return the specification in a file; raise InvalidRequest ``policy_file_invalid``."""
    text = text_of(file)
    try:
        if file.suffix.lower() == ".toml":
            return tomllib.loads(text)
        return msgspec.json.decode(text, type=dict[str, Any])
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise InvalidRequest("policy_file_invalid", f"{file} holds no specification: {error}") from error


def _bps(percent: float) -> int:
    """Return basis points of percent; raise InvalidRequest ``share_invalid`` for a finer share."""
    bps = round(percent * PERCENT_BPS)
    if abs(bps - percent * PERCENT_BPS) > 1e-6:
        raise InvalidRequest("share_invalid", "a share has at most two decimals of a percent")
    return bps


def _guardrail(text: str) -> Guardrail:
    """Return the guardrail of ``approved:0.01``, or of ``lower:fraud:0.001``; raise InvalidRequest ``guardrail_invalid``."""
    parts = text.split(":")
    lower = len(parts) == 3 and parts[0] == "lower"
    try:
        outcome, worse_by = parts[1:] if lower else parts
        return Guardrail(outcome=outcome, worse_by=float(worse_by), higher_is_better=not lower)
    except ValueError as error:
        raise InvalidRequest(
            "guardrail_invalid",
            f"a guardrail reads OUTCOME:WORSE_BY, such as approved:0.01, not {text[:60]!r}",
        ) from error


def _named(policy: str) -> str:
    return "" if policy == POLICY else f" --policy {policy}"
