"""How cases are worked: the settings in force as a form, what waits for a second person, and every version so far."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request, Response

from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.cases import CaseSpec, Severity
from tongbao.risk.service import wording
from tongbao.risk.service.case_setting import CaseSettingDesk, differences
from tongbao.web.ops.risk_desk import Desk, Failed, Shown, Typed, language_of, words_of

SHOWN = 20
CENTS = 100
NUMBER_CHARS_MAX = 20


class CaseSettingsPage:
    """Answers the page and its forms."""

    def __init__(self, desk: Desk, settings: CaseSettingDesk) -> None:
        self._desk = desk
        self._settings = settings
        self._acts: dict[str, Callable[[Typed], Awaitable[str]]] = {
            "settings": self._change,
            "approve": self._approve,
            "refuse": self._refuse,
        }

    async def show(self, request: Request) -> Response:
        """Answer the settings in force."""
        return await self._page(request, None)

    async def act(self, request: Request) -> Response:
        """Do what one of the forms asks for."""

        async def do(typed: Typed) -> str:
            typed.require(OperatorPermission.RULES_WRITE)
            act = self._acts.get(typed.form)
            if act is None:
                raise InvalidRequest("form_invalid", "this page has no such form")
            return f"/ops/risk/case-settings?said={await act(typed)}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, failed)

        return await self._desk.act(await self._desk.read(request), do, again)

    async def _change(self, typed: Typed) -> str:
        made = await self._settings.change(
            spec_of(typed), _version(typed.text("latest")), typed.text("note"), typed.actor
        )
        return "settings_asked" if made.state == "waiting" else "settings_made"

    async def _approve(self, typed: Typed) -> str:
        await self._settings.approve(_version(typed.text("version")), typed.actor)
        return "settings_made"

    async def _refuse(self, typed: Typed) -> str:
        await self._settings.refuse(_version(typed.text("version")), typed.actor)
        return "settings_refused"

    async def _page(self, request: Request, failed: Failed | None) -> Response:
        language = language_of(request)
        found = await self._settings.now()
        waiting = found.waiting
        context = {
            "found": found,
            "fields": form_of(found.spec),
            "severities": list(Severity),
            "severity_text": lambda key: words_of(wording.SEVERITIES, key, language),
            "asked": [] if waiting is None else differences(found.spec, waiting.spec, language),
            "history": await self._settings.history(limit=SHOWN),
        }
        return self._desk.page(request, Shown("risk_case_settings.html", "cases", context, failed))


def form_of(spec: CaseSpec) -> Mapping[str, str]:
    """Return settings as the fields of the form: amounts in major units, one rule or currency a line."""
    hours = {f"sla_{each.value}": f"{h:g}" for each, h in spec.sla_h.items()}
    return hours | {
        "declined_value_min": f"{spec.declined_value_min / CENTS:.2f}",
        "release_alone_max": f"{spec.release_alone_max / CENTS:.2f}",
        "rules": "\n".join(spec.rules),
        "is_across_books": "1" if spec.is_across_books else "",
        "fresh_h": f"{spec.fresh_h:g}",
        "worth": "\n".join(f"{code} {worth:g}" for code, worth in sorted(spec.worth.items())),
    }


def spec_of(typed: Typed) -> dict[str, Any]:
    """Return the settings that a form says, as plain data; raise InvalidRequest ``case_settings_invalid``."""
    hours = {each.value: typed.text(f"sla_{each.value}") for each in Severity}
    worth: dict[str, float] = {}
    for line in typed.text("worth").splitlines():
        code, _, number = line.strip().partition(" ")
        if code:
            worth[code] = _number("worth", number)
    return {
        "declined_value_min": round(_number("declined_value_min", typed.text("declined_value_min")) * CENTS),
        "release_alone_max": round(_number("release_alone_max", typed.text("release_alone_max")) * CENTS),
        "rules": [each.strip() for each in typed.text("rules").splitlines() if each.strip()],
        "is_across_books": typed.text("is_across_books") == "1",
        "fresh_h": _number("fresh_h", typed.text("fresh_h")),
        "sla_h": {name: _number("sla_h", text) for name, text in hours.items() if text},
        "worth": worth,
    }


def _number(field: str, text: str) -> float:
    kept = text.strip().replace(",", "")
    try:
        number = float(kept[:NUMBER_CHARS_MAX])
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e12:
        raise InvalidRequest("case_settings_invalid", f"{field} is a number from 0 on", field=field)
    return number


def _version(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise InvalidRequest("form_invalid", "this form names no version")
    return int(text)
