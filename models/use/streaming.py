"""Streamed inference: a reader for each date, the model, and a writer work at the same time, tile by tile."""

import ctypes
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from landshift.models.network.siamese import Siamese
from landshift.models.use.inference import DecisionRule, Probabilities, TileRequest, predict_tile, reach_back, reach_of
from landshift.models.use.upload import StagedWindow, stage
from landshift.pipeline.change.decision import Decision
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.raster.images import StoredWindow
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import Tile, Window

_ARENA_MAX = -8
"""Number of that setting in GNU's malloc.h."""
_MOST_THREADS = 4
"""That read a date, and that write."""


@dataclass(frozen=True)
class MappedTile:
    """A tile that went through the network; everything of its core."""

    tile: Tile
    """Where."""
    images: tuple[StoredWindow, StoredWindow]
    """Both dates as their files hold them, before any radiometry."""
    probabilities: Probabilities
    """Of its core; where a rule decided on the device, only the embedding is there."""
    decision: Decision | None
    """By the rule, its probability as `probability_codes`; None where no rule was given."""
    seconds: float
    """That the model alone took."""


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

    What is read goes to the device as numbers of the files; scale, mask, radiometry and priors are computed there. A GPU works
    on two tiles, each in a stream of its own: one is copied or decided while the other goes through the network.

    Memory does not grow with the scene: a tile is in flight for each thread of a date, and those in the model.

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
    device, threads = next(network.parameters()).device, threads_here()
    at_once, request = streams_of(device), TileRequest(temperatures, mixed, embed_block, phases, rule=rule)
    _tidy_memory()
    with ExitStack() as stack:
        # Entered first, so left last: no file is closed while its thread still reads.
        reader = stack.enter_context(pair.open())
        pools = [stack.enter_context(ThreadPoolExecutor(threads, f"reader-{name}")) for name in ("before", "after")]
        models = stack.enter_context(ThreadPoolExecutor(at_once, "model", _begin_stream, (device,))) if at_once > 1 else None

        def read(date: int, window: Window) -> StagedWindow:
            return stage(reader.read_stored(date, window), device)

        def map_tile(tile: Tile, wide: Window, reads: list[Future[StagedWindow]]) -> MappedTile:
            dates = [future.result() for future in reads]
            # The caller keeps the future, and with it what was read.
            reads.clear()
            started = time.perf_counter()
            found, decision = predict_tile(network, reader, tile, dates, request=request)
            core = tile.core.within(wide)
            images = dates[0].stored.crop(core), dates[1].stored.crop(core)
            return MappedTile(tile, images, found, decision=decision, seconds=time.perf_counter() - started)

        begun: deque[tuple[Callable[[], MappedTile], list[Future[Any]]]] = deque()
        try:
            for tile in tiles:
                wide = reach_back(tile.read, reach_of(phases))
                reads = [pool.submit(read, date, wide) for date, pool in enumerate(pools)]
                work = partial(map_tile, tile, wide, reads)
                made = None if models is None else models.submit(work)
                begun.append((work if made is None else made.result, [*reads, *([] if made is None else [made])]))
                del reads, work, made
                if len(begun) >= threads + at_once:
                    yield begun.popleft()[0]()
            while begun:
                yield begun.popleft()[0]()
        finally:
            for _, futures in begun:
                for future in futures:
                    future.cancel()


def _tidy_memory() -> None:
    """Give back what earlier steps have freed, and let threads share what they will free.

    The C library keeps both for later, apart for each thread: as much as a tile takes, several times.
    """
    library = ctypes.CDLL(None)
    # GNU's C library alone has these.
    if hasattr(library, "malloc_trim") and hasattr(library, "mallopt"):
        library.mallopt(_ARENA_MAX, 2)
        library.malloc_trim(0)


def streams_of(device: torch.device) -> int:
    """Return how many tiles a device works on at once: two on a GPU, which else waits while codes come back."""
    return 2 if device.type == "cuda" else 1


def _begin_stream(device: torch.device) -> None:
    """Give this thread a stream of its own, which sees the network as it is now."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


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
            # Nothing of a tile that is written stays here while the next one is made.
            del item
            while len(waiting) > threads:
                yield _take_written(waiting)
        while waiting:
            yield _take_written(waiting)


def _take_written(waiting: deque[tuple[MappedTile, Future[None]]]) -> MappedTile:
    """Return the first of the tiles once it is written."""
    done, future = waiting.popleft()
    future.result()
    return done
