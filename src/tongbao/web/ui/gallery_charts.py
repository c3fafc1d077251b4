"""Samples of every drawing, for the gallery. Numbers come from a formula, so that each look shows the same."""

import math
from collections.abc import Sequence

from tongbao.web.ui import charts_bars, charts_curves, charts_flows, charts_grids, charts_lines
from tongbao.web.ui.charts_bars import Part
from tongbao.web.ui.charts_curves import Curve
from tongbao.web.ui.charts_flows import Flow
from tongbao.web.ui.charts_grids import Span
from tongbao.web.ui.charts_lines import Forecast
from tongbao.web.ui.figure import Axis, Figure, Series
from tongbao.web.ui.gallery_samples import Say
from tongbao.web.ui.kit import Kit


def figures(say: Say, kit: Kit) -> dict[str, tuple[str, int, Figure]]:
    """Return each drawing with its title and the columns it takes of twelve."""
    return {**_over_time(say, kit), **_compared(say, kit), **_grids(say, kit), **_models(say, kit)}


def _over_time(say: Say, kit: Kit) -> dict[str, tuple[str, int, Figure]]:
    hours = [f"{hour:02d}:00" for hour in range(24)]
    time = say("Time", "时间")
    days = [say(f"{day} Nov", f"11月{day}日") for day in range(1, 29)]
    paid = [round(wave(hour, 24, 380, 90)) for hour in range(24)]
    area = Axis(say("Payments per second over the last day", "过去一天每秒付款笔数"), time, kit.count)
    rates = Axis(
        say("Approval by method over the last day", "过去一天各方式通过率"), time, kit.percent, 0.92, 1.0
    )
    spent = Axis(
        say("Amount by method, by day", "每日各方式金额"),
        say("Day", "日期"),
        lambda value: kit.money(round(value), "CNY"),
    )
    ahead = Axis(
        say("Volume, and what is expected of the coming week", "交易量与下周预测"),
        say("Day", "日期"),
        kit.compact,
    )
    lines = [
        Series(say("Card", "银行卡"), [0.965 + wave(hour, 9, 0, 0.012) for hour in range(24)], 1),
        Series(say("Wallet", "钱包"), [0.985 + wave(hour, 13, 0, 0.006) for hour in range(24)], 2),
        Series(
            say("QR code", "二维码"),
            [None if 9 < hour < 12 else 0.975 + wave(hour, 7, 0, 0.008) for hour in range(24)],
            3,
            True,
        ),
    ]
    parts = [
        Series(say("Card", "银行卡"), [abs(wave(day, 7, 300_000, 90_000)) for day in range(28)], 1),
        Series(say("Wallet", "钱包"), [abs(wave(day, 9, 160_000, 40_000)) for day in range(28)], 2),
        Series(say("QR code", "二维码"), [abs(wave(day, 5, 90_000, 30_000)) for day in range(28)], 4),
    ]
    past = [wave(day, 7, 42_000, 9_000) for day in range(21)]
    coming = [_forecast(wave(day, 7, 43_000, 9_000), day - 20) for day in range(21, 28)]
    names = (
        say("So far", "实际"),
        say("Forecast", "预测"),
        say("50% interval", "50% 区间"),
        say("95% interval", "95% 区间"),
    )
    return {
        "area": (
            say("Payments per second", "每秒付款"),
            8,
            charts_lines.area(paid, hours, area, say("Payments", "付款")),
        ),
        "dots": (say("Approval by channel", "各通道通过率"), 4, _dots(say, kit)),
        "lines": (say("Approval by method", "各方式通过率"), 6, charts_lines.lines(lines, hours, rates)),
        "fan": (say("Forecast", "预测"), 6, charts_lines.fan(past, coming, days, ahead, names)),
        "columns": (say("Amount by day", "每日金额"), 12, charts_lines.columns(parts, days, spent)),
    }


def _dots(say: Say, kit: Kit) -> Figure:
    axis = Axis(
        say("Approval today against the target", "今日通过率与目标"),
        say("Channel", "通道"),
        lambda share: kit.percent(share, 2),
        0.97,
        1.0,
    )
    items = [
        ("atlas-card", 0.9981),
        ("borea-card", 0.9962),
        ("cirro-qr", 0.9874),
        ("delta-bank", 0.981),
        ("e-CNY", 0.999),
    ]
    return charts_bars.dots(items, 0.99, axis, (say("Approval", "通过率"), say("Target", "目标")))


def _compared(say: Say, kit: Kit) -> dict[str, tuple[str, int, Figure]]:
    def yuan(value: float) -> str:
        return kit.money(round(value), "CNY")

    reasons = Axis(say("Why payments were declined", "付款被拒原因"), say("Reason", "原因"), kit.count)
    items = [
        (say("Not enough money", "余额不足"), 412.0),
        (say("Do not honor", "不予承兑"), 198.0),
        (say("Expired card", "卡片过期"), 77.0),
        (say("Suspected fraud", "疑似欺诈"), 31.0),
    ]
    sides = Axis(say("Refunds and disputes by shop", "各门店退款与争议"), say("Shop", "门店"), kit.count)
    shops = [
        (say("Lin's Noodles", "林记面馆"), (24.0, 3.0)),
        (say("Ocean Books", "海洋书店"), (11.0, 1.0)),
        (say("Toys", "玩具店"), (38.0, 9.0)),
    ]
    way = Axis(
        say("From the checkout's first look to the money", "从打开收银台到成功付款"),
        say("Step", "步骤"),
        kit.count,
    )
    steps = [
        (say("Opened", "打开"), 18_400.0),
        (say("Method chosen", "选择方式"), 15_900.0),
        (say("Confirmed", "确认"), 14_100.0),
        (say("Paid", "付款成功"), 13_480.0),
    ]
    net = Axis(say("From gross to net, October", "十月由毛额到净额"), say("Part", "项目"), yuan)
    parts = [
        Part(say("Gross", "毛额"), 12_392_640, total=True),
        Part(say("Refunds", "退款"), -842_100),
        Part(say("Disputes", "争议"), -96_500),
        Part(say("Fees", "手续费"), -310_220),
        Part(say("Reserve released", "释放保证金"), 220_000),
        Part(say("Net", "净额"), 11_363_820, total=True),
    ]
    return {
        "waterfall": (
            say("Settlement", "结算"),
            6,
            charts_bars.waterfall(parts, net, (say("Change", "变动"), say("Level", "余额"))),
        ),
        "funnel": (
            say("Checkout", "收银台"),
            6,
            charts_bars.funnel(
                steps,
                way,
                kit.percent,
                (say("Count", "数量"), say("Of all", "占总数"), say("Of the step before", "占上一步")),
            ),
        ),
        "bars": (say("Declines", "拒绝原因"), 6, charts_bars.bars(items, reasons, say("Count", "数量"))),
        "stacked": (
            say("After the sale", "售后"),
            6,
            charts_bars.stacked(shops, (say("Refunds", "退款"), say("Disputes", "争议")), sides),
        ),
    }


def _grids(say: Say, kit: Kit) -> dict[str, tuple[str, int, Figure]]:
    return {
        "flows": (say("Routing", "路由"), 8, _flows(say, kit)),
        "states": (say("Breakers", "熔断器"), 4, _breakers(say, kit)),
        "heat": (say("When people pay", "付款时段"), 12, _hours(say, kit)),
    }


def _hours(say: Say, kit: Kit) -> Figure:
    week = [
        say(*pair)
        for pair in (
            ("Mon", "周一"),
            ("Tue", "周二"),
            ("Wed", "周三"),
            ("Thu", "周四"),
            ("Fri", "周五"),
            ("Sat", "周六"),
            ("Sun", "周日"),
        )
    ]
    hours = [f"{hour:02d}" for hour in range(8, 24, 2)]
    values = [[abs(wave(day * 8 + hour, 11, 140, 130)) for hour in range(8)] for day in range(7)]
    values[6][0] = None  # type: ignore[call-overload]
    heat = Axis(
        say("Payments by weekday and hour", "按星期与时段的付款"),
        say("Day", "星期"),
        lambda value: kit.count(round(value)),
    )
    return charts_grids.heat_map(week, hours, values, heat)


def _breakers(say: Say, kit: Kit) -> Figure:
    states = {
        "closed": ("ok", say("Carries traffic", "正常")),
        "half": ("warn", say("Being tried", "试探")),
        "open": ("error", say("Out of traffic", "熔断")),
    }
    tracks = [
        ("atlas-card", [Span(0, 1, "closed")]),
        (
            "borea-card",
            [
                Span(0, 0.52, "closed"),
                Span(0.52, 0.61, "open"),
                Span(0.61, 0.66, "half"),
                Span(0.66, 1, "closed"),
            ],
        ),
        (
            "cirro-qr",
            [
                Span(0, 0.2, "closed"),
                Span(0.2, 0.23, "open"),
                Span(0.23, 0.8, "closed"),
                Span(0.8, 1, "open"),
            ],
        ),
    ]
    breaker = Axis(
        say("State of each channel's breaker over six hours", "过去六小时各通道熔断状态"),
        say("Channel", "通道"),
        kit.percent,
    )
    words = (say("State", "状态"), say("Share of time", "时间占比"), say("Times", "次数"))
    return charts_grids.state_timeline(tracks, states, ("08:00", "14:00"), breaker, words)


def _flows(say: Say, kit: Kit) -> Figure:
    asked, ok, no = say("Attempts", "尝试"), say("Approved", "成功"), say("Declined", "拒绝")
    flows = [
        Flow(asked, "atlas-card", 6200),
        Flow(asked, "borea-card", 2900),
        Flow(asked, "cirro-qr", 1400),
        Flow("atlas-card", ok, 5890, "ok"),
        Flow("atlas-card", no, 310, "error"),
        Flow("borea-card", ok, 2710, "ok"),
        Flow("borea-card", no, 190, "error"),
        Flow("cirro-qr", ok, 1330, "ok"),
        Flow("cirro-qr", no, 70, "error"),
    ]
    routes = Axis(
        say("Attempts by channel and outcome", "按通道与结果的付款尝试"), say("From", "来源"), kit.count
    )
    return charts_flows.sankey(flows, routes, (say("To", "去向"), say("Attempts", "尝试")))


def _models(say: Say, kit: Kit) -> dict[str, tuple[str, int, Figure]]:
    def short(share: float) -> str:
        return kit.percent(share, 0)

    roc = Axis(say("Caught fraud", "识别欺诈"), say("Caught", "识别率"), short)
    steps = [place / 40 for place in range(41)]
    both = [
        Curve(say("Champion", "现行"), [(x, x**0.22) for x in steps], 1),
        Curve(say("Challenger", "挑战者"), [(x, x**0.16) for x in steps], 2),
    ]
    said = [0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.93]
    bins = [(x, min(1.0, x**1.12 + 0.01), round(9000 * math.exp(-4 * x)) + 40) for x in said]
    calibrated = Axis(say("Said against true", "预测与实际"), say("Came true", "实际比例"), short)
    return {
        "roc": (
            "ROC",
            6,
            charts_curves.curves(
                both, roc, say("Honest payments stopped", "误拦正常付款"), diagonal=True, mark=0.02
            ),
        ),
        "calibration": (
            say("Calibration", "校准"),
            6,
            charts_curves.calibration(bins, calibrated, say("Said", "预测"), say("Payments", "付款数")),
        ),
    }


def wave(place: int, period: int, middle: float, height: float) -> float:
    """Return a value that swings around ``middle``."""
    return middle + height * (math.sin(place * 2 * math.pi / period) + 0.3 * math.sin(place * 1.7))


def _forecast(middle: float, ahead: int) -> Forecast:
    spread: Sequence[float] = [width * math.sqrt(ahead) for width in (1_400, 4_000)]
    return Forecast(
        middle, (middle - spread[0], middle + spread[0]), (middle - spread[1], middle + spread[1])
    )
