"""``tongbao risk case-settings``: what rings, deadlines, how much one person releases; version by version, each kept."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.case_settings import CaseSetting, CaseSettings
from tongbao.risk.service.case_setting import FIELDS, CaseSettingDesk, said
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Note,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
    text_of,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import RiskDesk, at_risk_desk

Version = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version that waits.")]

app = typer.Typer(no_args_is_help=True, help="How cases are worked: what rings, deadlines, four eyes.")


@app.command("show")
def show(
    lang: Annotated[Language, typer.Option("--lang", help="Language of the fields.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """Show what is in force, and what waits for a second person."""
    found = at_risk_desk(lambda desk: _desk(desk).now())
    if as_json:
        print_json(found)
        return
    _tell(found, lang)


@app.command("change")
def change(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON of the fields to change; others stay as they are.")
    ],
    note: Note,
    by: Actor = None,
) -> None:
    """Make the next version from the fields in FILE, such as {"sla_h": {"critical": 0.5}}."""
    actor, fields = actor_of(by), _fields(file)

    async def work(desk: RiskDesk) -> CaseSetting:
        settings = _desk(desk)
        known = await settings.now()
        spec: dict[str, Any] = msgspec.to_builtins(known.spec)
        return await settings.change(spec | fields, known.latest, note, actor)

    _tell_made(at_risk_desk(work))


@app.command("approve")
def approve(version: Version, by: Actor = None) -> None:
    """Agree, as the second person, to the version that waits."""
    actor = actor_of(by)
    _tell_made(at_risk_desk(lambda desk: _desk(desk).approve(version, actor)))


@app.command("refuse")
def refuse(version: Version, by: Actor = None) -> None:
    """Refuse the version that waits; by whoever made it, take it back."""
    actor = actor_of(by)
    _tell_made(at_risk_desk(lambda desk: _desk(desk).refuse(version, actor)))


@app.command("history")
def history(as_json: Json = False) -> None:
    """List versions, newest first."""
    found = at_risk_desk(lambda desk: _desk(desk).history())
    if as_json:
        print_json(found)
        return
    print_table(
        ("Version#", "Made (UTC)", "By", "State", "Answered by", "Note"),
        [
            (
                str(each.version),
                instant(each.made_at),
                each.made_by,
                each.state.value.replace("_", " "),
                each.decided_by,
                each.note,
            )
            for each in found
        ],
    )


def _desk(desk: RiskDesk) -> CaseSettingDesk:
    return desk.hindsight.case_settings


def _fields(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(text_of(file), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidRequest("case_settings_invalid", f"{file.name} is no JSON object: {error}") from error
    return found


def _tell(found: CaseSettings, lang: Language) -> None:
    at = 1 if lang is Language.ZH else 0
    whose = "built in" if found.standing is None else f"made by {found.standing.made_by}"
    print_line(f"Version {found.version} is in force, {whose}.")
    rows = [(name, words[at], said(name, getattr(found.spec, name), at)) for name, words in FIELDS.items()]
    print_table(("Field", "Meaning", "Value"), rows)
    if found.waiting is not None:
        print_line(
            f"Version {found.waiting.version} by {found.waiting.made_by} waits for a second person.", "bold"
        )


def _tell_made(made: CaseSetting) -> None:
    state = {"in_force": "in force", "waiting": "waits for a second person", "refused": "refused"}
    told = state[made.state.value]
    print_line(f"Version {made.version} {told if made.state == 'waiting' else f'is {told}'}.")
