"""Pixels of a pair as rows of values: labelled ones, and unlabelled ones of which IR-MAD is sure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from landshift.models.estimators.model import PixelModel
from landshift.models.estimators.values import Fields
from landshift.models.network.samples import Masks
from landshift.pipeline.epochs.classical import otsu_threshold
from landshift.pipeline.epochs.matching import PairReader, PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.tiles import Tile, mirror, tiles

MOST_PIXELS = 20_000
"""Labelled pixels of a split that are used, drawn at random beyond."""

PRIOR_PIXELS = 1000
"""Unlabelled pixels that are added, of those of which IR-MAD is sure."""

_LOOKED_AT = 1500
"""Unlabelled pixels that are drawn; IR-MAD is sure of most."""

_UNSURE = 0.25
"""Nearer to Otsu's threshold than this, in the logarithm of the statistic's root, IR-MAD is not sure."""

_TILE, _MARGIN = 256, 32
_MOST_OTHERS = 16
"""Tiles without a label that unlabelled pixels are drawn from, at most."""

_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Rows:
    """Pixels with a class."""

    values: np.ndarray
    """float32 (n, value)."""
    labels: np.ndarray
    """int64 (n,): indices of classes."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Unlabelled pixels with the answer of IR-MAD."""

    rows: Rows
    """Those of which it is sure."""
    threshold: float
    """Otsu's, of the root of the statistic by its degrees of freedom."""


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """Pixels of a territory, for the estimators of a model."""

    training: dict[str, Rows]
    """`change` and `landuse`, as far as the model has them and something is labelled."""
    validation: dict[str, Rows]
    """As `training`."""
    prior: Prior | None
    """None where the model is not given the statistic, or where all pixels are alike in it."""
    answers: np.ndarray
    """int8 (n,): IR-MAD's answer for the pixels of `training["change"]`: 1 = changed, -1 = unchanged, 0 = not sure, or there is
    no prior."""


@torch.inference_mode()
def draw_rows(
    model: PixelModel,
    pair: PairSource,
    masks: tuple[Masks, Masks],
    *,
    seed: int = 0,
    device: torch.device,
    advance: Callable[[float], None] = lambda share: None,
) -> DrawnRows:
    """Collect the values of labelled pixels, and of unlabelled ones with the answer of IR-MAD.

    Args:
        model: Whose values are wanted.
        pair: Both dates, as the model is given them.
        masks: Labels of the training and of the validation split.
        seed: Of the draw.
        device: Where the encoder works.
        advance: Called with the share done, 0..1.

    Raises:
        InputError: The training split has no labelled pixel.
    """
    rng = np.random.default_rng(seed)
    training, validation = (_thin(mask, rng) for mask in masks)
    if not training.labelled.any():
        raise InputError("The training split has no labelled pixel; label more, or lower `split: block_px:`.")
    labelled = np.logical_or(training.labelled, validation.labelled)
    free = ~(masks[0].labelled | masks[1].labelled)
    asked = "ir-mad" in model.spec.priors and model.change is not None
    collected = _Collected()
    model.eval().to(device)
    with pair.open() as reader:
        wanted = _choose_tiles(reader.shape, labelled, others=asked)
        for number, tile in enumerate(wanted):
            seen = _see(model, reader, tile, device)
            for name, fields, layer in seen.layers(training):
                collected.add(f"training {name}", seen, fields, np.flatnonzero(layer != NOT_LABELLED), layer=layer)
            for name, fields, layer in seen.layers(validation):
                collected.add(f"validation {name}", seen, fields, np.flatnonzero(layer != NOT_LABELLED), layer=layer)
            if asked and seen.change is not None:
                inside = seen.observed & free[tile.core.slices]
                chosen = rng.permutation(np.flatnonzero(inside))[: -(-_LOOKED_AT // len(wanted))]
                collected.spread.append(seen.statistic[inside])
                collected.add("unlabelled", seen, seen.change, chosen, layer=np.zeros(inside.shape, dtype=np.uint8))
            advance((number + 1) / len(wanted))
    model.to("cpu")
    return collected.finish(rng)


class _Collected:
    """Rows, tile by tile."""

    def __init__(self) -> None:
        self.spread: list[np.ndarray] = []
        self._parts: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}

    def add(self, name: str, seen: "_Seen", fields: Fields, places: np.ndarray, layer: np.ndarray) -> None:
        places = places[seen.observed.ravel()[places]]
        if places.size:
            part = seen.values(fields, places), layer.ravel()[places].astype(np.int64), seen.statistic.ravel()[places]
            self._parts.setdefault(name, []).append(part)

    def finish(self, rng: np.random.Generator) -> DrawnRows:
        joined = {name: [np.concatenate(p) for p in zip(*parts, strict=True)] for name, parts in self._parts.items()}
        training, validation = (
            {name.removeprefix(f"{split} "): Rows(*of[:2]) for name, of in joined.items() if name.startswith(f"{split} ")}
            for split in ("training", "validation")
        )
        answers = np.zeros(len(training["change"].labels) if "change" in training else 0, dtype=np.int8)
        prior = None
        try:
            threshold = otsu_threshold(np.concatenate(self.spread)) if self.spread and "unlabelled" in joined else None
        except InputError:
            threshold = None  # the same everywhere
        if threshold is not None:
            values, _, statistic = joined["unlabelled"]
            sure = _answers(statistic, threshold)
            kept = rng.permutation(np.flatnonzero(sure))[:PRIOR_PIXELS]
            rows = Rows(values[kept], (sure[kept] > 0).astype(np.int64))
            prior = Prior(rows, threshold) if np.unique(rows.labels).size == 2 else None
            if prior is not None and "change" in training:
                answers = _answers(joined["training change"][2], threshold)
        return DrawnRows(training, validation, prior, answers)


def _answers(statistic: np.ndarray, threshold: float) -> np.ndarray:
    beyond = np.log(np.maximum(statistic, _TINY) / threshold)
    return np.where(np.abs(beyond) > _UNSURE, np.sign(beyond), 0).astype(np.int8)


def _choose_tiles(shape: tuple[int, int], labelled: np.ndarray, *, others: bool) -> list[Tile]:
    """Return the tiles with a label and, where unlabelled pixels are wanted, some of the others."""
    every = tiles(shape, _TILE, _MARGIN)
    has = [bool(labelled[t.core.slices].any()) for t in every]
    rest = [number for number, h in enumerate(has) if not h]
    more = set(rest[:: -(-len(rest) // _MOST_OTHERS) or 1]) if others else set()
    return [t for number, t in enumerate(every) if has[number] or number in more]


def _thin(masks: Masks, rng: np.random.Generator) -> Masks:
    """Leave at most `MOST_PIXELS` labelled pixels, drawn at random."""
    places = np.flatnonzero(masks.labelled)
    if places.size <= MOST_PIXELS:
        return masks
    gone = rng.permutation(places)[MOST_PIXELS:]
    layers = [layer.copy() for layer in (masks.before, masks.after, masks.change)]
    for layer in layers:
        layer.ravel()[gone] = NOT_LABELLED
    return replace(masks, before=layers[0], after=layers[1], change=layers[2])


@dataclass(frozen=True, eq=False)
class _Seen:
    """A tile as a model sees it; arrays are of its core."""

    tile: Tile
    change: Fields | None
    """Of the tile with its margin; None without a change head."""
    dates: tuple[Fields, ...]
    """Before and after; empty without land-use heads."""
    observed: np.ndarray
    """bool (y, x): on both dates."""
    statistic: np.ndarray
    """float32 (y, x): root of the IR-MAD statistic by its degrees of freedom; 0 without it."""

    def values(self, fields: Fields, places: np.ndarray) -> np.ndarray:
        """Return the values of pixels by their places in the core, flat."""
        y, x = np.divmod(places, self.tile.core.width)
        core = self.tile.core.within(self.tile.read)
        device = fields.fine.device
        found = fields.at(torch.from_numpy(y + core.y).to(device), torch.from_numpy(x + core.x).to(device))
        return np.asarray(found.cpu().numpy())

    def layers(self, masks: Masks) -> Iterator[tuple[str, Fields, np.ndarray]]:
        """Yield the name of each estimator, what it sees, and the labels of the core."""
        inside = self.tile.core.slices
        if self.change is not None:
            yield "change", self.change, masks.change[inside]
        for fields, layer in zip(self.dates, (masks.before, masks.after), strict=False):
            yield "landuse", fields, layer[inside]


def _see(model: PixelModel, reader: PairReader, tile: Tile, device: torch.device) -> _Seen:
    window = reader.read(tile.read, model.spec.priors)
    inside = tile.core.within(tile.read).slices
    observed = np.isfinite(window.before).all(axis=0)[inside] & np.isfinite(window.after).all(axis=0)[inside]

    def show(image: np.ndarray) -> Tensor:
        return torch.from_numpy(mirror(image, tile.read, reader.shape))[None].to(device)

    maps = [model.encode(show(image)) for image in (window.before, window.after)]
    priors = None if window.priors is None else show(window.priors)
    statistic = np.zeros(observed.shape, dtype=np.float32)
    if window.priors is not None and "ir-mad" in model.spec.priors:
        # The first of the priors, whose logarithm is undone.
        statistic = np.exp2(window.priors[0][inside]) - 1
    return _Seen(
        tile,
        change=model.pair(maps[0], maps[1], priors)[0] if model.change is not None else None,
        dates=tuple(model.date(m)[0] for m in maps) if model.landuse is not None else (),
        observed=observed, statistic=statistic,
    )  # fmt: skip
