"""``tongbao settle holidays``: an announcement entered from a file and put in force by another person."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.clearing.test_announcements import ORDER
from tests.web.desk_calls import call, parsed, shown

from tongbao.core.errors import InvalidRequest, NotFound, NotPermitted
from tongbao.web.commands import at_desk

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "enter-a-holiday-announcement.md"


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(at_desk.console, "width", 220)


def written(folder: Path, content: Any) -> Path:
    path = folder / "announcement.json"
    path.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    return path


async def test_announcement_is_entered_approved_and_counts_from_then_on(tmp_path: Path) -> None:
    assert "Provisional: CN 2027" in await shown("settle", "holidays", "show", "CN", "2027")
    made = await parsed("settle", "holidays", "import", written(tmp_path, ORDER), "--as", "mei")
    assert made["state"] == "proposed"
    listed = await parsed("settle", "holidays", "list", "--calendar", "CN")
    (known,) = [each["id"] for each in listed]
    text = "ann_" + (await shown("settle", "holidays", "list")).split("ann_")[1].split()[0]
    assert known == made["id"]
    with pytest.raises(NotPermitted, match="four_eyes"):
        await call("settle", "holidays", "approve", text, "--as", "mei")
    done = await shown("settle", "holidays", "approve", text, "--as", "li", "--note", "read beside it")
    assert "is in_force: CN 2027, 28 days free, 4 of weekends worked; 0 movements and 0 batches" in done
    told = await parsed("settle", "holidays", "show", "CN", "2027")
    assert told["is_announced"]
    assert told["days_off"]["2027-02-12"] == "春节 Spring Festival"
    assert "2027-02-14" not in told["days_off"]


async def test_announcement_is_declined(tmp_path: Path) -> None:
    other = msgspec.structs.replace(ORDER, source="another one")
    await call("settle", "holidays", "import", written(tmp_path, other), "--as", "mei")
    text = "ann_" + (await shown("settle", "holidays", "list")).split("ann_")[1].split()[0]
    assert "is declined" in await shown("settle", "holidays", "decline", text, "--as", "mei")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "announcement_unreadable"),
        (b'{"calendar": "CN"}', "announcement_unreadable"),
        (json.dumps({"calendar": "CN", "year": "x"}).encode(), "announcement_unreadable"),
        (msgspec.json.encode(msgspec.structs.replace(ORDER, calendar="MARS")), "calendar_unknown"),
    ],
)
async def test_file_that_is_no_announcement_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest, match=code):
        await call("settle", "holidays", "import", written(tmp_path, content))


async def test_unknown_announcement_is_not_found() -> None:
    with pytest.raises(NotFound):
        await call("settle", "holidays", "approve", "ann_01jd0000000000000000000000", "--as", "li")


async def test_example_of_the_page_is_refused_only_for_what_it_leaves_out(tmp_path: Path) -> None:
    example = PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    with pytest.raises(InvalidRequest, match="announcement_incomplete"):
        await call("settle", "holidays", "import", written(tmp_path, example.encode()))
