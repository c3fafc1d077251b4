"""One visit from the wish to its end: ask, answer what is asked, try the next means, and say how it ended."""

from datetime import datetime
from typing import Any

import msgspec

from tongbao.simulator.city.acting import Acting, Answer, channel_reference
from tongbao.simulator.city.answers import ISSUER_PAGE, STEP_UP, Answers, code_url, page_url
from tongbao.simulator.city.running import Work
from tongbao.simulator.city.schema import Means, Outcome, Visit, Visited

TRIES_MAX = 4
PAID = ("succeeded", "requires_capture")


class Visitors:
    """Payers and thieves before the counter. ``work`` is asked to be quiet before a payment's end is read."""

    def __init__(self, acting: Acting, answers: Answers, work: Work) -> None:
        self._acting = acting
        self._answers = answers
        self.work = work

    async def visit(self, visit: Visit, at: datetime) -> Visited:
        """Let a visit happen; return how it ended."""
        visited = Visited(number=visit.number, outcome=Outcome.REFUSED)
        for means in visit.attempt_means[:TRIES_MAX]:
            if means is Means.CARD and visit.card is None:
                continue
            if visited.payment is None:
                answer = await self._acting.pay(visit, means, at)
            else:
                answer = await self._acting.try_again(visit, visited.payment, means, visited.tries, at)
            visited = msgspec.structs.replace(visited, means=means, tries=visited.tries + 1)
            visited = await self._ended(visited, visit, answer, at)
            if visited.outcome not in (Outcome.DECLINED, Outcome.BLOCKED):
                break
        return visited

    def seen(self, visited: Visited, visit: Visit, answer: Answer) -> Visited:
        """Return how a visit stands by what the house says of its payment."""
        intent = answer.intent
        outcome = _outcome(answer, intent)
        captured_minor = visited.captured_minor
        if intent.get("status") == "succeeded":
            captured_minor = int(intent["amount_received"])
        return msgspec.structs.replace(
            visited,
            outcome=outcome,
            payment=intent.get("id") or visited.payment,
            error_code=answer.error_code
            if outcome in (Outcome.DECLINED, Outcome.BLOCKED, Outcome.REFUSED)
            else None,
            captured_minor=captured_minor,
        )

    async def _ended(self, visited: Visited, visit: Visit, answer: Answer, at: datetime) -> Visited:
        """Answer what the payment asks, as often as it does, and return how it ended."""
        for _ in range(TRIES_MAX):
            intent = answer.intent
            if intent.get("status") != "requires_action":
                break
            url = page_url(intent) or ""
            is_stepped_up = STEP_UP in url
            visited = msgspec.structs.replace(
                visited, was_stepped_up=visited.was_stepped_up or is_stepped_up or ISSUER_PAGE in url
            )
            if not await self._answered(visit, intent, url, at):
                return msgspec.structs.replace(visited, outcome=Outcome.ABANDONED, payment=intent["id"])
            await self.work.quiet()
            answer = await self._acting.read(visit.shop, intent["id"], at)
        return self.seen(visited, visit, answer)

    async def _answered(self, visit: Visit, intent: dict[str, Any], url: str, at: datetime) -> bool:
        """Do what is asked; return whether somebody did anything but leave."""
        if STEP_UP in url:
            if visit.passes_step_up:
                return await self._answers.type_code(url, visit.email, at)
            await self._answers.look(url, visit.email, at)
            return False
        if ISSUER_PAGE in url:
            await self._answers.pass_issuer(url, is_passed=visit.passes_step_up)
            return True
        code, reference = code_url(intent), channel_reference(intent)
        if code is None or reference is None:
            return False
        if code.startswith("http"):
            await self._answers.pay_code(code)
        else:
            # A code that no browser opens is paid in the wallet's own app.
            await self._acting.pay_in_app(reference)
        return True


def _outcome(answer: Answer, intent: dict[str, Any]) -> Outcome:
    status, risk = intent.get("status"), intent.get("risk_state")
    if risk == "blocked":
        return Outcome.BLOCKED
    if status in PAID:
        return Outcome.HELD if risk == "review" and status != "succeeded" else Outcome.APPROVED
    if answer.status == 0 or answer.status >= 500 or status == "processing":
        return Outcome.UNRESOLVED
    if status == "requires_action":
        return Outcome.ABANDONED
    if status in ("requires_payment_method", "canceled"):
        return Outcome.DECLINED
    return Outcome.REFUSED
