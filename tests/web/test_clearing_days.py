"""``/v2/days``: how a day stands, its close by those who may, and its opening again by two people."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.web.clearing_calls import clerk
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole

DAYS = "/v2/days"


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def test_day_is_looked_at_closed_and_opened_by_two(whole: Whole) -> None:
    on = whole.clock.now().date() - timedelta(days=2)
    path = f"{DAYS}/{on}"
    async with clerk(whole) as mei, clerk(whole) as chen:
        report = told(await mei.get(f"{path}/checklist"))
        assert report["on"] == str(on)
        assert report["score"] == sum(report["score_parts"].values())
        assert {each["state"] for each in report["checks"]} <= {"passed", "warned", "failed"}
        assert told(await mei.get(path))["of"]["state"] == "open"
        first = told(await mei.post(f"{path}/close", json={"note": "a quiet day"}))
        if first["state"] == "open":  # something was to be warned of: a second person closes
            assert first["asked"] == "close"
            first = told(await chen.post(f"{path}/close", json={"note": "seen"}))
        assert (first["state"], first["report"]["on"]) == ("closed", str(on))
        listed = told(await mei.get(DAYS))["data"]
        assert [each["on"] for each in listed] == [str(on)]
        asked = told(await mei.post(f"{path}/reopen", json={"note": "a file came late"}))
        assert (asked["state"], asked["asked"]) == ("closed", "reopen")
        alone = await mei.post(f"{path}/reopen", json={"note": "still me"})
        assert refusal(alone) == (403, "four_eyes")
        opened = told(await chen.post(f"{path}/reopen", json={"note": "agreed"}))
        assert opened["state"] == "open"
        acts = [each["act"] for each in told(await mei.get(path))["history"]]
        assert acts[-3:] == ["closed", "asked_reopen", "reopened"]


async def test_day_that_still_runs_is_not_closed(whole: Whole) -> None:
    on = whole.clock.now().date() + timedelta(days=1)
    async with clerk(whole) as mei:
        assert refusal(await mei.get(f"{DAYS}/{on}/checklist")) == (409, "day_not_over")
        assert refusal(await mei.post(f"{DAYS}/{on}/close", json={})) == (409, "day_not_over")
        assert refusal(await mei.get(f"{DAYS}/yesterday")) == (400, "request_invalid")


async def test_days_are_closed_only_by_those_who_may(whole: Whole) -> None:
    on = whole.clock.now().date() - timedelta(days=9)
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        told(await auditor.get(f"{DAYS}/{on}/checklist"))
        assert (await auditor.post(f"{DAYS}/{on}/close", json={})).status_code == 403
    tenant = await whole.tenant()
    assert await whole.refused(tenant, "GET", DAYS) == (401, "session_missing")
