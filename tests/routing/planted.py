"""A small world of payments in which somebody broke something on purpose, for the doctor to find."""

from dataclasses import dataclass, field

import numpy as np

from tongbao.routing.policy.doctor_strata import FAULTS
from tongbao.routing.schema.health import Cell, Dimension, Fault
from tongbao.routing.schema.payments import Mark

CHANNELS = {"adyen": 0.4, "bocom": 0.35, "cybs": 0.25}
METHODS = {"card": 0.7, "wallet": 0.3}
ISSUERS = {"icbc": 0.3, "ccb": 0.25, "abc": 0.2, "hsbc": 0.15, "cmb": 0.1}
CURRENCIES = {"CNY": 0.8, "USD": 0.2}
TELLING = {
    Fault.TECHNICAL: (Mark.TECHNICAL, ("channel_unavailable", "network_timeout")),
    Fault.CONFIGURATION: (Mark.NEUTRAL, ("merchant_invalid", "request_invalid")),
    Fault.AUTHENTICATION: (Mark.ISSUER_DECLINED, ("authentication_required",)),
    Fault.FUNDS: (Mark.NEUTRAL, ("insufficient_funds",)),
    Fault.PAYER: (Mark.NEUTRAL, ("cvc_incorrect", "payer_canceled")),
    Fault.ISSUER: (Mark.ISSUER_DECLINED, ("do_not_honor", "security_violation")),
}
USUAL = dict(zip(FAULTS, (0.008, 0.002, 0.02, 0.03, 0.02, 0.07), strict=True))
MEAN_MINOR = 5_000


@dataclass(frozen=True)
class Plant:
    """What was broken: in ``segment``, ``fault`` stops so large a share more of those who get that far."""

    fault: Fault
    segment: dict[Dimension, str]
    more: float


@dataclass
class World:
    """Rates that differ by channel and issuer, drawn once from ``rng``; ``tilt`` moves traffic between issuers."""

    rng: np.random.Generator
    slack: dict[tuple[str, Fault], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*CHANNELS, *ISSUERS):
            for fault in FAULTS:
                self.slack[name, fault] = float(self.rng.uniform(0.7, 1.4))

    def table(
        self, count: int, plants: tuple[Plant, ...] = (), shares: dict[str, dict[str, float]] | None = None
    ) -> list[Cell]:
        """Attempts of one period; ``shares`` replaces those of a dimension."""
        of = {"channel": CHANNELS, "method": METHODS, "issuer": ISSUERS, "currency": CURRENCIES} | (
            shares or {}
        )
        cells = []
        for channel, share in of["channel"].items():
            for method, of_method in of["method"].items():
                for issuer, of_issuer in of["issuer"].items():
                    for currency, of_currency in of["currency"].items():
                        name = (channel, method, issuer, currency)
                        mean = count * share * of_method * of_issuer * of_currency
                        cells += self._cells(name, int(self.rng.poisson(mean)), plants)
        return cells

    def _cells(self, name: tuple[str, str, str, str], count: int, plants: tuple[Plant, ...]) -> list[Cell]:
        own = dict(zip(("channel", "method", "issuer", "currency"), name, strict=True))
        left, cells = count, []
        for fault in FAULTS:
            rate = USUAL[fault] * self.slack[name[0], fault] * self.slack[name[2], fault]
            for plant in plants:
                if plant.fault is fault and all(
                    own[key.value] == value for key, value in plant.segment.items()
                ):
                    rate += plant.more
            stopped = int(self.rng.binomial(left, min(rate, 1.0)))
            left -= stopped
            mark, codes = TELLING[fault]
            for code, each in zip(
                codes, self.rng.multinomial(stopped, [1 / len(codes)] * len(codes)), strict=True
            ):
                cells.append(Cell(*name, mark.value, code, int(each), int(each) * MEAN_MINOR))
        cells.append(Cell(*name, Mark.APPROVED.value, "", left, left * MEAN_MINOR))
        return [cell for cell in cells if cell.count]
