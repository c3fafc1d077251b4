"""Trying: what would be chosen for a payment now, and why, without a payment."""

from tongbao.routing.service.router import Asked, Routed, Router


class Trying:
    """Asks the router of this process and leaves no trace in it."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def try_out(self, asked: Asked) -> Routed:
        """Return the route that a payment would get, with the decision that would be written; raise NoChannel.

        Nothing is written. The call that the router counts as under way ends at once, and an end without an approval
        counts for no volume.
        """
        routed = self._router.choose(asked)
        self._router.ended(routed.decision.id, approved=False)
        return routed
