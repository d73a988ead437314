"""Files that damage, hostility or a mistake made: each is refused by name before it costs much, wherever it is read."""

import io
import os
import shutil
import socket
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.enums import Resampling

from landshift.flows.config.project import load_project
from landshift.flows.config.sections import ClassConfig
from landshift.pipeline.errors import InputError, UnreadableError, has_unprintable
from landshift.pipeline.files.opening import read_text, require_file
from landshift.pipeline.files.tiff import BlockSize, block_sizes
from landshift.pipeline.files.walking import walk_files
from landshift.pipeline.grid import grid_from_bounds
from landshift.pipeline.labels.values import codes_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.limits import require_name
from landshift.pipeline.raster.codes import count_codes
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.raster.picture import measure_picture
from landshift.pipeline.raster.place import ArchivedFile
from landshift.pipeline.raster.read import inspect, read_preview, read_raster
from landshift.pipeline.scenes.products.walk import require_folder
from landshift.pipeline.tiles import Window
from tests.conftest import Territory, small_grid

ZSTD = b"\x28\xb5\x2f\xfd"
"""First bytes of what zstd compressed."""


def read_window(path: Path) -> object:
    with closing(RasterReader(path)) as reader:
        return reader.read(Window(0, 0, 8, 8))


def sparse(path: Path, side: int, count: int = 1, **profile: Any) -> Path:
    """A raster of which no block was ever written."""
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=count, dtype="uint16", crs="EPSG:32651",
        transform=small_grid().transform, sparse_ok=True, compress="deflate", **profile,
    ):  # fmt: skip
        return path


class TestRasters:
    @pytest.mark.parametrize(
        "read",
        [read_window, lambda p: read_preview(p, [1], 16), read_raster, lambda p: count_codes(p, colours=False)],
        ids=["reader", "preview", "whole", "codes"],
    )
    def test_damaged_blocks_are_refused_by_name_however_they_are_read(
        self, territory: Territory, read: Callable[[Path], object]
    ) -> None:
        path = territory.write("damaged_20200615.tif")
        content = path.read_bytes()
        block = content.index(ZSTD)
        path.write_bytes(content[:block] + b"\xff" * 40 + content[block + 40 :])
        assert inspect(path).count == 2, "its metadata are whole"
        with pytest.raises(UnreadableError, match=r"damaged_20200615.tif.*pixels cannot be read.*copy it again"):
            read(path)

    def test_a_description_that_is_not_utf_8_is_refused_by_name(self, territory: Territory) -> None:
        path = territory.write("tagged_20200615.tif", descriptions=("gr?n", "nir"))
        path.write_bytes(path.read_bytes().replace(b"gr?n", b"gr\xfcn"))
        with pytest.raises(UnreadableError, match=r"tagged_20200615.tif: its metadata hold the byte 0xfc.*-unsetmd"):
            inspect(path)

    @pytest.mark.parametrize(
        ("side", "profile", "message"),
        [
            (2**18 + 1, {"blockxsize": 8192, "blockysize": 8192}, r"262,145 x 262,145 pixels.* 262,144 a side.*-projwin"),
            (200_000, {"blockxsize": 8192, "blockysize": 8192}, r"200,000 x 200,000 pixels.*34 billion.*-projwin"),
            (16_384, {"blockxsize": 16_384, "blockysize": 16_384}, r"blocks of 16,384 x 16,384.*512 MiB each.*TILED=YES"),
            (16_400, {"blockxsize": 16, "blockysize": 16}, r"1,050,625 blocks of 16 x 16.*1,048,576.*larger tiles.*TILED=YES"),
            (16, {"count": 1025, "blockxsize": 16, "blockysize": 16}, r"1,025 bands.*at most 1,024.*gdal_translate -b 1"),
            (4096, {"count": 16, "interleave": "pixel", "blockxsize": 4096, "blockysize": 4096}, r"512 MiB each"),
        ],
        ids=["side", "pixels", "block", "blocks", "bands", "interleaved"],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "read", [inspect, lambda p: read_preview(p, [1], 16), measure_picture], ids=["inspect", "preview", "chip"]
    )
    def test_bombs_are_refused_before_any_work(
        self, tmp_path: Path, read: Callable[[Path], object], side: int, profile: dict[str, Any], message: str
    ) -> None:
        path = sparse(tmp_path / "bomb.tif", side, **{"tiled": True, **profile})
        with pytest.raises(InputError, match=rf"bomb.tif (has|is stored in) {message}|bomb.tif is stored in .*{message}"):
            read(path)

    def test_a_file_with_a_hole_is_refused(self, territory: Territory) -> None:
        path = territory.data / territory.names[0]
        with path.open("r+b") as stream:
            stream.truncate(2**36)
        with pytest.raises(InputError, match=rf"{path.name} has 68.7 GB, and its pixels need 0.0"):
            territory.plan()

    @pytest.mark.parametrize(
        "profile", [{"endianness": "big"}, {"bigtiff": "yes"}, {"bigtiff": "yes", "endianness": "big"}, {}]
    )
    @pytest.mark.parametrize("interleave", ["band", "pixel"])
    def test_blocks_are_those_that_gdal_shows(self, tmp_path: Path, interleave: str, profile: dict[str, Any]) -> None:
        data = np.ones((3, 200, 300), np.uint16)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                tmp_path / "a.tif", "w", driver="GTiff", height=200, width=300, count=3, dtype="uint16", tiled=True,
                blockxsize=64, blockysize=32, compress="deflate", interleave=interleave, **profile,
            ) as target,
        ):  # fmt: skip
            target.write(data)
            target.write_mask(np.tri(200, 300) > 0)
            target.build_overviews([2], Resampling.nearest)
        with (tmp_path / "a.tif").open("rb") as stream:
            found = set(block_sizes(stream))
        image = BlockSize(32, 64, 6 if interleave == "pixel" else 2)
        assert image in found
        assert len(found) >= 3, "of the mask and of overviews too"
        assert {b.size for b in found} == {1, image.size}

    @pytest.mark.parametrize("part", ["mask", "overview"])
    def test_bombs_in_masks_and_overviews_are_refused(self, tmp_path: Path, part: str) -> None:
        """GDAL shows the blocks of the image alone, and would unpack a gigabyte for a picture of 512 pixels."""
        path = tmp_path / "bomb.tif"
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", driver="GTiff", height=512, width=512, count=1, dtype="uint8", tiled=True, blockxsize=16,
                blockysize=16, compress="deflate", crs="EPSG:32651", transform=small_grid().transform,
            ) as target,
        ):  # fmt: skip
            target.write(np.ones((1, 512, 512), np.uint8))
            if part == "mask":
                target.write_mask(np.tri(512) > 0)
            else:
                target.build_overviews([2], Resampling.nearest)
        inspect(path)
        content = bytearray(path.read_bytes())
        first = int.from_bytes(content[4:8], "little")
        behind = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
        second = int.from_bytes(content[behind : behind + 4], "little")
        for entry in range(second + 2, second + 2 + 12 * int.from_bytes(content[second : second + 2], "little"), 12):
            tag = int.from_bytes(content[entry : entry + 2], "little")
            if tag in (322, 323):
                content[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, 32_768)
        path.write_bytes(content)
        for read in (inspect, lambda p: count_codes(p, colours=False), lambda p: read_preview(p, [1], 16)):
            with pytest.raises(InputError, match=r"blocks of 32,768 x 32,768 pixels, 1,024 MiB each.*TILED=YES"):
                read(path)

    @pytest.mark.parametrize(
        "content",
        [
            b"II*\0\x08", b"II*\0" + bytes(4), b"II+\0\x08\0\0\0" + b"\xff" * 8, b"MM\0*" + b"\xff" * 12,
            b"II*\0\x08\0\0\0" + b"\xff" * 40,
        ],
        ids=["short", "nowhere", "far", "large", "entries"],
    )  # fmt: skip
    def test_directories_that_lead_nowhere_are_left_to_gdal(self, tmp_path: Path, content: bytes) -> None:
        assert list(block_sizes(io.BytesIO(content))) == []
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(UnreadableError, match=r"a.tif cannot be read as a raster"):
            inspect(tmp_path / "a.tif")

    def test_a_member_of_an_archive_that_cannot_be_unpacked_is_named(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a.tif", b"II*\0" + bytes(range(256)) * 40)
        content = (tmp_path / "a.zip").read_bytes()
        (tmp_path / "a.zip").write_bytes(content[:40] + b"\xff" * 20 + content[60:])
        with pytest.raises(UnreadableError, match=r"a.zip/a.tif cannot be read .*archive is damaged"):
            inspect(ArchivedFile(tmp_path / "a.zip", "a.tif", 10_244))

    @pytest.mark.parametrize("length", [0, 3, 10**6])
    def test_a_box_without_an_end_does_not_hang(self, tmp_path: Path, length: int) -> None:
        """GDAL goes round for ever in a box of no length within another."""
        path = tmp_path / "a_20200615.jp2"
        with rasterio.open(
            path, "w", driver="JP2OpenJPEG", height=40, width=48, count=1, dtype="uint16", crs="EPSG:32651",
            transform=small_grid().transform,
        ) as target:  # fmt: skip
            target.write(np.ones((1, 40, 48), np.uint16))
        inspect(path)
        content = path.read_bytes()
        inner = content.index(b"asoc") + 4
        path.write_bytes(content[:inner] + length.to_bytes(4, "big") + content[inner + 4 :])
        found = rf"the box b'lbl ' at byte {inner} has {length:,} bytes, and 1,960 are left"
        with pytest.raises(UnreadableError, match=rf"a_20200615.jp2 cannot be read as a raster .{found}.*download it again"):
            inspect(path)
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
            packed.write(path, path.name)
        with pytest.raises(UnreadableError, match=rf"a.zip/a_20200615.jp2 .*{found}"):
            inspect(ArchivedFile(tmp_path / "a.zip", path.name, path.stat().st_size))


KINDS = ("link that leads nowhere", "link to itself", "pipe", "socket", "device")


def put(kind: str, path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        # The address of a socket may have some hundred characters.
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(path.name)
        finally:
            os.chdir(here)
    else:
        path.symlink_to({"link that leads nowhere": "nowhere.tif", "link to itself": path.name, "device": "/dev/zero"}[kind])


WORDS = {
    "link that leads nowhere": "is a link to nowhere.tif, where nothing is",
    "link to itself": "Too many levels of symbolic links",
    "pipe": "is a named pipe", "socket": "is a socket", "device": "is a device",
}  # fmt: skip


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder in which root is someone else: root may list every folder, and no one else what lies in pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        root = os.geteuid() == 0
        (Path(name) / "closed").mkdir(mode=0)
        if root:
            os.setegid(65534), os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0), os.setegid(0)
            (Path(name) / "closed").chmod(0o700)


class TestFolders:
    @pytest.mark.parametrize("pattern", ["place_*.tif", "**/*.tif", None])
    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_no_file_is_named(self, territory: Territory, kind: str, pattern: str | None) -> None:
        put(kind, territory.data / "place_20200602.tif")
        territory.config["scenes"] = {"pattern": pattern, "faulty": "stop"}
        with pytest.raises(InputError, match=rf"place_20200602.tif.*{WORDS[kind]}"):
            territory.plan()
        territory.config["scenes"]["faulty"] = "skip"
        assert [WORDS[kind] in sentence for sentence in territory.plan().skipped] == [True]

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_named_in_a_config_and_is_no_file_is_refused(self, tmp_path: Path, kind: str) -> None:
        put(kind, tmp_path / "labels.tif")
        for read in (inspect, measure_picture, lambda p: count_codes(p, colours=False)):
            with pytest.raises(UnreadableError, match=rf"labels.tif.*{WORDS[kind]}"):
                read(tmp_path / "labels.tif")
        with pytest.raises(UnreadableError, match=WORDS[kind]):
            read_text(tmp_path / "labels.tif", 1000)

    def test_a_link_to_a_folder_is_not_followed_and_named(self, territory: Territory) -> None:
        (territory.data / "again").symlink_to(".")
        territory.config["scenes"]["pattern"] = "**/*.tif"
        with pytest.warns(UserWarning, match="again is a link to a folder, which is not followed"):
            assert territory.plan().skipped == ()

    def test_a_folder_that_may_not_be_listed_is_not_empty(self) -> None:
        faults: list[str] = []
        with open_to_all() as folder:
            list(walk_files(folder, lambda name, error: faults.append(f"{name}: {error}"), suffixes=(".tif",)))
            with pytest.raises(InputError, match=r"closed cannot be listed \(Permission denied\)"):
                require_folder(folder / "closed")
            with pytest.raises(InputError, match=r"closed/a.tif cannot be read: it is out of reach \(Permission denied\)"):
                require_file(folder / "closed" / "a.tif")
        assert [(f.partition(":")[0], "cannot be listed (Permission denied)" in f) for f in faults] == [("closed", True)]

    def test_a_name_that_no_terminal_can_show_is_shown_and_passed_by(self, territory: Territory) -> None:
        source = territory.data / territory.names[0]
        for name in (b"place_2020\n0601.tif", b"place_20200602_\xfc.tif", "place_20200603_\u202e.tif".encode()):
            shutil.copy(source, os.fsencode(territory.data) + b"/" + name)
        with pytest.raises(InputError, match="control characters or is not UTF-8"):
            territory.plan()
        territory.config["scenes"]["faulty"] = "skip"
        (sentence,) = territory.plan().skipped
        assert sentence.startswith("3 scenes were skipped for the same reason")
        assert not has_unprintable(sentence)


def test_what_files_hold_cannot_act_on_a_terminal() -> None:
    error = InputError("found \x1b[2J\x07\u202e\ud800, expected\nless. " + "x" * 10**6)
    assert str(error).startswith("found \\x1b[2J\\x07\\u202e\\ud800, expected\nless. xxx")
    assert len(str(error)) < 21_000
    assert str(error).isascii()


BAD_NAMES = ["For\nest", "For\u202eest", "\x07Forest", "\u2066Forest", "Forest\x1b[2J", "\ufeffForest"]


class TestNames:
    @pytest.mark.parametrize("name", [*BAD_NAMES, "", "   ", "F" * 10**6])
    def test_of_classes_are_refused_wherever_a_legend_comes_from(self, territory: Territory, name: str) -> None:
        with pytest.raises(InputError, match=r"Class 1 of the legend is called .*expected a name") as error:
            Legend((LandUse(1, name, "#006400"), LandUse(2, "Town", "#cc0000")))
        assert len(str(error.value)) < 500
        assert not has_unprintable(str(error.value))
        territory.config["legend"] = [
            {"code": 1, "name": name, "colour": "#006400"},
            {"code": 2, "name": "b", "colour": "#cc0000"},
        ]
        path = territory.data / "config.yaml"
        path.write_text(yaml.safe_dump(territory.config), encoding="utf-8")
        expected = r"legend: class 1.*: name|more than 1,048,576 bytes|Class 1 of the legend"
        with pytest.raises(InputError, match=expected) as error:
            load_project(path)
        assert len(str(error.value)) < 500

    @pytest.mark.parametrize("colour", ["red", "#12345", "#12345g", "#1234567", "url(javascript:1)"])
    def test_colours_of_classes_are_colours(self, colour: str) -> None:
        with pytest.raises(InputError, match="Class 'a' of the legend has the colour"):
            Legend((LandUse(1, "a", colour), LandUse(2, "b", "#cc0000")))

    @pytest.mark.parametrize("name", [*BAD_NAMES[1:], "F" * 10**6])
    def test_in_columns_of_labels_are_refused_with_the_column(self, name: str) -> None:
        with pytest.raises(InputError, match=r"labels.gpkg, column 'before': .* characters; expected a name") as error:
            codes_of(["Town", name], lambda value: 1, "labels.gpkg, column 'before'")
        assert len(str(error.value)) < 500

    def test_line_breaks_in_columns_of_labels_are_blanks(self) -> None:
        found: list[str | int] = []
        codes_of(["Open\nland"], lambda value: found.append(value) or 1, "labels")
        assert found == ["Open land"]

    @pytest.mark.parametrize("key", ["units", "bands"])
    def test_in_a_config_are_refused_everywhere(self, territory: Territory, key: str) -> None:
        bad = "red\u202e"
        territory.config["sensor"][key] = [bad, "nir"] if key == "bands" else bad
        path = territory.data / "config.yaml"
        path.write_text(yaml.safe_dump(territory.config), encoding="utf-8")
        with pytest.raises(InputError, match=f"sensor: {key}.*holds line breaks, control characters"):
            load_project(path)


class TestGrids:
    @pytest.mark.parametrize(
        ("bounds", "size", "message"),
        [
            ((0.0, 0.0, 1e12, 1e12), 10.0, "beyond 1,000,000,000 units"),
            ((1e12, 0.0, 1e12 + 100, 100.0), 10.0, "beyond 1,000,000,000 units"),
            ((-1e308, -1e308, 1e308, 1e308), 10.0, "beyond 1,000,000,000 units"),
            ((3e5, 3e6, 4e5, 3.1e6), 1e-9, r"has 1e\+14 x 1e\+14 pixels.*at most 262,144 a side.*pixel size"),
            ((3e5, 3e6, 4e5, 3.1e6), 5e-324, "has inf x inf pixels"),
            ((3e5, 3e6, 3e5 + 230_000, 3e6 + 230_000), 1.0, "34 billion"),
        ],
    )
    def test_beyond_all_measure_are_refused(self, bounds: Any, size: float, message: str) -> None:
        with pytest.raises(InputError, match=message):
            grid_from_bounds(bounds, "EPSG:32651", size)

    @pytest.mark.parametrize("system", ["EPSG:4326", "EPSG:4979"])
    def test_of_metres_in_degrees_are_refused(self, system: str) -> None:
        with pytest.raises(InputError, match=r"whose unit is degrees, but reaches from x 0 to 1000.*Correct its CRS or bounds"):
            grid_from_bounds((0.0, 0.0, 1000.0, 1000.0), system, 10.0)


@pytest.mark.parametrize(
    "name",
    [
        "Land principally occupied by agriculture, with significant areas of natural vegetation",
        "Mosaic natural vegetation (tree, shrub, herbaceous cover) (>50%) / cropland (<50%)",
    ],
)
def test_long_names_of_known_legends_are_names(name: str) -> None:
    """CORINE 2.4.3, and the land cover of ESA's climate initiative, 40."""
    assert require_name(name, "a class") == name
    assert ClassConfig(code=1, name=name, colour="#aabbcc").name == name


def test_a_config_of_very_many_faults_names_the_first(territory: Territory) -> None:
    """Each unknown key was once looked up in a schema made for it: 27 kB took two minutes."""
    path = territory.data / "config.yaml"
    path.write_text(yaml.safe_dump(territory.config | {f"key{i}": 1 for i in range(300)}), encoding="utf-8")
    with pytest.raises(InputError, match="has 300 faults") as error:
        load_project(path)
    assert str(error.value).count("this key is not known") == 50
    assert str(error.value).endswith("and 250 more")
