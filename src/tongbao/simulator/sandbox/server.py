"""The sandbox as one thing: opened with a configuration, reachable on real sockets, closed without a trace.

::

    async with Sandbox(SandboxConfig(home=folder, acquirers={"card_a": 0})) as sandbox:
        ...  # sandbox.http_url, sandbox.acquirer_ports, sandbox.credentials, sandbox.world, sandbox.behavior
"""

from pathlib import Path
from types import TracebackType

import msgspec
from aiohttp import web

from tongbao.core.clock import Clock, RealClock
from tongbao.core.errors import InvalidRequest, NotPermitted, Unavailable
from tongbao.simulator.sandbox import alipay_acts, wechat_acts
from tongbao.simulator.sandbox.acquirer import Acquirer
from tongbao.simulator.sandbox.acquirer_acts import AcquirerActs
from tongbao.simulator.sandbox.acs_pages import AcsPages
from tongbao.simulator.sandbox.alipay import REQUEST_BYTES_MAX, AlipayGateway
from tongbao.simulator.sandbox.behavior import Behaviors, Habits
from tongbao.simulator.sandbox.control import Control
from tongbao.simulator.sandbox.credentials import Credentials
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.issuers import Issuers
from tongbao.simulator.sandbox.journal import Journal
from tongbao.simulator.sandbox.notifier import Notifier
from tongbao.simulator.sandbox.payer_pages import PayerPages
from tongbao.simulator.sandbox.payers import Payers
from tongbao.simulator.sandbox.wechat import WechatGateway
from tongbao.simulator.sandbox.world import World

NOTIFY_INTERVALS_S = (1.0, 3.0, 10.0, 30.0, 60.0, 300.0)
NOTIFY_TIMEOUT_S = 5.0
SHUTDOWN_S = 0.5
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
RESERVED = (alipay_acts.CHANNEL, wechat_acts.CHANNEL)


class SandboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to open a sandbox. Port 0 takes a free one.

    ``home`` keeps the keys (None: keys for this run only), ``journal`` the book (None: it is forgotten).
    ``acquirers`` are ports by name, ``habits`` behavior by channel (``alipay``, ``wechat_pay``, acquirers).
    ``anywhere`` allows addresses beyond this machine, to listen on and to notify.
    """

    home: Path | None = None
    journal: Path | None = None
    host: str = "127.0.0.1"
    http_port: int = 0
    acquirers: dict[str, int] = {}
    seed: int = 20
    habits: dict[str, Habits] = {}
    notify_intervals_s: tuple[float, ...] = NOTIFY_INTERVALS_S
    notify_timeout_s: float = NOTIFY_TIMEOUT_S
    anywhere: bool = False


class Sandbox:
    """Everything that is open between ``__aenter__`` and ``__aexit__``.

    Raises NotPermitted ``listen_not_loopback``, InvalidRequest ``channel_name_invalid`` or ``channel_unknown``,
    Unavailable ``port_taken``, and what keys and journal raise.
    """

    def __init__(self, config: SandboxConfig, clock: Clock | None = None) -> None:
        _check(config)
        self._config = config
        self._clock = clock or RealClock()
        self._journal = Journal(config.journal) if config.journal else None
        names = tuple(config.acquirers)
        try:
            if config.home is None:
                self.credentials = Credentials.generate(self._clock, names)
            else:
                self.credentials = Credentials.open(config.home, self._clock, names)
            self.world = World(self._clock, config.seed, self._journal)
        except BaseException:
            if self._journal is not None:
                self._journal.abandon()
            raise
        self.behavior = Behaviors(config.seed, config.habits)
        self.desk = Desk(self.world, self.behavior, self._clock)
        self.issuers = Issuers(self.desk, lambda: self.http_url)
        self.payers = Payers(self.desk, self.issuers)
        self.notifier = Notifier(
            self.desk, config.notify_intervals_s, config.notify_timeout_s, anywhere=config.anywhere
        )
        self.acquirers = {name: self._acquirer(name) for name in names}
        self.http_port = config.http_port
        self._runner: web.AppRunner | None = None

    @property
    def http_url(self) -> str:
        """Where Alipay, WeChat Pay, the payer's pages and the control API are."""
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"http://{host}:{self.http_port}"

    @property
    def acquirer_ports(self) -> dict[str, int]:
        """Ports of the acquirers by name."""
        return {name: acquirer.port for name, acquirer in self.acquirers.items()}

    async def __aenter__(self) -> "Sandbox":
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End silences and tasks, stop listening, write and close the journal."""
        await self.desk.close()
        for acquirer in self.acquirers.values():
            await acquirer.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.notifier.close()
        if self._journal is not None:
            await self._journal.close()

    async def _open(self) -> None:
        self._runner = web.AppRunner(
            self._application(), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.http_port)
        try:
            await site.start()
        except OSError as error:
            raise Unavailable("port_taken", f"cannot listen on port {self._config.http_port}") from error
        self.http_port = self._runner.addresses[0][1]
        for name, acquirer in self.acquirers.items():
            await acquirer.open(self._config.host, self._config.acquirers[name])
        self._tell_addresses()
        if self._config.home is not None:
            self.credentials.save(self._config.home)
        self.payers.resume()

    def _application(self) -> web.Application:
        merchant = self.credentials.merchant
        alipay = AlipayGateway(
            self.desk,
            alipay_acts.AlipayActs(self.desk, self.payers, lambda: self.http_url),
            self.notifier,
            self.credentials,
        )
        wechat = WechatGateway(
            self.desk,
            wechat_acts.WechatActs(self.desk, self.payers, merchant.wechat_pay, lambda: self.http_url),
            self.notifier,
            self.credentials,
        )
        self.desk.tellers = {RESERVED[0]: alipay, RESERVED[1]: wechat, **self.acquirers}
        channels = (*RESERVED, *self.acquirers)
        control = Control(self.desk, self.payers, self.notifier, self.acquirers, channels)
        pages = PayerPages(self.desk, self.payers, alipay)
        application = web.Application(client_max_size=REQUEST_BYTES_MAX)
        for part in (alipay, wechat, pages, AcsPages(self.desk, self.issuers), control):
            application.add_routes(part.routes())
        return application

    def _acquirer(self, name: str) -> Acquirer:
        merchant = self.credentials.merchant.acquirers[name]
        acts = AcquirerActs(name, self.desk, self.payers, self.issuers, merchant)
        return Acquirer(name, self.desk, acts, self.notifier, merchant)

    def _tell_addresses(self) -> None:
        """Write where everything listens into the merchant's side of the credentials."""
        merchant = self.credentials.merchant
        merchant.alipay.gateway_url = f"{self.http_url}/gateway.do"
        merchant.wechat_pay.base_url = self.http_url
        for name, port in self.acquirer_ports.items():
            merchant.acquirers[name].host = self._config.host
            merchant.acquirers[name].port = port


def _check(config: SandboxConfig) -> None:
    """Raise what the configuration does wrong."""
    if not config.anywhere and config.host not in LOOPBACK:
        raise NotPermitted(
            "listen_not_loopback", "the sandbox listens on this machine only, unless told otherwise"
        )
    for name in config.acquirers:
        if name in RESERVED or not (name.isascii() and name.replace("_", "").isalnum()):
            raise InvalidRequest("channel_name_invalid", f"{name[:40]!r} cannot be the name of an acquirer")
    for name in config.habits:
        if name not in RESERVED and name not in config.acquirers:
            raise InvalidRequest(
                "channel_unknown", f"behavior is given for {name[:40]!r}, which is no channel"
            )
