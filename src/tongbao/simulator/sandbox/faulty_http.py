"""Bad answers over HTTP."""

from aiohttp import web

from tongbao.simulator.sandbox.desk import Desk

SILENCE_S_MAX = 600.0
LOOK_S = 0.25
GARBAGE = b"\x00\xff<html>\xfe{]502 Bad Gatewa"


async def keep_silent(desk: Desk, request: web.Request) -> web.StreamResponse:
    """Say nothing for as long as the caller waits, then drop the connection."""
    until_s = desk.elapsed_s + SILENCE_S_MAX
    while request.transport is not None and desk.elapsed_s < until_s and not desk.is_closing:
        await desk.pause(LOOK_S)
    return cut(request)


def cut(request: web.Request) -> web.StreamResponse:
    """Drop the connection without an answer; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
