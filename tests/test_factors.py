"""Scale and offset that a file declares are what its numbers mean: a config that contradicts them is refused."""

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from landshift.flows.steps.project.plan import plan
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.place import RemoteFile
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.scenes.declared import require_factors
from landshift.pipeline.scenes.scene import Scene, Source
from landshift.pipeline.scenes.sensors import sensor_named
from tests.conftest import Territory


def tag(territory: Territory, scale: Any, offset: Any, *, names: tuple[str, ...] = ()) -> None:
    for name in names or territory.names:
        with rasterio.open(territory.data / name, "r+") as target:
            target.scales = scale if isinstance(scale, tuple) else (scale, scale)
            target.offsets = offset if isinstance(offset, tuple) else (offset, offset)


@pytest.mark.parametrize(
    ("scale", "offset", "config", "message"),
    [
        (1e-4, 0, {"scale": 1}, r"band 1 \(red\): the file has scale 0.0001 and offset 0, the config has scale 1 and offset 0"),
        (
            1e-4,
            0,
            {"scale": 1},
            r"Set `sensor: scale: 0.0001` and `sensor: offset: 0`; or, if the file is wrong, `gdal_ed",
        ),
        (1e-4, -0.1, {}, "Set `sensor: scale: 0.0001` and `sensor: offset: -0.1`"),
        (2.75e-5, -0.2, {}, "Set `sensor: scale: 2.75e-05` and `sensor: offset: -0.2`"),
        (1e-4, 0, {"offset": -0.1}, "has scale 0.0001 and offset 0, the config has scale 0.0001 and offset -0.1"),
        ((1e-4, 2e-4), 0, {}, r"band 2 \(nir\).*Its bands have different ones: `gdal_translate -unscale -ot Float32 "),
    ],
)
def test_a_config_that_contradicts_the_file(
    territory: Territory, scale: Any, offset: Any, config: dict[str, Any], message: str
) -> None:
    tag(territory, scale, offset)
    territory.config["sensor"] |= config
    with pytest.raises(InputError, match=message):
        plan(territory.workspace())


@pytest.mark.parametrize(
    ("scale", "offset", "config"),
    [(1, 0, {}), (1e-4, 0, {}), (float(np.float32(1e-4)), 0, {}), (2.75e-5, -0.2, {"scale": 2.75e-5, "offset": -0.2})],
    ids=["identity", "the same", "as float32", "Landsat"],
)
def test_a_config_that_agrees(territory: Territory, scale: float, offset: float, config: dict[str, Any]) -> None:
    tag(territory, scale, offset)
    territory.config["sensor"] |= config
    plan(territory.workspace())


def test_one_date_is_enough_to_contradict(territory: Territory) -> None:
    tag(territory, 1e-3, 0, names=(territory.names[1],))
    with pytest.raises(InputError, match=rf"{territory.names[1]}, band 1 .* the file has scale 0.001"):
        plan(territory.workspace())


def test_the_line_to_write_works(territory: Territory) -> None:
    tag(territory, 2e-4, -0.05)
    with pytest.raises(InputError) as error:
        plan(territory.workspace())
    found = re.search(r"`sensor: scale: (\S+)` and `sensor: offset: (\S+)`", str(error.value))
    assert found is not None
    territory.config["sensor"] |= {"scale": float(found[1]), "offset": float(found[2])}
    plan(territory.workspace())


@pytest.mark.parametrize("differ", [False, True])
def test_the_commands_work(territory: Territory, differ: bool) -> None:
    if shutil.which("gdal_edit.py") is None:
        pytest.skip("GDAL's programs are not installed (apt install gdal-bin python3-gdal)")
    tag(territory, (2e-4, 3e-4) if differ else 2e-4, 0)
    for name in territory.names:
        with pytest.raises(InputError) as error:
            plan(territory.workspace())
        command = re.findall(r"`(gdal_\S+ [^`]*)`", str(error.value))[0 if differ else -1]
        subprocess.run(command, shell=True, check=True, cwd=territory.data, capture_output=True)
        if differ:
            made = territory.data / f"{Path(name).stem}_values.tif"
            made.rename(territory.data / name)
            with rasterio.open(territory.data / name) as source:
                assert source.scales == (1, 1)
                np.testing.assert_allclose(source.read(2).mean(), 5000 * 3e-4, rtol=0.05)
            territory.config["sensor"]["scale"] = 1 if name == territory.names[1] else 1e-4
    plan(territory.workspace())


def sentinel(path: Path | RemoteFile, offset: float) -> Scene:
    return Scene(
        "S2", date(2023, 6, 1), sensor_named("sentinel-2-l2a"), {"red": Source(path, 1), "nir": Source(path, 2)}, None,
        None, number_offset=offset,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_offset_of_sentinel_2(territory: Territory) -> None:
    """Of files here the tag counts; catalogs leave it behind where they took the 1000 off, and the pixels decide."""
    tag(territory, 1e-4, -0.1)
    path = territory.data / territory.names[0]
    info = inspect(path)
    require_factors(sentinel(path, -1000), [info])
    with pytest.raises(InputError, match=r"sentinel-2-l2a has scale 0.0001 and offset 0. Set `sensor: number_offset: -1000`"):
        require_factors(sentinel(path, 0), [info])
    remote = RemoteFile("https://host/a.tif", "https://host/a.tif")
    object.__setattr__(info, "path", remote)
    require_factors(sentinel(remote, 0), [info])
    tag(territory, 1e-3, 0)
    with pytest.raises(InputError, match="Take another `sensor:`"):
        require_factors(sentinel(path, 0), [inspect(path)])
