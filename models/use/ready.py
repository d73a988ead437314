"""A network made ready for mapping: the form that computes the same as it was trained in, and is fastest on this machine."""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from landshift.models.network.siamese import Siamese
from landshift.models.use.fused import BandsLast, can_fuse, fuse_network
from landshift.models.use.inference import beyond_edges, predict
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import STRIDE, Window

Form = Literal["fused", "compiled", "bands-last", "plain"]
"""`plain`: as it was trained; `bands-last`: the same with another layout in memory; `fused`: each convolution and what follows
it as one operation, by this package, on a CPU; `compiled`: by PyTorch's compiler, on a GPU."""

MAX_FLIPS_PPM = 50.0
"""Of the pixels of the probe: a form that decides more of them otherwise than the plain one is not used."""

_log = logging.getLogger(__name__)
_SIDES = {"cpu": 256, "cuda": 1024}
"""Of the tile of the trial: a small one does not fill a GPU."""
_SHAPES = 4
"""Of the tiles of a map: those inside, at the right edge, at the lower one and in the corner. A compiler prepares each."""
_REPEATS = 3
"""Timed tiles on a GPU."""
_PREFERENCE = 4.0
"""How many times as fast another form has to be than the first that is right: a noisy clock is no reason for other bits."""


@dataclass(frozen=True)
class FormTrial:
    """What a short trial of the forms of a network found."""

    form: Form
    """The one to use."""
    seconds: dict[str, float]
    """For one tile, of each form that was tried."""
    flips_ppm: dict[str, float]
    """Parts per million of the observed pixels that each form decides otherwise than the plain one."""
    first_seconds: dict[str, float] = field(default_factory=dict)
    """That the first tile of a shape takes longer than the next one, of each form that was tried."""


def make_ready(network: Siamese, form: str) -> Siamese:
    """Return a network in a form.

    Args:
        network: In evaluation mode, on its device.
        form: One of `Form`; which ones there are depends on the device.

    Raises:
        InputError: The form is not known, or this process cannot have it.
    """
    if form == "plain":
        return network
    device = next(network.parameters()).device.type
    build = _FORMS.get(device, {}).get(form)
    if build is None or (form == "fused" and not can_fuse()):
        raise InputError(
            f"The run was begun with its network in the form {form!r}, which this process cannot have on the device {device} "
            f"with PyTorch {torch.__version__}. Use machines of one kind for all shards."
        )
    return build(network)


def choose_form(
    network: Siamese,
    pair: PairSource,
    shape: tuple[int, int],
    *,
    threshold: float,
    temperatures: Temperatures,
    mixed: bool = False,
) -> tuple[FormTrial, Siamese]:
    """Try the forms on one tile in the middle of the scene, and return what was found, and the network in the form to use.

    On a CPU the first that is right and not far slower is taken, for its clock is noisy, and no other is tried. On a GPU it is
    the one that maps the scene soonest, what a compiler takes for each shape of tiles included.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        shape: Rows and columns of the grid.
        threshold: Probability from which a pixel counts as changed.
        temperatures: From the bundle.
        mixed: Whether the map will be made with bfloat16, on a GPU. Forms are compared without, and timed as they are used.
    """
    device = next(network.parameters()).device.type
    side = min(_SIDES.get(device, _SIDES["cuda"]), max(min(shape) // STRIDE, 1) * STRIDE)
    y, x = (max(n - side, 0) // 2 // STRIDE * STRIDE for n in shape)
    window = Window(y, x, side, side)
    with pair.open() as reader:
        found = reader.read(window, network.spec.priors)
        shown = beyond_edges(found, window, reader.shape)

    def run(ready: Siamese, *, mixed: bool) -> tuple[np.ndarray, float]:
        started = time.perf_counter()
        said = predict(ready, found, temperatures, shown=shown, mixed=mixed)
        spent = time.perf_counter() - started
        dates = [p.argmax(axis=0) for p in (said.before, said.after) if p is not None]
        return np.stack([*dates, *([] if said.change is None else [said.change >= threshold])]), spent

    seen = np.isfinite(found.before).all(axis=0) & np.isfinite(found.after).all(axis=0)
    decided, seconds, first, flips, made = {}, {}, {}, {}, {}
    for form in ("plain", *_FORMS.get(device, {})):
        try:
            made[form] = make_ready(network, form)
            # A processor's first tile is like the next one, and always exact.
            runs = [run(made[form], mixed=mixed) for _ in range(2 if device == "cpu" else 1 + _REPEATS)]
            decided[form] = runs[0][0] if device == "cpu" else run(made[form], mixed=False)[0]
        # What PyTorch raises where it cannot trace a network has no class of its own.
        except Exception as error:
            if form == "plain":
                raise
            _log.debug("The network has no form %s: %s", form, error)
            continue
        seconds[form] = min(spent for _, spent in runs[1:])
        first[form] = max(runs[0][1] - seconds[form], 0.0)
        flips[form] = float((decided[form] != decided["plain"])[:, seen].any(axis=0).mean() * 1e6) if seen.any() else 0.0
        if device == "cpu" and form != "plain" and prefer(seconds, flips) == form:
            break
    if device == "cpu":
        chosen = prefer(seconds, flips)
    else:
        chosen = choose_soonest(seconds, flips, first, tiles=shape[0] * shape[1] / side**2)
    return FormTrial(chosen, seconds, flips, first), made[chosen]


def choose_soonest(
    seconds: dict[str, float], flips_ppm: dict[str, float], first_seconds: dict[str, float], *, tiles: float
) -> Form:
    """Return the form that is right and has mapped so many tiles first.

    Args:
        seconds: For a tile, of each form that works; `plain` is one of them.
        flips_ppm: Of each form that works.
        first_seconds: That the first tile of a shape takes longer.
        tiles: Of the map.
    """
    order: tuple[Form, ...] = ("plain", "bands-last", "compiled")
    right = [form for form in order if form in flips_ppm and flips_ppm[form] <= MAX_FLIPS_PPM]
    return min(right, key=lambda form: first_seconds[form] * _SHAPES + seconds[form] * tiles)


def prefer(seconds: dict[str, float], flips_ppm: dict[str, float]) -> Form:
    """Return the form to use: the first of `fused`, `bands-last`, `plain` that is right, unless another is far faster.

    Args:
        seconds: Of each form that works; `plain` is one of them.
        flips_ppm: Of each form that works.
    """
    order: tuple[Form, ...] = ("fused", "bands-last", "plain")
    right = [form for form in order if form in flips_ppm and flips_ppm[form] <= MAX_FLIPS_PPM]
    chosen = right[0]
    for form in right[1:]:
        if seconds[form] * _PREFERENCE < seconds[chosen]:
            chosen = form
    return chosen


def _lay_out(network: Siamese) -> Siamese:
    twin = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    twin.encoder = BandsLast(twin.encoder)
    return twin  # type: ignore[no-any-return]


def _compile(network: Siamese) -> Siamese:
    """Compile what a network is made of; what is around it stays as it is."""
    # Else what has met many shapes, in this process, would be computed as it is from then on.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _RECOMPILE_LIMIT)
    twin = _lay_out(network)
    for name, part in list(twin.named_children()):
        setattr(twin, name, torch.compile(part, backend=_COMPILER, dynamic=False))
    return twin


_COMPILER = "inductor"
_RECOMPILE_LIMIT = 256
"""Shapes of tiles, of all decoders and all regions that a process maps."""
_FORMS: dict[str, dict[str, Callable[[Siamese], Siamese]]] = {
    "cpu": {"fused": fuse_network, "bands-last": _lay_out}, "cuda": {"compiled": _compile, "bands-last": _lay_out},
}  # fmt: skip
"""How each form is made, by the kind of device that has it."""
