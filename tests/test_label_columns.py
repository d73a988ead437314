"""What label files offer: the columns that a person would take, with what they hold."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import box

from landshift.pipeline.labels.columns import LayerOffer, ValueCount, alike, offer_of_layers, offer_of_raster


def offer(folder: Path, name: str = "labels.gpkg", years: tuple[int, int] | None = None, **columns: list[object]) -> LayerOffer:
    count = len(next(iter(columns.values())))
    shapes = [box(300_000 + 20 * i, 0, 300_010 + 20 * i, 10) for i in range(count)]
    gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32651").to_file(folder / name)
    return offer_of_layers(folder / name, years)[0]


CLASSES = {"one": ["Forest", "Field", "Forest", None], "two": ["Field", "Field", "Forest", "Forest"]}


@pytest.mark.parametrize(
    ("before", "after", "years"),
    [
        ("before", "after", None), ("class_t1", "class_t2", None), ("lc_2015", "lc_2020", (2015, 2020)),
        ("LU_1990", "LU_2018", (1990, 2018)), ("CODE_00", "CODE_06", (2000, 2006)), ("lu90", "lu18", (1990, 2018)),
        ("preClass", "postClass", None), ("class1", "class2", None), ("old_use", "new_use", None), ("use_a", "use_b", None),
        ("land_use_b", "land_use_a", None), ("landcover_2015", "landcover_2020", (2015, 2020)),
    ],
)  # fmt: skip
def test_columns_of_two_dates_are_found_by_their_names(
    tmp_path: Path, before: str, after: str, years: tuple[int, int] | None
) -> None:
    found = offer(tmp_path, **{after: CLASSES["two"], "id": [1, 2, 3, 4], before: CLASSES["one"]})
    assert [(d.before, d.after, d.years, d.shared) for d in found.dates] == [(before, after, years, 2)]


def test_values_and_their_counts_are_listed(tmp_path: Path) -> None:
    found = offer(
        tmp_path, before=CLASSES["one"], area=[1.5, 2.5, 3.5, 4.5], code=[3.0, 3.0, 1.0, None],
        change=["changed", "unchanged", "unchanged", "changed"], note=["drawn on site"] * 4,
    )  # fmt: skip
    assert (found.layer, found.layers, found.features, found.crs) == ("labels", 1, 4, "EPSG:32651")
    assert [c.name for c in found.columns] == ["before", "code", "change", "note"]
    assert found.columns[0].counts == (ValueCount("Forest", 2), ValueCount("Field", 1))
    assert found.columns[0].missing == 1
    assert found.columns[1].counts == (ValueCount(3, 2), ValueCount(1, 1))
    assert [c.name for c in found.changes] == ["change"]
    assert found.splits == ()
    assert found.dates == ()
    assert found.encodings == ()


def test_a_column_of_roles_is_found(tmp_path: Path) -> None:
    found = offer(tmp_path, fold=["Train", "val", "TEST"], half=["train", "train", "test"])
    assert [c.name for c in found.splits] == ["fold"]


def test_more_values_than_a_legend_has_are_no_classes(tmp_path: Path) -> None:
    found = offer(tmp_path, parcel=[f"P{i}" for i in range(17)], kind=["a", *("b" for _ in range(16))])
    assert [c.name for c in found.columns] == ["kind"]


def test_of_many_years_those_of_the_epochs_come_first(tmp_path: Path) -> None:
    columns = {f"lc_{year}": CLASSES["two"] for year in (2000, 2010, 2015, 2020)}
    assert (offer(tmp_path, **columns).dates[0].before, offer(tmp_path, **columns).dates[0].after) == ("lc_2000", "lc_2020")
    found = offer(tmp_path, years=(2011, 2015), **columns).dates[0]
    assert (found.before, found.after) == ("lc_2010", "lc_2015")


def test_two_columns_without_a_value_in_common_are_not_two_dates(tmp_path: Path) -> None:
    assert offer(tmp_path, name_old=["x", "y"], name_new=["p", "q"]).dates == ()


def test_a_shapefile_is_offered_without_crs_and_encoding(tmp_path: Path) -> None:
    names = {"before": ["林地", "耕地"], "after": ["耕地", "耕地"]}
    shapes = [box(0, 0, 1, 1), box(2, 0, 3, 1)]
    gpd.GeoDataFrame(names, geometry=shapes, crs="EPSG:32651").to_file(tmp_path / "l.shp", encoding="gbk")
    (tmp_path / "l.cpg").unlink(missing_ok=True)
    (tmp_path / "l.prj").unlink()
    table = bytearray((tmp_path / "l.dbf").read_bytes())
    for language in (0, 0x57):
        table[29] = language
        (tmp_path / "l.dbf").write_bytes(bytes(table))
        (found,) = offer_of_layers(tmp_path / "l.shp")
        assert found.crs is None
        assert found.encodings[0].name == "gbk"
        assert found.encodings[0].texts[:2] == ("林地", "耕地")
        assert found.columns[0].counts == (ValueCount("林地", 1), ValueCount("耕地", 1))


def test_every_layer_is_offered(tmp_path: Path) -> None:
    shapes = gpd.GeoDataFrame({"use": ["a", "b"]}, geometry=[box(0, 0, 1, 1), box(2, 0, 3, 1)], crs="EPSG:32651")
    shapes.to_file(tmp_path / "two.gpkg", layer="areas")
    shapes.set_geometry(shapes.geometry.centroid).to_file(tmp_path / "two.gpkg", layer="points")
    found = offer_of_layers(tmp_path / "two.gpkg")
    assert [(o.layer, o.layers, o.of_polygons) for o in found] == [("areas", 2, True), ("points", 2, False)]


def test_names_that_differ_in_capitals_or_spaces_are_named() -> None:
    assert alike(["Forest", "forest ", "Field", "FOREST", 3]) == (("Forest", "forest "), ("Forest", "FOREST"))


PALETTE = {0: (0, 0, 0), 1: (60, 160, 60), 2: (240, 220, 120)}
CODES = [[1, 1, 1, 2], [0, 0, 1, 2]]


def write_bands(path: Path, bands: list[list[list[float]]], dtype: str = "uint8", **options: object) -> Path:
    data = np.array(bands, dtype=dtype)
    place = {"crs": "EPSG:32651", "transform": Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(
        path, "w", driver="GTiff", height=data.shape[1], width=data.shape[2], count=len(data), dtype=dtype, **place, **options
    ) as file:
        file.write(data)
    return path


def in_colours(codes: list[list[int]]) -> list[list[list[float]]]:
    return [[[PALETTE[c][band] for c in row] for row in codes] for band in range(3)]


def test_values_of_a_raster_are_counted(tmp_path: Path) -> None:
    found = offer_of_raster(write_bands(tmp_path / "a.tif", [CODES], nodata=0))
    assert found.counts == (ValueCount(1, 4), ValueCount(2, 2))
    assert (found.masked, found.share, found.facts.nodata) == (2, 1.0, 0)
    found = offer_of_raster(write_bands(tmp_path / "f.tif", [[[1, 1, np.nan, 2]]], dtype="float32"))
    assert found.counts == (ValueCount(1, 2), ValueCount(2, 1))
    assert found.masked == 1


@pytest.mark.parametrize("alpha", [False, True])
def test_colours_of_a_raster_are_counted(tmp_path: Path, alpha: bool) -> None:
    bands = in_colours(CODES) + ([[[255, 255, 255, 255], [0, 0, 255, 255]]] if alpha else [])
    options = {"photometric": "RGB"} | ({"alpha": "yes"} if alpha else {})
    found = offer_of_raster(write_bands(tmp_path / "rgb.tif", bands, **options))
    black = () if alpha else (ValueCount("#000000", 2),)
    assert sorted(found.counts, key=lambda c: -c.count) == [ValueCount("#3ca03c", 4), *black, ValueCount("#f0dc78", 2)]
    assert found.masked == (2 if alpha else 0)


def test_a_palette_is_numbers_with_their_colours(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "p.tif", [CODES], photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {code: (*colour, 255) for code, colour in PALETTE.items()})
    found = offer_of_raster(path)
    assert found.counts == (ValueCount(1, 4), ValueCount(0, 2), ValueCount(2, 2))
    assert dict(found.facts.palette)[2] == "#f0dc78"


def test_an_image_is_no_raster_of_classes(tmp_path: Path) -> None:
    assert offer_of_raster(write_bands(tmp_path / "two.tif", [CODES, CODES])).counts == ()
    assert offer_of_raster(write_bands(tmp_path / "sar.tif", [[[0.25, 1.5]]], dtype="float32")).counts == ()
