"""The published folder of a detect run."""

import platform
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.current import assessment_of
from landshift.flows.steps.detection.classical import legend_in_use
from landshift.flows.steps.detection.raw_map import RawMap
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.images.gating import gates_of_data, require_all_open
from landshift.flows.steps.learning.blocks import BLOCK
from landshift.flows.steps.learning.fitting import require_model_fits
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.publication.cautions import warn_of_images, warn_of_otsu, warn_of_phases, warn_of_training
from landshift.flows.steps.publication.known import calibration_of, find_known, kinds_on_test
from landshift.flows.steps.publication.maps import Maps
from landshift.pipeline.change.areas import with_test_scores
from landshift.pipeline.change.second_opinion import result_gates
from landshift.pipeline.epochs.gates import Measured
from landshift.pipeline.gates import Caution, Gate, cautions_of
from landshift.pipeline.grid import crs_name
from landshift.pipeline.manifest import file_hash, link_or_copy, replace_when_done
from landshift.pipeline.records import content_of
from landshift.pipeline.run.package import complete
from landshift.pipeline.run.record import (
    AreasNotes,
    InputFile,
    MapGrid,
    ObservedShares,
    RunRecord,
    SpentSeconds,
    TerritoryShift,
    UsedModel,
    UsedRadiometry,
)
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.gates import model_gates


@dataclass(frozen=True)
class Detected:
    """What a detect run made."""

    run: Path
    """Folder with the map, the layers and the report."""
    changed_ha: float
    """Hectares mapped as changed (pixel count)."""
    polygons: int
    """Patches."""
    fresh: bool
    """False where the same run was there already."""
    gates: tuple[Gate, ...] = ()
    """What was asked of it; empty where it was there already."""
    copied: str = ""
    """Address of its copy in object storage; empty where the config asks for none."""


def publish_run(ws: Workspace, prepared: Pair, key: str, measured: Measured, raw: RawMap, maps: Maps) -> Detected:
    """Write `run.json`, the page and what else follows from the maps, and move the whole run to its place in one step."""
    folder, made, light = ws.work / key, prepared.plan, prepared.radiometry
    # Windows were looked at before, and now every pixel was.
    measured = replace(measured, observed_share=raw.observed.both)
    areas, notes = maps.areas, maps.areas_of_interest
    mapper = _describe_classical(ws, maps) if raw.classical is not None else _describe_model(ws, prepared, raw, maps)
    model, assessment = mapper.model, mapper.assessment
    scores = (model.scores if model is not None else None) or {}
    gates = (*gates_of_data(ws, prepared, measured), *mapper.gates)
    require_all_open(ws, gates)
    warnings = [
        *warn_of_training(scores.get("warnings", [])),
        *warn_of_phases(scores.get("phases"), ws.project.detect.phases),
        *warn_of_images(made),
        *cautions_of(gates),
        *(warn_of_otsu(raw.classical) if raw.classical is not None else ()),
        *map(Caution, notes or ()),
    ]
    if not areas.polygons:
        warnings.append(Caution("No change was found."))
    run = RunRecord(
        name=ws.project.name, key=key, before_date=made.before.date, after_date=made.after.date,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        inputs=tuple(
            InputFile(ws.relative(p), e.name, s.date, digest)
            for e, image in zip(made.epochs, (prepared.before, prepared.after), strict=True)
            for (s, p), digest in zip(((s, p) for s in e.scenes for p in s.paths), image.sources, strict=True)
        ),
        grid=MapGrid(
            crs=crs_name(made.grid.crs), rows=made.grid.shape[0], columns=made.grid.shape[1],
            pixel_size_m=made.grid.transform.a, transform=tuple(made.grid.transform)[:6], notes=made.resampled,
        ),
        clouds={e: tuple(content_of(image.clouds)) for e, image in (("before", prepared.before), ("after", prepared.after))},
        bands=tuple(made.bands), units=made.sensor.units, legend=legend_in_use(ws).classes,
        observed=ObservedShares(raw.observed.before, raw.observed.after),
        model=model, classical=raw.classical, second_opinion=maps.second_opinion, calibration=calibration_of(ws, prepared),
        threshold=raw.threshold, margin_px=raw.margin, network_form=raw.form,
        steadiness=raw.steadiness,
        seconds=SpentSeconds(detect=raw.seconds, model=raw.model_seconds),
        alignment=None if prepared.correction is None else content_of(prepared.correction),
        radiometry=UsedRadiometry(
            **asdict(light.treatment), invariant_pixels=light.invariant, residuals=light.residuals, notes=light.notes
        ),
        adaptation=raw.adaptation,
        domain_shift=TerritoryShift(block_px=BLOCK, beyond=raw.beyond),
        cost=raw.cost, assessment=assessment,
        gates=gates, areas=with_test_scores(areas, kinds_on_test(ws)),
        warnings=tuple(warnings), areas_of_interest=None if notes is None else AreasNotes(notes),
        config=config_as_published(ws), versions={**versions(), "python": platform.python_version()},
    )  # fmt: skip
    with replace_when_done(ws.run) as target, step("Publishing"):
        target.mkdir(parents=True)
        made = ws.manifest(folder).entries()["maps"]["files"]
        for name in made:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            # The work stays, so that it can be published again after a failure here.
            link_or_copy(folder / name, target / name)
        complete(target, run, made)
    shutil.rmtree(ws.work, ignore_errors=True)
    return Detected(ws.run, areas.changed_ha, areas.polygons, True, gates=gates)


@dataclass(frozen=True)
class _Mapper:
    """What mapped the changes, and what is asked of it."""

    model: UsedModel | None
    """None where a classical method did."""
    assessment: Assessment
    """Of the images and the model; empty where nothing was assessed."""
    gates: tuple[Gate, ...]
    """About the model, and about the map that it made."""


def _describe_classical(ws: Workspace, maps: Maps) -> _Mapper:
    return _Mapper(None, Assessment(), result_gates(maps.areas.changed_share, None, None, ws.project.gates.rules))


def _describe_model(ws: Workspace, prepared: Pair, raw: RawMap, maps: Maps) -> _Mapper:
    from landshift.models.use.bundle import MODEL, WEIGHTS, TrainingImages

    bundle, rules = require_model_fits(ws, prepared.plan), ws.project.gates.rules
    assessment, scores = assessment_of(ws, prepared), content_of(bundle.facts.scores)
    asked = model_gates(
        beyond=raw.beyond, calibration=calibration_of(ws, prepared),
        same_images=bundle.facts.inputs == TrainingImages(*prepared.hashes),
        adaptation=raw.adaptation.method, is_verified=raw.adaptation.verified,
        verdict=None if assessment.guard is None else assessment.guard.verdict, rules=rules,
    )  # fmt: skip
    model = UsedModel(
        name=bundle.name, encoder=bundle.encoder.name, weights=file_hash(ws.model_in_use / WEIGHTS),
        description=file_hash(ws.model_in_use / MODEL), scores=scores, tested_here=find_known(ws, prepared).tested,
    )  # fmt: skip
    found = result_gates(
        maps.areas.changed_share, maps.second_opinion, bundle.facts.training_changed, rules,
        is_prior="ir-mad" in bundle.spec.priors,
    )  # fmt: skip
    return _Mapper(model, assessment, (*asked, *found))
