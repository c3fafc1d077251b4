"""What a bank says of single payouts in a message that is no statement: pain.002, camt.052 or .054 beside statements, pacs.004.

Nothing of it is a line: the money that it speaks of stands on a statement as well, and would count twice. Payouts hear it.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from tongbao.clearing.schema.lines import Format, Header, Line, Refusal, Side, SourceTerms
from tongbao.core.errors import InvalidRequest

NOTICE_BYTES_MAX = 64 * 1024 * 1024
_BEGINNING_BYTES = 4_096
_KIND = re.compile(rb"urn:iso:std:iso:20022:tech:xsd:(pain\.002|camt\.052|camt\.054|pacs\.004)\.")
_STATEMENTS = frozenset({Format.CAMT_052, Format.CAMT_053, Format.CAMT_054})


def is_notice(stream: BinaryIO, terms: SourceTerms) -> bool:
    """Return whether a file of a bank's account is such a message, and not one of the format that was agreed; reads nothing away."""
    if terms.side is not Side.BANK or terms.format not in _STATEMENTS:
        return False
    try:
        found = _KIND.search(stream.read(_BEGINNING_BYTES))
        stream.seek(0)
    except OSError as error:
        raise InvalidRequest("file_unreadable", "the file cannot be read from its place") from error
    return found is not None and found[1].decode() != terms.format.value


class BankNotice:
    """One message (``ports.FileReader``), which has no lines."""

    def __init__(self, stream: BinaryIO, terms: SourceTerms) -> None:
        content = stream.read(NOTICE_BYTES_MAX + 1)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            if len(content) > NOTICE_BYTES_MAX:
                raise ValueError("too long")
            root = etree.fromstring(content, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise InvalidRequest("file_unreadable", "the bank's message is no whole XML") from error
        if root.getroottree().docinfo.doctype:
            raise InvalidRequest("file_unreadable", "the bank's message declares a document type")
        message = root.findtext("{*}*/{*}GrpHdr/{*}MsgId") or ""
        self._header = Header(
            source=terms.source, format=Format.NOTICE, side=terms.side, statement=message.strip()[:64]
        )

    @property
    def header(self) -> Header:
        """What the message says of itself."""
        return self._header

    def __iter__(self) -> Iterator[Line | Refusal]:
        """Yield nothing."""
        return iter(())
