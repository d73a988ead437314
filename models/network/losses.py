"""Losses on partly labelled chips."""

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from landshift.models.network.siamese import Output
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED


def loss_of(output: Output, batch: dict[str, Tensor], kind: str) -> Tensor:
    """Return the loss of a batch: the mean over the heads that have a label in it.

    Args:
        output: Logits.
        batch: With `change_label`, `before_label`, `after_label` (batch, y, x) int64, 255 = not labelled.
        kind: `dice` (Milletari 2016, doi:10.1109/3DV.2016.79), `cross-entropy` or `both` (their sum).

    Returns:
        A scalar, 0 where nothing in the batch is labelled.

    Raises:
        InputError: `kind` is not known.
    """
    if kind not in ("dice", "cross-entropy", "both"):
        raise InputError(f"training: loss: {kind!r} is not known; expected dice, cross-entropy or both.")
    terms = []
    if output.change is not None and (batch["change_label"] != NOT_LABELLED).any():
        terms.append(_head_loss(output.change[:, None], batch["change_label"], "binary", kind))
    for name in ("before", "after"):
        logits, label = getattr(output, name), batch[f"{name}_label"]
        if logits is not None and (label != NOT_LABELLED).any():
            terms.append(_head_loss(logits, label, "multiclass", kind))
    if not terms:
        # Keeps the graph whole for processes that train together.
        parts = [t for t in (output.change, output.before, output.after) if t is not None]
        return torch.stack([t.sum() for t in parts]).sum() * 0.0
    return torch.stack(terms).mean()


def _head_loss(logits: Tensor, label: Tensor, mode: str, kind: str) -> Tensor:
    logits = logits.float()
    value = logits.new_zeros(())
    if kind in ("dice", "both"):
        value = value + smp.losses.DiceLoss(mode, ignore_index=NOT_LABELLED)(logits, label)
    if kind in ("cross-entropy", "both"):
        if mode == "binary":
            known = label != NOT_LABELLED
            value = value + nn.functional.binary_cross_entropy_with_logits(logits[:, 0][known], label[known].float())
        else:
            value = value + nn.functional.cross_entropy(logits, label, ignore_index=NOT_LABELLED)
    return value
