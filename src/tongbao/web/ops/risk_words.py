"""The words of risk control's pages in the console: one catalogue of what stands in three files, and how a text is taken."""

from collections.abc import Callable

from markupsafe import Markup

from tongbao.web.locale import ledger, ops_risk, ops_risk_desk, ops_risk_watching

TEXTS: dict[str, tuple[str, str]] = {**ops_risk.TEXTS, **ops_risk_watching.TEXTS, **ops_risk_desk.TEXTS}
Say = Callable[..., Markup]


def translator(language: str) -> Say:
    """Return the function that gives a text by its key, with values escaped into it; raise KeyError for an unknown key."""
    place = ledger.LANGUAGES.index(language)

    def say(key: str, **values: object) -> Markup:
        # The catalogue is part of the program; only the values come from outside.
        return Markup(TEXTS[key][place]).format(**values)  # noqa: S704 - our own catalogue

    return say
