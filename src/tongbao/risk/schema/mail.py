"""How a mail server is reached that carries codes."""

import enum
import ssl
from dataclasses import dataclass

from pydantic import SecretStr

TIMEOUT_S = 10.0


class Security(enum.StrEnum):
    """How the connection to the mail server is protected."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"  # for a server on this machine only


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed over. ``sender`` is the address in From; a user name and password are used where given.

    ``trust`` holds the certificates that the server may show; None: those of the machine. ``timeout_s`` is the longest
    that handing over one message may take.
    """

    host: str
    port: int
    sender: str
    security: Security = Security.STARTTLS
    username: str = ""
    password: SecretStr | None = None
    trust: ssl.SSLContext | None = None
    timeout_s: float = TIMEOUT_S
