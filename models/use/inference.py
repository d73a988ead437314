"""Streamed inference: a reader for each date, the model, and a writer work at the same time, tile by tile."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from landshift.models.network.siamese import Output, Siamese
from landshift.models.transfer.blocks import block_means
from landshift.pipeline.epochs.matching import PairSource, PairWindow
from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import STRIDE, Tile, Window, mirror

_AHEAD = 2
"""Tiles read before they are needed: enough to hide the reading, few enough to keep memory flat."""

MARGINS = (32, 64, 96, 128, 192, 256)
"""Pixels that `calibrate_margin` tries."""


_PLAIN = Temperatures()


@dataclass(frozen=True)
class Probabilities:
    """Calibrated probabilities of the core of a tile; NaN where a date was not observed."""

    change: np.ndarray | None
    """float32 (y, x), None without a change head."""
    before: np.ndarray | None
    """float32 (class, y, x), None without land-use heads."""
    after: np.ndarray | None
    """float32 (class, y, x), None without land-use heads."""
    embedding: np.ndarray | None = None
    """float32 (channel, block row, block column): means of the features of both dates over blocks of the core, NaN where
    nothing was observed; None where it was not asked for."""


@dataclass(frozen=True)
class MappedTile:
    """A tile that went through the network."""

    tile: Tile
    """Where."""
    probabilities: Probabilities
    """Of its core."""
    seconds: float
    """That the model alone took."""


def device_of(wanted: str = "auto") -> torch.device:
    """Return the device to work on: `auto` takes a GPU where there is one.

    Raises:
        InputError: A GPU is wanted that PyTorch does not find, or the name is not known.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise InputError(f"`device: {wanted}` is not known; set it to auto, cpu or cuda.") from error
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise InputError(
            f"`device: {wanted}` is wanted, and PyTorch finds no such GPU here: set `device: auto` or `device: cpu`, or "
            "install a PyTorch with CUDA and the GPU's driver."
        )
    return device


@torch.inference_mode()
def predict(
    network: Siamese,
    window: PairWindow,
    temperatures: Temperatures,
    *,
    mixed: bool = False,
    embed: tuple[int, int] | None = None,
    shown: PairWindow | None = None,
) -> Probabilities:
    """Predict one window, whole.

    Args:
        network: In evaluation mode, on its device.
        window: Sides multiples of 32, NaN in any band = not observed, with the priors that the network takes.
        temperatures: From the bundle.
        mixed: Use bfloat16 where it is safe (on a GPU only).
        embed: Side of the blocks to embed and margin around them, in pixels, multiples of 32; None embeds nothing.
        shown: What the network is given instead, of the same shape: the map mirrored beyond its edges.
    """
    device = next(network.parameters()).device
    unseen = ~(np.isfinite(window.before).all(axis=0) & np.isfinite(window.after).all(axis=0))
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed and device.type == "cuda"):
        given = shown or window
        features = [network.encode(torch.from_numpy(image)[None].to(device)) for image in (given.before, given.after)]
        priors = None if given.priors is None else torch.from_numpy(given.priors)[None].to(device)
        output = network.decode(features[0], features[1], priors)
    embedding = None if embed is None else block_means(features, ~unseen, *embed)
    return _probabilities(output, unseen, temperatures, embedding)


def _probabilities(
    output: Output, unseen: np.ndarray, temperatures: Temperatures, embedding: np.ndarray | None
) -> Probabilities:
    change = None
    if output.change is not None:
        change = torch.sigmoid(output.change[0].float() / temperatures.change).cpu().numpy()
        change[unseen] = np.nan
    dates: list[np.ndarray | None] = []
    for logits in (output.before, output.after):
        if logits is None:
            dates.append(None)
            continue
        share = torch.softmax(logits[0].float() / temperatures.landuse, dim=0).cpu().numpy()
        share[:, unseen] = np.nan
        dates.append(share)
    return Probabilities(change, dates[0], dates[1], embedding)


def _crop(whole: Probabilities, core: Window) -> Probabilities:
    rows, columns = core.slices
    parts = [
        None if a is None else np.ascontiguousarray(a[..., rows, columns]) for a in (whole.change, whole.before, whole.after)
    ]
    return Probabilities(parts[0], parts[1], parts[2], whole.embedding)


def stream(
    network: Siamese,
    pair: PairSource,
    tiles: Sequence[Tile],
    temperatures: Temperatures,
    *,
    mixed: bool = False,
    embed_block: int | None = None,
) -> Iterator[MappedTile]:
    """Predict tile by tile; one thread a date reads ahead while the model works.

    Memory does not grow with the scene: at most a few tiles are in flight.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        tiles: What to predict, in order.
        temperatures: From the bundle.
        mixed: Use bfloat16 where it is safe (on a GPU only).
        embed_block: Side in pixels, a multiple of 32, of the blocks whose features are wanted too; None wants none.

    Yields:
        Each tile, in order.
    """
    with ExitStack() as stack:
        # Entered first, so left last: no file is closed while its thread still reads.
        reader = stack.enter_context(pair.open())
        pools = [stack.enter_context(ThreadPoolExecutor(1, f"reader-{name}")) for name in ("before", "after")]
        waiting: deque[tuple[Tile, list[Future[np.ndarray]]]] = deque()
        todo = iter(tiles)

        def read_next() -> None:
            tile = next(todo, None)
            if tile is not None:
                waiting.append((tile, [p.submit(reader.read_date, date, tile.read) for date, p in enumerate(pools)]))

        for _ in range(_AHEAD):
            read_next()
        try:
            while waiting:
                tile, futures = waiting.popleft()
                before, after = (f.result() for f in futures)
                read_next()
                started = time.perf_counter()
                embed = None if embed_block is None else (embed_block, tile.core.y - tile.read.y)
                window = reader.combine(before, after, network.spec.priors)
                shown = _beyond_edges(window, tile.read, reader.shape)
                whole = predict(network, window, temperatures, mixed=mixed, embed=embed, shown=shown)
                seconds = time.perf_counter() - started
                yield MappedTile(tile, _crop(whole, tile.core.within(tile.read)), seconds)
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()


def _beyond_edges(found: PairWindow, window: Window, shape: tuple[int, int]) -> PairWindow:
    before, after = (mirror(part, window, shape) for part in (found.before, found.after))
    return PairWindow(before, after, None if found.priors is None else mirror(found.priors, window, shape))


def write_behind(mapped: Iterable[MappedTile], write: Callable[[Tile, Probabilities], None]) -> Iterator[MappedTile]:
    """Hand each tile to one writer thread, at most two waiting, and yield it once it is written.

    Raises:
        Exception: Whatever the writer raised, as soon as it is noticed.
    """
    with ThreadPoolExecutor(1, "writer") as pool:
        waiting: deque[tuple[MappedTile, Future[None]]] = deque()
        for item in mapped:
            waiting.append((item, pool.submit(write, item.tile, item.probabilities)))
            while len(waiting) > _AHEAD:
                done, future = waiting.popleft()
                future.result()
                yield done
        for done, future in waiting:
            future.result()
            yield done


def calibrate_margin(
    network: Siamese,
    pair: PairSource,
    shape: tuple[int, int],
    core: int = 256,
    threshold: float = 0.5,
    temperatures: Temperatures = _PLAIN,
) -> tuple[int, dict[int, float]]:
    """Find the smallest margin at which a crop is mapped as in whole-image inference.

    Looks at one chip in the middle of the scene. Networks with global pooling (squeeze and excitation) may find none, and
    a chip that is not observed has no pixels to compare; the largest margin is then the answer.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        shape: Rows and columns of the grid.
        core: Side of the compared core in pixels, a multiple of 32.
        threshold: Probability from which a pixel counts as changed.
        temperatures: From the bundle.

    Returns:
        The margin in pixels, and the flipped pixels in parts per million of the observed ones for each margin tried: a
        pixel is flipped if its change or the land use of a date is another one.
    """
    y, x = (max((n - core) // 2, 0) // STRIDE * STRIDE for n in shape)
    with pair.open() as reader:

        def decide(margin: int) -> tuple[np.ndarray, np.ndarray]:
            window = Window(y - margin, x - margin, core + 2 * margin, core + 2 * margin)
            found = reader.read(window, network.spec.priors)
            shown = _beyond_edges(found, window, shape)
            whole = predict(network, found, temperatures, shown=shown)
            parts = _crop(whole, Window(margin, margin, core, core))
            dates = [p for p in (parts.before, parts.after) if p is not None]
            decided = [p.argmax(axis=0) for p in dates] + ([] if parts.change is None else [parts.change >= threshold])
            seen = np.isfinite(dates[0][0] if parts.change is None else parts.change)
            return np.stack(decided), seen

        wanted, seen = decide(2 * MARGINS[-1])
        flips: dict[int, float] = {}
        for margin in MARGINS if seen.any() else ():
            flips[margin] = float((decide(margin)[0] != wanted)[:, seen].any(axis=0).mean() * 1e6)
            if flips[margin] == 0:
                return margin, flips
    return MARGINS[-1], flips
