"""Adapting: bring a model that was trained elsewhere to this territory, and accept only what helps on its labels."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.judging import HeldOut, calibrate, predict_held_out
from flows.labelling import TEST, labels_hash_of, read_masks
from flows.prepare import Prepared, plan
from flows.progress import step
from flows.ranking import groups_of
from flows.workspace import Workspace
from pipeline.accuracy import binary_scores
from pipeline.calibration import cooled
from pipeline.change import decide
from pipeline.errors import InputError
from pipeline.evidence import f1_gain
from pipeline.legend import CHANGED, NOT_LABELLED, NOT_OBSERVED
from pipeline.manifest import file_hash, value_hash, write_json
from pipeline.radiometry import BandMapping, fit_histogram, fit_moments, fit_radiometric
from pipeline.raster import RasterReader
from pipeline.reliability import expected_calibration_error
from pipeline.statistics import sampled_pixels
from pipeline.tiles import STRIDE, Tile, tiles

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.network import ChangeNetwork

METHODS = ("radiometric", "histogram", "moments", "batch-norm")
"""Ways to adapt, beside doing nothing."""

_FORMAT = 2
_PRIOR_WINDOWS = 16.0
"""Windows that the source's BatchNorm statistics count for: the middle of the range that Schneider 2020 found to work."""
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
    before, after = (sampled_pixels(image) for image in prepared.images)
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
    from models.adaptation import adapt_batch_norm

    done = adapt_batch_norm(network, _windows(ws, prepared), prior=_PRIOR_WINDOWS)
    return Adapted(network, (None, None), done.notes)


def _paired_sample(prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Draw the same pixels of both dates: those observed on both."""
    from pipeline.classical import sample_pixels

    readers = [RasterReader(path) for path in prepared.images]
    shape = (readers[0].info.shape[0], readers[0].info.shape[1])
    work = tiles(shape, 512, 0)
    each = max(400_000 // len(work), 1)
    parts = [sample_pixels(readers[0].read(t.core), readers[1].read(t.core), each) for t in work]
    for reader in readers:
        reader.close()
    before, after = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    return before, after


def _windows(ws: Workspace, prepared: Prepared) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    readers = [RasterReader(path) for path in prepared.images]
    shape = (readers[0].info.shape[0], readers[0].info.shape[1])
    side = _WINDOW
    # A small territory is cut finer, or its few windows would count for nothing beside the source's.
    while side > STRIDE and len(tiles(shape, side, 0)) < _PRIOR_WINDOWS:
        side //= 2
    for tile in _spread(tiles(shape, side, 0), 4 * _MOST_TILES):
        yield readers[0].read(tile.read), readers[1].read(tile.read)
    for reader in readers:
        reader.close()


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
    from models.bundle import MODEL

    key = value_hash([_FORMAT, prepared.hashes, labels_hash, file_hash(ws.model_in_use / MODEL), ws.project.detect.threshold])
    path, manifest = ws.assessment / "adaptation.json", ws.manifest(ws.assessment)
    if not manifest.is_current("adaptation", key):
        content = {"key": key, **_checked(ws, prepared, labels_hash is not None)}
        write_json(path, content)
        manifest.record("adaptation", key, [path])
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _checked(ws: Workspace, prepared: Prepared, has_labels: bool) -> dict[str, Any]:
    from models.bundle import load

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
    from models.inference import device_of, stream

    config = ws.project.detect
    grid = plan(ws).grid
    work = _spread(tiles((grid.shape[0], grid.shape[1]), config.core, config.margin_px), _MOST_TILES)
    network = ready.network.to(device_of(config.device)).eval()
    changed = observed = 0
    threshold = config.threshold or bundle.threshold
    for _, said in stream(network, prepared.images, work, bundle.temperatures, mappings=ready.mappings):
        codes = decide(said.change, said.before, said.after, bundle.legend, threshold).change
        changed += int((codes >= CHANGED).sum())
        observed += int((codes != NOT_OBSERVED).sum())
    network.to("cpu")
    return changed / observed if observed else None


def _judged(ws: Workspace, rows: list[dict[str, Any]], seen: dict[str, HeldOut]) -> dict[str, Any]:
    """Compare each method with doing nothing, on the test blocks, after the same calibration on the validation blocks."""
    from models.bundle import describe

    if "none" not in seen:
        raise InputError(f"The model cannot be tried on the labelled pixels as they are: {rows[0]['reason']}")
    bundle = describe(ws.model_in_use)
    labels, _ = read_masks(ws)
    blocks = groups_of(ws, labels).reshape(-1)
    votes: dict[str, np.ndarray] = {}
    known: dict[str, Any] = {}
    for row in rows:
        if row["method"] not in seen:
            continue
        pixels = seen[row["method"]]
        calibrated = calibrate(pixels, bundle.legend)
        known[row["method"]] = calibrated
        probability, truth = calibrated.cooled.probability, pixels.labels.change
        test = (pixels.role == TEST) & (truth != NOT_LABELLED) & np.isfinite(probability)
        votes[row["method"]] = probability[test] >= calibrated.threshold
        row["f1"] = binary_scores(truth[test], probability[test], calibrated.threshold).f1
        row["calibration_error"] = expected_calibration_error(probability[test], truth[test])
        gain = f1_gain(truth[test], votes["none"], votes[row["method"]], blocks[pixels.position[test]])
        row["gain"] = asdict(gain)
        if row["method"] == "none":
            own = cooled(pixels.probability, bundle.temperatures.change) if pixels.change is not None else pixels.probability
            without = binary_scores(truth[test], own[test], bundle.threshold)
            row["own_calibration_f1"] = without.f1
            row["own_calibration_error"] = expected_calibration_error(own[test], truth[test])
            threshold_gain = f1_gain(truth[test], own[test] >= bundle.threshold, votes["none"], blocks[pixels.position[test]])
            row["calibration_gain"] = asdict(threshold_gain)
    helped = [r for r in rows if r["method"] != "none" and r.get("gain", {}).get("low") is not None and r["gain"]["low"] > 0]
    best = max(helped, key=lambda r: r["gain"]["estimate"], default=None)
    accepted = "none" if best is None else str(best["method"])
    chosen = known[accepted]
    told = (
        "No adaptation raised F1 on the test blocks by more than chance: the images are used as they are."
        if best is None
        else f"{accepted} raised F1 on the test blocks by {best['gain']['estimate']:+.3f} (95 % interval "
        f"{best['gain']['low']:+.3f} to {best['gain']['high']:+.3f}): it is accepted."
    )
    return {
        "accepted": accepted, "verified": True, "sentence": told,
        "calibration": {"threshold": chosen.threshold, "temperatures": asdict(chosen.temperatures)},
    }  # fmt: skip


def adaptation_in_use(ws: Workspace, prepared: Prepared) -> Adaptation:
    """Return what detect does: what the config asks for, and whether `assess` found on labels that it helps.

    With `auto` it is what was accepted, together with this territory's own temperature and threshold.

    Raises:
        InputError: The config says `auto`, and these images and this model were not assessed.
    """
    wanted = ws.project.detect.adaptation
    if wanted == "none":
        return Adaptation("none", True)
    found = current_adaptation(ws, prepared)
    if wanted == "auto":
        if found is None:
            raise InputError(
                "`detect: adaptation: auto` takes what `landshift assess` accepted, and it has not assessed this model on "
                "these images. Run it first, or name a method: none, radiometric, histogram, moments or batch-norm."
            )
        calibration = found["calibration"] or {}
        return Adaptation(found["accepted"], found["verified"], calibration.get("threshold"), calibration.get("temperatures"))
    return Adaptation(wanted, found is not None and found["verified"] and found["accepted"] == wanted)


def current_adaptation(ws: Workspace, prepared: Prepared) -> dict[str, Any] | None:
    """Return what `assess` found for these images and this model; None where it did not look at them."""
    from models.bundle import MODEL

    path = ws.assessment / "adaptation.json"
    if not path.is_file():
        return None
    content = dict(json.loads(path.read_text(encoding="utf-8")))
    model = file_hash(ws.model_in_use / MODEL)
    for labels_hash in (labels_hash_of(ws), None):
        if content["key"] == value_hash([_FORMAT, prepared.hashes, labels_hash, model, ws.project.detect.threshold]):
            return content
    return None
