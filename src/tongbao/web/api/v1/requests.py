"""What every request carries besides its parameters: who asks, under which key, in which language and version."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.core.requests.asks import KEY_CHARS_MAX, Ask, Rendered, ask_digest
from tongbao.core.requests.running import kept_until
from tongbao.parties.errors import KeyRefused
from tongbao.parties.schema import Scope
from tongbao.web.api.v1.errors import failure
from tongbao.web.api.v1.forms import BODY_BYTES_MAX, Params, parse_form, parse_json
from tongbao.web.api.v1.ports import Services
from tongbao.web.api.v1.renderings.events import API_VERSION

_VERSION = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9](?:\.[a-z_]{1,40})?\Z")
_KEY = re.compile(rf"[\x20-\x7e]{{1,{KEY_CHARS_MAX}}}\Z")
_CARD_PLACES = (("card",), ("payment_method_data", "card"))
FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request that may be served: authenticated, permitted, its parameters read.

    ``got`` are the typed parameters, ``subject_id`` the id in the path. ``key``: the idempotency key, if any.
    """

    services: Services
    scope: Scope
    request_id: str
    method: str
    path: str
    got: dict[str, Any]
    subject_id: UUID = UUID(int=0)
    key: str | None = None
    fingerprint: bytes = b""
    moves_money: bool = False
    chinese: bool = False

    def ask(self, render: Callable[[Any], Rendered]) -> Ask | None:
        """Return the request as one that may be repeated, where it has a key.

        ``render`` puts the result into words inside the commit. The key counts for this method and path alone.
        """
        if self.key is None:
            return None

        def rendered(result: Any) -> Rendered:
            # A refusal that ends a request is its answer, and is kept like any other.
            if isinstance(result, AppError):
                failed = failure(result, chinese=self.chinese, docs_url=self.services.docs_url)
                return Rendered(failed.status, msgspec.json.encode(failed.body))
            return render(result)

        return Ask(
            digest=ask_digest(self.method, self.path, self.key),
            fingerprint=self.fingerprint,
            key=self.key,
            request_id=self.request_id,
            render=rendered,
            kept_until=kept_until(self.services.clock.now(), moves_money=self.moves_money),
        )


def api_key(header: str | None) -> str:
    """Return the API key of an ``Authorization`` header: Bearer, or Basic with the key as the user.

    Raises KeyRefused ``api_key_missing`` and ``api_key_invalid``.
    """
    if not header:
        raise KeyRefused("api_key_missing", "send your API key as a Bearer token, or as the user of Basic")
    scheme, _, rest = header.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return rest
    if scheme.lower() == "basic" and rest:
        try:
            user, _, _ = base64.b64decode(rest, validate=True).decode("ascii").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = ""
        if user:
            return user
    raise KeyRefused("api_key_invalid", "this API key is not valid")


def idempotency_key(header: str | None) -> str | None:
    """Return the key of a repeatable request; raise InvalidRequest ``idempotency_key_invalid``."""
    if header is not None and not _KEY.match(header):
        raise InvalidRequest(
            "idempotency_key_invalid", f"Idempotency-Key is 1 to {KEY_CHARS_MAX} printable ASCII characters"
        )
    return header


def version(header: str | None) -> str:
    """Return the version to name in the answer; raise InvalidRequest ``api_version_invalid``.

    There is one shape of each object; a caller's version is accepted and named back.
    """
    if header is None:
        return API_VERSION
    if not _VERSION.match(header):
        raise InvalidRequest("api_version_invalid", f"Stripe-Version is written like {API_VERSION}")
    return header


def prefers_chinese(header: str | None) -> bool:
    """Return whether ``Accept-Language`` (RFC 9110, 12.5.4) puts Chinese before English and everything else."""
    best, best_weight = "", 0.0
    for part in (header or "")[:500].split(","):
        tag, _, rest = part.strip().partition(";")
        found = _WEIGHT.match(rest.strip().lower()) if rest else None
        weight = float(found[1]) if found else 0.0 if rest else 1.0
        if weight > best_weight:
            best, best_weight = tag.strip().lower(), weight
    return best == "zh" or best.startswith("zh-")


def parse_body(content_type: str | None, body: bytes) -> Params:
    """Return the parameters of a body.

    Raises InvalidRequest ``content_type_wrong`` and ``parameters_malformed``, LimitExceeded ``body_too_large``.
    """
    if len(body) > BODY_BYTES_MAX:
        raise body_too_large()
    if not body:
        return {}
    kind = (content_type or FORM_TYPE).partition(";")[0].strip().lower()
    if kind == FORM_TYPE:
        return parse_form(body)
    if kind == JSON_TYPE:
        return parse_json(body)
    raise InvalidRequest("content_type_wrong", f"send {FORM_TYPE} or {JSON_TYPE}")


def body_too_large() -> LimitExceeded:
    """Return the error for a body that is too long."""
    return LimitExceeded("body_too_large", f"a body has at most {BODY_BYTES_MAX} bytes")


def fingerprint(params: Params) -> bytes:
    """Return SHA-256 of the canonical parameters: sorted, the same for a form and for JSON.

    Of a card number only what may be shown goes in, of its code nothing: digests are kept, and a digest of a card
    number can be guessed back.
    """
    shown = params
    for place in _CARD_PLACES:
        shown = _without_card(shown, place)
    return ask_digest(msgspec.json.encode(shown, order="sorted"))


def _without_card(params: Params, place: tuple[str, ...]) -> Params:
    """Return the parameters with the card at ``place`` masked; the same object where there is none."""
    head, *rest = place
    inner = params.get(head)
    if not isinstance(inner, dict):
        return params
    if rest:
        return {**params, head: _without_card(inner, tuple(rest))}
    card = {name: value for name, value in inner.items() if name != "cvc"}
    number = card.get("number")
    if isinstance(number, str):
        digits = "".join(char for char in number if char.isdecimal())
        card["number"] = f"{digits[:6]}*{digits[-4:]}"
    return {**params, head: card}
