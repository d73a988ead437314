"""From a folder to a config: what the files show is written and tried, and only the rest is asked."""

import shlex
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from landshift.flows.cli.main import app
from landshift.flows.config.project import load_project
from landshift.flows.steps.inspection.init import write_config
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.flows.steps.learning.labelling import assign_roles, read_labels, split_labels
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.sensors import custom_sensor
from tests.archives import BANDS, DELIVERIES, SPECTRA, deliver, land, reflectance, safe, write, write_labels


def open_written(folder: Path, output: Path) -> Workspace:
    return workspace(load_project(folder / "landshift.yaml"), folder, output)


@pytest.mark.parametrize("kind", DELIVERIES)
def test_from_what_an_archive_delivers_to_a_training_without_an_edit(tmp_path: Path, kind: str) -> None:
    folder = deliver(tmp_path / kind, kind)
    write_labels(folder / "labels.gpkg", pixel=DELIVERIES[kind].pixel)
    made = write_config(folder, folder / "landshift.yaml")
    # Level-1C has no quality band: whether there are clouds cannot be known.
    assert [q.partition(":")[0] for q in made.to_decide] == (["scenes"] if kind == "safe-l1c" else [])
    assert ("DECIDE:" in made.config.read_text()) == (kind == "safe-l1c")
    ws = open_written(folder, tmp_path / "out")
    assert ws.project.sensor.name == DELIVERIES[kind].sensor
    assert {c.name for c in ws.project.legend} == set(SPECTRA)
    content, _ = list_scenes(ws)
    assert content["problems"] == []
    assert [sum(epoch["used"] for epoch in row["epochs"].values()) for row in content["scenes"]] == [1, 1]
    found = plan(ws)
    assert len(found.bands) == DELIVERIES[kind].bands
    assert found.grid.transform.a == DELIVERIES[kind].pixel
    _, splits = split_labels(ws, read_labels(ws, found.grid))
    assert all(min(counts.values()) > 0 for counts in splits.counts.values())


def test_the_table_that_is_printed_and_the_next_command(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "landsat", "landsat-mixed")
    write_labels(folder / "labels.gpkg", before="LU_2010", after="LU_2023", pixel=30)
    result = CliRunner().invoke(app, ["init", str(folder)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("*")] == [
        ["*", "2010-06-15", "landsat-c2-l2-tm", "QA_PIXEL"], ["*", "2023-06-20", "landsat-c2-l2-oli", "QA_PIXEL"],
    ]  # fmt: skip
    assert lines[-1] == f"  landshift check {folder}/landshift.yaml"
    assert not [line for line in lines if line.startswith("To decide")]
    assert "before_column: LU_2010" in (folder / "landshift.yaml").read_text()


def test_two_dates_of_one_season_near_the_years_of_the_labels_are_chosen(tmp_path: Path) -> None:
    for day, after in (("20090110", False), ("20100615", False), ("20160120", True), ("20230610", True)):
        write(tmp_path / f"place_{day}.tif", np.stack(list(reflectance(after=after).values())), descriptions=BANDS)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert made.chosen == ("place_20100615", "place_20230610")
    assert [q for q in made.to_decide if q.startswith("epochs: of 4 dates these two were taken: of one season")]
    (tmp_path / "landshift.yaml").unlink()
    write_labels(tmp_path / "labels.gpkg", before="lc_2009", after="lc_2016")
    assert write_config(tmp_path, tmp_path / "landshift.yaml").chosen == ("place_20090110", "place_20160120")


def test_a_split_that_the_labels_come_with_is_kept(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "safe", "safe")
    write_labels(folder / "labels.gpkg", pixel=DELIVERIES["safe"].pixel)
    frame = gpd.read_file(folder / "labels.gpkg")
    thirds = np.array_split(frame.geometry.centroid.x.argsort(), 3)
    for name, rows in zip(("Train", "val", "test"), thirds, strict=True):
        frame.loc[rows, "fold"] = name
    frame.to_file(folder / "labels.gpkg")
    made = write_config(folder, folder / "landshift.yaml")
    assert made.to_decide == ()
    ws = open_written(folder, tmp_path / "out")
    assert (ws.project.split.by, ws.project.split.column) == ("column", "fold")
    grid = plan(ws).grid
    role, splits = assign_roles(ws, read_labels(ws, grid), grid)
    assert splits.by == "column"
    assert {0, 1, 2} <= set(np.unique(role).tolist())


def test_years_alone_and_dates_of_export_are_to_be_filled_in(tmp_path: Path) -> None:
    for year, after in (("2015", False), ("2021", True)):
        write(tmp_path / f"ortho_{year}.tif", np.stack(list(reflectance(after=after).values())[:3]), descriptions=BANDS[:3])
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    project = load_project(made.config)
    assert {name: day.year for name, day in project.scenes.dates.items()} == {"ortho_2015.tif": 2015, "ortho_2021.tif": 2021}
    assert [q for q in made.to_decide if q.startswith("scenes: dates: names have the year alone")]
    assert plan(open_written(tmp_path, tmp_path / "out")).before.date.year == 2015


def test_without_any_date_nothing_runs_before_days_are_filled_in(tmp_path: Path) -> None:
    for name, after in (("old", False), ("new", True)):
        path = write(tmp_path / f"mosaic_{name}.tif", np.stack(list(reflectance(after=after).values())), descriptions=BANDS)
        with rasterio.open(path, "r+") as file:
            file.update_tags(TIFFTAG_DATETIME="2024:03:04 09:00:00")
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert any("written on 2024-03-04, which of exports is a later day" in q for q in made.to_decide)
    text = made.config.read_text()
    assert "2024" not in text.replace("written on 2024-03-04", "")
    with pytest.raises(InputError, match=r"(?s)mosaic_new.tif: .*date.*found 'YYYY-MM-DD'"):
        load_project(made.config)
    for name, day in (("old", "2015-06-01"), ("new", "2021-06-01")):
        text = text.replace(f"mosaic_{name}.tif: YYYY-MM-DD", f"mosaic_{name}.tif: {day}")
        text = text.replace("{start: YYYY-MM-DD, end: YYYY-MM-DD}", f"{{start: {day}, end: {day}}}", 1)
    made.config.write_text(text)
    assert plan(open_written(tmp_path, tmp_path / "out")).after.date.year == 2021


def test_files_of_one_name_in_a_folder_a_date(tmp_path: Path) -> None:
    for day, after in (("2019-06-15", False), ("2023-06-20", True)):
        write(tmp_path / day / "response.tiff", np.stack(list(reflectance(after=after).values())).astype(np.float32),
              descriptions=BANDS)  # fmt: skip
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert load_project(made.config).scenes.pattern == "*/response.tiff"
    assert made.chosen == ("2019-06-15_response", "2023-06-20_response")


def test_scenes_that_overlap_in_part_get_a_grid_on_their_own_pixels(tmp_path: Path) -> None:
    numbers = np.stack([(v * 10000).astype(np.uint16) for v in reflectance(after=False).values()])
    write(tmp_path / "a_20190615.tif", numbers[:, :, :100], descriptions=BANDS, nodata=0)
    write(tmp_path / "a_20230620.tif", numbers[:, :90, :], descriptions=BANDS, nodata=0)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    found = plan(open_written(tmp_path, tmp_path / "out"))
    assert made.config.exists()
    assert tuple(found.grid.shape) == (90, 100)
    assert (found.grid.transform.c, found.grid.transform.f) == (500_010, 5_200_050)


def test_tiles_in_degrees_get_a_grid_in_metres(tmp_path: Path) -> None:
    """As Earth Engine exports them: two tiles a date, NaN where masked."""
    for day, after in (("20190601", False), ("20230601", True)):
        values = np.stack(list(reflectance(after=after).values()))
        values[:, :5] = np.nan
        for column in (0, 64):
            place = Affine(1e-4, 0, 15.0 + column * 1e-4, 0, -1e-4, 46.9)
            with rasterio.open(
                tmp_path / f"S2_{day}-0000000000-00000000{column:02}.tif", "w", driver="GTiff", height=128, width=64, count=6,
                dtype="float64", crs="EPSG:4326", transform=place,
            ) as file:  # fmt: skip
                file.write(values[:, :, column : column + 64])
                file.descriptions = BANDS
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert len(made.scenes) == 4
    found = plan(open_written(tmp_path, tmp_path / "out"))
    assert (str(found.grid.crs), len(found.before.scenes)) == ("EPSG:32633", 2)
    assert found.grid.shape[0] * found.grid.transform.a == pytest.approx(128 * 1e-4 * 111_180, rel=0.05)


def test_what_cannot_be_used_is_left_out_with_the_reason_and_the_others_go_on(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "safe", "safe")
    (folder / "notes.tar.gz").write_bytes(b"")
    (folder / "S2B_MSIL2A_20210601T100031_N0301_R122_T33TWN_20210601T120000.SAFE" / "GRANULE").mkdir(parents=True)
    bad = (
        folder / "S2B_MSIL2A_20210601T100031_N0301_R122_T33TWN_20210601T120000.SAFE/GRANULE/T33TWN_20210601T100031_B02_10m.jp2"
    )
    bad.write_bytes(b"not an image")
    made = write_config(folder, folder / "landshift.yaml")
    assert [s.date.year for s in made.scenes] == [2019, 2023]
    assert any("tar -xf notes.tar.gz" in note for note in made.notes)
    assert any("T33TWN_20210601T100031_B02_10m.jp2" in note for note in made.notes)
    assert load_project(made.config).scenes.faulty == "skip"
    plan(open_written(folder, tmp_path / "out"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0, 255), {0: "unchanged", 255: "changed"}), ((0, 1), {0: "unchanged", 1: "changed"}),
     ((0, 1, 2), {0: "not labelled", 1: "unchanged", 2: "changed"}),
     ((0, 1, 255), {0: "unchanged", 1: "changed", 255: "not labelled"})],
)  # fmt: skip
def test_masks_of_change_are_offered_with_their_values_and_asked_about(
    tmp_path: Path, values: tuple[int, ...], expected: dict[int, str]
) -> None:
    for day, after in (("20150601", False), ("20210601", True)):
        write(tmp_path / f"a_{day}.tif", np.stack(list(reflectance(after=after).values())), descriptions=BANDS)
    mask = np.full((128, 128), values[0], np.uint8)
    mask[::3, ::2] = values[1]
    mask[:9] = values[-1]
    write(tmp_path / "label.tif", mask)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    project = load_project(made.config)
    assert project.labels is not None
    assert project.labels.rasters is not None
    assert project.labels.rasters.values == expected
    assert any(q.startswith("labels: rasters: values: what each value means; pixels: 0:") for q in made.to_decide)


def test_rasters_of_classes_of_two_years_become_before_and_after(tmp_path: Path) -> None:
    for day, after in (("20150601", False), ("20210601", True)):
        write(tmp_path / f"a_{day}.tif", np.stack(list(reflectance(after=after).values())), descriptions=BANDS)
        write(tmp_path / f"lulc_{day[:4]}.tif", (land(after=after) * 10 + 10).astype(np.uint8), nodata=0)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    project = load_project(made.config)
    assert project.labels is not None
    assert project.labels.rasters is not None
    assert (str(project.labels.rasters.before), str(project.labels.rasters.after)) == ("lulc_2015.tif", "lulc_2021.tif")
    assert [c.name for c in project.legend] == ["class 10", "class 20", "class 30"]
    ws = open_written(tmp_path, tmp_path / "out")
    split_labels(ws, read_labels(ws, plan(ws).grid))


def test_images_of_no_product_in_an_archive_are_to_be_unpacked_first(tmp_path: Path) -> None:
    """As the browser of Sentinel Hub delivers them."""
    names = [
        f"{day}-00_00_{day}-23_59_Sentinel-2_L2A_{band}_(Raw).tiff"
        for day in ("2019-06-15", "2023-06-20")
        for band in ("B04", "B08")
    ]
    for name in names:
        after = name.startswith("2023")
        values = reflectance(after=after)["red" if "B04" in name else "nir"]
        write(tmp_path / "in" / name, (values * 10000).astype(np.uint16))
    with zipfile.ZipFile(tmp_path / "browser_images.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / "in" / name, name)
    (tmp_path / "packed").mkdir()
    (tmp_path / "browser_images.zip").rename(tmp_path / "packed" / "browser_images.zip")
    with pytest.raises(InputError, match=r"browser_images.zip holds 4 images of no known product; unpack it"):
        write_config(tmp_path / "packed", tmp_path / "packed" / "landshift.yaml")
    made = write_config(tmp_path / "in", tmp_path / "in" / "landshift.yaml")
    assert [(str(s.date), list(s.bands)) for s in made.scenes] == [
        (day, ["B04", "B08"]) for day in ("2019-06-15", "2023-06-20")
    ]
    assert [q for q in made.to_decide if q.startswith("sensor: scale")]


def test_a_collection_of_chips_is_no_territory(tmp_path: Path) -> None:
    for name in ("A", "B", "label"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "0001.png").touch()
    with pytest.raises(InputError, match=r"as a collection of chips has.*`labels: chips:`"):
        write_config(tmp_path, tmp_path / "landshift.yaml")


def test_one_date_is_not_enough(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "safe", "safe")
    for path in folder.glob("S2A_MSIL2A_2023*"):
        path.rename(tmp_path / path.name)
    with pytest.raises(InputError, match=r"scenes of 1 date \(2019-06-15\); expected two or more"):
        write_config(folder, folder / "landshift.yaml")
    assert not (folder / "landshift.yaml").exists()


@pytest.mark.parametrize(("kind", "model"), [("safe-l1c", "l1c"), ("landsat-l1", "l1c"), ("landsat", "l2a")])
def test_the_cloud_model_fits_the_reflectance_of_the_product(tmp_path: Path, kind: str, model: str) -> None:
    folder = deliver(tmp_path / kind, kind)
    made = write_config(folder, folder / "landshift.yaml")
    project = load_project(made.config)
    clouds = project.scenes.clouds.model_copy(update={"mask": "model"})
    scenes = project.scenes.model_copy(update={"clouds": clouds})
    ws = workspace(project.model_copy(update={"scenes": scenes}), folder, tmp_path / "out")
    assert plan(ws).cloud_model == f"ukis-csmask-6b-{model}"


def numbers(*, after: bool, count: int = 6) -> np.ndarray:
    return np.stack([(v * 10000).astype(np.uint16) for v in reflectance(after=after).values()])[:count]


OLI_NAMES = ("SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7")
TM_NAMES = ("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7")


@pytest.mark.parametrize(
    ("descriptions", "name", "bands"),
    [
        (OLI_NAMES, "place", list(BANDS)),
        (TM_NAMES, "LT05_place", list(BANDS)),
        (TM_NAMES, "place", None),
        (("B2", "B3", "B4", "B5", "B6", "B7"), "place", None),
        (("B2", "B3", "B4", "B5", "B6", "B7"), "LC08_place", list(BANDS)),
        (("B2", "B3", "B4", "B8", "B11", "B12"), "place", list(BANDS)),
        (("B1_blue", "B2_green", "B3_red", "B4_nir", "B5_swir1", "B6_swir2"), "x", list(BANDS)),
        (("red", "nir", "green", "red", "nir", "green"), "stack", None),
    ],
)  # fmt: skip
def test_a_band_number_is_a_colour_only_where_it_can_be_no_other(
    tmp_path: Path, descriptions: tuple[str, ...], name: str, bands: list[str] | None
) -> None:
    for day, after in (("20150601", False), ("20210601", True)):
        write(tmp_path / f"{name}_{day}.tif", numbers(after=after), descriptions=descriptions, nodata=0)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    project = load_project(made.config)
    asked = [q for q in made.to_decide if q.startswith("sensor: bands")]
    assert project.sensor.name == "custom"
    assert list(project.sensor.bands) == (bands or [f"band{i}" for i in range(1, 7)])
    assert bool(asked) == (bands is None)


@pytest.mark.parametrize(
    ("names", "bands"),
    [(("red", "green", "blue", "nir"), ["red", "green", "blue", "nir"]),
     (("B02", "B03", "B04", "B08"), ["B02", "B03", "B04", "B08"])],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["{day}/{band}.tif", "area_{day}_{band}.tif"])
def test_one_file_a_band_is_one_scene_a_date(tmp_path: Path, names: tuple[str, ...], bands: list[str], layout: str) -> None:
    for day, after in (("20150601", False), ("20210601", True)):
        for band, values in zip(names, numbers(after=after), strict=False):
            write(tmp_path / layout.format(day=day, band=band), values, nodata=0)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert [len(s.bands) for s in made.scenes] == [4, 4]
    project = load_project(made.config)
    assert sorted(project.sensor.bands) == sorted(bands)
    found = plan(open_written(tmp_path, tmp_path / "out"))
    assert found.wavelengths_nm[bands[0]] in (665, 493)


def test_a_colour_in_the_name_of_a_file_that_is_not_the_band_of_the_config(tmp_path: Path) -> None:
    for band in ("red", "green"):
        write(tmp_path / f"area_20190615_{band}.tif", numbers(after=False)[0], nodata=0)
    red = custom_sensor(["red"], scale=1, offset=0, nodata=0, units="digital numbers")
    with pytest.raises(InputError, match=r"area_20190615_green.tif: its name ends in green, .*the band red alone"):
        scenes_in(tmp_path, FolderReading(red))


def test_masks_beside_pictures_are_no_scenes_and_a_missing_mask_is_asked_about(tmp_path: Path) -> None:
    for day, after in (("20150601", False), ("20210601", True)):
        write(tmp_path / f"composite_{day}.tif", numbers(after=after), nodata=0, descriptions=BANDS)
        write(tmp_path / f"composite_{day}_udm2.tif", numbers(after=after).astype(np.uint8))
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert len(made.scenes) == 2
    assert sum("is a mask or a quality band" in note for note in made.notes) == 2
    folder = deliver(tmp_path / "landsat", "landsat")
    next(folder.glob("*2023*QA_PIXEL.TIF")).unlink()
    made = write_config(folder, folder / "landshift.yaml")
    assert [q for q in made.to_decide if q.startswith("scenes: nothing masks clouds in LC08_L2SP_190027_20230620")]


def test_numbers_of_bands_that_mean_nothing_known_are_asked_about(tmp_path: Path) -> None:
    for day, after in (("20150601", False), ("20210601", True)):
        for band, values in zip(("sr_band2", "sr_band3", "pixel_qa"), numbers(after=after), strict=False):
            write(tmp_path / f"LE07_190027_{day}_{band}.tif", values, nodata=0)
    made = write_config(tmp_path, tmp_path / "landshift.yaml")
    assert [q for q in made.to_decide if q.startswith("sensor: bands: sr_band2, sr_band3 are no names of colours")]


def test_several_dates_in_one_file_are_to_be_taken_apart(tmp_path: Path) -> None:
    write(tmp_path / "stack.tif", numbers(after=False), descriptions=BANDS, nodata=0)
    with pytest.raises(InputError, match=r"one image, .*stack.tif, without a day.*`gdal_translate -b 1 -b 2 -b 3"):
        write_config(tmp_path, tmp_path / "landshift.yaml")


def test_the_fault_of_an_archive_is_listed_once(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "landsat", "landsat")
    (folder / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    made = write_config(folder, folder / "landshift.yaml")
    assert [note.count("cut.zip") for note in made.notes if "cut.zip" in note] == [1]
    assert load_project(made.config).scenes.faulty == "skip"


def test_files_whose_name_cannot_be_shown_are_passed_by(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "landsat", "landsat")
    for name in ("bad\nname_20200101.tif", "bad\nname.gpkg"):
        (folder / name).write_bytes(b"nothing")
    made = write_config(folder, folder / "landshift.yaml")
    assert len(made.scenes) == 2
    assert sorted(made.notes) == [
        f"The file name '{name}' has control characters or is not UTF-8. Rename the file."
        for name in ("bad\\nname.gpkg", "bad\\nname_20200101.tif")
    ]
    plan(open_written(folder, tmp_path / "out"))


def test_without_two_dates_every_kind_of_fault_is_in_the_error(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "landsat", "landsat")
    first, second = sorted(folder.glob("*_SR_B4.TIF"))
    first.write_bytes(b"")
    second.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    (folder / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError) as caught:
        write_config(folder, folder / "landshift.yaml")
    head, *faults = str(caught.value).splitlines()
    assert head == f"3 of the images in {folder} cannot be used:"
    assert len(faults) == 3
    assert faults[0].startswith("- cut.zip cannot be read as an archive")
    assert f"{first} has 0 bytes" in faults[1]
    assert f"{second} is a Git LFS pointer" in faults[2]
    assert "landshift scenes" not in str(caught.value)
    assert not (folder / "landshift.yaml").exists()


def test_a_scene_left_out_has_a_sentence(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "safe", "safe")
    older = safe(folder, "20230620", "N0400", after=True)
    made = write_config(folder, folder / "landshift.yaml")
    newer = older.name.replace("N0400", "N0509")
    assert made.notes == (
        f"{older.stem} is left out: it is another processing of the same acquisition; {newer} is newer and used.",
    )


def test_the_next_command_quotes_paths_with_blanks(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "my images", "landsat")
    result = CliRunner().invoke(app, ["init", str(folder), "--config", str(tmp_path / "a b.yaml")])
    assert result.exit_code == 0, result.output
    *_, line = result.output.splitlines()
    assert shlex.split(line) == [
        "landshift", "check", str(tmp_path / "a b.yaml"), "--data", str(folder),
    ]  # fmt: skip
