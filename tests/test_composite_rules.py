"""Several observations of a pixel become one, whatever their order, and what was not observed has no say."""

import tracemalloc
from datetime import date
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landshift.pipeline.epochs import compose as composite
from landshift.pipeline.epochs.compose import compose
from landshift.pipeline.epochs.rules import STACKED, CompositeRule, median, medoid
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.scene import Epoch, Scene, Source
from landshift.pipeline.scenes.sensors import custom_sensor
from landshift.pipeline.tiles import Window

NAN = np.nan
TWO = custom_sensor(["red", "nir"], scale=1, offset=0, nodata=0, units="numbers")
RULES: tuple[CompositeRule, ...] = get_args(CompositeRule)


def grid(height: int, width: int) -> Grid:
    return grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (height, width), "EPSG:32651")


def scene(folder: Path, day: int, numbers: np.ndarray, cloud_cover: float | None = None) -> Scene:
    """A scene of two bands, 0 = not observed."""
    on = grid(*numbers.shape[1:])
    path = write_raster(folder / f"{day:02}.tif", numbers.astype(np.uint16), on)
    bands = {name: Source(path, number) for number, name in enumerate(("red", "nir"), start=1)}
    return Scene(f"{day:02}", date(2020, 6, day), TWO, bands, None, on, 0, cloud_cover)


def composed(folder: Path, rule: CompositeRule, *scenes: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the image (band, y, x), how often each pixel was observed, and the day of June that it is of."""
    epoch = Epoch("before", date(2020, 6, 1), date(2020, 6, 30), scenes)
    compose(epoch, ["red", "nir"], scenes[0].grid, folder / "i.tif", folder / "o.tif", lambda share: None, rule)
    image = np.stack([read_raster(folder / "i.tif", band)[0] for band in (1, 2)])
    count, days = (read_raster(folder / "o.tif", band)[0] for band in (1, 2))
    return image, count, np.where(days < 0, -1, days - (date(2020, 5, 31) - date(1970, 1, 1)).days)


def pixel(*observations: tuple[float, float]) -> np.ndarray:
    """One pixel, as (observation, band, 1, 1)."""
    return np.array(observations, dtype=np.float32)[:, :, None, None]


@pytest.mark.parametrize(
    ("observations", "middle", "nearest"),
    [
        ([(1, 9), (2, 7), (9, 8)], (2, 8), 1),  # odd: the middle one of each band, a spectrum that nobody measured
        ([(1, 1), (4, 2)], (2.5, 1.5), 0),  # even: the mean of the middle two; of equally near days the first
        ([(1, 1), (2, 2), (4, 4), (90, 90)], (3, 3), 1),
        ([(NAN, NAN), (5, 6), (NAN, NAN)], (5, 6), 1),
        ([(NAN, NAN), (NAN, NAN)], (NAN, NAN), -1),
    ],
)
def test_the_median(observations: list[tuple[float, float]], middle: tuple[float, float], nearest: int) -> None:
    values, chosen = median(pixel(*observations))
    np.testing.assert_array_equal(values[:, 0, 0], np.array(middle, np.float32))
    assert chosen.item() == nearest


@pytest.mark.parametrize(
    ("observations", "chosen"),
    [
        ([(0, 0), (3, 4), (4, 4)], 1),  # sums of distances 10.66, 6 and 6.66
        ([(0, 0), (4, 0), (2, 1), (2, -1)], 2),  # a tie of the last two, and the first of them is taken
        ([(7, 7), (1, 1)], 0),  # of two the first
        ([(NAN, NAN), (8, 8), (1, 1), (2, 2)], 3),
        ([(NAN, NAN)], -1),
    ],
)
def test_the_medoid(observations: list[tuple[float, float]], chosen: int) -> None:
    values, found = medoid(pixel(*observations))
    assert found.item() == chosen
    np.testing.assert_array_equal(values[:, 0, 0], observations[max(chosen, 0)])


def test_the_medoid_is_by_euclidean_distance() -> None:
    """Flood (2013): sums of 17.5, 14.3 and 14.9; by absolute differences 22, 20 and 18, and the last would be taken."""
    assert medoid(pixel((9, 1), (3, 7), (0, 2)))[1].item() == 1


STACKS = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, (n, 2, 3, 4), elements=st.integers(0, 9).map(float)), arrays(np.bool_, (n, 3, 4))
    )
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(STACKS)
def test_laws_of_both(made: tuple[np.ndarray, np.ndarray]) -> None:
    stack, hidden = made[0].copy(), made[1]
    stack[np.broadcast_to(hidden[:, None], stack.shape)] = NAN
    seen = ~hidden
    for rule in STACKED.values():
        given_stack = stack.copy()
        values, chosen = rule(stack)
        np.testing.assert_array_equal(stack, given_stack, "the input is left as it is")
        np.testing.assert_array_equal(np.isfinite(values).all(axis=0), seen.any(axis=0))
        np.testing.assert_array_equal(chosen >= 0, seen.any(axis=0))
        assert seen[chosen, *np.indices(chosen.shape)][chosen >= 0].all(), "the day is one on which the pixel was observed"
        known = seen.any(axis=0)
        low = np.where(np.isnan(stack), np.inf, stack).min(axis=0)
        high = np.where(np.isnan(stack), -np.inf, stack).max(axis=0)
        assert ((low <= values) & (values <= high))[:, known].all()
        for where in range(len(stack) + 1):
            more, later = rule(np.insert(stack, where, NAN, axis=0))
            np.testing.assert_array_equal(more, values)
            np.testing.assert_array_equal(later, np.where(chosen >= where, chosen + 1, chosen))
    values, chosen = medoid(stack)
    for y, x in np.argwhere(known):
        np.testing.assert_array_equal(values[:, y, x], stack[chosen[y, x], :, y, x])
        mine = stack[seen[:, y, x], :, y, x].astype(float)
        sums = np.sqrt(((mine[:, None] - mine[None]) ** 2).sum(axis=2)).sum(axis=1)
        taken = stack[chosen[y, x], :, y, x]
        assert np.sqrt(((mine - taken) ** 2).sum(axis=1)).sum() == pytest.approx(sums.min(), abs=1e-4)
        np.testing.assert_allclose(median(stack)[0][:, y, x], np.median(mine, axis=0))


NUMBERS = st.lists(arrays(np.uint16, (2, 3, 4), elements=st.integers(0, 5)), min_size=1, max_size=4)


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=NUMBERS.filter(lambda n: any((s > 0).all(axis=0).any() for s in n)), data=st.data())
def test_laws_of_every_rule(tmp_path: Path, rule: CompositeRule, numbers: list[np.ndarray], data: st.DataObject) -> None:
    clouds = data.draw(st.lists(st.none() | st.integers(0, 99), min_size=len(numbers), max_size=len(numbers)))
    scenes = [scene(tmp_path, i, n, c) for i, (n, c) in enumerate(zip(numbers, clouds, strict=True), start=1)]
    first = composed(tmp_path, rule, *scenes)
    shuffled = data.draw(st.permutations(scenes))
    blind = scene(tmp_path, 20, np.zeros((2, 3, 4)), data.draw(st.none() | st.integers(0, 99)))
    for again in (shuffled, [blind, *scenes], [*scenes, blind]):
        for one, other in zip(first, composed(tmp_path, rule, *again), strict=True):
            np.testing.assert_array_equal(one, other)
    image, count, days = first
    seen = np.stack([(n > 0).all(axis=0) for n in numbers])
    np.testing.assert_array_equal(count, np.where(seen.any(axis=0), seen.sum(axis=0), -1))
    for i, n in enumerate(numbers, start=1):
        assert seen[i - 1][days == i].all()
        if rule != "median":
            np.testing.assert_array_equal(image[:, days == i], n[:, days == i])


def test_each_rule_takes_another_pixel(tmp_path: Path) -> None:
    """The first scene sees most, the second says that it has fewest clouds, the third is most like the others."""
    scenes = [
        scene(tmp_path, 1, np.array([[[90, 90]], [[10, 10]]]), cloud_cover=50),
        scene(tmp_path, 2, np.array([[[20, 0]], [[70, 70]]]), cloud_cover=1),
        scene(tmp_path, 3, np.array([[[40, 0]], [[50, 50]]]), cloud_cover=20),
    ]
    found = {rule: composed(tmp_path, rule, *scenes) for rule in RULES}
    assert {rule: image[:, 0, 0].tolist() for rule, (image, *_) in found.items()} == {
        "most-observed": [90, 10], "least-cloudy": [20, 70], "median": [40, 50], "medoid": [40, 50],
    }  # fmt: skip
    assert {rule: days[0].tolist() for rule, (*_, days) in found.items()} == {
        "most-observed": [1, 1], "least-cloudy": [2, 1], "median": [3, 1], "medoid": [3, 1],
    }  # fmt: skip
    assert all(count.tolist() == [[3, 1]] for _, count, _ in found.values())


def test_clouds_that_nobody_counted_are_what_was_not_observed(tmp_path: Path) -> None:
    half = scene(tmp_path, 1, np.array([[[1, 1, 0, 0]], [[1, 1, 0, 0]]]))
    whole = scene(tmp_path, 2, np.array([[[2, 2, 2, 0]], [[2, 2, 2, 0]]]))
    said = scene(tmp_path, 3, np.array([[[3, 3, 3, 3]], [[3, 3, 3, 3]]]), cloud_cover=40)
    image = composed(tmp_path, "least-cloudy", half, whole, said)[0]
    assert image[0].tolist() == [[2, 2, 2, 3]], "25 % before 40 % before 50 %"


@pytest.mark.parametrize("rule", list(STACKED))
def test_pieces_are_seamless_and_bounded(tmp_path: Path, rule: CompositeRule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many scenes take smaller pieces, and the same image comes of it."""
    rng = np.random.default_rng(3)
    scenes = [scene(tmp_path, i, rng.integers(0, 4000, (2, 530, 270))) for i in range(1, 9)]
    whole = composed(tmp_path, rule, *scenes)
    cap = 4 * 2**20
    monkeypatch.setattr(composite, "STACK_BYTES", cap)
    tracemalloc.start()
    parts = composed(tmp_path, rule, *scenes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    reading = 530 * 270 * 2 * 4 * 3  # what this test itself reads back
    assert peak < cap + reading + 2**20
    ours = RasterReader(tmp_path / "i.tif")
    window = Window(100, 100, 1, 1)
    numbers = np.stack(
        [np.stack([read_raster(s.bands[b].path, s.bands[b].band)[0][100, 100] for b in s.bands]) for s in scenes]
    )
    seen = numbers[(numbers > 0).all(axis=1)].astype(float)
    expected = np.median(seen, axis=0) if rule == "median" else seen[
        np.sqrt(((seen[:, None] - seen[None]) ** 2).sum(axis=2)).sum(axis=1).argmin()
    ]  # fmt: skip
    np.testing.assert_array_equal(ours.read(window)[:, 0, 0], expected)
    ours.close()
