"""Clearing as processes open it: the one that serves, and commands beside it. Secrets are files of the house."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tongbao.channels.service.banks import BankSpec, build_banks
from tongbao.channels.service.building import read_bank_specs
from tongbao.clearing.service.house import ClearingHouse, Purse
from tongbao.clearing.service.sellers import Known, KnownSellers
from tongbao.core.config import Settings
from tongbao.core.http import HttpClient
from tongbao.core.secret_file import open_secret
from tongbao.parties.schema import OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.secret_keys import open_box
from tongbao.web.runtime import Runtime

FINGERPRINT_BYTES = 32
COLLECT_EVERY = timedelta(minutes=1)


def open_purse(
    settings: Settings, secrets_dir: Path, http: HttpClient, specs: Sequence[BankSpec] = ()
) -> Purse:
    """Return the banks of the settings' file, and ``specs`` beside them, with the keys of account numbers.

    Raises ChannelMisconfigured, NotPermitted ``key_file_exposed``.
    """
    file = settings.channels_file
    configured = [] if file is None else read_bank_specs(Path(file))
    banks = [*configured, *specs]
    # A folder costs nothing to look into; a bank over the network is asked once a minute.
    is_near = all(each.settings.http is None for each in banks)
    return Purse(
        build_banks(banks, http),
        open_box(secrets_dir / "payouts.key"),
        open_secret(secrets_dir / "account-fingerprints.key", FINGERPRINT_BYTES),
        timedelta(hours=settings.payout_cooling_hours),
        collect_every=timedelta(0) if is_near else COLLECT_EVERY,
    )


def open_clearing(
    runtime: Runtime, parties: Parties, purse: Purse, payments: Payments | None = None
) -> ClearingHouse:
    """Return clearing, to be entered; it knows merchants as the parties do. Commands have no ``payments``."""
    operator = operator_of_job("clearing", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def known(book_id: int) -> Known:
        found = await parties.merchants.of_book(operator, book_id)
        return Known(found.country, found.package.value, found.mcc)

    return ClearingHouse(
        runtime.database,
        runtime.ledger,
        runtime.clock,
        runtime.metrics,
        sellers=KnownSellers(known, runtime.clock),
        purse=purse,
        payments=payments,
    )
