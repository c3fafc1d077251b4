"""Where on the network webhooks may go: the rules against requests that are forged through the server (SSRF).

Every address is judged as it will be connected to. What is not clearly public unicast is refused: the special-purpose
registries of IANA (RFC 6890 and its updates), multicast, forms that hide an IPv4 address in an IPv6 one (mapped,
6to4, Teredo; of NAT64, RFC 6052, the address inside is judged), and the metadata services of clouds, of which some
have public addresses.

URLs are read by the parser of the HTTP client, so that what was checked is what is connected to.
"""

import ipaddress
import re

from yarl import URL

from tongbao.payments.schema.webhooks import URL_CHARS_MAX, UrlFault, UrlRules

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host agent of Azure
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAMES = (
    *("localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan"),
    *("home.arpa", "test", "example", "invalid", "onion", "alt"),
)
_CONTROL = re.compile(r"[\x00-\x20\x7f\\]")
_NUMERIC_LABEL = re.compile(r"(?:\d+|0x[0-9a-f]*)\Z")


def url_fault(url: str, *, live: bool, rules: UrlRules) -> UrlFault | None:
    """Return the first objection to a webhook URL; None where there is none.

    A name is only judged by its look; where it leads is checked when it is resolved.
    """
    if len(url) > URL_CHARS_MAX:
        return UrlFault.TOO_LONG
    if _CONTROL.search(url):
        return UrlFault.MALFORMED
    try:
        parsed = URL(url)
    except ValueError:
        return UrlFault.MALFORMED
    host = parsed.raw_host
    if not host or not parsed.port:
        return UrlFault.MALFORMED if parsed.scheme in ("", "http", "https") else UrlFault.SCHEME
    if parsed.scheme not in ("http", "https"):
        return UrlFault.SCHEME
    if live and parsed.scheme != "https":
        return UrlFault.HTTPS_REQUIRED
    if "@" in parsed.raw_authority:
        return UrlFault.CREDENTIALS
    return None if host_allowed(host, rules) else UrlFault.HOST_NOT_PUBLIC


def host_allowed(host: str, rules: UrlRules) -> bool:
    """Return whether the host of a URL, a name or an address, may be one that webhooks go to."""
    if rules.allow_local:
        return True
    name = host.rstrip(".").lower()
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        # Resolvers read more forms of numbers as addresses (0x7f.1, 2130706433) than anybody needs.
        is_number = _NUMERIC_LABEL.match(name.rpartition(".")[2]) is not None
        is_local = any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES)
        return "." in name and not is_number and not is_local
    return address_allowed(name, rules)


def address_allowed(text: str, rules: UrlRules) -> bool:
    """Return whether webhooks may connect to an address; a text that is no address is refused."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if rules.allow_local:
        return True
    if "%" in text or not _is_public(address):
        return False
    own = (ipaddress.ip_network(network) for network in rules.own_networks)
    inner = _inside_nat64(address)
    return not any(each in network for network in own for each in (address, inner) if each is not None)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    inner = _inside_nat64(address)
    if inner is not None:
        return _is_public(inner)
    return address in _PUBLIC_V6 and not any(address in network for network in _REFUSED_V6)


def _inside_nat64(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a NAT64 gateway would turn this one into."""
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None
