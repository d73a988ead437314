"""Landshift with a network that costs next to nothing, so that what remains is everything else.

    python benchmarks/free_model.py detect CONFIG --data DATA --model MODEL --output RUNS

is `landshift detect` with a model of `benchmarks/made.py`: its change is the difference of two bands, its land use the nearest
spectrum, both by one 1 x 1 step, so that the map makes sense. Where `FREE_MODEL_COST` names a file, the seconds of a core
that this network and the whole process took are written there when the command ends.
"""

import atexit
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landshift.models.encoders.bands import Encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.network.decoder import cut
from landshift.models.network.siamese import NetworkSpec, Output, Siamese
from landshift.models.use import bundle
from landshift.models.use.bundle import Bundle, Provenance, TrainingImages, save
from landshift.pipeline.epochs.matching import Treatment
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.images import BandStatistics
from landshift.pipeline.scores.training import Fit, Temperatures

SPENT = [0.0]
"""Seconds of a core that the network took in this process."""


class FreeNetwork(Siamese):
    """Difference of two bands for the change, nearest spectrum for the land use; its features are the image itself."""

    def __init__(self, spec: NetworkSpec, encoder: nn.Module, normalisation: Normalisation) -> None:
        """Hold spectra that are to be loaded."""
        super().__init__(spec, encoder, normalisation)
        self.spectra = nn.Parameter(torch.zeros(max(spec.classes, 1), len(spec.bands)))
        self.requires_grad_(False)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return the image, in reflectance."""
        return [image if self.scale == 1 else image * self.scale]

    def decode(self, before: list[Tensor], after: list[Tensor], priors: Tensor | None = None, *, trim: int = 0) -> Output:
        """Decide on the bands alone."""
        begun = time.thread_time()
        before, after = ([cut(image, trim) for image in maps] for maps in (before, after))
        red, nir = (self.spec.bands.index(name) for name in ("red", "nir"))
        gap = (after[0][:, red] - before[0][:, red]).abs_()
        change = gap.add_((after[0][:, nir] - before[0][:, nir]).abs_()).sub_(0.06).mul_(100)
        if self.spec.heads == "change":
            dates: list[Tensor | None] = [None, None]
        else:
            weight, bias = 400 * self.spectra[:, :, None, None], -200 * (self.spectra**2).sum(1)
            dates = [nn.functional.conv2d(date[0].nan_to_num(), weight, bias) for date in (before, after)]
        SPENT[0] += time.thread_time() - begun
        return Output(change, *dates)


class Nothing(nn.Module):
    """An encoder that is not there."""

    out_channels = (1,)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what comes in."""
        return [image]


def install() -> None:
    """Let bundles hold the free network, in this process alone."""
    given: Any = bundle
    given.build_encoder = lambda *_: Nothing()
    given.model_of = FreeNetwork
    given.require_shapes = lambda *_: None
    if "FREE_MODEL_COST" in os.environ:
        atexit.register(
            lambda: Path(os.environ["FREE_MODEL_COST"]).write_text(
                json.dumps({"cpu_s": SPENT[0], "process_cpu_s": time.process_time()})
            )
        )


def save_free_model(folder: Path, bands: tuple[str, ...], classes: int | None = None, *, scale: float = 1.0) -> Path:
    """Write a bundle with the spectra of `made.py`; other numbers of `classes` get spectra between them, 0 change alone."""
    from made import BANDS, CLASSES, COLOURS, SPECTRA

    known = SPECTRA[:, [BANDS[10].index(name) for name in bands]]
    count = len(CLASSES) if classes is None else classes
    at = np.linspace(0, len(known) - 1, max(count, 1))
    spectra = np.stack([np.interp(at, np.arange(len(known)), column) for column in known.T], axis=1)
    names = CLASSES if count == len(CLASSES) else tuple(f"Class {i}" for i in range(1, count + 1))
    legend = Legend(tuple(LandUse(i, name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(names, 1)))
    spec = NetworkSpec("free", bands, bands, "both" if count else "change", count)
    plain = Normalisation((0.0,) * len(bands), (1.0,) * len(bands), scale, "both dates", bands)
    network = FreeNetwork(spec, Nothing(), plain)
    network.spectra.copy_(torch.from_numpy(spectra))
    facts = Provenance(
        seed=0, fit=Fit(1, 0, 0.5), weights_hash="sha256:0",
        training_regions=BandStatistics((0.1,) * len(bands), (0.1,) * len(bands), {}, 1),
        inputs=TrainingImages("sha256:1", "sha256:2"), versions={}, strategy="scratch",
    )  # fmt: skip
    about = Bundle(
        name="free", spec=spec, encoder=Encoder(name="random:free", architecture="free", source="random"), units="reflectance",
        treatment=Treatment(matched=True), normalisation=plain, legend=legend, temperatures=Temperatures(), threshold=0.5,
        facts=facts,
    )  # fmt: skip
    return save(folder, about, network.eval(), "A model that costs nothing, for measuring.\n")


if __name__ == "__main__":
    install()
    from landshift.flows.cli.main import main

    main()
