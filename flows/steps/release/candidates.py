"""One trained, calibrated and scored candidate a seed, and the choice among them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from landshift.flows.runtime.progress import step
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.baselines import prior_tallies
from landshift.flows.steps.learning.blocks import BLOCK, training_blocks
from landshift.flows.steps.learning.fitting import Recipe, encoder_facts, encoder_of, fit_network
from landshift.flows.steps.learning.judging import Calibrated, judge
from landshift.flows.steps.learning.labelling import SPLITS, LabelRecord, read_masks
from landshift.flows.steps.learning.seen import SEEN, write_seen
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import CHECKPOINTS, Workspace
from landshift.flows.steps.release.choosing import best_candidate, describe_choice, warn_of_prior
from landshift.pipeline.gates import Gate, warnings_of
from landshift.pipeline.grid import crs_of
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.labels.search import VALIDATION
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import file_hash, value_hash, write_json
from landshift.pipeline.pages.card import model_card
from landshift.pipeline.records import content_of, read_record, write_record
from landshift.pipeline.run.stac import footprint
from landshift.pipeline.run.stac_model import MODEL_ITEM, write_model_item
from landshift.pipeline.scores.accuracy import MethodScores, mean_and_spread
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.release import BlockTally, tally_blocks
from landshift.pipeline.scores.training import CandidateScores

if TYPE_CHECKING:
    from landshift.models.network.siamese import Siamese
    from landshift.models.transfer.shift import Shift
    from landshift.models.use.bundle import TrainingGround

_SCORES = "scores.json"

TALLIES = "validation.json"
"""What a candidate's map is like in each validation block."""


@dataclass(frozen=True)
class Trained:
    """What a training made."""

    model: Path
    """Folder of the model: that of the model in use, or the candidate's where it was not promoted."""
    report: Path
    """`training.json`: every row that was measured."""
    promoted: bool = True
    """Whether it is in use now."""
    told: tuple[str, ...] = ()
    """How it compares with the model that was in use, and what became of it; sentences."""


def train_seed(ws: Workspace, prepared: Pair, labels_hash: str, seed: int, strategy: str | None = None) -> CandidateScores:
    """Train, calibrate and score one candidate, unless it is there already from the same inputs.

    Args:
        ws: The project.
        prepared: Its images.
        labels_hash: Of its divided labels.
        seed: Of weights and chips.
        strategy: One of those that the config trains; None takes the first.
    """
    project = ws.project
    encoder = encoder_of(ws)
    strategy = strategy or project.training.strategies[0]
    folder = _folder_of(ws, strategy, seed)
    settings = project.training.model_dump(mode="json", exclude={"seeds", "workers", "candidates"}) | {"strategy": strategy}
    tiling = [project.detect.core, project.detect.margin, project.detect.phases]
    described = project.model_dump(mode="json", include={"model", "legend", "calibration", "sensor"})
    key = value_hash([prepared.key, labels_hash, described, settings, tiling, seed, encoder_facts(encoder)])
    manifest = ws.manifest(folder)
    if not manifest.is_current("candidate", key):
        from landshift.models.use.bundle import CARD, MODEL, WEIGHTS, save
        from landshift.models.use.energy import measure_cost

        checkpoints = manifest.begin(CHECKPOINTS, key)
        recipe = Recipe(encoder, strategy, seed, project.training.epochs, chips_per_epoch=project.training.chips_per_epoch)
        masks = read_masks(ws)
        with measure_cost(f"training, {strategy}, seed {seed}", project.energy.country) as meter:
            with step(f"Training {strategy} (seed {seed})") as advance:
                bundle, network = fit_network(ws, prepared, recipe, masks, checkpoints=checkpoints, advance=advance)
            bundle, scores, calibrated = judge(ws, prepared, bundle, network, masks=masks)
            domain = _training_domain(ws, prepared, network, masks.role)
        scores = replace(scores, cost=meter.cost)
        bundle = replace(bundle, facts=replace(bundle.facts, scores=scores, domain_shift=domain))
        save(folder / "model", bundle, network, "")
        write_record(folder / _SCORES, scores)
        write_record(folder / TALLIES, _tally(ws, calibrated, masks.role.shape[1]))
        files = [folder / _SCORES, folder / TALLIES, *(folder / "model" / n for n in (WEIGHTS, MODEL, CARD))]
        manifest.record("candidate", key, files)
    manifest.finish(CHECKPOINTS)
    return read_record(folder / _SCORES, CandidateScores)


def _folder_of(ws: Workspace, strategy: str, seed: int) -> Path:
    return ws.training / (f"{strategy}-seed-{seed}" if ws.project.training.strategy == "auto" else f"seed-{seed}")


def _tally(ws: Workspace, calibrated: Calibrated, width: int) -> tuple[BlockTally, ...]:
    """Tally the map of the validation blocks."""
    found, labels = calibrated.cooled.probability, calibrated.raw.labels.change
    known = (calibrated.raw.role == VALIDATION) & (labels != NOT_LABELLED) & np.isfinite(found)
    blocks = block_index(*np.divmod(calibrated.raw.position, width), width, ws.project.split.block_px)
    probability = found[known]
    return tally_blocks(labels[known], probability >= calibrated.threshold, blocks[known], probability)


def _training_domain(ws: Workspace, prepared: Pair, network: "Siamese", role: np.ndarray) -> "Shift | None":
    """Describe where the training regions lie in the network's feature space; None where they are too few."""
    from landshift.models.transfer.blocks import block_embeddings
    from landshift.models.transfer.shift import FEWEST_BLOCKS, fit_shift
    from landshift.models.use.inference import device_of

    device = device_of(ws.project.detect.device)
    wanted = training_blocks(role)
    shape = (role.shape[0], role.shape[1])
    # Tiles as in detect: the means of a block depend a little on how far the network can see around it.
    config = ws.project.detect
    embedded = block_embeddings(
        network.eval().to(device), prepared.source, shape, BLOCK, tile=config.core, margin=config.margin_px, wanted=wanted,
        device=device,
    )  # fmt: skip
    network.to("cpu")
    seen = embedded.values[wanted & np.isfinite(embedded.values).all(axis=-1)]
    return fit_shift(seen, embedded.sizes) if len(seen) >= FEWEST_BLOCKS else None


def _read_tallies(ws: Workspace, scores: CandidateScores) -> tuple[BlockTally, ...]:
    return read_record(_folder_of(ws, scores.strategy, scores.seed) / TALLIES, tuple[BlockTally, ...])


def choose_model(
    ws: Workspace,
    made: Plan,
    scores: Sequence[CandidateScores],
    rows: Mapping[str, MethodScores],
    assessment: Assessment,
    gates: Sequence[Gate],
) -> Trained:
    """Keep the candidate that is best on the validation blocks, with a card and a report of every row.

    The test blocks have no part in the choice. `gates` are those that were asked of the images.
    """
    from landshift.models.use.bundle import CARD, MODEL, WEIGHTS, load, save

    tallies = {(s.strategy, s.seed): _read_tallies(ws, s) for s in scores}
    best = best_candidate(scores, tallies)
    source = _folder_of(ws, best.strategy, best.seed) / "model"
    choice = describe_choice(best, scores, tallies)
    measured, classical = [content_of(s) for s in scores], content_of(rows)
    asked = [content_of(gate) for gate in gates]
    key = value_hash([file_hash(source / MODEL), measured, classical, assessment.is_harmful, asked])
    manifest = ws.manifest(ws.output)
    report = ws.output / "training.json"
    if not manifest.is_current("model", key):
        bundle, network = load(source)
        labels = read_record(ws.training / SPLITS, LabelRecord)
        warnings = [
            *warn_of_prior(tallies[best.strategy, best.seed], prior_tallies(ws)), *best.warnings, *_better_rows(best, rows),
            *labels.labels.notes, *labels.splits.notes,
        ]  # fmt: skip
        if assessment.guard is not None and assessment.is_harmful:
            warnings.append(f"The assessment advises against this model. {assessment.guard.sentence}")
        alike = [s.test for s in scores if s.strategy == best.strategy]
        content = {
            # What the images were marked for belongs to them, and not to every run of the model.
            "warnings": [*warnings, *warnings_of(gates)], "gates": asked,
            "project": ws.project.name, "encoder": content_of(bundle.encoder), "strategy": bundle.facts.strategy,
            "notes": bundle.notes,
            "network": {k: asdict(v) for k, v in mean_and_spread(alike).items()},
            "seeds": measured, "kept_seed": best.seed, "choice": choice,
            "classical": classical, **content_of(labels), "versions": versions(),
        }  # fmt: skip
        facts = replace(
            bundle.facts, scores=replace(best, warnings=tuple(warnings)), splits=labels.splits, classical=rows,
            territory=_training_ground(made),
        )  # fmt: skip
        kept = replace(bundle, facts=facts)
        save(ws.candidate, kept, network, model_card(content, content_of(kept), assessment))
        write_json(report, content)
        write_model_item(ws.candidate, json.loads((ws.candidate / MODEL).read_text(encoding="utf-8")))
        write_seen(ws, made.grid, ws.candidate)
        manifest.record("model", key, [report, *(ws.candidate / n for n in (WEIGHTS, MODEL, CARD, MODEL_ITEM, SEEN))])
    return Trained(ws.candidate, report)


def _training_ground(made: Plan) -> "TrainingGround":
    """Return when and where the model was trained."""
    from landshift.models.use.bundle import TrainingGround

    outline = footprint(made.grid.transform, (made.grid.shape[0], made.grid.shape[1]), crs_of(made.grid).to_wkt())
    return TrainingGround(str(made.before.date), str(made.after.date), shapely.geometry.mapping(outline))


_COMMANDS = {"IR-MAD": "ir-mad", "Change vector analysis": "cva"}
"""Classical rows that `landshift detect` can map by; the other ones are controls only."""


def _better_rows(kept: CandidateScores, rows: Mapping[str, MethodScores]) -> list[str]:
    """Return a warning where a classical method does as well as the network."""
    name, row = max(rows.items(), key=lambda item: item[1].kappa or -1.0)
    own, other = kept.test.kappa, row.kappa
    if own is None or other is None or own > other:
        return []
    method = next((method for title, method in _COMMANDS.items() if name.startswith(title)), None)
    use = f"use it (`landshift detect CONFIG --method {method}`, by Otsu's threshold), " if method else ""
    return [
        f"On the same test pixels, {name} does as well or better (kappa {other:.3f} against {own:.3f}): {use}label more, "
        f"or train longer."
    ]
