"""How the books look in a terminal: amounts, trees of accounts, statements, findings. No database.

Amounts carry the decimals of their asset and stand to the right; balances have the sign of the account's normal
side, as an accountant writes them. Tables fit 80 columns; ids that people copy are never cut.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tongbao.core.ids import uuid_text
from tongbao.ledger.schema import (
    TRANSFER_PREFIX,
    Account,
    AccountId,
    AccountState,
    Entry,
    JournalRow,
    Kind,
    Side,
    TrialBalanceLine,
)
from tongbao.ledger.service.importing import ImportReport
from tongbao.ledger.service.verifying import Report


class Node:
    """One line of the tree of accounts: an account, or the sum over a path with everything below it."""

    def __init__(self, code: str, depth: int, account: Account, *, is_sum: bool = False) -> None:
        self.code = code
        self.depth = depth
        self.side = account.normal_side
        self.scale = account.scale
        self.asset = account.asset
        self.account = None if is_sum else account
        self.posted_minor = 0 if is_sum else account.posted_minor
        self.held_minor = 0 if is_sum else held_minor(account)
        self.count = 0

    @property
    def balance_minor(self) -> int:
        """The balance in the sign of the normal side."""
        return self.posted_minor * self.side


def amount(minor: int, scale: int) -> str:
    """Return minor units with the decimals of the asset and groups of three: ``-1,234.50``."""
    digits = f"{abs(minor):0{scale + 1}d}"
    whole = f"{int(digits[: len(digits) - scale]):,}"
    return f"{'-' if minor < 0 else ''}{whole}{'.' + digits[-scale:] if scale else ''}"


def instant(at: datetime) -> str:
    """Return an instant to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def held_minor(account: Account) -> int:
    """Return what holds reserve of the balance on its normal side."""
    return account.debits_held_minor if account.normal_side is Side.CREDIT else account.credits_held_minor


def available_minor(account: Account) -> int:
    """Return the balance that no hold reserves, in the sign of the normal side."""
    return account.natural_minor - held_minor(account)


def limits(account: Account) -> str:
    """Return floor and ceiling as bounds of the balance that is shown."""
    low, high = account.floor_minor, account.ceiling_minor
    if account.normal_side is Side.DEBIT:
        low, high = (None if high is None else -high), (None if low is None else -low)
    parts = ((sign, bound) for sign, bound in (("≥", low), ("≤", high)) if bound is not None)
    return " ".join(f"{sign} {amount(bound, account.scale)}" for sign, bound in parts)


def tree(accounts: Sequence[Account]) -> list[Node]:
    """Return the accounts as a tree, each path that has accounts below it headed by its sum in each asset.

    Sums take the sign of the first account at or under their path.
    """
    ordered = sorted(accounts, key=lambda account: (account.code.split("/"), account.asset))
    sums: dict[str, dict[str, Node]] = {
        parent: {} for account in ordered for parent in _parents(account.code)
    }
    for account in ordered:
        for path in (*_parents(account.code), account.code):
            if path not in sums:
                continue
            total = sums[path].setdefault(account.asset, Node(path, path.count("/"), account, is_sum=True))
            total.posted_minor += account.posted_minor
            total.held_minor += held_minor(account) * (1 if account.normal_side is total.side else -1)
            total.count += 1
    nodes: list[Node] = []
    for account in ordered:
        for path in (*_parents(account.code), account.code):
            nodes.extend(sums.pop(path, {}).values())
        nodes.append(Node(account.code, account.code.count("/"), account))
    return nodes


def accounts_table(nodes: Iterable[Node]) -> Table:
    """Return the tree of accounts as a table."""
    table = plain_table()
    table.add_column("Account", overflow="fold", min_width=12)
    table.add_column("Asset")
    for name in ("Balance", "Held", "Available"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("State", overflow="fold")
    table.add_column("Limits", overflow="fold")
    for node in nodes:
        indent = "  " * node.depth
        figures = [node.balance_minor, node.held_minor, node.balance_minor - node.held_minor]
        shown = [_quiet_zero(figure, node.scale) for figure in figures]
        if node.account is None:
            name = f"{indent}Σ {node.code.rsplit('/', 1)[-1]}/ ({node.count})"
            table.add_row(name, node.asset, *shown, "", "", style="bold")
        else:
            state = node.account.state.name.lower().replace("_", " ")
            style = "" if node.account.state is AccountState.OPEN else "yellow"
            name = indent + node.code.rsplit("/", 1)[-1]
            table.add_row(name, node.asset, *shown, Text(state, style=style), limits(node.account))
    return table


def statement_table(entries: Sequence[Entry], account: Account, names: Mapping[AccountId, str]) -> Table:
    """Return entries, newest first; amounts and balances in the sign of the account's normal side."""
    table = plain_table()
    with_references = any(entry.reference for entry in entries)
    table.add_column("Recorded (UTC)", no_wrap=True)
    table.add_column("Code", overflow="fold", min_width=6)
    table.add_column("With", overflow="fold", min_width=8)
    if with_references:
        table.add_column("Reference", overflow="fold", min_width=9)
    table.add_column("Amount", justify="right", no_wrap=True)
    table.add_column("Balance", justify="right", no_wrap=True)
    for entry in entries:
        side = account.normal_side
        posted = Text(_signed(entry.posted_delta_minor * side, account.scale))
        if entry.kind is not Kind.PLAIN and not entry.posted_delta_minor:
            posted = Text(f"({_signed(entry.held_delta_minor * side, account.scale)})", style="dim")
        balance = (
            "unsealed" if entry.balance_minor is None else amount(entry.balance_minor * side, account.scale)
        )
        code = entry.code if entry.kind is Kind.PLAIN else f"{entry.code} [{entry.kind.name.lower()}]"
        references = [Text(entry.reference or "")] if with_references else []
        table.add_row(
            f"{entry.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M}",
            Text(code),
            names[entry.other_account_id],
            *references,
            posted,
            Text(balance, style="dim" if entry.balance_minor is None else ""),
        )
    return table


def trial_balance_table(lines: Sequence[TrialBalanceLine]) -> Table:
    """Return sums by account with a total line for each asset."""
    table = plain_table()
    table.add_column("Book" if len({line.book_code for line in lines}) > 1 else "Account", overflow="fold")
    for name in ("Asset", "Debits", "Credits", "Balance"):
        table.add_column(name, justify="left" if name == "Asset" else "right", no_wrap=True)
    many = len({line.book_code for line in lines}) > 1
    for asset in dict.fromkeys(line.asset for line in lines):
        chosen = [line for line in lines if line.asset == asset]
        for line in chosen:
            name = f"{line.book_code} · {line.account_code}" if many else line.account_code
            table.add_row(name, asset, *_sums(line.debits_minor, line.credits_minor, line.scale))
        sums = (sum(line.debits_minor for line in chosen), sum(line.credits_minor for line in chosen))
        table.add_row("Σ", asset, *_sums(*sums, chosen[0].scale), style="bold", end_section=True)
    return table


def reports_table(reports: Sequence[Report]) -> Table:
    """Return one line per verified book: what was read and the hash to remember."""
    table = plain_table()
    table.add_column("Book", overflow="fold")
    for name in ("Seals", "Sealed", "Unsealed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    for report in reports:
        verdict = Text("sound", style="green")
        if not report.sound:
            verdict = Text(f"{len(report.findings)} wrong", style="bold red")
        counts = (f"{count:,}" for count in (report.seal_count, report.transfer_count, report.unsealed_count))
        table.add_row(report.book_code, *counts, verdict)
    return table


def findings_table(reports: Sequence[Report]) -> Table:
    """Return everything that is wrong, by book."""
    table = plain_table()
    for name in ("Book", "Finding", "Where", "Detail"):
        table.add_column(name, overflow="fold")
    for report in reports:
        for finding in report.findings:
            table.add_row(
                report.book_code, Text(finding.what, style="red"), Text(finding.where), Text(finding.detail)
            )
    return table


def print_import(console: Console, report: ImportReport) -> None:
    """Print what became of an imported file."""
    rate = report.lines / report.seconds if report.seconds else 0
    table = plain_table()
    table.add_column("Outcome")
    table.add_column("Lines", justify="right")
    for name in ("posted", "exists", "refused"):
        count = getattr(report, name)
        table.add_row(name, f"{count:,}", style="red" if name == "refused" and count else "")
    table.add_row("all", f"{report.lines:,}", style="bold")
    console.print(table)
    for total in report.totals:
        posted, exists = amount(total.posted_minor, total.scale), amount(total.exists_minor, total.scale)
        before = f", {exists} posted before" if total.exists_minor else ""
        console.print(Text(f"{total.asset} {posted} posted{before}"), soft_wrap=True)
    console.print(
        Text(f"{report.seconds:.1f} s, {rate:,.0f} lines/s, import id {report.import_id}", style="dim")
    )
    if not report.refused:
        return
    console.print()
    reasons = plain_table()
    reasons.add_column("Refused because")
    reasons.add_column("Lines", justify="right")
    reasons.add_column("First at", justify="right")
    reasons.add_column("For example", overflow="fold")
    first = {line.refusal: line for line in reversed(report.first_refused)}
    for refusal, count in report.refusals.items():
        line = first.get(refusal)
        place = ("", "") if line is None else (f"{line.line_no:,}", line.detail)
        reasons.add_row(refusal, f"{count:,}", place[0], Text(place[1]))
    console.print(reasons)
    console.print(
        f"Every refused line is in {report.refused_file}: mend it there and import that file. Its keys are those "
        "of this import; a changed copy of the original would be posted anew.",
        markup=False,
    )


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """Return names and values one under the other."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, Text(value))
    return table


def transfer_facts(row: JournalRow, debit: Account, credit: Account) -> list[tuple[str, str]]:
    """Return what there is to say about one transfer."""
    scale, asset = debit.scale, debit.asset
    optional = {
        "asked for": row.requested_minor,
        "released": row.released_minor,
    }
    following = {"refers to": row.refers_to, "group": row.group_key}
    return [
        ("transfer", uuid_text(TRANSFER_PREFIX, row.key)),
        ("uuid", str(row.key)),
        ("kind", row.kind.name.lower()),
        ("code", row.code),
        ("reference", row.reference or ""),
        ("debit", debit.code),
        ("credit", credit.code),
        ("amount", f"{asset} {amount(row.amount_minor, scale)}"),
        *((name, f"{asset} {amount(minor, scale)}") for name, minor in optional.items() if minor is not None),
        ("occurred", f"{instant(row.occurred_at)} UTC"),
        ("recorded", f"{instant(row.recorded_at)} UTC"),
        ("expires", "" if row.expires_at is None else f"{instant(row.expires_at)} UTC"),
        *((name, uuid_text(TRANSFER_PREFIX, key)) for name, key in following.items() if key is not None),
        ("group size", "" if row.group_size is None else str(row.group_size)),
    ]


def plain_table() -> Table:
    """Return an empty table in the one style of all."""
    return Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
        header_style="bold",
        show_edge=False,
    )


def _sums(debits_minor: int, credits_minor: int, scale: int) -> tuple[str, str, str]:
    """Return debits, credits and the side on which the balance stands."""
    difference = debits_minor - credits_minor
    side = " D" if difference > 0 else " C" if difference < 0 else "  "
    return amount(debits_minor, scale), amount(credits_minor, scale), amount(abs(difference), scale) + side


def _signed(minor: int, scale: int) -> str:
    return ("+" if minor > 0 else "") + amount(minor, scale)


def _quiet_zero(minor: int, scale: int) -> Text:
    return Text(amount(minor, scale), style="" if minor else "dim")


def _parents(code: str) -> list[str]:
    parts = code.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
