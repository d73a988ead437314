"""Rasters by control points, rotated or mirrored: the command in the message, run as it stands, makes one that is read."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, grid_of, overlap_share
from landshift.pipeline.raster.bands import read_bands
from landshift.pipeline.raster.place import RemoteFile
from landshift.pipeline.raster.placing import explain_place
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.tiles import Window
from tests.conftest import Territory

UTM = "EPSG:32633"
EAST, NORTH, SIDE = 500_000, 5_200_000, 64
HERE = grid_of(Affine(10, 0, EAST, 0, -10, NORTH), (SIDE, SIDE), UTM)


def picture() -> np.ndarray:
    """A smooth field without symmetry."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.stack([1000 + 20 * x + 5 * y, 3000 + 7 * x - 11 * y]).astype(np.uint16)


def write(path: Path, data: np.ndarray, **profile: Any) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=data.shape[1], width=data.shape[2], count=len(data), dtype=data.dtype, **profile
    ) as target:
        target.write(data)
    return path


def run(message: str) -> None:
    """Run the command between the backticks as it stands."""
    if shutil.which("gdalwarp") is None:
        pytest.skip("gdalwarp is not installed (apt install gdal-bin)")
    found = re.search(r"`(mkdir [^`]*)`", message)
    assert found is not None, message
    # GDAL's own data, and not that of a library in this process.
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PROJ_", "GDAL_"))}
    done = subprocess.run(found[1], shell=True, capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, done.stderr


def mended(path: Path) -> Path:
    with pytest.raises(InputError) as error:
        _ = inspect(path).grid
    run(str(error.value))
    return path.parent / "north_up" / f"{path.stem}.tif"


def seen_on(path: Path, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    found = read_bands(path, [1, 2], grid, Window(0, 0, *grid.shape.yx), resampling="bilinear")
    return found.numbers.astype(float), found.seen


def corners(crs: str, *, height: float = 0) -> list[GroundControlPoint]:
    points = [(0, 0), (0, SIDE), (SIDE, 0), (SIDE, SIDE)]
    places = [HERE.transform @ (column, row) for row, column in points]
    turn = HERE.crs.transformer_to_crs(crs) if HERE.crs is not None else None
    assert turn is not None
    moved = [turn(*place) for place in places]
    return [GroundControlPoint(row, column, x, y, height) for (row, column), (x, y) in zip(points, moved, strict=True)]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
@pytest.mark.parametrize("nodata", [0, None])
def test_control_points(tmp_path: Path, crs: str, nodata: int | None) -> None:
    path = write(tmp_path / "a strip 20200615.tif", picture(), gcps=corners(crs), crs=crs, nodata=nodata)
    with pytest.raises(InputError, match=rf"is placed by 4 control points \({crs}\).*gdalwarp -t_srs {UTM} -r bilinear"):
        _ = inspect(path).grid
    new = mended(path)
    info = inspect(new)
    assert info.grid.crs == UTM
    assert info.alpha == (() if nodata == 0 else (3,))
    assert overlap_share(HERE, info.grid) > 0.98
    numbers, seen = seen_on(new, HERE)
    assert seen.mean() > 0.9
    assert np.abs(numbers - picture())[:, seen].max() < 30


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_without_a_crs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(), gcps=corners(UTM), crs=rasterio.crs.CRS())
    with pytest.raises(InputError, match=r"4 control points without a CRS.*gdalwarp -s_srs EPSG:\.\.\. ") as error:
        _ = inspect(path).grid
    run(str(error.value).replace("EPSG:...", UTM))
    assert seen_on(tmp_path / "north_up" / "a.tif", HERE)[1].mean() > 0.9


def test_rotated(tmp_path: Path) -> None:
    turned = Affine.translation(EAST, NORTH) @ Affine.rotation(-20) @ Affine.scale(10, -10)
    path = write(tmp_path / "a.tif", picture(), transform=turned, crs=UTM)
    with pytest.raises(InputError, match="is rotated: its transform is"):
        _ = inspect(path).grid
    new = mended(path)
    grid = inspect(new).grid
    numbers, seen = seen_on(new, grid)
    assert 0.4 < seen.mean() < 0.9
    rows, columns = np.nonzero(seen)
    x, y = ~turned @ np.asarray(grid.transform @ (columns + 0.5, rows + 0.5))
    expected = np.stack([1000 + 20 * (x - 0.5) + 5 * (y - 0.5), 3000 + 7 * (x - 0.5) - 11 * (y - 0.5)])
    assert np.abs(numbers[:, seen] - expected).max() < 25


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (Affine(10, 0, EAST, 0, 10, NORTH - 10 * SIDE), "its rows go north"),
        (Affine(-10, 0, EAST + 10 * SIDE, 0, -10, NORTH), "its columns go west"),
        (Affine(-10, 0, EAST + 10 * SIDE, 0, 10, NORTH - 10 * SIDE), "its rows go north"),
    ],
    ids=["south-up", "mirrored", "both"],
)
@pytest.mark.parametrize("crs", [UTM, "EPSG:3035"])
def test_mirrored_rasters_are_turned_exactly(tmp_path: Path, transform: Affine, words: str, crs: str) -> None:
    data = picture()
    stored = data[:, :: -1 if transform.e > 0 else 1, :: -1 if transform.a < 0 else 1]
    path = write(tmp_path / "a.tif", stored, transform=transform, crs=crs, nodata=0)
    with pytest.raises(InputError, match=f"is mirrored: {words}"):
        _ = inspect(path).grid
    new = mended(path)
    assert inspect(new).grid == grid_of(HERE.transform, HERE.shape.yx, crs)
    np.testing.assert_array_equal(read_bands(new, [1, 2], inspect(new).grid, Window(0, 0, SIDE, SIDE)).numbers, data)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rational_polynomials(tmp_path: Path) -> None:
    zero = [0.0] * 20
    rpcs = RPC(
        height_off=0, height_scale=500, lat_off=46.95, lat_scale=0.003, long_off=15.0042, long_scale=0.0042, line_off=32,
        line_scale=32, samp_off=32, samp_scale=32, line_num_coeff=[0, 0, -1, *zero[3:]], line_den_coeff=[1, *zero[1:]],
        samp_num_coeff=[0, 1, *zero[2:]], samp_den_coeff=[1, *zero[1:]], err_bias=0, err_rand=0,
    )  # fmt: skip
    path = write(tmp_path / "a.tif", picture(), rpcs=rpcs)
    with pytest.raises(InputError, match=r"rational polynomial .*gdalwarp -rpc -t_srs EPSG:32633 "):
        _ = inspect(path).grid
    new = mended(path)
    assert inspect(new).grid.crs == UTM
    assert seen_on(new, inspect(new).grid)[1].mean() > 0.8


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_crs_without_a_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(), crs=UTM)
    with pytest.raises(InputError, match=r"nothing in it shows where it lies.*gdal_edit.py -a_ullr WEST NORTH EAST SOUTH"):
        _ = inspect(path).grid


def test_a_file_on_a_server_is_copied_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(), transform=Affine(10, 0, EAST, 0, 10, NORTH), crs=UTM)
    with rasterio.open(path) as source:
        assert "copy it here, and run `gdalwarp -r near FILE NEW_FILE`" in explain_place(
            source, RemoteFile("https://host/a.tif", "https://host/a.tif?token=1")
        )


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_project_of_two_strips(territory: Territory) -> None:
    """From the error to a plan: both dates are warped as told, and the folder is changed."""
    for seed, name in enumerate(territory.names):
        data = np.random.default_rng(seed).integers(1, 9000, (2, SIDE, SIDE)).astype(np.uint16)
        write(territory.data / name, data, gcps=corners(UTM), crs=UTM, nodata=0)
    for name in territory.names:
        with pytest.raises(InputError, match="control points") as error:
            territory.plan()
        message = str(error.value).replace(str(territory.data / territory.names[0]), str(territory.data / name))
        run(message.replace(f"north_up/{territory.names[0]}", f"north_up/{name}"))
    territory.config["scenes"] = {"folder": "north_up", "pattern": "place_*.tif"}
    made = territory.plan()
    assert made.grid.crs == UTM
    assert made.resampled == ()


@pytest.mark.parametrize(
    ("content", "code"),
    [(rasterio.crs.CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI"), "32633"), ("no WKT", "32651"), ("", "32651")],
)
def test_a_raster_without_crs_takes_the_code_of_the_prj_beside_it(tmp_path: Path, content: str, code: str) -> None:
    """The code in the command is that of the .prj, or without a readable one an example."""
    path = write(tmp_path / "my scene.tif", picture(), transform=HERE.transform)
    path.with_suffix(".prj").write_text(content)
    with pytest.raises(InputError, match=r"my scene.tif has no CRS") as caught:
        _ = inspect(path).grid
    assert f"`gdal_edit.py -a_srs EPSG:{code} " in str(caught.value)
    assert (shlex.quote(str(path)) in str(caught.value)) == (code == "32633")
    assert "crs:" not in str(caught.value)
