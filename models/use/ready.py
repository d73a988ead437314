"""A network made ready for mapping: the form that computes the same as it was trained in, and is fastest on this machine."""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
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

Form = Literal["fused", "bands-last", "plain"]
"""`plain`: as it was trained; `bands-last`: the same with another layout in memory; `fused`: each convolution and what follows
it as one operation."""

MAX_FLIPS_PPM = 50.0
"""Of the pixels of the probe: a form that decides more of them otherwise than the plain one is not used."""

_log = logging.getLogger(__name__)
_SIDE = 256
_REPEATS = 3
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


def make_ready(network: Siamese, form: str) -> Siamese:
    """Return a network in a form.

    Args:
        network: In evaluation mode, on its device.
        form: One of `Form`; other devices than the CPU have the plain one alone.

    Raises:
        InputError: The form is not known, or this process cannot have it.
    """
    if form == "plain":
        return network
    build = _FORMS.get(form)
    device = next(network.parameters()).device.type
    if build is None or device != "cpu" or (form == "fused" and not can_fuse()):
        raise InputError(
            f"The run was begun with its network in the form {form!r}, which this process cannot have on the device {device} "
            f"with PyTorch {torch.__version__}. Use machines of one kind for all shards."
        )
    return build(network)


def choose_form(
    network: Siamese, pair: PairSource, shape: tuple[int, int], *, threshold: float, temperatures: Temperatures
) -> FormTrial:
    """Try the forms on one tile in the middle of the scene, and choose.

    Args:
        network: In evaluation mode, on its device.
        pair: Both dates, as the network is given them.
        shape: Rows and columns of the grid.
        threshold: Probability from which a pixel counts as changed.
        temperatures: From the bundle.
    """
    if next(network.parameters()).device.type != "cpu":
        return FormTrial("plain", {}, {})
    side = min(_SIDE, max(min(shape) // STRIDE, 1) * STRIDE)
    y, x = (max(n - side, 0) // 2 // STRIDE * STRIDE for n in shape)
    window = Window(y, x, side, side)
    with pair.open() as reader:
        found = reader.read(window, network.spec.priors)
        shown = beyond_edges(found, window, reader.shape)

    def decide(ready: Siamese) -> tuple[np.ndarray, float]:
        spent = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            said = predict(ready, found, temperatures, shown=shown)
            spent.append(time.perf_counter() - started)
        dates = [p.argmax(axis=0) for p in (said.before, said.after) if p is not None]
        return np.stack([*dates, *([] if said.change is None else [said.change >= threshold])]), min(spent)

    seen = np.isfinite(found.before).all(axis=0) & np.isfinite(found.after).all(axis=0)
    wanted, plain_seconds = decide(network)
    seconds, flips = {}, {}
    for form in _FORMS:
        try:
            decided, seconds[form] = decide(make_ready(network, form))
        # What PyTorch raises where it cannot trace a network has no class of its own.
        except Exception as error:
            _log.debug("The network has no form %s: %s", form, error)
            continue
        flips[form] = float((decided != wanted)[:, seen].any(axis=0).mean() * 1e6) if seen.any() else 0.0
    seconds["plain"], flips["plain"] = plain_seconds, 0.0
    return FormTrial(prefer(seconds, flips), seconds, flips)


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


_FORMS: dict[str, Callable[[Siamese], Siamese]] = {"fused": fuse_network, "bands-last": _lay_out}
