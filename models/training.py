"""Fine-tune a network: strategies, losses, and a loop that can be killed and resumed."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from sklearn.metrics import f1_score
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from models.losses import loss_of
from models.network import ChangeNetwork
from models.strategies import Strategy, parameter_groups
from pipeline.calibration import fit_temperature
from pipeline.legend import NOT_LABELLED

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Fit:
    """What a training did."""

    epochs: int
    """Epochs run, over all resumed parts."""
    best_epoch: int
    """Epoch of the weights that were kept, from 0: the best of the second half, if training came so far."""
    best_score: float
    """Validation score of those weights, 0..1."""
    history: tuple[dict[str, float], ...] = field(default_factory=tuple)
    """One row an epoch: `epoch`, `loss`, `score`."""


class EpochSampler(Sampler[int]):
    """New indices every epoch, shared out between the processes; Lightning tells it the epoch, also after a resume."""

    def __init__(self, count: int) -> None:
        """Remember how many indices make an epoch."""
        self._count, self._epoch = count, 0

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of indices that this process draws."""
        return self._count // _world()[1]

    def __iter__(self) -> Iterator[int]:
        """Yield this process's indices."""
        rank, size = _world()
        start = self._epoch * self._count
        return iter(range(start + rank, start + len(self) * size, size))


def _world() -> tuple[int, int]:
    group = torch.distributed
    return (group.get_rank(), group.get_world_size()) if group.is_available() and group.is_initialized() else (0, 1)


class Learner(lightning.LightningModule):
    """The training step, the validation score and the optimiser of a `ChangeNetwork`."""

    def __init__(self, network: ChangeNetwork, settings: TrainingSettings) -> None:
        """Wrap a network; nothing of it changes yet."""
        super().__init__()
        self.network = network
        self.settings = settings
        self._probe_epochs = math.ceil(settings.strategy.frozen_share * settings.epochs)
        self._seen: dict[str, list[np.ndarray]] = {}

    @property
    def encoder_frozen(self) -> bool:
        """Whether the encoder stands still in this epoch."""
        return self.current_epoch < self._probe_epochs

    def train(self, mode: bool = True) -> "Learner":
        """Switch the mode, and keep a frozen encoder's BatchNorm statistics still."""
        super().train(mode)
        if mode and self.encoder_frozen:
            self.network.encoder.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Freeze or release the encoder, and seed what is random within the epoch, so that a resumed one is the same."""
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch)
        self.network.encoder.requires_grad_(not self.encoder_frozen)
        self.train()

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        """Return the loss of a batch."""
        output = self.network(batch["before"], batch["after"])
        value = loss_of(output, batch, self.settings.loss)
        self.log("loss", value, on_step=False, on_epoch=True, batch_size=len(batch["before"]), sync_dist=True)
        return value

    def validation_step(self, batch: dict[str, Tensor], _index: int) -> None:
        """Collect what the labelled pixels were given."""
        output = self.network.decode(self.network.encode(batch["before"]), self.network.encode(batch["after"]))
        if output.change is not None:
            label = batch["change_label"]
            known = label != NOT_LABELLED
            self._keep("change", output.change[known].float(), label[known])
        for name in ("before", "after"):
            logits, label = getattr(output, name), batch[f"{name}_label"]
            if logits is not None:
                known = label != NOT_LABELLED
                self._keep("landuse", logits.argmax(1)[known], label[known])

    def _keep(self, name: str, said: Tensor, true: Tensor) -> None:
        self._seen.setdefault(name, []).append(said.cpu().numpy())
        self._seen.setdefault(f"{name}_true", []).append(true.cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Score the epoch: calibrated likelihood of change, and macro F1 of land use, where the network has them."""
        seen = {k: np.concatenate(v) for k, v in self._seen.items()}
        self._seen.clear()
        scores = []
        # A model that has diverged scores nothing here; the end of the epoch says so with a remedy.
        finite = "change" in seen and bool(np.isfinite(seen["change"]).all())
        if finite and 0 < seen["change_true"].sum() < len(seen["change_true"]):
            scores.append(calibrated_likelihood(seen["change"], seen["change_true"]))
        if len(seen.get("landuse", ())):
            scores.append(float(f1_score(seen["landuse_true"], seen["landuse"], average="macro", zero_division=0)))
        score = float(np.mean(scores)) if scores else 0.0
        self.log("score", score, sync_dist=True)
        self.log("choice", score - (not _is_settled(self.current_epoch, self.settings.epochs)), sync_dist=True)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 (Lightning's union)
        """AdamW with a warm-up of 5 % and a cosine; the encoder's stages have their own rates."""
        optimiser = torch.optim.AdamW(
            parameter_groups(self.network, self.settings.strategy, self.settings.learning_rate, self.settings.weight_decay)
        )
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        warm = max(steps // 20, 1)

        def factor(step: int) -> float:
            return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _is_settled(epoch: int, epochs: int) -> bool:
    """Tell whether an epoch may be the one to keep: the rate has come down from its peak, in the second half.

    Before, weights jump about, and on few validation patches the best of many jumps is so by chance.
    """
    return 2 * (epoch + 1) > epochs


def calibrated_likelihood(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability that calibrated logits give to the truth: the geometric mean over pixels, 0..1.

    Rankings such as average precision are perfect long before training is over; the likelihood goes on telling epochs
    apart. It is taken after fitting a temperature, since the model will be calibrated anyway and is not to be stopped for
    growing too sure (Berta 2025, arXiv:2501.19195).

    Args:
        logits: (n,) of changed.
        truth: (n,): 0 = unchanged, 1 = changed.
    """
    margin = np.where(truth == 1, logits, -logits).astype(np.float64) / fit_temperature(logits, truth)
    return float(np.exp(-np.logaddexp(0, -margin).mean()))


class _History(Callback):
    """Keeps one row an epoch, through kills and resumes, and tells how far the training is."""

    def __init__(self, epochs: int, advance: Callable[[float], None]) -> None:
        self.rows: list[dict[str, float]] = []
        self._epochs, self._advance = epochs, advance

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        known = trainer.callback_metrics
        metrics: dict[str, float] = {k: float(known[k]) for k in ("loss", "score") if k in known}
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise RuntimeError(
                f"Training diverged: the loss is {metrics['loss']} in epoch {trainer.current_epoch}. "
                f"Lower `training: learning_rate:`, or train with `precision: 32`."
            )
        self.rows.append({"epoch": float(trainer.current_epoch), **metrics})
        self._advance((trainer.current_epoch + 1) / self._epochs)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


class _Patience(EarlyStopping):
    """Early stopping that does not run one more epoch each time a training that it ended is resumed."""

    def on_train_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


def seed_everything(seed: int) -> None:
    """Seed every source of random numbers that weights and chips come from."""
    lightning.seed_everything(seed, verbose=False)


def precision_for(wanted: str) -> Any:  # noqa: ANN401 (Lightning's literal)
    """Return Lightning's name for the precision to train with on this machine."""
    if wanted == "auto":
        if not torch.cuda.is_available():
            return "32-true"
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[wanted]


def fit(
    network: ChangeNetwork,
    training: Dataset[dict[str, Tensor]],
    validation: Dataset[dict[str, Tensor]],
    settings: TrainingSettings,
    folder: Path,
    advance: Callable[[float], None] = lambda share: None,
) -> Fit:
    """Train, and leave the best weights of the second half of the epochs in `network`.

    Args:
        network: Trained in place.
        training: Chips; index `epoch x length + i` is chip `i` of an epoch.
        validation: Chips of held-out blocks, for early stopping.
        settings: How.
        folder: Keeps the checkpoints; a training that was killed goes on from its last whole epoch.
        advance: Called with the share done, 0..1.

    Raises:
        RuntimeError: The loss is not finite.
    """
    seed_everything(settings.seed)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    history = _History(settings.epochs, advance)
    best = ModelCheckpoint(folder, filename="best", monitor="choice", mode="max", enable_version_counter=False)
    # A row of its own: `save_last` of the one above would skip the epochs that are not the best so far.
    newest = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    last = folder / "last.ckpt"
    trainer = lightning.Trainer(
        accelerator="auto",
        strategy="ddp_find_unused_parameters_true" if torch.cuda.device_count() > 1 else "auto",
        max_epochs=settings.epochs,
        precision=precision_for(settings.precision),
        # The history comes first, so that a checkpoint holds the row of its own epoch.
        callbacks=[history, _Patience("choice", mode="max", patience=settings.patience), best, newest],
        gradient_clip_val=1.0,
        logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    learner = Learner(network, settings)
    size: int = len(training)  # type: ignore[arg-type]
    workers: dict[str, Any] = {}
    if settings.workers:
        # Spawned, because a fork of a process with Prefect's threads fails at its end, and DataLoader takes that for a crash.
        workers = {"num_workers": settings.workers, "multiprocessing_context": "spawn", "persistent_workers": True}
    loaders = (
        DataLoader(training, settings.batch, sampler=EpochSampler(size), drop_last=size > settings.batch, **workers),
        DataLoader(validation, settings.batch, **workers),
    )
    with warnings.catch_warnings():
        # Reading in the training process is meant where `workers` is 0, and so are short epochs.
        warnings.filterwarnings(
            "ignore", message=".*does not have many workers.*|.*number of training batches.*|.*Checkpoint directory.*"
        )
        try:
            trainer.fit(learner, *loaders, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit as error:
            # Lightning turns an interrupt into an exit of its own; the command line has words and a code for it.
            raise KeyboardInterrupt from error
    state = torch.load(best.best_model_path or last, map_location="cpu", weights_only=True)
    learner.load_state_dict(state["state_dict"])
    network.requires_grad_(True)
    network.eval().to("cpu")
    rows = history.rows

    def worth(row: dict[str, float]) -> tuple[bool, float]:
        return _is_settled(int(row["epoch"]), settings.epochs), row.get("score", 0.0)

    top = max(rows, key=worth, default={"epoch": 0.0, "score": 0.0})
    _log.info("Trained %d epochs; best score %.3f in epoch %d.", len(rows), top.get("score", 0.0), int(top["epoch"]))
    return Fit(len(rows), int(top["epoch"]), float(top.get("score", 0.0)), tuple(rows))
