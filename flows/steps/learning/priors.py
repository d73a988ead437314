"""Which priors a network is given: IR-MAD only where it separates the labels of this territory."""

import numpy as np

from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.matching import prior_channels
from landshift.pipeline.labels.search import TRAIN
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.tiles import strips

_LEAST = 0.8
"""Area under the curve from which IR-MAD enters a network. It helped where this was .99 (Taizhou) and did no harm where it was
.88 (the demo); below nothing was measured."""


def choose_priors(ws: Workspace, prepared: Pair, masks: DividedLabels, strategy: str) -> tuple[tuple[str, ...], str]:
    """Return the priors of a network, and why these, a sentence.

    With `model: priors: auto` it is the IR-MAD statistic where it orders the training pixels well enough: where the labels are
    about something else than IR-MAD finds, a network would lean on what misleads it. The test blocks have no part in it.
    """
    from landshift.models.network.strategies import strategy_named

    wanted = ws.project.model.priors
    if ws.project.heads == "landuse" or prepared.radiometry.statistic is None:
        return (), "The network has no priors: it has no head of change, or the pair no IR-MAD statistic."
    if wanted != "auto":
        return tuple(wanted), f"The network sees beside the dates: {', '.join(wanted) or 'nothing'}, as the config sets."
    if strategy_named(strategy).estimator != "network":
        return ("ir-mad",), "IR-MAD is among the values of each pixel, and is asked where it does not contradict the labels."
    found = _area_under_curve(prepared, masks)
    if found is None:
        return ("ir-mad",), "The network sees the IR-MAD statistic; the training labels are too few to judge it."
    shown = f"its area under the curve on the training labels is {found:.3f}, and {_LEAST:g} is asked"
    if found >= _LEAST:
        return ("ir-mad",), f"The network sees the IR-MAD statistic of the pair: {shown}."
    return (), f"The network does not see the IR-MAD statistic of the pair: {shown}."


def _area_under_curve(prepared: Pair, masks: DividedLabels) -> float | None:
    """Return how well IR-MAD orders the training pixels, 0..1; None where these are of one kind."""
    from sklearn.metrics import roc_auc_score

    change, scores, truth = masks.labels.change, [], []
    with prepared.source.open() as reader:
        for strip in strips(reader.shape):
            label = change[strip.slices]
            used = (label != NOT_LABELLED) & (masks.role[strip.slices] == TRAIN)
            if not used.any():
                continue
            window = reader.read(strip)
            found = prior_channels(prepared.radiometry, window.before, window.after, ("ir-mad",))
            statistic = np.full(label.shape, np.nan) if found is None else found[0]
            seen = used & np.isfinite(statistic)
            scores.append(statistic[seen])
            truth.append(label[seen])
    kinds = np.concatenate(truth) if truth else np.array([])
    return float(roc_auc_score(kinds, np.concatenate(scores))) if len(np.unique(kinds)) > 1 else None
