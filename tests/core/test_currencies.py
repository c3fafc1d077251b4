"""The ISO 4217 table: shape of its rows, look-ups and the rows that programs get wrong."""

import pytest

from tongbao.core.currencies import CURRENCIES, Currency, Kind, currency, currency_by_numeric
from tongbao.core.errors import InvalidRequest

FUNDS = {"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI"}
UNITS = {"XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"}


def test_table_has_every_row_in_the_form_of_the_standard() -> None:
    assert len(CURRENCIES) == 178
    for row in CURRENCIES:
        assert len(row.code) == 3
        assert row.code.isascii()
        assert row.code.isupper()
        assert len(row.numeric) == 3
        assert row.numeric.isdecimal()
        assert row.exponent in {0, 2, 3, 4}
        assert row.name == row.name.strip() != ""


def test_table_names_each_code_and_number_once() -> None:
    assert len({row.code for row in CURRENCIES}) == len(CURRENCIES)
    assert len({row.numeric for row in CURRENCIES}) == len(CURRENCIES)


def test_table_tells_funds_and_units_from_money() -> None:
    assert {row.code for row in CURRENCIES if row.kind is Kind.FUND} == FUNDS
    assert {row.code for row in CURRENCIES if row.kind is Kind.UNIT} == UNITS


@pytest.mark.parametrize(
    ("exponent", "codes"),
    [
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    ],
)
def test_exponents_other_than_two_belong_to_exactly_these_codes(exponent: int, codes: str) -> None:
    found = {row.code for row in CURRENCIES if row.exponent == exponent and row.kind is not Kind.UNIT}
    assert found == set(codes.split())


@pytest.mark.parametrize(
    ("code", "numeric", "exponent", "name"),
    [
        ("CNY", "156", 2, "Yuan Renminbi"),
        ("ALL", "008", 2, "Lek"),
        ("XCG", "532", 2, "Caribbean Guilder"),
        ("SLE", "925", 2, "Leone"),
        ("ZWG", "924", 2, "Zimbabwe Gold"),
        ("VED", "926", 2, "Bolívar Soberano"),
        ("CLF", "990", 4, "Unidad de Fomento"),
    ],
)
def test_look_up_by_code_and_by_number_gives_one_row(
    code: str, numeric: str, exponent: int, name: str
) -> None:
    row = currency(code)
    assert (row.code, row.numeric, row.exponent, row.name) == (code, numeric, exponent, name)
    assert currency_by_numeric(numeric) is row


def test_look_up_of_every_row_finds_it() -> None:
    def found(row: Currency) -> bool:
        return currency(row.code) is row and currency_by_numeric(row.numeric) is row

    assert all(found(row) for row in CURRENCIES)


@pytest.mark.parametrize(
    "code", ["", "cny", "CNY ", "RMB", "BTC", "ZWL", "HRK", "BGN", "ANG", "156", "Ｃ" * 3]
)
def test_look_up_of_an_unknown_or_withdrawn_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        currency(code)
    assert refused.value.code == "currency_unknown"


@pytest.mark.parametrize("numeric", ["", "8", "000", "CNY", "975", "1560"])
def test_look_up_of_an_unknown_number_is_refused(numeric: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        currency_by_numeric(numeric)
    assert refused.value.code == "currency_unknown"
