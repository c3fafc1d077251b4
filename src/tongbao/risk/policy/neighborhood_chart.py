"""The picture of a neighborhood as an SVG, and the same as rows of a table. Pure text.

Takes its ink from ``currentColor`` and its accents from the style sheet with fallbacks, as ``decisions.policy.report_chart``
does; a known fraud is told by a double ring and words, not by color alone. Everything that comes from outside is escaped.
"""

import re
import unicodedata
from html import escape
from typing import NamedTuple

from tongbao.risk.policy.case_texts import ENTITIES, column, money
from tongbao.risk.policy.neighborhood import BOX_WIDTH, Edge, Neighborhood, Node

NODE_RADIUS = 13.0
NODE_LIFT = 14.0
"""How far above the middle of its box a node stands; its two lines of text follow below."""
FONT_SIZE = 12
EM_NARROW = 0.62
"""Width of a narrow letter over the size of the font, generously: fonts differ."""
SQUEEZE_MIN = 0.8
"""So far letters are drawn closer together before a label is cut: beyond it they could not be read."""
EDGE_WIDTH_MAX = 5.0
ROW_VALUES_MAX = 5
_ACCENT = "var(--primary, #1f8a8c)"
_BAD = "var(--danger, #c43c3c)"
_RULE = "var(--border, #8a9796)"
_PAPER = "var(--surface, Canvas)"
# XML 1.0 has no place for these, escaped or not.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TITLE = ("Whom {center} met in payments", "{center} 的付款关联图")
_NOBODY = ("Nobody is known who took part", "没有已知的参与方")
_COUNTED = (
    "Entities over two hops: {nodes}; took part in known fraud: {frauds}.",
    "两跳之内共 {nodes} 个实体，其中 {frauds} 个涉及已知欺诈。",
)
_HUBS = (
    "Hubs, which meet very many others: {hubs}. They are shown, what lies beyond them is not.",
    "{hubs} 与大量实体有往来，只显示其本身，不再展开。",
)
_LEFT_OUT = ("Found beyond these and left out: {count}.", "另有 {count} 个实体未显示。")
_FIGURES = ("paid {count} ×", "{count} 笔")
_FRAUDS = ("{count} fraud", "{count} 欺诈")
_HOPS = (("case", "first hop", "second hop"), ("本案", "一跳", "二跳"))
_HUB = ("hub, not expanded", "枢纽，未展开")
_HEADER = (
    ("Entity", "Distance", "Payments", "Known frauds", "Amount", "Met"),
    ("实体", "距离", "付款笔数", "已知欺诈", "金额", "关联"),
)


class Table(NamedTuple):
    """A picture as text: one row a node."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def neighborhood_chart(web: Neighborhood, name: str, language: str) -> str:
    """Return the SVG; ``name`` tells its ids from those of other pictures of the page.

    Raises InvalidRequest ``language_unknown``.
    """
    at = column(language)
    label = "neighborhood-" + re.sub(r"[^A-Za-z0-9_-]", "-", name)
    width, height = max(web.width, BOX_WIDTH), max(web.height, NODE_RADIUS * 4)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="neighborhood" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-labelledby="{label}-title {label}-desc" font-family="inherit" '
        f'font-size="{FONT_SIZE}" fill="currentColor">',
        f'<title id="{label}-title">{_safe(_title(web, at))}</title>',
        f'<desc id="{label}-desc">{_safe(neighborhood_text(web, language))}</desc>',
        *(_edge(each, web) for each in web.edges),
        *(_node(each, at) for each in web.nodes),
        "</svg>",
    ]
    return "".join(parts)


def neighborhood_text(web: Neighborhood, language: str) -> str:
    """Return what the picture shows in a few sentences, hubs and what is left out included."""
    at = column(language)
    if not web.nodes:
        return _NOBODY[at]
    frauds = sum(each.tally.fraud_count > 0 for each in web.nodes)
    told = [_COUNTED[at].format(nodes=len(web.nodes), frauds=frauds)]
    hubs = [_name(each, at) for each in web.nodes if each.is_hub]
    if hubs:
        told.append(_HUBS[at].format(hubs=(", ", "、")[at].join(hubs)))
    if web.left_out_count:
        told.append(_LEFT_OUT[at].format(count=web.left_out_count))
    return (" ", "")[at].join(told)


def neighborhood_table(web: Neighborhood, language: str) -> Table:
    """Return the same as rows: who, how far, how many payments and frauds, how much, and whom it met."""
    at = column(language)
    met: dict[int, list[str]] = {place: [] for place in range(len(web.nodes))}
    for edge in web.edges:
        for here, there in ((edge.first, edge.second), (edge.second, edge.first)):
            met[here].append(f"{_name(web.nodes[there], at)} ({edge.count})")
    rows = []
    for place, each in enumerate(web.nodes):
        distance = _HOPS[at][each.hop] + (f" ({_HUB[at]})" if each.is_hub else "")
        values = [money(value, currency) for currency, value in each.tally.values[:ROW_VALUES_MAX]]
        separator = (", ", "、")[at]
        rows.append(
            (
                _name(each, at),
                distance,
                _count(each),
                str(each.tally.fraud_count),
                separator.join(values),
                separator.join(met[place]),
            )
        )
    return Table(_HEADER[at], tuple(rows))


def _title(web: Neighborhood, at: int) -> str:
    return _TITLE[at].format(center=_name(web.nodes[0], at)) if web.nodes else _NOBODY[at]


def _edge(edge: Edge, web: Neighborhood) -> str:
    first, second = web.nodes[edge.first], web.nodes[edge.second]
    color = _BAD if edge.fraud_count else _RULE
    width = min(1.0 + edge.count / 4, EDGE_WIDTH_MAX)
    return (
        f'<path d="M{first.x:.1f} {first.y - NODE_LIFT:.1f}L{second.x:.1f} {second.y - NODE_LIFT:.1f}" '
        f'stroke="{color}" stroke-width="{width:.1f}" opacity="0.6"/>'
    )


def _node(node: Node, at: int) -> str:
    """Return a node with its two lines: who it is, and its figures."""
    is_bad = node.tally.fraud_count > 0
    color = _BAD if is_bad else _ACCENT
    x, y = node.x, node.y - NODE_LIFT
    dashes = ' stroke-dasharray="3 3"' if node.is_hub else ""
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{NODE_RADIUS}" fill="{_PAPER}" stroke="{color}" stroke-width="2"{dashes}>'
    ring += f"<title>{_safe(_name(node, at))}</title></circle>"
    if is_bad:
        ring += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{NODE_RADIUS - 4}" fill="none" stroke="{color}" stroke-width="2"/>'
    figures = _FIGURES[at].format(count=_count(node))
    if is_bad:
        figures += " · " + _FRAUDS[at].format(count=node.tally.fraud_count)
    weight = 600 if node.hop == 0 else 400
    return (
        ring
        + _text(x, y + NODE_RADIUS + FONT_SIZE + 1, _name(node, at), weight)
        + _text(x, y + NODE_RADIUS + 2 * FONT_SIZE + 3, figures, weight)
    )


def _name(node: Node, at: int) -> str:
    return f"{ENTITIES[node.entity][at]} {node.short}"


def _count(node: Node) -> str:
    return f"≥ {node.tally.count}" if node.tally.is_partial else str(node.tally.count)


def _text(x: float, y: float, words: str, weight: int) -> str:
    # The paper behind the letters keeps lines from crossing them.
    shown, room = _fitting(words)
    squeeze = f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"' if room else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-weight="{weight}" stroke="{_PAPER}" '
        f'stroke-width="3" paint-order="stroke"{squeeze}>{_safe(shown)}</text>'
    )


def _fitting(words: str) -> tuple[str, float]:
    """Return ``words`` as they fit into a box, so that labels never overlap, and the width to squeeze them into, 0: none.

    A label that is a little too long is squeezed and stays whole; only what could not be read then is cut.
    """
    most = BOX_WIDTH - FONT_SIZE / 2
    width = 0.0
    for place, char in enumerate(words):
        width += _width(char)
        if width * SQUEEZE_MIN > most:
            return words[:place] + "…", most
    return words, most if width > most else 0.0


def _width(char: str) -> float:
    return FONT_SIZE * (1.0 if unicodedata.east_asian_width(char) in "WF" else EM_NARROW)


def _safe(words: str) -> str:
    return escape(_UNWRITABLE.sub("\ufffd", words), quote=True)
