"""Inference on one window: from both dates to probabilities, and to codes, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from landshift.models.network.siamese import Output, Siamese
from landshift.models.transfer.blocks import block_means
from landshift.models.use.upload import StagedWindow, values_of
from landshift.pipeline.change.decision import Decision, decide, probability_codes
from landshift.pipeline.epochs.matching import PairReader, PairWindow
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.records import Array
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import STRIDE, Tile, Window, mirror, pieces

PHASES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    4: ((0, 0), (1, 2), (2, 3), (3, 1)),
    16: tuple((y, x) for y in range(4) for x in range(4)),
}
"""Shifts (rows, columns) of the network's sampling grid whose logits are averaged. What a pixel's place changes comes from the
steps of 2 and 4 pixels: four shifts meet each row and each column of 4 once, sixteen meet each place of 4 x 4."""
_AT_ONCE = 1 << 17
"""Pixels that a processor decides at once."""
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
class TileRequest:
    """What is wanted of each tile."""

    temperatures: Temperatures
    """From the bundle."""
    mixed: bool
    """Whether to use bfloat16 where it is safe (on a GPU only)."""
    embed_block: int | None
    """Side in pixels, a multiple of 32, of the blocks whose features are wanted too; None wants none."""
    phases: int
    """Shifts of the sampling grid that are averaged, a key of `PHASES`."""
    rule: DecisionRule | None
    """What decides on the device; None: the probabilities come back."""


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
    part: Window | None = None,
) -> Probabilities:
    """Predict one window, or a part of it, for which the rest is the margin.

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
        part: What is wanted, counted from the first pixel that is predicted; all of it where None.
    """
    device = next(network.parameters()).device
    found = _on_device(window, device)
    given = found if shown is None else _on_device(shown, device)
    reach, unseen = reach_of(phases), _unseen(found)
    part = part or Window(0, 0, *(n - reach for n in unseen.shape))
    output, unseen, embedding = _compute(network, given, unseen, mixed=mixed, embed=embed, phases=phases, part=part)
    return _on_host(_probabilities(output, unseen, temperatures), embedding)


def _on_device(window: PairWindow, device: torch.device) -> PairWindow:
    before, after, priors = (
        None if part is None else torch.from_numpy(part).to(device) for part in (window.before, window.after, window.priors)
    )
    return PairWindow(before, after, priors)


def _unseen(window: PairWindow) -> Tensor:
    """Return bool (y, x): not observed in every band of both dates."""
    # The sum is finite where every band is.
    return ~torch.isfinite(window.before.sum(dim=0) + window.after.sum(dim=0))


def _compute(
    network: Siamese, given: PairWindow, unseen: Tensor, *, mixed: bool, embed: tuple[int, int] | None, phases: int,
    part: Window,
) -> tuple[Output, Tensor, np.ndarray | None]:  # fmt: skip
    """Return the logits of a part of what lies on the device, what was not observed of it, and the embedding asked for."""
    device, reach = unseen.device, reach_of(phases)
    unseen = unseen[reach:, reach:]
    height, width = unseen.shape
    # Decoders need not work on the sides; but the last rows and columns that shifted grids reach belong to them.
    trim = min(part.y, part.x, height - part.y - part.height, width - part.x - part.width) // STRIDE * STRIDE
    trim = trim if phases == 1 else max(trim - STRIDE, 0)
    output, embedding = Output(None, None, None), None
    count = torch.zeros((1, *(n - 2 * trim for n in unseen.shape)), device=device)
    dates, priors = [given.before, given.after], given.priors
    del given
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=mixed and device.type == "cuda"):
        for number, shift in enumerate(PHASES[phases], start=1):
            at = (slice(None), *Window(reach - shift[0], reach - shift[1], *unseen.shape).slices)
            # A date that was encoded for the last time is not kept.
            left = dates if number == phases else list(dates)
            features = [network.encode(left.pop(0)[at][None]) for _ in range(2)]
            if shift == (0, 0) and embed is not None:
                embedding = block_means(features, ~unseen, *embed)
            found = network.decode(features[0], features[1], None if priors is None else priors[at][None], trim=trim)
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
    wanted = _crop_logits(output, Window(part.y - trim, part.x - trim, part.height, part.width))
    return wanted, unseen[part.slices], embedding


def _crop_logits(output: Output, part: Window) -> Output:
    parts = (output.change, output.before, output.after)
    return Output(*(None if logits is None else logits[(..., *part.slices)] for logits in parts))


@torch.inference_mode()
def predict_tile(
    network: Siamese, reader: PairReader, tile: Tile, dates: Sequence[StagedWindow], request: TileRequest
) -> tuple[Probabilities, Decision | None]:
    """Map the core of a tile: what was read goes to the device, what comes back is on the host."""
    device, phases = next(network.parameters()).device, request.phases
    (before, seen_before), (after, seen_after) = (values_of(staged, device) for staged in dates)
    treated = [reader.treat([before, after], network.spec.priors)]
    del before, after
    unseen, wide = ~(seen_before & seen_after), reach_back(tile.read, reach_of(phases))
    if wide.clip(reader.shape) != wide:
        # What lies beyond the edges is a mirror image, for the network's eyes only.
        inside = wide.clip(reader.shape).within(wide).slices
        beyond = torch.ones_like(unseen)
        beyond[inside] = unseen[inside]
        unseen = beyond
    core = tile.core.within(tile.read)
    embed = None if request.embed_block is None else (request.embed_block, core.y)
    output, unseen, embedding = _compute(
        network, treated.pop(), unseen, mixed=request.mixed, embed=embed, phases=phases, part=core
    )  # fmt: skip
    if request.rule is None:
        return _on_host(_probabilities(output, unseen, request.temperatures), embedding), None
    return Probabilities(None, None, None, embedding), _decide(output, unseen, request.temperatures, request.rule)


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


def _probabilities(output: Output, unseen: Tensor, temperatures: Temperatures) -> Probabilities:
    change = None
    if output.change is not None:
        change = torch.sigmoid(_cool(output.change[0], temperatures.change)).masked_fill_(unseen, torch.nan)
    dates = [
        None if logits is None else torch.softmax(_cool(logits[0], temperatures.landuse), dim=0).masked_fill_(unseen, torch.nan)
        for logits in (output.before, output.after)
    ]
    return Probabilities(change, dates[0], dates[1])


def _cool(logits: Tensor, temperature: float) -> Tensor:
    return logits.float() if temperature == 1 else logits.float() / temperature


def _on_host(found: Probabilities, embedding: np.ndarray | None) -> Probabilities:
    # Copies: a view would keep the whole window.
    parts = [None if part is None else part.cpu().numpy().copy() for part in (found.change, found.before, found.after)]
    return Probabilities(parts[0], parts[1], parts[2], embedding)


def _decide(output: Output, unseen: Tensor, temperatures: Temperatures, rule: DecisionRule) -> Decision:
    """Decide on the device: a byte a pixel and layer comes back."""
    height, width = unseen.shape
    # What a processor's caches hold is worked on at once; a GPU wants much at once.
    parts = pieces((height, width), _AT_ONCE, 128) if unseen.device.type == "cpu" else [Window(0, 0, height, width)]
    layers: dict[str, np.ndarray] = {}
    for part in parts:
        found = _probabilities(_crop_logits(output, part), unseen[part.slices], temperatures)
        made = decide(found.change, found.before, found.after, rule.legend, threshold=rule.threshold)
        coded = replace(made, change_probability=probability_codes(made.change_probability))
        for name, layer in coded.layers().items():
            whole = layers.setdefault(name, np.empty((height, width), dtype=np.uint8))
            whole[part.slices] = layer.cpu().numpy()
    return Decision(
        layers["change"], layers.get("before"), layers.get("after"), change_probability=layers["change_probability"]
    )


def reach_back(window: Window, reach: int) -> Window:
    """Return a window with so many rows and columns more before its first ones."""
    return Window(window.y - reach, window.x - reach, window.height + reach, window.width + reach)


def beyond_edges(found: PairWindow, window: Window, shape: tuple[int, int]) -> PairWindow:
    """Continue what was read of a window beyond the edges of its map as a mirror image."""
    before, after = (mirror(part, window, shape) for part in (found.before, found.after))
    return PairWindow(before, after, None if found.priors is None else mirror(found.priors, window, shape))
