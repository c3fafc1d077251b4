"""Sign-in, wired over an open house: what its pages reach, and their routes."""

from dataclasses import dataclass, field

from tongbao.parties.schema import MerchantId
from tongbao.parties.service.holder_passkeys import HolderPasskeys
from tongbao.parties.service.payer_codes import PayerCodes
from tongbao.web.house import House
from tongbao.web.signing.guarding import Guards
from tongbao.web.signing.messages import CodeMail
from tongbao.web.signing.pacing import Paces
from tongbao.web.signing.visiting import Visits
from tongbao.web.step_up.passkeys import relying_party


@dataclass(frozen=True)
class DemoLogIn:
    """Somebody of a demonstration, as its front door and its terminal tell. ``password`` is empty where a code is sent."""

    face: str
    email: str
    password: str = field(repr=False)
    role: str


@dataclass(frozen=True)
class Doors:
    """What a demonstration shows that no other house does: log-ins, and codes on the page that asks for them.

    ``keeper``: the merchant whose test book takes what payers put into their wallets. ``cashier``: a link to pay by.
    """

    log_ins: tuple[DemoLogIn, ...] = ()
    shows_codes: bool = False
    keeper: MerchantId | None = None
    cashier: str = ""


@dataclass(frozen=True)
class Signing:
    """What the pages of sign-in reach."""

    house: House
    guards: Guards
    visits: Visits
    paces: Paces
    passkeys: HolderPasskeys
    codes: PayerCodes
    doors: Doors

    @property
    def sends_codes(self) -> bool:
        """Whether a code reaches anybody in this house."""
        return self.doors.shows_codes or self.house.proofs.mails


def open_signing(house: House, doors: Doors | None = None) -> Signing:
    """Return sign-in over an open house; ``doors`` are a demonstration's."""
    runtime, secret = house.runtime, house.proofs.secret
    doors = doors or Doors()
    messages = None if doors.shows_codes else CodeMail(house.proofs.sender, house.base_url)
    return Signing(
        house,
        guards_of(house),
        Visits(runtime.clock, secret),
        Paces(),
        HolderPasskeys(runtime.database, runtime.clock, relying_party(house.base_url), secret=secret),
        PayerCodes(runtime.database, runtime.clock, runtime.ledger.ids, messages, secret=secret),
        doors,
    )


def guards_of(house: House) -> Guards:
    """Return the guards of a house's pages."""
    return Guards(house.parties, house.limits, house.base_url)
