"""Where amounts go: a Sankey drawing of flows from stage to stage, as of attempts over channels to their outcome. Pure.

It keeps its size and is scrolled on small screens, since its words stand among its marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tongbao.web.ui.figure import Axis, Figure, Head

NODE_WIDTH = 10
NODES_MAX = 24
LINKS_MAX = 120
STAGE_WIDTH = 250
LABEL_WIDTH = 190
GAP = 30
HEIGHT = 300
LABEL_CHARS_MAX = 22
NODE_HEIGHT_MIN = 3.0


@dataclass(frozen=True, slots=True)
class Flow:
    """``value`` of ``source`` went on to ``target``; ``tone`` as of tags, or a series ``1`` to ``6``."""

    source: str
    target: str
    value: float
    tone: str = "1"


@dataclass(slots=True)
class _Node:
    name: str
    stage: int
    value: float = 0.0
    top: float = 0.0
    height: float = 0.0
    left_used: float = 0.0
    right_used: float = 0.0


def sankey(flows: Sequence[Flow], axis: Axis, words: tuple[str, str]) -> Figure:
    """Return flows between stages; a node stands right of all that lead to it. ``words`` name target and value.

    Raises ValueError for flows that go in a circle, for more than ``NODES_MAX`` nodes or ``LINKS_MAX`` flows.
    """
    kept = [flow for flow in flows if flow.value > 0]
    if len(kept) > LINKS_MAX:
        raise ValueError(f"at most {LINKS_MAX} flows are drawn")
    nodes = _placed(kept)
    stages = max((node.stage for node in nodes.values()), default=0)
    width = stages * STAGE_WIDTH + LABEL_WIDTH
    height = max((node.top + node.height for node in nodes.values()), default=0) + 24
    bands = Markup().join(_band(flow, nodes) for flow in kept)
    marks = Markup().join(_node(node, axis) for node in nodes.values())
    body = Markup(
        '<div class="sankey" tabindex="0" role="group" aria-label="{}"><svg width="{:.0f}" height="{:.0f}" '
        'viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}{}</svg></div>'
    ).format(axis.caption, width, height, width, height, axis.caption, bands, marks)
    heads: tuple[Head, ...] = (axis.head, words[0], (words[1], "num"))
    rows = tuple((flow.source, flow.target, axis.text(flow.value)) for flow in kept)
    return Figure("flows", body, axis.caption, heads, rows)


def _placed(flows: Sequence[Flow]) -> dict[str, _Node]:
    """Return the nodes with stage, place and height."""
    nodes: dict[str, _Node] = {}
    for flow in flows:
        for name in (flow.source, flow.target):
            nodes.setdefault(name, _Node(name, 0))
    if len(nodes) > NODES_MAX:
        raise ValueError(f"at most {NODES_MAX} nodes are drawn")
    for _ in range(len(nodes) + 1):
        moved = False
        for flow in flows:
            after = nodes[flow.source].stage + 1
            if nodes[flow.target].stage < after:
                nodes[flow.target].stage, moved = after, True
        if not moved:
            break
    else:
        raise ValueError("flows go in a circle")
    for node in nodes.values():
        into = sum(flow.value for flow in flows if flow.target == node.name)
        out = sum(flow.value for flow in flows if flow.source == node.name)
        node.value = max(into, out)
    _stack(list(nodes.values()))
    return nodes


def _stack(nodes: list[_Node]) -> None:
    """Give nodes of each stage their places from above, the largest of all stages using the whole height."""
    stages = sorted({node.stage for node in nodes})
    most = max((sum(node.value for node in nodes if node.stage == stage) for stage in stages), default=0) or 1
    for stage in stages:
        top = 6.0
        for node in sorted((node for node in nodes if node.stage == stage), key=lambda node: -node.value):
            node.top, node.height = top, max(NODE_HEIGHT_MIN, HEIGHT * node.value / most)
            top += max(node.height, 18.0) + GAP


def _band(flow: Flow, nodes: dict[str, _Node]) -> Markup:
    source, target = nodes[flow.source], nodes[flow.target]
    left = max(NODE_HEIGHT_MIN, source.height * flow.value / (source.value or 1))
    right = max(NODE_HEIGHT_MIN, target.height * flow.value / (target.value or 1))
    x1, x2 = source.stage * STAGE_WIDTH + NODE_WIDTH, target.stage * STAGE_WIDTH
    y1, y2 = source.top + source.right_used, target.top + target.left_used
    source.right_used += source.height * flow.value / (source.value or 1)
    target.left_used += target.height * flow.value / (target.value or 1)
    bend = (x1 + x2) / 2
    path = (
        f"M{x1} {y1:.1f}C{bend:.0f} {y1:.1f} {bend:.0f} {y2:.1f} {x2} {y2:.1f}V{y2 + right:.1f}"
        f"C{bend:.0f} {y2 + right:.1f} {bend:.0f} {y1 + left:.1f} {x1} {y1 + left:.1f}Z"
    )
    return Markup('<path class="flow {}" d="{}"/>').format(_css(flow.tone), path)


def _node(node: _Node, axis: Axis) -> Markup:
    name = node.name if len(node.name) <= LABEL_CHARS_MAX else node.name[: LABEL_CHARS_MAX - 1] + "…"
    x = node.stage * STAGE_WIDTH
    middle = node.top + node.height / 2
    return Markup(
        '<rect class="s1" x="{}" y="{:.1f}" width="{}" height="{:.1f}" rx="2"/><text x="{}" y="{:.1f}">{}'
        '<title>{}</title></text><text class="sub" x="{}" y="{:.1f}">{}</text>'
    ).format(
        x,
        node.top,
        NODE_WIDTH,
        node.height,
        x + NODE_WIDTH + 8,
        middle - 1,
        name,
        node.name,
        x + NODE_WIDTH + 8,
        middle + 17,
        axis.text(node.value),
    )


def _css(tone: str) -> str:
    return f"s{tone}" if tone.isdigit() else f"s-{tone}"
