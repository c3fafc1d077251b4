"""``tongbao risk``: what risk control would have done with payments, and what it knows."""

import typer

from tongbao.web.commands import risk_replay

app = typer.Typer(no_args_is_help=True, help="Risk control: replay files of payments.")
app.command("replay")(risk_replay.replay)


@app.callback()
def _group() -> None:
    """Keep the name of each command a word of its own, also while there is only one."""
