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
from landshift.pipeline.scenes.survey import group_alike
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
    [problem] = scenes["problems"]
    assert problem.startswith("5 faulty scenes: 3 do not fit, 2 cannot be read. They stop `landshift check`: ")
    assert sum("To mend" in line for line in lines) == 1
    kinds = {name: s["kind"] for name, s in scenes.items() if name != "problems" and s["fault"]}
    assert kinds == {
        "place_20200616.tif": "cannot be read", "place_20200617.tif": "cannot be read", "place_20200618.tif": "does not fit",
        "place_20200619": "does not fit", "place": "does not fit",
    }  # fmt: skip
    assert not any("damaged" in line for line in lines)
    territory.config["scenes"]["faulty"] = "skip"
    scenes, lines = listed(territory)
    assert scenes["problems"] == []
    assert lines[-1] == "5 faulty scenes: 3 do not fit, 2 cannot be read. They are skipped (`scenes: faulty: skip`)."


def test_pixels_that_are_damaged(territory: Territory) -> None:
    path = territory.write("place_20200616.tif", seed=5)
    content = bytearray(path.read_bytes())
    content[-4000:-200] = bytes(3800)
    path.write_bytes(bytes(content))
    scenes, _ = listed(territory)
    assert "pixels cannot be read" in scenes["place_20200616"]["fault"]
    assert scenes["place_20200616"]["kind"] == "cannot be read"
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
    assert scenes["place_20200616"]["kind"] == "differs from the others"


def test_most_scenes_are_the_others_from_which_one_differs(territory: Territory) -> None:
    """The first is the odd one."""
    territory.write("place_20200601.tif", seed=4, grid=small_grid(x=300_010))
    scenes, _ = listed(territory)
    scenes.pop("problems")
    assert [name for name, s in scenes.items() if s["fault"]] == ["place_20200601"]


def write_forty(territory: Territory) -> list[str]:
    """Forty scenes of too large numbers, each of another median."""
    names = [f"place{number:02}_20200610" for number in range(40)]
    for number, name in enumerate(names):
        numbers = np.full((2, *territory.grid.shape), 50_000 + 10 * number, dtype=np.uint16)
        territory.write(f"{name}.tif", numbers)
    territory.config["scenes"]["pattern"] = "place*.tif"
    return names


def test_what_is_wrong_with_forty_scenes_is_said_once(territory: Territory) -> None:
    names = write_forty(territory)
    (territory.data / "place_20200617.tif").write_bytes(b"no raster")
    scenes, lines = listed(territory)
    assert all("the median is" in scenes[name]["fault"] for name in names)
    text = " ".join(" ".join(lines).split())
    assert text.count("the median is") == 1
    assert f"before: does not fit, like 39 more: {territory.data / names[0]}.tif, band red: the median is 5" in text
    assert text.count(f"before: does not fit, like {names[0]}") == 39
    assert "41 faulty scenes: 40 do not fit, 1 cannot be read." in text


def test_the_first_fault_that_stops_names_the_others(territory: Territory) -> None:
    names = write_forty(territory)
    territory.write("place_20200611.tif", np.zeros((2, *territory.grid.shape), np.uint16))
    with pytest.raises(InputError) as stopped:
        territory.plan()
    assert str(stopped.value).startswith(f"{territory.data / names[0]}.tif, band red: the median is 5")
    assert str(stopped.value).endswith(
        f" (the same holds for 39 more: {', '.join(names[1:4])} and 36 more; 1 more is faulty otherwise; "
        "`landshift scenes` lists all.)"
    )
    for name in ("a.tif", "b.tif", "c.tif"):
        (territory.data / f"place_20200612{name}").write_bytes(b"no raster")
    with pytest.raises(InputError, match=r"a.tif is neither .* \(the same holds for 2 more: .*b.tif, .*c.tif; `landshift"):
        territory.plan()


def test_what_is_skipped_is_said_once(territory: Territory) -> None:
    """Five cannot be read, forty hold no reflectance, and the map is made of the others."""
    names = write_forty(territory)
    for number in range(5):
        (territory.data / f"placex{number}.tif").write_bytes(b"no raster")
    (territory.data / "place\x1b[2J_20200615.tif").write_bytes(b"no raster")
    territory.config["scenes"]["faulty"] = "skip"
    made = territory.plan()
    assert [scene.id for scene in made.before.scenes] == ["place_20200615"]
    unreadable, shown, unfit = made.skipped
    assert shown.isprintable()
    assert "has control characters" in shown
    assert unreadable.startswith(
        "5 scenes were skipped for the same reason (placex0.tif, placex1.tif, placex2.tif and 2 more), of the first: "
    )
    assert "placex0.tif is neither a GeoTIFF nor JPEG 2000." in unreadable
    assert unfit.startswith(f"40 scenes were skipped for the same reason ({', '.join(names[:3])} and 37 more), of the first: ")
    _, lines = check_project(territory.workspace())
    assert [line for line in lines if line.startswith("Warning") and "skipped" in line] == [
        f"Warning  {s}" for s in made.skipped
    ]


def test_long_reasons_are_wrapped_and_never_cut_off(territory: Territory) -> None:
    territory.write("place_20200618.tif", territory.numbers(bands=3), descriptions=("red", "nir", "x" * 400))
    scenes, lines = listed(territory)
    fault = scenes["place_20200618"]["fault"]
    assert len(fault) > 500
    assert fault in " ".join(line.strip() for line in lines)
    assert all(len(line) <= 120 or "x" * 400 in line for line in lines if line.startswith("    "))


def test_faults_are_alike_where_they_differ_in_names_and_numbers_alone() -> None:
    groups = group_alike([
        ("a_1", "/d/a_1.tif has 3 bands in EPSG:32650"), ("a_2", "/d/a_2.tif has 4 bands in EPSG:32650"),
        ("a_3", "/d/a_3.tif has 3 bands in EPSG:32651"), ("b", "band b of /d/b.tif"), ("a", "band b of /d/a.tif"),
    ])  # fmt: skip
    assert [group.names for group in groups] == [("a_1", "a_2"), ("a_3",), ("b",), ("a",)]
    assert groups[0].fault == "/d/a_1.tif has 3 bands in EPSG:32650"


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
    """One cannot be read, one is no reflectance: they are named, and the rest is used; a third is of neither epoch."""
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
        "place_20220625.tif", "place_20220610",
    ]  # fmt: skip
    assert "which is no reflectance" in made.skipped[1]
    content, lines = check_project(territory.workspace())
    assert content["skipped"] == list(made.skipped)
    assert sum(line.startswith("Warning  place_") for line in lines) == 2


def test_skipping_all_scenes_of_an_epoch_is_an_error(territory: Territory) -> None:
    (territory.data / territory.names[1]).write_bytes(b"no raster")
    territory.config["scenes"] |= {"faulty": "skip"}
    told = r"No scene from 2022-06-01 to 2022-06-30 for epoch after; the folder, without 1 left out or faulty .* has 2020-06-15"
    with pytest.raises(InputError, match=told):
        territory.plan()
    territory.write(territory.names[1], np.full((2, *territory.grid.shape), 60_000, dtype=np.uint16))
    with pytest.raises(InputError, match=told):
        territory.plan()
