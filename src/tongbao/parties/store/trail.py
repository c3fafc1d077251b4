"""The SQL of this room's trail: what the house did to merchants, to its own people, and when those signed in. Reads only."""

from uuid import UUID

from tongbao.core.db import Connection
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.core.trails import Line, Wanted
from tongbao.parties.schema import PERSON_PREFIX

_PERSON = "person:"
_TRAIL = """
SELECT l.at, l.key, 'parties' AS room, l.act, l.actor, l.subject, l.note, l.person_id FROM (
    SELECT e.occurred_at AS at, 'parties:' || e.event_id::text AS key, e.act, e.actor,
        e.merchant_id::text AS subject, e.reason AS note, NULL::uuid AS person_id
    FROM parties.merchant_event AS e
    UNION ALL
    SELECT r.granted_at, 'parties:role:' || r.person_id::text || ':' || r.role, 'role_given', r.granted_by,
        '', r.role, r.person_id
    FROM parties.operator_role AS r
    UNION ALL
    SELECT k.made_at, 'parties:link:' || k.person_id::text, 'link_made', k.made_by, '', '', k.person_id
    FROM parties.reset_link AS k
) AS l
WHERE ($1::timestamptz IS NULL OR (l.at, l.key COLLATE "C") < ($1, $2::text COLLATE "C"))
    AND ($3::text IS NULL OR l.actor = $3)
    AND ($4::timestamptz IS NULL OR l.at >= $4) AND ($5::timestamptz IS NULL OR l.at < $5)
ORDER BY l.at DESC, l.key COLLATE "C" DESC LIMIT $6
"""
_SIGN_INS = """
SELECT l.at, l.key, l.actor AS person_id, l.address FROM (
    SELECT s.created_at AS at, 'parties:session:' || s.session_id::text AS key, s.person_id AS actor, s.address
    FROM parties.session AS s
    WHERE s.person_id IN (SELECT r.person_id FROM parties.operator_role AS r)
) AS l
WHERE ($1::timestamptz IS NULL OR (l.at, l.key COLLATE "C") < ($1, $2::text COLLATE "C"))
    AND ($3::uuid IS NULL OR l.actor = $3)
    AND ($4::timestamptz IS NULL OR l.at >= $4) AND ($5::timestamptz IS NULL OR l.at < $5)
ORDER BY l.at DESC, l.key COLLATE "C" DESC LIMIT $6
"""


async def trail(connection: Connection, wanted: Wanted) -> list[Line]:
    """Return what was done, newest first, one more than is wanted where there are more.

    What was done to one of the house's people has them for its subject, named as actors are.
    """
    found = []
    for row in await connection.fetch(_TRAIL, *wanted.arguments):
        *parts, person_id = row
        line = Line(*parts)
        found.append(line if person_id is None else line._replace(subject=_actor(person_id)))
    return found


async def sign_ins(connection: Connection, wanted: Wanted) -> list[Line]:
    """Return when people of the house signed in and from where, newest first, one more than is wanted as well."""
    before, key, actor, *rest = wanted.arguments
    person_id = _person(actor)
    if actor is not None and person_id is None:
        return []
    rows = await connection.fetch(_SIGN_INS, before, key, person_id, *rest)
    return [
        Line(at, name, "parties", "signed_in", _actor(person), _actor(person), address)
        for at, name, person, address in rows
    ]


def _actor(person_id: UUID) -> str:
    return f"{_PERSON}{uuid_text(PERSON_PREFIX, person_id)}"


def _person(actor: str | None) -> UUID | None:
    """Return whose acts are wanted; None for everybody, and for an actor that is no person."""
    if actor is None or not actor.startswith(_PERSON):
        return None
    try:
        return parse_uuid(PERSON_PREFIX, actor.removeprefix(_PERSON))
    except ValueError:
        return None
