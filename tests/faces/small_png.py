"""Pictures made small: a screenshot's colors are few, so a palette and one byte a pixel keep it sharp at a third of the size.

Decoding is the browser's business; here is what PNG (ISO/IEC 15948) needs to be written with a palette.
"""

import base64
import struct
import zlib

import numpy as np
from playwright.async_api import Page

COLORS_MAX = 128
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = """async (picture) => {
  const image = new Image();
  image.src = 'data:image/png;base64,' + picture;
  await image.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.width, image.height];
  const drawing = canvas.getContext('2d');
  drawing.drawImage(image, 0, 0);
  const bytes = drawing.getImageData(0, 0, image.width, image.height).data;
  let text = '';
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return [image.width, image.height, btoa(text)];
}"""


async def small(blank: Page, picture: bytes) -> bytes:
    """Return a screenshot with a palette; ``blank`` is a page of nowhere, whose browser decodes it."""
    width, height, text = await blank.evaluate(_PIXELS, base64.b64encode(picture).decode())
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height * width, 4)[:, :3]
    palette, chosen = _palette(pixels)
    return _written(width, height, palette, chosen.reshape(height, width))


def _palette(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> tuple[bytes, np.ndarray]:
    """Return the most frequent colors, and for each pixel the nearest of them."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    kept = colors[np.argsort(counts, kind="stable")[::-1][:COLORS_MAX]]
    nearest = np.abs(_parts(colors)[:, None] - _parts(kept)[None]).sum(axis=2).argmin(axis=1)
    return _parts(kept).astype(np.uint8).tobytes(), nearest[places].astype(np.uint8)


def _parts(colors: "np.ndarray[tuple[int, ...], np.dtype[np.uint32]]") -> np.ndarray:
    """Return red, green and blue of packed colors."""
    return np.stack([colors >> 16, (colors >> 8) & 255, colors & 255], axis=1).astype(np.int32)


def _written(width: int, height: int, palette: bytes, rows: np.ndarray) -> bytes:
    lines = np.zeros((height, width + 1), np.uint8)
    # The byte before each row names its filter: none, which is best for a palette.
    lines[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
