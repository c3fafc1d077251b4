"""Who a case's entity met in payments, two hops far: nodes, edges, and where each is drawn. Pure and the same every time.

Entities are nodes; an edge is the payments in which two of them met. Hubs (a merchant, a mail domain, an address of a whole
company) meet everybody, so they are shown and said to be hubs, and the walk does not go on from them. The picture is
concentric: the entity of the case in the middle, the first hop around it, the second outside, each node with a box for its
label that touches no other box.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tongbao.risk.schema.cases import EntityKey, Known, Tally
from tongbao.risk.schema.signals import Entity, Signals

NODES_MAX = 48
NEAR_MAX = 20
"""Nodes of the first hop, of all."""
EDGES_MAX = 120
CENTER_PAYMENTS_MAX = 200
"""The latest payments of the entity in the middle that are walked over."""
EXPANDED_MAX = 16
"""Nodes of the first hop from which the walk goes on."""
HUB_PAYMENTS = 60
"""An entity with more payments than this in the time looked at is a hub."""
TALLY_PAYMENTS_MAX = 500
"""Payments of a node that are counted; beyond it the count is a lower bound."""
HUB_KINDS = frozenset({Entity.MERCHANT, Entity.EMAIL_DOMAIN})
SHORT_CHARS = 6
DOMAIN_CHARS_MAX = 16

BOX_WIDTH = 136.0
BOX_HEIGHT = 60.0
"""Of a node with its label, in the units of the picture; the node is at (x, y), the middle of its box."""
RING_NODES_MAX = 14
RING_STEP = 12.0
RING_FLATNESS = 0.62
"""Rings are ellipses that are wider than high, as labels are."""
MARGIN = 8.0


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody or something in the picture; ``hop`` 0 is the entity of the case. ``x`` and ``y`` are the middle of its box."""

    entity: Entity
    key: str
    short: str
    hop: int
    is_hub: bool
    tally: Tally
    x: float
    y: float


class Edge(msgspec.Struct, frozen=True, order=True):
    """Payments in which two nodes met, by their places in the list of nodes."""

    first: int
    second: int
    count: int
    fraud_count: int


class Web(NamedTuple):
    """Chosen nodes with their hops, the middle first, and edges; ``left_out_count`` nodes were found beyond them."""

    nodes: tuple[tuple[EntityKey, int], ...]
    edges: tuple[Edge, ...]
    left_out_count: int


class Neighborhood(msgspec.Struct, frozen=True, kw_only=True):
    """A web with what is known of its nodes and where they are drawn, on a canvas of this size."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    left_out_count: int
    width: float
    height: float


def entities_of(signals: Signals) -> list[EntityKey]:
    """Return everybody who takes part in a payment."""
    return [EntityKey(entity, key) for entity in Entity if (key := signals.key(entity))]


def near_of(center: EntityKey, payments: Sequence[Known]) -> list[EntityKey]:
    """Return who met ``center`` in these payments: those of known frauds first, then those that met it most often."""
    return _ranked((each for each in payments if center in entities_of(each.signals)), {center})


def expandable(near: Sequence[EntityKey]) -> list[EntityKey]:
    """Return from whom the walk goes on: the first ``EXPANDED_MAX`` that are not hubs by their kind."""
    shown = near[:NEAR_MAX]
    return [each for each in shown if each.entity not in HUB_KINDS][:EXPANDED_MAX]


def woven(center: EntityKey, payments: Sequence[Known], expanded: Collection[EntityKey]) -> Web:
    """Return the web around ``center``: the first hop, and whom those of it in ``expanded`` met.

    ``payments`` are all that were walked over, each once. At most ``NODES_MAX`` nodes and ``EDGES_MAX`` edges are
    chosen, those of known frauds and of many payments first.
    """
    near = near_of(center, payments)
    first = near[:NEAR_MAX]
    roots = set(expanded) & set(first)
    beyond = (each for each in payments if not roots.isdisjoint(entities_of(each.signals)))
    far = _ranked(beyond, {center, *near})
    second = far[: NODES_MAX - 1 - len(first)]
    nodes = [(center, 0), *((each, 1) for each in first), *((each, 2) for each in second)]
    left_out_count = len(near) + len(far) - len(first) - len(second)
    return Web(tuple(nodes), _edges(nodes, payments, roots), left_out_count)


def drawn(web: Web, tallies: Mapping[EntityKey, Tally], hubs: Collection[EntityKey]) -> Neighborhood:
    """Return a web with its figures and its places."""
    hops = [hop for _, hop in web.nodes]
    slots = positions(_counts(hops))
    places = [slots[slot] for slot in _slots(web)]
    right = max((x for x, _ in places), default=0.0) + BOX_WIDTH / 2 + MARGIN
    bottom = max((y for _, y in places), default=0.0) + BOX_HEIGHT / 2 + MARGIN
    nodes = tuple(
        Node(
            entity=one.entity,
            key=one.key,
            short=short_of(one),
            hop=hop,
            is_hub=one in hubs or (hop > 0 and one.entity in HUB_KINDS),
            tally=tallies.get(one, Tally()),
            x=x,
            y=y,
        )
        for (one, hop), (x, y) in zip(web.nodes, places, strict=True)
    )
    return Neighborhood(
        nodes=nodes, edges=web.edges, left_out_count=web.left_out_count, width=right, height=bottom
    )


def short_of(one: EntityKey) -> str:
    """Return how an entity is named in a picture: the end of its pseudonym, or its domain."""
    if one.entity is Entity.EMAIL_DOMAIN:
        return one.key if len(one.key) <= DOMAIN_CHARS_MAX else one.key[: DOMAIN_CHARS_MAX - 1] + "…"
    return one.key[-SHORT_CHARS:]


def positions(counts: Sequence[int]) -> list[tuple[float, float]]:
    """Return the places of nodes by hop, moved so that every box lies right of and below the margin.

    ``counts`` are the nodes of each hop, from the middle on. Those of a hop follow each other clockwise from the top, in
    turn on each of its rings; every ring grows until its boxes touch none that is there.
    """
    placed: list[tuple[float, float]] = []
    radius = 0.0
    for hop, count in enumerate(counts):
        if hop == 0 and count == 1:
            placed.append((0.0, 0.0))
            continue
        rings = math.ceil(count / RING_NODES_MAX)
        found: dict[int, tuple[float, float]] = {}
        for ring in range(rings):
            slots = range(ring, count, rings)
            angles = [math.tau * slot / count - math.pi / 2 for slot in slots]
            radius, places = _ring(angles, radius, [*placed, *found.values()])
            found |= dict(zip(slots, places, strict=True))
        placed += [found[slot] for slot in range(count)]
    left = min((x for x, _ in placed), default=0.0) - BOX_WIDTH / 2 - MARGIN
    top = min((y for _, y in placed), default=0.0) - BOX_HEIGHT / 2 - MARGIN
    return [(round(x - left, 1), round(y - top, 1)) for x, y in placed]


def _ring(
    angles: Sequence[float], radius: float, placed: Sequence[tuple[float, float]]
) -> tuple[float, list[tuple[float, float]]]:
    """Return the smallest ring beyond ``radius`` that has room for boxes at these angles, and their places."""
    while True:
        radius += RING_STEP
        found = [(radius * math.cos(angle), radius * RING_FLATNESS * math.sin(angle)) for angle in angles]
        if not _touches(found, placed):
            return radius, found


def _slots(web: Web) -> list[int]:
    """Return the slot of each node, so that edges are short and cross little.

    In the first hop those that lead on stand evenly among the others; the second follows in the order of whom it met.
    """
    parents = {edge.second: edge.first for edge in sorted(web.edges, key=lambda edge: edge.count)}
    hops = [hop for _, hop in web.nodes]
    leading = {parents[place] for place, hop in enumerate(hops) if hop == 2}
    first = _mixed([place for place, hop in enumerate(hops) if hop == 1], leading)
    turn = {place: number for number, place in enumerate(first)}
    second = sorted(
        (place for place, hop in enumerate(hops) if hop == 2), key=lambda place: (turn[parents[place]], place)
    )
    slots = [0] * len(hops)
    for slot, place in enumerate([*first, *second], 1):
        slots[place] = slot
    return slots


def _mixed(places: Sequence[int], leading: Collection[int]) -> list[int]:
    """Return ``places`` with the leading ones spread evenly among the others."""
    leaders = iter([place for place in places if place in leading])
    others = iter([place for place in places if place not in leading])
    share, whole = len(leading), len(places)
    turns = ((number + 1) * share // whole > number * share // whole for number in range(whole))
    return [next(leaders if is_leading else others) for is_leading in turns]


def _touches(fresh: Sequence[tuple[float, float]], placed: Sequence[tuple[float, float]]) -> bool:
    for number, (x, y) in enumerate(fresh):
        for other_x, other_y in (*placed, *fresh[:number]):
            # A little more than the boxes, so that rounding to tenths lets none touch.
            if abs(x - other_x) < BOX_WIDTH + 0.2 and abs(y - other_y) < BOX_HEIGHT + 0.2:
                return True
    return False


def _ranked(payments: Iterable[Known], without: Collection[EntityKey]) -> list[EntityKey]:
    counts: Counter[EntityKey] = Counter()
    frauds: Counter[EntityKey] = Counter()
    for each in payments:
        present = [one for one in entities_of(each.signals) if one not in without]
        counts.update(present)
        if each.is_fraud:
            frauds.update(present)
    return sorted(counts, key=lambda one: (-frauds[one], -counts[one], one))


def _edges(
    nodes: Sequence[tuple[EntityKey, int]], payments: Sequence[Known], roots: Collection[EntityKey]
) -> tuple[Edge, ...]:
    """Return who met whom from one hop to the next; where there are too many, each node keeps its strongest one."""
    places = {one: place for place, (one, _) in enumerate(nodes)}
    counts: Counter[tuple[int, int]] = Counter()
    frauds: Counter[tuple[int, int]] = Counter()
    for each in payments:
        present = sorted(places[one] for one in entities_of(each.signals) if one in places)
        for first, second in _pairs(present, nodes, roots):
            counts[first, second] += 1
            frauds[first, second] += bool(each.is_fraud)
    found = [Edge(*pair, counts[pair], frauds[pair]) for pair in counts]
    found.sort(key=lambda edge: (-edge.fraud_count, -edge.count, edge.first, edge.second))
    strongest: dict[int, Edge] = {}
    for edge in found:
        strongest.setdefault(edge.second, edge)
    kept = list(strongest.values())
    kept += [edge for edge in found if strongest[edge.second] is not edge][: EDGES_MAX - len(kept)]
    return tuple(sorted(kept))


def _pairs(
    present: Sequence[int], nodes: Sequence[tuple[EntityKey, int]], roots: Collection[EntityKey]
) -> list[tuple[int, int]]:
    by_hop: dict[int, list[int]] = defaultdict(list)
    for place in present:
        by_hop[nodes[place][1]].append(place)
    pairs = [(0, near) for near in by_hop[1] if by_hop[0]]
    pairs += [(near, far) for near in by_hop[1] if nodes[near][0] in roots for far in by_hop[2]]
    return pairs


def _counts(hops: Sequence[int]) -> list[int]:
    counts = Counter(hops)
    return [counts[hop] for hop in range(max(hops, default=-1) + 1)]
