"""Charts as SVG text made by the server: no library, no script, no inline style. Pure.

Lines take their colours from the style sheet by class; sizes are attributes. The words beside a chart (its
scale, its summary) stay HTML, so that they follow the type scale.
"""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH = 640
HEIGHT = 160
PAD = 6


def step_line(values: Sequence[int], label: str) -> Markup:
    """Return a step line over ``values``, oldest first: each value holds until the next one."""
    low, high = min(values), max(values)
    span = (high - low) or 1
    heights = [HEIGHT - PAD - round((value - low) * (HEIGHT - 2 * PAD) / span, 1) for value in values]
    if low == high:
        heights = [HEIGHT / 2] * len(values)
    width = WIDTH / len(values)
    path = f"M0 {heights[0]:g}" + "".join(
        f"V{height:g}H{(at + 1) * width:.4g}" for at, height in enumerate(heights)
    )
    grid = Markup().join(
        Markup('<path class="grid" d="M0 {}H{}"/>').format(y, WIDTH) for y in (PAD, HEIGHT // 2, HEIGHT - PAD)
    )
    return Markup(
        '<svg class="line" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '{grid}<path class="under" d="{path}V{h}H0Z"/><path class="over" d="{path}"/></svg>'
    ).format(w=WIDTH, h=HEIGHT, label=label, grid=grid, path=path)
