"""Scenes are found by what their files say, and what nobody can know is asked for."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scenes.choose import choose_epoch, common_bands, region_grid, require_pair
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.products.scenes import Declared
from landshift.pipeline.scenes.products.walk import files_in
from landshift.pipeline.scenes.scene import Epoch, Scene, Source
from landshift.pipeline.scenes.sensors import Sensor, custom_sensor, sensor_named

S2 = sensor_named("sentinel-2-l2a")
OLI = sensor_named("landsat-c2-l2-oli")
TWO = custom_sensor(["red", "nir"], scale=1, offset=0, nodata=0, units="numbers")


def grid(size: float = 10, side: int = 8, crs: str = "EPSG:32651") -> Grid:
    return grid_of(Affine(size, 0, 300_000, 0, -size, 3_600_000), (side, side), crs)


def write(folder: Path, name: str, bands: int = 1, on: Grid | None = None, dtype: str = "uint16", **more: Any) -> Path:
    on = on or grid()
    return write_raster(folder / name, np.ones((bands, *on.shape), dtype=dtype), on, **more)


def find(folder: Path, sensor: Sensor, pattern: str | None = None, **declared: Any) -> list[Scene]:
    return scenes_in(
        folder, FolderReading(sensor, pattern, Declared(declared.get("dates", {}), declared.get("declared_offset")))
    )


def test_one_file_a_date_with_described_bands(tmp_path: Path) -> None:
    write(tmp_path, "S2_N0509_20220620.tif", 3, descriptions=("B04 red", "B08", "SCL"))
    write(tmp_path, "S2_N0214_20200615.tif", 3, descriptions=("nir", "B4", ""))
    first, second = find(tmp_path, S2)
    assert (first.date, second.date) == (date(2020, 6, 15), date(2022, 6, 20))
    assert {k: v.band for k, v in first.bands.items()} == {"nir": 1, "red": 2}
    assert {k: v.band for k, v in second.bands.items()} == {"red": 1, "nir": 2}
    assert first.quality is None
    assert second.quality is not None
    assert second.quality.band == 3
    assert (first.number_offset, second.number_offset) == (0, -1000)


def test_one_file_a_band_at_several_resolutions(tmp_path: Path) -> None:
    for name, size, side in [("B04_10m", 10, 8), ("B8A_20m", 20, 4), ("SCL_20m", 20, 4)]:
        write(tmp_path, f"T51RUQ_20220620T023551_N0509_{name}.tif", 1, grid(size, side))
    [scene] = find(tmp_path, S2)
    assert list(scene.bands) == ["red", "nir08"]
    assert scene.id == "T51RUQ_20220620T023551_N0509"
    assert scene.quality is not None
    assert scene.grid == grid()


@pytest.mark.parametrize("names", [("B4", "B8"), ("b04", "B08"), ("red", "NIR"), ("B04_10m", "nir_10m"), ("B4_red", "B8_nir")])
def test_any_spelling_of_the_band_gives_one_scene(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write(tmp_path, f"place_20200615_{name}.tif")
    scenes = find(tmp_path, S2, declared_offset=0)
    assert {b for s in scenes for b in s.bands} == {"red", "nir"}
    if "_" not in names[0].replace("_10m", ""):
        assert [s.id for s in scenes] == ["place_20200615"]


def test_landsat_as_it_is_delivered(tmp_path: Path) -> None:
    """The quality file declares a nodata of its own, 1, which is not that of the bands."""
    stem = "LC08_L2SP_118039_20200615_20200823_02_T1"
    for name in ("SR_B4", "SR_B5"):
        write(tmp_path, f"{stem}_{name}.TIF", nodata=0)
    write(tmp_path, f"{stem}_QA_PIXEL.TIF", nodata=1)
    [scene] = find(tmp_path, OLI, pattern="*.TIF")
    assert (scene.id, scene.date, list(scene.bands)) == (stem, date(2020, 6, 15), ["red", "nir"])
    assert scene.quality is not None
    assert scene.number_offset == 0


@pytest.mark.parametrize("names", [("red", "nir"), ("red",)])
def test_custom_bands_are_in_the_order_of_the_file(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, "a_2020-06-15.tif", len(names))
    [scene] = find(tmp_path, custom_sensor(names, scale=1, offset=0, nodata=0, units="numbers"))
    assert [(n, s.band) for n, s in scene.bands.items()] == list(zip(names, (1, 2), strict=False))


@pytest.mark.parametrize(
    ("name", "tags", "dates", "expected"),
    [
        ("a_20200615.tif", {}, {}, date(2020, 6, 15)),
        ("a_2020-06-15_x.tif", {}, {}, date(2020, 6, 15)),
        ("IMG_PHR1A_MS_202006151030123_ORT.tif", {}, {}, date(2020, 6, 15)),
        ("SPOT7_20200615103012_a.tif", {}, {}, date(2020, 6, 15)),
        ("a_2020167T103012.tif", {}, {}, date(2020, 6, 15)),
        ("LC08_199026_20200615_20210101.tif", {}, {}, date(2020, 6, 15)),
        ("a.tif", {"DATE_ACQUIRED": "2020-06-15"}, {}, date(2020, 6, 15)),
        ("a.tif", {"DATE_ACQUIRED": "2020-06-15", "TIFFTAG_DATETIME": "2024:01:01 10:00:00"}, {}, date(2020, 6, 15)),
        # Exported later, and another time zone: no contradiction.
        ("a_20200615.tif", {"TIFFTAG_DATETIME": "2024:03:05 14:22:10"}, {}, date(2020, 6, 15)),
        ("a_20200615.tif", {"SENSING_TIME": "2020-06-14T23:59:00Z"}, {}, date(2020, 6, 15)),
        ("a_20200615.tif", {"DATE_ACQUIRED": "2023-06-15"}, {"a_20200615.tif": date(2023, 6, 15)}, date(2023, 6, 15)),
        ("a.tif", {"TIFFTAG_DATETIME": "2024:03:05 14:22:10"}, {"a.tif": date(2020, 6, 15)}, date(2020, 6, 15)),
        ("a_20210101.tif", {}, {"a_20210101.tif": date(2020, 6, 15)}, date(2020, 6, 15)),
    ],
)
def test_dates(tmp_path: Path, name: str, tags: dict[str, str], dates: dict[str, date], expected: date) -> None:
    write(tmp_path, name, 2, tags=tags)
    assert find(tmp_path, TWO, dates=dates)[0].date == expected


@pytest.mark.parametrize("tag", ["DATE_ACQUIRED", "datetime", "TIFFTAG_DATETIME"])
def test_dates_that_were_exchanged_are_asked_about(tmp_path: Path, tag: str) -> None:
    write(tmp_path, "a_20200615.tif", 2, tags={tag: "2023-06-20"})
    write(tmp_path, "a_20230620.tif", 2, tags={tag: "2020-06-15"})
    refused(tmp_path, TWO, rf"(?s)its name has 202\d-06-\d\d, and its tag {tag} has .*exchanged\?.*`scenes: dates: \{{a_20")
    days = {"a_20200615.tif": date(2023, 6, 20), "a_20230620.tif": date(2020, 6, 15)}
    assert [s.date.year for s in find(tmp_path, TWO, dates=days)] == [2020, 2023]


def test_when_a_file_was_written_is_no_day_of_acquisition(tmp_path: Path) -> None:
    write(tmp_path, "mosaic_before.tif", 2, tags={"TIFFTAG_DATETIME": "2024:03:04 09:00:00"})
    refused(tmp_path, TWO, r"TIFFTAG_DATETIME \(2024-03-04\), which may be when the file was written.*`scenes: dates:")


def test_the_baseline_may_be_in_the_tags(tmp_path: Path) -> None:
    write(tmp_path, "a_20220620.tif", 2, descriptions=("B04", "B08"), tags={"PROCESSING_BASELINE": "05.09"})
    assert find(tmp_path, S2)[0].number_offset == -1000


def refused(folder: Path, sensor: Sensor, message: str, **more: Any) -> None:
    with pytest.raises(InputError, match=message):
        find(folder, sensor, **more)


def test_an_archive_beside_files_of_one_s_own_is_none_of_the_scenes(tmp_path: Path) -> None:
    write(tmp_path, "a_20200615.tif", 2)
    (tmp_path / "kept").mkdir()
    write(tmp_path / "kept", "b_20210615.tif", 2)
    (tmp_path / "notes.zip").write_bytes(b"no archive")
    (tmp_path / "backup.tar.gz").write_bytes(b"")
    assert [s.id for s in find(tmp_path, TWO)] == ["a_20200615"]


def test_no_folder_and_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", TWO, "nowhere is not a folder.*`scenes: folder:`")
    refused(tmp_path, TWO, r"holds no raster .*`scenes: pattern:`")
    refused(tmp_path, TWO, r"holds no file like \*.png", pattern="*.png")
    refused(tmp_path, TWO, "pattern: /etc/.*cannot be used", pattern="/etc/*")
    refused(tmp_path, TWO, "cannot be used", pattern="")


def test_files_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.tif", "a.tif", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.tif").mkdir()
    assert [p.name for p in files_in(tmp_path, "*.tif")] == ["a.tif", "b.tif"]


@pytest.mark.parametrize("name", ["a\x1b[2J_20200615.tif", "a\n.tif", "a\x9b.tif", "a\udcff.tif"])
def test_names_that_cannot_be_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refused(tmp_path, TWO, "has control characters or is not UTF-8. Rename")
    faults = []
    write(tmp_path, "b_20200615.tif", 2)
    reading = FolderReading(TWO, "*.tif", refused=lambda found, error: faults.append((found, str(error))))
    assert [scene.id for scene in scenes_in(tmp_path, reading)] == ["b_20200615"]
    assert all(text.isascii() and text.isprintable() for text in faults[0])


def test_a_date_that_nobody_can_know(tmp_path: Path) -> None:
    write(tmp_path, "scene.tif", 2)
    refused(tmp_path, TWO, r"scene.tif: no date in its name .* dates: \{scene.tif:")
    refused(tmp_path, TWO, "dates:` names scen.tif, .*Did you mean scene.tif", dates={"scen.tif": date(2020, 1, 1)})


@pytest.mark.parametrize(
    ("sensor", "files", "message"),
    [
        (TWO, {"20200230": 2}, "20200230 is no date"),
        (S2, {"20200615": 2}, "2 bands without descriptions, so their order is not known"),
        (S2, {"20200615_B04_10m": 1, "20200615_B04_20m": 1}, r"B04_20m.tif: band red is there twice, in .*B04_10m.tif"),
        (S2, {"20200615_TCI": 1}, r"TCI.tif has one band, and its name ends in none of B01, B02.*SCENE_B04"),
        (OLI, {"20200615_QA_PIXEL": 1}, r"QA_PIXEL.tif is a quality band, and none"),
    ],
)
def test_files_that_make_no_scene(tmp_path: Path, sensor: Sensor, files: dict[str, int], message: str) -> None:
    for name, bands in files.items():
        write(tmp_path, f"a_{name}.tif", bands)
    refused(tmp_path, sensor, message, declared_offset=0)


def test_two_crs_in_one_scene(tmp_path: Path) -> None:
    write(tmp_path, "a_20200615_B04.tif")
    write(tmp_path, "a_20200615_B08.tif", on=grid(crs="EPSG:32650"))
    refused(tmp_path, S2, r"B04.tif is in EPSG:32651, .*B08.tif of the same scene in EPSG:32650", declared_offset=0)


@pytest.mark.parametrize(
    ("dtype", "of_file", "of_sensor", "message"),
    [
        ("uint16", 0, 0, None), ("uint16", None, 0, None), ("uint16", None, None, None), ("float32", "nan", "nan", None),
        ("float32", None, "nan", None), ("float32", None, -9999, None), ("int16", -9999, -9999, None),
        ("uint16", 65535, 0, "declares nodata 65535, but sensor custom has nodata 0"),
        ("uint16", 0, None, "declares nodata 0, the config has `sensor: nodata: none`"),
        ("float32", "nan", None, None), ("float32", -9999, "nan", "declares nodata -9999"),
        ("uint16", None, -9999, "uint16, which cannot be -9999"), ("uint8", None, "nan", "uint8, which cannot be nan"),
        ("uint8", None, 0.5, "uint8, which cannot be 0.5"),
    ],
)  # fmt: skip
def test_nodata_of_file_and_config(tmp_path: Path, dtype: str, of_file: Any, of_sensor: Any, message: str | None) -> None:
    file, sensor = (None if v is None else float(v) for v in (of_file, of_sensor))
    write(tmp_path, "a_20200615.tif", 2, dtype=dtype, nodata=file)
    custom = custom_sensor(["red", "nir"], scale=1, offset=0, nodata=sensor, units="numbers")
    if message:
        refused(tmp_path, custom, message)
    else:
        assert len(find(tmp_path, custom)) == 1


def scene(day: str, bands: tuple[str, ...] = ("red", "nir"), on: Grid | None = None) -> Scene:
    sources = {b: Source(Path(f"{day}.tif"), i) for i, b in enumerate(bands, start=1)}
    return Scene(day, date.fromisoformat(day), TWO, sources, None, on or grid(), 0)


def epoch(*scenes: Scene) -> Epoch:
    return Epoch("before", date(2000, 1, 1), date(2030, 1, 1), scenes)


def test_an_epoch_holds_its_first_and_its_last_day() -> None:
    scenes = [scene(d) for d in ("2020-05-31", "2020-06-01", "2020-06-30", "2020-07-01")]
    assert choose_epoch("before", date(2020, 6, 1), date(2020, 6, 30), scenes).scenes == tuple(scenes[1:3])
    with pytest.raises(InputError, match="No scene from 2021-01-01 to 2021-12-31 for epoch after; the folder has 2020-05-31, "):
        choose_epoch("after", date(2021, 1, 1), date(2021, 12, 31), scenes)
    with pytest.raises(InputError, match="first day before the last"):
        choose_epoch("after", date(2021, 1, 2), date(2021, 1, 1), scenes)


def test_dates_ascend() -> None:
    require_pair(epoch(scene("2020-06-01")), epoch(scene("2020-06-02")))
    for after in ("2020-06-01", "2019-06-01"):
        with pytest.raises(
            InputError, match=f"ends with 2020-06-01 and epoch after begins with {after}; the dates must ascend"
        ):
            require_pair(epoch(scene("2020-06-01")), epoch(scene(after)))


def test_bands_that_all_scenes_have() -> None:
    same = [epoch(scene("2020-06-01")), epoch(scene("2021-06-01", ("nir", "red")))]
    assert common_bands(same) == ("red", "nir")
    assert common_bands(same, ("nir", "red")) == ("nir", "red")
    assert common_bands(same, ("nir",)) == ("nir",)
    with pytest.raises(InputError, match=r"2020-06-01.tif lacks the band blue; it has red, nir. Correct `bands:`"):
        common_bands(same, ("nir", "blue"))
    with pytest.raises(InputError, match="name each band once"):
        common_bands(same, ("nir", "nir"))
    with pytest.raises(InputError, match=r"has the bands red, nir, 2021-06-01.tif has red. Set `bands:`"):
        common_bands([epoch(scene("2020-06-01")), epoch(scene("2021-06-01", ("red",)))])


def test_the_grid_of_all_scenes() -> None:
    assert region_grid([epoch(scene("2020-06-01")), epoch(scene("2021-06-01"))]) == grid()
    with pytest.raises(
        InputError, match=r"2020-06-01.tif and 2021-06-01.tif are not on one grid: CRS EPSG:32651 and EPSG:32650"
    ):
        region_grid([epoch(scene("2020-06-01")), epoch(scene("2021-06-01", on=grid(crs="EPSG:32650")))])


@pytest.mark.parametrize("said", ["nan", "-1", "200", "inf", "many"])
def test_a_cloud_cover_that_is_none_is_not_known(tmp_path: Path, said: str) -> None:
    """With NaN among them, which scene comes first would depend on the order in which they were found."""
    for day, clouds in (("20200615", said), ("20220620", "12.5")):
        path = write(tmp_path, f"S2_{day}.tif", 2)
        with rasterio.open(path, "r+") as file:
            file.update_tags(CLOUD_COVER=clouds)
    assert [scene.cloud_cover for scene in find(tmp_path, TWO)] == [None, 12.5]
