"""Which features a model leans on: the share of each in what its trees gain by splitting. Pure text and arithmetic.

Read from the text of the model itself (LightGBM writes ``split_feature`` and ``split_gain`` for every tree), so nothing has
to be kept beside it. A sum of curves splits nothing: it has no such shares.
"""

from collections import defaultdict
from collections.abc import Sequence

from tongbao.risk.policy.reasons import CODES
from tongbao.risk.schema.models import FEATURES_MAX, FeatureImportance

_FEATURE = "split_feature="
_GAIN = "split_gain="


def importances(names: Sequence[str], text: str) -> tuple[FeatureImportance, ...]:
    """Return the features of the trees in ``text`` with their shares, the heaviest first; nothing for no trees.

    ``names`` are the model's, in the order that the trees count them. At most ``FEATURES_MAX``.
    """
    gains: dict[int, float] = defaultdict(float)
    places: list[int] = []
    for line in text.splitlines():
        if line.startswith(_FEATURE):
            places = [int(each) for each in line.removeprefix(_FEATURE).split()]
        elif line.startswith(_GAIN):
            split = [float(each) for each in line.removeprefix(_GAIN).split()]
            for place, gain in zip(places, split, strict=True):
                gains[place] += max(gain, 0.0)
    total = sum(gains.values())
    if not total:
        return ()
    ordered = sorted(gains.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        FeatureImportance(name=names[place], group=_group(names[place]), share=gain / total)
        for place, gain in ordered[:FEATURES_MAX]
        if gain
    )


def _group(name: str) -> str:
    code = CODES.get(name)
    return name if code is None else code.value
