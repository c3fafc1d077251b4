"""Our own drawings, of one stroke on a grid of 20: one sprite, served once under a name that carries its hash.

A drawing is decoration: the words beside it, or the label of its button, say what it means.
"""

from markupsafe import Markup

from tongbao.web.ui.assets import Asset, hashed

_SHAPES = {
    "alert": "M10 3 2.5 16.5h15zM10 8.5v3.5M10 14.3v.1",
    "auto": "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
    "bank": "M3 8 10 3.5 17 8zM4.5 16.5h11M5.5 8v6M10 8v6M14.5 8v6",
    "bell": "M5 14V9a5 5 0 0 1 10 0v5l1.5 1.5h-13zM8.5 17.5h3",
    "bill": "M5 2.5h10v15l-2.5-1.5-2.5 1.5-2.5-1.5L5 17.5zM8 6.5h4M8 10h4",
    "book": "M4 3.5h9a3 3 0 0 1 3 3v10H7a3 3 0 0 1-3-3zM4 13.5a2.5 2.5 0 0 1 2.5-2H16",
    "calendar": "M3.5 5h13v11.5h-13zM3.5 8.5h13M7 3v3M13 3v3",
    "card": "M2.5 5h15v10.5h-15zM2.5 8.5h15M5.5 12.5h3",
    "chart": "M3 3v14h14M6 13l3-4 3 2 4-6",
    "check": "m4 10.5 4 4 8-9",
    "clock": "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15M10 6v4l2.5 2",
    "close": "m5 5 10 10M15 5 5 15",
    "code": "m7 6-4 4 4 4M13 6l4 4-4 4M11.5 4l-3 12",
    "columns": "M3 4h14v12H3zM8 4v12M12.5 4v12",
    "copy": "M7 7h9.5v9.5H7zM4 13H3.5V3.5H13V4",
    "dot": "M10 7.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
    "down": "m5 8 5 5 5-5",
    "download": "M10 3v9M6 8.5l4 4 4-4M3.5 16.5h13",
    "empty": "M3 11 5.5 4h9L17 11v5.5H3zM3 11h4l1 2h4l1-2h4",
    "eye": "M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10M10 7.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
    "filter": "M3 5h14M6 10h8M8.5 15h3",
    "flag": "M5 17.5V3M5 4h10l-2 3.5 2 3.5H5",
    "freeze": "M10 2.5v15M3.5 6.200l13 7.600M16.5 6.200l-13 7.600",
    "globe": "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15M2.5 10h15M10 2.5c-5 5-5 10 0 15M10 2.5c5 5 5 10 0 15",
    "heart": "M10 16.5 3.5 10a4 4 0 0 1 6.5-4.5A4 4 0 0 1 16.5 10z",
    "home": "m2.5 9.5 7.5-6.5 7.5 6.5M5 8v8.5h10V8M8.5 16.5v-5h3v5",
    "info": "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15M10 9v5M10 6.300v.1",
    "key": "M7 8.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M9.5 9.5 16.5 3M13 6l3 3",
    "left": "m12.5 4.5-5.5 5.5 5.5 5.5",
    "link": "M8.5 11.5a3 3 0 0 0 4.5.5l3-3a3 3 0 0 0-4.5-4.5L10.5 6M11.5 8.5a3 3 0 0 0-4.5-.5l-3 3a3 3 0 0 0 4.5 4.5l1-1.5",
    "lock": "M4.5 9h11v8h-11zM7 9V6a3 3 0 0 1 6 0v3",
    "mail": "M2.5 4.5h15v11h-15zM2.5 5.5l7.5 6 7.5-6",
    "menu": "M3 5h14M3 10h14M3 15h14",
    "minus": "M4 10h12",
    "moon": "M16 12A7 7 0 0 1 8 4a7 7 0 1 0 8 8",
    "more": "M4.5 10v.1M10 10v.1M15.5 10v.1",
    "person": "M10 3a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M3.5 17c.5-6 12.5-6 13 0",
    "people": "M7.5 4a3 3 0 1 0 0 6 3 3 0 0 0 0-6M2 16.5c.5-5.5 10.5-5.5 11 0M13 4.5a3 3 0 0 1 0 5.5M15 12.5c2 .5 3 2 3.200 4",
    "phone": "M6 2.5h8v15H6zM9 15h2",
    "plus": "M10 4v12M4 10h12",
    "print": "M5.5 7.5V3h9v4.5M5.5 14H3V7.5h14V14h-2.5M5.5 11.5h9V17h-9z",
    "qr": "M3 3h5.5v5.5H3zM11.5 3H17v5.5h-5.5zM3 11.5h5.5V17H3zM11.5 11.5h2.5V14M17 11.5v2.5M11.5 17H14M17 17v.1",
    "refresh": "M16.5 10a6.5 6.5 0 1 1-2-4.700M16.5 3v4h-4",
    "refund": "M7 4 3.5 7.5 7 11M3.5 7.5H12a4.5 4.5 0 0 1 0 9H7",
    "right": "m7.5 4.5 5.5 5.5-5.5 5.5",
    "route": "M5 3.5a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600M15 12.900a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600M5 7v3a3 3 0 0 0 3 3h5M7 5h4a4 4 0 0 1 4 4v3.5",
    "rules": "M3.5 5h5M11.5 5h5M3.5 10h9M15.5 10h1M3.5 15h2M8.5 15h8",
    "scale": "M10 3v14M6 17h8M3.5 6h13M3.5 6 1.5 11.5h4zM16.5 6l-2 5.5h4z",
    "search": "M8.5 3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M12.5 12.5 17 17",
    "settings": "M3 6h8M15 6h2M13 4a2 2 0 1 0 0 4 2 2 0 0 0 0-4M3 14h2M9 14h8M7 12a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
    "shield": "M10 2.5 3.5 5v5c0 4 3 6.5 6.5 7.5 3.5-1 6.5-3.5 6.5-7.5V5z",
    "shop": "M3.5 8v8.5h13V8M2.5 8l1.5-4.5h12L17.5 8zM8 16.5v-4.5h4v4.5",
    "sign_out": "M8 3.5H3.5v13H8M8 10h9M13.5 6.5 17 10l-3.5 3.5",
    "sound": "M3 8v4h3l4 3.5v-11L6 8zM13 7.5a4 4 0 0 1 0 5M15 5a7 7 0 0 1 0 10",
    "sun": "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.300 4.300l1.100 1.100M14.600 14.600l1.100 1.100M4.300 15.700l1.100-1.100M14.600 5.400l1.100-1.100",
    "swap": "M3 7h13M12.5 3.5 16 7l-3.5 3.5M17 13H4M7.5 9.5 4 13l3.5 3.5",
    "table": "M3 4h14v12H3zM3 8h14M3 12h14M8 8v8",
    "text": "M2.5 16 7 4l4.5 12M4 12h6M12.5 16l2.5-7 2.5 7M13.300 13.700h3.5",
    "trash": "M3.5 5.5h13M8 5.5V3.5h4v2M5 5.5l1 11h8l1-11M8.5 8.5v5M11.5 8.5v5",
    "up": "m5 12 5-5 5 5",
    "wall": "M2.5 4h15v10h-15zM7 17h6M10 14v3",
    "wallet": "M3 5.5h13.5v11H3zM3 5.5 13 3v2.5M13 11v.1",
    "webhook": "M7 8a3 3 0 1 1 4.5 0l2 4M8.5 7.5 6 12M4.5 11.5a3 3 0 1 0 3.5 3h5M14 12a3 3 0 1 1-1 5",
}
NAMES = frozenset(_SHAPES)
"""What can be drawn."""


def sprite() -> bytes:
    """Return the file with all drawings, each a symbol named as in ``NAMES``."""
    symbols = "".join(
        f'<symbol id="{name}" viewBox="0 0 20 20"><path d="{path}"/></symbol>'
        for name, path in _SHAPES.items()
    )
    shared = (
        'fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"'
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg"><g {shared}>{symbols}</g></svg>'.encode()


SPRITE = hashed("icons.svg", Asset(sprite(), "image/svg+xml"))
"""The address of the sprite."""
_DRAWN = {
    name: Markup(
        '<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>'
    ).format(SPRITE, name)
    for name in _SHAPES
}


def icon(name: str) -> Markup:
    """Return a drawing to stand in a page; raise KeyError for an unknown name."""
    return _DRAWN[name]
