"""Trees as arrays: the same answers as scikit-learn, from a file that holds no code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.ensemble import HistGradientBoostingClassifier

from landshift.models.estimators.trees import QUESTIONS, TreeArrays, Trees, arrays_of
from landshift.pipeline.errors import InputError


def stump(threshold: float = 0.5) -> TreeArrays:
    """One question of the second value: up to the threshold -2 for class 1, above it 3; class 0 starts at 1."""
    inf = float("inf")
    root, feature, child, column = (np.array(v, dtype=np.int32) for v in ([0], [1, 0, 0], [1, 1, 2], [1]))
    known, value, start = (np.array(v, dtype=np.float32) for v in ([threshold, inf, inf], [0, -2, 3], [1, 0]))
    return TreeArrays(root, feature, known, child, value=value, column=column, start=start)


def boosted(rows: np.ndarray, labels: np.ndarray, **settings: Any) -> HistGradientBoostingClassifier:
    given = {"max_iter": 7, "max_leaf_nodes": 6, "min_samples_leaf": 5, "early_stopping": False, "random_state": 0, **settings}
    return HistGradientBoostingClassifier(**given).fit(rows, labels, sample_weight=np.linspace(0.1, 3, len(rows)))


def drawn(classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, 6)).astype(np.float32)
    # Values that repeat lie on thresholds, where left and right are told apart by the last bit.
    rows[:, 2] = np.round(rows[:, 2], 1)
    labels = np.digitize(rows[:, 0] + rows[:, 2] + rng.normal(0, 0.3, 400), np.linspace(-1, 1, classes - 1))
    return rows, labels.astype(np.int64)


def test_a_question_sends_a_row_on_up_to_the_threshold() -> None:
    rows = torch.tensor([[9.0, 0.4], [9.0, 0.5], [-9.0, 0.6]])
    assert Trees(2, stump())(rows).tolist() == [[1, -2], [1, -2], [1, 3]]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("leaves", [6, QUESTIONS + 1, 31])
def test_probabilities_are_those_of_scikit_learn(classes: int, leaves: int) -> None:
    """Trees of few questions are tables, larger ones are walked through."""
    seed = leaves
    rows, labels = drawn(classes, seed)
    fitted = boosted(rows, labels, max_leaf_nodes=leaves)
    asked = np.concatenate([rows, drawn(classes, seed=seed + 100)[0]])
    found = torch.softmax(Trees(classes, arrays_of(fitted, classes))(torch.from_numpy(asked)), dim=1)
    np.testing.assert_allclose(found.numpy(), fitted.predict_proba(asked), atol=1e-6)


@pytest.mark.parametrize("labelled", [[0, 2], [0, 2, 3]])
def test_a_class_without_labels_is_never_the_answer(labelled: list[int]) -> None:
    rows, labels = drawn(len(labelled))
    fitted = boosted(rows, np.array(labelled)[labels])
    found = torch.softmax(Trees(5, arrays_of(fitted, 5))(torch.from_numpy(rows)), dim=1).numpy()
    np.testing.assert_allclose(found[:, labelled], fitted.predict_proba(rows), atol=1e-6)
    assert found.max(axis=0)[[c for c in range(5) if c not in labelled]].max() < 1e-9


def test_trees_of_any_size_come_back_from_a_file(tmp_path: Path) -> None:
    rows, labels = drawn(3)
    trees = Trees(3, arrays_of(boosted(rows, labels), 3))
    save_file(trees.state_dict(), tmp_path / "trees.safetensors")
    again = Trees(3)
    again.load_state_dict(load_file(tmp_path / "trees.safetensors"))
    assert torch.equal(again(torch.from_numpy(rows)), trees(torch.from_numpy(rows)))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("child", [2, 1, 2]),  # its second child is past the end
        ("child", [0, 1, 2]),  # a question that leads back to itself
        ("child", [-1, 1, 2]),
        ("threshold", [float("nan"), float("inf"), float("inf")]),
        ("feature", [-1, 0, 0]),
        ("value", [0, float("nan"), 0]),
        ("value", [0]),
        ("column", [2]),
        ("start", [0]),
        ("root", [3]),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name: str, values: list[object]) -> None:
    state = Trees(2, stump()).state_dict()
    state[name] = torch.tensor(values, dtype=state[name].dtype)
    with pytest.raises(InputError, match="damaged"):
        Trees(2).load_state_dict(state)


def test_trees_that_ask_for_a_value_that_is_not_there_are_refused() -> None:
    trees = Trees(2, stump())
    trees.require_values(2)
    with pytest.raises(InputError, match="value 2 of a pixel, and it has 1"):
        trees.require_values(1)
