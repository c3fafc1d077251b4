"""The words of risk control's pages in the console: one catalogue of what stands in three files, and how a text is taken."""

from tongbao.web import wording
from tongbao.web.locale import ops_risk, ops_risk_desk, ops_risk_watching
from tongbao.web.wording import Say

TEXTS: dict[str, tuple[str, str]] = {**ops_risk.TEXTS, **ops_risk_watching.TEXTS, **ops_risk_desk.TEXTS}


def translator(language: str) -> Say:
    """Return the function that gives a text by its key, with values escaped into it; raise KeyError for an unknown key."""
    return wording.translator(language, TEXTS)
