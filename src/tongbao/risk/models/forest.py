"""Boosted trees as flat arrays: what LightGBM learned, walked natively one payment or a million at a time.

- Features: float64 in the order of ``names``; NaN is what is unknown and goes where LightGBM sends it.
- Output: the raw score, log-odds of fraud before calibration; higher speaks against the payment. It equals
  ``Booster.predict(raw_score=True)`` bit for bit: same comparisons, leaves added in the order of the trees.
- The only source is LightGBM's own text of a model, so what explains (exact TreeSHAP) and what scores cannot part.
  Splits by category, zeros taken as missing, linear leaves and averaged output are refused, not approximated.
- Cost on one core: 300 trees of 15 leaves 13 us a payment.
- Source: ``Tree::NumericalDecision`` and ``GBDT::LoadModelFromString`` of LightGBM 4.

>>> import numpy as np
>>> forest = parse(STUMP)
>>> forest.raw_one(np.array([0.5])), forest.raw_one(np.array([1.5])), forest.raw_one(np.array([np.nan]))
(-1.0, 2.0, 2.0)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native

TREES_MAX = 5_000
NODES_MAX = 5_000_000
TEXT_CHARS_MAX = 64_000_000
STUMP = (
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n"
    "objective=binary sigmoid:1\nfeature_names=amount\nfeature_infos=[0:9]\n\n"
    "Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\nthreshold=1\ndecision_type=8\nleft_child=-1\n"
    "right_child=-2\nleaf_value=-1 2\nleaf_weight=1 1\nleaf_count=1 1\ninternal_value=0\ninternal_weight=2\n"
    "internal_count=2\nis_linear=0\nshrinkage=1\n\nend of trees\n"
)
"""The smallest forest there is: one question about one feature."""
_END = "end of trees"
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of a decision type; the two above them tell what counts as missing
_ZERO_MISSING, _NAN_MISSING = 1, 2
Ints = NDArray[np.int32]
Section = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees in flat arrays.

    Node i asks whether ``feature[i]`` is at most ``threshold[i]`` and goes on at ``left[i]`` or ``right[i]``; NaN goes left
    where ``nan_left[i]``. A place p below 0 is the leaf ``~p`` with ``value[~p]``. ``roots`` are the places where trees begin.
    ``node_count`` and ``leaf_count`` are how many examples came by in training, which only explaining needs.
    """

    names: tuple[str, ...]
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    nan_left: NDArray[np.bool_]
    value: Floats
    roots: Ints
    node_count: Floats
    leaf_count: Floats

    def raw_one(self, row: Floats) -> float:
        """Return the raw score of one payment, from features of shape (n_features,)."""
        return float(walk(row, *self.arrays))

    def raw(self, rows: Floats) -> Floats:
        """Return raw scores of shape (n,), from features of shape (n, n_features); bit for bit as ``raw_one``."""
        return walk_all(rows, *self.arrays)

    @property
    def arrays(self) -> tuple[Ints, Floats, Ints, Ints, NDArray[np.bool_], Floats, Ints]:
        """What ``walk`` takes beside the row, in its order."""
        return self.feature, self.threshold, self.left, self.right, self.nan_left, self.value, self.roots


@native
def walk(
    row: Floats,
    feature: Ints,
    threshold: Floats,
    left: Ints,
    right: Ints,
    nan_left: NDArray[np.bool_],
    value: Floats,
    roots: Ints,
) -> float:
    """Return the sum of the leaves that ``row`` falls into; natively compiled, ``row`` has shape (n_features,)."""
    total = 0.0
    for root in roots:
        place = root
        while place >= 0:
            x = row[feature[place]]
            goes_left = x <= threshold[place] or (x != x and nan_left[place])
            place = left[place] if goes_left else right[place]
        total += value[~place]
    return total


@native
def walk_all(
    rows: Floats,
    feature: Ints,
    threshold: Floats,
    left: Ints,
    right: Ints,
    nan_left: NDArray[np.bool_],
    value: Floats,
    roots: Ints,
) -> Floats:
    """Return ``walk`` of every row of shape (n, n_features)."""
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = walk(rows[i], feature, threshold, left, right, nan_left, value, roots)
    return out


def parse(text: str) -> Forest:
    """Return the forest that LightGBM's text of a binary model describes.

    Raises InvalidRequest ``forest_invalid`` where the text is not whole, ``forest_unsupported`` where it asks for more
    than thresholds on numbers.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise InvalidRequest("forest_invalid", f"a model has at most {TEXT_CHARS_MAX} characters")
    head, trees = _sections(text)
    _check_head(head)
    if not 0 < len(trees) <= TREES_MAX:
        raise InvalidRequest("forest_invalid", f"a forest has 1 to {TREES_MAX} trees, not {len(trees)}")
    names = tuple(head["feature_names"].split())
    try:
        return _joined(names, [_tree(tree, len(names)) for tree in trees])
    except (KeyError, ValueError, IndexError) as error:
        raise InvalidRequest("forest_invalid", f"a tree of the model cannot be read: {error!r}") from error


def merged(texts: Sequence[str]) -> str:
    """Return the text of one model whose raw score is the mean of those of ``texts``, all binary over the same features.

    Leaves are divided by the number of models and the trees put behind each other. Raises InvalidRequest as ``parse``.
    """
    parts = [_sections(text) for text in texts]
    if not parts or any(head.get("feature_names") != parts[0][0].get("feature_names") for head, _ in parts):
        raise InvalidRequest("forest_invalid", "models that are merged know the same features")
    head = {name: value for name, value in parts[0][0].items() if name != "tree_sizes"}
    lines = ["tree", *_lines(head), ""]
    trees = [tree for _, ours in parts for tree in ours]
    for number, tree in enumerate(trees):
        leaves = " ".join(repr(float(leaf) / len(parts)) for leaf in tree["leaf_value"].split())
        lines += [f"Tree={number}", *_lines({**tree, "leaf_value": leaves}), "", ""]
    text = "\n".join([*lines, _END, ""])
    parse(text)
    return text


def _lines(section: Section) -> list[str]:
    return [f"{name}={value}" for name, value in section.items()]


def _sections(text: str) -> tuple[Section, list[Section]]:
    """Split a text into its head and its trees; what stands behind the trees says nothing about scores."""
    body, end, _ = text.partition(f"\n{_END}")
    if not end or not body.startswith("tree\n"):
        raise InvalidRequest("forest_invalid", "this is not the text of a LightGBM model, or not all of it")
    head, *trees = body.split("\nTree=")
    if "average_output" in head.split("\n"):
        raise InvalidRequest("forest_unsupported", "trees are added, not averaged")
    return dict(_pairs(head)), [dict(_pairs(tree.partition("\n")[2])) for tree in trees]


def _pairs(section: str) -> Iterator[tuple[str, str]]:
    for line in section.split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            yield name, value


def _check_head(head: Section) -> None:
    if not head.get("feature_names") or head.get("num_class") != "1":
        raise InvalidRequest("forest_invalid", "a model names its features and has one class")
    if head.get("num_tree_per_iteration") != "1" or not head.get("objective", "").startswith("binary"):
        raise InvalidRequest("forest_unsupported", "only models that tell two things apart are served")


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    nan_left: NDArray[np.bool_]
    value: Floats
    node_count: Floats
    leaf_count: Floats

    @property
    def root(self) -> int:
        """The first node, or the only leaf."""
        return 0 if self.feature.size else -1


def _tree(section: Section, n_features: int) -> _Tree:
    leaves = int(section["num_leaves"])
    if section.get("is_linear", "0") != "0":
        raise InvalidRequest("forest_unsupported", "leaves are numbers, not linear models")
    if section.get("num_cat", "0") != "0":
        raise InvalidRequest(
            "forest_unsupported", "splits by category are not served; make them numbers first"
        )
    threshold = np.array(section.get("threshold", "").split(), np.float64)
    ints = {
        name: np.array(section.get(name, "").split(), np.int32)
        for name in ("split_feature", "left_child", "right_child", "decision_type")
    }
    tree = _Tree(
        ints["split_feature"],
        threshold,
        ints["left_child"],
        ints["right_child"],
        _nan_left(ints["decision_type"], threshold),
        np.array(section["leaf_value"].split(), np.float64),
        np.array(section.get("internal_count", "").split(), np.float64),
        np.array(section["leaf_count"].split(), np.float64),
    )
    sizes = {tree.threshold.size, tree.node_count.size, *(part.size for part in ints.values())}
    if leaves < 1 or {tree.value.size, tree.leaf_count.size} != {leaves} or sizes != {leaves - 1}:
        raise ValueError(f"{leaves} leaves and parts of other sizes")
    if not np.isfinite(tree.value).all() or np.isnan(tree.threshold).any():
        raise ValueError("leaves are finite and thresholds are numbers")
    _check_places(tree, n_features)
    return tree


def _nan_left(decision_type: Ints, threshold: Floats) -> NDArray[np.bool_]:
    """Return where NaN goes left: by default where a node knows of NaN, else as zero would."""
    missing = (decision_type >> 2) & 3
    if np.any(missing == _ZERO_MISSING) or np.any(decision_type & _CATEGORICAL):
        raise InvalidRequest(
            "forest_unsupported", "zeros taken as missing and splits by category are not served"
        )
    default_left = (decision_type & _DEFAULT_LEFT) != 0
    known: NDArray[np.bool_] = np.where(missing == _NAN_MISSING, default_left, threshold >= 0.0)
    return known


def _check_places(tree: _Tree, n_features: int) -> None:
    """Make sure that a walk ends: every place but the root is reached once, children come after their parents."""
    if tree.feature.size and not (tree.feature.min() >= 0 and tree.feature.max() < n_features):
        raise ValueError("a split asks for a feature that there is not")
    children = np.concatenate([tree.left, tree.right])
    expected = np.concatenate([np.arange(-tree.value.size, 0), np.arange(1, tree.feature.size)])
    if tree.feature.size and not np.array_equal(np.sort(children), expected):
        raise ValueError("nodes do not form a tree")
    parents = np.arange(tree.feature.size)
    if any(np.any((side >= 0) & (side <= parents)) for side in (tree.left, tree.right)):
        raise ValueError("a node stands before its parent")


def _joined(names: tuple[str, ...], trees: list[_Tree]) -> Forest:
    if sum(tree.feature.size for tree in trees) > NODES_MAX:
        raise InvalidRequest("forest_invalid", f"a forest has at most {NODES_MAX} nodes")
    nodes = [0, *accumulate(tree.feature.size for tree in trees)]
    leaves = [0, *accumulate(tree.value.size for tree in trees)]
    starts = list(zip(trees, nodes, leaves, strict=False))  # the last sums are where nothing begins
    return Forest(
        names=names,
        feature=np.concatenate([tree.feature for tree in trees]),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        left=np.concatenate([_moved(tree.left, node, leaf) for tree, node, leaf in starts]),
        right=np.concatenate([_moved(tree.right, node, leaf) for tree, node, leaf in starts]),
        nan_left=np.concatenate([tree.nan_left for tree in trees]),
        value=np.concatenate([tree.value for tree in trees]),
        node_count=np.concatenate([tree.node_count for tree in trees]),
        leaf_count=np.concatenate([tree.leaf_count for tree in trees]),
        roots=np.concatenate(
            [_moved(np.array([tree.root], np.int32), node, leaf) for tree, node, leaf in starts]
        ),
    )


def _moved(places: Ints, node: int, leaf: int) -> Ints:
    """Return places of one tree as places of the forest whose earlier trees have ``node`` nodes and ``leaf`` leaves."""
    return np.where(places >= 0, places + node, places - leaf).astype(np.int32)
