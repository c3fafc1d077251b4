"""``/v2/recon``: sources, files that are streamed in, runs, breaks, and what two people do about them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.web.clearing_calls import clerk
from tests.web.v2_house import Json, Tenant
from tests.web.whole_house import Whole, open_whole, refusal, told

from tongbao.core.db import Database
from tongbao.parties.schema import OperatorRole
from tongbao.web.api import answers, clearing_sides, clearing_uploads
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls

RECON = "/v2/recon"
HEAD = "id,kind,currency,gross,reference,at\n"
COLUMNS = {
    "key": ["id"],
    "kind": "kind",
    "kinds": {"sale": "sale", "refund": "refund"},
    "currency": "currency",
    "gross": "gross",
    "reference": "reference",
    "occurred_at": "at",
    "amount_unit": "minor",
}


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Whole]:
    async with open_whole(database, dsn, tmp_path_factory.mktemp("house")) as opened:
        yield opened


def terms(name: str, **fields: Any) -> Json:
    """A source that sends a table of its own."""
    return {"source": name, "side": "channel", "format": "csv", "zone": "UTC", "columns": COLUMNS} | fields


async def agree(mei: httpx.AsyncClient, name: str, **fields: Any) -> Json:
    """Agree with a source."""
    return told(await mei.post(f"{RECON}/sources", json={"terms": terms(name, **fields)}), 201)


async def send(mei: httpx.AsyncClient, source: str, text: str, status: int = 201) -> Json:
    """Send a file of a source."""
    params = {"source": source, "name": "day.csv"}
    return told(await mei.post(f"{RECON}/files", params=params, content=text.encode()), status)


async def ran(mei: httpx.AsyncClient, source: str) -> Json:
    """Reconcile a source up to its today."""
    return told(await mei.post(f"{RECON}/runs", json={"source": source}), 201)


async def sold(whole: Whole, tenant: Tenant, amount: int) -> str:
    """A payment over one of the channels; returns the reference under which the channel knows it."""
    payment = await whole.pay(tenant, amount)
    await whole.tally()
    bill = await whole.get(tenant, "/v2/settlements/bill", payment=payment)
    reference: str = bill["data"][0]["reference"]
    return reference


def row(whole: Whole, number: int, amount: int, reference: str) -> str:
    """A line of a file."""
    return f"t{number},sale,CNY,{amount},{reference},{whole.clock.now():%Y-%m-%dT%H:%M:%SZ}\n"


async def test_source_is_agreed_on_and_read_back(whole: Whole) -> None:
    async with clerk(whole) as mei:
        made = await agree(mei, "post_office", report_days=3)
        assert (made["source"], made["report_days"], made["columns"]["gross"]) == ("post_office", 3, "gross")
        assert told(await mei.get(f"{RECON}/sources/post_office")) == made
        names = [each["source"] for each in told(await mei.get(f"{RECON}/sources"))["data"]]
        assert "post_office" in names
        for bad in ({"zone": "Moon/Base"}, {"format": "morse"}, {"surprise": 1}):
            body = {"terms": terms("bad", **bad)}
            assert refusal(await mei.post(f"{RECON}/sources", json=body)) == (400, "source_invalid")
        assert refusal(await mei.get(f"{RECON}/sources/nobody")) == (404, "source_unknown")


async def test_file_is_read_line_by_line_and_counted_once(whole: Whole) -> None:
    async with clerk(whole) as mei:
        await agree(mei, "reader")
        text = HEAD + row(whole, 1, 500, "a") + "t2,sale,CNY,not money,b,2026-01-01T00:00:00Z\n"
        file = await send(mei, "reader", text)
        assert (file["state"], file["line_count"], file["refused_count"]) == ("read", 1, 1)
        assert (file["name"], file["is_repeat"], file["problems"]) == ("day.csv", False, ["lines_refused"])
        (refused,) = file["refusals"]
        assert (refused["column"], refused["value"]) == ("gross", "not money")
        again = await send(mei, "reader", text, 200)
        assert (again["id"], again["is_repeat"]) == (file["id"], True)
        more = await send(mei, "reader", text + row(whole, 3, 700, "c"))
        assert (more["line_count"], more["repeated_count"]) == (2, 1)
        files = told(await mei.get(f"{RECON}/files", params={"source": "reader"}))["data"]
        assert [each["id"] for each in files] == [more["id"], file["id"]]
        one = told(await mei.get(f"{RECON}/files/{file['id']}"))
        assert one == file
        lines = told(await mei.get(f"{RECON}/files/{more['id']}/lines"))
        assert [(each["gross_minor"], each["reference"]) for each in lines["data"]] == [(700, "c")]


async def test_file_without_lines_is_of_the_day_that_is_given(whole: Whole) -> None:
    async with clerk(whole) as mei:
        await agree(mei, "quiet", channel="quiet_acquirer")
        source = told(await mei.get(f"{RECON}/sources/quiet"))
        assert (source["channel"], source["tells"]) == ("quiet_acquirer", "payments")
        params = {"source": "quiet", "name": "nothing.csv", "on": "2026-02-30"}
        assert (await mei.post(f"{RECON}/files", params=params, content=HEAD.encode())).status_code == 400
        params["on"] = "2026-02-27"
        file = told(await mei.post(f"{RECON}/files", params=params, content=HEAD.encode()), 201)
        assert (file["from_on"], file["until_on"], file["period_by"]) == (
            "2026-02-27",
            "2026-02-27",
            "sender",
        )


async def test_file_that_is_none_is_refused_with_its_reason(whole: Whole) -> None:
    async with clerk(whole) as mei:
        await agree(mei, "strict")
        path = f"{RECON}/files"
        unknown = await mei.post(path, params={"source": "nobody"}, content=b"x")
        assert refusal(unknown) == (404, "source_unknown")
        empty = await mei.post(path, params={"source": "strict"}, content=b"")
        assert refusal(empty) == (400, "file_empty")
        noise = await mei.post(path, params={"source": "strict"}, content=b"\x00\x01 no table\n")
        assert refusal(noise) == (400, "file_unreadable")
        params = {"source": "strict", "surprise": "1"}
        assert (await mei.get(f"{RECON}/files", params=params)).status_code == 400
        announced = await mei.post(
            path, params={"source": "strict"}, content=b"x", headers={"Content-Length": "99999999999"}
        )
        assert refusal(announced) == (413, "file_too_large")


async def test_upload_above_the_limit_is_refused_while_it_comes(whole: Whole) -> None:
    house = whole.house
    calls = Calls(house.runtime.database, whole.clock, whole.ids)
    app = FastAPI()
    answers.install(app)
    routes = calls.router("/v2", "clearing", streamed=True)
    door = clearing_sides.doors(Gate(house.parties.access, house.limits))
    clearing_uploads.add_uploads(routes, door, house.clearing, bytes_max=1_000)
    app.include_router(routes)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 100
        raise AssertionError("the whole body was asked for")

    async with clerk(whole) as mei:
        await agree(mei, "greedy")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url=str(mei.base_url), cookies=mei.cookies, headers=mei.headers
        ) as narrow:
            answer = await narrow.post(f"{RECON}/files", params={"source": "greedy"}, content=endless())
    assert refusal(answer) == (413, "file_too_large")


async def test_run_matches_what_agrees_and_names_what_does_not(whole: Whole) -> None:
    tenant = await whole.tenant()
    references = {amount: await sold(whole, tenant, amount) for amount in (5_000, 7_000, 9_000)}
    async with clerk(whole) as mei:
        for name in ("east", "west"):
            await agree(mei, name)
        movements = (await whole.get(tenant, "/v2/settlements/bill"))["data"]
        by_channel: dict[str, list[Json]] = {"east": [], "west": []}
        for each in movements:
            by_channel[each["channel"]].append(each)
        lines = 0
        for name, mine in by_channel.items():
            # What the books say, but for one amount that differs.
            rows = [
                row(whole, number, each["amount_minor"] + (each["amount_minor"] == 9_000), each["reference"])
                for number, each in enumerate(mine)
            ]
            lines += len(rows)
            if rows:
                await send(mei, name, HEAD + "".join(rows))
        runs = [await ran(mei, name) for name in by_channel]
        assert sum(each["matched_count"] for each in runs) == lines - 1
        assert sum(each["by_kind"].get("over_amount", 0) for each in runs) == 1
        assert told(await mei.get(f"{RECON}/runs/{runs[0]['id']}")) == runs[0]
        listed = told(await mei.get(f"{RECON}/runs", params={"source": "east"}))["data"]
        assert runs[0] in listed
        found = told(await mei.get(f"{RECON}/breaks", params={"kind": "over_amount"}))["data"]
        (brk,) = [each for each in found if each["expected"][0]["reference"] == references[9_000]]
        assert (brk["state"], brk["difference_minor"], brk["age_days"]) == ("open", 1, 0)
        assert brk["words"]["kind"]["zh"] == "对方金额偏大"
        assert brk["suggested"]["en"]
        assert brk["reported"][0]["amount_minor"] == 9_001
        await _written_off(whole, mei, brk)


async def _written_off(whole: Whole, mei: httpx.AsyncClient, brk: Json) -> None:
    path, version = f"{RECON}/breaks/{brk['id']}", brk["version"]
    why = {"version": version, "note": "rounded by the channel"}
    explained = told(await mei.post(f"{path}/explain", json=why))
    assert (explained["state"], explained["version"]) == ("explained", version + 1)
    stale = await mei.post(f"{path}/propose", json={"version": version, "note": "write it off"})
    assert refusal(stale) == (409, "break_changed")
    order = {"version": version + 1, "note": "write it off"}
    proposed = told(await mei.post(f"{path}/propose", json=order))
    assert proposed["state"] == "proposed"
    order = {"version": proposed["version"], "note": "agreed"}
    own = await mei.post(f"{path}/approve", json=order)
    assert refusal(own) == (403, "four_eyes")
    async with clerk(whole) as chen:
        declined = told(await chen.post(f"{path}/decline", json=order))
        assert declined["state"] == "open"
        order = {"version": declined["version"], "note": "once more"}
        proposed = told(await mei.post(f"{path}/propose", json=order))
        done = told(await chen.post(f"{path}/approve", json={"version": proposed["version"]}))
        assert done["state"] == "written_off"
        file = told(await chen.get(path))
        assert [each["state"] for each in file["history"]] == [
            *("open", "explained", "proposed", "open", "proposed", "written_off")
        ]
        closed = await mei.post(f"{path}/explain", json={"version": done["version"], "note": "late"})
        assert refusal(closed) == (409, "break_closed")


async def test_two_halves_are_matched_by_hand(whole: Whole) -> None:
    tenant = await whole.tenant()
    reference = await sold(whole, tenant, 4_321)
    (movement,) = (await whole.get(tenant, "/v2/settlements/bill"))["data"]
    source = movement["channel"]
    async with clerk(whole) as mei:
        # The channel tells it late, under a name that nobody knows.
        await agree(mei, source, report_days=0)
        rows = HEAD + row(whole, 90, 1_234, "nobody knows")
        await send(mei, source, rows)
        await ran(mei, source)
        breaks = told(await mei.get(f"{RECON}/breaks", params={"source": source, "limit": 100}))["data"]
        mine = next(each for each in breaks if any(s["reference"] == reference for s in each["expected"]))
        theirs = next(
            each for each in breaks if any(s["reference"] == "nobody knows" for s in each["reported"])
        )
        order = {"breaks": [mine["id"], theirs["id"]], "note": "the same sale, part of it"}
        made = told(await mei.post(f"{RECON}/breaks/match", json=order))["data"]
        assert [each["state"] for each in made] == ["resolved", "resolved", "open"]
        assert made[2]["difference_minor"] == 1_234 - 4_321
        gone = {"breaks": [mine["id"]], "note": "again"}
        assert refusal(await mei.post(f"{RECON}/breaks/match", json=gone)) == (409, "break_closed")
        bad = {"breaks": ["x"], "note": "again"}
        assert refusal(await mei.post(f"{RECON}/breaks/match", json=bad)) == (400, "id_malformed")


async def test_breaks_go_on_page_by_page(whole: Whole) -> None:
    async with clerk(whole) as mei:
        await agree(mei, "pages")
        rows = "".join(row(whole, number, 100 + number, f"x{number}") for number in range(5))
        await send(mei, "pages", HEAD + rows)
        await ran(mei, "pages")
        seen: list[str] = []
        params: Json = {"source": "pages", "limit": 2}
        while True:
            page = told(await mei.get(f"{RECON}/breaks", params=params))
            seen += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            params["ending_before"] = page["data"][-1]["id"]
        assert len(seen) == len(set(seen)) == 5
        strange = await mei.get(f"{RECON}/breaks", params={"ending_before": "brk_00000000000000000000000000"})
        assert refusal(strange) == (404, "break_unknown")


async def test_worker_reconciles_a_source_once_for_each_file(whole: Whole) -> None:
    async with clerk(whole) as mei:
        await agree(mei, "worked")
        await send(mei, "worked", HEAD + row(whole, 1, 100, "y"))
        steps = dict(whole.house.clearing.steps())

        async def count() -> int:
            return len(told(await mei.get(f"{RECON}/runs", params={"source": "worked"}))["data"])

        before = await count()
        await steps["reconciling"]()
        assert await count() == before + 1
        from_file = told(await mei.get(f"{RECON}/runs", params={"source": "worked"}))["data"][0]
        assert (from_file["started_by"], from_file["reported_count"]) == ("job:reconciling", 1)


async def test_recon_is_the_houses_alone(whole: Whole) -> None:
    tenant = await whole.tenant()
    assert await whole.refused(tenant, "GET", f"{RECON}/breaks") == (401, "session_missing")
    async with whole.operator(OperatorRole.AUDITOR) as auditor:
        told(await auditor.get(f"{RECON}/breaks"))
        assert (await auditor.post(f"{RECON}/runs", json={"source": "east"})).status_code == 403
        upload = await auditor.post(f"{RECON}/files", params={"source": "east"}, content=b"x")
        assert upload.status_code == 403
