"""The start of a network from its priors, as the training labels have it."""

from typing import cast

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from landshift.models.network.samples import LabelledTiles
from landshift.models.network.siamese import ChangeNetwork
from landshift.pipeline.legend import NOT_LABELLED


def start_from_priors(network: ChangeNetwork, tiles: LabelledTiles) -> bool:
    """Let the logit of change start from a logistic regression of the training labels on the priors, in place.

    So a network begins as IR-MAD where the labels agree with it, and without it where they do not.

    Args:
        network: With priors, or left as it is.
        tiles: Of the training labels, with the priors of the network.

    Returns:
        Whether it was done: not without priors, nor with labels of one kind.
    """
    if network.prior is None:
        return False
    priors, changed = [], []
    for chip in (tiles[number] for number in range(len(tiles))):
        labelled = (chip["change_label"] != NOT_LABELLED) & torch.isfinite(chip["priors"]).all(dim=0)
        priors.append(chip["priors"][:, labelled].numpy().T)
        changed.append(chip["change_label"][labelled].numpy())
    values, truth = np.concatenate(priors), np.concatenate(changed)
    if len(np.unique(truth)) < 2:
        return False
    # Even odds at the border of the classes: chips are drawn half changed, half not.
    line = LogisticRegression(class_weight="balanced").fit(values, truth)
    slopes = np.maximum(line.coef_[0], 0.0)
    with torch.no_grad():
        network.prior.weight.copy_(torch.from_numpy(slopes).reshape(1, -1, 1, 1))
        start = line.intercept_ if slopes.any() else np.zeros(1)
        torch.nn.init.zeros_(cast(Tensor, network.prior.bias)).add_(torch.from_numpy(start))
    return True
