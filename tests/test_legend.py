"""Change codes are dense and small, and the lookup is the inverse of the list of changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import MAX_CLASSES, NOT_OBSERVED, UNCHANGED, LandUse, Legend

THREE = Legend((LandUse(1, "Forest", "#006400"), LandUse(4, "Cropland", "#ffcc00"), LandUse(9, "Built-up", "#cc0000")))
LEGENDS = st.lists(st.integers(1, MAX_CLASSES), min_size=2, max_size=MAX_CLASSES, unique=True).map(
    lambda codes: Legend(tuple(LandUse(c, f"Class {c}", f"#{c * 15:02x}{255 - c:02x}40") for c in sorted(codes)))
)


def test_changes_are_numbered_in_legend_order() -> None:
    assert [(c.code, c.name, c.from_code, c.to_code) for c in THREE.changes] == [
        (0, "Not observed", None, None), (1, "Unchanged", None, None),
        (2, "Forest to Cropland", 1, 4), (3, "Forest to Built-up", 1, 9), (4, "Cropland to Forest", 4, 1),
        (5, "Cropland to Built-up", 4, 9), (6, "Built-up to Forest", 9, 1), (7, "Built-up to Cropland", 9, 4),
    ]  # fmt: skip
    assert not THREE.binary


def test_a_binary_project_has_three_codes() -> None:
    assert Legend().binary
    assert [(c.code, c.name) for c in Legend().changes] == [(0, "Not observed"), (1, "Unchanged"), (2, "Changed")]
    assert not Legend().change_lookup().any()


@settings(deadline=None)
@given(LEGENDS)
def test_codes_are_dense_and_fit_a_byte(legend: Legend) -> None:
    codes = [c.code for c in legend.changes]
    assert codes == list(range(len(legend.classes) * (len(legend.classes) - 1) + 2))
    assert codes[-1] < 255
    assert len({c.name for c in legend.changes}) == len(codes)


@settings(deadline=None)
@given(LEGENDS)
def test_the_lookup_is_the_inverse_of_the_changes(legend: Legend) -> None:
    lookup = legend.change_lookup()
    known = {c.code for c in legend.classes}
    assert lookup.shape == (17, 17)
    assert lookup.dtype == np.uint8
    for before, after in np.ndindex(17, 17):
        code = int(lookup[before, after])
        if before not in known or after not in known:
            assert code == NOT_OBSERVED
        elif before == after:
            assert code == UNCHANGED
        else:
            change = legend.changes[code]
            assert (change.from_code, change.to_code) == (before, after)


@settings(deadline=None)
@given(LEGENDS)
def test_colours_are_colours(legend: Legend) -> None:
    for change in legend.changes:
        assert len(bytes.fromhex(change.colour.removeprefix("#"))) == 3


def test_changes_to_one_class_can_be_told_apart() -> None:
    to_cropland = [c.colour for c in THREE.changes if c.to_code == 4]
    assert len(set(to_cropland)) == 2


def test_names_are_found_whatever_their_case() -> None:
    assert THREE.code_of("cropLAND") == 4
    with pytest.raises(
        InputError, match=r"'Forrest' is not in the legend \(Forest, Cropland, Built-up\). Did you mean 'Forest'"
    ):
        THREE.code_of("Forrest")
    with pytest.raises(InputError, match="'Sea' is not in the legend"):
        THREE.code_of("Sea")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([(1, "Forest")], "one class, 'Forest'"),
        ([(0, "Forest"), (1, "Water")], "has code 0"),
        ([(1, "Forest"), (17, "Water")], "has code 17"),
        ([(1, "Forest"), (1, "Water")], "its own code"),
        ([(2, "Forest"), (1, "Water")], "ascending"),
        ([(1, "Forest"), (2, "Forest")], "its own name"),
        ([(1, "Forest"), (2, "forest")], "its own name"),
    ],
)
def test_legends_that_mean_nothing(classes: list[tuple[int, str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Legend(tuple(LandUse(code, name, "#006400") for code, name in classes))
