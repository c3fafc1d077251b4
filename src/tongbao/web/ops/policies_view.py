"""What the page of policies shows: who decides now, the versions with what their replays said, and who did what."""

from collections import deque
from typing import NamedTuple

from tongbao.core.errors import NotFound
from tongbao.decisions.schema.evaluation import Report
from tongbao.decisions.schema.policies import PolicyChange, PolicyVersion, Rollout
from tongbao.decisions.service.policies import Policies
from tongbao.decisions.service.policy_reading import PAGE_MAX
from tongbao.routing.service.compiling import POLICY

POLICIES_SHOWN = 50
VERSIONS_SHOWN = 20
REPLAYS_SHOWN = 3
CHANGES_SHOWN = 40
CHANGE_PAGES_MAX = 100


class VersionRow(NamedTuple):
    """A version, what it is in the roll-out (``champion``, ``challenger``, ``shadow`` or empty), its latest replay."""

    version: PolicyVersion
    role: str
    report: Report | None


class PoliciesView(NamedTuple):
    """The policies in force, and one of them in full; ``changes`` newest first."""

    in_force: tuple[Rollout, ...]
    more: int
    name: str
    rollout: Rollout | None
    versions: tuple[VersionRow, ...]
    reports: tuple[Report, ...]
    changes: tuple[PolicyChange, ...]


async def view(policies: Policies, name: str) -> PoliciesView:
    """Return the page of a policy; raise NotFound ``policy_not_found`` for one that was never written.

    The house's own policy for routing is shown even then: it is where everybody looks first.
    """
    in_force = await policies.in_force()
    versions = await policies.versions(name, limit=VERSIONS_SHOWN)
    if not versions and name != POLICY:
        raise NotFound("policy_not_found", "there is no such policy")
    rollout = next((each for each in in_force if each.policy == name), None)
    rows = []
    for each in versions:
        replays = () if each.replay_id is None else await policies.replays(name, each.version, limit=1)
        rows.append(VersionRow(each, _role(rollout, each.version), replays[0] if replays else None))
    reports = tuple(row.report for row in rows if row.report is not None)[:REPLAYS_SHOWN]
    return PoliciesView(
        in_force[:POLICIES_SHOWN],
        max(0, len(in_force) - POLICIES_SHOWN),
        name,
        rollout,
        tuple(rows),
        reports,
        await _newest_changes(policies, name),
    )


async def _newest_changes(policies: Policies, name: str) -> tuple[PolicyChange, ...]:
    """Return the end of the audit trail, newest first."""
    newest: deque[PolicyChange] = deque(maxlen=CHANGES_SHOWN)
    after = 0
    for _ in range(CHANGE_PAGES_MAX):
        page = await policies.changes(name, after)
        newest.extend(page)
        if len(page) < PAGE_MAX:
            break
        after = page[-1].change_no
    return tuple(reversed(newest))


def _role(rollout: Rollout | None, version: int) -> str:
    if rollout is None:
        return ""
    roles = {rollout.champion: "champion", rollout.challenger: "challenger", rollout.shadow: "shadow"}
    return roles.get(version, "")
