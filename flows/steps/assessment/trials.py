"""Trials: short trainings at one budget, the evidence for every verdict on transfer."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import (
    Recipe,
    build_network,
    encoder_called,
    encoder_facts,
    fit_network,
)
from landshift.flows.steps.learning.judging import Calibrated, judge
from landshift.flows.steps.learning.labelling import read_masks
from landshift.flows.steps.project.workspace import CHECKPOINTS, Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.regions import Regions, fold_roles, random_roles, with_fewer_labels
from landshift.pipeline.labels.search import TEST, TRAIN, VALIDATION
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import replace_when_done, value_hash
from landshift.pipeline.records import IfAny, read_record, write_record
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.scores.assessment import MeanF1
from landshift.pipeline.scores.training import Cost, Fit, NetworkScores

if TYPE_CHECKING:
    from landshift.models.network.siamese import Siamese

BLOCKS, RANDOM = "blocks", "random pixels"
"""Splits of a trial beside the folds: the project's own, and the one that flatters."""

_FORMAT = 1
"""Raised whenever a trial would come out differently for the same inputs."""

_FEWEST = 8
"""Changed, and unchanged, pixels that a training and its validation need at the least."""

_COMPARED_PIXELS = 600

_OTHER_SETTINGS = {"seeds", "workers", "strategy", "candidates", "epochs", "chips_per_epoch"}
"""Settings of the training that a trial has itself, or that change nothing."""


@dataclass(frozen=True)
class Trial:
    """One training of a comparison."""

    encoder: str
    """Name in the encoder table; `file` is the config's own checkpoint."""
    strategy: str
    """Row of `strategies.STRATEGIES`."""
    seed: int
    """Of weights, chips and, where there are fewer labels, of which."""
    split: str = BLOCKS
    """`blocks`, `random pixels`, or `fold N`: the regions of fold N are held out."""
    share: float = 1.0
    """Share of the training and validation labels that is used, above 0, at most 1."""

    @property
    def arm(self) -> str:
        """What is compared: the encoder with its strategy."""
        return f"{self.encoder}, {self.strategy}"

    def hold_out(self, regions: Regions) -> tuple[str, ...]:
        """Return the names of the regions that it is scored in."""
        return regions.names_of(int(self.split.removeprefix("fold "))) if self.split.startswith("fold") else regions.names

    @property
    def slug(self) -> str:
        """Name of its folder."""
        share = f"{self.share:g}" if float(f"{self.share:g}") == self.share else repr(self.share)
        name = f"{self.encoder}-{self.strategy}-{self.split}-{share}-seed-{self.seed}"
        return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


@dataclass(frozen=True, kw_only=True)
class TrialFacts(NetworkScores):
    """Scores, course and cost of a trial that ended."""

    fit: Fit
    """Course of the training."""
    cost: Cost | None
    """None where it was not metered."""
    alignment: IfAny[dict[str, float | None]] = None
    """Linear CKA of the encoder's features before and after the training, by depth."""


@dataclass(frozen=True)
class TrialResult:
    """State and scores of a trial."""

    trial: Trial
    """What was trained."""
    state: str
    """`done`, `diverged`, or `not possible`."""
    reason: str = ""
    """Why it is not done, for people."""
    f1: float | None = None
    """F1 of changed over all held-out pixels, 0..1."""
    regions: Mapping[str, float | None] = field(default_factory=dict)
    """F1 of changed in each held-out region."""
    facts: TrialFacts | None = None
    """None unless it is done."""


def roles_of(ws: Workspace, trial: Trial, regions: Regions) -> DividedLabels:
    """Divide the labels as a trial needs them.

    Raises:
        InputError: Too few labels are left to train or to validate.
    """
    masks = read_masks(ws)
    labels, role = masks.labels, masks.role
    split = ws.project.split
    if trial.split == RANDOM:
        role = random_roles(labels.labelled, split.fractions, split.seed)
    elif trial.split != BLOCKS:
        role = fold_roles(regions, labels, int(trial.split.removeprefix("fold ")), split.buffer_px)
    role = with_fewer_labels(role, labels, trial.share, trial.seed)
    for name, part in (("training", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        counts = [int(((role == part) & (labels.change == value)).sum()) for value in (1, 0)]
        if min(counts) < _FEWEST:
            raise InputError(
                f"{100 * trial.share:g} % of the labels ({trial.split}) leave {counts[0]} changed and {counts[1]} unchanged "
                f"pixels for {name}; at least {_FEWEST} of each are needed. Label more, or take a larger share "
                f"(`assess: fractions:`)."
            )
    return DividedLabels(labels, role)


def run_trial(ws: Workspace, prepared: Pair, labels_hash: str, trial: Trial, regions: Regions) -> TrialResult:
    """Run one trial, unless it is there already from the same inputs; an error becomes its state."""
    folder = ws.assessment / "trials" / trial.slug
    path = folder / "outcome.json"
    try:
        encoder = encoder_called(ws, trial.encoder)
    except InputError as error:
        return TrialResult(trial, "not possible", str(error))
    recipe = Recipe(encoder, trial.strategy, trial.seed, *budget(ws))
    key = trial_key(ws, prepared, labels_hash, trial, regions=regions, recipe=recipe)
    manifest = ws.manifest(folder)
    if not manifest.is_current("trial", key):
        outcome, pixels = _train(ws, prepared, recipe, trial, regions=regions, checkpoints=manifest.begin(CHECKPOINTS, key))
        if outcome.state == "not possible":
            # Not kept: the network may be back, or the labels may be more, when it is tried again.
            return outcome
        write_record(path, outcome)
        files = [path]
        if pixels is not None:
            files.append(folder / "pixels.safetensors")
            with replace_when_done(files[-1]) as temporary:
                save_file(pixels, temporary)
        manifest.record("trial", key, files)
    manifest.finish(CHECKPOINTS)
    outcome = read_record(path, TrialResult)
    if outcome.facts is None:
        return outcome
    # Blocks and random pixels do not depend on the regions, so these may have been others when the trial was run.
    return replace(outcome, regions=_by_region(pixels_of(ws, trial), regions, outcome.facts.threshold))


def trial_key(ws: Workspace, prepared: Pair, labels_hash: str, trial: Trial, regions: Regions, recipe: Recipe) -> str:
    """Return the hash of everything that a trial depends on."""
    project = ws.project
    settings = project.training.model_dump(mode="json", exclude=_OTHER_SETTINGS)
    described = project.model_dump(mode="json", include={"model", "legend", "split", "sensor"})
    described["model"].pop("encoder")
    parts = [_FORMAT, prepared.key, labels_hash, asdict(trial), described, settings, encoder_facts(recipe.encoder)]
    parts += [recipe.epochs, recipe.chips_per_epoch, project.detect.core, project.detect.margin, project.detect.phases]
    if trial.split.startswith("fold"):
        parts.append(regions.hash)
    return value_hash(parts)


def budget(ws: Workspace) -> tuple[int, int]:
    """Return the epochs, and the chips in each, that every trial gets."""
    assess, training = ws.project.assess, ws.project.training
    return assess.epochs or training.epochs, assess.chips_per_epoch or training.chips_per_epoch


def pixels_of(ws: Workspace, trial: Trial) -> dict[str, np.ndarray]:
    """Return the labelled pixels that a trial was validated and tested on.

    Returns:
        Arrays (pixel,): `position`, `role`, `truth`, `raw` and `probability` of change, and with land use `truth_before`,
        `found_before`, `truth_after`, `found_after`.
    """
    return dict(load_file(ws.assessment / "trials" / trial.slug / "pixels.safetensors"))


def _train(
    ws: Workspace, prepared: Pair, recipe: Recipe, trial: Trial, regions: Regions, checkpoints: Path
) -> tuple[TrialResult, dict[str, np.ndarray] | None]:
    from landshift.models.network.callbacks import Diverged
    from landshift.models.use.energy import measure_cost

    try:
        masks = roles_of(ws, trial, regions)
        with step(f"Trial {trial.slug}") as advance, measure_cost(trial.slug, ws.project.energy.country) as meter:
            bundle, network = fit_network(ws, prepared, recipe, masks, checkpoints=checkpoints, advance=advance)
            # With too few blocks a limit to the miss rate cannot be met, which is no reason to compare nothing.
            bundle, scores, calibrated = judge(ws, prepared, bundle, network, masks=masks, controlled=False)
    except InputError as error:
        return TrialResult(trial, "not possible", str(error)), None
    except Diverged as error:
        return TrialResult(trial, "diverged", str(error)), None
    moved = (
        trial.strategy not in ("scratch", "frozen", "probe", "boosted")
        and trial.share >= 1
        and trial.seed == ws.project.assess.seeds[0]
    )
    facts = TrialFacts(
        **{f.name: getattr(scores, f.name) for f in fields(NetworkScores)},
        fit=bundle.facts.fit, cost=meter.cost,
        alignment=_alignment(ws, prepared, recipe, network, masks=masks) if moved else None,
    )  # fmt: skip
    pixels = _pixels(calibrated)
    by_region = _by_region(pixels, regions, calibrated.threshold)
    return TrialResult(trial, "done", "", scores.test.f1, regions=by_region, facts=facts), pixels


def _pixels(calibrated: Calibrated) -> dict[str, np.ndarray]:
    raw, calm, decided = calibrated.raw, calibrated.cooled, calibrated.decided
    found = {
        "position": raw.position, "role": raw.role, "truth": raw.labels.change, "raw": raw.probability,
        "probability": calm.probability,
    }  # fmt: skip
    if decided.before is not None and decided.after is not None:
        found |= {
            "truth_before": raw.labels.before, "found_before": decided.before,
            "truth_after": raw.labels.after, "found_after": decided.after,
        }  # fmt: skip
    return {name: np.ascontiguousarray(array.reshape(-1)) for name, array in found.items()}


def _by_region(pixels: dict[str, np.ndarray], regions: Regions, threshold: float) -> dict[str, float | None]:
    region = regions.index.reshape(-1)[pixels["position"]]
    scores = {}
    for index, name in enumerate(regions.names):
        here = (pixels["role"] == TEST) & (region == index) & (pixels["truth"] != NOT_LABELLED)
        if here.any():
            scores[name] = binary_scores(pixels["truth"][here], pixels["probability"][here], threshold).f1
    return scores


def _alignment(
    ws: Workspace,
    prepared: Pair,
    recipe: Recipe,
    network: "Siamese",
    masks: DividedLabels,
) -> dict[str, float | None]:
    """Compare the encoder's features before and after the training, on held-out pixels: linear CKA by depth."""
    from landshift.models.transfer.features import pixel_features
    from landshift.models.transfer.overlap import linear_cka
    from landshift.models.transfer.pixels import draw_pixels
    from landshift.models.use.inference import device_of

    labels, role = masks.labels, masks.role
    start = build_network(ws, prepared, recipe.encoder, recipe.strategy, seed=recipe.seed).network
    everywhere = np.where(role == TEST, 0, -1).astype(np.int16)
    sample = draw_pixels(labels.change, everywhere, limit=_COMPARED_PIXELS, seed=recipe.seed)
    device = device_of(ws.project.detect.device)
    first, last = (pixel_features(n.eval().to(device), prepared.source, sample, device=device) for n in (start, network))
    network.to("cpu")
    seen = first.observed & last.observed
    return {
        depth: linear_cka(np.concatenate([b[seen], a[seen]]), np.concatenate([d[seen], c[seen]]))
        for depth, b, a, d, c in zip(first.depths, first.before, first.after, last.before, last.after, strict=True)
    }


def worst_and_mean(outcomes: Iterable[TrialResult], regions: Regions) -> MeanF1:
    """Return the mean F1 over regions of several trials, and the region where they do worst.

    A training that diverged gives no map, and counts as F1 0 in the regions that it held out.
    """
    scores: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.state == "diverged":
            for name in outcome.trial.hold_out(regions):
                scores.setdefault(name, []).append(0.0)
        for name, f1 in outcome.regions.items():
            if f1 is not None and math.isfinite(f1):
                scores.setdefault(name, []).append(f1)
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    worst = min(means, key=lambda name: means[name], default=None)
    mean = float(np.mean(list(means.values()))) if means else None
    return MeanF1(mean, worst, None if worst is None else means[worst], means)
