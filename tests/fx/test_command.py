"""``tongbao fx``: files taken in and rates told at the command line."""

from pathlib import Path

import pytest
from tests.fx.rate_files import LINES, written
from tests.web.desk_calls import call, parsed, shown

from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.web.commands import at_desk


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(at_desk.console, "width", 220)


async def test_import_then_rates_then_convert(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="rate_unknown"):
        await call("fx", "rates")
    first = await shown("fx", "import", written(tmp_path), "--as", "mei")
    assert "4 days, 1999-01-04 to 2026-10-30: 10 rates new, 0 known" in first
    assert "Left out, since withdrawn: CYP." in first
    assert "Taken in before" in await shown("fx", "import", written(tmp_path))
    (rate,) = await parsed("fx", "rates", "--on", "2026-10-30", "--pair", "usd/cny")
    assert (rate["rate"], rate["published_on"], rate["age_days"]) == ("6.6528822", "2026-10-30", 0)
    table = await shown("fx", "rates", "--on", "2026-11-01")
    assert "EUR/USD 1.1172 2026-10-30 2 ecb" in table
    told = await shown("fx", "convert", "10000", "USD", "CNY", "--on", "2026-10-30")
    assert "¥665.29 at 6.6528822 of 2026-10-30 (ecb); not binding." in told
    found = await parsed("fx", "convert", "100", "EUR", "USD", "--on", "2026-10-30", "--rounding", "up")
    assert (found["converted_minor"], found["rounding"]) == (112, "up")


async def test_import_with_bad_lines_keeps_the_others_and_ends_with_one(tmp_path: Path) -> None:
    path = written(tmp_path, LINES[0], "2026-10-29,x,1,1,1,", name="bad.csv")
    done = await call("fx", "import", path)
    assert done.exit_code == 1
    assert "line 3: rate_invalid: USD 'x' is no positive decimal number" in done.output
    assert "1 lines refused." in done.output
    corrected = written(tmp_path, "2026-10-30,1.2,175.68,N/A,7.4326,", name="later.csv")
    assert "1 corrected" in await shown("fx", "import", corrected)
    revisions = await parsed("fx", "history", "USD", "2026-10-30")
    assert [(each["revision"], each["rate"]) for each in revisions] == [(2, "1.2"), (1, "1.1172")]
    assert "2 1.2" in await shown("fx", "history", "USD", "2026-10-30")


async def test_wrong_questions_are_refused(tmp_path: Path) -> None:
    await call("fx", "import", written(tmp_path))
    for arguments, kind, code in (
        (("rates", "--pair", "USDCNY"), InvalidRequest, "rate_pair_incomplete"),
        (("rates", "--on", "2024-01-01"), Conflict, "rate_too_old"),
        (("convert", "1", "EUR", "USD", "--rounding", "nearest"), InvalidRequest, "rounding_unknown"),
        (("convert", "1", "EUR", "QQQ"), InvalidRequest, "currency_unknown"),
        (("import", tmp_path / "none.csv"), NotFound, "file_missing"),
    ):
        with pytest.raises(kind, match=code):
            await call("fx", *arguments)
    assert (await call("fx", "rates", "--on", "yesterday")).exit_code == 2
