"""What the shards of a run share: the network, adapted and calibrated, and the margin of its tiles."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.adapting import adapt_model, adaptation_in_use
from landshift.flows.steps.detection.layers import SecondRule, beside_of, fit_second
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.drawing.pictures import Stretch
from landshift.pipeline.epochs.matching import Mappings
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.record import Steadiness, UsedAdaptation

SETTLED = "raw_model"
"""Folder of the network in the folder of a run that grows; its name keeps it out of what is published."""


@dataclass(frozen=True)
class Settled:
    """What must not differ between the shards of a run."""

    margin: int
    """Of the tiles, pixels."""
    adaptation: UsedAdaptation
    """To a territory that the model does not know."""
    steadiness: Steadiness
    """How much of the map depends on where its grid begins and where its tiles end."""
    form: str
    """In which the network is computed, of `ready.Form`; other forms round otherwise."""
    mappings: Mappings
    """Of the bands before and after; None where a date is used as it is."""
    model: str
    """Hash of the description of the network that was kept."""
    stretches: tuple[Stretch, Stretch]
    """How the images are shown."""
    second: SecondRule
    """The IR-MAD map beside that of the model."""
    tags: dict[str, str]
    """Of each raster."""
    versions: dict[str, str]
    """Of everything that can change a pixel."""
    seconds: float
    """How long it took to decide all this."""


def settle(ws: Workspace, prepared: Pair, key: str, tags: Mapping[str, str]) -> Settled:
    """Decide, once for all shards, what must not differ between them, and keep the network that they use.

    `tags` are those of each raster.
    """
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if not manifest.is_current("settled", key):
        from landshift.models.use.bundle import CARD, MODEL, WEIGHTS

        settled = _settle(ws, prepared, folder / SETTLED, tags=tags)
        manifest.record("settled", key, [folder / SETTLED / name for name in (MODEL, WEIGHTS, CARD)], content_of(settled))
    return record_of(Settled, manifest.facts("settled"), str(folder))


def _settle(ws: Workspace, prepared: Pair, folder: Path, tags: Mapping[str, str]) -> Settled:
    from landshift.models.use.bundle import MODEL, load, save
    from landshift.models.use.inference import device_of
    from landshift.models.use.ready import choose_form, make_ready
    from landshift.models.use.steadiness import calibrate_margin, measure_steadiness

    started = time.perf_counter()
    config = ws.project.detect
    bundle, network = load(ws.model_in_use)
    chosen = adaptation_in_use(ws, prepared)
    ready = adapt_model(ws, prepared, bundle, network, method=chosen.method)
    used = replace(
        bundle, threshold=config.threshold or chosen.threshold or bundle.threshold,
        temperatures=chosen.temperatures or bundle.temperatures,
    )  # fmt: skip
    height, width = prepared.plan.grid.shape
    plain, source = ready.network.to(device_of(config.device)), replace(prepared.source, adaptation=ready.mappings)
    trial, moved = choose_form(
        plain, source, (height, width), threshold=used.threshold, temperatures=used.temperatures,
        mixed=ws.project.training.precision in ("auto", "bf16"),
    )  # fmt: skip
    # The windows below have many shapes, and a compiler would prepare each.
    moved = make_ready(plain, "bands-last") if trial.form == "compiled" else moved
    margin = config.settle_margin((height, width))
    if margin is None:
        margin = calibrate_margin(
            moved, source, (height, width), config.core, threshold=used.threshold, temperatures=used.temperatures,
            phases=config.phases,
        )[0]  # fmt: skip
    steadiness = measure_steadiness(
        moved, source, (height, width), core=config.core, margin=margin, threshold=used.threshold,
        temperatures=used.temperatures, phases=config.phases,
    )  # fmt: skip
    save(folder, used, ready.network.cpu(), "The model as this run uses it; it goes when the run is done.\n")
    adaptation = UsedAdaptation(chosen.method, chosen.verified, chosen.threshold, chosen.temperatures, notes=ready.notes)
    seconds = time.perf_counter() - started
    second = fit_second(prepared, config.false_alarm_rate)
    return Settled(
        margin, adaptation, steadiness, trial.form, mappings=ready.mappings, model=file_hash(folder / MODEL),
        stretches=beside_of(prepared, second, tags).stretches, second=second, tags=dict(tags), versions=versions(),
        seconds=seconds,
    )  # fmt: skip


def require_shared(folder: Path, settled: Settled) -> None:
    """Refuse a process that does not see the folder of the run, or would make other pixels.

    Raises:
        InputError: The network is missing there, or this process has other versions than the one that began the run.
        OSError: The network there is another one: shared storage may be behind.
    """
    from landshift.models.use.bundle import MODEL

    if not (folder / SETTLED / MODEL).is_file():
        raise InputError(
            f"{folder} is not the folder that the run began in: {SETTLED} is missing. Workers need the folder of outputs under "
            f"the same path, on storage that all share (NFS, for example)."
        )
    ours = versions()
    other = [f"{name} {ours.get(name)} instead of {v}" for name, v in settled.versions.items() if ours.get(name) != v]
    if other:
        raise InputError(f"This process has {', '.join(other)}. Install the same versions for every worker.")
    if file_hash(folder / SETTLED / MODEL) != settled.model:
        raise OSError(f"{folder / SETTLED} is not the model that was settled on; is the shared storage behind?")
