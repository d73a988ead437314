"""Streamed inference: a reader for each date, the model, and a writer work at the same time, tile by tile."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landshift.models.network.siamese import Output, Siamese
from landshift.models.transfer.blocks import block_means
from landshift.pipeline.change.decision import Array, Decision, decide, probability_codes
from landshift.pipeline.epochs.matching import PairSource, PairWindow
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import Tile, Window, mirror

_MOST_THREADS = 4
"""That read a date, and that write."""

PHASES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    4: ((0, 0), (1, 2), (2, 3), (3, 1)),
    16: tuple((y, x) for y in range(4) for x in range(4)),
}
"""Shifts (rows, columns) of the network's sampling grid whose logits are averaged. What a pixel's place changes comes from the
steps of 2 and 4 pixels: four shifts meet each row and each column of 4 once, sixteen meet each place of 4 x 4."""
_REACH = 3
"""Largest of the shifts."""


@dataclass(frozen=True)
class Probabilities:
    """Calibrated probabilities of the core of a tile; NaN where a date was not observed."""

    change: Array | None
    """float32 (y, x), None without a change head; a tensor while it is on the device."""
    before: Array | None
    """float32 (class, y, x), None without land-use heads."""
    after: Array | None
    """float32 (class, y, x), None without land-use heads."""
    embedding: np.ndarray | None = None
    """float32 (channel, block row, block column): means of the features of both dates over blocks of the core, NaN where
    nothing was observed; None where it was not asked for."""


@dataclass(frozen=True)
class DecisionRule:
    """What turns probabilities into codes."""

    legend: Legend
    """The project's."""
    threshold: float
    """Probability from which on a pixel counts as changed, 0..1."""


@dataclass(frozen=True)
class MappedTile:
    """A tile that went through the network; everything of its core."""

    tile: Tile
    """Where."""
    images: tuple[np.ndarray, np.ndarray]
    """float32 (band, y, x) as the dates were read, before any radiometry, NaN = not observed."""
    probabilities: Probabilities
    """Of its core; where a rule decided on the device, only the embedding is there."""
    decision: Decision | None
    """By the rule, its probability as `probability_codes`; None where no rule was given."""
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
        raise InputError(f"`detect: device: {wanted}` is not known; set it to auto, cpu or cuda.") from error
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise InputError(
            f"`detect: device: {wanted}` is wanted, and PyTorch finds no such GPU here: set `detect: device: auto` or `cpu`, "
            "or install a PyTorch with CUDA and the GPU's driver."
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
    phases: int = 1,
) -> Probabilities:
    """Predict one window, whole.

    Several phases are averaged as logits, so that a temperature means the same for the mean as for one of them. Where a shifted
    grid does not reach, in the last three rows and columns, the others alone count.

    Args:
        network: In evaluation mode, on its device.
        window: Sides multiples of 32, NaN in any band = not observed, with the priors that the network takes. With more than
            one phase it has three rows and columns more, the first ones, which are read and not predicted.
        temperatures: From the bundle.
        mixed: Use bfloat16 where it is safe (on a GPU only).
        embed: Side of the blocks to embed and margin around them, in pixels, multiples of 32; None embeds nothing.
        shown: What the network is given instead, of the same shape: the map mirrored beyond its edges.
        phases: A key of `PHASES`.
    """
    return _on_host(_predict(network, window, temperatures, mixed=mixed, embed=embed, shown=shown, phases=phases))


def _predict(
    network: Siamese, window: PairWindow, temperatures: Temperatures, *, mixed: bool, embed: tuple[int, int] | None,
    shown: PairWindow | None, phases: int, part: Window | None = None,
) -> Probabilities:  # fmt: skip
    """Predict as `predict` does, and leave the probabilities, of a part of the window where one is named, on the device."""
    device = next(network.parameters()).device
    reach = reach_of(phases)
    # The sum is finite where every band is.
    unseen = ~np.isfinite(window.before.sum(axis=0) + window.after.sum(axis=0))[reach:, reach:]
    given = shown or window
    output, embedding, count = Output(None, None, None), None, torch.zeros((1, *unseen.shape), device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed and device.type == "cuda"):
        for shift in PHASES[phases]:
            seen = given.crop(Window(reach - shift[0], reach - shift[1], *unseen.shape))
            features = [network.encode(torch.from_numpy(image)[None].to(device)) for image in (seen.before, seen.after)]
            if shift == (0, 0) and embed is not None:
                embedding = block_means(features, ~unseen, *embed)
            priors = None if seen.priors is None else torch.from_numpy(seen.priors)[None].to(device)
            found = network.decode(features[0], features[1], priors)
            if phases == 1:
                output = found
                continue
            output = Output(
                _add(output.change, found.change, shift), _add(output.before, found.before, shift),
                _add(output.after, found.after, shift),
            )  # fmt: skip
            _add(count, torch.ones_like(count), shift)
    if phases > 1:
        output = Output(*(None if total is None else total / count for total in (output.change, output.before, output.after)))
    if part is not None:
        rows, columns = part.slices
        parts = (output.change, output.before, output.after)
        output = Output(*(None if logits is None else logits[..., rows, columns] for logits in parts))
        unseen = unseen[rows, columns]
    return _probabilities(output, unseen, temperatures, embedding)


def reach_of(phases: int) -> int:
    """Return how many rows and columns a window needs before its first ones."""
    return _REACH if phases > 1 else 0


def _add(total: Tensor | None, part: Tensor | None, shift: tuple[int, int]) -> Tensor | None:
    """Add the logits (..., y, x) of a shifted grid to the sum of others, where both are known; the first is not shifted."""
    if total is None or part is None:
        return None if part is None else part.float()
    y, x = (n - s for n, s in zip(part.shape[-2:], shift, strict=True))
    total[..., :y, :x] += part[..., shift[0] :, shift[1] :]
    return total


def _probabilities(
    output: Output, unseen: np.ndarray, temperatures: Temperatures, embedding: np.ndarray | None
) -> Probabilities:
    hidden = torch.from_numpy(unseen) if unseen.any() else None
    change = None
    if output.change is not None:
        change = _hide(torch.sigmoid(_cool(output.change[0], temperatures.change)), hidden)
    dates = [
        None if logits is None else _hide(torch.softmax(_cool(logits[0], temperatures.landuse), dim=0), hidden)
        for logits in (output.before, output.after)
    ]
    return Probabilities(change, dates[0], dates[1], embedding)


def _cool(logits: Tensor, temperature: float) -> Tensor:
    return logits.float() if temperature == 1 else logits.float() / temperature


def _hide(share: Tensor, unseen: Tensor | None) -> Tensor:
    return share if unseen is None else share.masked_fill_(unseen.to(share.device), torch.nan)


def _on_host(found: Probabilities) -> Probabilities:
    # Copies: a view would keep the whole window.
    parts = [None if part is None else part.cpu().numpy().copy() for part in (found.change, found.before, found.after)]
    return Probabilities(parts[0], parts[1], parts[2], found.embedding)


def crop(whole: Probabilities, core: Window) -> Probabilities:
    """Return the part of a window, counted from its first pixel; an embedding stays as it is."""
    rows, columns = core.slices
    parts = [None if a is None else a[..., rows, columns] for a in (whole.change, whole.before, whole.after)]
    return Probabilities(parts[0], parts[1], parts[2], whole.embedding)


def _decide(found: Probabilities, rule: DecisionRule) -> Decision:
    """Decide on the device: a byte a pixel and layer comes back."""
    made = decide(found.change, found.before, found.after, rule.legend, threshold=rule.threshold)
    layers = (made.change, made.before, made.after, probability_codes(made.change_probability))
    change, before, after, probability = (None if layer is None else layer.cpu().numpy() for layer in layers)
    return Decision(change, before, after, probability)


@torch.inference_mode()
def stream(
    network: Siamese,
    pair: PairSource,
    tiles: Sequence[Tile],
    temperatures: Temperatures,
    *,
    mixed: bool = False,
    embed_block: int | None = None,
    phases: int = 1,
    rule: DecisionRule | None = None,
) -> Iterator[MappedTile]:
    """Predict tile by tile; threads of each date read ahead while the model works.

    Memory does not grow with the scene: a tile is in flight for each thread of a date, and the one in the model.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        tiles: What to predict, in order.
        temperatures: From the bundle.
        mixed: Use bfloat16 where it is safe (on a GPU only).
        embed_block: Side in pixels, a multiple of 32, of the blocks whose features are wanted too; None wants none.
        phases: Shifts of the sampling grid that are averaged, a key of `PHASES`; each costs as much as the first.
        rule: What decides on the device; None: the probabilities come back.

    Yields:
        Each tile, in order.
    """
    reach, threads = reach_of(phases), threads_here()
    with ExitStack() as stack:
        # Entered first, so left last: no file is closed while its thread still reads.
        reader = stack.enter_context(pair.open())
        pools = [stack.enter_context(ThreadPoolExecutor(threads, f"reader-{name}")) for name in ("before", "after")]
        waiting: deque[tuple[Tile, Window, list[Future[tuple[np.ndarray, np.ndarray]]]]] = deque()
        todo = iter(tiles)

        def read_next() -> None:
            tile = next(todo, None)
            if tile is not None:
                wide = reach_back(tile.read, reach)
                waiting.append((tile, wide, [p.submit(reader.read_both, date, wide) for date, p in enumerate(pools)]))

        for _ in range(threads):
            read_next()
        try:
            while waiting:
                tile, wide, futures = waiting.popleft()
                (first, before), (second, after) = (f.result() for f in futures)
                read_next()
                started = time.perf_counter()
                embed = None if embed_block is None else (embed_block, tile.core.y - tile.read.y)
                window = reader.combine(before, after, network.spec.priors)
                found, decision = _predict(
                    network, window, temperatures, mixed=mixed, embed=embed, shown=beyond_edges(window, wide, reader.shape),
                    phases=phases, part=tile.core.within(tile.read),
                ), None  # fmt: skip
                if rule is not None:
                    decision, found = _decide(found, rule), Probabilities(None, None, None, found.embedding)
                seconds = time.perf_counter() - started
                at = (slice(None), *tile.core.within(wide).slices)
                done = MappedTile(tile, (first[at], second[at]), _on_host(found), decision=decision, seconds=seconds)
                # Nothing of a tile stays here while the next one is read.
                del first, second, before, after, window, found, decision
                yield done
                del done
        finally:
            for _, _, futures in waiting:
                for future in futures:
                    future.cancel()


def reach_back(window: Window, reach: int) -> Window:
    """Return a window with so many rows and columns more before its first ones."""
    return Window(window.y - reach, window.x - reach, window.height + reach, window.width + reach)


def beyond_edges(found: PairWindow, window: Window, shape: tuple[int, int]) -> PairWindow:
    """Continue what was read of a window beyond the edges of its map as a mirror image."""
    before, after = (mirror(part, window, shape) for part in (found.before, found.after))
    return PairWindow(before, after, None if found.priors is None else mirror(found.priors, window, shape))


def threads_here() -> int:
    """Return how many threads should read each date, and how many write: more where PyTorch has many cores to itself."""
    return max(1, min(_MOST_THREADS, torch.get_num_threads() // 4))


def write_behind(mapped: Iterable[MappedTile], write: Callable[[MappedTile], None], threads: int = 1) -> Iterator[MappedTile]:
    """Hand each tile to a writer thread, one waiting for each of them, and yield it, in order, once it is written.

    Args:
        mapped: The tiles.
        write: Called in one of the threads; has to be safe in several where there are.
        threads: That write.

    Raises:
        Exception: Whatever the writer raised, as soon as it is noticed.
    """
    with ThreadPoolExecutor(threads, "writer") as pool:
        waiting: deque[tuple[MappedTile, Future[None]]] = deque()
        for item in mapped:
            waiting.append((item, pool.submit(write, item)))
            while len(waiting) > threads:
                done, future = waiting.popleft()
                future.result()
                yield done
        for done, future in waiting:
            future.result()
            yield done
