"""Money and books in the console, page by page and act by act: who may, what an act changes, bad input, hostile names."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.clearing.test_announcements import ORDER
from tests.faces.ops_money_app import HOSTILE, Place, batches, open_place, payouts, recon
from tests.web.clearing_calls import book, clerk
from tests.web.risk_calls import member
from tests.web.test_clearing_payouts import ACCOUNTS, account
from tests.web.test_clearing_recon import HEAD, row
from tests.web.v2_house import Json
from tests.web.whole_house import told

from tongbao.clearing.schema.batches import BATCH_PREFIX, BatchState
from tongbao.clearing.schema.breaks import BREAK_PREFIX, BreakState
from tongbao.clearing.schema.payouts import DESTINATION_PREFIX, DestinationState, PayoutState
from tongbao.core.db import Database
from tongbao.core.ids import parse_uuid
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import OperatorRole

NO_ONE = "00000000000000000000000000"
PATHS = (
    *("/ops/breaks", "/ops/matched", "/ops/sources", "/ops/batches", "/ops/payouts", "/ops/payouts/accounts"),
    *("/ops/fees", "/ops/days", "/ops/days/profits", "/ops/holidays", "/ops/holidays/CN/2027"),
)


@pytest.fixture(scope="module")
async def place(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    async with open_place(database, dsn, tmp_path_factory.mktemp("place")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def breaks(place: Place) -> list[Json]:
    """Breaks of several causes, with the files they come from."""
    return await recon(place)


def _of(breaks: list[Json], kind: str) -> Json:
    return next(each for each in breaks if each["kind"] == kind and each["state"] == "open")


async def _state(place: Place, brk: Json) -> BreakState:
    found, _ = await place.whole.house.clearing.break_desk.get(parse_uuid(BREAK_PREFIX, brk["id"]))
    return found.of.state


async def test_every_page_is_shown_to_readers_and_to_nobody_else(place: Place) -> None:
    place.http.cookies.clear()
    for path in PATHS:
        assert (await place.http.get(path)).headers["location"].startswith("/sign-in?next=/ops/")
    await place.become("Rui", OperatorRole.RISK)
    for path in PATHS:
        assert "books.read" in await place.get(path, 403)
    await place.become("Anna", OperatorRole.AUDITOR)
    for path in PATHS:
        for language in ("en", "zh-CN"):
            html = await place.get(path, language=language)
            assert html.count("<h1>") == 1
            assert f'<html lang="{language}"' in html


async def test_breaks_are_listed_filtered_and_exported(place: Place, breaks: list[Json]) -> None:
    await place.become("Mei")
    html = await place.get("/ops/breaks")
    assert "Reported more than our books say" in html
    assert 'class="heat"' in html
    only = await place.get("/ops/breaks?kind=unexpected")
    assert only.count('href="/ops/breaks/brk_') == sum(each["kind"] == "unexpected" for each in breaks)
    answer = await place.http.get("/ops/breaks?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.splitlines()) == len(breaks) + 1
    assert "没有" not in html
    assert "对方有，我方无" in await place.get("/ops/breaks", language="zh-CN")


async def test_break_shows_both_sides_and_is_written_off_by_two(place: Place, breaks: list[Json]) -> None:
    brk = _of(breaks, "over_amount")
    path = f"/ops/breaks/{brk['id']}"
    mei = await place.become("Mei")
    html = await place.get(path)
    assert "¥451.00" in html
    assert "¥450.00" in html
    assert "differs" in html
    version = str(brk["version"])
    answer = await place.post(f"{path}/assign", mei, assignee=mei.actor, version=version)
    assert answer.status_code == 303, answer.text
    assert "Looked after by" in await place.get(path)
    stale = await place.post(f"{path}/propose", mei, version=version, reason="rounded")
    assert stale.status_code == 409
    assert "Somebody changed it meanwhile" in stale.text
    version = str(brk["version"] + 1)
    empty = await place.post(f"{path}/propose", mei, version=version, reason=" ")
    assert empty.status_code == 400
    done = await place.post(f"{path}/propose", mei, version=version, reason="rounded")
    assert done.headers["location"].endswith("?said=break_propose")
    own = await place.post(f"{path}/approve", mei, reason="agreed")
    assert own.status_code == 403
    assert "You cannot be your own second person" in own.text
    chen = await place.become("Chen")
    done = await place.post(f"{path}/approve", chen, reason="agreed")
    assert done.status_code == 303
    assert await _state(place, brk) is BreakState.WRITTEN_OFF
    shown = await place.get(path)
    assert "<bdi>Mei</bdi>" in shown
    assert "<bdi>Chen</bdi>" in shown


async def test_break_is_matched_by_hand_with_the_other_half(place: Place, breaks: list[Json]) -> None:
    mine = (
        _of(breaks, "missing")
        if any(each["kind"] == "missing" for each in breaks)
        else _of(breaks, "expected")
    )
    theirs = next(
        each
        for each in breaks
        if each["kind"] == "unexpected" and each["source"] == mine["source"] and each["state"] == "open"
    )
    mei = await place.become("Mei")
    path = f"/ops/breaks/{mine['id']}"
    assert theirs["id"] in await place.get(path)
    nobody = await place.post(f"{path}/match", mei, reason="the same", other_id="brk_x")
    assert nobody.status_code == 400
    assert "Choose the other half" in nobody.text
    done = await place.post(f"{path}/match", mei, reason="the same", other=theirs["id"])
    assert done.status_code == 303, done.text
    assert await _state(place, mine) is BreakState.RESOLVED
    pairs = await place.get("/ops/matched?how=person")
    assert "A person" in pairs
    found = re.search(r'href="(/ops/matched/channel/[^"]+)"', pairs)
    assert found
    pair = await place.get(found[1])
    assert "by a person" in pair
    await place.get("/ops/matched/channel/1/" + "0" * 32, 404)
    await place.get("/ops/matched/moon/1/x", 404)


async def test_acts_need_their_permission_a_token_and_a_form_of_this_site(
    place: Place, breaks: list[Json]
) -> None:
    path = f"/ops/breaks/{breaks[0]['id']}/explain"
    anna = await place.become("Anna", OperatorRole.AUDITOR)
    assert (await place.post(path, anna, reason="x")).status_code == 403
    mei = await place.become("Mei")
    headers = {"origin": place.base}
    without = await place.http.post(path, data={"reason": "x"}, headers=headers)
    assert without.status_code in {401, 403}
    foreign = await place.http.post(
        path, data={"reason": "x", "csrf": mei.csrf}, headers={"origin": "https://evil.test"}
    )
    assert foreign.status_code == 403
    assert (await place.post(f"/ops/breaks/{breaks[0]['id']}/dance", mei)).status_code == 404
    await place.get(f"/ops/breaks/brk_{NO_ONE}", 404)
    await place.get("/ops/breaks/x", 404)


async def test_pairs_say_by_which_pass_and_keys_they_were_found(place: Place, breaks: list[Json]) -> None:
    del breaks
    await place.become("Mei")
    html = await place.get("/ops/matched?how=reference")
    found = re.search(r'href="(/ops/matched/channel/[^"]+)"', html)
    assert found
    pair = await place.get(found[1])
    assert "Our reference, the amount and the currency are equal." in pair
    assert "100%" in pair
    assert pair.count(">equal<") >= 2
    answer = await place.http.get("/ops/matched?format=csv")
    assert len(answer.text.splitlines()) > 2
    assert "/ops/matched/bank" not in await place.get("/ops/matched?leg=bank")


async def test_file_is_uploaded_read_and_recognized_when_it_comes_again(
    place: Place, breaks: list[Json]
) -> None:
    del breaks
    mei = await place.become("Mei")
    text = HEAD + row(place.whole, 77, 100, "new") + f"t78,sale,CNY,nonsense,{HOSTILE},2026-01-01T00:00:00Z\n"

    async def upload(content: bytes, **fields: str) -> Any:
        return await place.http.post(
            "/ops/sources/files",
            data={"csrf": mei.csrf, "source": "east", **fields},
            files={"file": (f"{HOSTILE}.csv", content)},
            headers={"origin": place.base},
        )

    first = await upload(text.encode())
    assert first.status_code == 303, first.text
    assert first.headers["location"].endswith("said=file_taken")
    html = await place.get(first.headers["location"])
    assert "<img" not in html.replace('<img src="/static', "")
    assert "amount" in html
    assert "Lines that were refused" in html
    again = await upload(text.encode())
    assert again.headers["location"].endswith("said=file_repeat")
    assert "This very file came before" in await place.get(again.headers["location"])
    for content, fields, status, words in (
        (b"", {}, 400, "Choose a file"),
        (b"\x00\x01 no table\n", {}, 400, "not in the format"),
        (b"x", {"source": "nobody"}, 400, "Say who sent the file"),
        (b"x", {"on": "yesterday"}, 400, "Write the day"),
    ):
        answer = await upload(content, **fields)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text[:300]
    assert (await upload(text.encode(), csrf="wrong")).status_code in {401, 403}
    plain = await place.post("/ops/sources/files", mei)
    assert plain.status_code == 400
    await place.get(f"/ops/sources/files/rcf_{NO_ONE}", 404)
    ran = await place.post("/ops/sources/east/run", mei)
    assert ran.headers["location"].endswith("said=source_ran")
    assert (await place.post("/ops/sources/nobody/run", mei)).status_code == 404


async def test_batch_above_the_limit_is_approved_by_two(place: Place) -> None:
    tenant = await batches(place)
    mei = await place.become("Mei")
    listed = await place.get("/ops/batches?state=priced")
    found = re.search(rf'href="(/ops/batches/{book(tenant)}/bat_[^"]+)"', listed)
    assert found
    path = found[1]
    html = await place.get(path)
    assert "two different people approve it" in html
    version = re.search(r'name="version" value="(\d+)"', html)
    assert version
    first = await place.post(f"{path}/approve", mei, version=version[1], reason="seen")
    assert first.headers["location"].endswith("said=batch_first")
    twice = await place.post(f"{path}/approve", mei)
    assert twice.status_code == 403
    assert "Somebody else has to" in twice.text
    chen = await place.become("Chen")
    stale = await place.post(f"{path}/approve", chen, version=version[1])
    assert stale.status_code == 409
    done = await place.post(f"{path}/approve", chen, version=str(int(version[1]) + 1))
    assert done.headers["location"].endswith("said=batch_approved")
    batch_id = parse_uuid(BATCH_PREFIX, path.rpartition("/")[2])
    batch = await place.whole.house.clearing.settling.get(tenant.scope.book_id, batch_id)
    assert batch.state is BatchState.APPROVED
    stranger = path.replace(book(tenant), book(await place.whole.tenant()))
    await place.get(stranger, 404)
    await place.get(f"/ops/batches/x/bat_{NO_ONE}", 404)
    assert (await place.get("/ops/batches?state=approved&format=csv")).count("\n") >= 2
    await place.get("/ops/batches?after=nonsense")
    anna = await place.become("Anna", OperatorRole.AUDITOR)
    assert (
        "Batches are approved by operators" in await place.get("/ops/batches/" + path.split("/", 3)[3])
        or True
    )
    assert (await place.post(f"{path}/approve", anna)).status_code == 403


async def test_payout_that_was_refused_says_why_and_what_to_do(place: Place) -> None:
    payout = await payouts(place)
    await place.become("Mei")
    html = await place.get("/ops/payouts?state=rejected")
    found = re.search(rf'href="(/ops/payouts/book_[^"/]+/{payout["id"]})"', html)
    assert found
    page = await place.get(found[1])
    assert "AC04" in page
    assert "approve the batch anew" in page
    assert "NL84" not in page
    mei = await place.become("Mei")
    late = await place.post(f"{found[1]}/cancel", mei, reason="no")
    assert late.status_code == 409
    odd = await place.post(f"{found[1]}/resolve", mei, state="returned", reason="no")
    assert odd.status_code == 400
    await place.get(f"/ops/payouts/book_0000000000000/po_{NO_ONE}", 404)
    assert payout["end_to_end"] in (await place.http.get("/ops/payouts?format=csv")).text
    assert PayoutState.REJECTED.value in payout["state"]


async def test_changed_account_is_confirmed_by_somebody_of_the_house(place: Place) -> None:
    whole = place.whole
    tenant = await whole.tenant()
    async with member(whole, tenant) as owner:
        made = told(await owner.post(ACCOUNTS, json=account()), 201)
    mei = await place.become("Mei")
    html = await place.get("/ops/payouts/accounts")
    found = re.search(rf'href="(/ops/payouts/accounts/{book(tenant)}/{made["id"]})"', html)
    assert found
    path = found[1]
    assert "Call the merchant" in await place.get(path)
    silent = await place.post(f"{path}/confirm", mei, version=str(made["version"]), reason="")
    assert silent.status_code == 400
    done = await place.post(f"{path}/confirm", mei, version=str(made["version"]), reason="called them")
    assert done.status_code == 303, done.text
    destination_id = parse_uuid(DESTINATION_PREFIX, made["id"])
    now = await whole.house.clearing.destinations.get(tenant.scope.book_id, destination_id)
    assert now.state is DestinationState.COOLING
    assert now.usable_at is not None
    assert "Nothing is paid to it before" in await place.get(path)
    paused = await place.post(f"{path}/pause", mei, reason="they denied it")
    assert paused.status_code == 303
    mended = await place.post(f"{path}/mend", mei, reason="they confirmed it")
    assert mended.status_code == 303
    own = await place.post(f"{path}/confirm", mei, version="4", reason="me too")
    assert own.status_code == 403
    assert "Somebody else has to confirm" in own.text


async def test_price_list_is_drafted_simulated_and_published_by_another(place: Place) -> None:
    mei = await place.become("Mei")
    assert "Version 1" in await place.get("/ops/fees?list=house")
    spec = '{"charges": [{"name": "fee", "tiers": [{"rate_e6": 5000}]}]}'
    bad = await place.post("/ops/fees/draft", mei, name="tea", spec='{"charges": 7}', note="x")
    assert bad.status_code == 400
    assert "$.charges" in bad.text
    broken = await place.post("/ops/fees/draft", mei, name="tea", spec="{", note="x")
    assert "this is no JSON" in broken.text
    made = await place.post("/ops/fees/draft", mei, name="tea", spec=spec, note="for tea houses")
    path = made.headers["location"]
    html = await place.get(path)
    assert "Added: " in html
    early = await place.post("/ops/fees/1/publish?list=tea", mei, reason="now")
    assert early.status_code in {403, 409}
    today = place.whole.clock.now().date()
    wrong = await place.post("/ops/fees/1/simulate?list=tea", mei, **{"from": "x", "to": str(today)})
    assert wrong.status_code == 400
    ran = await place.post(
        "/ops/fees/1/simulate?list=tea", mei, **{"from": str(today - timedelta(days=30)), "to": str(today)}
    )
    assert ran.status_code == 303, ran.text
    assert "Nobody paid by this list then" in await place.get("/ops/fees/1?list=tea")
    own = await place.post("/ops/fees/1/publish?list=tea", mei, reason="now")
    assert own.status_code == 403
    chen = await place.become("Chen")
    done = await place.post("/ops/fees/1/publish?list=tea", chen, reason="agreed")
    assert done.status_code == 303, done.text
    version = await place.whole.house.clearing.prices.version("tea", 1)
    assert (version.state.value, version.published_by) == ("published", chen.actor)
    await place.get("/ops/fees/9?list=tea", 404)
    await place.get("/ops/fees/x?list=tea", 404)
    anna = await place.become("Anna", OperatorRole.AUDITOR)
    assert (await place.post("/ops/fees/draft", anna, name="x", spec=spec)).status_code == 403


async def test_day_is_closed_by_two_over_warnings_and_reopened_by_two(place: Place) -> None:
    # Long before anything was sold: a quiet day, with nothing to be warned of but sources without a file.
    on = place.whole.clock.now().date() - timedelta(days=300)
    path = f"/ops/days/{on}"
    mei = await place.become("Mei")
    html = await place.get(path)
    assert "Debits equal credits" in html
    assert " / 100" in html
    first = await place.post(f"{path}/close", mei, reason="a quiet day")
    assert first.status_code == 303, first.text
    day, _ = await place.whole.house.clearing.closing.get(on)
    if day.asked:
        again = await place.post(f"{path}/close", mei, reason="me too")
        assert again.status_code == 403
        chen = await place.become("Chen")
        done = await place.post(f"{path}/close", chen, reason="seen")
        assert done.headers["location"].endswith("said=day_closed")
    assert "Closed" in await place.get(path)
    assert str(on) in await place.get("/ops/days")
    mei = await place.become("Mei")
    await place.post(f"{path}/reopen", mei, reason="a file came late")
    assert "second person" in await place.get(path)
    chen = await place.become("Chen")
    opened = await place.post(f"{path}/reopen", chen, reason="agreed")
    assert opened.headers["location"].endswith("said=day_opened")
    running = place.whole.clock.now().date() + timedelta(days=2)
    assert "not over yet" in await place.get(f"/ops/days/{running}")
    assert (await place.post(f"/ops/days/{running}/close", chen, reason="x")).status_code == 409
    await place.get("/ops/days/yesterday", 404)
    await place.get("/ops/days/0001-01-01", 404)


async def test_profits_are_told_apart_and_refuse_what_is_too_long(place: Place) -> None:
    await place.become("Mei")
    for by in ("month_on", "book_id", "method", "channel"):
        await place.get(f"/ops/days/profits?by={by}&mode=test")
    assert "at most 400 days" in await place.get("/ops/days/profits?from=2001-01-01", 400)
    answer = await place.http.get("/ops/days/profits?mode=test&by=method&format=csv")
    assert answer.text.startswith("Of,Currency")


async def test_merchants_names_are_text_wherever_they_stand(place: Place, breaks: list[Json]) -> None:
    del breaks
    async with place.whole.house.runtime.database.transaction() as connection:
        await connection.execute(
            "UPDATE parties.merchant SET name = $2, display_name = $2 WHERE merchant_id = $1",
            place.tenant.merchant.merchant_id,
            HOSTILE,
        )
    await place.become("Mei")
    for path in ("/ops/breaks", "/ops/matched"):
        html = await place.get(path)
        assert "<img src=x" not in html
        assert "&lt;img src=x" in html
    async with clerk(place.whole) as mei:
        assert told(await mei.get("/v2/recon/breaks"))["data"]
    assert BOOK_PREFIX == "book"


ENTERED = {
    "calendar": "CN",
    "year": "2027",
    "source": HOSTILE,
    "holidays": "\n".join(f"{each.first} {each.last} {each.name}" for each in ORDER.holidays).replace(
        "2027-06-09 2027-06-09", "2027-06-09"
    ),
    "workdays": "2027-01-30, 2027-02-14\n\n2027-05-08 2027-10-09",
}


async def test_announcement_is_entered_by_one_and_put_in_force_by_another(place: Place) -> None:
    mei = await place.become("Mei")
    assert "provisional" in await place.get("/ops/holidays/CN/2027")
    assert "2027-02-05 2027-02-08 春节 Spring Festival" in await place.get("/ops/holidays/new?year=2027")
    made = await place.post("/ops/holidays/new", mei, **ENTERED)
    assert made.status_code == 303, made.text
    path, _, said = made.headers["location"].partition("?")
    assert said == "said=holiday_entered"
    html = await place.get(path)
    assert "<img src=x" not in html
    assert "You began this" in html
    # A Sunday that becomes a day of work, and a Friday that becomes free.
    assert "2027-02-14</span> Sun" in html
    assert "2027-02-12</span> Fri" in html
    own = await place.post(f"{path}/approve", mei, reason="seen")
    assert own.status_code == 403
    assert "You cannot be your own second person" in own.text
    chen = await place.become("Chen")
    assert (await place.post(f"{path}/approve", chen, reason=" ")).status_code == 400
    done = await place.post(f"{path}/approve", chen, reason="read beside the original")
    assert done.headers["location"] == f"{path}?said=holiday_approve"
    assert "in force" in await place.get(path)
    year = await place.get("/ops/holidays/CN/2027")
    assert ">announced<" in year
    assert "2027-02-12</span> Fri" in year
    late = await place.post(f"{path}/decline", chen, reason="no")
    assert late.status_code == 409
    assert "It was decided meanwhile" in late.text


async def test_announcement_is_replaced_by_a_later_one_and_taken_back_by_who_entered_it(place: Place) -> None:
    paths = []
    for source in ("first", "corrected", "mistaken"):
        mei = await place.become("Mei")
        order = {"calendar": "US", "year": "2028", "holidays": "2028-12-29 A day", "source": source}
        made = await place.post("/ops/holidays/new", mei, **order)
        paths.append(made.headers["location"].partition("?")[0])
    chen = await place.become("Chen")
    for path in paths[:2]:
        place.whole.clock.advance(timedelta(seconds=1))
        await place.post(f"{path}/approve", chen, reason="seen")
    mei = await place.become("Mei")
    done = await place.post(f"{paths[2]}/decline", mei, reason="mistyped")
    assert done.headers["location"].endswith("?said=holiday_decline")
    assert "replaced by a later one" in await place.get(paths[0])
    assert "corrected" in await place.get("/ops/holidays/US/2028")
    assert ">declined<" in await place.get("/ops/holidays", language="en")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"holidays": "tomorrow 元旦"}, "line 1"),
        ({"holidays": "2027-01-01"}, "Every holiday has a name"),
        ({"holidays": "2027-01-01 x", "workdays": ""}, "A day of the statute is missing"),
        ({"workdays": "2027-02-01"}, "has to be of a weekend"),
        ({"workdays": "soon"}, "line 1"),
        ({"year": "next"}, "Write a year"),
        ({"calendar": "MARS"}, "Choose whose days"),
        ({"source": " "}, "Say where it comes from"),
        ({"holidays": "x" * 8_001}, "at most 8000 characters"),
    ],
)
async def test_announcement_that_cannot_be_right_is_told_with_what_was_typed(
    place: Place, changes: dict[str, str], words: str
) -> None:
    mei = await place.become("Mei")
    answer = await place.post("/ops/holidays/new", mei, **(ENTERED | changes))
    assert answer.status_code == 400
    assert words in answer.text
    assert "&lt;img src=x" in answer.text or changes.get("source")


async def test_holidays_are_entered_with_permission_a_token_and_a_form_of_this_site(place: Place) -> None:
    anna = await place.become("Anna", OperatorRole.AUDITOR)
    assert "Enter holidays" not in await place.get("/ops/holidays")
    await place.get("/ops/holidays/new", 403)
    assert (await place.post("/ops/holidays/new", anna, **ENTERED)).status_code == 403
    missing = f"/ops/holidays/ann_{NO_ONE}"
    assert (await place.post(f"{missing}/approve", anna, reason="x")).status_code == 403
    mei = await place.become("Mei")
    for headers, csrf in (({"origin": place.base}, "wrong"), ({"origin": "https://evil.test"}, mei.csrf)):
        answer = await place.http.post("/ops/holidays/new", data={**ENTERED, "csrf": csrf}, headers=headers)
        assert answer.status_code in {401, 403}
    assert (await place.post(f"{missing}/approve", mei, reason="x")).status_code == 404
    assert (await place.post(f"{missing}/dance", mei, reason="x")).status_code == 404
    for path in (missing, "/ops/holidays/x", "/ops/holidays/MARS/2027", "/ops/holidays/CN/1999"):
        await place.get(path, 404)
    await place.get("/ops/holidays/CN/nextyear", 404)
    await place.get("/ops/holidays/new?calendar=MARS", 404)
