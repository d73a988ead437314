"""Training on a collection of chips: it learns, is judged image by image, and its model is a source for a territory."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from landshift.flows.assess import assess
from landshift.flows.cli.main import app
from landshift.flows.steps.chips.collection import look_through
from landshift.flows.steps.chips.training import prepare_input
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.release.candidates import Trained
from landshift.flows.train import train
from landshift.models.network.collections import CollectionChips, CollectionTiles, source_of
from landshift.models.network.samples import Augmentation
from landshift.models.use.bundle import describe
from landshift.pipeline.chips.scoring import score_images, scores_of_cells, summarise_images
from landshift.pipeline.epochs.matching import Treatment
from landshift.pipeline.errors import InputError
from landshift.pipeline.pages.assessment import summary_lines
from landshift.pipeline.records import read_record
from landshift.pipeline.scores.accuracy import binary_scores, score_evidence
from landshift.pipeline.scores.assessment import Assessment
from tests.chip_collection import ChipCollection, chip_of


class Whole(NamedTuple):
    """A collection that was learnt from."""

    squares: ChipCollection
    ws: Workspace
    trained: Trained
    report: dict[str, Any]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    squares = ChipCollection(tmp_path_factory.mktemp("chips"), {"train": 36, "val": 10, "test": 14})
    ws = squares.workspace()
    trained: Trained = train(ws.project, squares.data, squares.output)
    return Whole(squares, ws, trained, json.loads(trained.report.read_text()))


def test_it_learns_what_the_masks_show(learnt: Whole) -> None:
    test = learnt.report["seeds"][0]["test"]
    assert test["kappa"] > 0.7
    assert test["n"] == 14 * 64 * 64
    drawn = [chip_of(46 + n)[2] for n in range(14)]
    evidence = learnt.report["seeds"][0]["evidence"]
    assert (evidence["changed"], evidence["blocks"]) == (sum(int(d.sum()) for d in drawn), 14)
    assert evidence["kappa"][0] <= test["kappa"] <= evidence["kappa"][1]
    assert learnt.report["chips"]["test"]["with_change"] == sum(d.any() for d in drawn)


def test_every_test_image_is_scored_by_name(learnt: Whole) -> None:
    with (learnt.trained.report.parent / "test_images.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    drawn = {f"test/{46 + n:04d}": chip_of(46 + n)[2] for n in range(14)}
    assert {r["name"]: int(r["changed"]) for r in rows} == {name: int(mask.sum()) for name, mask in drawn.items()}
    images = learnt.report["seeds"][0]["images"]
    known = sorted(float(r["f1"]) for r in rows if r["f1"])
    assert images["f1"]["median"] == pytest.approx(np.median(known))
    assert images["worst"][0]["f1"] == pytest.approx(known[0])
    assert images["false_alarms"]["images"] == sum(not mask.any() for mask in drawn.values())
    card = (learnt.trained.model / "card.md").read_text()
    assert images["worst"][0]["name"] in card
    assert "drawing the test\nimages anew" in card
    assert "blocks" not in card.partition("## A threshold with a promise")[0]
    assert "median" in learnt.trained.told[0]
    assert "Not trained: boosted, probe, which need the IR-MAD statistic of a whole pair." in learnt.report["notes"]


def test_nothing_is_done_twice(learnt: Whole) -> None:
    before = {p: p.stat().st_mtime_ns for p in sorted(learnt.ws.output.rglob("*")) if p.is_file() and p.name != ".lock"}
    again: Trained = train(learnt.ws.project, learnt.squares.data, learnt.squares.output)
    assert again == learnt.trained
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_model_of_chips_has_no_place_on_the_ground(learnt: Whole) -> None:
    bundle = describe(learnt.trained.model)
    assert bundle.treatment == Treatment(matched=False, standardised=True)
    assert bundle.units == "digital numbers"
    assert bundle.facts.territory is None
    assert not [p for p in learnt.ws.output.rglob("*") if p.suffix in (".tif", ".gpkg", ".qgs")]


def test_trees_are_refused(tmp_path: Path) -> None:
    squares = ChipCollection(tmp_path)
    with pytest.raises(InputError, match="they train the network only"):
        train(squares.workspace(training={"strategy": "boosted"}).project, squares.data, squares.output)


def test_assess_needs_a_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["assess", str(ChipCollection(tmp_path).write_config()), "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == 2, result.output
    assert "run `landshift train` first" in result.output


def test_assess_shows_the_test_images(learnt: Whole) -> None:
    page = (learnt.ws.output / "assessment/assessment.html").read_text()
    worst = learnt.report["seeds"][0]["images"]["worst"][0]["name"]
    assert f"<bdi>{worst}</bdi>" in page
    assert "on 14 test images of squares" in page
    found = assess(learnt.ws.project, learnt.squares.data, learnt.squares.output)
    assert found.page.read_text() == page
    lines = summary_lines(read_record(found.report, Assessment))
    assert lines[0].startswith("Test images: F1 ")
    assert any(worst in line for line in lines)


def test_windows_are_those_of_the_files(tmp_path: Path) -> None:
    squares = ChipCollection(tmp_path)
    ws = squares.workspace(radiometry={"standardise": "none"})
    survey = look_through(ws, thorough=True)
    _, reader, treatment = prepare_input(ws, survey)
    assert treatment == Treatment()
    source = source_of(reader, [(f.chip, f.shape, f.change["changed"]) for f in survey.of("train")], ())
    tiles = CollectionTiles(source, size=32)
    assert len(tiles) == 6 * 4
    before, after, changed = chip_of(1)
    found = tiles[1 * 4 + 3]
    np.testing.assert_array_equal(found["before"], before[:, 32:, 32:])
    np.testing.assert_array_equal(found["after"], after[:, 32:, 32:])
    np.testing.assert_array_equal(found["change_label"], changed[32:, 32:])
    few = CollectionTiles(source, size=96, kept=60)
    assert [int((few[n]["change_label"] != 255).sum()) for n in range(len(few))] == [10] * 6
    chips = CollectionChips(source, size=96, count=200, seed=3, augmentation=Augmentation())
    drawn = [chips[n] for n in range(40)]
    assert all(d["before"].shape == (3, 96, 96) for d in drawn)
    share = np.mean([bool((d["change_label"] == 1).any()) for d in drawn])
    assert share > 0.8
    assert all((chips[7][k].numpy() == v.numpy()).all() for k, v in chips[7].items() if k.endswith("label"))


def test_scores_of_counts_are_those_of_the_pixels() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((5, 200)) < 0.3).astype(np.uint8)
    truth[4] = 0
    probability = np.clip(truth * 0.4 + rng.random((5, 200)) * 0.6, 0, 1)
    mapped, changed = probability >= 0.5, truth == 1
    parts = (changed & mapped, ~changed & mapped, changed & ~mapped, ~changed & ~mapped)
    cells = np.stack([part.sum(axis=1) for part in parts])
    whole = binary_scores(truth, probability, 0.5)
    assert vars(scores_of_cells(cells, whole.auc)) == pytest.approx(vars(whole))
    blocks = np.repeat(np.arange(5), 200)
    images = score_images(cells, list("abcde"))
    for number, image in enumerate(images[:4]):
        one = binary_scores(truth[number], probability[number], 0.5)
        assert (image.kappa, image.f1, image.iou) == pytest.approx((one.kappa, one.f1, one.iou))
    assert (images[4].f1, images[4].kappa) == (None, None)
    assert images[4].false_alarms == mapped[4].mean()
    summary = summarise_images(images)
    assert summary.worst[0].f1 == min(i.f1 for i in images if i.f1 is not None)
    assert summary.worst_alarms == images[4]
    assert score_evidence(truth.ravel(), mapped.ravel(), blocks).blocks == 5
