"""The price lists that a house begins with: what merchants pay by package, what cards cost the house, what agents get.

They are data to be edited: drafts start from them. Nowhere else does a price stand: packages of ``parties`` hold features, and
what a package costs is what the list in force says. The merchants' prices are list prices of the demonstration house in
the order of the field's; no source is claimed. Sources of costs:

- the European Union: Regulation (EU) 2015/751, Articles 3(1) and 4 (consumer cards, 0.2 % debit and 0.3 % credit; by
  Article 2(4) a prepaid card is a debit card) for payments within the European Economic Area. Upper bounds, which schemes use as prices;
- China: notice 发改价格〔2016〕557号 of the National Development and Reform Commission and the People's Bank, in force since
  2016-09-06: issuers' fee up to 0.35 % and 13 yuan (debit), 0.45 % (credit); network fee up to 0.0325 % and 3.25 yuan
  of either side. Upper bounds as well.

The steps of the agents' list are the demonstration house's own; no source is claimed.
"""

from tongbao.clearing.policy.fee_tables import charges_of_table
from tongbao.clearing.schema.fees import (
    Basis,
    Bearer,
    Charge,
    Match,
    OnRefund,
    ScheduleSpec,
    Tier,
)

MERCHANTS = "house"
COSTS = "house_costs"
AGENTS = "house_agents"

BPS = 100
"""Millionths in a basis point."""

INTERCHANGE_TABLE = """\
brand,funding,region,rate,fixed,cap,currency
visa,debit,domestic,0.2,,,EUR
visa,debit,intra,0.2,,,EUR
visa,prepaid,domestic,0.2,,,EUR
visa,prepaid,intra,0.2,,,EUR
visa,credit,domestic,0.3,,,EUR
visa,credit,intra,0.3,,,EUR
mastercard,debit,domestic,0.2,,,EUR
mastercard,debit,intra,0.2,,,EUR
mastercard,prepaid,domestic,0.2,,,EUR
mastercard,prepaid,intra,0.2,,,EUR
mastercard,credit,domestic,0.3,,,EUR
mastercard,credit,intra,0.3,,,EUR
,debit,domestic,0.35,,13.00,CNY
,credit,domestic,0.45,,,CNY
"""
"""Issuers' fees; see the sources above."""
NETWORK_TABLE = """\
brand,funding,region,rate,fixed,cap,currency
,debit,domestic,0.0325,,3.25,CNY
,credit,domestic,0.0325,,3.25,CNY
"""
"""Network fees on the acquirer's side."""

_RETURNED = frozenset({"alipay", "wechat_pay", "wallet"})
"""Wallets give their fee back with a refund; of cards the costs stay, and so does the price."""

# Method, currency (empty: any other), fixed part in minor units, and basis points by package: enterprise, e-commerce, basic.
_ROWS: tuple[tuple[str, str, tuple[int, int, int], tuple[int, int, int]], ...] = (
    ("card", "CNY", (38, 55, 60), (0, 0, 0)),
    ("card", "USD", (220, 270, 290), (20, 30, 30)),
    ("card", "EUR", (180, 220, 250), (20, 25, 25)),
    ("card", "JPY", (280, 310, 325), (0, 0, 0)),
    ("card", "", (280, 320, 340), (0, 0, 0)),
    ("alipay", "CNY", (38, 55, 60), (0, 0, 0)),
    ("alipay", "", (160, 200, 220), (0, 0, 0)),
    ("wechat_pay", "CNY", (38, 55, 60), (0, 0, 0)),
    ("wechat_pay", "", (160, 200, 220), (0, 0, 0)),
    ("wallet", "", (15, 25, 30), (0, 0, 0)),
)
_PACKAGES = ("enterprise", "ecommerce", "")
"""Basic is the list price: it also holds where a package is not known, so that nobody goes unpriced."""

# Currency, and the month's sales in minor units from which the second and the third step hold.
_AGENT_STEPS = (
    ("CNY", 100_000_000, 500_000_000),
    ("USD", 15_000_000, 75_000_000),
    ("EUR", 15_000_000, 75_000_000),
)
_AGENT_RATES_E6 = (20_000, 35_000, 50_000)


def merchant_prices() -> ScheduleSpec:
    """Return what merchants pay, by package, method and currency."""
    charges = [
        Charge(
            name=f"{method}_processing",
            match=Match(
                methods=(method,),
                currencies=(currency,) if currency else (),
                packages=(package,) if package else (),
            ),
            tiers=(
                Tier(
                    rate_e6=bps[place] * BPS,
                    fixed_minor={currency: fixed[place]} if fixed[place] else {},
                ),
            ),
            on_refund=OnRefund.RETURNED if method in _RETURNED else OnRefund.KEPT,
        )
        for place, package in enumerate(_PACKAGES)
        for method, currency, bps, fixed in _ROWS
    ]
    return ScheduleSpec(charges=tuple(charges))


def house_costs() -> ScheduleSpec:
    """Return what cards cost the house, where a rule bounds it: issuers' and network fees."""
    return ScheduleSpec(
        charges=charges_of_table(INTERCHANGE_TABLE) + charges_of_table(NETWORK_TABLE, "network")
    )


def agent_commissions() -> ScheduleSpec:
    """Return what agents get of the merchant's fee: 2 %, 3.5 % and 5 % by the month's sales; 2 % in other currencies.

    Where the merchant gets its fee back with a refund the agent gives back its share; of cards both keep it.
    """
    commissions = (
        _commissions("agent_commission", tuple(sorted(_RETURNED)), OnRefund.RETURNED),
        _commissions("agent_commission_card", ("card",), OnRefund.KEPT),
    )
    return ScheduleSpec(charges=tuple(charge for charges in commissions for charge in charges))


def _commissions(name: str, methods: tuple[str, ...], on_refund: OnRefund) -> tuple[Charge, ...]:
    by_currency: list[tuple[tuple[str, ...], tuple[int, ...]]] = [
        ((currency,), (0, *starts)) for currency, *starts in _AGENT_STEPS
    ]
    return tuple(
        Charge(
            name=name,
            bearer=Bearer.AGENT,
            basis=Basis.FEE,
            match=Match(methods=methods, currencies=named),
            tiers=tuple(
                Tier(from_minor=start, rate_e6=rate)
                for start, rate in zip(starts, _AGENT_RATES_E6[: len(starts)], strict=True)
            ),
            on_refund=on_refund,
        )
        for named, starts in [*by_currency, ((), (0,))]
    )


STARTERS = (
    (MERCHANTS, merchant_prices()),
    (COSTS, house_costs()),
    (AGENTS, agent_commissions()),
)
"""Every list of a new house by its name, the merchants' first."""
