"""One training step, one validation score and the optimiser of a change network."""

import math
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from sklearn.metrics import f1_score, precision_recall_curve
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from landshift.models.network.losses import loss_of
from landshift.models.network.siamese import ChangeNetwork
from landshift.models.network.strategies import Strategy, parameter_groups, pull_back
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.scores.calibration import fit_temperature


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how to train."""

    strategy: Strategy
    """Row of `STRATEGIES`."""
    epochs: int = 20
    """At most; early stopping may end sooner."""
    batch: int = 8
    """Chips a step and device."""
    learning_rate: float = 1e-3
    """Peak, for the decoders."""
    weight_decay: float = 1e-2
    """AdamW's."""
    patience: int = 6
    """Epochs without a better validation score before training stops; the count starts anew at half of the epochs."""
    loss: str = "both"
    """`dice`, `cross-entropy` or `both`."""
    seed: int = 0
    """Of weights and chips."""
    workers: int = 0
    """Processes that read chips; 0 reads in the training process."""
    precision: str = "auto"
    """`auto` (bf16 or fp16 on a GPU that has it, else float32), `32`, `bf16` or `16`."""


class Learner(lightning.LightningModule):
    """The training step, the validation score and the optimiser of a `ChangeNetwork`."""

    start: Tensor

    def __init__(self, network: ChangeNetwork, settings: TrainingSettings) -> None:
        """Wrap a network; nothing of it changes yet."""
        super().__init__()
        self.network = network
        self.settings = settings
        strategy, encoder = settings.strategy, list(network.encoder.parameters())
        self._probe_epochs = math.ceil(strategy.frozen_share * settings.epochs)
        # `add_lora` has left a gradient to the adapters alone.
        self._movable = [p for p in encoder if p.requires_grad or not strategy.lora_rank]
        if strategy.anchor:
            # In the state dict, because a resumed training may be handed a network that starts elsewhere.
            self.register_buffer("start", parameters_to_vector(encoder).detach().clone())
        self._seen: dict[str, list[np.ndarray]] = {}

    @property
    def encoder_frozen(self) -> bool:
        """Whether the encoder stands still in this epoch."""
        return self.current_epoch < self._probe_epochs

    def train(self, mode: bool = True) -> "Learner":
        """Switch the mode, and keep the BatchNorm statistics of a frozen encoder, or of one with adapters, still."""
        super().train(mode)
        if mode and (self.encoder_frozen or self.settings.strategy.lora_rank):
            self.network.encoder.eval()
        return self

    def count_parameters(self, epoch: int) -> int:
        """Return how many parameters move in an epoch."""
        encoder = {id(p) for p in self.network.encoder.parameters()}
        rest = [p for p in self.network.parameters() if id(p) not in encoder]
        return sum(p.numel() for p in (rest if epoch < self._probe_epochs else [*rest, *self._movable]))

    def on_train_epoch_start(self) -> None:
        """Freeze or release the encoder, and seed what is random within the epoch, so that a resumed one is the same."""
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch)
        for parameter in self._movable:
            parameter.requires_grad_(not self.encoder_frozen)
        self.train()

    def on_after_batch_transfer(self, batch: dict[str, Tensor], _loader: int) -> dict[str, Tensor]:
        """Lay images out with their bands last: convolutions take 0.7 to 0.8 of the time on a processor.

        Measured with `benchmarks/decoders.py steps`; the weights stay as they are, since an anchor reads them as one vector.
        """
        last = torch.channels_last
        return {name: value.contiguous(memory_format=last) if value.ndim == 4 else value for name, value in batch.items()}

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        """Return the loss of a batch."""
        output = self.network(batch["before"], batch["after"], batch.get("priors"))
        value = loss_of(output, batch, self.settings.loss)
        self.log("loss", value, on_step=False, on_epoch=True, batch_size=len(batch["before"]), sync_dist=True)
        return value

    def validation_step(self, batch: dict[str, Tensor], _index: int) -> None:
        """Collect the answers for the labelled pixels."""
        output = self.network.decode(
            self.network.encode(batch["before"]), self.network.encode(batch["after"]), batch.get("priors")
        )
        if output.change is not None:
            label = batch["change_label"]
            labelled = label != NOT_LABELLED
            self._keep("change", output.change[labelled].float(), label[labelled])
        for name in ("before", "after"):
            logits, label = getattr(output, name), batch[f"{name}_label"]
            if logits is not None:
                labelled = label != NOT_LABELLED
                self._keep("landuse", logits.argmax(1)[labelled], label[labelled])

    def _keep(self, name: str, found: Tensor, true: Tensor) -> None:
        self._seen.setdefault(name, []).append(found.cpu().numpy())
        self._seen.setdefault(f"{name}_true", []).append(true.cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Score the epoch: calibrated likelihood of change, and macro F1 of land use, where the network has them."""
        seen = {k: np.concatenate(v) for k, v in self._seen.items()}
        self._seen.clear()
        scores = []
        # A model that has diverged scores nothing here; the end of the epoch raises an error with a remedy.
        finite = "change" in seen and bool(np.isfinite(seen["change"]).all())
        if finite and 0 < seen["change_true"].sum() < len(seen["change_true"]):
            scores.append(likelihood_after_calibration(seen["change"], seen["change_true"]))
            self.log("f1", highest_f1(seen["change"], seen["change_true"]), sync_dist=True)
        if len(seen.get("landuse", ())):
            scores.append(float(f1_score(seen["landuse_true"], seen["landuse"], average="macro", zero_division=0)))
        score = float(np.mean(scores)) if scores else 0.0
        self.log("score", score, sync_dist=True)
        self.log("choice", score - (not is_settled(self.current_epoch, self.settings.epochs)), sync_dist=True)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's union)
        """AdamW with a warm-up of 5 % and a cosine; each stage of the encoder has its rate; an anchor pulls it back."""
        groups = parameter_groups(self.network, self.settings.strategy, self.settings.learning_rate, self.settings.weight_decay)
        # One pass over the weights instead of ten: 6 % of a step on a processor. With mixed precision, Lightning clips no
        # gradients of such an optimiser.
        whole = self.device.type == "cpu" and self.trainer.precision == "32-true"
        optimiser = torch.optim.AdamW(groups, fused=whole)
        strategy, encoder = self.settings.strategy, list(self.network.encoder.parameters())
        if strategy.anchor:

            def pull(optimiser: torch.optim.Optimizer, *_: object) -> None:
                pull_back(optimiser.param_groups, encoder, self.start, strategy.anchor)

            optimiser.register_step_post_hook(pull)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        warm = max(steps // 20, 1)

        def factor(step: int) -> float:
            return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def is_settled(epoch: int, epochs: int) -> bool:
    """Return whether an epoch may be the one to keep: the rate has come down from its peak, in the second half.

    Before, weights jump about, and on few validation patches the best of many jumps is so by chance.
    """
    return 2 * (epoch + 1) > epochs


def highest_f1(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the F1 of changed at the best threshold for these pixels, 0..1.

    Args:
        logits: (n,) of changed.
        truth: (n,): 0 = unchanged, 1 = changed; both occur.
    """
    precision, recall, _ = precision_recall_curve(truth, logits)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def likelihood_after_calibration(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability that calibrated logits give to the truth: the geometric mean over pixels, 0..1.

    Rankings such as average precision are perfect long before training is over; the likelihood still separates epochs. It is
    taken after fitting a temperature, since the model will be calibrated anyway and is not to be stopped for growing too sure
    (Berta 2025, arXiv:2501.19195).

    Args:
        logits: (n,) of changed.
        truth: (n,): 0 = unchanged, 1 = changed.
    """
    margin = np.where(truth == 1, logits, -logits).astype(np.float64) / fit_temperature(logits, truth)
    return float(np.exp(-np.logaddexp(0, -margin).mean()))
