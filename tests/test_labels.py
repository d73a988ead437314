"""Labels from polygons and rasters are the pixels that were drawn, and bad ones are refused with a remedy."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Polygon, box

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.labels.read import labels_from_polygons, labels_from_rasters, summary
from landshift.pipeline.labels.values import read_values
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.write import write_raster

CRS = "EPSG:32651"
GRID = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (4, 6), CRS)
LEGEND = Legend((LandUse(1, "Forest", "#006400"), LandUse(2, "Cropland", "#ffcc00"), LandUse(3, "Built-up", "#cc0000")))
N = 255


def rectangle(top: int, left: int, height: int, width: int) -> Polygon:
    """Pixels of GRID as a polygon."""
    west, north = 300_000 + 10 * left, 3_600_000 - 10 * top
    return box(west, north - 10 * height, west + 10 * width, north)


def layer(folder: Path, shapes: list[Polygon], **columns: list[object]) -> Path:
    path = folder / "labels.gpkg"
    gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS).to_file(path)
    return path


def raster(folder: Path, name: str, values: list[list[int]], **options: object) -> Path:
    return write_raster(folder / name, np.array(values, dtype=np.int16), GRID, **options)  # type: ignore[arg-type]


def test_polygons_become_the_pixels_that_were_drawn(tmp_path: Path) -> None:
    path = layer(
        tmp_path,
        [rectangle(0, 0, 2, 2), rectangle(0, 3, 1, 3), rectangle(3, 0, 1, 4)],
        before=["Forest", "cropland", None],
        after=["Built-up", "Cropland", "Forest"],
        place=["north", "south", "south"],
    )
    labels = labels_from_polygons(path, GRID, LEGEND, region_column="place")
    assert labels.before.tolist() == [[1, 1, N, 2, 2, 2], [1, 1, N, N, N, N], [N] * 6, [N] * 6]
    assert labels.after.tolist() == [[3, 3, N, 2, 2, 2], [3, 3, N, N, N, N], [N] * 6, [1, 1, 1, 1, N, N]]
    assert labels.change.tolist() == [[1, 1, N, 0, 0, 0], [1, 1, N, N, N, N], [N] * 6, [N] * 6]
    assert labels.region_names == ("north", "south")
    assert labels.region is not None
    assert labels.region.tolist() == [[0, 0, -1, 1, 1, 1], [0, 0, -1, -1, -1, -1], [-1] * 6, [1, 1, 1, 1, -1, -1]]


def test_summary_counts_classes_and_changes(tmp_path: Path) -> None:
    path = layer(tmp_path, [rectangle(0, 0, 2, 2), rectangle(2, 0, 1, 6)], before=["1", "2"], after=["3", "2"], r=["a", "b"])
    counts = summary(labels_from_polygons(path, GRID, LEGEND, region_column="r"), LEGEND)
    assert counts.labelled == 10
    assert counts.before == {"Forest": 4, "Cropland": 6, "Built-up": 0}
    assert counts.after == {"Forest": 0, "Cropland": 6, "Built-up": 4}
    assert counts.change == {"unchanged": 6, "changed": 4}
    assert counts.transitions == {"Forest to Built-up": 4}
    assert counts.regions == {"a": 4, "b": 6}


@pytest.mark.parametrize("values", [[1, 3], [1.0, 3.0], ["1", "3"], ["forest", "BUILT-UP"]])
def test_names_and_codes_mean_the_same(tmp_path: Path, values: list[object]) -> None:
    path = layer(tmp_path, [rectangle(0, 0, 1, 1), rectangle(0, 1, 1, 1)], before=values)
    assert labels_from_polygons(path, GRID, LEGEND).before[0].tolist() == [1, 3, N, N, N, N]


def test_numbers_with_gaps_are_partial_labels(tmp_path: Path) -> None:
    path = layer(tmp_path, [rectangle(0, 0, 1, 1), rectangle(0, 1, 1, 1)], before=[1, None], after=[2, 3])
    labels = labels_from_polygons(path, GRID, LEGEND)
    assert labels.before[0, :3].tolist() == [1, N, N]
    assert labels.after[0, :3].tolist() == [2, 3, N]
    assert labels.change[0, :3].tolist() == [1, N, N]


def test_a_binary_project_reads_changed_and_unchanged(tmp_path: Path) -> None:
    path = layer(tmp_path, [rectangle(0, 0, 1, 2), rectangle(1, 0, 1, 2)], state=["Changed", "unchanged"])
    labels = labels_from_polygons(path, GRID, Legend(), change_column="state")
    assert labels.change[:2, :3].tolist() == [[1, 1, N], [0, 0, N]]
    assert (labels.before == N).all()


def test_overlaps_that_disagree_are_not_labelled(tmp_path: Path) -> None:
    """The polygon in the middle is hidden by the last one, and still counts."""
    path = layer(
        tmp_path,
        [rectangle(0, 0, 1, 3), rectangle(0, 2, 1, 3), rectangle(0, 2, 1, 2), rectangle(0, 0, 1, 1)],
        before=["Forest", "Cropland", "Forest", "Forest"],
    )
    with pytest.warns(UserWarning, match="disagree on 2 pixels"):
        labels = labels_from_polygons(path, GRID, LEGEND)
    assert labels.before[0].tolist() == [1, 1, N, N, 2, N]
    assert labels.contested == 2


def test_a_change_that_the_classes_deny_is_not_labelled(tmp_path: Path) -> None:
    path = layer(
        tmp_path,
        [rectangle(0, 0, 1, 1), rectangle(1, 0, 1, 2), rectangle(2, 0, 1, 1)],
        before=["Forest", "Cropland", "Forest"],
        after=["Cropland", "Cropland", None],
        c=[0, 0, 1],
    )
    with pytest.warns(UserWarning, match="disagree on 1 pixels"):
        labels = labels_from_polygons(path, GRID, LEGEND, change_column="c")
    assert labels.before[:3, :3].tolist() == [[N, N, N], [2, 2, N], [1, N, N]]
    assert labels.change[:3, :3].tolist() == [[N, N, N], [0, 0, N], [1, N, N]]


def test_polygons_in_another_crs_are_reprojected(tmp_path: Path) -> None:
    shapes = [rectangle(0, 0, 2, 2), rectangle(2, 3, 2, 3)]
    path = tmp_path / "degrees.gpkg"
    gpd.GeoDataFrame({"before": [1, 2]}, geometry=shapes, crs=CRS).to_crs("EPSG:4326").to_file(path)
    labels = labels_from_polygons(path, GRID, LEGEND)
    assert labels.before.tolist() == [[1, 1, N, N, N, N]] * 2 + [[N, N, N, 2, 2, 2]] * 2


TWO = [rectangle(0, 0, 1, 1), rectangle(1, 0, 1, 1)]


def test_an_unknown_class_names_the_nearest(tmp_path: Path) -> None:
    path = layer(tmp_path, TWO, before=["Forrest", "Cropland"])
    with pytest.raises(InputError, match=r"column 'before'.*'Forrest'.*Did you mean 'Forest'"):
        labels_from_polygons(path, GRID, LEGEND)
    path = layer(tmp_path, TWO, before=[9, 1])
    with pytest.raises(InputError, match=r"Code 9 is not in the legend \(1 Forest"):
        labels_from_polygons(path, GRID, LEGEND)


def test_polygons_outside_the_grid_are_refused(tmp_path: Path) -> None:
    path = layer(tmp_path, [rectangle(100, 0, 1, 1), rectangle(101, 0, 1, 1)], before=[1, 2])
    with pytest.raises(InputError, match="all 2 polygons lie outside the grid"):
        labels_from_polygons(path, GRID, LEGEND)


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all 2 labelled pixels have one class"):
        labels_from_polygons(layer(tmp_path, TWO, before=[1, 1], after=[1, 1]), GRID, LEGEND)
    with pytest.raises(InputError, match="one class"):
        labels_from_polygons(layer(tmp_path, TWO, c=[1, 1]), GRID, Legend(), change_column="c")


def test_no_labelled_pixel_is_refused(tmp_path: Path) -> None:
    speck = box(300_000, 3_599_999, 300_001, 3_600_000)
    with pytest.raises(InputError, match="no pixel of the grid is labelled"):
        labels_from_polygons(layer(tmp_path, [speck, speck], before=[1, 1]), GRID, LEGEND)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = layer(tmp_path, TWO, klass=[1, 2], regoin=["a", "b"])
    with pytest.raises(InputError, match=r"expected 'before', 'after' or a change column.*klass .1: 1, 2: 1.; regoin"):
        labels_from_polygons(path, GRID, LEGEND)
    with pytest.raises(InputError, match="Did you mean 'regoin'"):
        labels_from_polygons(path, GRID, LEGEND, before_column="klass", region_column="region")
    with pytest.raises(InputError, match="set `change_column`"):
        labels_from_polygons(path, GRID, Legend())


def test_a_change_column_with_other_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'yes' is neither `unchanged`"):
        labels_from_polygons(layer(tmp_path, TWO, c=["yes", "no"]), GRID, Legend(), change_column="c")


BEFORE = [[10, 10, 20, 20, 0, -9]] * 4
AFTER = [[10, 30, 20, 30, 30, 10]] * 4
VALUES: dict[int, str | int] = {10: "Forest", 20: "Cropland", 30: 3, 0: "not labelled"}


def test_rasters_of_two_dates_give_the_change(tmp_path: Path) -> None:
    before = raster(tmp_path, "before.tif", BEFORE, nodata=-9)
    after = raster(tmp_path, "after.tif", AFTER)
    labels = labels_from_rasters(GRID, LEGEND, VALUES, {"before": before, "after": after})
    assert labels.before[0].tolist() == [1, 1, 2, 2, N, N]
    assert labels.after[0].tolist() == [1, 3, 2, 3, 3, 1]
    assert labels.change[0].tolist() == [0, 1, 0, 1, N, N]


def test_a_change_raster_of_a_binary_project(tmp_path: Path) -> None:
    path = raster(tmp_path, "change.tif", [[0, 1, 2, 0, 1, 2]] * 4)
    values = {0: "not labelled", 1: "unchanged", 2: "changed"}
    labels = labels_from_rasters(GRID, Legend(), values, {"change": path})
    assert labels.change[0].tolist() == [N, 0, 1, N, 0, 1]


def test_a_value_that_nobody_named_is_refused(tmp_path: Path) -> None:
    path = raster(tmp_path, "before.tif", [[10, 20, 40, 50, 0, 0]] * 4)
    with pytest.raises(InputError, match=r"before.tif holds 40 on 4 pixels .*50 on 4.*does not name them .only 10, 20, 30, 0"):
        labels_from_rasters(GRID, LEGEND, VALUES, {"before": path})


def test_another_grid_is_refused_or_read_as_declared(tmp_path: Path) -> None:
    coarse = grid_of(Affine(20, 0, 300_000, 0, -20, 3_600_000), (2, 2), CRS)
    path = write_raster(tmp_path / "coarse.tif", np.array([[10, 20], [30, 10]], dtype=np.int16), coarse)
    with pytest.raises(InputError, match="not on one grid"):
        labels_from_rasters(GRID, LEGEND, VALUES, {"before": path})
    moved = read_values(path, GRID)
    # Where the file does not reach, nothing is known, although 0 may have a meaning in it.
    assert moved.filled(-1).tolist() == [[10, 10, 20, 20, -1, -1]] * 2 + [[30, 30, 10, 10, -1, -1]] * 2


def test_a_raster_elsewhere_is_refused(tmp_path: Path) -> None:
    far = grid_of(Affine(10, 0, 400_000, 0, -10, 3_600_000), (4, 6), CRS)
    path = write_raster(tmp_path / "far.tif", np.array(AFTER, dtype=np.int16), far)
    with pytest.raises(InputError, match=r"far\.tif lies outside the grid"):
        labels_from_rasters(GRID, LEGEND, VALUES, {"before": path})


def test_rasters_that_say_too_little_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No label raster"):
        labels_from_rasters(GRID, LEGEND, VALUES, {})
    one = raster(tmp_path, "one.tif", [[10] * 6] * 4)
    with pytest.raises(InputError, match="all 24 labelled pixels have one class"):
        labels_from_rasters(GRID, LEGEND, VALUES, {"before": one})
    with pytest.raises(InputError, match="labels must be a change raster"):
        labels_from_rasters(GRID, Legend(), VALUES, {"before": one})
    nothing = raster(tmp_path, "nothing.tif", [[0] * 6] * 4)
    with pytest.raises(InputError, match="no pixel of the grid is labelled"):
        labels_from_rasters(GRID, LEGEND, VALUES, {"before": nothing})
    with pytest.raises(InputError, match="Did you mean 'Forest'"):
        labels_from_rasters(GRID, LEGEND, {10: "Forst"}, {"before": one})


def test_a_layer_without_polygons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no polygon"):
        labels_from_polygons(layer(tmp_path, [], before=[]), GRID, LEGEND)


def test_a_list_is_no_class_and_no_region(tmp_path: Path) -> None:
    path = tmp_path / "lists.geojson"
    shapes = gpd.GeoDataFrame({"before": [1, 2], "lists": [["a", "b"], ["c"]]}, geometry=TWO, crs=CRS)
    path.write_text(shapes.to_json(to_wgs84=True), encoding="utf-8")
    with pytest.raises(InputError, match=r"column 'lists'.*is a list"):
        labels_from_polygons(path, GRID, LEGEND, before_column="lists")
    with pytest.raises(InputError, match=r"column 'lists'.*is a list"):
        labels_from_polygons(path, GRID, LEGEND, region_column="lists")


def test_a_very_long_number_is_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Class '1111"):
        labels_from_polygons(layer(tmp_path, TWO, before=["1" * 900, "2"]), GRID, LEGEND)
    with pytest.raises(InputError, match=r"column 'before': '11+' has 5,000 characters; expected .* at most 1,000"):
        labels_from_polygons(layer(tmp_path, TWO, before=["1" * 5000, "2"]), GRID, LEGEND)


def test_messages_name_a_crs_in_short(tmp_path: Path) -> None:
    own = grid_of(GRID.transform, (4, 6), GRID.crs.to_wkt())
    path = layer(tmp_path, [rectangle(100, 0, 1, 1)], before=[1])
    with pytest.raises(InputError, match="in EPSG:32651: check"):
        labels_from_polygons(path, own, LEGEND)
