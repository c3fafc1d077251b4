"""Decisions as one object: what a process wires once and hands to every room that decides."""

import secrets
from collections.abc import Mapping

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.experiments import Experiments
from tongbao.decisions.service.guarding import Guarding, LoggedArms
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies, Validator

SALT_BYTES = 12


class Decisions:
    """All use cases over one database. ``validators`` say by policy what a specification must satisfy."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, validators: Mapping[str, Validator]
    ) -> None:
        self.log = DecisionLog(database, clock)
        self.policies = Policies(database, clock, ids, validators=validators, new_salt=_salt)
        self.experiments = Experiments(database, clock, _salt)
        self.guarding = Guarding(self.policies, LoggedArms(database, clock), clock)


def _salt() -> str:
    return secrets.token_hex(SALT_BYTES)
