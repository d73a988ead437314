"""The flows from scenes to a finished run, on a small demo, under Prefect with its test server."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.server.api.server import create_app

from landshift.flows import assess as assessing
from landshift.flows import detect as detecting
from landshift.flows import train as training
from landshift.flows.config.project import Project, find_config, load_project
from landshift.flows.detect import detect
from landshift.flows.prepare import prepare
from landshift.flows.promote import promote
from landshift.flows.steps.inspection.check import check_project
from landshift.flows.steps.learning.blocks import training_blocks
from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.flows.steps.learning.seen import SEEN
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.project.workspace import workspace
from landshift.flows.steps.publication import run as publishing
from landshift.flows.steps.release import candidates
from landshift.flows.steps.release.offering import Offered, offer_candidate
from landshift.flows.steps.release.releases import roll_back
from landshift.flows.train import train
from landshift.pipeline.demo.files import demo_legend
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import RULES
from landshift.pipeline.labels.search import TRAIN
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.releases import read_journal
from landshift.pipeline.vector.read import read_layer, read_polygons
from tests.conftest import pixels_of
from tests.demo_territory import SIZE, DemoTerritory, demo_project


def content_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"]
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


@pytest.fixture
def output(demo: DemoTerritory, tmp_path: Path) -> Path:
    """Return a copy of the territory's outputs, to write to."""
    return Path(shutil.copytree(demo.output, tmp_path / "runs"))


@pytest.fixture
def unmapped(output: Path) -> Path:
    """Return a copy of the territory's outputs without the run."""
    shutil.rmtree(output / "demo" / "run")
    return output


def record(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "record/run.json").read_text(encoding="utf-8")))


def layers_of(run: Path) -> dict[str, np.ndarray]:
    names = ("change", "change_probability", "landuse_before", "landuse_after")
    return {n: read_raster(run / f"layers/{n}.tif")[0] for n in names}


def test_the_demo_config_has_the_legend_of_the_landscape() -> None:
    project = load_project(find_config("demo.yaml"))
    assert [(c.code, c.name, c.colour) for c in project.legend] == [(c.code, c.name, c.colour) for c in demo_legend().classes]


def test_prefects_server_imports_with_the_pinned_fastapi() -> None:
    assert create_app() is not None


def test_a_run_is_whole_and_leaves_no_work_behind(demo: DemoTerritory) -> None:
    codes = ("change", "disagreement", "landuse_before", "landuse_after")
    maps = (*codes, "change_probability", "domain_shift", "last_observed")
    assert {p.name for p in demo.run.iterdir()} == {"report.html", "map.qgz", "changes.gpkg", "README.txt", "layers", "record"}
    assert {p.name for p in (demo.run / "layers").iterdir()} == {
        *(f"{name}.{suffix}" for name in maps for suffix in ("tif", "qml", "sld", "lyrx")),
        *(f"{name}.tif.{suffix}" for name in codes for suffix in ("aux.xml", "vat.dbf", "vat.cpg")),
        "changes.lyrx", "image_before.tif", "image_after.tif", "changes.qml", "changes.sld", "pictures",
    }  # fmt: skip
    assert {p.name for p in (demo.run / "record").iterdir()} == {"item.json", "collection.json", "run.json", "manifest.json"}
    assert len((demo.run / "README.txt").read_text(encoding="utf-8").splitlines()) == 10
    assert not (demo.output / "demo" / "work").exists()
    assert not list(demo.output.rglob(".partial*"))


def test_every_map_of_a_model_has_a_second_opinion(demo: DemoTerritory) -> None:
    found = record(demo.run)["second_opinion"]
    codes, change = (read_raster(demo.run / f"layers/{name}.tif")[0] for name in ("disagreement", "change"))
    seen = codes > 0
    np.testing.assert_array_equal(seen, change > 0)
    np.testing.assert_array_equal(np.isin(codes[seen], (2, 3)), change[seen] >= 2)
    shares = [float((codes[seen] == code).mean()) for code in (2, 3, 4)]
    assert [found[name] for name in ("both_changed", "only_model", "only_classical")] == pytest.approx(shares)
    assert {"mapped_share", "mapped_ratio", "second_opinion"} <= {gate["setting"] for gate in record(demo.run)["gates"]}
    bundle = json.loads((demo.model / "model.json").read_text(encoding="utf-8"))
    assert 0 < bundle["facts"]["training_changed"] < 1
    page = (demo.run / "report.html").read_text(encoding="utf-8")
    assert 'id="image-disagreement"' in page
    assert 'data-picture="disagreement"' in page
    classes = json.loads((demo.run / "record/item.json").read_text(encoding="utf-8"))["assets"]["disagreement"][
        "classification:classes"
    ]
    assert [entry["title"] for entry in classes][-2:] == ["Only the model", "Only IR-MAD"]
    with zipfile.ZipFile(demo.run / "map.qgz") as project:
        assert "./layers/disagreement.tif" in project.read("map.qgs").decode()


def test_areas_of_interest_are_summed_up_and_their_hectares_add_up(demo: DemoTerritory) -> None:
    areas = read_layer(demo.run / "changes.gpkg", "areas_of_interest")
    said = record(demo.run)["areas"]
    assert len(areas) == 4
    assert areas["total_ha"].sum() == pytest.approx(said["total_ha"], rel=1e-3)
    assert areas["changed_ha"].sum() == pytest.approx(said["changed_ha"], rel=0.01, abs=0.05)
    assert areas["not_observed_ha"].sum() == pytest.approx(said["not_observed_ha"], rel=0.01, abs=0.05)
    changes = read_layer(demo.run / "changes.gpkg", "changes")
    assert changes["areas_of_interest"].notna().all(), "the municipalities cover the whole map"


def test_a_run_of_the_very_images_of_the_training_outlines_their_labels(demo: DemoTerritory) -> None:
    labels = read_layer(demo.run / "changes.gpkg", "labels")
    assert set(labels["label_use_name"]) == {"Learnt from", "Tested on"}
    assert 'id="show-labels"' in (demo.run / "report.html").read_text(encoding="utf-8")


def test_the_same_change_keeps_its_id_in_the_next_run(demo: DemoTerritory, output: Path) -> None:
    first = read_layer(demo.run / "changes.gpkg", "changes")
    bundle = json.loads((output / "demo" / "model" / "model.json").read_text(encoding="utf-8"))
    content = demo.project.model_dump(mode="json")
    # A little: trained for so short a time, the model gives hardly any pixel much more than its threshold.
    content["detect"]["threshold"] = min(bundle["threshold"] + 0.005, 0.99)
    second = read_layer(detect(Project.model_validate(content), demo.data, output).run / "changes.gpkg", "changes")
    assert second["change_id"].is_unique
    both = second.merge(first, on="change_id", suffixes=("", "_before"))
    assert len(both)
    assert (both["change_code"] == both["change_code_before"]).all()
    overlap = both.geometry.intersection(both.set_geometry("geometry_before").geometry).area
    assert (overlap > 0).all(), "an id stays with its place"


@pytest.mark.usefixtures("prefect_server")
def test_everything_run_again_changes_no_byte(demo: DemoTerritory) -> None:
    before = content_of(demo.output)
    ws = workspace(demo.project, demo.data, demo.output)
    for left in (ws.work / "key", ws.training / "seed-0" / "checkpoints-key"):
        # A kill may come after the record, and before what is not needed any more is gone.
        left.mkdir(parents=True)
        (left / "half.tif").touch()
    train(demo.project, demo.data, demo.output)
    again = detect(demo.project, demo.data, demo.output)
    assert not again.fresh
    assert content_of(demo.output) == before


def test_a_damaged_output_is_made_again(demo: DemoTerritory, output: Path) -> None:
    target = output / "demo" / "run" / "layers/change.tif"
    whole = target.read_bytes()
    target.write_bytes(whole[:-10])
    assert detect(demo.project, demo.data, output).fresh
    assert target.read_bytes() == whole


def test_nodata_on_either_date_is_nodata_in_every_output(demo: DemoTerritory) -> None:
    images = prepare(demo.project, demo.data, demo.output)
    unseen = np.logical_or(*(np.isnan(pixels_of(image)[0]) for image in (images.before, images.after)))
    assert 0 < unseen.sum() < unseen.size
    layers = layers_of(demo.run)
    for name in ("change", "landuse_before", "landuse_after"):
        np.testing.assert_array_equal(layers[name] == 0, unseen, err_msg=name)
    np.testing.assert_array_equal(layers["change_probability"] == 255, unseen)


def test_the_maps_never_contradict_each_other(demo: DemoTerritory) -> None:
    layers = layers_of(demo.run)
    lookup = demo_legend().change_lookup()
    np.testing.assert_array_equal(layers["change"], lookup[layers["landuse_before"], layers["landuse_after"]])


def test_polygons_hold_the_pixels_of_the_map_and_areas_add_up(demo: DemoTerritory) -> None:
    change, grid = read_raster(demo.run / "layers/change.tif")
    frame = read_polygons(demo.run / "changes.gpkg", grid.crs, layer="changes")
    assert frame["pixel_count"].sum() == (change >= 2).sum()
    assert len(frame) == 0 or abs(frame["area_ha"].sum() / (frame["pixel_count"].sum() * 0.01) - 1) < 0.005
    run = record(demo.run)
    areas = run["areas"]
    assert areas["polygons"] == len(frame)
    parts = areas["changed_ha"] + areas["unchanged_ha"] + areas["not_observed_ha"]
    assert parts == pytest.approx(areas["total_ha"], abs=0.01)
    assert areas["total_ha"] == pytest.approx(SIZE * SIZE * 0.01, rel=2e-3)
    assert (frame["pixel_count"] >= 5).all(), "0.05 ha are five pixels of 10 m"


def test_run_json_names_inputs_and_no_machine(demo: DemoTerritory) -> None:
    text = (demo.run / "record/run.json").read_text()
    run = json.loads(text)
    assert [i["path"] for i in run["inputs"]] == ["scenes/S2_L2A_20190612.tif", "scenes/S2_L2A_20230618.tif"]
    assert str(demo.output) not in text
    assert str(demo.data) not in (demo.run / "report.html").read_text()


def test_a_legend_of_another_colour_is_another_model(
    demo: DemoTerritory, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = demo.project.legend
    project = demo.project.model_copy(update={"legend": (first.model_copy(update={"colour": "#123456"}), *rest)})

    def fitted(*_: Any, **__: Any) -> None:
        raise RuntimeError("trained anew")

    monkeypatch.setattr(candidates, "fit_network", fitted)
    for wanted in (demo.project, project):
        ws = workspace(wanted, demo.data, output)
        prepared = prepare(wanted, demo.data, output)
        inputs = (ws, prepared, divide_labels(ws, prepared.plan.grid), 0)
        if wanted is project:
            with pytest.raises(RuntimeError, match="trained anew"):
                candidates.train_seed(*inputs)
        else:
            assert candidates.train_seed(*inputs).seed == 0


def test_a_limit_to_the_miss_rate_that_is_set_later_is_another_model(
    demo: DemoTerritory, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights come out the same; the threshold is the one that keeps the promise."""
    from landshift.models.use.bundle import describe, load

    fitted = []

    def fit_network(*_: Any, **__: Any) -> Any:
        fitted.append(1)
        return load(demo.model)

    monkeypatch.setattr(candidates, "fit_network", fit_network)
    strict = Project.model_validate(demo.project.model_dump(mode="json") | {"calibration": {"max_miss_rate": 0.3}})
    kept = []
    for wanted in (demo.project, strict):
        ws = workspace(wanted, demo.data, output)
        prepared = prepare(wanted, demo.data, output)
        candidates.train_seed(ws, prepared, divide_labels(ws, prepared.plan.grid), 0)
        kept.append(describe(ws.training / "seed-0" / "model"))
    assert len(fitted) == 1, "with the limit only"
    usual, limited = kept
    assert limited.threshold == limited.facts.scores.risk_control.threshold != usual.threshold
    np.testing.assert_array_equal(limited.facts.domain_shift.edges, usual.facts.domain_shift.edges)


def test_a_territory_that_the_model_was_trained_on_is_not_beyond_its_training_regions(demo: DemoTerritory) -> None:
    """What training wrote down and what detect sees are the same features, read in the same tiles."""
    from landshift.models.transfer.blocks import block_embeddings
    from landshift.models.use.bundle import load
    from landshift.models.use.inference import device_of

    run = record(demo.run)
    ratio = read_raster(demo.run / "layers/domain_shift.tif")[0]
    assert ratio.shape == (4, 4)
    assert run["domain_shift"]["beyond"] == (ratio > 1).mean() <= 0.07, "one block of the sixteen"
    assert not [w for w in run["warnings"] if "domain_shift.tif" in w["remedy"]]
    # Blocks without a training label are new to it; the others are as far out as they were in training.
    bundle, network = load(demo.model)
    shift, source, config = bundle.facts.domain_shift, prepare(demo.project, demo.data, demo.output).source, demo.project.detect
    seen = block_embeddings(network, source, (128, 128), 32, tile=config.core, margin=config.margin_px, device=device_of("cpu"))
    np.testing.assert_allclose(ratio, shift.ratio(seen.values), rtol=1e-3)
    training = training_blocks(read_masks(workspace(demo.project, demo.data, demo.output)).role)
    assert 10 <= training.sum() < 16
    state = shift.views[0].measure(seen.values[training][:, : seen.sizes[0]].astype(np.float64))[:, 0]
    np.testing.assert_allclose(np.sort(state), shift.views[0].domain.reference, rtol=1e-3)
    assert (ratio[training] > 1).sum() <= 1, "one in twenty lies beyond by definition"


def test_too_few_blocks_say_nothing_about_the_training_regions(demo: DemoTerritory) -> None:
    from landshift.models.use.bundle import load

    ws = workspace(demo.project, demo.data, demo.output)
    network = load(demo.model)[1]
    prepared = prepare(demo.project, demo.data, demo.output)
    role = np.full((SIZE, SIZE), 255, dtype=np.uint8)
    for blocks, is_known in ((9, False), (10, True)):
        for number in range(blocks):
            role[32 * (number // 4) + 5, 32 * (number % 4) + 7] = TRAIN
        assert (candidates._training_domain(ws, prepared, network, role) is not None) == is_known


def test_training_reports_the_classical_rows_on_the_same_pixels(demo: DemoTerritory) -> None:
    report = json.loads(demo.trained.report.read_text())
    pixels = {s["test"]["n"] for s in report["seeds"]} | {r["n"] for r in report["classical"].values()}
    assert len(pixels) == 1
    assert {n.partition(",")[0] for n in report["classical"]} == {"Change vector analysis", "IR-MAD", "NDVI difference"}


class Trained:
    """A copy of the project that was trained, to put other models in the place of its candidate."""

    def __init__(self, demo: DemoTerritory, folder: Path) -> None:
        shutil.copytree(demo.output, folder)
        content = demo.project.model_dump(mode="json") | {"release": {"min_blocks": 2}}
        self.data, self.project = demo.data, Project.model_validate(content)
        self.ws = workspace(self.project, demo.data, folder)
        self.prepared = prepare(demo.project, demo.data, folder)

    def candidate(self, noise: float, **changes: Any) -> None:
        """Train another model, as it were: the same with noise on its weights."""
        import torch

        from landshift.models.use.bundle import load, save

        bundle, network = load(self.ws.candidate)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in network.parameters():
                weights += noise * weights.abs().mean() * torch.randn(weights.shape, generator=generator)
        seen = (self.ws.candidate / SEEN).read_bytes()
        save(self.ws.candidate, replace(bundle, **changes), network, "# Another\n")
        (self.ws.candidate / SEEN).write_bytes(seen)

    def offer(self) -> Offered:
        with self.ws.alone():
            return offer_candidate(self.ws, self.prepared)

    def weights(self) -> str:
        return str(json.loads((self.ws.model_in_use / "model.json").read_text(encoding="utf-8"))["weights"])


@pytest.fixture
def trained(demo: DemoTerritory, tmp_path: Path) -> Trained:
    return Trained(demo, tmp_path / "runs")


def test_the_first_model_is_released_by_itself(demo: DemoTerritory) -> None:
    assert (demo.trained.promoted, demo.model) == (True, demo.output / "demo" / "model")
    (entry,) = read_journal(demo.output / "demo" / "releases").entries
    run = record(demo.run)
    assert (entry.number, entry.weights, entry.reason) == (1, run["model"]["weights"], "The first model of this project.")


def test_a_worse_model_is_refused_and_a_person_may_take_it_and_go_back(demo: DemoTerritory, trained: Trained) -> None:
    first = trained.weights()
    trained.candidate(noise=3.0)
    refused = trained.offer()
    assert (refused.promoted, trained.weights()) == (False, first)
    compared = refused.entry.comparison
    assert compared is not None
    assert compared["verdict"] == "worse"
    assert {row["score"] for row in compared["rows"]} == {"change", "kinds of change"}
    assert "Not promoted: The new model is worse in" in refused.lines[-1]
    lines = len(read_journal(trained.ws.releases).entries)
    assert not trained.offer().fresh
    assert len(read_journal(trained.ws.releases).entries) == lines, "asked again, nothing new is known"

    run = partial(promote, trained.project, trained.data, trained.ws.output.parent)
    assert not run().promoted
    taken = run(despite_verdict=True, reason="new ground truth", who="Ana")
    assert (taken.promoted, taken.entry.number, taken.entry.reason) == (True, 2, "Despite the verdict: new ground truth")
    assert trained.weights() == refused.entry.weights
    assert "## Compared with release 1" in (trained.ws.model / "card.md").read_text(encoding="utf-8")
    fresh = detect(demo.project, demo.data, trained.ws.output.parent)
    said = record(fresh.run)
    assert said["model"]["weights"] == refused.entry.weights

    back, told = roll_back(trained.ws, None, "worse indeed")
    assert (back["release"], trained.weights()) == (1, first)
    assert refused.entry.weights in told[-1]
    again = trained.offer()
    assert not again.promoted
    assert "It was rolled back from on" in again.entry.reason


def test_a_model_as_good_as_the_one_in_use_replaces_it(trained: Trained) -> None:
    trained.candidate(noise=0.0, notes=("The same, said in other words.",))
    offered = trained.offer()
    assert (offered.promoted, offered.entry.number) == (True, 2)
    rows = (offered.entry.comparison or {})["rows"]
    assert rows
    assert {row["gain"]["estimate"] for row in rows} == {0.0}
    assert all(row["new"] == row["old"] for row in rows)
    assert not trained.offer().fresh


@pytest.mark.usefixtures("prefect_server")
def test_where_a_person_decides_nothing_is_promoted_by_itself(trained: Trained) -> None:
    settings = {"release": {"automatic": False, "min_blocks": 2}}
    project = Project.model_validate(trained.project.model_dump(mode="json") | settings)
    trained.ws = replace(trained.ws, project=project)
    trained.candidate(noise=0.0, notes=("The same.",))
    assert not trained.offer().promoted
    assert promote(project, trained.data, trained.ws.output.parent).promoted


def test_models_that_cannot_be_compared_are_not_promoted_by_themselves(trained: Trained) -> None:
    from landshift.pipeline.legend import Legend

    forest, *others = demo_legend().classes
    trained.candidate(noise=0.0, legend=Legend((replace(forest, name="Woods"), *others)))
    offered = trained.offer()
    assert not offered.promoted
    assert "cannot be compared" in offered.entry.reason
    assert "Woods" in offered.entry.reason
    trained.candidate(noise=0.0, legend=demo_legend(), units="counts")
    assert "trained on counts" in trained.offer().entry.reason
    trained.candidate(noise=0.0, units="reflectance", notes=("The same.",))
    write_raster(trained.ws.candidate / SEEN, np.ones((SIZE, SIZE), dtype=np.uint8), plan(trained.ws).grid)
    assert "Every labelled pixel was used" in trained.offer().entry.reason


@pytest.mark.parametrize("step", ["detect_changes", "write_maps_task", "publish_run_task"])
def test_an_interrupted_detect_goes_on_and_ends_the_same(
    demo: DemoTerritory, unmapped: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    original: Callable[..., Any] = getattr(detecting, step)

    def killed(*args: Any) -> Any:
        original(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(detecting, step, killed)
    with pytest.raises(KeyboardInterrupt):
        detect(demo.project, demo.data, unmapped)
    monkeypatch.undo()
    detect(demo.project, demo.data, unmapped)
    for name in ("change.tif", "change_probability.tif", "landuse_after.tif", "change.qml", "change.tif.aux.xml"):
        assert (unmapped / "demo/run/layers" / name).read_bytes() == (demo.run / "layers" / name).read_bytes(), name
    assert not (unmapped / "demo" / "work").exists()


@pytest.mark.usefixtures("prefect_server")
def test_a_step_that_fails_fails_the_flow_and_bad_input_is_not_retried(
    demo: DemoTerritory, unmapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from landshift.flows.runtime.tasks import as_task

    calls = []

    def step(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise InputError("the file is not there")

    monkeypatch.setattr(detecting, "write_maps_task", as_task(step, "write-maps"))
    with pytest.raises(InputError, match="not there"):
        detect(demo.project, demo.data, unmapped)
    assert len(calls) == 1
    assert not (unmapped / "demo" / "run").exists()


@pytest.mark.usefixtures("prefect_server")
def test_a_step_that_fails_for_another_reason_is_tried_again() -> None:
    from prefect import flow

    from landshift.flows.runtime.tasks import as_task

    calls = []

    def step() -> str:
        calls.append(1)
        if len(calls) < 2:
            raise OSError("the share was away")
        return "done"

    retried = as_task(step, "step").with_options(retry_delay_seconds=0)

    @flow
    def once() -> str:
        return retried()

    assert once() == "done"
    assert len(calls) == 2


def another_legend(project: Project) -> Project:
    swapped = [c.model_copy(update={"name": n}) for c, n in zip(project.legend, "BACDEF", strict=True)]
    return project.model_copy(update={"legend": tuple(swapped)})


@pytest.mark.parametrize(
    ("change", "has_model", "message"),
    [
        (lambda project: project.model_copy(update={"bands": ("red", "nir")}), True, "needs the bands blue, green"),
        (another_legend, True, "legend is 1 B"),
        (lambda project: project, False, "landshift train"),
    ],
    ids=["other bands", "another legend", "no model"],
)
def test_a_model_that_does_not_fit_is_refused_before_any_work(
    demo: DemoTerritory, tmp_path: Path, change: Callable[[Project], Project], has_model: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        detect(change(demo.project), demo.data, tmp_path / "runs", model=demo.model if has_model else None)
    assert not list((tmp_path / "runs").rglob("*.tif"))


def test_a_second_run_on_the_same_output_waits_outside(demo: DemoTerritory) -> None:
    ws = workspace(demo.project, demo.data, demo.output)
    with ws.alone(), pytest.raises(InputError, match="Another run is writing"):
        detect(demo.project, demo.data, demo.output)


@pytest.mark.usefixtures("prefect_server")
def test_a_failure_while_publishing_leaves_the_work_to_publish(
    demo: DemoTerritory, unmapped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def broken(*_: Any, **__: Any) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(detecting, "publish_run_task", detecting.publish_run_task.with_options(retries=0))
    monkeypatch.setattr(publishing, "complete", broken)
    with pytest.raises(OSError, match="no space"):
        detect(demo.project, demo.data, unmapped)
    assert not (unmapped / "demo" / "run").exists()
    assert not list(unmapped.rglob(".partial*"))
    assert list(unmapped.rglob("work/*/layers/change.tif"))
    monkeypatch.undo()
    assert detect(demo.project, demo.data, unmapped).fresh
    assert (unmapped / "demo" / "run" / "layers/change.tif").read_bytes() == (demo.run / "layers/change.tif").read_bytes()


def gates_in_prefect() -> list[dict[str, str]]:
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=["demo-gates"]))
    with get_client(sync_client=True) as client:
        (found,) = client.read_latest_artifacts(artifact_filter=wanted)
    return json.loads(found.data)


def test_every_gate_is_in_the_run(demo: DemoTerritory) -> None:
    gates = record(demo.run)["gates"]
    assert {gate["setting"] for gate in gates} - {None} == set(RULES)
    assert {gate["outcome"] for gate in gates} <= {"pass", "mark", "not measured"}
    season = next(gate for gate in gates if gate["setting"] == "season_gap_days")
    assert (season["outcome"], season["value"]) == ("pass", 6)


@pytest.mark.usefixtures("prefect_server")
def test_a_gate_of_the_data_stops_before_the_model_and_leaves_the_run_before(
    demo: DemoTerritory, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(output / "demo" / "run")
    monkeypatch.setattr(detecting, "detect_changes", None)
    project = demo_project(gates={"season_gap_days": {"limit": 5, "otherwise": "stop"}})
    with pytest.raises(InputError, match="season_gap_days: found 6 days"):
        detect(project, demo.data, output)
    assert content_of(output / "demo" / "run") == before
    assert not (output / "demo" / "work").exists()
    told = {row["check"]: row["outcome"] for row in gates_in_prefect()}
    assert told["Season of the dates"] == "stop"


@pytest.mark.parametrize("flow", ["train", "assess"])
def test_a_gate_of_the_data_stops_before_anything_is_learned(
    demo: DemoTerritory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow: str
) -> None:
    for module in (assessing, training):
        monkeypatch.setattr(module, "assess_transfer", None)
    monkeypatch.setattr(training, "classical_rows_task", None)
    project = demo_project(gates={"level_ratio": {"limit": 1, "otherwise": "stop"}})
    with pytest.raises(InputError, match=r"level_ratio: found the date (before|after) is 1\.\d\d times"):
        {"train": training.train, "assess": assessing.assess}[flow](project, demo.data, tmp_path / "out")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_report_of_a_training_holds_what_was_asked_of_its_images(demo: DemoTerritory) -> None:
    report = json.loads(demo.trained.report.read_text(encoding="utf-8"))
    asked = {gate["setting"]: gate for gate in report["gates"]}
    assert asked["level_ratio"]["outcome"] == "pass"
    card = (demo.trained.model / "card.md").read_text(encoding="utf-8")
    for gate in asked.values():
        assert (gate["outcome"] == "mark") == (gate["meaning"] in card)


def test_a_gate_of_the_model_stops_before_the_run_before_is_replaced(
    demo: DemoTerritory, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(output / "demo" / "run")
    original: Callable[..., Any] = detecting.detect_changes
    monkeypatch.setattr(detecting, "detect_changes", lambda *given: replace(original(*given), beyond=0.9))
    project = demo_project(gates={"domain_shift": {"otherwise": "stop"}})
    with pytest.raises(InputError, match="domain_shift: found 90 % beyond their edge, expected at most 20 %"):
        detect(project, demo.data, output)
    assert content_of(output / "demo" / "run") == before


@pytest.mark.usefixtures("prefect_server")
def test_a_corrected_image_goes_the_whole_way(demo: DemoTerritory, output: Path) -> None:
    """The demo's later date lies 0.45 pixels off by construction."""
    project = demo_project(gates={"misregistration_px": {"correct": True, "limit": 0.2}})
    detected = detect(project, demo.data, output)
    run = record(detected.run)
    # So small a region has room for four windows that half overlap; larger ones come closer.
    assert run["alignment"]["moved"] == pytest.approx([-0.28, 0.35], abs=0.15)
    told = [(row["check"], row["outcome"]) for row in gates_in_prefect()]
    assert told == [(gate["name"], gate["outcome"]) for gate in run["gates"]]
    gate = next(gate for gate in run["gates"] if gate["setting"] == "misregistration_px")
    assert gate["outcome"] == "pass"
    assert gate["value"] == run["alignment"]["now"] < run["alignment"]["was"]
    assert "after the correction" in (detected.run / "report.html").read_text(encoding="utf-8")
    assert not detect(project, demo.data, output).fresh


def test_absolute_paths_of_the_config_stay_at_home(demo: DemoTerritory) -> None:
    content = demo.project.model_dump(mode="json")
    content["scenes"]["folder"] = str(demo.data / "scenes")
    content["labels"]["rasters"]["before"] = str(demo.data / "labels_before.tif")
    published = config_as_published(workspace(Project.model_validate(content), demo.data, demo.output))
    assert published["scenes"]["folder"] == "scenes"
    assert str(demo.data) not in json.dumps(published)


@pytest.mark.usefixtures("prefect_server")
def test_a_binary_project_goes_the_whole_way(demo: DemoTerritory, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo.data, data)
    before, grid = read_raster(data / "labels_before.tif")
    after = read_raster(data / "labels_after.tif")[0]
    change = np.where((before == 0) | (after == 0), 0, 1 + (before != after)).astype(np.uint8)
    write_raster(data / "changed.tif", change, grid)
    project = demo_project(
        legend=(), labels={"rasters": {"change": "changed.tif", "values": {0: "not labelled", 1: "unchanged", 2: "changed"}}},
        model={"fusion": "concatenation"}, training={"epochs": 1, "chips_per_epoch": 4, "workers": 1},
    )  # fmt: skip
    train(project, data, tmp_path / "runs")
    content = project.model_dump(mode="json")
    content["gates"]["mapped_share"]["limit"] = 0.001
    with pytest.raises(InputError, match="mapped_share"):
        detect(Project.model_validate(content), data, tmp_path / "runs")
    assert not (tmp_path / "runs" / "demo" / "run").exists()
    content["gates"]["mapped_share"]["otherwise"] = "mark"
    run = detect(Project.model_validate(content), data, tmp_path / "runs").run
    (gate,) = (gate for gate in record(run)["gates"] if gate["setting"] == "mapped_share")
    assert gate["outcome"] == "mark"
    assert {"plain": gate["meaning"], "remedy": gate["remedy"]} in record(run)["warnings"]
    assert set(np.unique(read_raster(run / "layers/change.tif")[0])) <= {0, 1, 2}
    assert not (run / "layers/landuse_before.tif").exists()


def test_check_prints_a_plan_without_making_an_image(demo: DemoTerritory, tmp_path: Path) -> None:
    ws = workspace(demo.project, demo.data, tmp_path / "runs")
    content, lines = check_project(ws)
    assert content["grid"]["rows"] == SIZE
    assert content["tiles"] == 4
    assert set(content["splits"]) == {"train", "validation", "test"}
    assert any("imagenet-efficientnet-lite0" in line for line in lines)
    assert not list((tmp_path / "runs").rglob("*.tif"))


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdal-bin is not installed (apt-get install gdal-bin)")
def test_gdal_reads_the_change_map_as_a_styled_cog(demo: DemoTerritory) -> None:
    said = subprocess.run(["gdalinfo", "-json", "layers/change.tif"], cwd=demo.run, capture_output=True, text=True, check=True)
    info = json.loads(said.stdout)
    assert info["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    band = info["bands"][0]
    assert (band["type"], band["noDataValue"], band["colorInterpretation"]) == ("Byte", 0.0, "Palette")
    assert band["categories"][1] == "Unchanged"
