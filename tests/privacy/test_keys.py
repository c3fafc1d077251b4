"""Key sources: wrapping, versions, retirement, and a key file that only its owner can read."""

import asyncio
import base64
import json
import os
import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.privacy.conftest import NOW

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.errors import InvalidRequest
from tongbao.privacy.adapters.environment_keys import EnvironmentKeys
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.errors import KeyRefused, KeysUnusable, SealBroken
from tongbao.privacy.ports import KeySource
from tongbao.privacy.schema import WrappedKey

SECRET = bytes(range(32))
OTHER = bytes(range(32, 64))
CONTEXT = b"person_key|7|0|home"


def encoded(key: bytes) -> str:
    """A key as settings write it."""
    return base64.b64encode(key).decode()


def from_file(path: Path, clock: FrozenClock) -> KeySource:
    """A key file with two versions."""
    keys = FileKeys(path, clock)
    keys.rotate()
    return keys


def from_environment(_path: Path, clock: FrozenClock) -> KeySource:
    """The environment with two versions."""
    text = f"1:{encoded(OTHER)}, 2:{encoded(SECRET)}"
    return EnvironmentKeys.from_environment({"TONGBAO_VAULT_KEYS": text}, clock)


@pytest.fixture(params=[from_file, from_environment])
def source(request: pytest.FixtureRequest, key_path: Path, clock: FrozenClock) -> KeySource:
    """Every key source there is, each with versions 1 and 2."""
    made: KeySource = request.param(key_path, clock)
    return made


async def test_wrapped_key_opens_with_its_context_only(source: KeySource) -> None:
    wrapped = await source.wrap(SECRET, CONTEXT)
    assert await source.unwrap(wrapped, CONTEXT) == SECRET
    assert SECRET not in wrapped.data
    with pytest.raises(SealBroken):
        await source.unwrap(wrapped, CONTEXT + b"x")


async def test_wrap_twice_gives_different_wrappings(source: KeySource) -> None:
    assert await source.wrap(SECRET, CONTEXT) != await source.wrap(SECRET, CONTEXT)


async def test_wrap_uses_the_highest_version_and_tells_it(source: KeySource) -> None:
    assert (await source.wrap(SECRET, CONTEXT)).version == await source.current_version() == 2
    assert [(one.version, one.current) for one in await source.versions()] == [(1, False), (2, True)]
    health = await source.health()
    assert (health.healthy, health.current_version) == (True, 2)


@pytest.mark.parametrize("position", [0, 11, 12, 40, 59])
async def test_unwrap_with_one_changed_byte_is_refused(source: KeySource, position: int) -> None:
    version, data = await source.wrap(SECRET, CONTEXT)
    changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    with pytest.raises(SealBroken):
        await source.unwrap(WrappedKey(version, changed), CONTEXT)


@pytest.mark.parametrize("length", [0, 5, 12, 27])
async def test_unwrap_of_a_shortened_wrapping_is_refused(source: KeySource, length: int) -> None:
    version, data = await source.wrap(SECRET, CONTEXT)
    with pytest.raises(SealBroken):
        await source.unwrap(WrappedKey(version, data[:length]), CONTEXT)


async def test_unwrap_of_something_else_than_a_key_is_refused(source: KeySource) -> None:
    with pytest.raises(SealBroken):
        await source.unwrap(await source.wrap(b"short", CONTEXT), CONTEXT)


async def test_unwrap_under_another_version_is_refused(source: KeySource) -> None:
    _, data = await source.wrap(SECRET, CONTEXT)
    with pytest.raises(SealBroken):
        await source.unwrap(WrappedKey(1, data), CONTEXT)
    with pytest.raises(KeyRefused) as raised:
        await source.unwrap(WrappedKey(3, data), CONTEXT)
    assert (raised.value.code, raised.value.facts) == ("key_unknown", {"version": 3})


def test_source_that_is_printed_shows_no_key(source: KeySource, key_path: Path) -> None:
    shown = f"{source!r} {source}"
    assert encoded(SECRET) not in shown
    assert "b'" not in shown
    assert shown.startswith(("EnvironmentKeys(***)", f"FileKeys({str(key_path)!r})"))


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "1", "1:", ":" + encoded(SECRET), "x:" + encoded(SECRET), "0:" + encoded(SECRET)],
        *["1:" + encoded(SECRET[:16]), "1:" + encoded(SECRET) + "!", "1:é", "-1:" + encoded(SECRET)],
        *[f"1:{encoded(SECRET)},1:{encoded(OTHER)}", f"1:{encoded(SECRET)},", "１:" + encoded(SECRET)],
    ],
)
def test_environment_that_is_malformed_is_refused_without_repeating_it(text: str, clock: FrozenClock) -> None:
    with pytest.raises(KeysUnusable) as raised:
        EnvironmentKeys.from_environment({"TONGBAO_VAULT_KEYS": text}, clock)
    assert raised.value.code == ("keys_invalid" if text else "keys_missing")
    assert encoded(SECRET)[:12] not in str(raised.value)
    assert raised.value.__cause__ is None


def test_key_file_on_first_start_is_made_for_its_owner_alone(key_path: Path, clock: FrozenClock) -> None:
    FileKeys(key_path, clock)
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_path.parent.stat().st_mode) == 0o700
    content = json.loads(key_path.read_text())
    assert len(base64.b64decode(content["keys"][0]["key"])) == 32
    assert sorted(path.name for path in key_path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


async def test_key_file_on_second_start_opens_what_the_first_wrapped(
    key_path: Path, clock: FrozenClock
) -> None:
    wrapped = await FileKeys(key_path, clock).wrap(SECRET, CONTEXT)
    assert await FileKeys(key_path, clock).unwrap(wrapped, CONTEXT) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606, 0o644, 0o666, 0o610, 0o601])
async def test_key_file_that_others_can_reach_is_refused(
    key_path: Path, clock: FrozenClock, mode: int
) -> None:
    running = FileKeys(key_path, clock)
    os.chmod(key_path, mode)
    with pytest.raises(KeysUnusable) as raised:
        FileKeys(key_path, clock)
    assert raised.value.code == "key_file_exposed"
    assert f"chmod 600 {key_path}" in raised.value.detail
    with pytest.raises(KeysUnusable):
        await running.wrap(SECRET, CONTEXT)
    health = await running.health()
    assert (health.healthy, f"{mode:04o}" in health.detail) == (False, True)
    os.chmod(key_path, 0o600)
    assert (await running.health()).healthy


def test_key_file_in_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, clock: FrozenClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeysUnusable, match=r"Not a directory|File exists") as raised:
        FileKeys(tmp_path / "file" / "keys.json", clock)
    assert raised.value.code == "key_file_unreadable"


def test_key_file_that_is_a_link_is_refused(key_path: Path, tmp_path: Path, clock: FrozenClock) -> None:
    FileKeys(key_path, clock)
    link = tmp_path / "link.json"
    link.symlink_to(key_path)
    with pytest.raises(KeysUnusable, match="is a link"):
        FileKeys(link, clock)
    link.unlink()
    link.symlink_to(tmp_path / "nothing.json")
    with pytest.raises(KeysUnusable, match="is a link"):
        FileKeys(link, clock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_file_of_another_user_is_refused(key_path: Path, clock: FrozenClock) -> None:
    FileKeys(key_path, clock)
    os.chown(key_path, 12345, -1)
    with pytest.raises(KeysUnusable, match="another user"):
        FileKeys(key_path, clock)


@pytest.mark.parametrize(
    "content",
    [
        *["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "keys": []}', '{"format": 2, "keys": []}'],
        '{"format": 1, "keys": [{"version": 1, "key": "c2hvcnQ="}]}',
        '{"format": 1, "keys": [{"version": 1, "key": "not base64: secret"}]}',
    ],
)
def test_key_file_that_is_none_is_refused_without_repeating_it(
    key_path: Path, clock: FrozenClock, content: str
) -> None:
    FileKeys(key_path, clock)
    key_path.write_text(content)
    with pytest.raises(KeysUnusable) as raised:
        FileKeys(key_path, clock)
    assert raised.value.code in {"key_file_unreadable", "keys_invalid"}
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_wrap_without_the_file_is_refused_while_unwrap_goes_on(
    key_path: Path, clock: FrozenClock
) -> None:
    keys = FileKeys(key_path, clock)
    wrapped = await keys.wrap(SECRET, CONTEXT)
    os.unlink(key_path)
    with pytest.raises(KeysUnusable) as raised:
        await keys.wrap(SECRET, CONTEXT)
    assert raised.value.code == "key_file_unreadable"
    assert await keys.unwrap(wrapped, CONTEXT) == SECRET
    assert not (await keys.health()).healthy


async def test_rotate_makes_a_new_current_version_and_retires_the_old_later(
    key_path: Path, clock: FrozenClock
) -> None:
    keys = FileKeys(key_path, clock)
    wrapped = await keys.wrap(SECRET, CONTEXT)
    made = keys.rotate(timedelta(days=30))
    assert (made.version, made.current, made.retire_at) == (2, True, None)
    assert (await keys.versions())[0].retire_at == NOW + timedelta(days=30)
    assert stat.S_IMODE(os.stat(key_path).st_mode) == 0o600
    clock.advance(timedelta(days=30) - timedelta(microseconds=1))
    assert await keys.unwrap(wrapped, CONTEXT) == SECRET
    clock.advance(timedelta(microseconds=1))
    with pytest.raises(KeyRefused) as raised:
        await keys.unwrap(wrapped, CONTEXT)
    assert raised.value.code == "key_retired"


async def test_rotate_again_never_prolongs_an_older_version(key_path: Path, clock: FrozenClock) -> None:
    keys = FileKeys(key_path, clock)
    keys.rotate(timedelta(days=1))
    keys.rotate(timedelta(days=30))
    ends = [one.retire_at for one in await keys.versions()]
    assert ends == [NOW + timedelta(days=1), NOW + timedelta(days=30), None]
    with pytest.raises(InvalidRequest):
        keys.rotate(timedelta(seconds=-1))


async def test_rotation_by_another_process_is_seen_before_the_next_use(
    key_path: Path, clock: FrozenClock
) -> None:
    here, there = FileKeys(key_path, clock), FileKeys(key_path, clock)
    there.rotate()
    assert await here.unwrap(await there.wrap(SECRET, CONTEXT), CONTEXT) == SECRET
    assert (await here.wrap(SECRET, CONTEXT)).version == 2


ROTATE = """
import sys
from pathlib import Path
from tongbao.core.clock import RealClock
from tongbao.privacy.adapters.file_keys import FileKeys
keys = FileKeys(Path(sys.argv[1]), RealClock())
for _ in range(5):
    keys.rotate()
"""


async def test_first_starts_and_rotations_of_several_processes_lose_no_version(key_path: Path) -> None:
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", ROTATE, str(key_path)) for _ in range(3)
    ]
    assert [await process.wait() for process in running] == [0, 0, 0]
    versions = await FileKeys(key_path, RealClock()).versions()
    assert [one.version for one in versions] == list(range(1, 17))


def test_rotate_on_a_full_disk_leaves_the_old_file_and_nothing_else(
    key_path: Path, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = FileKeys(key_path, clock)
    before = key_path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeysUnusable, match="No space left"):
        keys.rotate()
    assert key_path.read_bytes() == before
    assert sorted(path.name for path in key_path.parent.iterdir()) == ["keys.json", "keys.json.lock"]
