"""What belongs to one merchant is nothing to another: every route that takes an id is tried with somebody else's.

Routes come from the application, ids from what their owner reads, bodies from the document of the interface; so a new route
is tried without being named here. Whatever was tried, nothing of its owner has changed.
"""

import itertools
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.web.security.routes import Known, Map
from tests.web.security.samples import Samples
from tests.web.security.town import Town, client

from tongbao.web.api.access import OperatorGate, ScopeGate
from tongbao.web.api.v1.fields import Id

UNKNOWN = {403, 404}
REFUSED = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422}
TRIES_MAX = 40
WORDS = ("bad customers", "green-button", "1")
"""What is named by a word or a number: a list, an experiment, the first version of a policy."""
UNREAD = frozenset(
    {
        "/v2/policies/routing/versions/{version}",
        "/v2/policies/routing/versions/{version}/replays/{replay}.svg",
        "/v2/policies/risk/versions/{version}/replays/{replay}.svg",
        "/v2/payouts/{payout}",
        "/v2/risk/challenges/{challenge}",
    }
)
"""What a merchant of this town owns none of: files of its own suites try them with another merchant's ids."""
LEDGER = "/v2/ledger/"
"""Has no sign-in, and answers callers on this machine alone."""
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, a.attname AS column
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN ('book_id', 'merchant_id')
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1, 2"""
OF_NOBODY = ("/statements/{period}", "/statements/{month}", "/statements/{span}")
"""Named by a time alone: everybody has one of their own."""


async def standing(town: Town) -> dict[str, tuple[int, int]]:
    """How many rows of each table belong to the other merchant, and a digest of what stands in them."""
    scope = town.theirs.tenant.scope
    found = {}
    async with town.whole.house.runtime.database.connection() as connection:
        for name, column in await connection.fetch(TABLES):
            owner = scope.book_id if column == "book_id" else scope.merchant_id
            row = await connection.fetchrow(
                f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {name} AS t "
                f"WHERE {column}::text = $1",
                str(owner),
            )
            found[f"{name}.{column}"] = (int(row[0]), int(row[1]))
    return found


@pytest.fixture(scope="module")
async def stood(town: Town) -> dict[str, tuple[int, int]]:
    """What the other merchant had before anything was tried."""
    found = await standing(town)
    assert sum(count for count, _ in found.values()) > 100
    return found


@pytest.fixture(autouse=True)
async def _nothing_changes(town: Town, stood: dict[str, tuple[int, int]]) -> AsyncIterator[None]:
    """Whatever a test of this file tries, the other merchant's rows stay as they are."""
    before = dict(stood)
    yield
    after = await standing(town)
    stood |= after
    assert {name: row for name, row in after.items() if before[name] != row} == {}


async def as_us(town: Town, method: str, path: str, **options: Any) -> httpx.Response:
    """Ask with our key for what may be theirs."""
    return await town.whole.send(town.ours.tenant, method, path, **options)


async def as_them(town: Town, method: str, path: str, **options: Any) -> httpx.Response:
    """Ask with their key."""
    return await town.whole.send(town.theirs.tenant, method, path, **options)


async def test_every_route_of_v1_knows_only_its_merchant_s_ids(town: Town, known: Map) -> None:
    wrong, tried, nothing_known = [], 0, []
    for each in (each for each in known.known if each.path.startswith("/v1/") and each.parameters):
        ids = [one for prefix in each.route.subject.prefixes for one in town.theirs.owned.get(prefix, [])[:1]]
        if not ids:
            nothing_known.append(each.path)
        for one in ids:
            answer = await as_us(town, each.method, each.filled([one]))
            tried += 1
            # A parameter that is missing may be told before anybody looks for the thing; it tells nothing of it.
            if answer.status_code != 404 and answer.json()["error"]["code"] != "parameter_missing":
                wrong.append((each.method, each.filled([one]), answer.status_code, answer.text[:200]))
    assert wrong == []
    assert nothing_known == []
    assert tried > 30


async def test_every_parameter_of_v1_that_names_a_thing_finds_only_our_own(town: Town, known: Map) -> None:
    wrong, tried = [], 0
    for each in (each for each in known.known if each.path.startswith("/v1/") and not each.parameters):
        for name, field in each.route.form.fields.items():
            prefixes = field.prefixes if isinstance(field, Id) else ()
            for one in [one for prefix in prefixes for one in town.theirs.owned.get(prefix, [])[:1]]:
                sent = {"params" if each.method == "GET" else "data": {name: one}}
                answer = await as_us(town, each.method, each.path, **sent)
                tried += 1
                if answer.status_code >= 500 or (
                    answer.status_code < 300 and answer.json().get("data") != []
                ):
                    wrong.append((each.method, each.path, name, answer.status_code, answer.text[:200]))
    assert wrong == []
    assert tried > 5


async def test_every_route_of_v2_knows_only_its_merchant_s_ids(town: Town, known: Map) -> None:
    wrong: list[object] = []
    document = (await town.nobody.get("/v2/openapi.json")).json()
    reading = [each for each in own_routes(known) if each.method == "GET"]
    fits = await read_by_them(town, reading, Samples(document, town, {}), wrong)
    unread = {each.path for each in reading if not set(each.parameters) <= set(fits)}
    assert unread <= UNREAD, sorted(unread - UNREAD)
    samples, tried = Samples(document, town, fits), 0
    for each in own_routes(known):
        if each.method == "GET":
            continue
        for ids in candidates(each, fits, [*town.theirs.one_each(), *WORDS]):
            answer = await as_us(
                town, each.method, each.filled(ids), **samples.request(each.method, each.path)
            )
            tried += 1
            if answer.status_code not in REFUSED:
                wrong.append((each.method, each.filled(ids), answer.status_code, answer.text[:200]))
    assert wrong == []
    assert tried > 100


async def read_by_them(
    town: Town, reading: list[Known], samples: Samples, wrong: list[object]
) -> dict[str, str]:
    """Try what reads with all kinds of ids: what its owner sees we do not. Returns an id by each name that took one."""
    fits: dict[str, str] = {}
    kinds = [*town.theirs.one_each(), *WORDS]
    while kinds:
        # What was read tells of further kinds of ids, which are tried in their turn.
        found: set[str] = set()
        for each in sorted(reading, key=lambda each: len(each.parameters)):
            options = {"params": samples.request("GET", each.path)["params"]}
            for ids in candidates(each, fits, kinds):
                theirs = await as_them(town, "GET", each.filled(ids), **options)
                if theirs.status_code >= 500:
                    wrong.append((each.path, ids, theirs.status_code))
                if theirs.status_code != 200:
                    continue
                found |= town.theirs.learn(theirs)
                fits |= dict(zip(each.parameters, ids, strict=True))
                ours = await as_us(town, "GET", each.filled(ids), **options)
                if ours.status_code not in UNKNOWN:
                    wrong.append((each.path, ids, theirs.status_code, ours.status_code, ours.text[:200]))
        kinds = sorted(found)
    return fits


def own_routes(known: Map) -> list[Known]:
    """The routes of ``/v2`` by which a merchant reaches its own things, one by one."""
    return [each for each in known.known if ScopeGate in each.gates and each.parameters]


def candidates(each: Known, fits: dict[str, str], kinds: list[str]) -> list[tuple[str, ...]]:
    """Their ids in the places of an address: of several one that fits where it is known, else one of each kind."""
    is_single = len(each.parameters) == 1
    places = [kinds if is_single or name not in fits else [fits[name]] for name in each.parameters]
    return list(itertools.islice(itertools.product(*places), TRIES_MAX))


async def test_routes_of_the_house_are_closed_to_merchants(town: Town, known: Map) -> None:
    wrong = []
    samples = Samples((await town.nobody.get("/v2/openapi.json")).json(), town, {})
    houses = [each for each in known.known if OperatorGate in each.gates]
    assert len(houses) > 80
    for each in houses:
        path = each.filled([town.theirs.one_each()[0]] * len(each.parameters))
        by_key = await as_us(town, each.method, path, **samples.request(each.method, each.path))
        by_owner = await town.ours.owner.get(path) if each.method == "GET" else by_key
        wrong += [
            (each.method, path, answer.status_code, answer.text[:200])
            for answer in (by_key, by_owner)
            if answer.status_code not in {400, 401, 403}
        ]
    assert wrong == []


async def test_pages_of_another_merchant_are_unknown(town: Town, known: Map) -> None:
    begin = known.starts("/merchant/", merchant=town.theirs.reference)
    for looked in await known.walked(town.theirs.owner, begin):
        if (
            "{merchant}" not in looked.template
            or looked.template.endswith(OF_NOBODY)
            or looked.address.endswith("/new")
        ):
            continue
        answer = await town.ours.owner.get(looked.address)
        assert answer.status_code == 404, looked.address
        if len(Known("GET", looked.template, None).parameters) > 1 and looked.answer.status_code == 200:
            # Their thing in our own portal.
            moved = looked.address.replace(town.theirs.reference, town.ours.reference)
            assert (await town.ours.owner.get(moved)).status_code in UNKNOWN, moved


@pytest.mark.parametrize("tries", [5, pytest.param(TRIES_MAX, marks=pytest.mark.nightly)])
async def test_every_page_that_takes_an_id_is_tried_with_other_kinds(
    town: Town, known: Map, tries: int
) -> None:
    wrong = []
    kinds = deque(town.theirs.one_each())
    for each in known.known:
        if not each.path.startswith("/merchant/{merchant}/") or len(each.parameters) < 2:
            continue
        for ids in itertools.islice(itertools.product(kinds, repeat=len(each.parameters) - 1), tries):
            path = each.filled([town.ours.reference, *ids])
            answer = await town.ours.owner.request(each.method, path, follow_redirects=False)
            if answer.status_code not in REFUSED:
                wrong.append((each.method, path, answer.status_code))
        # The next page is tried with other kinds, so that none is always left out.
        kinds.rotate(-tries)
    assert wrong == []


async def test_pages_of_the_house_are_closed_to_merchants_and_payers(town: Town, known: Map) -> None:
    for address in known.starts("/ops/"):
        assert (await town.ours.owner.get(address)).status_code in {403, 308}, address
        assert (await town.payer.get(address)).status_code in {303, 308}, address


async def test_wallet_of_another_payer_is_unknown(town: Town, known: Map) -> None:
    walked = await known.walked(town.payer, known.starts("/wallet/"))
    assert any(each.answer.status_code == 200 for each in walked)
    for looked in walked:
        if "{" in looked.template and "/sign-in/" not in looked.template and looked.answer.status_code == 200:
            answer = await town.other_payer.get(looked.address)
            assert answer.status_code == 404 or is_no_id(looked.address), looked.address


def is_no_id(address: str) -> bool:
    """Whether an address names no thing but a word or a month, which everybody has."""
    last = address.partition("?")[0].rpartition("/")[2]
    return "_" not in last and len(last) < 12


async def test_whoever_is_nobody_sees_nothing_of_anybody(town: Town, known: Map) -> None:
    wrong = []
    private = ("/merchant/", "/ops/", "/me/", "/books/", "/transfers/", "/v1/", "/v2/")
    free = {"/v1/openapi.json", "/v2/openapi.json", "/v2/session", "/v2/channels/{channel}/notifications"}
    for each in known.known:
        is_private = f"{each.path}/".startswith(private) and not each.path.startswith(LEDGER)
        if not is_private or each.path in free:
            continue
        path = each.filled(["x"] * len(each.parameters))
        answer = await town.nobody.request(each.method, path)
        sent_away = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=")
        moved = answer.status_code == 308
        if not (sent_away or moved or answer.status_code in {400, 401, 403, 404}):
            wrong.append((each.method, path, answer.status_code))
    assert wrong == []


async def test_ledger_s_interface_answers_this_machine_alone(town: Town, known: Map) -> None:
    async with client(town.whole, "203.0.113.7") as far:
        for each in (each for each in known.known if each.path.startswith(LEDGER)):
            answer = await far.request(each.method, each.filled(["x"] * len(each.parameters)), json={})
            assert answer.status_code == 403, each.path
