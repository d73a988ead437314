"""Fine-tune a network: a loop that can be killed and resumed."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from landshift.models.network.callbacks import Diverged, EpochSampler, History, Patience, WholeCheckpoints
from landshift.models.network.learner import Learner, TrainingSettings, is_settled
from landshift.models.network.lora import add_lora, merge_lora
from landshift.models.network.siamese import ChangeNetwork
from landshift.pipeline.scores.training import Fit

__all__ = ["Diverged", "EpochSampler", "TrainingSettings", "fit", "precision_for", "seed_everything"]

_log = logging.getLogger(__name__)


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
        network: Trained in place. With LoRA it has adapters while it trains, and its plain architecture again afterwards.
        training: Chips; index `epoch x length + i` is chip `i` of an epoch.
        validation: Chips of held-out blocks, for early stopping.
        settings: How.
        folder: Keeps the checkpoints; a training that was killed goes on from its last whole epoch.
        advance: Called with the share done, 0..1.

    Raises:
        Diverged: The loss is not finite.
        InputError: The strategy is LoRA, and the encoder is no transformer or peft is not installed.
    """
    seed_everything(settings.seed)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    history = History(settings.epochs, advance)
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
        callbacks=[history, Patience("choice", mode="max", patience=settings.patience), best, newest],
        gradient_clip_val=1.0,
        plugins=[WholeCheckpoints()],
        logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    size: int = len(training)  # type: ignore[arg-type]
    # Spawned, because a fork of a process with Prefect's threads fails at its end, and DataLoader takes that for a crash.
    loader = partial(
        DataLoader[dict[str, Tensor]], batch_size=settings.batch, num_workers=settings.workers,
        multiprocessing_context="spawn" if settings.workers else None, persistent_workers=settings.workers > 0,
    )  # fmt: skip
    loaders = loader(training, sampler=EpochSampler(size), drop_last=size > settings.batch), loader(validation)
    with _adapters(network.encoder, settings.strategy.lora_rank):
        learner = Learner(network, settings)
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
        parameters = learner.count_parameters(max(len(history.rows) - 1, 0))
    network.requires_grad_(True)
    network.eval().to("cpu")
    rows = history.rows

    def worth(row: dict[str, float]) -> tuple[bool, float]:
        return is_settled(int(row["epoch"]), settings.epochs), row.get("score", 0.0)

    top = max(rows, key=worth, default={"epoch": 0.0, "score": 0.0})
    _log.info("Trained %d epochs; best score %.3f in epoch %d.", len(rows), top.get("score", 0.0), int(top["epoch"]))
    return Fit(
        len(rows), int(top["epoch"]), float(top.get("score", 0.0)), tuple(rows), parameters=parameters, seconds=history.seconds
    )


@contextmanager
def _adapters(encoder: nn.Module, rank: int) -> Iterator[None]:
    """Give the encoder adapters of a rank, 0 = none, and its plain architecture back, also where training ends early."""
    if rank:
        _log.info("%d layers of the encoder have adapters of rank %d.", add_lora(encoder, rank), rank)
    try:
        yield
    finally:
        if rank:
            merge_lora(encoder)
