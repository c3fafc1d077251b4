"""What a line of a case's audit trail holds: the fields that an act changed, as they were and as they are. Pure."""

from typing import Any

import msgspec

from tongbao.risk.schema.cases import CaseAct, CaseEvent, CaseFile

_KEPT_OUT = frozenset({"id", "version", "updated_at"})
"""The line itself says these."""


def line_of(before: CaseFile | None, after: CaseFile, act: CaseAct, actor: str, note: str = "") -> CaseEvent:
    """Return the line of the act that made ``after`` of ``before``, None for a case that is new."""
    earlier, later = _plain(before), _plain(after)
    changed = {name for name in earlier.keys() | later.keys() if earlier.get(name) != later.get(name)}
    return CaseEvent(
        case_id=after.id,
        version=after.version,
        at=after.updated_at,
        actor=actor,
        act=act,
        note=note,
        before={name: earlier[name] for name in sorted(changed & earlier.keys())},
        after={name: later[name] for name in sorted(changed & later.keys())},
    )


def _plain(case: CaseFile | None) -> dict[str, Any]:
    if case is None:
        return {}
    plain: dict[str, Any] = msgspec.to_builtins(case)
    return {name: value for name, value in plain.items() if name not in _KEPT_OUT}
