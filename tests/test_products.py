"""What archives deliver becomes the right scenes: the reflectance that was put in comes out, clouds masked."""

import shutil
import tarfile
import zipfile
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import ArchivedFile, place_hash
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.look import read_scene
from landshift.pipeline.scenes.products.scenes import Declared
from landshift.pipeline.scenes.scene import Scene
from landshift.pipeline.scenes.sensors import sensor_named
from landshift.pipeline.tiles import Window
from tests.archives import BANDS, DELIVERIES, SIDE, deliver, landsat, reflectance, safe, write

WHOLE = Window(0, 0, SIDE, SIDE)


def find(folder: Path, sensor: str, offset: float | dict[str, float] | None = None) -> list[Scene]:
    return scenes_in(folder, FolderReading(sensor_named(sensor), declared=Declared(offset=offset)))


@pytest.mark.parametrize("kind", DELIVERIES)
def test_reflectance_comes_out_as_it_was_put_in(tmp_path: Path, kind: str) -> None:
    expected = DELIVERIES[kind]
    scenes = find(deliver(tmp_path, kind), expected.sensor)
    assert len(scenes) == 2
    assert [s.date.year for s in scenes] in ([2019, 2023], [2010, 2023])
    for scene, after in zip(scenes, (False, True), strict=True):
        truth = reflectance(after=after)
        assert len(scene.bands) == expected.bands
        assert scene.grid.transform.a == expected.pixel
        # HLS has its narrow infrared under a name of its own.
        names = [n for n in ("blue", "green", "red", "nir", "nir08", "swir16", "swir22") if n in scene.bands]
        values = read_scene(scene, names, scene.grid, WHOLE)
        seen = np.isfinite(values[0])
        clouded = np.zeros((SIDE, SIDE), bool)
        clouded[: expected.cloud, : expected.cloud] = True
        assert (seen == ~clouded).mean() > 0.99
        step = 2 if kind.startswith(("safe", "flat")) and kind != "safe-l1c" else 1
        for name, band in zip(names, values, strict=True):
            coarse = step == 2 and name.startswith("swir")
            error = np.abs(band - truth["nir" if name == "nir08" else name])[seen]
            assert np.median(error) < (0.02 if coarse else 1e-4), name


def test_mixed_landsat_missions_compare_colours_and_no_numbers(tmp_path: Path) -> None:
    five, eight = find(deliver(tmp_path, "landsat-mixed"), "landsat-c2-l2")
    assert [p.bands["red"].path.name.rpartition("_")[2] for p in (five, eight)] == ["B3.TIF", "B4.TIF"]
    assert (five.platform, eight.platform) == ("LT05", "LC08")
    assert (five.sensor.name, eight.sensor.name) == ("landsat-c2-l2-tm", "landsat-c2-l2-oli")
    with pytest.raises(InputError, match=r"LT05.*does not carry landsat-c2-l2-oli"):
        find(tmp_path, "landsat-c2-l2-oli")


def test_each_sentinel_2_scene_has_its_own_offset_finest_bands_and_facts(tmp_path: Path) -> None:
    before, after = find(deliver(tmp_path, "safe"), "sentinel-2-l2a")
    assert (before.number_offset, after.number_offset) == (0, -1000)
    assert before.bands["red"].path.name.endswith("B04_10m.jp2")
    assert before.bands["swir16"].path.name.endswith("B11_20m.jp2")
    assert before.quality is not None
    assert before.quality.path.name.endswith("SCL_20m.jp2")
    assert (before.cloud_cover, before.platform, str(before.acquired)) == (2.5, "S2A", "2019-06-15 10:00:31+00:00")
    assert before.id == "S2A_MSIL2A_20190615T100031_N0213_R122_T33TWN_20190615T100031"


def test_without_a_baseline_pixels_decide_where_they_can(tmp_path: Path) -> None:
    before, after = find(deliver(tmp_path, "flat"), "sentinel-2-l2a")
    assert (before.number_offset, after.number_offset) == (0, -1000)
    for number in (0, -1000):
        with pytest.raises(InputError, match=r"the config adds .* for this one that is wrong.*number_offset: \{T33TWN_20"):
            find(tmp_path, "sentinel-2-l2a", number)
    # A dark date of before 2022 that carries the addition could as well be bright ground.
    shutil.rmtree(tmp_path)
    values = reflectance(after=False)
    for native, band in (("B02", "blue"), ("B04", "red")):
        write(tmp_path / f"T33TWN_20190615T100031_{native}_10m.tif", (values[band] * 10000 + 1000).astype(np.uint16))
    with pytest.raises(
        InputError, match=r"do not show whether 1000.*`sensor: number_offset: \{T33TWN_20190615T100031: -1000\}`"
    ):
        find(tmp_path, "sentinel-2-l2a")
    for key in ("T33TWN_20190615T100031", "2019-06-15"):
        assert find(tmp_path, "sentinel-2-l2a", {key: -1000})[0].number_offset == -1000


def test_one_number_for_all_scenes_does_not_go_before_a_known_baseline(tmp_path: Path) -> None:
    deliver(tmp_path, "safe")
    with pytest.raises(
        InputError, match=r"has the baseline 0213, so 0 has to be added.*`sensor: number_offset: -1000` for all scenes"
    ):
        find(tmp_path, "sentinel-2-l2a", -1000)


def refusals(folder: Path, sensor: str) -> tuple[list[Scene], dict[str, str], dict[str, str]]:
    """Return the scenes that can be used, faults by name, and reasons of what is left out by name."""
    faults: dict[str, str] = {}
    others: dict[str, str] = {}
    how = FolderReading(
        sensor_named(sensor), refused=lambda name, error: faults.update({name: str(error)}),
        left_out=lambda name, day, why: others.update({name: why}),
    )  # fmt: skip
    return scenes_in(folder, how), faults, others


def test_name_and_metadata_that_contradict_each_other(tmp_path: Path) -> None:
    safe(tmp_path, "20190615", "N0213", after=False)
    safe(tmp_path, "20230620", "N0509", after=True, stated="02.13")
    scenes, faults, _ = refusals(tmp_path, "sentinel-2-l2a")
    assert [s.date for s in scenes] == [date(2019, 6, 15)]
    [fault] = faults.values()
    assert "the processing baseline is 0509 by its name and 02.13 by" in fault
    landsat(tmp_path / "b", "LC08", "20230620", after=True, mtl={"DATE_ACQUIRED": "2022-06-20"})
    _, faults, _ = refusals(tmp_path / "b", "landsat-c2-l2")
    assert "the day is 2023-06-20 by its name and 2022-06-20 by" in next(iter(faults.values()))


def test_missing_and_damaged_files_stop_their_scene_alone(tmp_path: Path) -> None:
    deliver(tmp_path, "safe")
    after = next(tmp_path.glob("S2A_MSIL2A_2023*"))
    next(after.rglob("*SCL_20m.jp2")).unlink(), next(after.rglob("*SCL_60m.jp2")).unlink()
    next(after.glob("MTD*")).unlink()
    scenes, faults, _ = refusals(tmp_path, "sentinel-2-l2a")
    assert not faults
    assert [s.quality is None for s in scenes] == [False, True]
    assert scenes[1].number_offset == -1000
    band = next(after.rglob("*B04_10m.jp2"))
    band.write_bytes(band.read_bytes()[:60])
    scenes, faults, _ = refusals(tmp_path, "sentinel-2-l2a")
    assert len(scenes) == 1
    assert "B04_10m.jp2 cannot be read as a raster" in next(iter(faults.values()))


def test_the_newer_processing_of_an_acquisition_is_used(tmp_path: Path) -> None:
    safe(tmp_path, "20190615", "N0213", after=False)
    safe(tmp_path, "20190615", "N0500", after=False, processed="20230714T120000")
    [scene], faults, others = refusals(tmp_path, "sentinel-2-l2a")
    assert not faults
    assert "N0500" in scene.id
    assert scene.number_offset == -1000
    assert (
        "another processing of the same acquisition" in others["S2A_MSIL2A_20190615T100031_N0213_R122_T33TWN_20190615T100031"]
    )
    landsat(tmp_path / "l", "LC08", "20190615", after=False, processed="20190620")
    newer = landsat(tmp_path / "l", "LC08", "20190615", after=False, processed="20200829")
    assert [s.id for s in find(tmp_path / "l", "landsat-c2-l2")] == [newer]


def test_another_level_is_left_out_and_another_product_is_named(tmp_path: Path) -> None:
    safe(tmp_path, "20190615", "N0213", after=False)
    safe(tmp_path, "20230620", "N0509", after=True, level="L1C")
    [scene], _, others = refusals(tmp_path, "sentinel-2-l2a")
    assert scene.date.year == 2019
    assert list(others.values()) == ["is Sentinel-2 L1C, and the config reads sentinel-2-l2a"]
    with pytest.raises(InputError, match=r"holds Sentinel-2 .*Set `sensor: name:` to sentinel-2-l"):
        find(tmp_path, "hls")


@pytest.mark.parametrize("name", ["../outside.jp2", "/etc/outside.jp2", "a\\..\\b.jp2"])
def test_an_archive_that_points_out_of_itself_is_refused_and_the_others_go_on(tmp_path: Path, name: str) -> None:
    deliver(tmp_path, "safe-zip")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"x")
    scenes, faults, _ = refusals(tmp_path, "sentinel-2-l2a")
    assert len(scenes) == 2
    assert "points out of the archive" in faults["evil.zip"]


def test_a_tar_with_links_and_one_that_is_compressed(tmp_path: Path) -> None:
    deliver(tmp_path, "landsat-tar")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        link = tarfile.TarInfo("LC08_L2SP_190027_20190615_20200829_02_T1_SR_B4.TIF")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with tarfile.open(tmp_path / "slow.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), BytesIO())
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    scenes, faults, _ = refusals(tmp_path, "landsat-c2-l2")
    assert len(scenes) == 2
    assert "link or device" in faults["evil.tar"]
    assert "tar -xf slow.tar.gz" in faults["slow.tar.gz"]
    assert "cannot be read as an archive" in faults["cut.zip"]


def test_what_lies_in_an_archive_changes_its_hash_with_its_content(tmp_path: Path) -> None:
    hashes = set()
    for folder in ("a", "b"):
        for kind in ("safe-zip", "landsat-tar"):
            scene = find(deliver(tmp_path / folder / kind, kind), DELIVERIES[kind].sensor)[0]
            place = scene.bands["red"].path
            assert isinstance(place, ArchivedFile)
            hashes.add(place_hash(place))
    assert len(hashes) == 2


def test_files_of_one_name_in_different_folders_are_different_scenes(tmp_path: Path) -> None:
    """As Sentinel Hub's package saves its answers."""
    for day, after in (("2019-06-15", False), ("2023-06-20", True)):
        values = reflectance(after=after)
        write(tmp_path / day / "response.tiff", np.stack([values[name].astype(np.float32) for name in BANDS[:4]]),
              descriptions=("B02", "B03", "B04", "B08"))  # fmt: skip
    how = FolderReading(sensor_named("sentinel-2-l2a"), "*/response.tiff", Declared(offset={"2019-06-15": 0, "2023-06-20": 0}))
    scenes = scenes_in(tmp_path, how)
    assert [(s.date, s.id) for s in scenes] == [
        (date(2019, 6, 15), "2019-06-15_response"),
        (date(2023, 6, 20), "2023-06-20_response"),
    ]
