"""Tables of interchange from CSV, and the lists that a house begins with."""

from datetime import date

import pytest

from tongbao.clearing.policy.fee_tables import charges_of_table
from tongbao.clearing.policy.fees import Schedule, compile_schedule, joined
from tongbao.clearing.policy.price_lists import agent_commissions, house_costs, merchant_prices
from tongbao.clearing.schema.fees import Bearer, Priceable
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Package

HEAD = "brand,funding,region,rate,fixed,cap,currency\n"
METHODS = ("card", "alipay", "wechat_pay", "wallet")


def sale(amount_minor: int, currency: str, **fields: object) -> Priceable:
    values: dict[str, object] = {"kind": "sale", "on": date(2026, 3, 1), "method": "card"}
    return Priceable(amount_minor=amount_minor, currency=currency, **(values | fields))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def house() -> Schedule:
    return compile_schedule("house", 1, joined(merchant_prices(), house_costs(), agent_commissions()))


def test_read_a_table_gives_charges_of_the_house_in_its_order() -> None:
    text = "\ufeff" + HEAD + "visa,debit,intra,0.2,0.05,1.5,EUR\r\n\r\n,,,1.25 %,,,\r\n"
    first, second = charges_of_table(text)
    assert (first.bearer, first.name, first.match.brands) == (Bearer.HOUSE, "interchange", ("visa",))
    assert (first.tiers[0].rate_e6, first.tiers[0].fixed_minor, first.max_minor) == (
        2_000,
        {"EUR": 5},
        {"EUR": 150},
    )
    assert (second.tiers[0].rate_e6, second.match.currencies) == (12_500, ())


def test_read_a_table_amounts_are_in_decimals_of_their_currency() -> None:
    yen, dinar = charges_of_table(HEAD + "a,,,0,5,,JPY\nb,,,0,0.125,,BHD\n")
    assert (yen.tiers[0].fixed_minor, dinar.tiers[0].fixed_minor) == ({"JPY": 5}, {"BHD": 125})


@pytest.mark.parametrize(
    ("lines", "line", "column"),
    [
        ("visa,debit,intra,0.2,,\n", 2, ""),
        ("visa,loan,intra,0.2,,,EUR\n", 2, "funding"),
        ("visa,debit,moon,0.2,,,EUR\n", 2, "region"),
        ("Visa Inc,debit,intra,0.2,,,EUR\n", 2, "brand"),
        ("visa,debit,intra,,,,EUR\n", 2, "rate"),
        ("visa,debit,intra,0.00002,,,EUR\n", 2, "rate"),
        ("visa,debit,intra,101,,,EUR\n", 2, "rate"),
        ("visa,debit,intra,-1,,,EUR\n", 2, "rate"),
        (",,,1,,,\nvisa,,,1,0.05,,\n", 3, "fixed"),
        ("visa,,,1,0.055,,EUR\n", 2, "fixed"),
        ("visa,,,1,,-1,EUR\n", 2, "cap"),
        ("visa,,,1,,,QQQ\n", 2, "currency"),
        ('visa,"debit,intra,0.2\n', 2, ""),
        ("", 1, ""),
        (",,,1,,,\n" * 501, 502, ""),
        (" " * 200_000, 1, ""),
    ],
)
def test_read_a_table_with_a_wrong_line_names_line_and_column(lines: str, line: int, column: str) -> None:
    with pytest.raises(InvalidRequest, match="fee_table_invalid") as caught:
        charges_of_table(HEAD + lines)
    assert (caught.value.facts["line"], caught.value.facts["column"]) == (line, column)


@pytest.mark.parametrize("text", ["", "brand,rate\n", "a,b,c,d,e,f,g\n1,2,3,4,5,6,7\n"])
def test_read_a_table_without_its_columns_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="fee_table_invalid"):
        charges_of_table(text)


def test_read_a_table_line_that_nothing_reaches_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="schedule_invalid"):
        charges_of_table(HEAD + ",,,1,,,\nvisa,,,2,,,\n")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("currency", ["CNY", "USD", "EUR", "JPY", "BHD", "GBP"])
@pytest.mark.parametrize("amount_minor", [1_000, 4_950, 10_000_000])
def test_price_by_the_starter_list_is_something_everywhere_and_less_in_a_larger_package(
    house: Schedule, method: str, currency: str, amount_minor: int
) -> None:
    movements = [
        sale(amount_minor, currency, method=method, package=package.value)
        for package in (Package.ENTERPRISE, Package.ECOMMERCE, Package.BASIC)
    ]
    large, middle, small = (house.price(each).merchant_minor for each in movements)
    assert 0 < large <= middle <= small < amount_minor
    if amount_minor == 10_000_000:
        assert large < middle < small


@pytest.mark.parametrize(
    ("package", "method", "currency", "amount_minor", "fee_minor"),
    [
        (Package.BASIC, "card", "CNY", 10_000, 60),
        (Package.BASIC, "card", "CNY", 83, 0),
        (Package.BASIC, "card", "CNY", 84, 1),
        (Package.BASIC, "card", "USD", 10_000, 290 + 30),
        (Package.BASIC, "card", "JPY", 1_000, 33),
        (Package.BASIC, "wechat_pay", "GBP", 10_000, 220),
        (Package.ECOMMERCE, "card", "EUR", 10_000, 220 + 25),
        (Package.ECOMMERCE, "alipay", "USD", 10_000, 200),
        (Package.ENTERPRISE, "card", "USD", 10_000, 220 + 20),
        (Package.ENTERPRISE, "card", "BHD", 10_000, 280),
        (Package.ENTERPRISE, "wallet", "CNY", 10_000, 15),
    ],
)
def test_price_by_the_starter_list_is_a_share_rounded_and_a_fixed_part(
    house: Schedule, package: Package, method: str, currency: str, amount_minor: int, fee_minor: int
) -> None:
    movement = sale(amount_minor, currency, method=method, package=package.value)
    assert house.price(movement).merchant_minor == fee_minor


def test_starter_list_has_no_fixed_part_where_the_currency_is_not_named() -> None:
    for charge in merchant_prices().charges:
        assert charge.match.currencies or not any(tier.fixed_minor for tier in charge.tiers)


def test_price_a_merchant_of_no_package_is_the_list_price(house: Schedule) -> None:
    assert house.price(sale(10_000, "CNY")).merchant_minor == 60


@pytest.mark.parametrize(
    ("movement", "house_minor"),
    [
        (sale(10_000, "EUR", brand="visa", funding="debit", region="intra"), 20),
        (sale(10_000, "EUR", brand="mastercard", funding="prepaid", region="domestic"), 20),
        (sale(10_000, "EUR", brand="visa", funding="credit", region="domestic"), 30),
        (sale(10_000, "EUR", brand="visa", funding="credit", region="inter"), 0),
        (sale(10_000, "CNY", brand="unionpay", funding="debit", region="domestic"), 35 + 3),
        (sale(100_000_000, "CNY", brand="unionpay", funding="debit", region="domestic"), 1_300 + 325),
        (sale(100_000_000, "CNY", brand="unionpay", funding="credit", region="domestic"), 450_000 + 325),
    ],
)
def test_price_costs_of_cards_are_those_of_the_rules(
    house: Schedule, movement: Priceable, house_minor: int
) -> None:
    assert house.price(movement).house_minor == house_minor


@pytest.mark.parametrize(
    ("volume_minor", "agent_minor"), [(0, 120), (99_999_999, 120), (100_000_000, 210), (500_000_000, 300)]
)
def test_price_commission_steps_with_the_sales_of_the_month(
    house: Schedule, volume_minor: int, agent_minor: int
) -> None:
    # 0.6 % of 10,000 yuan is 60 yuan: 2 %, 3.5 % and 5 % of it.
    assert house.price(sale(1_000_000, "CNY", volume_minor=volume_minor)).agent_minor == agent_minor


def test_compile_commissions_without_the_fee_that_they_share_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="schedule_invalid"):
        compile_schedule("house_agents", 1, agent_commissions())
