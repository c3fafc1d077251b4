"""Matched pairs as they are read: the list, and by what each was found. Pure."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from markupsafe import Markup

from tongbao.clearing.schema.breaks import How, Leg
from tongbao.clearing.schema.matched_pairs import MatchedPair, PairFilter, PairKey
from tongbao.clearing.service import break_words
from tongbao.web.ops.money_desk import Desk
from tongbao.web.ui import money
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

PATH = "/ops/matched"
HEX_CHARS = 32
LINE_DIGITS_MAX = 19


def table(desk: Desk, sources: Sequence[str]) -> Table:
    """Return what the list is."""
    t = desk.t
    return Table(
        "matched",
        str(t("matched")),
        (
            Column("amount", str(t("c_amount")), number=True, fixed=True),
            Column("how", str(t("c_how"))),
            Column("sure", str(t("c_sure")), number=True),
            Column("reference", str(t("c_reference"))),
            Column("source", str(t("c_source"))),
            Column("merchant", str(t("c_merchant"))),
            Column("ours", str(t("c_booked"))),
            Column("theirs", str(t("c_reported"))),
            Column("payment", str(t("c_payment")), shown=False),
        ),
        (
            Filter("leg", str(t("c_leg")), tuple((each.value, str(t(f"leg_{each}"))) for each in Leg)),
            Filter("how", str(t("c_how")), tuple((each.value, str(t(f"how_{each}"))) for each in How)),
            Filter("source", str(t("c_source")), tuple((each, each) for each in sources)),
        ),
    )


def wanted(query: Query) -> PairFilter:
    """Return what an address asks for; without a leg the channels'."""
    asked = query.filters
    return PairFilter(
        leg=Leg(asked.get("leg", Leg.CHANNEL.value)),
        source=asked.get("source"),
        how=How(asked["how"]) if "how" in asked else None,
    )


def address(key: PairKey) -> str:
    """Return where a match is looked at."""
    return f"{PATH}/{key.leg}/{key.line_id}/{key.expected_id.hex}"


def key_of(leg: str, line: str, expected: str) -> PairKey | None:
    """Return the match that an address names; None for what is none."""
    is_line = line.isascii() and line.isdigit() and len(line) <= LINE_DIGITS_MAX
    if (
        leg not in {each.value for each in Leg}
        or not is_line
        or int(line) >= 2**63
        or len(expected) != HEX_CHARS
    ):
        return None
    try:
        return PairKey(Leg(leg), int(line), UUID(hex=expected))
    except ValueError:
        return None


def cursor(text: str, leg: Leg) -> PairKey | None:
    """Return the match that a page comes after; None at the first page, and for what is no such place."""
    line, _, expected = text.partition("-")
    return key_of(leg.value, line, expected) if text else None


def cursor_text(key: PairKey) -> str:
    """Return a match as the cursor of the page behind it."""
    return f"{key.line_id}-{key.expected_id.hex}"


def rows(pairs: Sequence[MatchedPair], desk: Desk, names: Mapping[int, str]) -> list[Row]:
    """Return matches as rows; the amount leads to the match."""
    found = []
    for pair in pairs:
        plain = plain_row(pair, desk, names)
        cells: dict[str, str | Markup] = dict(plain)
        side = pair.reported or pair.expected
        shown = desk.ui.money(side.amount_minor, side.currency) if side else str(desk.t("gone"))
        cells["amount"] = desk.link(address(pair.key), shown)
        cells["how"] = Markup('<span class="tag {}">{}</span>').format(
            "review" if pair.how is How.PERSON else "plain", desk.t(f"how_{pair.how}")
        )
        cells["reference"] = Markup('<code class="mono wrap">{}</code>').format(plain["reference"])
        cells["merchant"] = Markup("<bdi>{}</bdi>").format(plain["merchant"]) if plain["merchant"] else ""
        found.append(Row(cells))
    return found


def plain_row(pair: MatchedPair, desk: Desk, names: Mapping[int, str]) -> dict[str, str]:
    """Return a match as a row of a file."""
    ours, theirs = pair.expected, pair.reported
    side = theirs or ours
    return {
        "amount": money.plain_amount(side.amount_minor, side.currency) if side else "",
        "how": str(desk.t(f"how_{pair.how}")),
        "sure": desk.ui.percent(pair.confidence, 0),
        "reference": (ours.reference if ours else "") or (theirs.reference if theirs else ""),
        "source": pair.source,
        "merchant": names.get(ours.book_id or 0, "") if ours else "",
        "ours": str(ours.on) if ours else str(desk.t("nothing_of_ours")),
        "theirs": str(theirs.on or "") if theirs else str(desk.t("nothing_of_theirs")),
        "payment": ours.payment if ours else "",
    }


def why(pair: MatchedPair, desk: Desk) -> str:
    """Return in a sentence by what a match was found."""
    return desk.words(break_words.hows()[pair.how])


def keys(pair: MatchedPair) -> list[str]:
    """Return the keys that both sides share, as they stand in the address of a text."""
    ours, theirs = pair.expected, pair.reported
    if ours is None or theirs is None:
        return []
    shared = {
        "c_reference": bool(ours.reference) and ours.reference == theirs.reference,
        "c_theirs": bool(ours.channel_reference) and ours.channel_reference == theirs.channel_reference,
        "c_amount": (ours.amount_minor, ours.currency) == (theirs.amount_minor, theirs.currency),
        "c_day": ours.on == theirs.on,
    }
    return [key for key, same in shared.items() if same]
