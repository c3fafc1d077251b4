"""Random states of the world for tests of choosing: channels, what is believed of them, and a policy."""

from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from hypothesis import strategies as st

from tongbao.routing.models.board import BoardTuning
from tongbao.routing.models.breakers import CLOSED, HALF_OPEN, OPEN
from tongbao.routing.policy.economics import Terms
from tongbao.routing.policy.ranking import Prospect
from tongbao.routing.policy.reckoning import Reckoned, reckon
from tongbao.routing.policy.traffic import Known
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import Cap, Commitment, Cost, RoutingSpec, Strategy
from tongbao.routing.schema.volumes import Used, no_rates
from tongbao.routing.service.compiling import compile_spec

NAMES = ("adyen", "bocom", "cybs", "dlocal", "ebanx")
RULES = (
    "",
    "far: when amount > 100 CNY then avoid adyen",
    "near: when method == 'card' then only bocom, cybs",
    "first: when method == 'card' then prefer dlocal, bocom",
    "parts: when method == 'card' then split adyen 70, bocom 30",
    "none: when method == 'card' then avoid adyen, bocom, cybs, dlocal, ebanx",
    "gone: when method == 'card' then only zzz\nparts: when method == 'card' then split cybs 50, ebanx 50",
)
CHANNELS = (*NAMES, "zzz")


def payment(**fields: Any) -> Payment:
    """A card payment of 50.00 CNY; any field may be another."""
    values: dict[str, Any] = {
        "book_id": 7,
        "live": True,
        "subject_id": UUID(int=77),
        "amount_minor": 5_000,
        "currency": "CNY",
        "method": "card",
        "issuer": "411111",
    }
    return Payment(**(values | fields))


def known(*states: int, **columns: Any) -> Known:
    """Channels in these breaker states, alike in everything else; columns may be given."""
    count = len(states)
    share = [0.05 if state == HALF_OPEN else 0.0 for state in states]
    waits = {CLOSED: -np.inf, HALF_OPEN: 3.0, OPEN: -7.0}
    return Known(
        NAMES[:count],
        columns.get("mean", [0.9] * count),
        columns.get("sd", [0.02] * count),
        list(states),
        columns.get("probe_share", share),
        columns.get("waiting_s", [waits[state] - place / 10 for place, state in enumerate(states)]),
        columns.get("rate", [0.0] * count),
        columns.get("overdue", [0] * count),
    )


def prospect_of(state: Known) -> Prospect:
    """The same as arrays (1, k)."""
    columns = (state.chance, state.chance_sd, state.state, state.probe_share, state.waiting_s)
    return Prospect(*(np.array([each]) for each in columns))


def terms(**used: Used) -> Terms:
    """What went over channels so far; no rates, the month half gone."""
    return Terms(used=lambda name: used.get(name, Used()), convert=no_rates, month_left_share=0.5)


def reckoned(
    spec: RoutingSpec, state: Known, *, asked: Payment | None = None, **used: Used
) -> Reckoned | None:
    """What a policy makes of a state."""
    book = compile_spec(msgspec.to_builtins(spec), CHANNELS).book
    return reckon(book, asked or payment(), state, terms(**used), BoardTuning())


@st.composite
def states(draw: st.DrawFn, count: int | None = None) -> Known:
    """What may be known of so many channels, 1 to 5 where it is not said."""
    count = count or draw(st.integers(1, len(NAMES)))

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=count, max_size=count))

    each_state = draw(
        st.lists(st.sampled_from((CLOSED, CLOSED, HALF_OPEN, OPEN)), min_size=count, max_size=count)
    )
    probes = column(st.floats(0.0, 0.3))
    return known(
        *each_state,
        mean=column(st.floats(0.0, 1.0)),
        sd=column(st.floats(0.0, 0.4)),
        rate=column(st.floats(0.0, 1.0)),
        overdue=column(st.sampled_from((0, 0, 0, 1, 5))),
        probe_share=[share if at == HALF_OPEN else 0.0 for share, at in zip(probes, each_state, strict=True)],
    )


@st.composite
def specs(draw: st.DrawFn) -> RoutingSpec:
    """A policy: any strategy, a rule, caps, costs, commitments, upstreams, floor."""
    names = st.sampled_from(NAMES)
    few = st.lists(names, unique=True, max_size=3)
    costs = {
        name: Cost(currency="CNY", bps=draw(st.integers(0, 400)), fixed_minor=draw(st.integers(0, 200)))
        for name in draw(few)
    }
    return RoutingSpec(
        strategy=draw(st.sampled_from(Strategy)),
        order=tuple(draw(few)),
        weights={name: draw(st.integers(0, 9)) for name in draw(few)} | {draw(names): 1},
        costs=costs,
        caps={
            name: Cap(currency="CNY", amount_minor_max=draw(st.sampled_from((100, 9_000))))
            for name in draw(few)
        },
        commitments={
            name: Commitment(volume_minor=10_000_000, currency="CNY", shortfall_bps=50)
            for name in draw(st.lists(names, max_size=1))
        },
        upstreams={"up": tuple(draw(few))},
        rules=draw(st.sampled_from(RULES)),
        margin_bps=draw(st.sampled_from((0, 250, 10_000))),
        retry_cost_minor=draw(st.sampled_from((0, 50))),
        explore_floor=draw(st.sampled_from((0.0, 0.002, 0.015))),
    )
