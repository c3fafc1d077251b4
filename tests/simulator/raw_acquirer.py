"""A terminal that speaks ISO 8583 to an acquirer, with a field table of its own, on pyiso8583."""

import asyncio
from typing import Any

import iso8583
from iso8583.specs import default

TERMINAL_SPEC: dict[str, Any] = {
    **default,
    "h": {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 0, "desc": ""},
    "t": {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 4, "desc": ""},
}
for number, length_type, length_max in (
    *((str(at), 0, size) for at, size in ((3, 6), (4, 12), (7, 10), (11, 6), (12, 6), (13, 4), (14, 4))),
    *((str(at), 0, size) for at, size in ((18, 4), (22, 3), (24, 3), (25, 2), (37, 12), (38, 6), (39, 2))),
    *((str(at), 0, size) for at, size in ((41, 8), (42, 15), (43, 40), (49, 3), (70, 3), (90, 42))),
    *((str(at), 2, size) for at, size in ((2, 19), (32, 11), (33, 11), (44, 25))),
    *((str(at), 3, 999) for at in (48, 60, 61, 62, 63)),
):
    TERMINAL_SPEC[number] = {
        "data_enc": "ascii",
        "len_enc": "ascii",
        "len_type": length_type,
        "max_len": length_max,
        "desc": "",
    }

GOOD_CARD = "4242424242424242"


class AcquirerClient:
    """One connection; answers are matched by trace number, so that messages may overtake each other."""

    def __init__(self, terminal_id: str, merchant_id: str) -> None:
        self._common = {"41": terminal_id, "42": merchant_id, "49": "840", "7": "1122080000"}
        self._trace = 0
        self._waiting: dict[str, asyncio.Future[dict[str, str]]] = {}

    async def connect(self, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._listening = asyncio.create_task(self._listen())

    def close(self) -> None:
        self._listening.cancel()
        self._writer.close()

    async def _listen(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(2), "big")
                fields, _ = iso8583.decode(await self._reader.readexactly(length), TERMINAL_SPEC)
                self._waiting.pop(fields["11"]).set_result(dict(fields))
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            for future in self._waiting.values():
                future.set_exception(ConnectionError(type(error).__name__))
            self._waiting.clear()

    async def send(self, kind: str, fields: dict[str, str], timeout_s: float = 5.0) -> dict[str, str]:
        """Send a message and return its answer; raise TimeoutError or ConnectionError."""
        self._trace += 1
        message = self._common | {"t": kind, "11": f"{self._trace:06d}"} | fields
        raw, _ = iso8583.encode({name: value for name, value in message.items() if value}, TERMINAL_SPEC)
        answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._waiting[message["11"]] = answer
        self._writer.write(len(raw).to_bytes(2, "big") + raw)
        await self._writer.drain()
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._waiting.pop(message["11"], None)

    async def authorize(
        self, reference: str, amount: int, *, card: str = GOOD_CARD, sale: bool = False, **more: Any
    ) -> dict[str, str]:
        """Reserve, or with ``sale`` claim at once."""
        timeout_s = more.pop("timeout_s", 5.0)
        fields = {"2": card, "3": "000000", "4": f"{amount:012d}", "14": "3012", "48": reference}
        fields |= {name.removeprefix("f"): value for name, value in more.items()}
        return await self.send("0200" if sale else "0100", fields, timeout_s)

    async def follow(
        self, kind: str, reference: str, original: str, amount: int, **more: str
    ) -> dict[str, str]:
        """Act on an authorization."""
        fields = {"2": GOOD_CARD, "3": "000000", "4": f"{amount:012d}", "48": reference, "62": original}
        return await self.send(kind, fields | {name.removeprefix("f"): value for name, value in more.items()})

    async def refund(self, reference: str, original: str, amount: int) -> dict[str, str]:
        """Send money back."""
        return await self.follow("0200", reference, original, amount, f3="200000")

    async def inquire(self, reference: str) -> dict[str, str]:
        """Ask what became of an act."""
        return await self.send("0600", {"48": reference})
