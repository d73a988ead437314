"""Callbacks of a training: chips for each epoch, the history, and when to end."""

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.utils.data import Sampler

from landshift.pipeline.manifest import replace_when_done


class Diverged(RuntimeError):
    """The loss of a training is not finite; the message gives the settings to change."""


class EpochSampler(Sampler[int]):
    """New indices every epoch, shared out between the processes; Lightning sets the epoch, also after a resume."""

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


class History(Callback):
    """One row an epoch and the seconds, kept through kills and resumes, and the progress of the training."""

    def __init__(self, epochs: int, advance: Callable[[float], None]) -> None:
        """Start without rows.

        Args:
            epochs: How many there will be at most.
            advance: Called with the share done, 0..1.
        """
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self._epochs, self._advance, self._since = epochs, advance, 0.0

    def on_train_start(self, _trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _module: lightning.LightningModule, _outputs: object, _batch: object, batch_idx: int
    ) -> None:
        """Report the progress: an epoch may take minutes."""
        count = float(trainer.num_training_batches)
        if count >= 1 and math.isfinite(count):
            self._advance(min((trainer.current_epoch + (batch_idx + 1) / count) / self._epochs, 1.0))

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """Add the epoch's row.

        Raises:
            Diverged: The loss is not finite.
        """
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        logged = trainer.callback_metrics
        metrics: dict[str, float] = {k: float(logged[k]) for k in ("loss", "score", "f1") if k in logged}
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise Diverged(
                f"Training diverged: the loss is {metrics['loss']} in epoch {trainer.current_epoch}. "
                f"Lower `training: learning_rate:`, or train with `precision: 32`."
            )
        self.rows.append({"epoch": float(trainer.current_epoch), **metrics})
        self._advance((trainer.current_epoch + 1) / self._epochs)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows, self.seconds = list(state_dict["rows"]), float(state_dict["seconds"])


class Patience(EarlyStopping):
    """Early stopping that does not run one more epoch each time a training that it ended is resumed."""

    def on_train_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        """End at once where patience had run out before."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints that appear whole or not at all.

    Lightning's own are written in the system's folder for temporary files and moved from there: between two disks that is a
    copy, half of which a kill leaves under the name of the whole.
    """

    def save_checkpoint(self, checkpoint: object, path: str | os.PathLike[str], storage_options: object | None = None) -> None:
        """Write a checkpoint, in one atomic step."""
        with replace_when_done(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
