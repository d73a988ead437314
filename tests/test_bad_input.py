"""What users bring: each fault is one clear error before any work, and nothing is left half-written."""

import errno
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import box

import landshift
from landshift.flows.steps.project import workspace as workspaces
from landshift.flows.steps.project.plan import plan
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.raster.read import RasterInfo, inspect, read_raster
from landshift.pipeline.tiles import Window
from tests.conftest import Territory, observed_share, pixels_of, small_grid


def refused(territory: Territory, *messages: str) -> None:
    """The plan, which reads metadata and a few windows, refuses it and names all that helps."""
    with pytest.raises(InputError) as error:
        territory.plan()
    for message in messages:
        assert message in str(error.value)
    assert not territory.output.exists(), "nothing was written"


def rewrite(path: Path, **profile: Any) -> None:
    """Write the file again with another header, by rasterio alone."""
    with rasterio.open(path) as source:
        data, said = source.read(), source.profile | profile
    path.unlink()
    with rasterio.open(path, "w", **said) as target:
        target.write(data)


def test_good_input_is_accepted(territory: Territory) -> None:
    before, after = territory.prepare()
    assert observed_share(before) == observed_share(after) == 1
    np.testing.assert_allclose(pixels_of(before)[0], territory.numbers(seed=0)[0] * 1e-4, rtol=1e-6)


class TestFiles:
    def test_no_folder(self, territory: Territory) -> None:
        territory.config["scenes"]["folder"] = "nowhere"
        refused(territory, "nowhere is not a folder", "`scenes: folder:`")

    def test_no_scene_of_that_date(self, territory: Territory) -> None:
        (territory.data / territory.names[1]).unlink()
        refused(territory, "No scene from 2022-06-01 to 2022-06-30 for epoch after", "the folder has 2020-06-15", "Widen")

    @pytest.mark.parametrize("content", [b"II", b"this is no picture", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"])
    def test_unreadable(self, territory: Territory, content: bytes) -> None:
        (territory.data / territory.names[0]).write_bytes(content)
        refused(territory, territory.names[0], "neither a GeoTIFF nor JPEG 2000", "gdal_translate")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "has 0 bytes"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer")],
    )
    def test_never_fetched(self, territory: Territory, content: bytes, message: str) -> None:
        (territory.data / territory.names[0]).write_bytes(content)
        refused(territory, territory.names[0], message, "ownload")
        archive = territory.data.parent / "images.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("a_20200615.tif", content)
        with pytest.raises(InputError, match=rf"images.zip/a_20200615.tif {message}"):
            inspect(ArchivedFile(archive, "a_20200615.tif", len(content)))

    def test_a_tiff_of_nonsense(self, territory: Territory) -> None:
        (territory.data / territory.names[0]).write_bytes(b"II*\0" + b"\xff" * 300)
        refused(territory, territory.names[0], "cannot be read as a raster", "copy or download it again")

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
    @pytest.mark.parametrize("layout", [{}, {"compress": "deflate", "tiled": False, "blockysize": 8}, {"interleave": "pixel"}])
    def test_truncated(self, territory: Territory, share: float, layout: dict[str, Any]) -> None:
        path = territory.data / territory.names[1]
        rewrite(path, **layout)
        os.truncate(path, int(path.stat().st_size * share))
        with pytest.raises(InputError, match=territory.names[1]) as error:
            territory.plan()
        assert any(w in str(error.value) for w in ("truncated", "cannot be read"))
        assert "again" in str(error.value)

    def test_damaged_in_the_middle(self, territory: Territory) -> None:
        """The header is whole, so only reading can tell; the band is named."""
        path = territory.data / territory.names[0]
        content = bytearray(path.read_bytes())
        content[-2500:-10] = bytes(2490)
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{path.name}, band \d: the pixels cannot be read .*gdalinfo -checksum"):
            territory.prepare()
        assert not [p for p in territory.outputs() if "before" in p]

    def test_a_vrt_and_other_pointers(self, territory: Territory) -> None:
        path = territory.data / territory.names[0]
        source = path.rename(territory.data / "hidden.tiff")
        path.write_text(
            f'<VRTDataset rasterXSize="48" rasterYSize="40"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
            f"<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
        refused(territory, path.name, "VRT", "not accepted")

    def test_a_folder_with_the_name_of_a_file(self, territory: Territory) -> None:
        with pytest.raises(InputError, match="is a folder, and not a file"):
            inspect(territory.data)

    def test_a_missing_file_names_what_is_there(self, territory: Territory) -> None:
        with pytest.raises(InputError, match=r"a.tif is not there.*holds place_20200615.tif, place_20220620.tif"):
            inspect(territory.data / "a.tif")

    @pytest.mark.parametrize("how", ["folder", "pattern", "link"])
    def test_a_path_outside_the_data_folder(self, territory: Territory, how: str) -> None:
        outside = territory.data.parent / "place_20200616.tif"
        shutil.copy(territory.data / territory.names[0], outside)
        if how == "link":
            (territory.data / outside.name).symlink_to(outside)
        else:
            territory.config["scenes"][how] = ".." if how == "folder" else "../place_*.tif"
        refused(
            territory, f"scenes: {'folder' if how == 'folder' else 'pattern'}: ", "outside the data folder", "--allow-outside"
        )

    def test_files_outside_are_refused_unopened(self, territory: Territory) -> None:
        (territory.data / "place_20200616.tif").symlink_to("/proc/version")
        refused(territory, "outside the data folder")


class TestGrids:
    def test_no_crs(self, territory: Territory) -> None:
        rewrite(territory.data / territory.names[0], crs=None)
        refused(territory, territory.names[0], "has no CRS", "gdal_edit.py -a_srs")

    def test_geographic(self, territory: Territory) -> None:
        rewrite(territory.data / territory.names[1], crs="EPSG:4326", transform=Affine(1e-4, 0, 120, 0, -1e-4, 30))
        refused(
            territory, territory.names[1], "CRS EPSG:32651 and EPSG:4326", "`grid: {crs: EPSG:32651, pixel_size: 10, bounds: ["
        )

    def test_rotated(self, territory: Territory) -> None:
        rewrite(territory.data / territory.names[0], transform=territory.grid.transform @ Affine.rotation(5))
        refused(territory, territory.names[0], "rotated", "gdalwarp")

    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_no_transform(self, territory: Territory) -> None:
        rewrite(territory.data / territory.names[0], transform=Affine.identity())
        refused(territory, territory.names[0], "nothing in it shows where it lies", "gdal_edit.py -a_ullr")

    def test_two_zones(self, territory: Territory) -> None:
        territory.write(territory.names[1], grid=small_grid(crs="EPSG:32650"))
        refused(territory, *territory.names, "CRS EPSG:32651 and EPSG:32650", "Set `grid:`")

    def test_another_shape(self, territory: Territory) -> None:
        territory.write(territory.names[1], grid=small_grid(41, 48))
        refused(territory, *territory.names, "40 x 48 and 41 x 48 pixels", "Set `grid:`")

    def test_no_overlap_with_one_another(self, territory: Territory) -> None:
        territory.write(territory.names[1], grid=small_grid(x=900_000))
        refused(territory, *territory.names, "upper left corner (300000.000, 3600000.000) and (900000.000", "Set `grid:`")

    @pytest.mark.parametrize("other", ["before", "after"])
    def test_no_overlap_with_the_grid(self, territory: Territory, other: str) -> None:
        """The after date is looked at before the first image is made, too."""
        name = territory.names[other == "after"]
        territory.write(name, grid=small_grid(x=400_000))
        territory.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [300_000, 3_599_600, 300_480, 3_600_000]}
        refused(territory, name, "does not overlap", "x 300000 to 300480", "Check `grid:`")

    @pytest.mark.parametrize(("crs", "message"), [("EPSG:4326", "degrees"), ("EPSG:1", "not known"), ("", "no CRS")])
    def test_a_grid_in_no_metres(self, territory: Territory, crs: str, message: str) -> None:
        territory.config["grid"] = {"crs": crs, "pixel_size": 10, "bounds": [0, 0, 1, 1]}
        refused(territory, message)

    def test_a_grid_set_in_the_config_brings_two_zones_together(self, territory: Territory) -> None:
        wide = grid_of(Affine(1000, 0, 750_000, 0, -1000, 3_460_000), (60, 60), "EPSG:32650")
        here = grid_of(Affine(100, 0, 213_000, 0, -100, 3_440_000), (10, 10), "EPSG:32651")
        territory.write(territory.names[0], grid=wide)
        territory.write(territory.names[1], grid=here)
        territory.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 100, "bounds": [213_000, 3_439_000, 214_000, 3_440_000]}
        before, after = territory.prepare()
        assert observed_share(before) == observed_share(after) == 1

    def test_a_scene_smaller_than_a_tile(self, territory: Territory) -> None:
        for name in territory.names:
            territory.write(name, grid=small_grid(3, 5))
        assert observed_share(territory.prepare()[0]) == 1

    @pytest.mark.parametrize("shape", [(1, 48), (48, 1), (1, 1)])
    def test_one_row_or_column(self, territory: Territory, shape: tuple[int, int]) -> None:
        for seed, name in enumerate(territory.names):
            territory.write(name, seed=seed, grid=small_grid(*shape))
        before, _ = territory.prepare()
        read = pixels_of(before)
        np.testing.assert_allclose(read, territory.numbers(grid=small_grid(*shape)) * 1e-4, rtol=1e-6)


class TestBands:
    def test_other_bands_on_one_date(self, territory: Territory) -> None:
        territory.config["sensor"] = {"name": "sentinel-2-l2a", "number_offset": 0}
        territory.write(territory.names[0], descriptions=("red", "green"))
        refused(territory, "has the bands red, green", "has red, nir", "Set `bands:`")

    def test_swapped(self, territory: Territory) -> None:
        territory.write(territory.names[1], descriptions=("nir", "red"))
        refused(
            territory, f"{territory.names[1]}, band 1: its description 'nir' means nir, the config has red", "order of the file"
        )

    def test_too_many(self, territory: Territory) -> None:
        territory.write(territory.names[1], territory.numbers(bands=3), descriptions=("red", "nir", "swir16"))
        refused(territory, territory.names[1], "has 3 bands (red, nir, swir16), but the config lists 2: red, nir")

    def test_a_band_that_no_scene_has(self, territory: Territory) -> None:
        territory.config["bands"] = ["red", "swir16"]
        refused(territory, territory.names[0], "lacks the band swir16; it has red, nir")

    def test_an_unknown_baseline(self, territory: Territory) -> None:
        territory.config["sensor"] = {"name": "sentinel-2-l2a"}
        territory.write(territory.names[0], territory.numbers() + 3000)
        scene = territory.names[0].removesuffix(".tif")
        refused(territory, scene, "processing baseline", f"`sensor: number_offset: {{{scene}: -1000}}`")

    def test_a_baseline_that_is_none(self, territory: Territory) -> None:
        territory.config["sensor"] = {"name": "sentinel-2-l2a"}
        territory.write(territory.names[0], tags={"PROCESSING_BASELINE": "newest"})
        refused(territory, territory.names[0].removesuffix(".tif"), "'newest'", "05.09")

    @pytest.mark.parametrize("scale", [1, 1e-2])
    def test_an_implausible_scale(self, territory: Territory, scale: float) -> None:
        territory.config["sensor"]["scale"] = scale
        refused(territory, f"{territory.names[0]}, band red", "no reflectance", "`sensor: scale:`")


class TestDates:
    @pytest.mark.parametrize("year", ["2020", "2019"])
    def test_equal_or_descending(self, territory: Territory, year: str) -> None:
        territory.config["epochs"]["after"] = {"start": f"{year}-06-01", "end": f"{year}-06-30"}
        with pytest.raises(ValueError, match="the dates must ascend"):
            territory.plan()

    def test_an_epoch_that_ends_before_it_begins(self, territory: Territory) -> None:
        territory.config["epochs"]["after"] = {"start": "2022-06-30", "end": "2022-06-01"}
        refused(territory, "Epoch after runs from 2022-06-30 to 2022-06-01")

    def test_no_date(self, territory: Territory) -> None:
        (territory.data / territory.names[0]).rename(territory.data / "place_old.tif")
        refused(territory, "place_old.tif", "no date in its name", "`scenes: dates: {place_old.tif: 2020-06-15}`")
        territory.config["scenes"]["dates"] = {"place_old.tif": "2020-06-15"}
        assert str(territory.plan().before.date) == "2020-06-15"


class TestNodata:
    def test_nan_works(self, territory: Territory) -> None:
        for name in territory.names:
            data = np.full((2, *territory.grid.shape), 0.25, np.float32)
            data[0, :10] = np.nan
            territory.write(name, data, nodata=float("nan"))
        territory.config["sensor"] |= {"scale": 1, "nodata": float("nan")}
        before, _ = territory.prepare()
        assert observed_share(before) == 0.75

    def test_it_must_be_declared(self, territory: Territory) -> None:
        del territory.config["sensor"]["nodata"]
        with pytest.raises(ValueError, match="sensor custom needs `nodata`"):
            territory.plan()

    def test_file_and_config_disagree(self, territory: Territory) -> None:
        territory.write(territory.names[1], nodata=65535)
        refused(territory, territory.names[1], "declares nodata 65535", "has nodata 0", "`sensor: nodata:`")
        territory.config["sensor"]["nodata"] = "none"
        refused(territory, "declares nodata 0, the config has `sensor: nodata: none`", "Set `sensor: nodata: 0`")

    def test_a_number_that_the_file_cannot_hold(self, territory: Territory) -> None:
        for name in territory.names:
            territory.write(name, nodata=None)
        territory.config["sensor"]["nodata"] = -9999
        refused(territory, territory.names[0], "uint16, which cannot be -9999")

    def test_a_scene_of_nodata_alone(self, territory: Territory) -> None:
        territory.write(territory.names[1], np.zeros((2, *territory.grid.shape), np.uint16))
        refused(territory, territory.names[1], "(2022-06-20): no pixel", "was observed", "`sensor: nodata:`")

    @pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
    @pytest.mark.parametrize("units", ["reflectance", "digital numbers"])
    def test_a_scene_of_infinities(self, territory: Territory, number: float, units: str) -> None:
        territory.config["sensor"]["units"] = units
        territory.write(territory.names[0], np.full((2, *territory.grid.shape), number, np.float32))
        refused(territory, territory.names[0], "(2020-06-15): no pixel", "was observed", "not finite")


class TestLabels:
    LEGEND = (("Forest", "#006400"), ("Cropland", "#ffcc00"))

    def label(self, territory: Territory, before: list[str], *, east: float = 0) -> None:
        territory.config["legend"] = [{"code": i, "name": n, "colour": c} for i, (n, c) in enumerate(self.LEGEND, start=1)]
        territory.config["labels"] = {"polygons": {"path": "labels.gpkg"}}
        territory.config["split"] = {"block_px": 8, "buffer_px": 0, "min_pixels": 5}
        shapes = [box(x, 3_599_600, x + 80, 3_600_000) for x in (300_000 + east + 80 * i for i in range(len(before)))]
        frame = gpd.GeoDataFrame({"before": before, "after": before[::-1]}, geometry=shapes, crs="EPSG:32651")
        frame.to_file(territory.data / "labels.gpkg")

    def divide(self, territory: Territory) -> str:
        from landshift.flows.steps.learning.labelling import divide_labels

        ws = territory.workspace()
        return divide_labels(ws, plan(ws).grid)

    def refused(self, territory: Territory, *messages: str) -> None:
        with pytest.raises(InputError) as error:
            self.divide(territory)
        for message in messages:
            assert message in str(error.value)
        assert not territory.output.exists(), "nothing was written"

    def test_good_ones_are_divided_once(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Cropland", "Cropland", "Forest", "Cropland", "Cropland"])
        first = self.divide(territory)
        written = territory.outputs()
        assert sorted(written) == ["place/training/labels.tif", "place/training/manifest.json", "place/training/splits.json"]
        assert self.divide(territory) == first
        assert territory.outputs() == written

    def test_none(self, territory: Territory) -> None:
        self.refused(territory, "has no `labels:`")

    def test_missing(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Cropland"])
        (territory.data / "labels.gpkg").unlink()
        self.refused(territory, "labels.gpkg")

    def test_outside_the_grid(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Cropland"], east=50_000)
        self.refused(territory, "labels.gpkg", "all 2 polygons lie outside the grid")

    def test_of_one_class(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Forest"])
        self.refused(territory, "labels.gpkg", "one class", "label at least two")

    def test_of_which_all_changed(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Cropland"])
        self.refused(territory, "640 changed and 0 did not", "label unchanged places too")

    def test_of_an_unknown_class(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Croplnd"])
        self.refused(territory, "labels.gpkg", "'Croplnd'", "Did you mean 'Cropland'")

    def test_outside_the_data_folder(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Cropland"])
        territory.config["labels"]["polygons"]["path"] = "../labels.gpkg"
        self.refused(territory, "labels: polygons: path", "outside the data folder")

    def test_too_few_for_three_parts(self, territory: Territory) -> None:
        self.label(territory, ["Forest", "Cropland", "Cropland", "Forest", "Cropland", "Cropland"])
        territory.config["split"]["min_pixels"] = 5000
        self.refused(territory, "5000", "Use blocks smaller")


class TestOutput:
    def test_a_file_where_the_folder_should_be(self, territory: Territory) -> None:
        territory.output.write_text("")
        with pytest.raises(InputError, match=r"cannot be written to .*--output"):
            territory.prepare()

    def test_no_permission(self, territory: Territory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root may write anywhere, so the refusal is played."""

        def denied(*_: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(workspaces, "scratch_folder", denied)
        with pytest.raises(
            InputError, match=r"cannot be written to \(Permission denied\). Choose another folder with --output"
        ):
            territory.prepare()

    @pytest.mark.parametrize("size", [50, 1_000, 6_000])
    def test_a_full_disk(self, territory: Territory, full_disk: Callable[[int], Any], size: int) -> None:
        """Whatever byte it stops at, no output has its name, no half file stays, and a rerun on a free disk works."""
        with pytest.raises(OSError, match=r"whole|large"), full_disk(size):
            territory.make()
        # The observation layer may be whole already; without a record it counts for nothing.
        assert set(territory.outputs()) <= {"place/epochs/before_observation.tif"}
        territory.make()
        assert "place/epochs/after.tif" in territory.outputs()

    def test_no_space_in_the_middle_of_an_image(self, territory: Territory, monkeypatch: pytest.MonkeyPatch) -> None:
        import landshift.pipeline.epochs.compose

        real = landshift.pipeline.epochs.compose.open_writer

        def stingy(path: Path, layout: Any) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def opened() -> Any:
                with real(path, layout) as write:
                    strips = []

                    def once(window: Window, data: np.ndarray) -> None:
                        if strips:
                            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                        strips.append(window)
                        write(window, data)

                    yield once

            return opened()

        for name in territory.names:
            territory.write(name, grid=small_grid(600, 20))
        monkeypatch.setattr(landshift.pipeline.epochs.compose, "open_writer", stingy)
        with pytest.raises(OSError, match="No space left"):
            territory.make()
        assert not territory.outputs()


class Stop(BaseException):
    """What a user's Ctrl-C does, at a line that we choose."""


def interrupted(work: Callable[[], object], line: int) -> int:
    """Run until the given line of our code is about to run; return how many lines ran."""
    ours = str(Path(landshift.__file__).parent)
    count = 0

    def watch(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        name = frame.f_code.co_filename
        if not name.startswith((f"{ours}/pipeline", f"{ours}/flows")):
            return None
        if event == "line":
            count += 1
            if count == line:
                raise Stop
        return watch

    previous = sys.gettrace()
    sys.settrace(watch)
    try:
        work()
    except Stop:
        pass
    finally:
        sys.settrace(previous)
    return count


class TestInterruption:
    # A line inside `open` leaves the closing of a file to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
    @settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(share=st.floats(0, 1), killed=st.booleans())
    def test_at_any_line_and_run_again(self, new_territory: Callable[[], Territory], share: float, killed: bool) -> None:
        """Interrupted anywhere, also so hard that nothing is tidied up, a rerun gives the bytes of a run left alone."""
        alone, again = new_territory(), new_territory()
        lines = interrupted(lambda: alone.make(), sys.maxsize)
        assert lines > 500, "our lines are counted"
        with pytest.MonkeyPatch.context() as patch:
            if killed:
                patch.setattr("landshift.pipeline.manifest._remove", lambda path: None)
            interrupted(lambda: again.make(), max(1, round(share * lines)))
        if not killed and again.output.exists():
            assert not list(again.output.rglob(".partial-*.tif*"))
        for name, content in again.outputs().items():
            if ".partial" not in name and name.endswith(".tif"):
                assert content == alone.outputs()[name], "a name stands for a whole file"
        again.make()
        # This process lives on, so that what it was "killed" over is taken for its work.
        found = {name: content for name, content in again.outputs().items() if not (killed and ".partial" in name)}
        assert found == alone.outputs()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
    def test_a_file_whose_opening_was_stopped_anywhere_opens_in_any_thread(self, territory: Territory) -> None:
        path = territory.data / territory.names[0]
        wanted, lines = inspect(path), interrupted(lambda: inspect(path), sys.maxsize)
        assert lines > 20, "our lines are counted"
        for line in range(1, lines + 1):
            interrupted(lambda: inspect(path), line)
            # Left waiting, a thread must not keep the tests from ending.
            found: list[RasterInfo] = []
            reader = threading.Thread(target=lambda found=found: found.append(inspect(path)), daemon=True)
            reader.start()
            reader.join(10)
            assert found == [wanted], f"stopped at line {line}"

    def test_a_second_run_does_nothing(self, territory: Territory, monkeypatch: pytest.MonkeyPatch) -> None:
        first = territory.make()
        monkeypatch.setattr("landshift.flows.steps.images.epochs.compose", lambda *_, **__: pytest.fail("it is there already"))
        assert territory.make() == first

    @pytest.mark.parametrize("change", ["input", "output", "lost", "bands", "source", "scale", "offset"])
    def test_any_change_is_made_again(self, territory: Territory, change: str) -> None:
        """`source`: the same bands are asked for, and the config says that the file has them the other way round."""
        territory.config["bands"] = ["red", "nir"]
        for seed, name in enumerate(territory.names):
            territory.write(name, seed=seed, descriptions=())
        first = territory.make()[0]
        image = territory.output / "place" / "epochs" / "before.tif"
        if change == "input":
            territory.write(territory.names[0], seed=7)
        elif change == "output":
            image.write_bytes(image.read_bytes()[:-1] + b"x")
        elif change == "lost":
            image.unlink()
        elif change == "bands":
            territory.config["bands"] = ["nir", "red"]
        elif change == "source":
            territory.config["sensor"]["bands"] = ["nir", "red"]
        elif change == "scale":
            territory.config["sensor"]["scale"] = 2e-4
        else:
            territory.config["sensor"]["offset"] = 0.01
        second = territory.make()[0]
        assert (second.hash == first.hash) == (change in ("output", "lost"))
        numbers = territory.numbers(seed=7 if change == "input" else 0)
        scale, offset = (2e-4 if change == "scale" else 1e-4), (0.01 if change == "offset" else 0)
        expected = numbers[1 if change in ("bands", "source") else 0] * scale + offset
        np.testing.assert_allclose(read_raster(image)[0], expected, rtol=1e-5)
