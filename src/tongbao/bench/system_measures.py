"""What processes of the whole system use, and whether a course of figures grows: arithmetic, and readings of processes.

Resident memory of PostgreSQL is proportional (each page is counted once, however many of its processes share it) where the
system lets this process read that, and resident otherwise; that of all others is resident.
"""

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import psutil
from scipy import stats

GROWTH_SHARE_MIN = 0.05
"""Of the mean, over the whole course: less than this is not called growth, however sure it is."""
WARM_UP_SHARE = 0.2
"""So much of a course at its beginning is left out: caches fill, pools open, statements are planned."""
POINTS_MIN = 5
CONFIDENCE = 0.95


class Use(NamedTuple):
    """What a process, or several under one name, has used so far: seconds of a processor, and bytes held now."""

    cpu_s: float
    rss: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One name over a load: how many cores it kept busy, milliseconds of a processor a payment, megabytes at its end."""

    cores: float
    cpu_ms_per_payment: float
    rss_mb: float


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """A straight line through a course of figures, and whether it rises; slope and bounds in units a step.

    ``low`` and ``high`` bound the slope with 95 % confidence, as if its deviations were independent.
    """

    slope: float
    low: float
    high: float
    mean: float
    steps: int
    growing: bool


def use_of(pids: Sequence[int], *, with_children: bool = False) -> Use:
    """Return what these processes have used; one that is gone by now counts nothing.

    ``with_children``: their children too, and what those that have ended had used, as far as their parent knows.
    """
    cpu_s, rss = 0.0, 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)] if with_children else [process]
            if with_children:
                times = process.cpu_times()
                cpu_s += times.children_user + times.children_system
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = each.cpu_times()
                    cpu_s += times.user + times.system
                    rss += _held(each, shared=with_children)
    return Use(cpu_s, rss)


def _held(process: psutil.Process, *, shared: bool) -> int:
    if shared:
        with contextlib.suppress(psutil.AccessDenied, AttributeError):
            return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)


def rows_of(
    before: Mapping[str, Use], after: Mapping[str, Use], elapsed_s: float, payments: int
) -> dict[str, Row]:
    """Return what each name has used between two readings."""
    rows = {}
    for name, used in after.items():
        cpu_s = used.cpu_s - before[name].cpu_s
        rows[name] = Row(
            cores=round(cpu_s / elapsed_s, 3),
            cpu_ms_per_payment=round(cpu_s * 1_000 / payments, 4),
            rss_mb=round(used.rss / 1e6, 1),
        )
    return rows


def course_of(values: Sequence[float]) -> Course:
    """Return the line through figures taken at equal steps, the first fifth left out.

    It is growing where the whole interval of the slope is above nought and the least growth that it allows comes to
    ``GROWTH_SHARE_MIN`` of the mean over the course. With fewer than ``POINTS_MIN`` figures nothing is said to grow.
    """
    kept = list(values[int(len(values) * WARM_UP_SHARE) :])
    mean = statistics.fmean(kept) if kept else 0.0
    if len(kept) < POINTS_MIN:
        return Course(slope=0.0, low=0.0, high=0.0, mean=round(mean, 4), steps=len(kept), growing=False)
    fitted = stats.linregress(range(len(kept)), kept)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(kept) - 2)) * float(fitted.stderr)
    low, high = float(fitted.slope) - half, float(fitted.slope) + half
    least = low * (len(kept) - 1)
    return Course(
        slope=round(float(fitted.slope), 5),
        low=round(low, 5),
        high=round(high, 5),
        mean=round(mean, 4),
        steps=len(kept),
        growing=low > 0 and least > GROWTH_SHARE_MIN * abs(mean),
    )
