"""``/ops/routing/doctor``: what changed in a period against its baseline, why, and what would help."""

from fastapi import Response
from markupsafe import Markup

from tongbao.parties.schema import OperatorPermission
from tongbao.routing.schema.health import Action, Cause, Counts, Estimate, Verdict
from tongbao.routing.service import explaining
from tongbao.web.ops import doctor_view
from tongbao.web.ops.rendering import choice
from tongbao.web.ops.rendering_desk import MODES, Desk, Pages, Shown

PATH = "/ops/routing/doctor"
TONES = {Verdict.FELL: "error", Verdict.ROSE: "ok", Verdict.STEADY: "ok", Verdict.TOO_FEW: "plain"}


def add(pages: Pages) -> None:
    """Add the page."""
    pages.get(PATH, _page, OperatorPermission.OPERATIONS_READ, moded=True)


async def _page(desk: Desk) -> Response:
    choice(desk.request, "mode", MODES, "test")
    period = choice(desk.request, "period", doctor_view.PERIODS, doctor_view.PERIOD)
    baseline = choice(desk.request, "baseline", doctor_view.BASELINES, doctor_view.BASELINE)
    asked = doctor_view.visit(desk.house.runtime.clock.now(), period, baseline)
    view = await doctor_view.view(desk.house.routing.health, asked, live=desk.live)
    found = view.diagnosis
    context = {
        "period": period,
        "baseline": baseline,
        "periods": [(each, desk.t(f"p_{each}")) for each in doctor_view.PERIODS],
        "baselines": [(each, desk.t(f"l_{each}")) for each in doctor_view.BASELINES],
        "verdict": (explaining.verdict_text(found, desk.short), TONES[found.verdict]),
        "kpis": [
            (
                desk.t("d_now"),
                _rate(found.current, desk),
                desk.t("n_payments", n=desk.ui.count(found.current.total)),
            ),
            (
                desk.t("d_before"),
                _rate(found.baseline, desk),
                desk.t("n_payments", n=desk.ui.count(found.baseline.total)),
            ),
            (
                desk.t("d_change"),
                _points(found.change) if found.current.judged and found.baseline.judged else "—",
                desk.t("d_split", rate=_plain(found.rate.value), mix=_plain(found.mix.value)),
            ),
        ],
        "causes": [_cause(number, each, desk) for number, each in enumerate(view.causes, 1)],
        "actions": [_action(number, each, desk) for number, each in enumerate(view.actions, 1)],
        "is_short": found.verdict is Verdict.TOO_FEW,
    }
    return desk.page(Shown("doctor.html", "doctor", context))


def _rate(counts: Counts, desk: Desk) -> str:
    return desk.ui.percent(counts.approved / counts.judged) if counts.judged else "—"


def _plain(change: float) -> str:
    return f"{change * 100:+.1f}".replace("-", "−")


def _points(change: Estimate) -> Markup:
    ends = f"{_plain(change.low)} … {_plain(change.high)}"
    return Markup('{} <span class="mut">({})</span>').format(_plain(change.value), ends)


def _cause(number: int, cause: Cause, desk: Desk) -> tuple[object, ...]:
    lost = doctor_view.loss_of(cause.points)
    told = Markup('<b>{:.1f}</b> <span class="mut">{:.1f} … {:.1f}</span>').format(
        lost.value * 100, lost.low * 100, lost.high * 100
    )
    return number, explaining.cause_text(cause, desk.short), told


def _action(number: int, action: Action, desk: Desk) -> tuple[object, ...]:
    gain = action.gain.payments_a_day
    if gain is None:
        return number, explaining.action_text(action, desk.short), desk.t("gain_none")
    money = [desk.ui.money(round(each.value), currency) for currency, each in action.gain.minor_a_day.items()]
    told = Markup('<b>{}</b> <span class="mut">{}</span>').format(
        desk.ui.count(round(gain.value)), " · ".join(money)
    )
    return number, explaining.action_text(action, desk.short), told
