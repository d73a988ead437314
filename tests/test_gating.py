"""Gating: what is measured on prepared images, what stops a run, and moving one date onto the other."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from landshift.flows.config.gates import GatesConfig
from landshift.flows.runtime.progress import bars
from landshift.flows.steps.images.aligning import align
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.images.gating import ask_before_work, gates_of_data, gates_of_plan, measure
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.inspection.check import check_project
from landshift.flows.steps.project.plan import plan
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, RULES, Gate, require_open
from landshift.pipeline.scenes.image import SceneImage
from tests.conftest import Territory, small_grid
from tests.shifted_land import pair

SIDE = 192


def draw(territory: Territory, shift: tuple[float, float] = (0, 0), seed: int = 1, *, hard: bool = True) -> None:
    """Put two dates of invented land with a known shift into a territory; `hard` ones show another season."""
    territory.grid = small_grid(SIDE, SIDE)
    for name, image in zip(territory.names, pair(seed, shift, SIDE, hard=hard), strict=True):
        numbers = np.nan_to_num(np.clip(image[:2] * 10_000, 1, 9999), nan=0).astype(np.uint16)
        territory.write(name, numbers)


def prepared(territory: Territory) -> Pair:
    """Prepare as the flow does, without Prefect."""
    ws = territory.workspace()
    before, after = territory.prepare()
    made, correction = plan(ws), None
    if ws.project.gates.misregistration_px.correct:
        after, correction = align(ws, made, before, after)
    return Pair(made, before, after, correction, radiometry=match_dates(ws, made.sensor.units, before, after))


def asked(territory: Territory) -> dict[str | None, Gate]:
    ws, images = territory.workspace(), prepared(territory)
    return {gate.setting: gate for gate in gates_of_data(ws, images, measure(ws, images))}


def test_the_gates_of_a_config_without_any_are_the_pipelines_own() -> None:
    assert GatesConfig().rules == dict(RULES)


def test_sound_images_pass_every_gate_with_numbers(territory: Territory) -> None:
    draw(territory, (0.25, 0), hard=False)
    gates = asked(territory)
    assert {gate.name: gate.found for gate in gates.values() if gate.outcome != PASS} == {}
    assert gates["misregistration_px"].value == pytest.approx(0.25, abs=0.1)
    assert gates["season_gap_days"].value == 5
    assert gates["grid_overlap"].value == 1
    assert 0.01 < gates["radiometric_difference"].value < 0.5


def test_land_that_another_season_darkened_is_told_by_its_pixels_too(territory: Territory) -> None:
    draw(territory)
    gates = asked(territory)
    assert gates["season_gap_days"].outcome == PASS
    assert gates["vegetation_difference"].outcome == MARK
    assert "less green after" in gates["vegetation_difference"].found


def test_the_observed_share_is_of_both_dates(territory: Territory) -> None:
    draw(territory)
    numbers = np.full((2, SIDE, SIDE), 2000, np.uint16)
    numbers[:, : SIDE // 4] = 0
    territory.write(territory.names[0], numbers)
    numbers = np.full((2, SIDE, SIDE), 2000, np.uint16)
    numbers[:, SIDE // 2 :] = 0
    territory.write(territory.names[1], numbers)
    gates = asked(territory)
    assert gates["observed_share"].value == 0.25
    assert gates["observed_share"].outcome == MARK
    assert gates["misregistration_px"].outcome == gates["radiometric_difference"].outcome == NOT_MEASURED


def test_what_was_measured_is_not_measured_again(territory: Territory, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(territory)
    ws, images = territory.workspace(), prepared(territory)
    first = measure(ws, images)

    def broken(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("landshift.pipeline.epochs.measure.misregistration", broken)
    assert measure(ws, images) == first
    # Other images are measured anew.
    draw(territory, seed=2)
    other = prepared(territory)
    with pytest.raises(AssertionError):
        measure(ws, other)


def test_a_shift_beyond_the_limit_stops_where_it_is_told_to(territory: Territory) -> None:
    draw(territory, (1.3, 0))
    gates = asked(territory)
    assert gates["misregistration_px"].outcome == MARK
    require_open(list(gates.values()))
    territory.config["gates"] = {"misregistration_px": {"otherwise": "stop"}}
    with pytest.raises(InputError, match=r"misregistration_px: found 1\.[23]\d px .*expected at most 0.5 px"):
        require_open(list(asked(territory).values()))
    territory.config["gates"] = {"misregistration_px": {"otherwise": "stop", "limit": 2}}
    require_open(list(asked(territory).values()))


def test_the_image_after_is_moved_onto_the_one_before(territory: Territory) -> None:
    draw(territory, (1.3, -0.5))
    plain = prepared(territory)
    territory.config["gates"] = {"misregistration_px": {"correct": True}}
    moved = prepared(territory)
    assert moved.after.image != plain.after.image
    assert moved.hashes[0] == plain.hashes[0]
    assert moved.hashes[1] != plain.hashes[1]
    assert moved.correction.moved == pytest.approx((-1.3, 0.5), abs=0.1)
    assert moved.correction.was == pytest.approx(np.hypot(1.3, 0.5), abs=0.1)
    assert moved.correction.now < 0.1
    gate = asked(territory)["misregistration_px"]
    assert gate.outcome == PASS
    assert gate.value == moved.correction.now
    assert "1.3" in gate.caution.full
    assert moved.after.observation.is_file()


def test_moving_again_changes_no_byte_and_moving_back_needs_nothing(territory: Territory) -> None:
    draw(territory, (1.3, -0.5))
    territory.config["gates"] = {"misregistration_px": {"correct": True}}
    first, files = prepared(territory), territory.outputs()
    assert prepared(territory).key == first.key
    assert territory.outputs() == files
    first.after.image.write_bytes(b"damaged")
    assert prepared(territory).key == first.key
    assert territory.outputs() == files
    territory.config["gates"] = {}
    assert isinstance(prepared(territory).after.image, SceneImage)
    # Other images behind the same names are moved anew.
    draw(territory, (0, 1.3))
    territory.config["gates"] = {"misregistration_px": {"correct": True}}
    assert prepared(territory).correction.moved == pytest.approx((0, -1.3), abs=0.1)


@pytest.mark.parametrize(
    ("shift", "limit", "told"), [((0.25, 0), 0.5, "within the limit"), (None, 0.5, "could not be measured")]
)
def test_an_image_that_lies_well_or_nobody_knows_where_is_left(
    territory: Territory, shift: tuple[float, float] | None, limit: float, told: str
) -> None:
    draw(territory, shift or (0, 0))
    if shift is None:
        territory.write(territory.names[1], seed=9)
    territory.config["gates"] = {"misregistration_px": {"correct": True, "limit": limit}}
    images = prepared(territory)
    assert isinstance(images.after.image, SceneImage)
    assert images.correction.moved is None
    assert told in images.correction.sentence
    assert not list(territory.output.rglob("after_aligned*"))


def test_a_move_that_does_not_help_is_not_kept(territory: Territory, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(territory, (1.3, 0))
    territory.config["gates"] = {"misregistration_px": {"correct": True}}
    from landshift.flows.steps.images import aligning

    original = aligning.write_aligned

    def the_wrong_way(image: Any, observation: Any, shift: tuple[float, float], *targets: Any, **more: Any) -> float:
        return original(image, observation, (-shift[0], -shift[1]), *targets, **more)

    monkeypatch.setattr(aligning, "write_aligned", the_wrong_way)
    images = prepared(territory)
    assert isinstance(images.after.image, SceneImage)
    assert "would have gone from 1.2" in images.correction.sentence
    assert images.correction.now > 2
    assert not list(territory.output.rglob("after_aligned*"))
    gate = asked(territory)["misregistration_px"]
    assert gate.outcome == MARK
    assert "would have gone" in gate.caution.full


def test_a_region_beyond_the_scenes_is_known_before_any_pixel_is_read(territory: Territory) -> None:
    west, south, east, north = (float(v) for v in territory.grid.extent.boundingbox.bbox)
    wide = [west, south, east + (east - west), north]
    territory.config["grid"] = {"crs": "EPSG:32651", "pixel_size": 10, "bounds": wide}
    cover, season = gates_of_plan(territory.workspace(), territory.plan())
    assert (cover.setting, cover.outcome) == ("grid_overlap", MARK)
    assert cover.value == pytest.approx(0.5)
    assert season.value == 5


def test_scenes_of_one_date_cover_the_region_together(territory: Territory) -> None:
    """Each half of the region is seen by another scene of the earlier date; the later one sees three quarters."""
    territory.config["grid"] = {
        "crs": "EPSG:32651", "pixel_size": 10, "bounds": [float(v) for v in territory.grid.extent.boundingbox.bbox]
    }  # fmt: skip
    (territory.data / territory.names[0]).unlink()
    (territory.data / territory.names[1]).unlink()
    territory.write("place_20200615.tif", grid=small_grid(40, 24))
    territory.write("place_20200616.tif", grid=small_grid(40, 24, x=300_240))
    territory.write("place_20220620.tif", grid=small_grid(40, 36))
    cover, _ = gates_of_plan(territory.workspace(), territory.plan())
    assert cover.value == pytest.approx(0.75)


def winter(territory: Territory, otherwise: str) -> None:
    (territory.data / territory.names[1]).rename(territory.data / "place_20221220.tif")
    territory.config["epochs"]["after"] = {"start": date(2022, 12, 1), "end": date(2022, 12, 31)}
    territory.config["gates"] = {"season_gap_days": {"otherwise": otherwise}}


def test_check_says_what_the_dates_come_to(territory: Territory) -> None:
    winter(territory, "mark")
    content, lines = check_project(territory.workspace())
    found = {gate["setting"]: gate["outcome"] for gate in content["gates"]}
    # Numbers that were drawn at random are no land.
    assert found == {"grid_overlap": PASS, "season_gap_days": MARK, "implausible_levels": MARK, "level_ratio": PASS}
    assert any("take care, 177 days" in line for line in lines)
    assert any("Choose dates of one season" in line for line in lines)


def test_check_finds_a_date_ten_times_as_bright_in_any_unit(territory: Territory) -> None:
    territory.config["sensor"]["units"] = "digital numbers"
    territory.write(territory.names[1], territory.numbers(seed=1) * 6)
    territory.write(territory.names[0], territory.numbers(seed=0) // 2 + 1)
    with pytest.raises(InputError, match=r"level_ratio: found the date after is 1\d\.\d\d times as bright"):
        check_project(territory.workspace())


def test_check_stops_where_detect_would(territory: Territory) -> None:
    winter(territory, "stop")
    with pytest.raises(InputError, match="season_gap_days: found 177 days"):
        check_project(territory.workspace())


def test_what_stops_a_map_or_a_training_stops_it_before_an_image_is_made(territory: Territory) -> None:
    winter(territory, "stop")
    ws = territory.workspace()
    with pytest.raises(InputError, match="season_gap_days: found 177 days"):
        ask_before_work(ws, plan(ws))
    assert not ws.epochs.exists()


def test_what_was_found_before_the_work_is_shown_in_short(
    territory: Territory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no file is looked into for it once more."""
    winter(territory, "mark")
    ws = territory.workspace()
    made = plan(ws)
    monkeypatch.setattr("landshift.pipeline.scenes.look.read_scene", None)
    with bars():
        gates = ask_before_work(ws, made)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "Checked: 2020-06-15 against 2022-12-20, 48 x 40 pixels of 10 m, 2 bands. Take care:"
    assert rest == [f"- {text}" for text in (*(g.caution.full for g in gates if g.outcome == MARK), *made.unmasked)]
    assert len(rest) == 3


@pytest.mark.parametrize(
    "gates",
    [{"season_gap": {}}, {"season_gap_days": {"otherwise": "warn"}}, {"observed_share": {"limit": 1.5}},
     {"season_gap_days": {"limit": -1}}, {"season_gap_days": {"correct": True}}],
)  # fmt: skip
def test_a_gate_that_makes_no_sense_is_refused(territory: Territory, gates: dict[str, Any]) -> None:
    territory.config["gates"] = gates
    with pytest.raises(ValueError, match="gates"):
        territory.workspace()


def test_a_plan_has_more_to_write_where_an_image_may_be_moved(territory: Territory) -> None:
    from landshift.flows.steps.project.disk import bytes_required

    made = plan(territory.workspace())
    # The scenes are read where they lie; a moved one is written, and again as it was moved.
    assert bytes_required(made) == 40 * 48 * 36
    assert bytes_required(made, moved=True) - bytes_required(made) == 2 * 40 * 48 * (4 * 2 + 8)
