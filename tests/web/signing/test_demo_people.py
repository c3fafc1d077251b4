"""People of the demonstration: opened once, found again, passwords in a file that nobody else reads."""

import stat
from pathlib import Path

import pytest
from tests.web.signing.conftest import Browser
from tests.web.whole_house import Whole

from tongbao.parties.schema import OperatorRole
from tongbao.parties.service.demo import open_demo
from tongbao.web.demo_link import open_link
from tongbao.web.demo_people import PEOPLE_FILE, DemoPeople, merchant_of
from tongbao.web.signing.rooms import DemoLogIn


def of(log_ins: list[DemoLogIn], email: str) -> DemoLogIn:
    return next(each for each in log_ins if each.email == email)


@pytest.fixture(scope="module")
async def home(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demonstration whose merchants are open."""
    await open_demo(whole.house.parties)
    return tmp_path_factory.mktemp("demo")


async def test_demo_people_sign_in_with_what_is_told_and_keep_it(browser: Browser, home: Path) -> None:
    house = browser.whole.house
    first = await DemoPeople(home).open(house)
    path = home / PEOPLE_FILE
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
    # A second start finds everybody, and ends nobody's session.
    assert await DemoPeople(home).open(house) == first
    await browser.get("/me")
    path.unlink()
    renewed = of(await DemoPeople(home).open(house), owner.email)
    assert renewed.password != owner.password
    assert (await browser.http.get("/me")).status_code == 303


async def test_demo_payer_signs_in_with_a_code(browser: Browser, home: Path) -> None:
    log_ins = await DemoPeople(home).open(browser.whole.house)
    payer = next(each for each in log_ins if each.face == "wallet")
    path, code = await browser.code_for(payer.email)
    assert (await browser.post(path, {"code": code}, path)).headers["location"] == "/wallet"


@pytest.mark.usefixtures("home")
async def test_demo_link_is_made_once_and_can_be_paid(browser: Browser) -> None:
    house = browser.whole.house
    link = await open_link(house)
    assert await open_link(house) == link
    followed = await browser.http.get(link)
    assert followed.status_code == 303
    assert "/c/" in followed.headers["location"]
