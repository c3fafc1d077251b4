"""The report of ``tongbao demo real``: one value for machines, one table for people."""

from collections.abc import Mapping

import msgspec
from rich.table import Table

from tongbao.core.money import Money, format_money

Group = tuple[str, list[tuple[str, str]]]
"""A heading, and under it names with what is told of them."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted in all books. Amounts by currency, minor units; ``charges``: sales in the books outside, by channel.

    ``faults`` says in words what is wrong.
    """

    payments: int
    approvals: int
    declines: int
    refunds: int
    by_channel: dict[str, int]
    steps_up: int
    steps_up_passed: int
    fraud_stopped: int
    unresolved: int
    unresolved_resolved: int
    double_charges: int
    charges: dict[str, int]
    taken_minor: dict[str, int]
    fees_minor: dict[str, int]
    settled_minor: dict[str, int]
    carried_minor: dict[str, int]
    bank_booked_minor: dict[str, int]
    batches: int
    matches: dict[str, int]
    breaks: int
    breaks_unexplained: int
    trial_balance_zero: bool
    chain_verified: bool
    faults: tuple[str, ...]


class Report(Counted, frozen=True, kw_only=True):
    """What a demonstration came to; see docs/howto/see-it-with-real-parties.md.

    ``peers``: every party with what it did, or ``absent:`` and why. ``signatures``: messages of the wallets that each published
    client believed, by kind; ``signatures_refused`` and ``forgeries_believed`` must be 0.
    """

    webhooks: int
    webhooks_verified: int
    verifiers: dict[str, int]
    signatures: dict[str, int]
    signatures_refused: int
    forgeries_believed: int
    peers: dict[str, str]
    merchant: str
    took_s: float
    seed: int

    @property
    def sound(self) -> bool:
        """True where nothing was doubled, lost, left open, unexplained or forged, and every proof held."""
        wrong = (
            self.double_charges,
            self.unresolved,
            self.breaks_unexplained,
            self.signatures_refused,
            self.forgeries_believed,
            self.webhooks - self.webhooks_verified,
            len(self.faults),
        )
        return not any(wrong) and self.trial_balance_zero and self.chain_verified


def table(report: Report) -> Table:
    """Return the report as people read it."""
    shown = Table(title="A day among parties that nobody here wrote", title_justify="left", pad_edge=False)
    shown.add_column("", style="bold", no_wrap=True)
    shown.add_column("")
    shown.add_column("")
    for heading, rows in _groups(report):
        for place, (name, value) in enumerate(rows):
            shown.add_row("" if place else heading, name, value, end_section=place == len(rows) - 1)
    return shown


def _groups(report: Report) -> list[Group]:
    return [
        (
            "payments",
            [
                ("made", f"{report.payments:,}, by {report.merchant}"),
                ("approved", f"{report.approvals:,}"),
                ("declined by issuers", f"{report.declines:,}"),
                ("refunds", f"{report.refunds:,}"),
                ("tried over", _counted(report.by_channel)),
            ],
        ),
        (
            "risk",
            [
                ("asked to prove themselves", f"{report.steps_up}, {report.steps_up_passed} did"),
                ("fraud stopped", f"{report.fraud_stopped}"),
            ],
        ),
        (
            "certainty",
            [
                ("unresolved, then resolved", f"{report.unresolved_resolved}"),
                ("unresolved now", f"{report.unresolved}"),
                ("charges in the books outside", _counted(report.charges)),
                ("double charges", f"{report.double_charges}"),
            ],
        ),
        (
            "money",
            [
                ("taken outside, net", _money(report.taken_minor)),
                ("fees of the merchant", _money(report.fees_minor)),
                ("settled", f"{_money(report.settled_minor)} in {report.batches} batches"),
                ("carried to the next batch", _money(report.carried_minor)),
                ("booked by the bank", _money(report.bank_booked_minor)),
            ],
        ),
        (
            "reconciliation",
            [
                ("matched", _counted(report.matches)),
                ("differences found", f"{report.breaks}"),
                ("unexplained", f"{report.breaks_unexplained}"),
            ],
        ),
        (
            "proofs",
            [
                ("trial balance", "zero" if report.trial_balance_zero else "NOT ZERO"),
                ("chain of the books", "verified" if report.chain_verified else "BROKEN"),
                (
                    "webhooks verified",
                    f"{report.webhooks_verified} of {report.webhooks}: {_counted(report.verifiers)}",
                ),
                *(
                    (f"signatures judged by {judge}", told)
                    for judge, told in _by_judge(report.signatures).items()
                ),
                ("refused, forgeries believed", f"{report.signatures_refused}, {report.forgeries_believed}"),
            ],
        ),
        ("parties", list(report.peers.items())),
    ]


def _by_judge(signatures: Mapping[str, int]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, count in signatures.items():
        judge, _, kind = name.partition(": ")
        found.setdefault(judge, []).append(f"{count} {kind}")
    return {judge: ", ".join(told) for judge, told in found.items()}


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in found.items()) or "none"


def _money(found: Mapping[str, int]) -> str:
    return ", ".join(format_money(Money(minor, currency)) for currency, minor in found.items()) or "none"
