"""Targets: rasters, by every way in which rasters are read."""

from pathlib import Path

import numpy as np

from tests.fuzz.harness import Target


def _write_tiffs(folder: Path) -> list[Path]:
    import rasterio
    from rasterio.enums import ColorInterp, Resampling

    from tests.conftest import small_grid

    grid, rng = small_grid(40, 48), np.random.default_rng(0)
    smooth = (np.add.outer(np.arange(40), np.arange(48)) * 30 + rng.integers(0, 50, (3, 40, 48))).astype("uint16")
    common = {"driver": "GTiff", "height": 40, "width": 48, "crs": "EPSG:32651", "transform": grid.transform}
    kinds = {
        "plain": {"count": 3, "dtype": "uint16", "nodata": 0},
        "tiled": {"count": 3, "dtype": "uint16", "tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
        "pixel": {"count": 3, "dtype": "uint16", "interleave": "pixel", "compress": "lzw", "predictor": 2, "blockysize": 8},
        "float": {"count": 2, "dtype": "float32", "nodata": float("nan"), "compress": "zstd", "predictor": 3},
        "big": {"count": 1, "dtype": "uint8", "BIGTIFF": "YES", "compress": "packbits"},
        "palette": {"count": 1, "dtype": "uint8", "photometric": "palette"},
        "alpha": {"count": 4, "dtype": "uint8", "photometric": "rgb", "alpha": "yes", "interleave": "pixel"},
        "mask": {"count": 1, "dtype": "int16", "nodata": None},
    }  # fmt: skip
    paths = []
    for name, profile in kinds.items():
        path = folder / f"{name}_20200615.tif"
        count, dtype = int(profile["count"]), str(profile["dtype"])
        data = smooth[[0, 1, 2, 0][:count]]
        data = data / 10_000 if dtype == "float32" else data % 6 if dtype == "uint8" else data
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_NUM_THREADS="1"),
            rasterio.open(path, "w", **common, **profile) as out,
        ):
            out.write(data.astype(dtype))
            out.update_tags(TIFFTAG_DATETIME="2020:06:15 10:00:00", PROCESSING_BASELINE="04.00")
            out.set_band_description(1, "B04")
            if name == "palette":
                out.write_colormap(1, {i: (i * 40, 255 - i * 40, 0, 255) for i in range(6)})
            if name == "alpha":
                out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
            if name == "mask":
                out.write_mask(np.tri(40, 48) * 255)
            if name == "tiled":
                out.build_overviews([2, 4], Resampling.nearest)
        paths.append(path)
    return paths


def _write_jp2(folder: Path) -> list[Path]:
    import rasterio

    from tests.conftest import small_grid

    grid = small_grid(40, 48)
    data = (np.add.outer(np.arange(40), np.arange(48)) * 30).astype("uint16")
    profile = {
        "driver": "JP2OpenJPEG",
        "height": 40,
        "width": 48,
        "crs": "EPSG:32651",
        "transform": grid.transform,
        "dtype": "uint16",
    }
    paths = []
    for name, count, options in (
        ("whole_20200615", 1, {"reversible": True, "quality": 100}),
        ("lossy_20200615", 2, {"quality": 20, "blockxsize": 32, "blockysize": 32}),
    ):
        path = folder / f"{name}.jp2"
        with rasterio.Env(GDAL_NUM_THREADS="1"), rasterio.open(path, "w", **profile, count=count, **options) as out:
            out.write(np.repeat(data[None], count, axis=0))
        paths.append(path)
    return paths


def _write_pictures(folder: Path) -> list[Path]:
    from PIL import Image

    rgb = np.stack([np.add.outer(np.arange(40), np.arange(48)) * k % 256 for k in (1, 2, 3)], axis=-1).astype("uint8")
    grey = Image.fromarray(rgb[..., 0])
    Image.fromarray(rgb).save(folder / "rgb.png")
    Image.fromarray(np.dstack([rgb, rgb[..., :1]])).save(folder / "rgba.png")
    Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=8).save(folder / "palette.png")
    Image.fromarray(rgb).save(folder / "rgb.jpg", quality=90)
    grey.save(folder / "grey.jpg", progressive=True)
    return sorted(folder.iterdir())


def _read_every_way(path: Path, _: Path) -> None:
    from contextlib import closing, suppress

    from landshift.pipeline.errors import InputError
    from landshift.pipeline.raster.blocks import is_striped, list_parts
    from landshift.pipeline.raster.codes import count_codes, inspect_codes
    from landshift.pipeline.raster.images import RasterReader
    from landshift.pipeline.raster.read import inspect, read_onto, read_preview, read_raster, read_rows
    from landshift.pipeline.tiles import Window
    from tests.conftest import small_grid

    refused: InputError | None = None

    def read_windows() -> None:
        with closing(RasterReader(path)) as reader:
            reader.read(Window(-8, -8, 64, 64))
            reader.read_stored(Window(0, 0, 8, 8))

    # Each is called though another refused the file: what calls them does not know of the others.
    for read in (
        lambda: inspect(path).grid,
        lambda: read_raster(path),
        lambda: [None for _ in read_rows(path)],
        lambda: read_preview(path, [1], 16),
        read_windows,
        lambda: read_onto(path, small_grid(20, 20), resampling="bilinear"),
        lambda: is_striped(path),
        lambda: list_parts(path, 1, Window(0, 0, 40, 48)),
        lambda: inspect_codes(path),
        lambda: count_codes(path, colours=False),
    ):
        try:
            read()
        except InputError as error:
            refused = error
    with suppress(InputError):
        count_codes(path, colours=True)
    if refused is not None:
        raise refused


def _find_scenes(path: Path, _: Path) -> None:
    from landshift.pipeline.scenes.folder import FolderReading, scenes_in
    from landshift.pipeline.scenes.look import require_plausible
    from landshift.pipeline.scenes.sensors import Band, Sensor
    from tests.conftest import small_grid

    bands = tuple(Band(name, name, None) for name in ("red", "green", "blue"))
    sensor = Sensor("custom", bands, scale=1e-4, nodata=0, layers=("red", "green", "blue"))
    for scene in scenes_in(path.parent, FolderReading(sensor, refused=lambda name, error: None)):
        require_plausible(scene, ["red"], small_grid(40, 48))


def _read_picture(path: Path, _: Path) -> None:
    from landshift.pipeline.raster.picture import measure_picture, read_picture

    measure_picture(path)
    read_picture(path)


_MODULES = (
    "rasterio",
    "landshift.pipeline.raster.images",
    "landshift.pipeline.scenes.folder",
    "landshift.pipeline.scenes.look",
    "tests.conftest",
)
TARGETS = (
    Target("tiff", _write_tiffs, _read_every_way, imports=_MODULES),
    Target("jp2", _write_jp2, _read_every_way, imports=_MODULES),
    Target("picture", _write_pictures, _read_picture, imports=_MODULES),
    Target("scenes", _write_tiffs, _find_scenes, imports=_MODULES),
)
