"""Which files of a channel belong together: those that tell its payments, and those that tell what moved in its account.

WeChat Pay's bill of trades and its bill of funds are two sources of one channel. Sources that tell the same of one channel are
compared in one run, under the name of the first of them; the channel's payments stand in ``PAYMENTS`` files alone, what it
paid to the bank in ``FUNDS`` files where it has any, so that nothing is counted twice.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tongbao.clearing.schema.lines import Side, SourceTerms, Tells


class Together(NamedTuple):
    """Sources that are compared in one run, the one that lends its name first. ``tellers``: who tells the channel's payments."""

    sources: tuple[SourceTerms, ...]
    tellers: tuple[str, ...]

    @property
    def lead(self) -> SourceTerms:
        """The source under whose name they are run."""
        return self.sources[0]

    @property
    def names(self) -> list[str]:
        """The names of all of them."""
        return [each.source for each in self.sources]

    @property
    def is_funds(self) -> bool:
        """Whether they tell what moved, to be compared with what was told of payments."""
        return self.lead.tells is Tells.FUNDS


def together(source: str, known: Mapping[str, SourceTerms]) -> Together:
    """Return the sources that are compared with this one, itself among them."""
    terms = known[source]
    alike = _ordered(
        each for each in known.values() if each.side is terms.side and each.of_channel == terms.of_channel
    )
    tellers = tuple(each.source for each in alike if each.tells is Tells.PAYMENTS)
    if terms.side is Side.BANK:
        return Together((terms,), ())
    return Together(tuple(each for each in alike if each.tells is terms.tells), tellers)


def all_together(known: Mapping[str, SourceTerms]) -> list[Together]:
    """Return every run that there is to make: payments of channels, then their funds, then banks."""
    found: dict[str, Together] = {}
    for name in known:
        group = together(name, known)
        found.setdefault(group.lead.source, group)
    return sorted(found.values(), key=lambda each: (each.lead.side is Side.BANK, each.is_funds))


def senders_to(bank: str, known: Mapping[str, SourceTerms]) -> list[str]:
    """Return the sources that say what was paid to a bank's account: of a channel with files of funds those alone."""
    with_funds = {each.of_channel for each in known.values() if each.tells is Tells.FUNDS}
    return [
        each.source
        for each in known.values()
        if each.bank == bank and (each.tells is Tells.FUNDS or each.of_channel not in with_funds)
    ]


def _ordered(sources: Iterable[SourceTerms]) -> list[SourceTerms]:
    """Return sources by name, the one that bears the channel's name first."""
    return sorted(sources, key=lambda each: (each.source != each.of_channel, each.source))
