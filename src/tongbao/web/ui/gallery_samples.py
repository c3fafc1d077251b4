"""Samples for the gallery: payments that nobody made, told in two languages."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from tongbao.web.ui import money
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

AT = datetime(2026, 11, 21, 14, 2, 31, tzinfo=UTC)
PAGE = 12
SAMPLES = 34
Say = Callable[[str, str], str]
_WHO = (
    ("Lin's Noodles", "林记面馆"),
    ("Metro Parking", "地铁停车"),
    ("Little Panda Toys", "小熊猫玩具"),
    ("Ocean Books", "海洋书店"),
    ("متجر الفانوس 🏮", "متجر الفانوس 🏮"),
)
_STATES = (
    ("succeeded", "ok", "Succeeded", "成功"),
    ("pending", "warn", "Pending", "处理中"),
    ("failed", "error", "Declined", "被拒绝"),
    ("review", "review", "In review", "审核中"),
)
_METHODS = (("card", "Card", "银行卡"), ("wallet", "Wallet", "钱包"), ("qr", "QR code", "二维码"))


def table(say: Say) -> Table:
    """Return a table of payments with everything that tables can do."""
    columns = (
        Column("id", say("Payment", "付款"), fixed=True),
        Column("at", say("Time", "时间"), sortable=True),
        Column("who", say("Merchant", "商户")),
        Column("method", say("Method", "方式")),
        Column("amount", say("Amount", "金额"), number=True, sortable=True),
        Column("state", say("State", "状态")),
        Column("risk", say("Risk", "风险"), number=True, sortable=True, shown=False),
    )
    states = tuple((key, say(english, chinese)) for key, _, english, chinese in _STATES)
    filters = (
        Filter("state", say("State", "状态"), states),
        Filter("method", say("Method", "方式"), tuple((key, say(*names)) for key, *names in _METHODS)),
        Filter("since", say("Since", "起始日期"), kind="date"),
    )
    return Table(
        "payments", say("Payments", "付款"), columns, filters, "-at", say("Find a payment", "查找付款")
    )


def bare_table(say: Say) -> Table:
    """Return a table that has no rows yet."""
    return Table("links", say("Payment links", "付款链接"), (Column("id", say("Link", "链接"), fixed=True),))


def rows(query: Query, say: Say, kit: Kit) -> tuple[list[Row], str]:
    """Return one page of rows and the cursor of the next."""
    found = list(_found(query))
    start = int(query.after) if query.after.isdecimal() else 0
    page = found[start : start + PAGE]
    drawn = [Row(_cells(each, say, kit), chosen=each["number"] == "3") for each in page]
    return drawn, str(start + PAGE) if start + PAGE < len(found) else ""


def plain_rows(query: Query) -> Iterator[dict[str, str]]:
    """Yield every row as plain text."""
    for each in _found(query):
        yield {**each, "amount": money.plain_amount(int(each["minor"]), "CNY")}


def story(say: Say, kit: Kit) -> list[dict[str, object]]:
    """Return the entries of a payment's timeline."""
    told = (
        ("Payment created", "创建付款", "", "", "plain", "plus"),
        (
            "Frictionless: known device, amount as usual",
            "免验证：常用设备，金额正常",
            "score 12 of 100",
            "评分 12/100",
            "ok",
            "shield",
        ),
        (
            "Channel atlas-card chosen",
            "选择通道 atlas-card",
            "best chance of approval, 97.9%",
            "通过率预测最高，97.9%",
            "plain",
            "route",
        ),
        ("Declined by the issuer", "发卡行拒绝", "05 do not honor", "05 不予承兑", "error", "close"),
        ("Tried again over borea-card", "改由 borea-card 重试", "", "", "warn", "refresh"),
        ("Approved", "已批准", "", "", "ok", "check"),
    )
    return [
        {
            "at": AT + timedelta(milliseconds=420 * place),
            "title": say(english, chinese),
            "line": say(english_line, chinese_line),
            "tone": tone,
            "glyph": glyph,
            "details": Markup("<p>{}</p>").format(kit.json({"step": place})) if place == 2 else "",
            "href": "/ui/figures" if place == 5 else "",
        }
        for place, (english, chinese, english_line, chinese_line, tone, glyph) in enumerate(told)
    ]


def bills(say: Say) -> list[tuple[str, str, int, datetime]]:
    """Return a payer's bills: name, category, minor units of CNY, instant."""
    return [
        (say("Lin's Noodles", "林记面馆"), say("Food", "餐饮"), -6858, AT),
        (
            say("Refund of Ocean Books", "海洋书店退款"),
            say("Shopping", "购物"),
            4200,
            AT - timedelta(hours=3),
        ),
        (say("Metro Parking", "地铁停车"), say("Ways", "出行"), -1500, AT - timedelta(days=1)),
    ]


def _found(query: Query) -> Iterator[dict[str, str]]:
    every = [_sample(number) for number in range(SAMPLES)]
    kept = [
        each
        for each in every
        if query.q.lower() in (each["id"] + each["who"] + each["who_zh"]).lower()
        and query.filters.get("state", each["state"]) == each["state"]
        and query.filters.get("method", each["method"]) == each["method"]
    ]
    key = {"amount": "minor", "risk": "risk"}.get(query.sort_key, "at")
    kept.sort(key=lambda each: (len(each[key]), each[key]), reverse=query.falling)
    yield from kept


def _sample(number: int) -> dict[str, str]:
    who = _WHO[number % len(_WHO)]
    return {
        "number": str(number),
        "id": f"pi_01kavt{number:02d}m5wq3n8c2d6e9f7g{number:02d}",
        "at": money.instant(AT - timedelta(minutes=17 * number)),
        "who": who[0],
        "who_zh": who[1],
        "method": _METHODS[number % len(_METHODS)][0],
        "minor": str(1990 + 7919 * number * number % 480_000),
        "state": _STATES[0 if number % 4 else number // 4 % 4][0],
        "risk": str((number * 29 + 3) % 97),
    }


def _cells(each: dict[str, str], say: Say, kit: Kit) -> dict[str, str | Markup]:
    state = next(row for row in _STATES if row[0] == each["state"])
    method = next(row for row in _METHODS if row[0] == each["method"])
    return {
        "id": Markup('<a class="mono" href="/ui/stories" data-drawer="#sample">{}…{}</a>').format(
            each["id"][:11], each["id"][-4:]
        ),
        "at": Markup("<time>{}</time>").format(each["at"]),
        "who": Markup("<bdi>{}</bdi>").format(say(each["who"], each["who_zh"])),
        "method": say(method[1], method[2]),
        "amount": kit.money(int(each["minor"]), "CNY"),
        "state": Markup('<span class="tag {}">{}</span>').format(state[1], say(state[2], state[3])),
        "risk": each["risk"],
    }
