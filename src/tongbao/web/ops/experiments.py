"""``/ops/experiments``: what is being tried, what it does so far with its interval, whether the split is right; start and stop."""

from collections.abc import Mapping

from fastapi import Response
from markupsafe import Markup

from tongbao.core.errors import AppError, Conflict, NotFound
from tongbao.core.ids import int_text, parse_int
from tongbao.decisions.schema.experiments import (
    ArmReading,
    Experiment,
    ExperimentState,
    Readout,
    ReadoutState,
)
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import OperatorPermission
from tongbao.web.ops.rendering_desk import Desk, Pages, Shown

PATH = "/ops/experiments"
RATIO_P_MIN = 0.0005
TONES = {
    ExperimentState.RUNNING: "ok",
    ExperimentState.DRAFT: "plain",
    ExperimentState.STOPPED: "warn",
    ExperimentState.CONCLUDED: "plain",
}
READ_TONES = {
    ReadoutState.BLOCKED: "error",
    ReadoutState.HARMFUL: "error",
    ReadoutState.WORSE: "warn",
    ReadoutState.BETTER: "ok",
}
ACTS = {
    ExperimentState.DRAFT: ("start",),
    ExperimentState.RUNNING: ("stop", "conclude"),
    ExperimentState.STOPPED: ("conclude",),
    ExperimentState.CONCLUDED: (),
}


def add(pages: Pages) -> None:
    """Add the pages and their acts."""
    pages.get(PATH, _list, OperatorPermission.OPERATIONS_READ)
    pages.get(f"{PATH}/{{book}}/{{name}}", _one, OperatorPermission.OPERATIONS_READ)
    pages.post(f"{PATH}/{{book}}/{{name}}/{{act}}", _act, OperatorPermission.RULES_PUBLISH)


async def _list(desk: Desk) -> Response:
    found = await desk.house.decisions.experiments.everywhere()
    rows = [await _row(each, desk) for each in found]
    return desk.page(Shown("experiments.html", "experiments", {"rows": rows}))


async def _row(experiment: Experiment, desk: Desk) -> tuple[str | Markup, ...]:
    link = Markup('<a href="{}"><bdi>{}</bdi></a>').format(_address(experiment), experiment.name)
    state = Markup('<span class="tag {}">{}</span>').format(
        TONES[experiment.state], desk.t(f"xs_{experiment.state}")
    )
    return (
        link,
        await _owner(experiment, desk),
        state,
        _metric(experiment),
        desk.ui.count(len(experiment.arms)),
        desk.ui.when(experiment.started_at or experiment.created_at, "day"),
    )


def _metric(experiment: Experiment) -> Markup:
    return Markup("<bdi>{}</bdi>").format(experiment.metric.outcome)


async def _owner(experiment: Experiment, desk: Desk) -> str | Markup:
    """Return whose experiment it is: a merchant's, or the house's."""
    if not experiment.book_id:
        return desk.t("x_house")
    owner = (await desk.floor.readings.books()).get(experiment.book_id)
    if owner is None:
        return "—"
    name = owner.merchant.display_name or owner.merchant.name
    return Markup("<bdi>{}</bdi>{}").format(
        name, "" if owner.live else Markup(" · {}").format(desk.t("mode_test"))
    )


def _address(experiment: Experiment) -> str:
    return f"{PATH}/{int_text(BOOK_PREFIX, experiment.book_id)}/{experiment.name}"


async def _named(desk: Desk) -> Experiment:
    params = desk.request.path_params
    try:
        book_id = parse_int(BOOK_PREFIX, str(params["book"]))
    except ValueError:
        raise NotFound("experiment_unknown", "no book has this id") from None
    return await desk.house.decisions.experiments.get(book_id, str(params["name"]))


async def _one(desk: Desk) -> Response:
    return await _answer(desk, await _named(desk))


async def _answer(desk: Desk, experiment: Experiment, status: int = 200, wrong: str = "") -> Response:
    readout: Readout | None = None
    if experiment.started_at is not None:
        readout = await desk.house.decisions.experiments.read(experiment.book_id, experiment.name)
    acts = ACTS[experiment.state] if desk.visitor.may(OperatorPermission.RULES_PUBLISH) else ()
    weights = experiment.epochs[-1].weights_bps if experiment.epochs else {}
    context = {
        "experiment": experiment,
        "state": (desk.t(f"xs_{experiment.state}"), TONES[experiment.state]),
        "owner": await _owner(experiment, desk),
        "readout": readout,
        "verdict": (desk.t(f"xr_{readout.state}"), READ_TONES.get(readout.state, "plain"))
        if readout
        else None,
        "ratio": _ratio(readout, desk) if readout else None,
        "arms": [_arm(each, number, weights, desk) for number, each in enumerate(readout.arms)]
        if readout
        else [],
        "guardrails": [
            (
                Markup("<bdi>{}</bdi>").format(each.outcome),
                ", ".join(each.harmful) or "—",
                Markup('<span class="tag {}">{}</span>').format(
                    *(("error", desk.t("x_harm")) if each.harmful else ("ok", desk.t("x_kept")))
                ),
            )
            for each in readout.guardrails
        ]
        if readout
        else [],
        "acts": [(each, desk.t(f"x_{each}"), "danger" if each == "stop" else "primary") for each in acts],
        "address": _address(experiment),
        "wrong": wrong,
    }
    return desk.page(Shown("experiment.html", "experiments", context, status))


def _ratio(readout: Readout, desk: Desk) -> tuple[Markup, str]:
    """Return what the check of the split says."""
    if readout.sample_ratio_p < RATIO_P_MIN:
        return desk.t("x_ratio_broken", p=f"{readout.sample_ratio_p:.2g}"), "error"
    return desk.t("x_ratio_well", p=f"{readout.sample_ratio_p:.2f}"), "ok"


def _arm(arm: ArmReading, number: int, weights: Mapping[str, int], desk: Desk) -> tuple[str | Markup, ...]:
    name = Markup("<bdi>{}</bdi>{}").format(
        arm.arm,
        Markup(' <span class="tag plain">{}</span>').format(desk.t("x_control")) if not number else "",
    )
    return (
        name,
        desk.ui.percent(weights.get(arm.arm, 0) / 10_000, 0),
        desk.ui.count(arm.units),
        f"{arm.mean:.4g}" if arm.mean is not None else "—",
        _interval(arm.difference, arm.low, arm.high),
        _interval(None, arm.always_low, arm.always_high),
        desk.t(f"xr_{arm.state}") if number else "",
    )


def _interval(value: float | None, low: float | None, high: float | None) -> str | Markup:
    """Return a difference with its interval, always with its sign."""
    if low is None or high is None:
        return "—"
    ends = f"{low:+.4g} … {high:+.4g}".replace("-", "−")
    if value is None:
        return ends
    return Markup('<b>{}</b> <span class="mut">{}</span>').format(f"{value:+.4g}".replace("-", "−"), ends)


async def _act(desk: Desk) -> Response:
    fields = await desk.form()
    experiment, act = await _named(desk), str(desk.request.path_params["act"])
    if act not in {name for names in ACTS.values() for name in names}:
        raise NotFound("act_unknown", "an experiment has no such act")
    seen = fields.get("version", "")
    version = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
    experiments, place = desk.house.decisions.experiments, (experiment.book_id, experiment.name)
    note = fields.get("reason", "").strip()
    try:
        if not note:
            raise Conflict("reason_missing", "say why")
        if act == "start":
            await experiments.start(*place, version)
        elif act == "stop":
            await experiments.stop(*place, version, f"{note} ({desk.visitor.person.name})")
        else:
            await experiments.conclude(*place, version, f"{note} ({desk.visitor.person.name})")
    except AppError as error:
        return await _answer(desk, experiment, desk.wrong(error), act)
    return desk.done(_address(experiment), f"x_{act}")
