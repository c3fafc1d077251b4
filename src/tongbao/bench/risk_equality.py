"""Whether features computed live equal those computed from a file, bit for bit, also after a process was killed.

Live means one payment at a time: ask for its features, then fold it in, and fold each label in when it becomes known.
For the second half of the proof a process of its own follows such a log and writes snapshots; it is killed with
SIGKILL in the middle of its work, at no place of its choosing. Then the state is rebuilt from the last snapshot that is
whole and the log after it, and must go on as if nothing had happened.

``python -m tongbao.bench.risk_equality FOLDER`` is that process.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from tongbao.bench.risk_data import FIRST_DAY_MS, Payments, features
from tongbao.bench.risk_protocol import Floats, Integers
from tongbao.core.errors import Unavailable
from tongbao.risk.models.state import FeatureState
from tongbao.risk.schema.signals import Signals

EVENTS = 100_000
SNAPSHOT_EVERY = 7_000
KILLED_AFTER = 3
"""Snapshots that the process writes before it is killed, at the least."""
WAIT_S_MAX = 300.0
PAYMENT, LABEL = 0, 1
_LOG, _STATE = "log.npy", "state"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUBJECT = UUID(int=1)
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835


class Equality(NamedTuple):
    """``live``: 100,000 payments one at a time give the bits of the file. ``rebuilt``: so they do after a kill; None: not tried.

    ``rebuilt_from``: how many entries of the log the last whole snapshot held, of ``entries``. ``us_per_event``: processor time
    of a payment, read and folded.
    """

    live: bool
    rebuilt: bool | None
    events: int
    entries: int
    rebuilt_from: int
    us_per_event: float


def synthetic(count: int, seed: int = 5) -> Payments:
    """Return payments of nobody in particular for where there is no file: people, shops, sprees and bad weeks of shops."""
    rng = np.random.default_rng(seed)
    at_ms = FIRST_DAY_MS + np.sort(rng.integers(0, 60 * 86_400, count)) * 1000
    customer, merchant = rng.integers(0, 3_000, count), rng.integers(0, 1_000, count)
    usual = rng.lognormal(8.0, 0.6, 3_000)[customer]
    week = (at_ms - FIRST_DAY_MS) // (7 * 86_400_000)
    is_fraud = ((merchant * 7 + week) % 97 == 0) | (rng.random(count) < 0.002)
    value = (usual * rng.lognormal(0.0, 0.4, count) * np.where(is_fraud, 3.0, 1.0)).astype(np.int64)
    return Payments(at_ms=at_ms, customer=customer, merchant=merchant, value=value, is_fraud=is_fraud)


def entries(payments: Payments) -> Integers:
    """Return the log, shape (m, 6): what, its instant in milliseconds, row, customer, merchant, hundredths.

    A label stands before the payments of its own millisecond; only frauds are told.
    """
    count = len(payments.at_ms)
    rows = np.arange(count)
    told = np.column_stack(
        [
            np.full(count, PAYMENT),
            payments.at_ms,
            rows,
            payments.customer,
            payments.merchant,
            payments.value,
        ]
    )
    frauds = np.flatnonzero(payments.is_fraud & (payments.known_ms <= payments.at_ms[-1]))
    zeros = np.zeros(len(frauds), np.int64)
    labels = np.column_stack(
        [np.full(len(frauds), LABEL), payments.known_ms[frauds], frauds, zeros, zeros, zeros]
    )
    log = np.concatenate([labels, told])
    return np.ascontiguousarray(log[np.argsort(log[:, 1], kind="stable")])


def measure(payments: Payments, *, kills: bool) -> Equality:
    """Return whether live equals the file; with ``kills`` a process is killed and its state rebuilt, too."""
    payments = payments.first(EVENTS)
    expected = features(payments)
    log = entries(payments)
    state = FeatureState()
    _fold(FeatureState(), log[:1])  # native code is made ready, which is no time of a payment
    begun = time.thread_time()
    found = _fold(state, log)
    spent = time.thread_time() - begun
    live = np.array_equal(found, expected, equal_nan=True)
    rebuilt, rebuilt_from = None, 0
    if kills:
        rebuilt, rebuilt_from = _killed_and_rebuilt(log, expected, state.digest())
    count = len(payments.at_ms)
    return Equality(live, rebuilt, count, len(log), rebuilt_from, spent / count * 1e6)


def _fold(state: FeatureState, log: Integers) -> Floats:
    """Fold entries in one at a time; return the features that payments had just before they were folded in."""
    return np.array(list(_features(state, log))).reshape(-1, len(state.names))


def _features(state: FeatureState, log: Integers) -> Iterator[Floats]:
    for what, at_ms, row, customer, merchant, value in log.tolist():
        if what == LABEL:
            state.label(_id(row), True, at_ms)
            continue
        signals = Signals(
            id=_id(row),
            at=_EPOCH + timedelta(milliseconds=at_ms),
            book_id=1,
            live=True,
            subject_id=_SUBJECT,
            value=value,
            currency="EUR",
            method="card",
            customer=str(customer),
            merchant=str(merchant),
        )
        yield state.features(signals)
        state.learn(signals)


def _id(row: int) -> UUID:
    # Spread over all bits, as ids of payments are.
    return UUID(int=(row + 1) * _SPREAD % 2**128)


def _killed_and_rebuilt(log: Integers, expected: Floats, digest: str) -> tuple[bool, int]:
    """Return whether a state rebuilt after a kill goes on as expected, and from where in the log it was rebuilt."""
    with tempfile.TemporaryDirectory(prefix="tongbao-bench-") as name:
        folder = Path(name)
        np.save(folder / _LOG, log)
        command = [sys.executable, "-m", "tongbao.bench.risk_equality", name]
        process = subprocess.Popen(command)  # noqa: S603 - this very program
        try:
            _until_snapshots(folder, process)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
        state, done = _newest(folder)
    found = _fold(state, log[done:])
    is_equal = np.array_equal(found, expected[len(expected) - len(found) :], equal_nan=True)
    return process.returncode == -signal.SIGKILL and is_equal and state.digest() == digest, done


def _until_snapshots(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until some snapshots are there; raise Unavailable where the process ends before."""
    give_up = time.monotonic() + WAIT_S_MAX
    while len(list(folder.glob(f"{_STATE}-*"))) < KILLED_AFTER:
        if process.poll() is not None or time.monotonic() > give_up:
            raise Unavailable("bench_follower_gone", "the process that was to be killed has ended by itself")
        time.sleep(0.002)


def _newest(folder: Path) -> tuple[FeatureState, int]:
    """Return the state of the newest whole snapshot and how many entries of the log it holds."""
    path = max(folder.glob(f"{_STATE}-*"))
    digest, body = msgspec.msgpack.decode(path.read_bytes(), type=tuple[str, bytes])
    state = FeatureState.load(body)
    assert hashlib.sha256(body).hexdigest() == digest, "a snapshot takes its name when it is whole"
    return state, int(path.name.rpartition("-")[2])


def _follow(folder: Path) -> None:
    """Fold the log of a folder in and write a snapshot now and then; whole ones have their name."""
    log = np.load(folder / _LOG)
    state, done = FeatureState(), 0
    while done < len(log):
        for _ in _features(state, log[done : done + SNAPSHOT_EVERY]):
            pass
        done = min(done + SNAPSHOT_EVERY, len(log))
        body = state.dump()
        draft = folder / f"draft-{done}"
        draft.write_bytes(msgspec.msgpack.encode((hashlib.sha256(body).hexdigest(), body)))
        draft.replace(folder / f"{_STATE}-{done:09d}")
    signal.pause()  # whoever is faster than its killer waits for it


if __name__ == "__main__":
    _follow(Path(sys.argv[1]))
