"""The plan: made once a run, from scenes that are found and looked into once, and carried to everything that follows."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landshift.flows import detect as detecting
from landshift.flows.detect import detect
from landshift.flows.steps.project import plan as planning
from tests.conftest import Territory
from tests.untrained import Untrained


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often scenes are found, chosen, and each looked into."""
    counted: Counter[str] = Counter()
    for name in ("find_scenes", "choose", "look_at"):
        original = getattr(planning, name)

        def counting(*arguments: Any, name: str = name, original: Any = original, **more: Any) -> Any:
            counted[f"{name} {arguments[1].id}" if name == "look_at" else name] += 1
            return original(*arguments, **more)

        monkeypatch.setattr(planning, name, counting)
    return counted


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Untrained:
    return Untrained(tmp_path_factory.mktemp("untrained"))


def test_a_detect_run_plans_once(place: Untrained, calls: Counter[str], tmp_path: Path) -> None:
    detect(place.project(), place.data, tmp_path, model=place.model)
    assert calls == {
        "find_scenes": 1, "choose": 1, "look_at S2_L2A_20190612": 1, "look_at S2_L2A_20230618": 1,
    }  # fmt: skip


def test_a_run_lists_the_scenes_that_were_read_whatever_arrives_meanwhile(
    place: Untrained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(place.data, tmp_path / "data"))
    prepare_images = detecting.prepare_images

    def prepare_while_one_more_arrives(*arguments: Any) -> Any:
        prepared = prepare_images(*arguments)
        shutil.copyfile(data / "scenes" / "S2_L2A_20230618.tif", data / "scenes" / "S2_L2A_20230612.tif")
        return prepared

    monkeypatch.setattr(detecting, "prepare_images", prepare_while_one_more_arrives)
    run = detect(place.project(), data, tmp_path / "runs", model=place.model).run
    listed = json.loads((run / "record/run.json").read_text(encoding="utf-8"))
    assert [i["path"] for i in listed["inputs"]] == ["scenes/S2_L2A_20190612.tif", "scenes/S2_L2A_20230618.tif"]
    assert listed["after_date"] == "2023-06-18"


def test_only_the_faulty_scene_is_dropped_and_no_other_looked_into_again(territory: Territory, calls: Counter[str]) -> None:
    territory.write("place_20200610.tif", seed=5)
    territory.write("place_20200620.tif", np.full((2, *territory.grid.shape), 60_000, dtype=np.uint16))
    territory.config["scenes"] |= {"faulty": "skip"}
    made = territory.plan()
    assert [scene.id for scene in made.before.scenes] == ["place_20200610", "place_20200615"]
    assert [sentence.partition(" was skipped: ")[0] for sentence in made.skipped] == ["place_20200620"]
    assert calls == {
        "find_scenes": 1, "choose": 2, **{f"look_at place_{day}": 1 for day in (20200610, 20200615, 20200620, 20220620)},
    }  # fmt: skip
