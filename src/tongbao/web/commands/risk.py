"""``tongbao risk``: how risk control stands, why payments were judged so, rules, lists, freezes, cases; and files replayed."""

import typer

from tongbao.web.commands import (
    risk_case_settings,
    risk_cases,
    risk_discover,
    risk_fairness,
    risk_freezes,
    risk_lists,
    risk_payments,
    risk_replay,
    risk_rules,
    risk_status,
    risk_tradeoff,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Risk control: how it stands, why payments were judged so, rules, lists, freezes, cases, files replayed.",
)
app.command("status")(risk_status.status)
app.command("explain")(risk_payments.explain)
app.command("label")(risk_payments.label)
app.command("models")(risk_payments.models)
app.add_typer(risk_rules.app, name="rules")
app.add_typer(risk_lists.app, name="lists")
app.add_typer(risk_cases.app, name="cases")
app.add_typer(risk_case_settings.app, name="case-settings")
app.command("freeze")(risk_freezes.freeze)
app.command("release")(risk_freezes.release)
app.command("approve")(risk_freezes.approve)
app.command("freezes")(risk_freezes.freezes)
app.command("tradeoff")(risk_tradeoff.tradeoff)
app.command("fairness")(risk_fairness.fairness)
app.command("discover")(risk_discover.discover)
app.command("replay")(risk_replay.replay)
