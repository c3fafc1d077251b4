"""What the journal teaches without being asked: mined rules in the language of rules, and kinds of customers."""

import hashlib
import math
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import associations
from tongbao.risk.models.associations import Limits, MinedRule, Payments
from tongbao.risk.models.base import Floats
from tongbao.risk.models.clusters import Clusters
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import rules_text
from tongbao.risk.policy.rules import Rules
from tongbao.risk.schema.discoveries import FoundCluster, FoundRule
from tongbao.risk.schema.models import Interval
from tongbao.risk.service import discovery_words
from tongbao.risk.service.discovery_reading import FRAUD, Flags, Seen

LIMITS = Limits(rules_max=20)
OWNER = "discovery"
"""Whom a mined rule belongs to until an analyst takes it over."""
FEATURES_MINED = 20
"""The search takes time with their number, and most of them say the same as another."""
CUSTOMERS_MIN = 100
"""Customers without which there are no kinds of them."""
PROFILE = (
    *("customer_mean_30d", "customer_count_30d", "customer_age_d", "customer_gap_s"),
    *("customer_merchants_1d", "customer_devices_30d", "customer_cards_30d", "customer_decline_share_7d"),
)
"""What tells how a customer behaves, as of its last payment."""
_PROFILE = np.array([NAMES.index(name) for name in PROFILE], dtype=np.intp)
_HOUR = NAMES.index(discovery_words.HOUR)
_DIGITS = 8

_log = structlog.get_logger(__name__)


class Kinds(NamedTuple):
    """Kinds of customers with what was fitted; nothing where customers are too few or all alike."""

    clusters: tuple[FoundCluster, ...] = ()
    silhouette: float | None = None
    dump: bytes | None = None


def rules(seen: Seen) -> tuple[FoundRule, ...]:
    """Return the rules that fraud seems to follow, the most surely lifting first.

    They are mined on the payments that tell whether they were fraud; each is read back by the language before it is told.
    """
    places = np.flatnonzero(seen.is_telling)
    rows, is_fraud = seen.x[places], seen.labels[places] == FRAUD
    # Of the hour rules read the signal, which goes before the feature, and it is whole.
    rows[:, _HOUR] = np.floor(rows[:, _HOUR])
    columns = _telling_columns(rows, is_fraud)
    payments = Payments(
        names=tuple(NAMES[column] for column in columns),
        rows=rows[:, columns],
        is_fraud=is_fraud,
        codes=seen.codes(places),
    )
    found = []
    for each in associations.mine(payments, LIMITS):
        try:
            found.append(_rule(each))
        except InvalidRequest as error:
            _log.error("risk_mined_rule_unreadable", rule=each.text, detail=error.detail)
    return tuple(found)


def kinds(seen: Seen, seed: int) -> Kinds:
    """Return the kinds of customers that pay; payments known to be fraud are left out of what they are like."""
    customers, last = _customers(seen)
    if len(last) < CUSTOMERS_MIN:
        return Kinds()
    profiles = seen.x[last][:, _PROFILE]
    try:
        fitted = Clusters.fit(PROFILE, profiles, seed)
    except InvalidRequest as error:
        if error.code != "anomaly_rows_invalid":
            raise
        return Kinds()
    own, _ = fitted.nearest(profiles)
    telling = seen.is_telling & (customers >= 0)
    kind_of_payment = np.where(telling, own[customers], -1)
    found = []
    for number, cluster in enumerate(fitted.clusters):
        labels = seen.labels[kind_of_payment == number]
        found.append(
            FoundCluster(
                share=cluster.share,
                customer_count=int(np.count_nonzero(own == number)),
                payment_count=len(labels),
                fraud_share=_share(labels),
                en=discovery_words.cluster_text(cluster, "en"),
                zh=discovery_words.cluster_text(cluster, "zh"),
            )
        )
    return Kinds(tuple(found), fitted.silhouette, fitted.dump())


def _telling_columns(rows: Floats, is_fraud: Flags) -> list[int]:
    """Return the features that alone tell most of fraud, in their order; of equal columns the first.

    Measured on the older payments only, as those that rules are judged on must stay unseen.
    """
    older = len(rows) - round(len(rows) * associations.HELD_OUT_SHARE)
    worths: dict[int, float] = {}
    met: set[bytes] = set()
    for column in range(rows.shape[1]):
        values = np.ascontiguousarray(rows[:older, column])
        name = hashlib.sha256(values.tobytes()).digest()
        if name not in met:
            worths[column] = _worth(values, is_fraud[:older])
        met.add(name)
    return sorted(sorted(worths, key=lambda each: (-worths[each], each))[:FEATURES_MINED])


def _worth(values: Floats, is_fraud: Flags) -> float:
    """Return what the best single condition over a feature is worth, as the search for rules weighs it."""
    known = values[np.isfinite(values)]
    edges = (
        np.unique(np.quantile(known, associations.QUANTILES, method="inverted_cdf")) if len(known) else known
    )
    best = 0.0
    for edge in edges.tolist():
        for mask in (values > edge, values <= edge):
            count, hits = int(np.count_nonzero(mask)), int(np.count_nonzero(mask & is_fraud))
            if hits > 0 and count < len(values):
                best = max(best, associations.wilson(hits, count).low * math.sqrt(hits))
    return best


def _rule(mined: MinedRule) -> FoundRule:
    """Return a mined rule as a draft; raises InvalidRequest ``rules_invalid`` where the language cannot read it."""
    name = f"mined {hashlib.sha256(mined.text.encode()).hexdigest()[:_DIGITS]}"
    figures = (
        f"support {mined.support:.3%}, precision {_range(mined.precision, '.1%')}, "
        f"lift {_range(mined.lift, '.1f')}, recall {mined.recall:.1%}"
    )
    because = f"{mined.fraud_count} of {mined.count} payments like it were fraud, {mined.lift.value:.1f} times the usual share"
    read = rules_text.parse(
        f'# {figures}\n{name}: when {mined.text} then review because "{because}" owner {OWNER} draft\n'
    )
    return FoundRule(
        name=name,
        text=rules_text.format_rules(Rules(read.rules)),
        when=read.rules[0].when.text,
        count=mined.count,
        fraud_count=mined.fraud_count,
        support=mined.support,
        precision=mined.precision,
        recall=mined.recall,
        lift=mined.lift,
        chance=mined.chance,
        en=discovery_words.rule_text(mined, "en"),
        zh=discovery_words.rule_text(mined, "zh"),
    )


def _customers(seen: Seen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a number for the customer of each payment, -1 where unknown, and the row of the last good payment of each.

    Numbers count the customers that have a good payment; those without one are unknown.
    """
    number_of: dict[str, int] = {}
    last: list[int] = []
    for row, judged in enumerate(seen.judged):
        customer = judged.signals.customer
        if not customer or seen.labels[row] == FRAUD:
            continue
        number = number_of.setdefault(customer, len(last))
        if number == len(last):
            last.append(row)
        last[number] = row
    numbers = [number_of.get(each.signals.customer, -1) for each in seen.judged]
    return np.array(numbers, dtype=np.int64), np.array(last, dtype=np.int64)


def _share(labels: NDArray[np.int64]) -> Interval | None:
    if not len(labels):
        return None
    return associations.wilson(int(np.count_nonzero(labels == FRAUD)), len(labels))


def _range(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"
