"""Texts of the faces: found by key in catalogues that hold all languages side by side, with values escaped into them."""

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from tongbao.web.locale.ledger import LANGUAGES

Catalogue = Mapping[str, tuple[str, str]]
"""Texts by key, in the order of ``LANGUAGES``: trusted HTML, values in braces."""
Say = Callable[..., Markup]


def text(language: str, catalogues: Sequence[Catalogue], key: str, values: Mapping[str, object]) -> Markup:
    """Return a text of the first catalogue that has the key, with ``values`` escaped into it; raise KeyError."""
    found = next((each for each in catalogues if key in each), catalogues[-1])
    # The catalogue is part of the program; only the values come from outside.
    return Markup(found[key][LANGUAGES.index(language)]).format(**values)  # noqa: S704 - our own catalogue


def translator(language: str, *catalogues: Catalogue) -> Say:
    """Return the function that gives texts in one language; see ``text``."""

    def say(key: str, **values: object) -> Markup:
        return text(language, catalogues, key, values)

    return say
