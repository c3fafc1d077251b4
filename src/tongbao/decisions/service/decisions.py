"""Decisions as one object: what a process wires once and hands to every room that decides."""

import secrets
from collections.abc import Callable, Collection, Mapping

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.experiments import Experiments
from tongbao.decisions.service.guarding import Guarding, LoggedArms
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies, Validator

SALT_BYTES = 12


def random_salt() -> str:
    """Return what nobody can foresee, in letters and digits."""
    return secrets.token_hex(SALT_BYTES)


class Decisions:
    """All use cases over one database. ``validators`` say by policy what a specification must satisfy.

    ``new_salt`` says who is in which arm; a seeded one makes equal runs equal. ``choices``: see ``Policies``.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        validators: Mapping[str, Validator],
        *,
        new_salt: Callable[[], str] = random_salt,
        choices: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.log = DecisionLog(database, clock)
        self.policies = Policies(
            database, clock, ids, validators=validators, new_salt=new_salt, choices=choices
        )
        self.experiments = Experiments(database, clock, new_salt)
        self.guarding = Guarding(self.policies, LoggedArms(database, clock), clock)
