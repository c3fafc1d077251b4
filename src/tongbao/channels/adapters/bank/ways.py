"""Ways to a bank: HTTP, or the folders of a gateway. Both tell a message that was not sent from one that may have been."""

import asyncio
import base64
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tongbao.channels.adapters.bank.values import (
    CONTENT_BYTES_MAX,
    Acknowledgment,
    FolderWay,
    HttpWay,
    RawMessage,
)
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient, NoAnswer, NotSent

FILES_MAX = 1_000
"""Files that one collection reads."""
_DECLARATION = re.compile(rb"(?=<\?xml\b)")
# The door was closed: nobody read what stood before it.
_NOT_TAKEN = frozenset({401, 403, 404, 405, 413, 415, 429, 503})
# 422 is how a bank says that it read the file and will report on it.
_TAKEN = frozenset({200, 201, 202, 204, 409, 422})


class Way(Protocol):
    """How messages go to a bank and come from it."""

    async def send(self, message_id: str, content: bytes) -> Acknowledgment:
        """Hand a message over."""
        ...

    async def collect(self) -> list[RawMessage]:
        """Return what the bank has said; the same again until ``done``, and where the way cannot forget, ever again."""
        ...

    async def done(self, handles: Sequence[str]) -> None:
        """Forget what was collected and kept."""
        ...


class HttpBank:
    """A bank behind two addresses. It remembers what it said by itself, so nothing is ever taken away."""

    def __init__(self, settings: HttpWay, http: HttpClient) -> None:
        self._settings = settings
        self._http = http

    async def send(self, message_id: str, content: bytes) -> Acknowledgment:
        """POST a message; ``unknown`` for a lost answer and for any that does not say whether it was read."""
        headers = self._headers() | {"Content-Type": "application/xml; charset=utf-8"}
        try:
            answer = await self._http.request(
                "POST",
                self._settings.send_url,
                headers=headers,
                body=content,
                timeout_s=self._settings.timeout_s,
            )
        except NotSent:
            return Acknowledgment.NOT_SENT
        except NoAnswer:
            return Acknowledgment.UNKNOWN
        if answer.status in _TAKEN:
            return Acknowledgment.RECEIVED
        return Acknowledgment.NOT_SENT if answer.status in _NOT_TAKEN else Acknowledgment.UNKNOWN

    async def collect(self) -> list[RawMessage]:
        """GET everything; raise Unavailable ``bank_away`` where the bank does not answer."""
        try:
            answer = await self._http.request(
                "GET",
                self._settings.collect_url,
                headers=self._headers(),
                timeout_s=self._settings.timeout_s,
                answer_bytes_max=CONTENT_BYTES_MAX,
            )
        except (NotSent, NoAnswer) as error:
            raise Unavailable("bank_away", "the bank does not answer") from error
        if answer.status != 200:
            raise Unavailable("bank_away", f"the bank answers {answer.status}")
        parts = (part.strip() for part in _DECLARATION.split(answer.body))
        return [RawMessage("", part) for part in parts if part]

    async def done(self, handles: Sequence[str]) -> None:
        """Do nothing: what was shown was not taken."""
        del handles

    def _headers(self) -> dict[str, str]:
        if not self._settings.user:
            return {}
        password = self._settings.password
        pair = f"{self._settings.user}:{password.get_secret_value() if password else ''}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


class FolderBank:
    """A bank behind two folders. Files appear whole (written aside, then renamed) and are moved away once they are kept."""

    def __init__(self, settings: FolderWay) -> None:
        self._out = Path(settings.out)
        self._into = Path(settings.into)

    async def send(self, message_id: str, content: bytes) -> Acknowledgment:
        """Put a message where the gateway takes it; its name is the message's, so a repeat replaces what still lies there."""
        try:
            return await asyncio.to_thread(self._put, message_id, content)
        except OSError:
            # The last step renames it, whole or not at all: what fails before was never seen.
            return Acknowledgment.NOT_SENT

    async def collect(self) -> list[RawMessage]:
        """Read what lies there, oldest name first, at most ``FILES_MAX``; raise Unavailable ``bank_away``."""
        try:
            return await asyncio.to_thread(self._read)
        except OSError as error:
            raise Unavailable("bank_away", f"{type(error).__name__} at the bank's folder") from error

    async def done(self, handles: Sequence[str]) -> None:
        """Move files to ``done`` beside them."""
        await asyncio.to_thread(self._move, handles)

    def _put(self, message_id: str, content: bytes) -> Acknowledgment:
        aside = self._out / f".{message_id}.part"
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._out / f"{message_id}.xml")
        return Acknowledgment.RECEIVED

    def _read(self) -> list[RawMessage]:
        files = sorted(each for each in self._into.iterdir() if each.suffix == ".xml" and each.is_file())
        sound = (each for each in files[:FILES_MAX] if each.stat().st_size <= CONTENT_BYTES_MAX)
        return [RawMessage(each.name, each.read_bytes()) for each in sound]

    def _move(self, handles: Sequence[str]) -> None:
        kept = self._into / "done"
        kept.mkdir(exist_ok=True)
        for handle in handles:
            # Another process may have moved it already.
            source = self._into / Path(handle).name
            if source.exists():
                source.replace(kept / source.name)
