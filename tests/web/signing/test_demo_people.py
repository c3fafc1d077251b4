"""People of the demonstration: opened once, found again, passwords in a file that nobody else reads."""

import stat
from pathlib import Path

from tests.web.signing.conftest import Browser

from tongbao.parties.schema import OperatorRole
from tongbao.parties.service.demo import open_demo
from tongbao.web.demo_link import open_link
from tongbao.web.demo_people import PEOPLE_FILE, DemoPeople, merchant_of
from tongbao.web.signing.rooms import DemoLogIn


def of(log_ins: list[DemoLogIn], email: str) -> DemoLogIn:
    return next(each for each in log_ins if each.email == email)


async def test_demo_people_sign_in_with_what_is_told_and_keep_it(browser: Browser, tmp_path: Path) -> None:
    house = browser.whole.house
    await open_demo(house.parties)
    first = await DemoPeople(tmp_path).open(house)
    assert await DemoPeople(tmp_path).open(house) == first
    path = tmp_path / PEOPLE_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    owner = of(first, "owner@jade-spring.example")
    assert merchant_of(owner).startswith("acct_")
    answer = await browser.post("/sign-in", {"email": owner.email, "password": owner.password}, "/sign-in")
    assert answer.status_code == 303
    assert "Chen Mei" in await browser.get("/me")
    staff = await house.parties.people.staff(browser.whole.people.operator)
    roles = {each.person.email: each.roles for each in staff}
    assert roles["auditor@tongbao.example"] == (OperatorRole.AUDITOR,)
    assert owner.password not in repr(owner)
    # A second start ends nobody's session.
    await DemoPeople(tmp_path).open(house)
    await browser.get("/me")
    path.unlink()
    renewed = of(await DemoPeople(tmp_path).open(house), owner.email)
    assert renewed.password != owner.password
    assert (await browser.http.get("/me")).status_code == 303


async def test_demo_payer_signs_in_with_a_code(browser: Browser, tmp_path: Path) -> None:
    house = browser.whole.house
    await open_demo(house.parties)
    log_ins = await DemoPeople(tmp_path).open(house)
    payer = next(each for each in log_ins if each.face == "wallet")
    path, code = await browser.code_for(payer.email)
    assert (await browser.post(path, {"code": code}, path)).headers["location"] == "/wallet"


async def test_demo_link_is_made_once_and_can_be_paid(browser: Browser) -> None:
    house = browser.whole.house
    await open_demo(house.parties)
    link = await open_link(house)
    assert await open_link(house) == link
    followed = await browser.http.get(link)
    assert followed.status_code == 303
    assert "/c/" in followed.headers["location"]
