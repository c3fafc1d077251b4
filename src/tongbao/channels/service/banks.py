"""The banks of this house: who pays out, in which currencies, and how it is reached."""

from collections.abc import Mapping, Sequence

import msgspec

from tongbao.channels.adapters.bank.initiation import initiation, part_id
from tongbao.channels.adapters.bank.reports import read
from tongbao.channels.adapters.bank.values import (
    Acknowledgment,
    BankSettings,
    Charset,
    FolderWay,
    HttpWay,
    LineKind,
    Order,
    OrderMessage,
    OwnAccount,
    RawMessage,
    Report,
    ReportLine,
)
from tongbao.channels.adapters.bank.ways import FolderBank, HttpBank, Way
from tongbao.channels.errors import ChannelMisconfigured, UnknownChannel
from tongbao.channels.schema import Mode
from tongbao.core.http import HttpClient

__all__ = [
    "Acknowledgment",
    "Bank",
    "BankSettings",
    "BankSpec",
    "Banks",
    "Charset",
    "FolderWay",
    "HttpWay",
    "LineKind",
    "Order",
    "OrderMessage",
    "OwnAccount",
    "RawMessage",
    "Report",
    "ReportLine",
    "build_banks",
    "part_id",
]
BANKS_MAX = 50


class BankSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bank of the configuration. ``mode``: whose money goes there; real money is asked for in so many words."""

    name: str
    settings: BankSettings
    mode: Mode = Mode.TEST


class Bank:
    """One bank: messages are built, handed over as the bytes that were built, and what comes back is read."""

    def __init__(self, spec: BankSpec, way: Way) -> None:
        self.name = spec.name
        self.mode = spec.mode
        self.settings = spec.settings
        self._way = way

    def prepare(self, message: OrderMessage) -> bytes:
        """Return a message as bytes; equal orders make equal bytes. Raises InvalidRequest ``bank_message_invalid``."""
        return initiation(message, self.settings)

    async def send(self, message_id: str, content: bytes) -> Acknowledgment:
        """Hand over what was prepared. Anything but ``not_sent`` may have arrived."""
        return await self._way.send(message_id, content)

    async def collect(self) -> list[RawMessage]:
        """Return what the bank has said, whether it was returned before or not; raise Unavailable ``bank_away``."""
        return await self._way.collect()

    async def done(self, handles: Sequence[str]) -> None:
        """Say that these were kept."""
        await self._way.done(handles)

    def read(self, content: bytes) -> Report:
        """Return what a message says; raise InvalidRequest ``bank_message_unreadable``."""
        return read(content)


class Banks:
    """The banks by name."""

    def __init__(self, banks: Sequence[Bank]) -> None:
        self._banks: Mapping[str, Bank] = {bank.name: bank for bank in banks}
        if len(self._banks) < len(banks):
            raise ChannelMisconfigured("banks", "two banks have the same name")

    def get(self, name: str) -> Bank:
        """Return a bank; raise UnknownChannel."""
        if name not in self._banks:
            raise UnknownChannel(name)
        return self._banks[name]

    def all(self) -> list[Bank]:
        """Return all banks in order of the configuration."""
        return list(self._banks.values())


def build_banks(specs: Sequence[BankSpec], http: HttpClient) -> Banks:
    """Return the banks of a configuration.

    Raises ChannelMisconfigured for names used twice, and for settings with both ways, with none, or without accounts.
    """
    if len(specs) > BANKS_MAX:
        raise ChannelMisconfigured("banks", f"at most {BANKS_MAX} banks")
    return Banks([Bank(spec, _way(spec, http)) for spec in specs])


def _way(spec: BankSpec, http: HttpClient) -> Way:
    settings = spec.settings
    if not settings.accounts:
        raise ChannelMisconfigured(spec.name, "a bank without accounts pays nothing")
    if settings.http is not None and settings.folder is None:
        return HttpBank(settings.http, http)
    if settings.folder is not None and settings.http is None:
        return FolderBank(settings.folder)
    raise ChannelMisconfigured(spec.name, "a bank is reached over http or over a folder: name one")
