"""Every route of clearing under ``/v2``: settlements, payouts, fees, reconciliation and the close of days."""

from typing import NamedTuple

from fastapi import APIRouter

from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.clock import Clock
from tongbao.parties.service.merchants import Merchants
from tongbao.web.api import (
    clearing_accounts,
    clearing_adjustments,
    clearing_agreements,
    clearing_batches,
    clearing_bills,
    clearing_breaks,
    clearing_days,
    clearing_fees,
    clearing_money,
    clearing_payouts,
    clearing_profits,
    clearing_receipts,
    clearing_recon,
    clearing_sides,
    clearing_statements,
    clearing_uploads,
)
from tongbao.web.api.access import Gate
from tongbao.web.api.acts import Acts
from tongbao.web.api.calls import Calls

PREFIX = "/v2"
TAG = "clearing"
BODY_BYTES_MAX = 1024 * 1024
"""A price list may have 500 charges of 50 steps."""


class Services(NamedTuple):
    """The services behind the routes."""

    clearing: ClearingHouse
    merchants: Merchants
    clock: Clock


def routers(calls: Calls, gate: Gate, acts: Acts, services: Services) -> list[APIRouter]:
    """Return the routes; files come by a router of their own, which does not read their bodies into memory."""
    clearing, clock = services.clearing, services.clock
    door = clearing_sides.doors(gate)
    routes = calls.router(PREFIX, TAG, body_bytes_max=BODY_BYTES_MAX)
    clearing_batches.add_batches(routes, door, clearing)
    clearing_batches.add_approvals(routes, door, acts, clearing)
    clearing_bills.add_bills(routes, door, clearing)
    clearing_bills.add_calendar(routes, door, clearing)
    clearing_money.add_money(routes, door, clearing)
    clearing_statements.add_statements(routes, door, clearing, services.merchants)
    clearing_agreements.add_agreements(routes, door, acts, clearing, clock)
    clearing_fees.add_reads(routes, door, clearing)
    clearing_fees.add_questions(routes, door, acts, clearing, clock)
    clearing_fees.add_writes(routes, door, acts, clearing, clock)
    clearing_recon.add_sources(routes, door, acts, clearing)
    clearing_recon.add_files(routes, door, clearing)
    clearing_recon.add_runs(routes, door, acts, clearing, clock)
    clearing_breaks.add_reads(routes, door, clearing, clock)
    clearing_breaks.add_acts(routes, door, acts, clearing, clock)
    clearing_days.add_days(routes, door, acts, clearing)
    # Before the payouts: their path has a place for any id.
    accounts = calls.router(PREFIX, TAG, secret_fields=clearing_accounts.SECRET_FIELDS)
    clearing_accounts.add_reads(accounts, door, clearing)
    clearing_accounts.add_writes(accounts, door, acts, clearing)
    clearing_payouts.add_payouts(routes, door, clearing)
    clearing_payouts.add_house(routes, door, acts, clearing)
    clearing_payouts.add_resolving(routes, door, acts, clearing)
    clearing_profits.add_profits(routes, door, clearing)
    clearing_receipts.add_receipts(routes, door, acts, clearing, services.merchants)
    clearing_receipts.add_house(routes, door, clearing)
    clearing_adjustments.add_own(routes, door, clearing)
    clearing_adjustments.add_adjustments(routes, door, acts, clearing)
    clearing_adjustments.add_demands(routes, door, acts, clearing)
    clearing_adjustments.add_demand_money(routes, door, acts, clearing)
    clearing_adjustments.add_demand_acts(routes, door, acts, clearing)
    uploads = calls.router(PREFIX, TAG, streamed=True)
    clearing_uploads.add_uploads(uploads, door, clearing)
    return [accounts, routes, uploads]
