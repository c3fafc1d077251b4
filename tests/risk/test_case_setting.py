"""Settings of cases over a real database: versions, four eyes, and that they count from their commit on."""

from datetime import timedelta

import pytest
from tests.risk.case_house import House

from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.case_settings import differences, needs_second
from tongbao.risk.schema.case_settings import SettingState
from tongbao.risk.schema.cases import CaseSpec, Severity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.case_setting import CaseSettingDesk


@pytest.fixture
def house(database: Database, ids: IdFactory) -> House:
    return House(database, ids)


@pytest.fixture
async def desk(house: House) -> CaseSettingDesk:
    async with house.database.transaction() as connection:
        await connection.execute("DELETE FROM risk.case_setting")
    return CaseSettingDesk(house.database, house.clock)


async def test_version_counts_from_its_commit_on(house: House, desk: CaseSettingDesk) -> None:
    assert (await desk.now()).version == 0
    (before,) = await house.rang(house.known(card="card_before"))
    made = await desk.change({"sla_h": {"medium": 2.0}}, 0, "faster", "mei")
    assert (made.version, made.state) == (1, SettingState.IN_FORCE)
    files = await house.rang(house.known(card="card_after"))
    after = files[-1]
    assert before.severity is after.severity is Severity.MEDIUM
    assert before.due_at - before.opened_at == timedelta(hours=24)
    assert after.due_at - after.opened_at == timedelta(hours=2)
    await desk.change({"declined_value_min": 10**9, "sla_h": {"medium": 2.0}}, 1, "only dear ones", "mei")
    assert len(await house.rang(house.known(card="card_x", tier=Tier.DECLINE))) == len(files)


async def test_what_lets_one_person_release_more_waits_for_a_second(desk: CaseSettingDesk) -> None:
    asked = await desk.change({"release_alone_max": 200_000}, 0, "more", "mei")
    assert asked.state is SettingState.WAITING
    standing = await desk.now()
    assert (standing.version, standing.spec, standing.waiting) == (0, CaseSpec(), asked)
    with pytest.raises(Conflict, match="case_settings_waiting"):
        await desk.change({"fresh_h": 2.0}, 1, "meanwhile", "li")
    with pytest.raises(NotPermitted, match="case_same_person"):
        await desk.approve(1, "mei")
    agreed = await desk.approve(1, "li")
    assert (agreed.state, agreed.decided_by) == (SettingState.IN_FORCE, "li")
    assert (await desk.now()).spec.release_alone_max == 200_000
    with pytest.raises(Conflict, match="case_settings_not_waiting"):
        await desk.refuse(1, "li")


async def test_refused_version_never_counts_and_stays_on_record(desk: CaseSettingDesk) -> None:
    await desk.change({"fresh_h": 5.0}, 0, "first", "mei")
    await desk.change({"fresh_h": 5.0, "worth": {"JPY": 0.1}}, 1, "yen", "mei")
    await desk.refuse(2, "mei")
    standing = await desk.now()
    assert (standing.version, standing.latest, standing.spec.fresh_h) == (1, 2, 5.0)
    assert [each.state for each in await desk.history()] == [SettingState.REFUSED, SettingState.IN_FORCE]
    assert await desk.history(before=2, limit=1) == [standing.standing]
    await desk.change({"fresh_h": 6.0}, 2, "third", "li")
    assert (await desk.now()).version == 3


async def test_change_on_an_older_version_or_of_nothing_is_refused(desk: CaseSettingDesk) -> None:
    await desk.change({"fresh_h": 5.0}, 0, "first", "mei")
    with pytest.raises(Conflict, match="case_settings_changed"):
        await desk.change({"fresh_h": 6.0}, 0, "late", "li")
    with pytest.raises(Conflict, match="case_settings_same"):
        await desk.change({"fresh_h": 5.0}, 1, "same", "li")


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"fresh_h": 0}, "why"),
        ({"sla_h": {"soon": 1.0}}, "why"),
        ({"unknown": 1}, "why"),
        ({"rules": ["a", "a"]}, "why"),
        ({"rules": ["a\nb"]}, "why"),
        ({"worth": {"yen": 1.0}}, "why"),
        ({"release_alone_max": -1}, "why"),
        ({"fresh_h": 1.0}, ""),
        ({"fresh_h": 1.0}, "x" * 401),
    ],
)
async def test_settings_that_make_no_sense_are_refused(
    desk: CaseSettingDesk, given: dict[str, object], note: str
) -> None:
    with pytest.raises(InvalidRequest, match="case_settings_invalid"):
        await desk.change(given, 0, note, "mei")
    assert (await desk.now()).latest == 0


def test_only_more_to_release_alone_needs_a_second() -> None:
    usual = CaseSpec(release_alone_max=100)
    assert not needs_second(usual, CaseSpec(release_alone_max=50))
    assert not needs_second(usual, CaseSpec(release_alone_max=100, fresh_h=1.0))
    assert needs_second(usual, CaseSpec(release_alone_max=101))
    assert needs_second(usual, CaseSpec(release_alone_max=100, worth={"JPY": 0.1}))


def test_differences_are_told_in_both_languages() -> None:
    before, after = CaseSpec(), CaseSpec(is_across_books=True, sla_h={Severity.HIGH: 2.0}, rules=("a", "b"))
    for language, yes in (("en", "yes"), ("zh", "是")):
        told = {each.field: each.after for each in differences(before, after, language)}
        assert set(told) == {"is_across_books", "sla_h", "rules"}
        assert told["is_across_books"] == yes
        assert " 2" in told["sla_h"]
        assert told["rules"] == "a, b"
