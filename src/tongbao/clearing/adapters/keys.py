"""Keys of lines: what makes a line unique in its source, however often and in whichever file it comes.

Where the source names its movements, the key is made of those names. Where it does not, it is a digest of what the line says
and how often that was said before in the file, so that two equal lines of one file stay two, and the same file, sent again,
brings the same keys.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec
import numpy as np
import numpy.typing as npt

from tongbao.clearing.adapters.unfit import Unfit
from tongbao.clearing.schema.lines import Line, Refusal

KEY_CHARS_MAX = 120
DIGEST_BYTES = 16
KEYED_AT_ONCE = 4_096
MERGED_MAX = 1 << 19
_Prints = npt.NDArray[np.uint64]
_Counts = npt.NDArray[np.int32]


def named_key(parts: Sequence[str]) -> str:
    """Return the key of a line by the names that its source gives it; raise Unfit ``key_missing`` where all are empty."""
    key = parts[0] if len(parts) == 1 else "|".join(parts)
    if not key.isprintable() or "\\" in key or key.count("|") >= len(parts):
        key = "|".join(each.replace("\\", "\\\\").replace("|", "\\|") for each in parts)
    if len(key) < len(parts):  # Nothing but what stands between them.
        raise Unfit("key_missing", "nothing says which line it is")
    return key if len(key) <= KEY_CHARS_MAX and key.isprintable() else digest(key.encode()).hex()


def digest(content: bytes) -> bytes:
    """Return 16 bytes that stand for a line's content."""
    return hashlib.sha256(content).digest()[:DIGEST_BYTES]


def digest_key(content: bytes, occurrence: int) -> str:
    """Return the key of a line by its digest and how often it came, from 1."""
    return content.hex() if occurrence == 1 else f"{content.hex()}-{occurrence}"


def distinct(entries: Iterable[Line | Refusal]) -> Iterator[Line | Refusal]:
    """Yield lines whose keys are digests in hexadecimal, those that come again in the file with how often they came."""
    occurrences, rest = Occurrences(), iter(entries)
    while some := list(islice(rest, KEYED_AT_ONCE)):
        digests = [bytes.fromhex(each.key) for each in some if isinstance(each, Line)]
        times = iter(occurrences.next(digests))
        for each in some:
            if isinstance(each, Line) and (time := next(times)) > 1:
                yield msgspec.structs.replace(each, key=f"{each.key}-{time}")
            else:
                yield each


class Occurrences:
    """How often each line came so far in a file, in 12 bytes a line.

    Holds 64 bits of each digest with its count, sorted, in few runs of falling length (as a log-structured merge does).
    Two lines that share those bits would be counted together: their keys stay different all the same.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[_Prints, _Counts]] = []

    def next(self, digests: Sequence[bytes]) -> list[int]:
        """Return for each digest how often it has come, this time included, and remember it."""
        if not digests:
            return []
        prints = np.frombuffer(b"".join(digests), dtype=np.uint64)[:: DIGEST_BYTES // 8]
        found, places, counts = np.unique(prints, return_inverse=True, return_counts=True)
        before = np.zeros(len(found), dtype=np.int64)
        for run, run_counts in self._runs:
            at = np.minimum(np.searchsorted(run, found), len(run) - 1)
            before += np.where(run[at] == found, run_counts[at], 0)
        self._add(found, counts.astype(np.int32))
        if before.any() or len(found) < len(prints):
            order = np.argsort(places, kind="stable")
            starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
            ranks = np.empty(len(prints), dtype=np.int64)
            ranks[order] = np.arange(len(prints)) - np.repeat(starts, counts) + 1
            numbers: list[int] = (ranks + before[places]).tolist()
            return numbers
        return [1] * len(prints)

    def _add(self, prints: _Prints, counts: _Counts) -> None:
        # Merging asks for four times the memory of what is merged: long runs stay as they are.
        while self._runs and len(self._runs[-1][0]) < min(2 * len(prints), MERGED_MAX):
            run, run_counts = self._runs.pop()
            merged, places = np.unique(np.concatenate((run, prints)), return_inverse=True)
            sums = np.zeros(len(merged), dtype=np.int32)
            np.add.at(sums, places, np.concatenate((run_counts, counts)))
            prints, counts = merged, sums
        self._runs.append((prints, counts))
