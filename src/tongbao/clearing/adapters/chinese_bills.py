"""What the bills of Alipay and WeChat Pay share: yuan in major units, times of Shanghai, ends that are marked and totals told."""

import msgspec

from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.tables import Dialect, Table
from tongbao.clearing.adapters.text_lines import TextLines
from tongbao.clearing.schema.lines import SourceTerms

ZONE = "Asia/Shanghai"
CURRENCY = "CNY"
EXPONENT = 2


class ChineseBill(Table):
    """A bill with totals. Of what it says of itself the sum is kept as the sum of the lines that were taken, plus what is missing.

    So a bill whose totals fit its own rows fits the lines, whatever the rows become here.
    """

    def __init__(self, lines: TextLines, terms: SourceTerms, dialect: Dialect) -> None:
        super().__init__(lines, terms, dialect)
        self._instants = Instants(ZONE if terms.zone == "UTC" else terms.zone)
        self._sum = 0
        self._raw_sum = 0

    def _counted(self, gross: int, raw: int) -> None:
        """Remember the amount of a line and what the bill's own totals count for it."""
        self._sum += gross
        self._raw_sum += raw

    def _declare(self, count: int, raw_minor: int) -> None:
        """Keep the totals of the bill."""
        self._header = msgspec.structs.replace(
            self._header, declared_count=count, declared_minor=raw_minor - self._raw_sum + self._sum
        )

    def _is_closed(self) -> bool:
        return self._header.declared_count is not None
