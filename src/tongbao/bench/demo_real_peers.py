"""The parties that nobody here wrote: where ``make peers`` puts each, what it plays, and why it is absent where it is.

A peer is a program in an environment of its own, started or asked over its own interface and never imported.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

HOST_SIM, REPLICA, BANK = "iso8583sim", "localstripe", "mock-bank"
WECHAT_CLIENT, ALIPAY_CLIENT, ALIPAY_OFFICIAL = "wechatpayv3", "python-alipay-sdk", "alipay-sdk-python"
MERCHANT, VERIFIER = "stripe", "standardwebhooks"
HOW_PEERS = "make peers"
HOW_EXTRAS = "pip install 'tongbao[dev]'"
SCRIPTS = Path(__file__).parents[3] / "tests" / "peers"
"""What is asked of the published clients of the wallets: scripts that come with the source, for environments of their own."""


class Role(NamedTuple):
    """A peer: its file below the folder of peers, the script that speaks for it, and what it does here."""

    file: str
    script: str
    does: str


ROLES = {
    HOST_SIM: Role("iso8583sim/bin/iso8583sim", "", "a card issuer's host, over TCP"),
    REPLICA: Role("localstripe/bin/localstripe", "", "a second card channel, over HTTP"),
    BANK: Role("mock-bank/bin/mock-bank", "", "the house's bank: pain.001, pain.002, camt.053, camt.054"),
    WECHAT_CLIENT: Role(
        "wechatpay/bin/python", "wechatpay_client.py", "judges every signature of WeChat Pay"
    ),
    ALIPAY_CLIENT: Role("alipay/bin/python", "alipay_client.py", "judges every signature of Alipay"),
    ALIPAY_OFFICIAL: Role(
        "alipay-official/bin/python", "alipay_official_client.py", "judges every signature of Alipay, too"
    ),
}
LIBRARIES = {
    MERCHANT: "the merchant's back end and the first verifier of webhooks",
    VERIFIER: "the second verifier of webhooks",
}
"""Development extras that the merchant's program loads; without them it speaks plain HTTP and verifies less."""


class Peers:
    """Who is there, in a folder of peers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.absent = self._absent()

    def has(self, name: str) -> bool:
        """Return whether a peer takes part."""
        return name not in self.absent

    def program(self, name: str) -> str:
        """Return the path of a peer's program."""
        # The link of an environment's interpreter must not be followed: it is what makes the environment.
        return str(self._folder / ROLES[name].file)

    def script(self, name: str) -> str:
        """Return the path of the script that speaks for a published client."""
        return str(SCRIPTS / ROLES[name].script)

    def told(self) -> dict[str, str]:
        """Return every party by its name: what it did, or ``absent:`` and the reason."""
        roles = {name: role.does for name, role in ROLES.items()} | LIBRARIES
        return {
            name: f"absent: {self.absent[name]}" if name in self.absent else does
            for name, does in roles.items()
        }

    def _absent(self) -> dict[str, str]:
        found = {}
        for name, role in ROLES.items():
            if not (self._folder / role.file).exists():
                found[name] = f"{role.file} is not in {self._folder.name}; {HOW_PEERS} installs it"
            elif role.script and not (SCRIPTS / role.script).exists():
                found[name] = f"tests/peers/{role.script} comes with the source and is not here"
        for name in LIBRARIES:
            if importlib.util.find_spec(name) is None:
                found[name] = f"the library {name} is not installed; {HOW_EXTRAS}"
        return found
