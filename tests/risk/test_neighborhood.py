"""Whom an entity met: the walk's bounds, hubs, the layout in which no label touches another, the picture as text."""

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk.case_house import House, judged

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.neighborhood import (
    BOX_HEIGHT,
    BOX_WIDTH,
    EDGES_MAX,
    EXPANDED_MAX,
    HUB_PAYMENTS,
    MARGIN,
    NEAR_MAX,
    NODES_MAX,
    TALLY_PAYMENTS_MAX,
    Edge,
    Neighborhood,
    Web,
    drawn,
    expandable,
    near_of,
    positions,
    short_of,
    woven,
)
from tongbao.risk.policy.neighborhood_chart import (
    neighborhood_chart,
    neighborhood_table,
    neighborhood_text,
)
from tongbao.risk.schema.cases import EntityKey, Known, Tally
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier

CARD = EntityKey(Entity.CARD, "card_a")
DEVICE = EntityKey(Entity.DEVICE, "device_a")
SHOP = EntityKey(Entity.MERCHANT, "shop")

PAYMENTS = st.lists(
    st.builds(
        judged,
        st.just(1),
        card=st.sampled_from(["card_a", "card_b", "card_c", ""]),
        device=st.sampled_from([f"device_{number}" for number in range(40)] + [""]),
        customer=st.sampled_from([f"cus_{number}" for number in range(40)] + [""]),
        merchant=st.sampled_from(["shop", "stall"]),
        is_fraud=st.none() | st.booleans(),
    ),
    max_size=60,
)


@given(st.lists(st.integers(0, NODES_MAX), max_size=3))
def test_positions_let_no_box_touch_another_and_leave_a_margin(rings: list[int]) -> None:
    counts = [1, *rings]
    places = positions(counts)
    assert len(places) == sum(counts)
    for number, (x, y) in enumerate(places):
        assert x >= BOX_WIDTH / 2 + MARGIN - 0.1
        assert y >= BOX_HEIGHT / 2 + MARGIN - 0.1
        for other_x, other_y in places[:number]:
            assert abs(x - other_x) >= BOX_WIDTH or abs(y - other_y) >= BOX_HEIGHT
    assert positions(counts) == places


@settings(max_examples=60)
@given(PAYMENTS)
def test_web_is_bounded_joined_and_the_same_in_any_order(payments: list[Known]) -> None:
    expanded = set(expandable(near_of(CARD, payments)))
    web = woven(CARD, payments, expanded)
    turned = woven(CARD, list(reversed(payments)), expanded)
    assert web == turned
    assert len(web.nodes) <= NODES_MAX
    assert len(web.edges) <= EDGES_MAX
    assert web.nodes[0] == (CARD, 0)
    assert len({one for one, _ in web.nodes}) == len(web.nodes)
    reached = {edge.second for edge in web.edges}
    assert reached == set(range(1, len(web.nodes)))
    for edge in web.edges:
        assert web.nodes[edge.second][1] == web.nodes[edge.first][1] + 1
        assert 0 <= edge.fraud_count <= edge.count
    places = {(each.x, each.y) for each in drawn(web, {}, ()).nodes}
    assert places == set(positions([[hop for _, hop in web.nodes].count(each) for each in range(3)]))


def test_walk_goes_two_hops_and_not_through_hubs() -> None:
    payments = [
        judged(1, card="card_a", device="device_a", merchant="shop", is_fraud=True),
        judged(2, card="card_a", merchant="shop"),
        judged(3, card="card_b", device="device_a"),
        judged(4, card="card_c", merchant="shop"),
        judged(5, card="card_b", customer="cus_far"),
    ]
    near = near_of(CARD, payments)
    assert near == [SHOP, DEVICE]
    assert expandable(near) == [DEVICE]
    web = woven(CARD, payments, {DEVICE})
    assert web.nodes == ((CARD, 0), (SHOP, 1), (DEVICE, 1), (EntityKey(Entity.CARD, "card_b"), 2))
    assert web.edges == (Edge(0, 1, 2, 1), Edge(0, 2, 1, 1), Edge(2, 3, 1, 0))
    assert web.left_out_count == 0


def test_many_neighbors_are_cut_by_fraud_first_and_counted() -> None:
    payments = [judged(number, card="card_a", device=f"device_{number}") for number in range(60)]
    payments += [judged(90, card="card_a", device="device_bad", is_fraud=True)]
    near = near_of(CARD, payments)
    assert near[0] == EntityKey(Entity.DEVICE, "device_bad")
    assert len(expandable(near)) == EXPANDED_MAX
    web = woven(CARD, payments, expandable(near))
    assert len(web.nodes) == NEAR_MAX + 1
    assert web.left_out_count == 61 - NEAR_MAX


def picture() -> Neighborhood:
    nodes = ((CARD, 0), (SHOP, 1), (EntityKey(Entity.EMAIL_DOMAIN, "<b>&mail-of-a-long-name.example"), 1))
    web = Web(nodes, (Edge(0, 1, 9, 2), Edge(0, 2, 1, 0)), 3)
    tallies = {
        CARD: Tally(12, 2, (("EUR", 120_050), ("JPY", 50_000))),
        SHOP: Tally(TALLY_PAYMENTS_MAX, 0, (("EUR", 1),), True),
    }
    return drawn(web, tallies, ())


@pytest.mark.parametrize(
    ("language", "title", "said"),
    [("en", "Whom Card card_a met", "Merchant shop, Mail"), ("zh-CN", "卡 card_a", "商户 shop、邮箱域")],
)
def test_chart_is_well_formed_titled_and_says_what_is_not_shown(language: str, title: str, said: str) -> None:
    svg = neighborhood_chart(picture(), "case_1", language)
    root = ET.fromstring(svg)
    names = {"s": "http://www.w3.org/2000/svg"}
    assert title in str(root.findtext("s:title", namespaces=names))
    told = str(root.findtext("s:desc", namespaces=names))
    assert said in told
    assert "3" in told
    assert root.get("aria-labelledby") == "neighborhood-case_1-title neighborhood-case_1-desc"
    assert "<b>" not in svg
    assert len(root.findall("s:circle", names)) == 4
    assert len(root.findall("s:path", names)) == 2


def test_table_says_the_same_as_the_picture() -> None:
    table = neighborhood_table(picture(), "en")
    assert table.header[:2] == ("Entity", "Distance")
    card, shop, _ = table.rows
    assert card[:4] == ("Card card_a", "case", "12", "2")
    assert card[4] == "1,200.50 EUR, 500 JPY"
    assert shop == (
        "Merchant shop",
        "first hop (hub, not expanded)",
        f"≥ {TALLY_PAYMENTS_MAX}",
        "0",
        "0.01 EUR",
        "Card card_a (9)",
    )


def test_empty_neighborhood_is_drawn_and_said() -> None:
    empty = drawn(Web((), (), 0), {}, ())
    assert neighborhood_text(empty, "en") == "Nobody is known who took part"
    ET.fromstring(neighborhood_chart(empty, "x", "zh"))
    assert neighborhood_table(empty, "en").rows == ()
    with pytest.raises(InvalidRequest, match="language_unknown"):
        neighborhood_chart(empty, "x", "fr")


def test_short_names_hide_most_of_a_pseudonym() -> None:
    assert short_of(EntityKey(Entity.CARD, "0123456789abcdef")) == "abcdef"
    assert short_of(EntityKey(Entity.EMAIL_DOMAIN, "example.com")) == "example.com"


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    await made.clean()


async def test_neighborhood_of_a_case_is_walked_in_the_database(house: House) -> None:
    def passed(**fields: object) -> Known:
        return house.known(tier=Tier.FRICTIONLESS, **fields)

    await house.write(
        passed(device="device_a", merchant="shop", is_fraud=True),
        passed(card="card_b", device="device_a", value=700, currency="CNY"),
        passed(card="card_b", device="device_z"),
        passed(card="card_c", merchant="shop"),
        passed(device="device_a", live=False),
        passed(device="device_x", book_id=8),
    )
    (case,) = await house.rang(house.known(device="device_a", merchant="shop"))
    found = await house.reading.neighborhood(case.id)
    nodes = {(each.entity, each.key): each for each in found.nodes}
    assert set(nodes) == {CARD, DEVICE, SHOP, (Entity.CARD, "card_b")}
    device = nodes[DEVICE]
    assert (device.hop, device.is_hub) == (1, False)
    assert device.tally == Tally(3, 1, (("EUR", 20_000), ("CNY", 700)), False)
    assert nodes[SHOP].is_hub
    assert nodes[Entity.CARD, "card_b"].hop == 2
    assert nodes[Entity.CARD, "card_b"].tally.count == 2


async def test_busy_address_is_a_hub_and_is_not_walked_through(house: House) -> None:
    crowd = [
        house.known(tier=Tier.FRICTIONLESS, card=f"card_{number}", address="office")
        for number in range(HUB_PAYMENTS + 1)
    ]
    await house.write(*crowd)
    (case,) = await house.rang(house.known(address="office"))
    found = await house.reading.neighborhood(case.id)
    assert [(each.key, each.is_hub) for each in found.nodes] == [("card_a", False), ("office", True)]
    assert found.nodes[1].tally.count == HUB_PAYMENTS + 2
    assert "Address office" in neighborhood_text(found, "en")


async def test_payment_of_nobody_has_an_empty_neighborhood(house: House) -> None:
    bare = house.known(card="")
    (case,) = await house.rang(bare)
    assert (case.entity, case.key) == (None, bare.signals.subject)
    assert (await house.reading.neighborhood(case.id)).nodes == ()
    (mailed,) = [
        each
        for each in await house.rang(house.known(card="", email_domain="a.example"))
        if each.id != case.id
    ]
    (node,) = (await house.reading.neighborhood(mailed.id)).nodes
    assert (node.entity, node.key, node.tally.count) == (Entity.EMAIL_DOMAIN, "a.example", 1)


def test_walk_over_a_large_crowd_stays_within_its_bounds() -> None:
    payments = [judged(number, card="card_a", device=f"device_{number}") for number in range(15)]
    payments += [
        judged(number, card=f"card_of_{number}", device=f"device_{number % 15}", is_fraud=number % 10 == 0)
        for number in range(100, 1_600)
    ]
    web = woven(CARD, payments, set(expandable(near_of(CARD, payments))))
    assert len(web.nodes) == NODES_MAX
    assert web.left_out_count == 1 + 15 + 1_500 - NODES_MAX
    far = [one.key for one, hop in web.nodes if hop == 2]
    assert len(far) == NODES_MAX - 16
    assert all(int(key.removeprefix("card_of_")) % 10 == 0 for key in far)
    assert len(drawn(web, {}, ()).nodes) == NODES_MAX
