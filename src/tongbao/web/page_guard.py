"""What stands before the forms of pages: they come from this site, are not too large, and are counted by who sends them."""

from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

from tongbao.core.errors import InvalidRequest, NotPermitted

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def guest(request: Request) -> str:
    """Return by what somebody without a key is counted: the network address."""
    return f"payer:{request.client.host if request.client else 'unknown'}"


def refuse_foreign(request: Request) -> None:
    """Raise NotPermitted ``origin_foreign`` unless the form stands on this site; every browser says where it does."""
    origin = urlsplit(request.headers.get("origin", ""))
    if not origin.netloc or origin.netloc != request.headers.get("host"):
        raise NotPermitted("origin_foreign", "this form came from another site")


def refuse_strange_host(request: Request, base_url: str) -> None:
    """Raise NotPermitted ``host_strange`` unless this house is asked by its own name, or by that of this machine.

    Where nobody signs in, a name of somebody else's that was made to lead here would be a way in (DNS rebinding).
    """
    if request.url.hostname not in LOOPBACK | {urlsplit(base_url).hostname}:
        raise NotPermitted("host_strange", "this house is not known by that name")


async def long_form(request: Request, bytes_max: int, fields_max: int) -> dict[str, str]:
    """Return the fields of a form with long texts; line ends are those of Unix, whatever the browser sends.

    Raises InvalidRequest ``form_invalid`` for a larger one, and for one that is no text.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise InvalidRequest("form_invalid", "the form is too large")
    try:
        pairs = parse_qsl(body.decode("utf-8"), max_num_fields=fields_max, errors="strict")
    except ValueError as error:
        raise InvalidRequest("form_invalid", "the form has too many fields, or is no text") from error
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
