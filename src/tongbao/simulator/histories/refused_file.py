"""The file of refused lines: line number, order, code and reason of each, as CSV; whole, or not there."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.histories.schema import Refused

HEADER = ("line", "order", "refusal", "detail")


Write = Callable[[Refused], None]


@contextmanager
def refused_to(path: Path) -> Iterator[Write]:
    """Write refused lines beside ``path`` and put them there at the end; raise InvalidRequest ``history_refused_unwritable``."""
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)

            def write(refused: Refused) -> None:
                writer.writerow(refused)

            yield write
        draft.replace(path)
    except OSError as error:
        raise InvalidRequest("history_refused_unwritable", f"{path}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
