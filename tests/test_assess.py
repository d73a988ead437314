"""The assessment: what was measured is kept while its inputs stay, and a verdict that the encoder hurts stops a training."""

import landshift.models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import yaml
from shapely.geometry import box
from typer.testing import CliRunner

from landshift.flows import assess as assessing
from landshift.flows.assess import Measures, assess, assess_transfer
from landshift.flows.cli.main import app
from landshift.flows.steps.assessment import publish
from landshift.flows.steps.assessment.comparison import compare_strategies, mean_alignment, verification_trials, verify_ranking
from landshift.flows.steps.assessment.current import (
    ASSESSMENT,
    PAGE,
    assessment_key,
    assessment_of,
    current_assessment,
    require_harmless,
)
from landshift.flows.steps.assessment.guard import trials_for
from landshift.flows.steps.assessment.trials import Trial, TrialResult
from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.regions import Regions
from landshift.pipeline.manifest import write_json
from landshift.pipeline.pages.assessment import assessment_page, summary_lines
from landshift.pipeline.records import content_of, record_of, write_record
from landshift.pipeline.scores.adaptation import AdaptationCheck
from landshift.pipeline.scores.assessment import Assessment, Guard, NoEvaluation
from landshift.pipeline.scores.evidence import HELPS, HURTS, NO_EVIDENCE
from landshift.pipeline.scores.ranking import EncoderRanking, EncoderRow, EncoderSource
from tests.binary_territory import LITE, RANDOM, BinaryTerritory, Ready, cost_of, done

TWO = Regions(np.zeros((2, 2), dtype=np.int16), ("north", "south"), (0, 1))
SMALL = {"model": {"encoder": LITE}, "assess": {"regions": 2, "strategies": ["full"]}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    return BinaryTerritory(tmp_path_factory.mktemp("assess"))


@pytest.fixture(scope="module")
def whole(place: BinaryTerritory) -> SimpleNamespace:
    """Everything at once, with the smallest of trainings: two regions, one seed."""
    ws = place.workspace(**SMALL)
    made = assess(ws.project, place.data, place.output, measures=Measures(strategies=True, verify=True, curve=True))
    return SimpleNamespace(ws=ws, made=made, content=json.loads(made.report.read_text()))


@pytest.fixture(scope="module")
def ready(place: BinaryTerritory, whole: SimpleNamespace) -> Ready:
    return Ready(place.workspace(**SMALL))


def record(ws: Any, found: Assessment) -> None:
    """Keep an assessment as `publish_assessment` does."""
    write_record(ws.assessment / ASSESSMENT, found)
    ws.manifest(ws.assessment).record("assessment", found.key, [ws.assessment / ASSESSMENT])


def guard_of(verdict: str, folds: int, sentence: str) -> Guard:
    return Guard(verdict, sentence, folds, controls={}, notes=(), f1={}, compared={}, diverged=(), not_possible=())


def write_assessment(ready: Ready, folder: Path, verdict: str, guard: Guard | None = None) -> Ready:
    """Write an assessment by hand, of the inputs of a workspace of its own."""
    ws = replace(ready.ws, output=folder / "place")
    ws.assessment.mkdir(parents=True)
    ws.training.mkdir()
    for path in ready.ws.training.glob("*.*"):
        (ws.training / path.name).write_bytes(path.read_bytes())
    key = assessment_key(ws, ready.prepared, ready.labels_hash)
    record(ws, Assessment(key=key, guard=guard or guard_of(verdict, 4, f"Over 4 held-out regions it {verdict}.")))
    other = object.__new__(Ready)
    other.__dict__.update(ready.__dict__, ws=ws)
    return other


def changed(ready: Ready, place: BinaryTerritory, **changes: Any) -> Any:
    merged = {key: {**SMALL.get(key, {}), **value} for key, value in changes.items()}
    return replace(ready.ws, project=place.workspace(**(SMALL | merged)).project)


def test_every_section_that_was_asked_for_is_there(whole: SimpleNamespace) -> None:
    content = whole.content
    assert content["project"] == "place"
    assert (content["encoder"], content["strategy"]) == (LITE, "full")
    assert content["regions"] == {"names": ["region 1", "region 2"], "folds": 2, "notes": content["regions"]["notes"]}
    assert content["budget"] == {"epochs": 1, "chips_per_epoch": 8, "seeds": [0]}
    assert {row["name"] for row in content["ranking"]["rows"]} == {RANDOM, LITE}
    assert content["guard"]["verdict"] in (HELPS, NO_EVIDENCE, HURTS)
    assert [r["name"] for r in content["guard"]["controls"]["random"]["regions"]] == ["region 1", "region 2"]
    assert [r["name"] for r in content["evaluation"]["regional"]["rows"]] == ["region 1", "region 2"]
    assert content["evaluation"]["optimism"]["random_f1"] is not None
    assert content["strategies"]["choice"] == "full"
    assert {row["encoder"] for row in content["verification"]["rows"]} == {RANDOM, LITE}
    assert [row["arm"] for row in content["curve"]["rows"]] == [LITE, "random weights"]
    assert "at least 32 of each are needed" in content["overlap"]["sentence"], "nine blocks are too few, and it says so"
    assert content["overlap"]["mmd"] is None
    assert content["cost"]["seconds"] > 0
    assert content["alignment"]


def test_each_training_was_made_once_for_all_sections(whole: SimpleNamespace) -> None:
    """Candidate and random weights on two folds, both on the blocks, the random split, and the other encoder's two folds."""
    trials = sorted(p.name for p in (whole.ws.assessment / "trials").iterdir())
    assert len(trials) == 4 + 2 + 1 + 2
    assert not list(whole.ws.assessment.rglob("checkpoints-*"))
    cost = sum(
        json.loads(p.read_text())["facts"]["cost"]["seconds"] for p in whole.ws.assessment.glob("trials/*/outcome.json")
    )  # fmt: skip
    assert whole.content["cost"]["seconds"] == pytest.approx(cost)


def test_the_page_is_written(whole: SimpleNamespace) -> None:
    assert whole.made.page.name == PAGE
    page = whole.made.page.read_text()
    assert LITE in page
    assert "region 2" in page
    assert str(whole.ws.output) not in page


def test_a_quick_run_keeps_what_was_measured_before_and_trains_nothing(
    whole: SimpleNamespace, place: BinaryTerritory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landshift.flows.steps.assessment.trials.fit_network", lambda *_, **__: pytest.fail("trained"))
    files = {
        p: p.stat().st_mtime_ns for p in whole.ws.assessment.rglob("*") if p.is_file() and p.name not in (ASSESSMENT, PAGE)
    }
    made = assess(whole.ws.project, place.data, place.output, measures=Measures(quick=True))
    assert json.loads(made.report.read_text()) == whole.content
    assert {p: p.stat().st_mtime_ns for p in files} == files


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return result.exit_code, result.stdout, re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)


def config_file(place: BinaryTerritory, path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(json.loads(json.dumps(place.config(**changes)))))
    return path


@pytest.mark.usefixtures("prefect_server")
def test_the_verb_prints_json(place: BinaryTerritory, tmp_path: Path) -> None:
    config = config_file(place, tmp_path / "place.yaml")
    code, out, err = run("assess", config, "--data", place.data, "--output", tmp_path / "out", "--quick", "--json")
    assert code == 0, err
    content = json.loads(out)
    assert Path(content["report"]).is_file()
    assert Path(content["page"]).is_file()
    assert content["regions"]["folds"] == 4
    assert {row["name"] for row in content["ranking"]["rows"]} == {RANDOM, LITE}
    assert "guard" not in content


def test_the_verb_lists_what_was_left_out(place: BinaryTerritory, tmp_path: Path) -> None:
    config = config_file(place, tmp_path / "place.yaml", assess={"encoders": [RANDOM, "imagenet-efficientnet-lite9"]})
    code, out, err = run("assess", config, "--data", place.data, "--output", tmp_path / "out", "--quick")
    assert code == 0, err
    assert "Warning: Left out: imagenet-efficientnet-lite9: There is no encoder" in out
    assert "Nothing was trained" in out
    assert "assessment.html" in out


def test_without_labels_and_model_there_is_nothing_to_assess(place: BinaryTerritory) -> None:
    content = place.config()
    content.pop("labels")
    project = type(place.workspace().project).model_validate(content)
    with pytest.raises(InputError, match="has no `labels:`"):
        assess(project, place.data, place.output)


def test_labels_of_one_class_are_bad_input(tmp_path: Path) -> None:
    place = BinaryTerritory(tmp_path, labels=np.ones((96, 96)))
    config = config_file(place, tmp_path / "place.yaml")
    code, _, err = run("assess", config, "--data", place.data, "--output", tmp_path / "out", "--quick")
    assert code == 2
    assert "have one class" in err


def test_one_region_makes_no_regional_claim(ready: Ready, place: BinaryTerritory, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(_ws: object, _prepared: object, _hash: str, trial: Trial, regions: Regions) -> TrialResult:
        f1 = 0.6 + 0.01 * trial.seed + (0.1 if trial.strategy == "full" else 0)
        return done(trial, f1, {regions.names[0]: f1}, cost=cost_of(None))

    monkeypatch.setattr(assessing, "run_trial_task", trained)
    for name in ("rank_encoders", "compare_blocks"):
        monkeypatch.setattr(assessing, f"{name}_task", getattr(assessing, name))
    monkeypatch.setattr(assessing, "evaluate", lambda *_: NoEvaluation(("not looked at",)))
    ws = changed(ready, place, assess={"min_pixels": 5000, "seeds": [0, 1, 2]})
    found = assess_transfer(ws, ready.prepared, ready.labels_hash, Measures(strategies=True), gates=())
    content = content_of(found)
    assert content["regions"]["folds"] == 1
    assert "no regional claim can be made" in content["regions"]["notes"][0]
    guard = content["guard"]
    assert guard["notes"] == content["regions"]["notes"]
    assert guard["controls"]["random"]["interval"]["n"] == 3, "over the seeds"
    assert guard["verdict"] == HELPS
    assert "does not hold for other regions" in guard["controls"]["random"]["notes"][0]
    assert [row["reason"] for row in content["strategies"]["rows"]] == ["It was not tried: there is one region only."]
    assert content["strategies"]["choice"] is None
    said = assessment_page(record_of(Assessment, json.loads(json.dumps(content, allow_nan=False)), "a test"))
    assert "no regional claim can be made" in said
    assert "one region only" in "\n".join([*summary_lines(found), said])


def test_an_assessment_of_other_inputs_is_not_current(ready: Ready, place: BinaryTerritory, tmp_path: Path) -> None:
    kept = write_assessment(ready, tmp_path, HURTS)
    assert current_assessment(kept.ws, ready.prepared, ready.labels_hash).guard.verdict == HURTS
    path = kept.ws.assessment / ASSESSMENT
    written = path.read_text()
    path.write_text(written.replace(HURTS, HELPS))
    assert current_assessment(kept.ws, ready.prepared, ready.labels_hash) == Assessment(), "somebody changed the verdict"
    path.write_text(written)
    other = replace(ready.prepared, before=replace(ready.prepared.before, hash="sha256:other"))
    assert current_assessment(kept.ws, other, ready.labels_hash) == Assessment()
    assert current_assessment(kept.ws, ready.prepared, "sha256:other") == Assessment()
    assert current_assessment(replace(kept.ws, output=tmp_path / "nothing"), ready.prepared, ready.labels_hash) == Assessment()
    for section, value in (
        ("model", {"encoder": RANDOM}), ("training", {"learning_rate": 0.1}), ("training", {"strategy": "frozen"}),
        ("assess", {"seeds": [0, 1]}), ("assess", {"epochs": 7}), ("split", {"seed": 5}),
        ("assess", {"controls": ["random", "frozen"]}), ("sensor", {"scale": 2e-4}), ("calibration", {"max_miss_rate": 0.1}),
    ):  # fmt: skip
        ws = replace(changed(ready, place, **{section: value}), output=kept.ws.output)
        assert current_assessment(ws, ready.prepared, ready.labels_hash) == Assessment(), value
    for section, value in (
        ("training", {"workers": 3, "seeds": [4]}), ("assess", {"guard": "warn", "fractions": [0.5, 1.0]}),
        ("detect", {"threshold": 0.7}), ("assess", {"encoders": [LITE]}),
    ):  # fmt: skip
        ws = replace(changed(ready, place, **{section: value}), output=kept.ws.output)
        assert current_assessment(ws, ready.prepared, ready.labels_hash) != Assessment(), value


def polygons(place: BinaryTerritory, districts: str) -> Path:
    """Draw the squares and the ground beside them, in four columns that belong to the districts in this order."""
    shapes, state, district = [], [], []
    for column, name in enumerate(districts):
        for row in range(12):
            left, top = 300_000 + 240 * column, 3_600_000 - 80 * row
            shapes += [box(left, top - 80, left + 120, top), box(left + 120, top - 80, left + 240, top)]
            state += ["changed", "unchanged"]
            district += [name, name]
    path = place.data / "districts.gpkg"
    path.unlink(missing_ok=True)
    gpd.GeoDataFrame({"state": state, "district": district}, geometry=shapes, crs="EPSG:32651").to_file(path)
    return path


def test_regions_that_polygons_name_are_a_part_of_the_labels(tmp_path: Path) -> None:
    """The masks hold no regions, so that they are the same; what was found about other regions does not hold."""
    place = BinaryTerritory(tmp_path)
    polygons(place, "abcd")
    labels = {"polygons": {"path": "districts.gpkg", "change_column": "state", "region_column": "district"}, "rasters": None}
    ready = Ready(place.workspace(**SMALL, labels=labels))
    key, mask = assessment_key(ready.ws, ready.prepared, ready.labels_hash), ready.labels_hash
    assert Ready(ready.ws).labels_hash == mask
    assert assessment_key(ready.ws, ready.prepared, mask) == key
    record(ready.ws, Assessment(key=key))
    assert current_assessment(ready.ws, ready.prepared, mask).key == key
    polygons(place, "abab")
    again = Ready(ready.ws)
    assert again.labels_hash == mask
    assert again.regions.hash != ready.regions.hash
    kept = read_masks(ready.ws).labels
    assert kept.region_names == ("a", "b")
    np.testing.assert_array_equal(kept.region, again.labels.region)
    assert current_assessment(ready.ws, ready.prepared, mask) == Assessment()
    named = {"polygons": labels["polygons"] | {"region_column": None}, "rasters": None}
    other = replace(ready.ws, project=place.workspace(**SMALL, labels=named).project)
    assert assessment_key(other, ready.prepared, mask) not in (key, assessment_key(ready.ws, ready.prepared, mask))
    divide_labels(other, ready.prepared.plan.grid)
    assert read_masks(other).labels.region is None
    (place.data / "districts.gpkg").unlink()
    assert current_assessment(ready.ws, ready.prepared, mask) == Assessment(), "detect needs no labels"


def test_what_detect_and_the_card_are_told(ready: Ready, whole: SimpleNamespace, tmp_path: Path) -> None:
    assert content_of(assessment_of(ready.ws, ready.prepared)) == whole.content
    assert assessment_of(replace(ready.ws, output=tmp_path / "nothing"), ready.prepared) == Assessment()


def test_a_model_from_elsewhere_was_not_assessed_here(ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found about the project's own encoder says nothing about it; how it can be adapted does."""
    other = replace(ready.ws, chosen_model=tmp_path / "model")
    found: list[AdaptationCheck | None] = [None]
    monkeypatch.setattr("landshift.flows.steps.assessment.current.current_adaptation", lambda *_: found[0])
    assert assessment_of(other, ready.prepared) == Assessment()
    found[0] = AdaptationCheck((), "none", verified=True, sentence="", calibration=None)
    assert assessment_of(other, ready.prepared) == Assessment(adaptation=found[0])


@pytest.mark.parametrize(
    ("encoder", "strategy", "touched"), [(LITE, "full", True), (RANDOM, "full", False), (LITE, "frozen", False)]
)
def test_only_the_card_of_the_model_that_was_assessed_is_written_anew(
    ready: Ready, whole: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, strategy: str,
    touched: bool,
) -> None:  # fmt: skip
    ws = replace(ready.ws, output=tmp_path / "place")
    write_json(ws.model / "model.json", {"encoder": {"name": encoder}, "facts": {"strategy": strategy}})
    write_json(ws.output / "training.json", {})
    for name in ("card.md", "weights.safetensors"):
        (ws.model / name).write_text("as it was trained")
    files = [ws.output / "training.json", *sorted(ws.model.iterdir())]
    ws.manifest(ws.output).record("model", "the key", files)
    monkeypatch.setattr(publish, "model_card", lambda _report, _model, found: f"assessed: {found.encoder}")
    before = (ws.output / "manifest.json").read_bytes()
    publish._refresh_card(ws, record_of(Assessment, whole.content, "a test"))
    assert (ws.model / "card.md").read_text() == (f"assessed: {LITE}" if touched else "as it was trained")
    assert ws.manifest(ws.output).is_current("model", "the key"), "and it is not trained again"
    assert ((ws.output / "manifest.json").read_bytes() == before) == (not touched)


def test_a_verdict_that_hurts_stops_the_training(ready: Ready, place: BinaryTerritory, tmp_path: Path) -> None:
    kept = write_assessment(ready, tmp_path, HURTS)
    only = write_assessment(ready, tmp_path / "one", HURTS, guard_of(HURTS, 1, "One region."))
    require_harmless(only.ws, ready.prepared, ready.labels_hash)
    with pytest.raises(InputError, match=r"Training stopped: Over 4 held-out regions it hurts\..*--despite-verdict"):
        require_harmless(kept.ws, ready.prepared, ready.labels_hash)
    warn = replace(changed(ready, place, assess={"guard": "warn"}), output=kept.ws.output)
    require_harmless(warn, ready.prepared, ready.labels_hash)
    require_harmless(kept.ws, ready.prepared, "sha256:other")


@pytest.mark.parametrize("verdict", [HELPS, NO_EVIDENCE])
def test_any_other_verdict_lets_it_go_on(ready: Ready, tmp_path: Path, verdict: str) -> None:
    kept = write_assessment(ready, tmp_path, verdict)
    require_harmless(kept.ws, ready.prepared, ready.labels_hash)


def test_train_exits_with_2_unless_it_is_told_to_go_on(
    ready: Ready, place: BinaryTerritory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = write_assessment(ready, tmp_path / "out", HURTS)
    config = config_file(place, tmp_path / "place.yaml", **SMALL)

    def reached(*_: Any) -> None:
        raise InputError("it went on to train")

    monkeypatch.setattr("landshift.flows.train.classical_rows_task", reached)
    words = ("train", config, "--data", place.data, "--output", tmp_path / "out")
    code, _, err = run(*words)
    assert code == 2
    assert "Training stopped: Over 4 held-out regions it hurts." in err
    assert str(kept.ws.assessment / PAGE) in err
    _, _, err = run(*words, "--despite-verdict")
    assert "it went on to train" in err


def test_train_assesses_first_where_it_is_asked_to(place: BinaryTerritory, monkeypatch: pytest.MonkeyPatch) -> None:
    from landshift.flows.train import train

    def hurting(ws: Any, prepared: Any, labels_hash: str, _measures: Measures, **_gates: Any) -> Assessment:
        return Assessment(key=assessment_key(ws, prepared, labels_hash), guard=guard_of(HURTS, 4, "It hurts."))

    monkeypatch.setattr("landshift.flows.train.assess_transfer", hurting)
    monkeypatch.setattr("landshift.flows.train.publish_assessment", record)
    monkeypatch.setattr("landshift.flows.train.classical_rows_task", lambda *_: pytest.fail("it went on to train"))
    ws = place.workspace(output=place.output.parent / "first", assess={"before_training": True})
    with pytest.raises(InputError, match="Training stopped: It hurts"):
        train(ws.project, place.data, place.output.parent / "first")


def recommended(ws: Any, outcomes: dict[Trial, TrialResult], regions: Regions) -> dict[str, Any]:
    return dict(content_of(compare_strategies(ws, outcomes, regions)))


def strategies_of(ready: Ready, place: BinaryTerritory) -> Any:
    return changed(ready, place, assess={"strategies": ["frozen", "full", "l2-sp"], "seeds": [0, 1]})


def test_the_strategy_is_chosen_on_validation_alone(ready: Ready, place: BinaryTerritory) -> None:
    """Frozen is best on the validation regions and worst on those held out, which must not be looked at."""
    ws = strategies_of(ready, place)
    validation, test = {"frozen": 0.8, "full": 0.7, "l2-sp": 0.75}, {"frozen": 0.1, "full": 0.9, "l2-sp": 0.5}
    outcomes = {
        t: done(t, 0.5, {n: test[t.strategy] for n in TWO.names_of(int(t.split[-1]))},
                validation_score=validation[t.strategy] + 0.01 * t.seed + 0.02 * int(t.split[-1]))
        for t in trials_for(ws, [(LITE, s) for s in validation], TWO)
    }  # fmt: skip
    found = recommended(ws, outcomes, TWO)
    assert found["choice"] == "frozen"
    assert "frozen scored best (0.815, mean over folds)" in found["sentence"]
    assert "not told apart" not in found["sentence"], "it is as much better in both folds"
    rows = {row["strategy"]: row for row in found["rows"]}
    assert set(rows) == set(validation)
    assert rows["frozen"]["validation"] == pytest.approx(0.815)
    # Two folds, with means over seeds of 0.805 and 0.825: Student's t with one degree of freedom, standard error 0.01.
    assert rows["frozen"]["high"] - 0.815 == pytest.approx(0.1270620, abs=1e-6)
    assert rows["frozen"]["low"] == pytest.approx(0.815 - 0.1270620, abs=1e-6)
    assert rows["frozen"]["f1"]["worst"] == pytest.approx(0.1)
    assert rows["full"]["trainings"] == 4
    assert rows["full"]["kwh"] == pytest.approx(4 * 0.004)


def test_a_strategy_that_may_be_as_good_is_named(ready: Ready, place: BinaryTerritory) -> None:
    """Full is better in one fold only, and l2-sp worse in both by about as much."""
    ws = strategies_of(ready, place)
    scores = {"frozen": (0.80, 0.80), "full": (0.72, 0.80), "l2-sp": (0.70, 0.701)}
    outcomes = {
        t: done(t, validation_score=scores[t.strategy][int(t.split[-1])] + 0.05 * t.seed)
        for t in trials_for(ws, [(LITE, s) for s in scores], TWO)
    }  # fmt: skip
    found = recommended(ws, outcomes, TWO)
    assert found["choice"] == "frozen"
    assert found["sentence"].endswith("It is not told apart from full: the cheapest of these will do.")
    one = {t: o for t, o in outcomes.items() if t.split == "fold 0"}
    assert "not told apart from full, l2-sp" in recommended(ws, one, TWO)["sentence"], "one fold tells nothing apart"


def test_a_strategy_that_diverges_scored_nothing_in_that_training(ready: Ready, place: BinaryTerritory) -> None:
    """Full is best wherever it comes to an end, which is in half of its trainings."""
    ws = strategies_of(ready, place)
    trials = trials_for(ws, [(LITE, "frozen"), (LITE, "full")], TWO)
    scores = {"full": 0.9, "frozen": 0.6}
    outcomes = {t: done(t, regions={t.hold_out(TWO)[0]: 0.8}, validation_score=scores[t.strategy]) for t in trials}
    for trial in trials:
        if trial.strategy == "full" and trial.seed == 1:
            outcomes[trial] = TrialResult(trial, "diverged", "the loss is nan")
    found = recommended(ws, outcomes, TWO)
    rows = {row["strategy"]: row for row in found["rows"]}
    assert found["choice"] == "frozen"
    assert rows["full"]["validation"] == pytest.approx(0.45)
    assert rows["full"]["f1"]["worst"] == pytest.approx(0.4)
    assert rows["full"]["trainings"] == 2
    # What was not possible was not tried, and is no reproach.
    kept = {t: replace(o, state="not possible") if o.state == "diverged" else o for t, o in outcomes.items()}
    assert recommended(ws, kept, TWO)["choice"] == "full"


def test_a_strategy_that_always_diverges_is_not_measured(ready: Ready, place: BinaryTerritory) -> None:
    ws = strategies_of(ready, place)
    outcomes = {t: TrialResult(t, "diverged", "the loss is nan") for t in trials_for(ws, [(LITE, "full")], TWO)}
    found = recommended(ws, outcomes, TWO)
    row = next(row for row in found["rows"] if row["strategy"] == "full")
    assert (row["validation"], row["f1"], row["kwh"], row["trainings"], row["reason"]) == (
        None,
        None,
        None,
        0,
        "the loss is nan",
    )
    assert (found["choice"], found["sentence"]) == (None, "No strategy could be measured.")


def test_how_far_an_encoder_moved_is_the_mean_over_folds(ready: Ready) -> None:
    one, other = (Trial(LITE, "full", 0, f"fold {fold}") for fold in (0, 1))
    outcomes = [
        done(one, alignment={"stride 4": 0.9, "stride 32": 0.5}), done(other, alignment={"stride 4": 0.7, "stride 32": None}),
        done(replace(one, strategy="l2-sp"), alignment={"stride 4": 1.0}), done(replace(one, seed=1)),
        TrialResult(replace(other, seed=1), "diverged", "nan"),
    ]  # fmt: skip
    assert mean_alignment(outcomes) == {
        f"{LITE}, full": {"stride 4": pytest.approx(0.8), "stride 32": 0.5}, f"{LITE}, l2-sp": {"stride 4": 1.0}
    }  # fmt: skip
    assert mean_alignment([]) == {}


def test_a_strategy_that_cannot_be_used_has_its_reason(ready: Ready, place: BinaryTerritory) -> None:
    ws = strategies_of(ready, place)
    trials = trials_for(ws, [(LITE, "frozen"), (LITE, "full")], TWO)
    outcomes = {t: done(t) for t in trials}
    for trial in trials:
        if trial.strategy == "frozen":
            outcomes[trial] = TrialResult(trial, "not possible", "it has no encoder to freeze")
    broken = Trial(LITE, "full", 1, "fold 0")
    outcomes[broken] = TrialResult(broken, "diverged", "the loss is nan")
    found = recommended(ws, outcomes, TWO)
    rows = {row["strategy"]: row for row in found["rows"]}
    assert rows["frozen"]["reason"] == "it has no encoder to freeze"
    assert rows["frozen"]["validation"] is None
    assert rows["l2-sp"]["reason"] == "It was not tried."
    assert (rows["full"]["trainings"], rows["full"]["reason"]) == (3, "the loss is nan")
    assert found["choice"] == "full"
    assert recommended(ws, {}, TWO)["choice"] is None


def ranking_of(scores: dict[str, float]) -> EncoderRanking:
    source = EncoderSource("", "", "", "")
    rows = [
        EncoderRow(n, v, None, None, 1, (), {"LogME": v, "LEEP": None}, 1 - v, {}, (), (), source) for n, v in scores.items()
    ]
    return EncoderRanking("change", 9, 9, 9, None, "", tuple(sorted(rows, key=lambda r: -r.score)), ())


def verified(ws: Any, ranking: EncoderRanking, outcomes: dict[Trial, TrialResult], regions: Regions) -> dict[str, Any]:
    return dict(content_of(verify_ranking(ws, ranking, outcomes, regions)))


def test_the_ranking_is_judged_by_what_the_trainings_came_to(ready: Ready) -> None:
    scores = {"a": 0.9, "b": 0.7, "c": 0.5, "d": 0.4, "random:x": 0.1}
    outcomes = {}
    for name, score in scores.items():
        for trial in verification_trials(ready.ws, [name], TWO):
            region = TWO.names_of(int(trial.split[-1]))[0]
            outcomes[trial] = done(trial, regions={region: score / 2 + (0.01 if region == "north" else -0.01)})
    assert {t.strategy for t in outcomes if t.encoder == "random:x"} == {"scratch"}
    assert {t.strategy for t in outcomes if t.encoder == "a"} == {"full"}
    found = verified(ready.ws, ranking_of(scores), outcomes, TWO)
    assert [row["encoder"] for row in found["rows"]] == list(scores)
    assert found["rows"][0]["f1"] == pytest.approx(0.45)
    assert found["scores"]["LogME"]["tau"] == pytest.approx(1)
    assert found["scores"]["LogME"]["p_value"] == pytest.approx(2 / 120)
    assert found["scores"]["linear probe F1"]["tau"] == pytest.approx(-1)
    assert (found["scores"]["LEEP"]["tau"], found["scores"]["LEEP"]["n"]) == (None, 0)
    assert found["notes"] == []


def test_an_encoder_that_diverges_or_fails_is_not_lost_from_the_verification(ready: Ready) -> None:
    scores = {"a": 0.9, "b": 0.7, "c": 0.5}
    outcomes = {t: done(t, regions={TWO.names_of(int(t.split[-1]))[0]: 0.6})
                for t in verification_trials(ready.ws, list(scores), TWO)}  # fmt: skip
    for trial in list(outcomes):
        if trial.encoder == "a" and trial.split == "fold 1":
            outcomes[trial] = TrialResult(trial, "diverged", "the loss is nan")
        if trial.encoder == "b":
            outcomes[trial] = TrialResult(trial, "not possible", "no network")
    found = verified(ready.ws, ranking_of(scores), outcomes, TWO)
    assert {row["encoder"]: row["f1"] for row in found["rows"]} == pytest.approx({"c": 0.6, "a": 0.3})
    assert found["notes"] == [
        "a, full (fold 1): diverged. the loss is nan", "b, full (fold 0): not possible. no network",
        "b, full (fold 1): not possible. no network",
    ]  # fmt: skip
