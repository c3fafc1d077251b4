"""``tongbao sandbox``: Alipay, WeChat Pay and card acquirers played on this machine."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox.behavior import parse_behavior
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig

PORT_MAX = 65_535

app = typer.Typer(no_args_is_help=True, help="Play the world outside: Alipay, WeChat Pay, card acquirers.")


@app.callback()
def _group() -> None:
    """Keep ``serve`` a word of its own, also while there is only one command."""


@app.command("serve")
def serve(
    home: Annotated[Path, typer.Option(help="Folder of the keys; made at the first start.")] = Path(
        ".tongbao/sandbox"
    ),
    http_port: Annotated[
        int, typer.Option(min=0, max=PORT_MAX, help="Port of HTTP; 0 takes a free one.")
    ] = 0,
    acquirer: Annotated[
        list[str] | None, typer.Option(help="A card acquirer as name:port; may be given several times.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that happens by chance.")] = 20,
    behavior: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON file: channel → behavior.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File in which the book survives restarts.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Allow addresses beyond this machine.")
    ] = False,
) -> None:
    """Listen until Ctrl-C. The first line printed is JSON with every address."""
    config = SandboxConfig(
        home=home,
        journal=journal,
        host=host,
        http_port=http_port,
        acquirers=dict(_parse_acquirer(each) for each in acquirer or ()),
        seed=seed,
        habits=parse_behavior(behavior.read_bytes()) if behavior else {},
        anywhere=anywhere,
    )
    uvloop.run(_serve(config, home))


async def _serve(config: SandboxConfig, home: Path) -> None:
    """Open the sandbox, say where it is, and wait for a signal to end."""
    told = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, told.set)
    async with Sandbox(config) as sandbox:
        where = {
            "http_url": sandbox.http_url,
            "acquirers": sandbox.acquirer_ports,
            "credentials": str(home / "credentials.json"),
        }
        typer.echo(json.dumps(where))
        await told.wait()


def _parse_acquirer(text: str) -> tuple[str, int]:
    """Return name and port of ``name:port``; raise InvalidRequest ``acquirer_invalid``."""
    name, _, port = text.rpartition(":")
    if not name or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        raise InvalidRequest("acquirer_invalid", f"an acquirer is given as name:port, not {text[:60]!r}")
    return name, int(port)
