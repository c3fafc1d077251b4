"""Cells of the tables of risk control: finished markup from values, everything from outside escaped."""

from datetime import datetime

from babel.dates import format_timedelta
from markupsafe import Markup

from tongbao.web.ui import money
from tongbao.web.ui.kit import Kit
from tongbao.web.wording import Say


def link(href: str, text: str, line: str = "") -> Markup:
    """Return a name that leads somewhere, with a note below it where there is one."""
    note = Markup('<span class="hint">{}</span>').format(line) if line else Markup()
    return Markup('<a href="{}"><bdi>{}</bdi></a>{}').format(href, text, note)


def tag(text: str, tone: str = "plain") -> Markup:
    """Return a word in a tone of the kit."""
    return Markup('<span class="tag {}">{}</span>').format(tone, text)


def name(text: str) -> Markup:
    """Return what somebody is called; a dash for nobody."""
    return Markup("<bdi>{}</bdi>").format(text) if text else Markup('<span class="mut">—</span>')


def when(ui: Kit, at: datetime, style: str = "minute") -> Markup:
    """Return an instant in a style of the kit, to the second on its title."""
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        at.isoformat(), ui.instant(at), ui.when(at, style)
    )


def span(ui: Kit, at: datetime, now: datetime) -> str:
    """Return the time between two instants in words, to the minute."""
    locale = money.LOCALES[ui.language]
    return str(format_timedelta(abs(at - now), granularity="minute", threshold=1.2, locale=locale))


def due(ui: Kit, say: Say, at: datetime) -> Markup:
    """Return how long something is still in time, or how long it is overdue."""
    now = ui.now or at
    told = say("overdue_by" if at < now else "due_in", time=span(ui, at, now))
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(at.isoformat(), ui.instant(at), told)
