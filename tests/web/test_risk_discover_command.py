"""``tongbao risk discover`` against a migrated database: rules to paste, kinds of customers, the queue for labels."""

from pathlib import Path

import pytest
from tests.risk.discovery_stream import ODD, Stream, deliver
from tests.web.desk_calls import call, now, parsed, shown

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import uuid_text
from tongbao.risk.policy import rules_text
from tongbao.web.commands import at_desk

STREAM = Stream(now())


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TONGBAO_CHANNELS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(at_desk.console, "width", 300)


@pytest.fixture(scope="module", autouse=True)
async def past(database: Database) -> None:
    """A month of test payments with a planted fraud and planted oddities."""
    await deliver(database, RealClock(), STREAM.facts)


async def test_discover_prints_rules_clusters_and_the_queue() -> None:
    assert "Nothing has been discovered yet." in await shown("risk", "discover", "--test", "--last")
    text = await shown("risk", "discover", "--test", "--days", 28, "--queue", ODD + 1)
    assert "120 of them fraud" in text
    assert "kinds of customers, silhouette" in text
    queue = text.partition("payments worth a label")[2]
    assert all(uuid_text("pi", each.subject_id) in queue for each in STREAM.odd)
    assert queue.count("pi_") == ODD + 1
    pasted = text.partition("\n\n")[2].partition("kinds of customers")[0]
    rules = rules_text.parse(pasted).rules
    assert rules
    assert all(each.is_draft for each in rules)
    assert "笔为欺诈" in await shown("risk", "discover", "--test", "--last", "--lang", "zh")
    found = await parsed("risk", "discover", "--test", "--last")
    assert [each["name"] for each in found["findings"]["rules"]] == [each.name for each in rules]
    assert {each["id"] for each in found["findings"]["queue"][: ODD + 1]} >= {
        str(each.id) for each in STREAM.odd
    }


async def test_discover_without_traffic_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="discovery_payments_few"):
        await call("risk", "discover", "--live")
    assert await parsed("risk", "discover", "--live", "--last") is None
    assert (await call("risk", "discover", "--days", 0)).exit_code == 2
