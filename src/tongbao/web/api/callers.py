"""The two sides of routes that merchants and the house both have: whose things they show, and who acts.

A merchant's routes stand below ``/v2`` and see its own book, in the mode of its key. The house's stand below
``/v2/operations``, see all books, and take the mode from the header ``Tongbao-Mode`` (``test`` where it is left out).
"""

from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request

from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import OperatorPermission, OperatorScope, Permission, Scope
from tongbao.web.api.access import MODE_HEADER, MODES, Gate

HOUSE = 0
"""Stands for the book where the house itself asks."""
OPERATIONS = "/operations"


class Caller(NamedTuple):
    """Who asks: for a merchant with its ``scope``, or for the house without one."""

    live: bool
    actor: str
    scope: Scope | None = None

    @property
    def book_id(self) -> int | None:
        """The book that may be seen; None: all."""
        return None if self.scope is None else self.scope.book_id

    @property
    def book(self) -> int:
        """The book under which what is asked is kept."""
        return HOUSE if self.scope is None else self.scope.book_id


def of_merchant(gate: Gate, permission: Permission) -> Any:
    """Return the dependency that lets in who may do ``permission`` for a merchant, and says who that is."""

    async def caller(scope: Annotated[Scope, Depends(gate.scope(permission))]) -> Caller:
        return Caller(scope.live, scope.actor, scope)

    return Depends(caller)


def of_house(gate: Gate, permission: OperatorPermission) -> Any:
    """Return the dependency that lets in who may do ``permission`` for the house.

    Raises InvalidRequest ``mode_invalid``.
    """

    async def caller(
        request: Request, operator: Annotated[OperatorScope, Depends(gate.operator(permission))]
    ) -> Caller:
        mode = request.headers.get(MODE_HEADER, "test")
        if mode not in MODES:
            raise InvalidRequest("mode_invalid", "Tongbao-Mode is live or test")
        return Caller(MODES[mode], operator.actor)

    return Depends(caller)
