"""The list of scenes says of each what becomes of it, and one bad scene does not hide the others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from landshift.flows.cli.main import app
from landshift.flows.steps.inspection.check import check_project
from landshift.flows.steps.inspection.scenes import list_scenes
from landshift.pipeline.errors import InputError
from tests.conftest import Territory, small_grid


def listed(territory: Territory) -> tuple[dict[str, Any], list[str]]:
    content, lines = list_scenes(territory.workspace())
    return {s["id"]: s for s in content["scenes"]} | {"problems": content["problems"]}, lines


def test_each_scene_goes_to_its_epoch(territory: Territory) -> None:
    territory.write("place_20210615.tif", seed=3, tags={"CLOUD_COVER": "12.5"})
    scenes, lines = listed(territory)
    assert scenes.pop("problems") == []
    assert {n: tuple(s["epochs"][e]["used"] for e in ("before", "after")) for n, s in scenes.items()} == {
        "place_20200615": (True, False), "place_20210615": (False, False), "place_20220620": (False, True),
    }  # fmt: skip
    assert scenes["place_20210615"]["epochs"]["after"]["reason"] == "outside the date range (2022-06-01 to 2022-06-30)"
    assert scenes["place_20210615"]["cloud_cover"] == 12.5
    assert scenes["place_20200615"]["region_share"] == 1
    assert scenes["place_20200615"]["sensor"] == "custom"
    assert "2021-06-15  12.5 %  100.0%  place_20210615" in lines


def test_a_bad_scene_does_not_stop_the_list(territory: Territory) -> None:
    good = (territory.data / "place_20200615.tif").read_bytes()
    (territory.data / "place_20200616.tif").write_bytes(good[: len(good) // 2])
    (territory.data / "place_20200617.tif").write_text("<VRTDataset/>")
    territory.write("place_20200618.tif", territory.numbers()[:1], descriptions=("red",))
    territory.write("place_20200619.tif", np.zeros((2, *territory.grid.shape), np.uint16))
    territory.write("place.tif")
    territory.config["scenes"]["pattern"] = "place*.tif"
    scenes, lines = listed(territory)
    for name, why in [
        ("place_20200616.tif", "truncated"), ("place_20200617.tif", "neither a GeoTIFF"),
        ("place_20200618.tif", "its name ends in none|has 1 bands"), ("place_20200619", "no pixel of the region"),
        ("place", "no date in its name"),
    ]:  # fmt: skip
        match = [s for key, s in scenes.items() if key.removesuffix(".tif") == name.removesuffix(".tif")]
        assert len(match) == 1
        assert any(piece in match[0]["fault"] for piece in why.split("|")), match[0]
        assert not any(e["used"] for e in match[0]["epochs"].values())
    assert scenes["place_20200615"]["epochs"]["before"]["used"]
    assert scenes["place_20220620"]["epochs"]["after"]["used"]
    assert scenes["problems"] == ["5 faulty scenes stop `landshift check`."]
    assert sum("To mend" in line for line in lines) == 1


def test_pixels_that_are_damaged(territory: Territory) -> None:
    path = territory.write("place_20200616.tif", seed=5)
    content = bytearray(path.read_bytes())
    content[-4000:-200] = bytes(3800)
    path.write_bytes(bytes(content))
    scenes, _ = listed(territory)
    assert "cannot be read" in scenes["place_20200616"]["fault"]
    assert "outside the date range" in scenes["place_20200616"]["epochs"]["after"]["reason"]


def test_a_band_that_is_wanted_and_a_place_elsewhere(territory: Territory) -> None:
    territory.config |= {"bands": ["red", "blue"]}
    scenes, _ = listed(territory)
    assert scenes["place_20200615"]["fault"] == "lacks the band blue; it has red, nir"
    del territory.config["bands"]
    territory.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 10, "bounds": [300_000, 3_599_600, 300_480, 3_600_000]}
    territory.write("place_20200620.tif", seed=4, grid=small_grid(x=900_000))
    territory.write("place_20200621.tif", seed=4, grid=small_grid(x=300_240))
    scenes, _ = listed(territory)
    assert scenes["place_20200620"]["fault"] == "does not overlap the region"
    assert scenes["place_20200620"]["region_share"] == 0
    assert scenes["place_20200621"]["region_share"] == 0.5
    assert scenes["place_20200621"]["epochs"]["before"]["used"]


def test_scenes_of_two_grids_without_a_region(territory: Territory) -> None:
    territory.write("place_20200616.tif", seed=4, grid=small_grid(x=300_010))
    scenes, _ = listed(territory)
    assert "are not on one grid: upper left corner" in scenes["place_20200616"]["fault"]


def test_an_epoch_without_scenes(territory: Territory) -> None:
    (territory.data / "place_20220620.tif").unlink()
    scenes, _ = listed(territory)
    [problem] = scenes["problems"]
    assert "No scene from 2022-06-01 to 2022-06-30 for epoch after; the folder has 2020-06-15" in problem


def test_what_is_listed_as_used_is_what_the_plan_takes(territory: Territory) -> None:
    territory.write("place_20200616.tif", seed=4)
    territory.write("place_20210616.tif", seed=4)
    scenes, _ = listed(territory)
    made = territory.plan()
    for epoch in made.epochs:
        assert {s.id for s in epoch.scenes} == {
            n for n, s in scenes.items() if n != "problems" and s["epochs"][epoch.name]["used"]
        }


def test_on_the_command_line(territory: Territory, tmp_path: Path) -> None:
    import yaml

    (tmp_path / "c.yaml").write_text(yaml.safe_dump(territory.config))
    result = CliRunner().invoke(app, ["scenes", str(tmp_path / "c.yaml"), "--data", str(territory.data), "--json"])
    assert result.exit_code == 0
    assert [s["id"] for s in json.loads(result.output)["scenes"]] == ["place_20200615", "place_20220620"]
    result = CliRunner().invoke(app, ["scenes", str(tmp_path / "c.yaml"), "--data", str(territory.data)])
    assert "before: used" in result.output
    territory.config["scenes"]["pattern"] = "nothing*.tif"
    with pytest.raises(InputError, match="holds no file like"):
        list_scenes(territory.workspace())


def test_faulty_scenes_are_skipped_where_that_is_asked_for(territory: Territory) -> None:
    """Two cannot be read, so that nobody knows their epoch, and one is no reflectance; they are named, and the rest is used."""
    whole = (territory.data / territory.names[1]).read_bytes()
    (territory.data / "place_20220625.tif").write_bytes(whole[: len(whole) // 3])
    territory.write("place_20220610.tif", np.full((2, *territory.grid.shape), 60_000, dtype=np.uint16))
    (territory.data / "place_20210625.tif").write_bytes(whole[:100])
    with pytest.raises(InputError):
        territory.plan()
    territory.config["scenes"] |= {"faulty": "skip"}
    made = territory.plan()
    assert [scene.id for scene in made.after.scenes] == ["place_20220620"]
    assert [sentence.split(" was skipped: ")[0] for sentence in made.skipped] == [
        "place_20210625.tif", "place_20220625.tif", "place_20220610",
    ]  # fmt: skip
    assert "which is no reflectance" in made.skipped[2]
    content, lines = check_project(territory.workspace())
    assert content["skipped"] == list(made.skipped)
    assert sum(line.startswith("Warning  place_") for line in lines) == 3


def test_skipping_all_scenes_of_an_epoch_is_an_error(territory: Territory) -> None:
    (territory.data / territory.names[1]).write_bytes(b"no raster")
    territory.config["scenes"] |= {"faulty": "skip"}
    with pytest.raises(InputError, match="No scene from 2022-06-01 to 2022-06-30"):
        territory.plan()
