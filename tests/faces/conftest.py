"""Fixtures of the faces: a browser for the session and pages in every mode."""

from tests.faces.browser import browser, page_in

__all__ = ["browser", "page_in"]
