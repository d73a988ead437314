"""A territory with a model that nobody trained: its maps are nonsense, but the same nonsense each time."""

from pathlib import Path
from typing import Any

import numpy as np

from landshift.flows.config.project import Project
from landshift.flows.steps.images.epochs import Pair, prepare_epoch
from landshift.flows.steps.images.matching import match_dates
from landshift.flows.steps.learning.blocks import BLOCK
from landshift.flows.steps.learning.fitting import build_network
from landshift.flows.steps.project.plan import legend_of, plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.models.encoders.table import encoder_named
from landshift.models.transfer.blocks import block_embeddings
from landshift.models.transfer.shift import fit_shift
from landshift.models.use.bundle import Bundle, save
from landshift.models.use.inference import device_of, predict
from landshift.pipeline.demo.files import make_territory
from landshift.pipeline.demo.territories import NORTH
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import Window
from tests.demo_territory import demo_project
from tests.small_network import provenance

SIZE = 136
"""Pixels; the last row of tiles of 32 is a thin one."""


class Untrained:
    """Scenes, a config and a model."""

    def __init__(self, folder: Path) -> None:
        make_territory(folder / "demo" / "north", NORTH, seed=11, size=SIZE)
        self.data, self.model = folder / "demo" / "north", folder / "model"
        ws = self.workspace(folder / "runs")
        ws.require_writable()
        made = plan(ws)
        dates = [prepare_epoch(ws, made, name) for name in ("before", "after")]
        images = Pair(made, *dates, radiometry=match_dates(ws, made.sensor.units, *dates))
        built = build_network(ws, images, encoder_named("random"), "scratch", 0)
        network = built.network.eval()
        whole = Window(0, 0, SIZE // 32 * 32, SIZE // 32 * 32)
        said = predict(network, images.source.reader().read(whole, network.spec.priors), Temperatures())
        blocks = block_embeddings(network, images.source, (SIZE, SIZE), BLOCK, tile=32, margin=32, device=device_of("cpu"))
        self.model = save(
            folder / "model",
            Bundle(
                name="untrained", spec=network.spec, encoder=built.encoder, units="reflectance",
                treatment=images.radiometry.treatment,
                normalisation=built.normalisation, legend=legend_of(ws.project), temperatures=Temperatures(),
                threshold=float(np.nanmedian(said.change)),
                facts=provenance(
                    domain_shift=fit_shift(blocks.values.reshape(-1, blocks.values.shape[-1])[::2], blocks.sizes)
                ),
            ),
            network,
            "card",
        )  # fmt: skip

    def project(self, name: str = "demo", **detect: Any) -> Project:
        return demo_project(
            name=name, detect={"core": 32, "margin": 32, "min_area_ha": 0.0, "device": "cpu", **detect},
            # Half of it is mapped as changed, since the threshold is the median.
            gates={"mapped_share": {"otherwise": "mark"}},
        )  # fmt: skip

    def workspace(self, output: Path, **detect: Any) -> Workspace:
        return workspace(self.project(**detect), self.data, output, model=self.model)
