"""Files that damage, hostility or a mistake made: each is refused by name before it costs much, wherever it is read."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from landshift.pipeline.errors import UnreadableError
from landshift.pipeline.raster.codes import count_codes
from landshift.pipeline.raster.images import RasterReader
from landshift.pipeline.raster.read import inspect, read_preview, read_raster
from landshift.pipeline.tiles import Window
from tests.conftest import Territory

ZSTD = b"\x28\xb5\x2f\xfd"
"""First bytes of what zstd compressed."""


def read_window(path: Path) -> object:
    with closing(RasterReader(path)) as reader:
        return reader.read(Window(0, 0, 8, 8))


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
