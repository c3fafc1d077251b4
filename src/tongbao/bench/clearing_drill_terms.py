"""What is agreed in the clearing drill: channels and what they take, files and who sends them, merchants and how they are paid."""

from datetime import time
from typing import NamedTuple

from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.fees import Bearer, Charge, Match, OnRefund, ScheduleSpec, Tier
from tongbao.clearing.schema.lines import CsvColumns, Format, Side, SourceTerms, Tells
from tongbao.simulator.paper_channels import Tariff

ZONE = "Asia/Shanghai"
CARD, GLOBAL, TERMINAL = "card_cn", "card_global", "card_terminal"
ALIPAY, WECHAT = "alipay_paper", "wechat_paper"
FLOW = "wechat_flow"
"""WeChat Pay tells what moved in the account there, and what it sent to the bank, in a file of its own."""
YUAN_BANK, EURO_BANK = "bank_cny", "bank_eur"
COSTS = "house_costs"


class ChannelTerms(NamedTuple):
    """A channel: what it takes, what it costs, and the currencies that it sends to a bank of ours."""

    name: str
    methods: frozenset[str]
    currencies: frozenset[str]
    tariff: Tariff
    sends: frozenset[str] = frozenset()


_CARDS = frozenset({"card"})
CHANNELS = (
    ChannelTerms(
        CARD,
        _CARDS,
        frozenset({"CNY", "JPY", "KWD"}),
        Tariff(rate_e6=4_500, dispute_minor={"CNY": 5_000, "JPY": 1_000, "KWD": 2_500}),
        frozenset({"CNY"}),
    ),
    ChannelTerms(
        GLOBAL,
        _CARDS,
        frozenset({"EUR", "USD"}),
        Tariff(rate_e6=14_000, dispute_minor={"EUR": 1_500, "USD": 1_500}),
        frozenset({"EUR"}),
    ),
    ChannelTerms(TERMINAL, _CARDS, frozenset({"CNY", "USD"}), Tariff(rate_e6=5_000)),
    ChannelTerms(ALIPAY, frozenset({"alipay"}), frozenset({"CNY"}), Tariff(rate_e6=3_800, gives_back=True)),
    ChannelTerms(
        WECHAT,
        frozenset({"wechat_pay"}),
        frozenset({"CNY"}),
        Tariff(rate_e6=6_000, gives_back=True),
        frozenset({"CNY"}),
    ),
)
BANK_OF = {"CNY": YUAN_BANK, "EUR": EURO_BANK}
COLUMNS = CsvColumns(
    key=("line",),
    kind="what",
    kinds={each: each for each in ("sale", "refund", "dispute", "dispute_won", "transfer")},
    currency="currency",
    gross="gross",
    fee="fee",
    net="net",
    reference="ours",
    channel_reference="theirs",
    batch="batch",
    occurred_at="at",
    amount_unit="minor",
)
SOURCES = (
    SourceTerms(
        source=CARD,
        side=Side.CHANNEL,
        format=Format.CSV,
        zone=ZONE,
        report_days=1,
        tells_fees=True,
        bank=YUAN_BANK,
        columns=COLUMNS,
    ),
    SourceTerms(
        source=GLOBAL,
        side=Side.CHANNEL,
        format=Format.STRIPE_BALANCE,
        zone=ZONE,
        report_days=1,
        tells_fees=True,
        bank=EURO_BANK,
    ),
    SourceTerms(source=TERMINAL, side=Side.CHANNEL, format=Format.ISO8583_TOTALS, zone=ZONE, report_days=1),
    SourceTerms(
        source=ALIPAY,
        side=Side.CHANNEL,
        format=Format.ALIPAY_BILL,
        zone=ZONE,
        report_days=1,
        tells_fees=True,
    ),
    SourceTerms(
        source=WECHAT,
        side=Side.CHANNEL,
        format=Format.WECHAT_TRADE,
        zone=ZONE,
        report_days=1,
        tells_fees=True,
    ),
    SourceTerms(
        source=FLOW,
        side=Side.CHANNEL,
        format=Format.WECHAT_FUND,
        zone=ZONE,
        report_days=1,
        channel=WECHAT,
        tells=Tells.FUNDS,
        bank=YUAN_BANK,
    ),
    SourceTerms(
        source=YUAN_BANK, side=Side.BANK, format=Format.CAMT_053, zone=ZONE, report_days=1, currency="CNY"
    ),
    SourceTerms(
        source=EURO_BANK, side=Side.BANK, format=Format.MT940, zone=ZONE, report_days=1, currency="EUR"
    ),
)
RUNS = tuple(each.source for each in SOURCES)
"""Sources that are reconciled, in order: payments before funds, channels before banks."""

MERCHANTS: tuple[tuple[str, Agreement], ...] = (
    (
        "tea, several cuts a day",
        Agreement(
            cycle=Cycle.D,
            days=0,
            cuts=(time(10), time(14), time(18), time(22)),
            zone=ZONE,
            calendars=(),
        ),
    ),
    (
        "books, next day with a reserve and a minimum",
        Agreement(
            cycle=Cycle.D,
            days=1,
            cuts=(time(0),),
            zone=ZONE,
            calendars=(),
            reserve_e6=50_000,
            reserve_days=4,
            payout_min_minor=30_000,
        ),
    ),
    ("toys, working days of China", Agreement(cycle=Cycle.T, days=1, zone=ZONE, calendars=("CN",))),
    (
        "wine, working days of the euro",
        Agreement(cycle=Cycle.T, days=1, cuts=(time(17),), zone="Europe/Berlin", calendars=("TARGET",)),
    ),
    (
        "art, the same working day, large sums by two people",
        Agreement(
            cycle=Cycle.T, days=0, cuts=(time(12), time(23)), zone=ZONE, approval_above_minor=2_000_000
        ),
    ),
)
CURRENCIES = ("CNY", "EUR", "USD", "JPY", "KWD")


def channel_costs() -> ScheduleSpec:
    """Return what channels cost the house, as it was agreed with them: the other side of their tariffs."""
    charges: list[Charge] = []
    for each in CHANNELS:
        charges.append(
            Charge(
                name=f"{each.name}_cost",
                bearer=Bearer.HOUSE,
                match=Match(channels=(each.name,)),
                tiers=(Tier(rate_e6=each.tariff.rate_e6),),
                on_refund=OnRefund.RETURNED if each.tariff.gives_back else OnRefund.KEPT,
            )
        )
        if each.tariff.dispute_minor:
            charges.append(
                Charge(
                    name=f"{each.name}_dispute",
                    bearer=Bearer.HOUSE,
                    match=Match(
                        kinds=("dispute",),
                        channels=(each.name,),
                        currencies=tuple(sorted(each.tariff.dispute_minor)),
                    ),
                    tiers=(Tier(fixed_minor=dict(each.tariff.dispute_minor)),),
                )
            )
    return ScheduleSpec(charges=tuple(charges))
