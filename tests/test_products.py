"""What archives deliver becomes the right scenes: the reflectance that was put in comes out, clouds masked."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import ArchivedFile, place_hash
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.look import read_scene
from landshift.pipeline.scenes.products.metadata import SceneFacts, read_metadata
from landshift.pipeline.scenes.products.names import FoundFile
from landshift.pipeline.scenes.products.scenes import Declared
from landshift.pipeline.scenes.scene import Scene
from landshift.pipeline.scenes.sensors import sensor_named
from landshift.pipeline.tiles import Window
from tests.archives import BANDS, DELIVERIES, SIDE, deliver, landsat, planet, reflectance, safe, write

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
    assert others == {
        "S2A_MSIL2A_20190615T100031_N0213_R122_T33TWN_20190615T100031": "is another processing of the same "
        "acquisition; S2A_MSIL2A_20190615T100031_N0500_R122_T33TWN_20230714T120000.SAFE is newer and used"
    }
    landsat(tmp_path / "l", "LC08", "20190615", after=False, processed="20190620")
    newer = landsat(tmp_path / "l", "LC08", "20190615", after=False, processed="20200829")
    assert [s.id for s in find(tmp_path / "l", "landsat-c2-l2")] == [newer]


def test_of_copies_the_one_with_the_shortest_path_is_used(tmp_path: Path) -> None:
    original = safe(tmp_path, "20190615", "N0213", after=False)
    shutil.copytree(original, tmp_path / "a backup" / original.name)
    [scene], faults, others = refusals(tmp_path, "sentinel-2-l2a")
    assert not faults
    assert original in scene.bands["red"].path.parents
    assert others[scene.id] == f"is there twice: a backup/{original.name} is a copy of {original.name}, which is used"


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


def metadata_of(folder: Path, name: str, content: str | bytes) -> SceneFacts:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_metadata(FoundFile(folder / name, name))


HOSTILE = {
    "open tags": "<PROCESSING_BASELINE ", "tags of nothing": "<PROCESSING_BASELINE>", "open comments": "<!--",
    "blanks": "<PROCESSING_BASELINE" + " " * 1000, "names": "<" + "A" * 1000, "closed": "</A></A ", "equals": "GROUP = A\n= ",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "LC08_MTL.xml", "LC08_MTL.txt"])
def test_hostile_metadata_are_read_in_one_pass(tmp_path: Path, kind: str, name: str) -> None:
    """Of four million bytes, a pass that began anew at each tag would take hours; a process of its own ends it."""
    text = HOSTILE[kind]
    (tmp_path / name).write_text(text * (4 * 2**20 // len(text)))
    code = (
        "import sys; from pathlib import Path; from landshift.pipeline.scenes.products.metadata import read_metadata; "
        "from landshift.pipeline.scenes.products.names import FoundFile; "
        "print(read_metadata(FoundFile(Path(sys.argv[1]), 'a/' + Path(sys.argv[1]).name)).baseline)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr


def test_metadata_of_more_than_four_million_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has more than 4,194,304 bytes"):
        metadata_of(tmp_path, "MTD_MSIL2A.xml", " " * (4 * 2**20 + 1))


def test_one_baseline_is_expected_and_comments_count_for_nothing(tmp_path: Path) -> None:
    one = "<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>"
    assert metadata_of(tmp_path, "MTD_MSIL2A.xml", f"<!-- {one.replace('05', '02')} -->{one * 2}<!--").baseline == "05.09"
    with pytest.raises(InputError, match=r"^MTD_MSIL2A.xml has 2 processing baselines \(02.09, 05.09\)"):
        metadata_of(tmp_path, "MTD_MSIL2A.xml", one + one.replace("05", "02"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_metadata_are_decoded_by_their_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    text = "<A><PROCESSING_BASELINE>05.09</PROCESSING_BASELINE></A>"
    assert metadata_of(tmp_path, "MTD_MSIL2A.xml", text.encode(encoding)).baseline == "05.09"


@pytest.mark.parametrize(("written", "expected"), [("2.5", 2.5), ("n/a", None), ("nan", None), ("-1", None), ("", None)])
def test_a_cloud_cover_that_is_no_number_is_passed_by(tmp_path: Path, written: str, expected: float | None) -> None:
    xml = f"<Cloud_Coverage_Assessment>{written}</Cloud_Coverage_Assessment>"
    assert metadata_of(tmp_path, "MTD_MSIL2A.xml", xml).cloud_cover == expected
    assert metadata_of(tmp_path, "LC08_MTL.txt", f"CLOUD_COVER = {written}").cloud_cover == expected


@pytest.mark.parametrize("written", ["nan", "0", "-12.5", "none", "inf"])
def test_a_sun_that_is_not_up_is_named(tmp_path: Path, written: str) -> None:
    landsat(tmp_path, "LC08", "20190615", after=False, level="L1TP")
    [metadata] = tmp_path.glob("*_MTL.txt")
    metadata.write_text(metadata.read_text().replace("SUN_ELEVATION = 60.0", f"SUN_ELEVATION = {written}"))
    with pytest.raises(InputError, match=rf"_MTL.txt has SUN_ELEVATION = {written}; expected degrees above 0"):
        find(tmp_path, "landsat-c2-l1")


def test_a_band_of_level_1_without_factors_is_named(tmp_path: Path) -> None:
    landsat(tmp_path, "LC08", "20190615", after=False, level="L1TP")
    [metadata] = tmp_path.glob("*_MTL.txt")
    text = metadata.read_text()
    metadata.write_text(text.replace("REFLECTANCE_ADD_BAND_4", "ELSE"))
    with pytest.raises(InputError, match=r"_MTL.txt has no REFLECTANCE_MULT_BAND_4 and REFLECTANCE_ADD_BAND_4"):
        find(tmp_path, "landsat-c2-l1")
    metadata.unlink()
    with pytest.raises(InputError, match=r"without its metadata \(LC08_\S+_MTL.txt or _MTL.xml\)"):
        find(tmp_path, "landsat-c2-l1")


def as_xml(text: str) -> str:
    """Return the metadata of a Landsat scene as the XML that USGS delivers beside them."""
    lines = []
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        tags = {"GROUP": f"<{value}>", "END_GROUP": f"</{value}>", "END": ""}
        lines.append(tags.get(key, f"<{key}>{value.strip(chr(34))}</{key}>"))
    return '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n' + "\n".join(lines)


@pytest.mark.parametrize("packed", [False, True])
def test_metadata_of_landsat_as_xml_hold_what_the_text_holds(tmp_path: Path, packed: bool) -> None:
    landsat(tmp_path, "LC08", "20190615", after=False, level="L1TP")
    [metadata] = tmp_path.glob("*_MTL.txt")
    before, found = read_metadata(FoundFile(metadata, metadata.name)), find(tmp_path, "landsat-c2-l1")
    xml = metadata.with_suffix(".xml")
    xml.write_text(as_xml(metadata.read_text()))
    after = read_metadata(FoundFile(xml, xml.name))
    assert replace(after, name="") == replace(before, name="")
    assert (len(after.factors), after.platform, after.cloud_cover) == (6, "LANDSAT_8", 3.1)
    # Beside the text, the XML is not even opened.
    right, wrong = xml.read_text(), as_xml(metadata.read_text()).replace("60.0", "10.0")
    for text, kept in ((wrong, True), (right, False)):
        xml.write_text(text)
        if not kept:
            metadata.unlink()
        folder = tmp_path
        if packed:
            folder = tmp_path / f"packed {kept}"
            folder.mkdir()
            with tarfile.open(folder / "scene.tar", "w") as archive:
                for file in sorted(f for f in tmp_path.iterdir() if f.is_file()):
                    archive.add(file, file.name)
        again = find(folder, "landsat-c2-l1")
        assert [b.factors for b in again[0].bands.values()] == [b.factors for b in found[0].bands.values()]


def test_two_frames_of_planet_within_a_second_are_both_used(tmp_path: Path) -> None:
    scene = planet(tmp_path, "20190615", after=False)
    for path in list(tmp_path.iterdir()):
        shutil.copy(path, tmp_path / path.name.replace("_100031_45_", "_100031_98_"))
    scenes, _, others = refusals(tmp_path, "planetscope")
    assert [s.id for s in scenes] == [scene, scene.replace("_45_", "_98_")]
    assert not others


def test_radiance_of_planet_is_not_reflectance(tmp_path: Path) -> None:
    scene = planet(tmp_path, "20190615", after=False, bands=4)
    stack = tmp_path / f"{scene}_3B_AnalyticMS_SR_clip.tif"
    stack.rename(tmp_path / f"{scene}_3B_AnalyticMS_clip.tif")
    with pytest.raises(
        InputError, match=r"AnalyticMS_clip.tif holds at-sensor radiance.*AnalyticMS_SR.*`sensor: name: custom`"
    ):
        find(tmp_path, "planetscope")
