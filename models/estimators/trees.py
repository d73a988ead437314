"""Boosted decision trees as arrays: no pickle, the same answers as scikit-learn's, on any device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from landshift.pipeline.errors import InputError

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

MOST_DEPTH = 64
"""Questions in a row that a tree may ask; a file that holds more is damaged."""

QUESTIONS = 8
"""Questions of a tree whose answers are looked up in a table, two to their power long; larger trees are walked through."""

_CHUNK = 1 << 13
"""Rows that go through the trees together: their values stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class TreeArrays:
    """Trees one after another; a node is a row of the arrays, and its two children are neighbours that come after it."""

    root: np.ndarray
    """int32 (tree,): the node that each tree begins with."""
    feature: np.ndarray
    """int32 (node,): which value is asked for; 0 in a leaf."""
    threshold: np.ndarray
    """float32 (node,): up to it a row goes on to the first child, above it to the second; infinite in a leaf."""
    child: np.ndarray
    """int32 (node,): the first child, the second is the node after it; the node itself in a leaf."""
    value: np.ndarray
    """float32 (node,): what a row that ends there adds to the logit of the tree's class; 0 in a node that is no leaf."""
    column: np.ndarray
    """int32 (tree,): the class whose logit a tree adds to."""
    start: np.ndarray
    """float32 (class,): the logits before any tree."""


NEVER = -50.0
"""Logit of a class that no label had."""


def arrays_of(boosted: "HistGradientBoostingClassifier", classes: int) -> TreeArrays:
    """Return the arrays of boosted trees of scikit-learn, without categories among their values.

    Args:
        boosted: Fitted with labels that are indices below `classes`.
        classes: Length of the logits; a class that no label had is never the answer.
    """
    known = np.asarray(boosted.classes_, dtype=np.int64)
    # Two classes have one logit, the gap to a class whose logit is 0.
    columns = known if len(known) > 2 else known[1:]
    start = np.full(classes, NEVER, dtype=np.float32)
    start[known] = 0
    start[columns] = np.ravel(boosted._baseline_prediction)
    roots, targets, parts, first = [], [], [], 0
    for round_ in boosted._predictors:
        for column, fitted in zip(columns, round_, strict=True):
            nodes = fitted.nodes
            leaf = nodes["is_leaf"].astype(bool)
            order, child = _with_neighbours(leaf, nodes["left"], nodes["right"])
            nodes, leaf = nodes[order], leaf[order]
            threshold = np.where(leaf, np.float32(np.inf), _round_down(nodes["num_threshold"]))
            parts.append((
                np.where(leaf, 0, nodes["feature_idx"]), threshold, child + first, np.where(leaf, nodes["value"], 0),
            ))  # fmt: skip
            roots.append(first)
            targets.append(column)
            first += len(nodes)
    feature, threshold, child, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    return TreeArrays(
        np.array(roots, dtype=np.int32), feature.astype(np.int32), threshold.astype(np.float32), child.astype(np.int32),
        value=value.astype(np.float32), column=np.array(targets, dtype=np.int32), start=start,
    )  # fmt: skip


def _with_neighbours(leaf: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes of a tree in an order in which siblings are neighbours, and the first child of each in that order."""
    order, child = [0], []
    for place, node in enumerate(order):
        if leaf[node]:
            child.append(place)
        else:
            child.append(len(order))
            order += [int(left[node]), int(right[node])]
    return np.array(order), np.array(child)


def _round_down(threshold: np.ndarray) -> np.ndarray:
    """Return the largest float32 up to each threshold: a float32 lies below the one where it lies below the other."""
    single = threshold.astype(np.float32)
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)


class Trees(nn.Module):
    """Trees that add up to logits (gradient boosting: Friedman 2001, doi:10.1214/aos/1013203451)."""

    root: Tensor
    feature: Tensor
    threshold: Tensor
    child: Tensor
    value: Tensor
    column: Tensor
    start: Tensor

    def __init__(self, classes: int, arrays: TreeArrays | None = None) -> None:
        """Hold trees; without arrays a single leaf for which all classes are alike, until weights are loaded."""
        super().__init__()
        given = arrays or _leaf(classes)
        for name in _NAMES:
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(getattr(given, name))))
        self._classes, self._depth = classes, _depth_of(given)
        self._tables = _tables_of(given, self._depth)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logit of each class, float32 (n, class), for values (n, d), without NaN."""
        parts, tables = torch.split(rows.float(), _CHUNK), self._tables
        return torch.cat([self._walk(part) if tables is None else self._look_up(part, tables) for part in parts])

    def _look_up(self, rows: Tensor, tables: "list[_Table]") -> Tensor:
        """Ask all the questions of a tree, each of all rows at once: faster than to follow each row, with the same answer."""
        values = rows.T.contiguous()
        total = self.start[:, None].repeat(1, len(rows))
        for column, table in zip(self.column.tolist(), tables, strict=True):
            code = torch.zeros(len(rows), dtype=torch.uint8, device=rows.device)
            for feature, threshold, bit in table.questions:
                code.add_((values[feature] > threshold).view(torch.uint8), alpha=bit)
            total[column] += table.values.to(rows.device).index_select(0, code.int())
        return total.T

    def _walk(self, rows: Tensor) -> Tensor:
        flat = rows.reshape(-1)
        first = torch.arange(len(rows), dtype=torch.int32, device=rows.device) * rows.shape[1]
        total = self.start.repeat(len(rows), 1)
        for root, column in zip(self.root, self.column.tolist(), strict=True):
            node = root.repeat(len(rows))
            for _ in range(self._depth):
                # `index_select`, because it is four times as fast here as an index in brackets.
                asked = flat.index_select(0, first + self.feature.index_select(0, node))
                node = self.child.index_select(0, node) + (asked > self.threshold.index_select(0, node))
            total[:, column] += self.value.index_select(0, node)
        return total

    def require_values(self, count: int) -> None:
        """Refuse trees that ask for values beyond the ones there are.

        Raises:
            InputError: They do.
        """
        highest = int(self.feature.max())
        if highest >= count:
            raise InputError(f"The trees ask for value {highest + 1} of a pixel, and it has {count}: the model is damaged.")

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        """Take trees of any size.

        Raises:
            InputError: The arrays are no trees.
        """
        found = {name: state_dict.get(prefix + name) for name in _NAMES}
        arrays = {name: value.cpu().numpy() for name, value in found.items() if value is not None}
        if len(arrays) == len(_NAMES):
            given = TreeArrays(**arrays)
            _check(given, self._classes)
            self._depth = _depth_of(given)
            self._tables = _tables_of(given, self._depth)
            for name in _NAMES:
                own = getattr(self, name)
                setattr(self, name, torch.empty(arrays[name].shape, dtype=own.dtype, device=own.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Table:
    """A tree that asks few questions: what follows from each set of answers."""

    questions: tuple[tuple[int, float, int], ...]
    """Value, threshold, and the bit that is set where the value lies above it."""
    values: Tensor
    """float32 (2 ** questions,): what a row adds to the logit, by the bits of its answers."""


def _tables_of(arrays: TreeArrays, depth: int) -> list[_Table] | None:
    """Return a table for each tree; None where a tree asks more than `QUESTIONS`."""
    found = []
    for root in arrays.root.tolist():
        nodes = np.array([root])
        for _ in range(depth):
            nodes = np.union1d(
                nodes, np.concatenate([arrays.child[nodes], arrays.child[nodes] + (arrays.child[nodes] != nodes)])
            )
        asking = nodes[arrays.child[nodes] != nodes]
        if len(asking) > QUESTIONS:
            return None
        bit = np.zeros(nodes.max() + 1, dtype=np.int64)
        bit[asking] = 1 << np.arange(len(asking))
        answers = np.arange(1 << len(asking))
        ends = np.full(len(answers), root)
        for _ in range(depth):
            ends = arrays.child[ends] + ((answers & bit[ends]) > 0)
        questions = zip(arrays.feature[asking].tolist(), arrays.threshold[asking].tolist(), bit[asking].tolist(), strict=True)
        found.append(_Table(tuple(questions), torch.from_numpy(arrays.value[ends])))
    return found


_NAMES = ("root", "feature", "threshold", "child", "value", "column", "start")


def _leaf(classes: int) -> TreeArrays:
    """Return a single leaf, for which all classes are alike."""
    zero, none = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.float32)
    endless = np.full(1, np.inf, dtype=np.float32)
    return TreeArrays(zero, zero, endless, zero, value=none, column=zero, start=np.zeros(classes, dtype=np.float32))


def _check(arrays: TreeArrays, classes: int) -> None:
    """Refuse arrays that would lead nowhere, or round and round.

    Raises:
        InputError: They do.
    """
    nodes = len(arrays.feature)
    places: Sequence[np.ndarray] = (arrays.root, arrays.feature, arrays.child, arrays.column)
    numbers: Sequence[np.ndarray] = (arrays.value, arrays.start)
    fits = (
        nodes > 0 and arrays.root.size > 0 and all(v.ndim == 1 and v.dtype == np.int32 and v.min() >= 0 for v in places)
        and len(arrays.child) == len(arrays.threshold) == len(arrays.value) == nodes and arrays.root.max() < nodes
        and len(arrays.column) == len(arrays.root) and arrays.column.max() < classes and arrays.start.shape == (classes,)
        and all(np.isfinite(v).all() for v in numbers)
    )  # fmt: skip
    if fits:
        own = np.arange(nodes)
        leaf = (arrays.child == own) & (arrays.threshold == np.inf)
        fits = bool((leaf | ((arrays.child > own) & (arrays.child < nodes - 1) & np.isfinite(arrays.threshold))).all())
    if not fits:
        raise InputError("The arrays of the trees do not belong together: the model is damaged.")


def _depth_of(arrays: TreeArrays) -> int:
    """Return how many questions the deepest leaf takes.

    Raises:
        InputError: More than `MOST_DEPTH`.
    """
    level, depth = np.unique(arrays.root), 0
    while True:
        inner = level[arrays.child[level] != level]
        if not inner.size:
            return depth
        depth += 1
        if depth > MOST_DEPTH:
            raise InputError(f"A tree asks more than {MOST_DEPTH} questions in a row: the model is damaged.")
        level = np.unique(np.concatenate([arrays.child[inner], arrays.child[inner] + 1]))
