"""What decisions tells upper rooms."""

from tongbao.core.events.facts import Fact
from tongbao.decisions.schema.policies import Action


class PolicyChanged(Fact, frozen=True, kw_only=True, tag="decisions.policy_changed"):
    """Fact: somebody, or a guardrail, did something to a policy; ``change_no`` is its line in the audit trail.

    ``epoch`` is the roll-out that came into force with it, None where the act changed none.
    """

    policy: str
    change_no: int
    actor: str
    action: Action
    version: int | None = None
    epoch: int | None = None

    @property
    def subject(self) -> str:
        """Return the name of the policy."""
        return self.policy
