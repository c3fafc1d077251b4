"""Payouts and the accounts they go to, as they are read. Pure."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.payouts import DESTINATION_PREFIX, Destination, Payout, PayoutState
from tongbao.core.ids import uuid_text
from tongbao.web.ops.money_desk import Desk, book_text
from tongbao.web.ui import money
from tongbao.web.ui.tables import Column, Filter, Row, Table

PATH = "/ops/payouts"
ACCOUNTS = f"{PATH}/accounts"


def table(desk: Desk) -> Table:
    """Return what the list of payouts is."""
    t = desk.t
    states = tuple((each.value, str(t(f"payout_{each}"))) for each in PayoutState)
    return Table(
        "payouts",
        str(t("payouts")),
        (
            Column("amount", str(t("c_amount")), number=True, fixed=True),
            Column("merchant", str(t("c_merchant"))),
            Column("state", str(t("c_state"))),
            Column("on", str(t("c_pay_on"))),
            Column("bank", str(t("c_bank"))),
            Column("told", str(t("c_told"))),
            Column("changed", str(t("c_changed"))),
            Column("reference", str(t("c_end_to_end")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter("state", str(t("c_state")), states),
            Filter("mode", str(t("c_mode")), (("live", str(t("live_mode"))), ("test", str(t("test_mode"))))),
            Filter("currency", str(t("c_currency")), kind="text"),
            Filter("on", str(t("c_pay_on")), kind="date"),
        ),
    )


def address(payout: Payout) -> str:
    """Return where a payout is looked at."""
    return f"{PATH}/{book_text(payout.book_id)}/{payout.reference}"


def rows(payouts: Sequence[Payout], desk: Desk, names: Mapping[int, str]) -> list[Row]:
    """Return payouts as rows; the amount leads to the payout."""
    found = []
    for payout in payouts:
        cells: dict[str, str | Markup] = dict(plain_row(payout, desk, names))
        shown = desk.ui.money(payout.amount_minor, payout.currency)
        cells["amount"] = desk.link(address(payout), shown) + desk.mode(payout.live)
        cells["merchant"] = desk.book(payout.book_id, names)
        cells["state"] = state_tag(payout, desk)
        cells["told"] = Markup("<bdi>{}</bdi>").format(cells["told"]) if cells["told"] else ""
        cells["id"] = Markup('<code class="mono">{}</code>').format(payout.reference)
        found.append(Row(cells))
    return found


def plain_row(payout: Payout, desk: Desk, names: Mapping[int, str]) -> dict[str, str]:
    """Return a payout as a row of a file."""
    return {
        "amount": money.plain_amount(payout.amount_minor, payout.currency),
        "merchant": names.get(payout.book_id, ""),
        "state": str(desk.t(f"payout_{payout.state}")),
        "on": str(payout.due_on),
        "bank": payout.bank,
        "told": " ".join(filter(None, (payout.code, payout.message)))[:120],
        "changed": desk.ui.when(payout.updated_at, "minute"),
        "reference": payout.end_to_end,
        "id": payout.reference,
    }


def state_tag(payout: Payout, desk: Desk) -> Markup:
    """Return the state of a payout; one that a first person says something of waits for a second one."""
    shown = desk.tag("payout", payout.state.value)
    if payout.resolving is not None:
        shown += Markup(' <span class="tag review">{}</span>').format(desk.t("second_needed"))
    return shown


def facts(
    payout: Payout, destination: Destination, desk: Desk, names: Mapping[int, str]
) -> list[tuple[Markup, object]]:
    """Return what a payout is."""
    t, ui = desk.t, desk.ui
    batch = f"/ops/batches/{book_text(payout.book_id)}/{uuid_text(BATCH_PREFIX, payout.batch_id)}"
    found: list[tuple[Markup, object]] = [
        (t("c_merchant"), desk.book(payout.book_id, names)),
        (t("c_account"), desk.link(account_address(destination), account_text(destination, desk))),
        (t("c_bank"), Markup("<bdi>{}</bdi>").format(payout.bank)),
        (t("c_pay_on"), str(payout.due_on)),
        (t("batch"), desk.link(batch, t("see_batch"))),
        (t("c_end_to_end"), Markup('<code class="mono wrap">{}</code>').format(payout.end_to_end)),
    ]
    if payout.bank_reference:
        found.append(
            (t("c_bank_reference"), Markup('<code class="mono wrap">{}</code>').format(payout.bank_reference))
        )
    if payout.inquiry_count:
        found.append((t("c_inquiries"), ui.count(payout.inquiry_count)))
    if payout.code or payout.message:
        told = " ".join(filter(None, (payout.code, payout.message)))
        found.append((t("c_told"), Markup("<bdi>{}</bdi>").format(told)))
    return found


def story(payout: Payout, desk: Desk) -> list[dict[str, object]]:
    """Return what is known of a payout's way, newest first."""
    found: list[dict[str, object]] = [
        {"at": payout.created_at, "title": desk.t("payout_created"), "glyph": "plus"}
    ]
    if payout.sent_at is not None:
        found.append({"at": payout.sent_at, "title": desk.t("payout_sent"), "glyph": "right"})
    if payout.resolving is not None:
        wish = payout.resolving
        found.append(
            {
                "at": wish.at,
                "title": desk.t(f"said_it_is_{wish.state}"),
                "who": desk.who(wish.actor),
                "line": wish.note,
                "tone": "review",
            }
        )
    if payout.ended_at is not None:
        tone = "ok" if payout.state is PayoutState.PAID else "error"
        title = desk.t(f"payout_{payout.state}")
        found.append({"at": payout.ended_at, "title": title, "tone": tone, "line": payout.message or ""})
    return found[::-1]


def account_table(desk: Desk) -> Table:
    """Return what the list of accounts is."""
    t = desk.t
    return Table(
        "accounts",
        str(t("destinations")),
        (
            Column("account", str(t("c_account")), fixed=True),
            Column("merchant", str(t("c_merchant"))),
            Column("holder", str(t("c_holder"))),
            Column("state", str(t("c_state"))),
            Column("by", str(t("c_proposed_by"))),
            Column("usable", str(t("c_usable"))),
            Column("changed", str(t("c_changed"))),
        ),
    )


def account_rows(accounts: Sequence[Destination], desk: Desk, names: Mapping[int, str]) -> list[Row]:
    """Return accounts as rows; the account leads to its page."""
    found = []
    for account in accounts:
        cells: dict[str, str | Markup] = dict(account_plain(account, desk, names))
        cells["account"] = desk.link(account_address(account), account_text(account, desk))
        cells["merchant"] = desk.book(account.book_id, names)
        cells["holder"] = Markup("<bdi>{}</bdi>").format(account.holder)
        cells["state"] = desk.tag("account", account.state.value)
        cells["by"] = desk.who(account.proposed_by)
        found.append(Row(cells))
    return found


def account_plain(account: Destination, desk: Desk, names: Mapping[int, str]) -> dict[str, str]:
    """Return an account as a row of a file; its number is never there."""
    usable = account.usable_at
    return {
        "account": str(account_text(account, desk)),
        "merchant": names.get(account.book_id, ""),
        "holder": account.holder,
        "state": str(desk.t(f"account_{account.state}")),
        "by": str(desk.who(account.proposed_by).striptags()),
        "usable": desk.ui.when(usable, "minute") if usable else "",
        "changed": desk.ui.when(account.updated_at, "minute"),
    }


def account_address(account: Destination) -> str:
    """Return where an account is looked at."""
    return f"{ACCOUNTS}/{book_text(account.book_id)}/{uuid_text(DESTINATION_PREFIX, account.id)}"


def account_text(account: Destination, desk: Desk) -> Markup:
    """Return an account as people name it: its currency, bank and the end of its number."""
    where = " ".join(filter(None, (account.agent_code, account.country)))
    return desk.t("account_ends", currency=account.currency, bank=where, last4=account.last4)
