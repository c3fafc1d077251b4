"""A house with weeks of risk control behind it, on a port: cases, labels, freezes, lists, versions, a model that is watched."""

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from playwright.async_api import Page
from tests.faces.merchant_place import HOSTILE, Shop, open_shop
from tests.risk.case_house import signals
from tests.web.risk_calls import rule
from tests.web.signed_in import ANALYST, signed_in
from tests.web.test_ops_risk_pages import model_facts
from tests.web.whole_house import Whole

from tongbao.core.db import Database
from tongbao.core.events.facts import Fact
from tongbao.core.events.outbox import Outbox
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.parties.schema import OperatorRole
from tongbao.risk.models import artifact
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.cases import CaseScope
from tongbao.risk.schema.facts import Assessed, Labelled, LabelSource
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEffect, ListKey, ListKind, NewEntry
from tongbao.risk.schema.models import Alarm, AlarmKind, DriftFacts, Severity, Shift, Standing
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.schema.watches import KeptAlarm, Watch
from tongbao.risk.service.case_reading import Wanted
from tongbao.risk.store import watches

RULES = (
    'burst of a card: when card_count_1h > 10 then step_up because "many payments of one card in an hour" owner mei\n'
    'new device: when pair_card_device == 0 and value > 300000 then review because "much on a new device" owner wei\n'
)
PAST = 60
PAST_DAYS = 12
REASONS = ("spree", "new_device", "amount_unusual", "geo_mismatch", "burst_card")


@dataclass
class House:
    """The house, its merchant, and what is named in it."""

    shop: Shop
    named: dict[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> Whole:
        """The application."""
        return self.shop.whole

    @property
    def base(self) -> str:
        """Where it answers."""
        return self.shop.base

    async def as_(self, page: Page, name: str, roles: tuple[OperatorRole, ...] = ANALYST) -> Page:
        """Sign the browser of a page in as somebody of the house."""
        found = await signed_in(self.whole, name, roles)
        await page.context.add_cookies([{"name": "session", "value": found.token, "url": self.base}])
        return page

    async def publish(self, *facts: Fact) -> None:
        """Let risk control hear of facts."""
        outbox = Outbox(self.whole.clock, self.whole.ids)
        async with self.whole.house.runtime.database.transaction() as connection:
            await outbox.publish(connection, facts)
        await self.whole.tally()

    def judged(self, tier: Tier, score: float, reasons: tuple[str, ...] = (), /, **own: Any) -> Assessed:
        """A payment that was judged now."""
        now = self.whole.clock.now()
        fresh = {"id": self.whole.ids.uuid(), "subject_id": self.whole.ids.uuid(), "at": now}
        seen = signals(1, **(fresh | own))
        return Assessed(occurred_at=now, signals=seen, tier=tier, score=score, reasons=reasons, rules=())

    @property
    def moment(self) -> timedelta:
        """A little time, in which something stands before something else happens."""
        return timedelta(seconds=2)

    def declined(self, card: str) -> Assessed:
        """A payment of a card that was declined now."""
        return self.judged(Tier.DECLINE, 0.9, ("listed_blocked",), card=card)

    async def case(self, card: str, **own: Any) -> str:
        """A case of a card with two held payments; returns its name."""
        held = [
            self.judged(Tier.REVIEW, 0.5 + at / 5, REASONS[:3], card=card, customer=f"payer_{card}", **own)
            for at in range(2)
        ]
        await self.publish(*held)
        found = await self.whole.house.risk.case_reading.page(Wanted(CaseScope(live=True)))
        return next(each.name for each in found if each.key == card)


@contextlib.asynccontextmanager
async def open_house(database: Database, dsn: str, home: Path) -> AsyncIterator[House]:
    """Open everything; ends with it."""
    async with open_shop(database, dsn, home, full=False) as shop:
        house = House(shop)
        await _past(house)
        await _model(house)
        await _present(house)
        yield house


async def _past(house: House) -> None:
    """Payments whose truth came: what scored high was fraud more often."""
    chance = random.Random(7)
    facts = []
    for number in range(PAST):
        score = chance.random() ** 3
        is_fraud = chance.random() < score
        facts.append(
            house.judged(Tier.STEP_UP if score > 0.3 else Tier.FRICTIONLESS, score, card=f"past_{number}")
        )
        house.named[f"past {number}"] = "fraud" if is_fraud else ""
    await house.publish(*facts)
    now = house.whole.clock.now()
    labels = [
        Labelled(
            occurred_at=now,
            signals_id=each.signals.id,
            book_id=each.signals.book_id,
            live=True,
            subject_id=each.signals.subject_id,
            is_fraud=True,
            source=LabelSource.DISPUTE,
        )
        for number, each in enumerate(facts)
        if house.named.pop(f"past {number}")
    ]
    await house.publish(*labels)
    house.whole.clock.advance(timedelta(days=PAST_DAYS))


async def _model(house: House) -> None:
    """A model in force with a look at it, and a version that waits."""
    risk, policies, clock = house.whole.house.risk, house.whole.house.decisions.policies, house.whole.clock
    card = {"facts": msgspec.to_builtins(model_facts())}
    digest = await risk.shelf.keep(artifact.by_judgement(NAMES), "training", card)
    mei = (await signed_in(house.whole, "Mei")).actor
    made = await policies.draft("risk", {"model": digest, "rules": RULES}, "Caps of cards and devices", mei)
    await policies.publish("risk", made.version, mei)
    await policies.roll_out("risk", RolloutOrder(champion=made.version, note="first"), mei)
    changed = RULES.replace("> 10", "> 6")
    draft = await policies.draft("risk", {"model": digest, "rules": changed}, "Tighter bursts", mei)
    house.named |= {"model": digest, "version": str(draft.version), "standing": str(made.version)}
    now = clock.now()
    shifts = [
        ("card_ratio", 0.31),
        ("device_count_1h", 0.12),
        ("address_cards_1d", 0.07),
        ("card_history", 0.02),
    ]
    facts = DriftFacts(
        model=digest,
        at=now,
        features=tuple(Shift(name=name, psi=psi, noise=0.01, count=900) for name, psi in shifts),
    )
    alarm = Alarm(
        kind=AlarmKind.FEATURE_DRIFT,
        severity=Severity.WARNING,
        value=0.31,
        high=0.2,
        subject="card_ratio",
        count=900,
    )
    kept = KeptAlarm(alarm=alarm, since=now, last_at=now, worst=alarm.severity)
    watch = Watch(facts=facts, alarms=(kept,), past=(), standing=Standing.KEEP, feature_count=4)
    async with house.whole.house.runtime.database.transaction() as connection:
        await watches.save(connection, True, watch)


async def _present(house: House) -> None:
    """What stands on the desks today."""
    whole, shop, named = house.whole, house.shop, house.named
    risk = whole.house.risk
    await house.publish(
        *(house.judged(Tier.FRICTIONLESS, 0.004, ("low_risk",), card=f"good_{at}") for at in range(40)),
        *(house.judged(Tier.STEP_UP, 0.06, ("new_device",), card=f"asked_{at}") for at in range(5)),
        house.judged(Tier.DECLINE, 0.95, ("card_testing", "burst_address"), card="tested", value=2_500),
    )
    named["case"] = await house.case("card_7f3a91", device="device_shared", value=184_900)
    named["other"] = await house.case("card_c04d22", device="device_shared", value=52_000)
    named["hostile"] = await house.case(HOSTILE[:60], value=9_900)
    mei, wei = await signed_in(whole, "Mei"), await signed_in(whole, "Wei")
    await risk.freezing.freeze(
        FreezeOrder(live=True, entity=Entity.DEVICE, key="device_lost", reason="Stolen, told by its owner"),
        wei.actor,
    )
    asked = await risk.freezing.freeze(
        FreezeOrder(live=True, entity=Entity.CARD, key="card_9911", reason="A spree on Sunday"), mei.actor
    )
    await risk.freezing.request_release(asked.id, wei.actor, "The owner showed papers")
    key = ListKey(HOUSE_BOOK_ID, True, "stolen cards")
    await risk.lists.declare(key, ListEffect.BLOCK, "Told by issuers", mei.actor)
    entry = NewEntry(kind=ListKind.CARD, value="card_5150", reason="Reported stolen")
    await risk.lists.add(key, [entry], mei.actor)
    await rule(
        whole, shop.tenant, 'large: when amount > 500 CNY then review because "large sums" owner mei\n'
    )
    paid = await shop.pay("disputed", 34_500)
    named["dispute"] = await shop.dispute(paid, "10.4", days=1)
    await shop.pay("held", 128_000)
    await whole.tally()
    held = await risk.case_reading.page(Wanted(CaseScope(live=False)))
    named["held case"] = held[0].name if held else named["case"]
