"""How steady a map is: what the place of its grid and the margin of its tiles change, and which margin is enough."""

from dataclasses import dataclass

import numpy as np

from landshift.models.network.siamese import Siamese
from landshift.models.use.inference import beyond_edges, predict, reach_back, reach_of
from landshift.pipeline.epochs.matching import PairReader, PairSource
from landshift.pipeline.run.record import Steadiness
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import STRIDE, Window

MARGINS = (32, 64, 96, 128, 192, 256)
"""Pixels that `calibrate_margin` tries."""

MOST_FLIPS_PPM = 100.0
"""Of the pixels of a map: a margin that changes no more of them is enough."""

_SHIFT = 5
"""Pixels by which `measure_steadiness` moves the grid, which is odd."""
_SMALL, _LARGE = 128, 256
"""Sides of what it looks at, where one tile covers the scene and where several do: a small part of the work of the map."""
_FURTHER = 128
"""Pixels that `calibrate_margin` looks beyond the largest margin."""
_PLAIN = Temperatures()


def calibrate_margin(
    network: Siamese,
    pair: PairSource,
    shape: tuple[int, int],
    core: int = 1024,
    threshold: float = 0.5,
    temperatures: Temperatures = _PLAIN,
    phases: int = 1,
) -> tuple[int, dict[int, float]]:
    """Find the smallest margin at which tiles are mapped as in whole-image inference, but for 100 pixels in a million.

    Looks at one chip in the middle of the scene. What a margin changes lies near the edges of a tile, so a chip that is smaller
    than a tile may have as many times more flips. Networks that look at all of what they are given (squeeze and excitation,
    global attention) may find no such margin, and a chip that is not observed has no pixels to compare; the largest margin is
    then the answer.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        shape: Rows and columns of the grid.
        core: Of the tiles, side in pixels, a multiple of 32.
        threshold: Probability from which a pixel counts as changed.
        temperatures: From the bundle.
        phases: As the map is made.

    Returns:
        The margin in pixels, and the flipped pixels in parts per million of the observed ones of the chip for each margin
        tried: a pixel is flipped if its change or the land use of a date is another one.
    """
    side = min(_LARGE, core)
    with pair.open() as reader:
        chip = _Chip(network, reader, _middle(shape, side), threshold=threshold, temperatures=temperatures, phases=phases)
        wanted, seen = chip.decide(MARGINS[-1] + _FURTHER)
        flips: dict[int, float] = {}
        for margin in MARGINS if seen.any() else ():
            flips[margin] = _count_flips(chip.decide(margin)[0], wanted, seen)
            if flips[margin] * side <= MOST_FLIPS_PPM * core:
                return margin, flips
    return MARGINS[-1], flips


def measure_steadiness(
    network: Siamese,
    pair: PairSource,
    shape: tuple[int, int],
    *,
    core: int,
    margin: int,
    threshold: float,
    temperatures: Temperatures,
    phases: int = 1,
) -> Steadiness:
    """Measure on one chip in the middle of the scene how much depends on where the grid begins and where tiles end.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        shape: Rows and columns of the grid.
        core: Of the tiles, side in pixels.
        margin: Of the tiles in pixels.
        threshold: Probability from which a pixel counts as changed.
        temperatures: From the bundle.
        phases: As the map is made.
    """
    several = max(shape) > core
    side = max(min(_LARGE if several else _SMALL, *shape) // STRIDE * STRIDE, STRIDE)
    with pair.open() as reader:
        chip = _Chip(network, reader, _middle(shape, side), threshold=threshold, temperatures=temperatures, phases=phases)
        here, seen = chip.decide(margin)
        if not seen.any():
            return Steadiness(side, phases, margin_flips_ppm=None, shift_flips_ppm=None, shift_iou=None)
        moved = chip.decide(margin, _SHIFT)[0]
        flips = _count_flips(here, chip.decide(2 * margin or STRIDE)[0], seen) if several else None
    # The change is the last; without a change head, it is where the land use differs.
    one, other = ((d[-1] if len(d) != 2 else d[0] != d[1])[seen] > 0 for d in (here, moved))
    either = int((one | other).sum())
    agreement = int((one & other).sum()) / either if either else None
    return Steadiness(
        side, phases, margin_flips_ppm=flips, shift_flips_ppm=_count_flips(here, moved, seen),
        shift_iou=agreement,
    )  # fmt: skip


@dataclass(frozen=True)
class _Chip:
    """A part of a scene that is mapped in several ways."""

    network: Siamese
    reader: PairReader
    window: Window
    threshold: float
    temperatures: Temperatures
    phases: int

    def decide(self, margin: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return (date and change, y, x), what each pixel is, and which ones are observed; the grid begins `shift` earlier."""
        core, before = self.window, margin + shift
        height, width = (n + 2 * margin + -(-shift // STRIDE) * STRIDE for n in (core.height, core.width))
        read = reach_back(Window(core.y - before, core.x - before, height, width), reach_of(self.phases))
        found = self.reader.read(read, self.network.spec.priors)
        shown = beyond_edges(found, read, self.reader.shape)
        inner = Window(before, before, core.height, core.width)
        parts = predict(self.network, found, self.temperatures, shown=shown, phases=self.phases, part=inner)
        dates = [p for p in (parts.before, parts.after) if p is not None]
        decided = [p.argmax(axis=0) for p in dates] + ([] if parts.change is None else [parts.change >= self.threshold])
        return np.stack(decided), np.isfinite(dates[0][0] if parts.change is None else parts.change)


def _middle(shape: tuple[int, int], side: int) -> Window:
    y, x = (max((n - side) // 2, 0) // STRIDE * STRIDE for n in shape)
    return Window(y, x, side, side)


def _count_flips(decided: np.ndarray, wanted: np.ndarray, seen: np.ndarray) -> float:
    """Return the parts per million of the observed pixels that are decided otherwise."""
    return float((decided != wanted)[:, seen].any(axis=0).mean() * 1e6)
