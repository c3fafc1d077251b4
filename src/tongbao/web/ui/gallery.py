"""The gallery at ``/ui``: every part of the kit in every mode, made of samples, with no data of the house.

What is shown here is what pages are built of; the tests of the kit look at these pages.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from tongbao.core.errors import AppError, NotFound
from tongbao.web import errors, pages
from tongbao.web.page_route import page_route
from tongbao.web.ui import gallery_charts, gallery_samples, icons, stream, tables
from tongbao.web.ui import saved_views as views
from tongbao.web.ui.charts_lines import spark
from tongbao.web.ui.forms import Form
from tongbao.web.ui.gallery_samples import Say
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.live import Channel, Hub
from tongbao.web.ui.table_views import TableView

PREFIX = "/ui"
GROUPS: dict[str, tuple[str, str, str]] = {
    "ground": ("Ground", "基础", "sun"),
    "figures": ("Figures and facts", "数字与事实", "scale"),
    "forms": ("Forms", "表单", "rules"),
    "tables": ("Tables", "表格", "table"),
    "charts": ("Charts", "图表", "chart"),
    "stories": ("Stories and ways", "时间线与导航", "clock"),
    "messages": ("Messages", "消息", "bell"),
    "wallet": ("Wallet", "钱包", "wallet"),
}
"""Each page with its name in English and in Chinese, and its drawing."""
LIVE_PERIOD_S = 1.0


def router(hub: Hub | None = None) -> APIRouter:
    """Return the routes of the gallery; ``hub`` carries its live part, one of its own where none is given."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=page_route(_error_page))
    gallery = _Gallery(hub or Hub())
    routes.get("", response_model=None)(gallery.first)
    routes.get("/stream", response_model=None)(gallery.stream)
    routes.get("/find", response_model=None)(gallery.find)
    routes.get("/{group}", response_model=None)(gallery.page)
    routes.post("/forms", response_model=None)(gallery.forms)
    return routes


def _error_page(request: Request, error: AppError) -> Response:
    status = errors.answer(error).status
    return _render(request, "error", Form({}, Kit(pages.preferences(request).language)), status)


class _Gallery:
    """Answers the pages."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._beats = count(1)
        self._beat = Channel("gallery", self._render, LIVE_PERIOD_S)

    async def first(self) -> Response:
        """Answer the way to the first page."""
        return RedirectResponse(f"{PREFIX}/{next(iter(GROUPS))}", 303)

    async def page(self, request: Request, group: str) -> Response:
        """Answer one page; raise NotFound ``gallery_unknown`` for a name that is none."""
        if group not in GROUPS:
            raise NotFound("gallery_unknown", "the gallery has no such page")
        if group == "tables" and request.query_params.get("format") == "csv":
            return self._export(request)
        return _render(request, group, self._form(request, {}))

    async def forms(self, request: Request) -> Response:
        """Answer the form again, with what is wrong beside its fields; nothing is kept."""
        form = self._form(request, await pages.form(request))
        form.text("name", most=40)
        form.email("email")
        form.amount("fee", "CNY", least=100, most=1_000_000)
        form.choice("speed", ("fast", "slow"))
        form.days()
        form.text("reason", least=10)
        return _render(request, "forms", form, 422 if form.errors else 200, sent=True)

    async def find(self, request: Request) -> Response:
        """Answer what the finder does with an id: here, nothing is known."""
        return _render(request, "messages", self._form(request, {}), 404)

    async def stream(self, request: Request) -> Response:
        """Answer the live part."""
        return stream.answer(request, self._hub, stream.wanted(request, {"gallery": self._beat}))

    async def _render(self, language: str) -> str:
        return f"<b>{Kit(language).count(next(self._beats))}</b>"

    @staticmethod
    def _form(request: Request, fields: Mapping[str, str]) -> Form:
        return Form(fields, Kit(pages.preferences(request).language))

    @staticmethod
    def _export(request: Request) -> Response:
        table = gallery_samples.table(say_in(pages.preferences(request).language))
        query = tables.read(table, request.query_params)
        text = tables.csv_text(table, query, gallery_samples.plain_rows(query))
        named = {"Content-Disposition": 'attachment; filename="payments.csv"'}
        return PlainTextResponse(text, media_type="text/csv; charset=utf-8", headers=named)


def say_in(language: str) -> Say:
    """Return the function that chooses between an English and a Chinese sample."""
    return lambda english, chinese: chinese if language == "zh-CN" else english


def _render(request: Request, group: str, form: Form, status: int = 200, sent: bool = False) -> Response:
    language = pages.preferences(request).language
    say, kit = say_in(language), Kit(language, gallery_samples.AT + timedelta(minutes=5))
    more: dict[str, Callable[[], object]] = {
        "tables": lambda: _table(request, say, kit),
        "charts": lambda: gallery_charts.figures(say, kit),
        "stories": lambda: gallery_samples.story(say, kit),
    }
    context = {
        "group": group,
        "groups": [(key, say(*names[:2]), names[2]) for key, names in GROUPS.items()],
        "places": [(say(*names[:2]), f"{PREFIX}/{key}") for key, names in GROUPS.items()],
        "icon_names": sorted(icons.NAMES),
        "say": say,
        "ui": kit,
        "form": form,
        "sent": sent,
        "status": status,
        "shown": more[group]() if group in more else None,
        "spark": spark,
        "at": gallery_samples.AT,
        "bills": gallery_samples.bills(say),
    }
    return pages.render(request, f"ui/gallery_{group}.html", context, status)


def _table(request: Request, say: Say, kit: Kit) -> tuple[TableView, TableView]:
    """Return the table of samples, and one without rows."""
    table = gallery_samples.table(say)
    query = tables.read(table, request.query_params)
    rows, after = gallery_samples.rows(query, say, kit)
    path, saved = f"{PREFIX}/tables", views.of(request, table.name)
    full = TableView(table, query, rows, path, after, saved=saved, export=True, saving=True)
    bare = gallery_samples.bare_table(say)
    line = say("Links that you make stand here.", "您创建的链接会显示在这里。")
    return full, TableView(bare, tables.read(bare, {}), (), path, empty_line=line)
