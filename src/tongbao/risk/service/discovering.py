"""Discovering: what the journal teaches without being asked, and which payments people should label.

Once a week the journal is folded, the detectors of unusual payments are fitted on good traffic, rules that fraud seems to
follow are mined, kinds of customers are told apart, and the payments that nobody has said anything of are ranked. One
discovery holds all of it. Nothing here decides: a mined rule is a draft that an analyst may paste, back-test and publish, and
a label comes back through ``Assessing.label``.
"""

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, InvariantBroken, NotFound
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.policy_reading import PolicyReading
from tongbao.risk.models.artifact import ModelScorer
from tongbao.risk.models.registry import LABEL_DELAY_S, NAMES
from tongbao.risk.schema.discoveries import Discovery, Findings, QueuedPayment
from tongbao.risk.service import discovery_detectors, discovery_findings, discovery_queue
from tongbao.risk.service.compiling import DEFAULT, POLICY, Compiled, compile_spec
from tongbao.risk.service.discovery_detectors import Detectors
from tongbao.risk.service.discovery_queue import QUEUE_MAX, Judging, Ranked
from tongbao.risk.service.discovery_reading import FRAUD, Look, Seen, read
from tongbao.risk.service.examples import Told
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.store import discoveries as store
from tongbao.risk.store.discoveries import DiscoveryRow

DAYS = 56
DAYS_MAX = 365
QUEUE_DAYS = LABEL_DELAY_S // 86_400
EVERY = timedelta(days=7)
KEPT = 8
SEED = 20
TOO_FEW = ("discovery_payments_few", "anomaly_rows_invalid")
"""Codes of errors that say no more than that there is too little traffic, or that it is all the same."""


class _Made(NamedTuple):
    """What came of one look, before those that meanwhile got a label are taken out of the queue."""

    detectors: Detectors
    dumps: dict[str, bytes]
    ranked: Ranked
    findings: Findings


class Discovering:
    """Discovers for one house; one look at a time."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory, shelf: Shelf) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._shelf = shelf
        self._policies = PolicyReading(database)
        self._single = asyncio.Lock()
        self._tried_at: dict[bool, datetime] = {}

    async def run(
        self, *, live: bool = True, days: int = DAYS, told: Told = lambda _step, _count: None
    ) -> Discovery:
        """Look at ``days`` days of payments that are old enough for their labels, and at all younger ones; keep and return it.

        Raises InvalidRequest ``discovery_days_invalid``, and ``discovery_payments_few`` or ``anomaly_rows_invalid`` where
        there is too little traffic to say what is usual; NotFound ``model_unknown``.
        """
        _check_days(days)
        async with self._single:
            now = self._clock.now()
            matured_at = now - timedelta(seconds=LABEL_DELAY_S)
            look = Look(live, matured_at - timedelta(days=days), matured_at, now)
            seen = await read(self._database, look, told)
            told("discovering", len(seen.judged))
            judging = await self._judging()
            made = await asyncio.to_thread(_made, seen, look, judging)
            queue = await self._first(made.ranked, seen, made.detectors, QUEUE_MAX)
            return await self._keep(
                live, now, msgspec.structs.replace(made.findings, queue=queue), made.dumps
            )

    async def run_if_due(self, *, live: bool = True) -> Discovery | None:
        """Look where the newest discovery is a week old; None where it is not time, or there is too little traffic."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            row = await store.newest(connection, live)
        known = [at for at in (row and row.made_at, self._tried_at.get(live)) if at is not None]
        if known and now - max(known) < EVERY:
            return None
        self._tried_at[live] = now
        try:
            return await self.run(live=live)
        except InvalidRequest as error:
            if error.code not in TOO_FEW:
                raise
            return None

    async def newest(self, *, live: bool = True) -> Discovery | None:
        """Return the newest discovery, its queue without payments that got a label or a case since; None before the first.

        Raises InvariantBroken ``discovery_damaged`` where it is not what was kept.
        """
        async with self._database.connection() as connection:
            row = await store.newest(connection, live)
            if row is None:
                return None
            found = _discovery(row)
            still = await store.unlabelled(connection, [each.id for each in found.findings.queue])
        queue = tuple(each for each in found.findings.queue if each.id in still)
        return msgspec.structs.replace(found, findings=msgspec.structs.replace(found.findings, queue=queue))

    async def queue(
        self, *, live: bool = True, days: int = QUEUE_DAYS, count: int = QUEUE_MAX
    ) -> tuple[QueuedPayment, ...]:
        """Return the payments of the last ``days`` days that are worth a label now, by the detectors of the newest discovery.

        Folds the journal anew. Raises NotFound ``discovery_missing`` before the first discovery, InvalidRequest
        ``discovery_days_invalid``, ``discovery_count_invalid`` or, after an upgrade, ``risk_state_invalid``.
        """
        _check_days(days)
        if not 1 <= count <= QUEUE_MAX:
            raise InvalidRequest("discovery_count_invalid", f"{count} is not 1 to {QUEUE_MAX}")
        async with self._single:
            detectors = await self._detectors(live)
            now = self._clock.now()
            begin = now - timedelta(days=days)
            # Whatever nobody spoke of is wanted, however old.
            seen = await read(self._database, Look(live, begin, begin, now), lambda _step, _count: None)
            judging = await self._judging()
            ranked = await asyncio.to_thread(discovery_queue.ranked, seen, detectors, judging)
            return await self._first(ranked, seen, detectors, count)

    async def _first(
        self, ranked: Ranked, seen: Seen, detectors: Detectors, count: int
    ) -> tuple[QueuedPayment, ...]:
        async with self._database.connection() as connection:
            still = await store.unlabelled(connection, ranked.ids)
        return discovery_queue.first(ranked, seen, detectors, still, count)

    async def _detectors(self, live: bool) -> Detectors:
        async with self._database.connection() as connection:
            row = await store.newest(connection, live)
            payload = None if row is None else await store.detectors(connection, row.id)
        if row is None or payload is None:
            raise NotFound("discovery_missing", "nothing has been discovered yet")
        dumps = discovery_detectors.unpacked(payload, _discovery(row).findings.detectors)
        return await asyncio.to_thread(Detectors.load, dumps)

    async def _judging(self) -> Judging:
        """Return what decides for the house now; what it comes with where no policy is in force."""
        rollout = await self._policies.current(POLICY)
        compiled: Compiled = DEFAULT
        if rollout is not None:
            compiled = compile_spec((await self._policies.version(POLICY, rollout.champion)).spec)
        digest = compiled.spec.model
        scorer = ModelScorer(await self._shelf.load(digest), NAMES) if digest else self._shelf.built_in.scorer
        return Judging(scorer, compiled.terms, compiled.within)

    async def _keep(
        self, live: bool, now: datetime, findings: Findings, dumps: dict[str, bytes]
    ) -> Discovery:
        body = msgspec.json.encode(findings)
        row = DiscoveryRow(self._ids.uuid(), live, now, hashlib.sha256(body).hexdigest(), body)
        async with self._database.transaction() as connection:
            await store.save(connection, row, discovery_detectors.packed(dumps), KEPT)
        return Discovery(id=row.id, live=live, made_at=now, digest=row.digest, findings=findings)


def _made(seen: Seen, look: Look, judging: Judging) -> _Made:
    """Return everything that can be learned from what was seen; runs in a thread."""
    detectors = Detectors.fit(seen.x, seen.labels != FRAUD, SEED)
    kinds = discovery_findings.kinds(seen, SEED)
    dumps = detectors.dumps() | ({} if kinds.dump is None else {"clusters": kinds.dump})
    ranked = discovery_queue.ranked(seen, detectors, judging)
    findings = Findings(
        from_at=look.from_at,
        to_at=look.to_at,
        days=(look.matured_at - look.from_at).days,
        payment_count=int(seen.is_telling.sum()),
        fraud_count=int((seen.labels[seen.is_telling] == FRAUD).sum()),
        recent_count=int(seen.is_waiting.sum()),
        cut=ranked.cut,
        rules=discovery_findings.rules(seen),
        clusters=kinds.clusters,
        silhouette=kinds.silhouette,
        queue=(),
        detectors=discovery_detectors.digests(dumps),
    )
    return _Made(detectors, dumps, ranked, findings)


def _discovery(row: DiscoveryRow) -> Discovery:
    """Return a kept discovery; raise InvariantBroken ``discovery_damaged`` where it is not what was kept."""
    if hashlib.sha256(row.body).hexdigest() != row.digest:
        raise InvariantBroken("discovery_damaged", f"discovery {row.id} is not what was kept")
    findings = msgspec.json.decode(row.body, type=Findings)
    return Discovery(id=row.id, live=row.live, made_at=row.made_at, digest=row.digest, findings=findings)


def _check_days(days: int) -> None:
    if not 1 <= days <= DAYS_MAX:
        raise InvalidRequest("discovery_days_invalid", f"{days} days are not 1 to {DAYS_MAX}")
