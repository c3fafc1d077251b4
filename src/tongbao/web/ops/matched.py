"""``/ops/matched``: what belongs together, by which pass and keys it was found, both sides beside each other."""

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.matched_pairs import PAIRS_PAGE_MAX, MatchedPair, PairFilter, PairKey
from tongbao.clearing.service.matched_pairs import MatchedPairs
from tongbao.core.errors import NotFound
from tongbao.web.ops import breaks_view
from tongbao.web.ops import matched_view as view
from tongbao.web.ops.money_desk import ROWS, Money, PageRoute, Shown
from tongbao.web.ui.tables import EXPORT_ROWS_MAX


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Matched(money)
    routes.add_api_route(view.PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(
        f"{view.PATH}/{{leg}}/{{line}}/{{expected}}", page.one, methods=["GET"], response_model=None
    )
    return routes


class _Matched:
    """Answers the pages."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._pairs = MatchedPairs(money.house.runtime.database)

    async def show(self, request: Request) -> Response:
        """Answer the list."""
        desk = await self._money.desk(request)
        table = view.table(desk, sorted(await self._money.clearing.intake.sources()))
        query = desk.query(table)
        asked = view.wanted(query)
        if desk.wants_csv:
            every = await self._all(asked)
            names = await self._money.merchants(_books(every))
            return desk.csv("matched", table, [view.plain_row(each, desk, names) for each in every])
        found, more = await self._pairs.page(asked, after=view.cursor(query.after, asked.leg), limit=ROWS)
        names = await self._money.merchants(_books(found))
        after = view.cursor_text(found[-1].key) if more else ""
        context = {
            "view": desk.table(
                query, table, view.rows(found, desk, names), after, str(desk.t("matched_empty"))
            ),
            "near": desk.near("recon"),
        }
        return desk.page(Shown("matched.html", "matched", context))

    async def one(self, request: Request, leg: str, line: str, expected: str) -> Response:
        """Answer one match with all that stand in one star with it."""
        desk = await self._money.desk(request)
        key = view.key_of(leg, line, expected)
        if key is None:
            raise NotFound("match_unknown", "there is no such match")
        pair, star = await self._pairs.get(key)
        names = await self._money.merchants(_books(star))
        run = await self._run(pair)
        context = {
            "pair": pair,
            "compared": [breaks_view.compared(pair.expected, pair.reported, desk, names)],
            "why": view.why(pair, desk),
            "keys": [desk.t(each) for each in view.keys(pair)],
            "star": [row.cells for row in view.rows(star, desk, names)] if len(star) > 1 else [],
            "run": run,
        }
        return desk.page(Shown("pair.html", "matched", context))

    async def _run(self, pair: MatchedPair) -> object:
        """Return the run that found a match; None where a person made it."""
        try:
            return await self._money.clearing.reconciling.get(pair.run_id)
        except NotFound:
            return None

    async def _all(self, asked: PairFilter) -> list[MatchedPair]:
        found: list[MatchedPair] = []
        after: PairKey | None = None
        while len(found) < EXPORT_ROWS_MAX:
            page, more = await self._pairs.page(asked, after=after, limit=PAIRS_PAGE_MAX)
            found += page
            if not more:
                break
            after = page[-1].key
        return found


def _books(pairs: list[MatchedPair]) -> list[int | None]:
    return [each.expected.book_id for each in pairs if each.expected is not None]
