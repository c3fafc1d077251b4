"""How payers answer what a payment asks of them: they scan and pay codes, type codes they were mailed, pass their issuer's page.

They act on the public pages as a person would: forms are posted to where they stand, from where they stand.
"""

import asyncio
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent
from tongbao.simulator.city.acting import FORM
from tongbao.simulator.city.answers_mail import Mailbox
from tongbao.simulator.instants import made_at

STEP_UP, ISSUER_PAGE = "/step-up/", "/acs/"
CODE_S_MAX = 5.0
"""So long somebody waits for a code, in real time; the mail is on this machine."""
PAGE_S = 30.0


class Answers:
    """Payers before pages. ``mailbox`` is where the house's mail for them comes in."""

    def __init__(self, http: HttpClient, mailbox: Mailbox) -> None:
        self._http = http
        self._mailbox = mailbox

    async def pay_code(self, url: str) -> None:
        """Scan a code and pay what it asks for."""
        await self._page("GET", url, None, None)
        await self._page("POST", url, {"act": "pay"}, None)

    async def pass_issuer(self, url: str, *, is_passed: bool) -> None:
        """Say on the issuer's page that it is oneself who pays, or that it is not."""
        await self._page("POST", url, {"act": "pass" if is_passed else "fail"}, None)

    async def type_code(self, url: str, email: str, at: datetime) -> bool:
        """Open a step-up page, wait for the code and type it; return whether one came."""
        waiting = self._mailbox.expect(email)
        try:
            await self._page("GET", url, None, at)
            code = await asyncio.wait_for(waiting, CODE_S_MAX)
        except TimeoutError:
            return False
        finally:
            self._mailbox.forget(email, waiting)
        await self._page("POST", f"{url}/answer", {"code": code}, at)
        return True

    async def look(self, url: str, email: str, at: datetime) -> None:
        """Open a step-up page and leave: somebody who cannot answer has seen what is asked, and nobody reads the code."""
        waiting = self._mailbox.expect(email)
        await self._page("GET", url, None, at)
        self._mailbox.forget(email, waiting)

    async def _page(
        self, method: str, url: str, form: dict[str, str] | None, at: datetime | None
    ) -> HttpAnswer | None:
        """Return what a page answers; None where nobody does: what came of it is read from the payment."""
        parts = urlsplit(url)
        headers = {"Origin": f"{parts.scheme}://{parts.netloc}", "Content-Type": FORM} if form else {}
        if at is not None:
            headers |= made_at(at)
        body = urlencode(form).encode() if form else None
        try:
            return await self._http.request(method, url, headers=headers, body=body, timeout_s=PAGE_S)
        except (NotSent, NoAnswer):
            return None


def code_url(intent: dict[str, Any]) -> str | None:
    """Return what the code to scan says, or where the payer of a wallet is led; None where neither is asked."""
    action = intent.get("next_action") or {}
    for kind in ("display_qr_code", "wechat_pay_display_qr_code", "alipay_handle_redirect"):
        if kind in action:
            found: str | None = action[kind].get("data") or action[kind].get("url")
            return found
    return None


def page_url(intent: dict[str, Any]) -> str | None:
    """Return the page to which the payer is led; None where there is none."""
    action = intent.get("next_action") or {}
    found: str | None = (action.get("redirect_to_url") or {}).get("url")
    return found
