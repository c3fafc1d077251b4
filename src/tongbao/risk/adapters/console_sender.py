"""Codes on the console: for development, where the payer is whoever reads the log."""

from tongbao.core.errors import Unavailable
from tongbao.core.logs import get_logger
from tongbao.risk.policy.challenges import masked
from tongbao.risk.schema.challenges import CodeFacts, Destination

NOTE = "for development only: the code is in this log instead of a message"

_log = get_logger("risk.console_sender")


class ConsoleSender:
    """A ``CodeSender`` that writes to the log, in test mode only."""

    async def send(self, destination: Destination, code: str, locale: str, facts: CodeFacts) -> None:
        """Log the code; raise Unavailable ``code_not_sent`` for a live payment, whose code no log may hold."""
        if facts.live:
            raise Unavailable("code_not_sent", "codes of live payments are not written to the console")
        _log.warning(
            "step_up_code_for_development",
            note=NOTE,
            to=masked(destination),
            code=code,
            locale=locale,
            amount_minor=facts.amount_minor,
            currency=facts.currency,
        )
