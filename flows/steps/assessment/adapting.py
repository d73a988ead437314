"""Adapting: bring a model that was trained elsewhere to this territory, and accept only what helps on its labels."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.assessment.ranking import groups_of
from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.learning.judging import HeldOut, calibrate, predict_held_out
from landshift.flows.steps.learning.labelling import labels_hash_of, read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import decide
from landshift.pipeline.epochs.radiometry import BandMapping, fit_histogram, fit_moments, fit_radiometric
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import TEST
from landshift.pipeline.legend import CHANGED, NOT_LABELLED, NOT_OBSERVED
from landshift.pipeline.manifest import file_hash, value_hash, write_json
from landshift.pipeline.raster.read import open_readers
from landshift.pipeline.raster.statistics import draw_pixels
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.scores.calibration import cooled, cooled_classes
from landshift.pipeline.scores.evidence import f1_gain
from landshift.pipeline.scores.reliability import expected_calibration_error
from landshift.pipeline.tiles import STRIDE, Tile, tiles

if TYPE_CHECKING:
    from landshift.models.network.siamese import ChangeNetwork
    from landshift.models.use.bundle import Bundle
    from landshift.models.use.inference import Temperatures

METHODS = ("radiometric", "histogram", "moments", "batch-norm")
"""Ways to adapt, beside doing nothing."""

_FORMAT = 3

_FEWEST_BLOCKS = 10
"""Labelled test blocks that an adaptation is checked on: the bootstrap of a handful lets too much pass by chance."""

_LEVEL = 1 - 0.05 / 4
"""Of each interval: Bonferroni's correction for four methods."""

_PRIOR_WINDOWS = 16.0
"""Windows that the source's BatchNorm statistics count for; not tuned."""

_WINDOW = 256

_MOST_TILES = 16
"""Tiles that the share of change is taken from: an estimate, not a map."""


@dataclass(frozen=True)
class Adapted:
    """A network, and what is done to the images before it sees them."""

    network: "ChangeNetwork"
    """With adapted BatchNorm statistics where that is the method."""
    mappings: tuple[BandMapping | None, BandMapping | None]
    """Of the dates before and after."""
    notes: tuple[str, ...]
    """What was done, in sentences."""


@dataclass(frozen=True)
class Adaptation:
    """What detect does about a territory that the model does not know."""

    method: str
    """`none` or one of `METHODS`."""
    verified: bool
    """Whether it was found to help on labels of this territory."""
    threshold: float | None = None
    """Chosen on this territory's validation blocks; None takes the model's own."""
    temperatures: dict[str, float] | None = None
    """Fitted on this territory's validation blocks; None takes the model's own."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def adapted(ws: Workspace, prepared: Prepared, bundle: "Bundle", network: "ChangeNetwork", method: str) -> Adapted:
    """Adapt a network, or the images that it is given, to the territory; nothing is trained.

    Args:
        ws: The project.
        prepared: Its images.
        bundle: What is known of the model.
        network: Changed in place by `batch-norm`.
        method: `none` or one of `METHODS`.

    Raises:
        InputError: The images do not allow it; the message says why.
    """
    if method == "none":
        return Adapted(network, (None, None), ())
    before, after = (draw_pixels(image) for image in prepared.images)
    if method == "moments":
        known = bundle.facts.get("training_regions", {})
        if not known.get("mean"):
            raise InputError("The model does not say what its training regions look like; moments cannot be matched to them.")
        # Both dates together: matching each date apart would take its change away.
        mapping = fit_moments(np.array(known["mean"]), np.array(known["std"]), np.concatenate([before, after]))
        return Adapted(network, (mapping, mapping), mapping.notes)
    if method == "histogram":
        mapping = fit_histogram(before, after)
        return Adapted(network, (None, mapping), mapping.notes)
    if method == "radiometric":
        pair = _paired_sample(prepared)
        mapping = fit_radiometric(*pair)
        return Adapted(network, (None, mapping), mapping.notes)
    from landshift.models.transfer.adaptation import adapt_batch_norm

    done = adapt_batch_norm(network, _windows(ws, prepared), prior=_PRIOR_WINDOWS)
    return Adapted(network, (None, None), done.notes)


def _paired_sample(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same pixels of both dates: those observed on both."""
    from landshift.pipeline.epochs.classical import sample_pixels

    with open_readers(*prepared.images) as (first, second):
        work = tiles(first.info.shape, 512, 0)
        each = max(400_000 // len(work), 1)
        parts = [sample_pixels(first.read(t.core), second.read(t.core), each) for t in work]
    before, after = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    return before, after


def _windows(ws: Workspace, prepared: Prepared) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with open_readers(*prepared.images) as (before, after):
        shape, side = before.info.shape, _WINDOW
        # A small territory is cut finer, or its few windows would count for nothing beside the source's.
        while side > STRIDE and len(tiles(shape, side, 0)) < _PRIOR_WINDOWS:
            side //= 2
        for tile in _spread(tiles(shape, side, 0), 4 * _MOST_TILES):
            yield before.read(tile.read), after.read(tile.read)


def _spread(work: list[Tile], limit: int) -> list[Tile]:
    """Keep at most so many tiles, evenly over the territory."""
    return work if len(work) <= limit else [work[i] for i in np.linspace(0, len(work) - 1, limit).astype(int)]


def check_adaptations(ws: Workspace, prepared: Prepared, labels_hash: str | None) -> dict[str, Any]:
    """Try every adaptation of a model that was trained elsewhere, unless that is done already from the same inputs.

    Returns:
        `rows`, one a method: `mapped_share` of the territory as changed with the model's own threshold, and with labels the
        F1 on the test blocks and its gain over doing nothing; `accepted` method, `verified`, `calibration` of the territory,
        and a `sentence`.
    """
    key = adaptation_key(ws, prepared, labels_hash)
    path, manifest = ws.assessment / "adaptation.json", ws.manifest(ws.assessment)
    if not manifest.is_current("adaptation", key):
        write_json(path, _checked(ws, prepared, labels_hash is not None))
        manifest.record("adaptation", key, [path])
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _checked(ws: Workspace, prepared: Prepared, has_labels: bool) -> dict[str, Any]:
    from landshift.models.use.bundle import load

    rows, seen = [], {}
    with step("Trying adaptations") as advance:
        for number, method in enumerate(("none", *METHODS), start=1):
            bundle, network = load(ws.model_in_use)
            row: dict[str, Any] = {"method": method, "notes": [], "reason": "", "mapped_share": None}
            try:
                ready = adapted(ws, prepared, bundle, network, method)
                row["notes"] = list(ready.notes)
                row["mapped_share"] = _mapped_share(ws, prepared, bundle, ready)
                if has_labels:
                    seen[method] = predict_held_out(ws, prepared, ready.network, read_masks(ws), ready.mappings)
            except InputError as error:
                row["reason"] = str(error)
            rows.append(row)
            advance(number / (1 + len(METHODS)))
    if not has_labels:
        shares = ", ".join(f"{r['method']} {r['mapped_share']:.1%}" for r in rows if r["mapped_share"] is not None)
        return {
            "rows": rows, "accepted": "none", "verified": False, "calibration": None,
            "sentence": f"Without labels no adaptation can be checked, so none is accepted. Mapped as changed: {shares}.",
        }  # fmt: skip
    return {"rows": rows, **_judged(ws, rows, seen)}


def _mapped_share(ws: Workspace, prepared: Prepared, bundle: "Bundle", ready: Adapted) -> float | None:
    """Return the share of the observed pixels that the model maps as changed with its own threshold."""
    from landshift.models.use.inference import device_of, stream

    config = ws.project.detect
    grid = prepared.plan.grid
    work = _spread(tiles((grid.shape[0], grid.shape[1]), config.core, config.margin_px), _MOST_TILES)
    network = ready.network.to(device_of(config.device)).eval()
    changed = observed = 0
    threshold = config.threshold or bundle.threshold
    for mapped in stream(network, prepared.images, work, bundle.temperatures, mappings=ready.mappings):
        found = mapped.probabilities
        codes = decide(found.change, found.before, found.after, bundle.legend, threshold).change
        changed += int((codes >= CHANGED).sum())
        observed += int((codes != NOT_OBSERVED).sum())
    network.to("cpu")
    return changed / observed if observed else None


def _judged(ws: Workspace, rows: list[dict[str, Any]], seen: dict[str, HeldOut]) -> dict[str, Any]:
    """Compare each method with doing nothing, on the test blocks, after the same calibration on the validation blocks."""
    from landshift.models.use.bundle import describe

    if "none" not in seen:
        raise InputError(f"The model cannot be tried on the labelled pixels as they are: {rows[0]['reason']}")
    bundle = describe(ws.model_in_use)
    blocks = groups_of(ws, read_masks(ws).labels).reshape(-1)
    votes: dict[str, np.ndarray] = {}
    known: dict[str, Any] = {}
    for row in rows:
        if row["method"] not in seen:
            continue
        pixels = seen[row["method"]]
        try:
            calibrated = calibrate(pixels, bundle.legend)
        except InputError as error:
            row["reason"] = str(error)
            continue
        known[row["method"]] = calibrated
        probability, truth = calibrated.cooled.probability, pixels.labels.change
        test = (pixels.role == TEST) & (truth != NOT_LABELLED) & np.isfinite(probability)
        votes[row["method"]] = probability[test] >= calibrated.threshold
        row["f1"] = binary_scores(truth[test], probability[test], calibrated.threshold).f1
        row["calibration_error"] = expected_calibration_error(probability[test], truth[test])
        block = blocks[pixels.position[test]]
        row["gain"] = asdict(f1_gain(truth[test], votes["none"], votes[row["method"]], block, level=_LEVEL))
        if row["method"] == "none":
            own = _at(pixels, bundle.temperatures).probability
            without = binary_scores(truth[test], own[test], bundle.threshold)
            row["own_calibration_f1"] = without.f1
            row["own_calibration_error"] = expected_calibration_error(own[test], truth[test])
            row["calibration_gain"] = asdict(f1_gain(truth[test], own[test] >= bundle.threshold, votes["none"], block))
    if "none" not in known:
        raise InputError(f"The model cannot be calibrated on the labelled pixels as they are: {rows[0]['reason']}")
    helped = [r for r in rows if r["method"] != "none" and _is_proved(r.get("gain"))]
    best = max(helped, key=lambda r: r["gain"]["estimate"], default=None)
    accepted = "none" if best is None else str(best["method"])
    chosen = known[accepted]
    count = rows[0]["gain"]["n"]
    if count < _FEWEST_BLOCKS:
        told = (
            f"The labels lie in {count} test blocks; at least {_FEWEST_BLOCKS} are needed to tell an adaptation that helps "
            f"from chance. None is accepted."
        )
    elif best is None:
        told = "No adaptation raised F1 on the test blocks by more than chance: the images are used as they are."
    else:
        told = (
            f"{accepted} raised F1 on the test blocks by {best['gain']['estimate']:+.3f} ({_LEVEL:.2%} interval "
            f"{best['gain']['low']:+.3f} to {best['gain']['high']:+.3f}): it is accepted."
        )
    # The territory's own calibration goes with an adaptation that was measured with it, or has to prove itself.
    is_better = best is not None or _is_proved(rows[0]["calibration_gain"])
    calibration = {"threshold": chosen.threshold, "temperatures": asdict(chosen.temperatures)} if is_better else None
    return {"accepted": accepted, "verified": count >= _FEWEST_BLOCKS, "sentence": told, "calibration": calibration}


def _is_proved(gain: dict[str, Any] | None) -> bool:
    return gain is not None and gain["low"] is not None and gain["low"] > 0 and gain["n"] >= _FEWEST_BLOCKS


def _at(pixels: HeldOut, temperatures: "Temperatures") -> HeldOut:
    """Return the pixels at the model's own temperatures."""
    change = None if pixels.change is None else cooled(pixels.change, temperatures.change)
    before, after = (None if s is None else cooled_classes(s, temperatures.landuse) for s in (pixels.before, pixels.after))
    return replace(pixels, change=change, before=before, after=after)


def adaptation_in_use(ws: Workspace, prepared: Prepared) -> Adaptation:
    """Return what detect does: what the config asks for, and whether `assess` found on labels that it helps.

    With `auto` it is what was accepted, together with this territory's own temperature and threshold where these are better
    than the model's, and where no limit to the miss rate is asked for.

    Raises:
        InputError: The config says `auto`, and these images and this model were not assessed.
    """
    wanted: str = ws.project.detect.adaptation
    if wanted == "none" or (wanted == "auto" and not ws.uses_other_model):
        return Adaptation("none", True)
    found = current_adaptation(ws, prepared)
    if wanted == "auto":
        if found is None:
            raise InputError(
                "`detect: adaptation: auto` takes what `landshift assess` accepted, and it has not assessed this model on "
                "these images. Run it first, or name a method: none, radiometric, histogram, moments or batch-norm."
            )
        wanted = str(found["accepted"])
    if found is None or not found["verified"] or found["accepted"] != wanted:
        return Adaptation(wanted, wanted == "none")
    calibration = {} if ws.project.calibration.max_miss_rate is not None else found["calibration"] or {}
    return Adaptation(wanted, True, calibration.get("threshold"), calibration.get("temperatures"))


def current_adaptation(ws: Workspace, prepared: Prepared) -> dict[str, Any] | None:
    """Return what `assess` found for these images and this model; None where it did not look at them, or the file changed."""
    manifest = ws.manifest(ws.assessment)
    keys = (adaptation_key(ws, prepared, labels_hash) for labels_hash in (labels_hash_of(ws), None))
    if not any(manifest.is_current("adaptation", key) for key in keys):
        return None
    return dict(json.loads((ws.assessment / "adaptation.json").read_text(encoding="utf-8")))


def adaptation_key(ws: Workspace, prepared: Prepared, labels_hash: str | None) -> str:
    """Return the hash of what a check of adaptations holds for."""
    from landshift.models.use.bundle import MODEL

    model = ws.model_in_use / MODEL
    known = file_hash(model) if model.is_file() else ""
    return value_hash([_FORMAT, prepared.hashes, labels_hash, known, ws.project.detect.threshold])
