"""Hindsight as one object: everything that reads what risk control did, beside ``service.risk``, which does it."""

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies
from tongbao.risk.service.backtesting import Backtesting
from tongbao.risk.service.case_setting import CaseSettingDesk
from tongbao.risk.service.fairness import FairnessReading
from tongbao.risk.service.freezing_own import FreezingOwn
from tongbao.risk.service.live_card import LiveCards
from tongbao.risk.service.looking import Looking
from tongbao.risk.service.pricing_capacity import CapacityPricing
from tongbao.risk.service.recalling import Recalling
from tongbao.risk.service.replaying import Replaying
from tongbao.risk.service.revisiting import Revisiting
from tongbao.risk.service.risk import Risk


class Hindsight:
    """One per process; holds nothing open."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        decisions: tuple[DecisionLog, Policies],
        risk: Risk,
    ) -> None:
        log, policies = decisions
        revisiting = Revisiting(database, log)
        self.looking = Looking(database, log)
        self.backtesting = Backtesting(revisiting, policies, risk.lists)
        self.replaying = Replaying(revisiting, policies, risk.shelf, risk.lists, clock, ids)
        self.pricing = CapacityPricing(revisiting, policies, risk.shelf, risk.lists)
        self.recalling = Recalling(database, log, revisiting, risk.shelf)
        self.case_settings = CaseSettingDesk(database, clock)
        self.fairness = FairnessReading(database, clock)
        self.cards = LiveCards(risk.shelf, policies, risk.watching, self.fairness)
        self.freezing_own = FreezingOwn(database, risk.freezing)
