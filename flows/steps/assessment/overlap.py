"""Overlap of the training blocks with the rest of the territory, as the encoder sees them."""

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.blocks import BLOCK, training_blocks
from landshift.flows.steps.learning.fitting import build_network, encoder_facts, encoder_of
from landshift.flows.steps.learning.labelling import read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.records import read_record, write_record
from landshift.pipeline.scores.assessment import BlockOverlap

_DIMENSIONS = 8
_FORMAT = 3
_CHANCE = 0.05
_MUCH_BEYOND = 0.1
_MOST_BLOCKS = 4000
"""Of each side: more would cost memory and add nothing."""


def compare_blocks(ws: Workspace, prepared: Pair, labels_hash: str) -> BlockOverlap:
    """Compare the blocks that hold training labels with all others, unless that is done already from the same inputs."""
    encoder = encoder_of(ws)
    described = ws.project.model_dump(mode="json", include={"model", "sensor"})
    key = value_hash([_FORMAT, prepared.key, labels_hash, encoder_facts(encoder), described])
    path, manifest = ws.assessment / "overlap.json", ws.manifest(ws.assessment)
    if not manifest.is_current("overlap", key):
        with step("Comparing regions") as advance:
            write_record(path, _compare(ws, prepared))
            advance(1.0)
        manifest.record("overlap", key, [path])
    return read_record(path, BlockOverlap)


def _compare(ws: Workspace, prepared: Pair) -> BlockOverlap:
    from landshift.models.transfer.blocks import block_embeddings
    from landshift.models.transfer.overlap import coral, frechet_distance, mmd, mmd_p_value
    from landshift.models.transfer.scores import reduce, standardise
    from landshift.models.transfer.shift import fit_shift
    from landshift.models.use.inference import device_of

    role = read_masks(ws).role
    encoder = encoder_of(ws)
    device = device_of(ws.project.detect.device)
    network = build_network(ws, prepared, encoder, "frozen", seed=0).network.eval().to(device)
    shape = (role.shape[0], role.shape[1])
    found = block_embeddings(network, prepared.source, shape, BLOCK, device=device)
    embedded = found.values
    seen, training = np.isfinite(embedded).all(axis=-1), training_blocks(role)
    inside, outside = int((seen & training).sum()), int((seen & ~training).sum())
    if min(inside, outside) < 4 * _DIMENSIONS:
        return BlockOverlap(
            inside, outside, frechet=None, coral=None, mmd=None, mmd_p_value=None, beyond=None,
            sentence=f"{inside} blocks of {BLOCK} pixels hold training labels, {outside} do not; at least {4 * _DIMENSIONS} of "
            f"each are needed to compare them.",
        )  # fmt: skip
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(seen & where))[:_MOST_BLOCKS] for where in (training, ~training)]
    blocks = embedded.reshape(-1, embedded.shape[-1])[np.concatenate(chosen)]
    points = reduce(standardise(blocks[:, : found.sizes[0]]), _DIMENSIONS)
    first, other = points[: len(chosen[0])], points[len(chosen[0]) :]
    shift = fit_shift(blocks[: len(chosen[0])], found.sizes)
    beyond = float((shift.ratio(blocks[len(chosen[0]) :]) > 1).mean())
    p_value = mmd_p_value(first, other)
    return BlockOverlap(
        inside, outside, frechet=frechet_distance(first, other), coral=coral(first, other), mmd=mmd(first, other),
        mmd_p_value=p_value, beyond=beyond,
        sentence=f"{beyond:.0%} of the territory outside the training blocks lies further out than 95 % of these. "
        + _sentence(p_value, beyond),
    )  # fmt: skip


def _sentence(p_value: float, beyond: float) -> str:
    if p_value > _CHANCE:
        return "The encoder sees no difference between the two that chance would not make."
    if beyond <= _MUCH_BEYOND:
        return "The training blocks differ from the rest by more than chance, and yet hold nearly all that occurs there."
    return "The training blocks differ from the rest by more than chance: label where the domain-shift map is high."
