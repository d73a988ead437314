"""State of a monitor between its runs: `monitor.json`."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import read_record, write_record

STATE = "monitor.json"
"""In the project's folder of outputs."""

DONE, FAILED, SKIPPED = "done", "failed", "skipped"
"""What became of a pair; one of two seasons is skipped."""


@dataclass(frozen=True)
class PairState:
    """A pair as it was compared last."""

    outcome: str
    """`done`, `failed` or `skipped`."""
    fingerprint: str
    """Hash of its scenes and configuration."""
    register: str
    """Name of the register that it was merged into, from `register_name`."""
    run: str | None
    """Key of its run; None where it failed or was skipped."""
    message: str
    """What was found, or what went wrong; a sentence."""
    attempts: int
    """Failures in a row and the attempt after them, 1 or more."""
    at: str
    """When, ISO 8601, UTC."""
    model: str
    """Hash of the model's weights, or of the settings of the classical method."""


@dataclass(frozen=True)
class UsedScene:
    """A scene that a run was made from."""

    id: str
    """Of the scene: of a catalog its item's."""
    day: date
    """Of its acquisition, UTC."""


@dataclass(frozen=True)
class MonitorState:
    """Pairs and registers as the last run left them; both are updated in place."""

    pairs: dict[str, PairState]
    """By name of the pair."""
    published: dict[str, int]
    """Name of a register to the last line of its history in a diff."""
    scenes: dict[str, tuple[UsedScene, ...]] = field(default_factory=dict)
    """Key of each run to the scenes that it was made from, whatever became of its pair."""

    def is_done(self, pair: str) -> bool:
        """Return whether a pair was compared without a failure."""
        return pair in self.pairs and self.pairs[pair].outcome == DONE


def read_state(ws: Workspace) -> MonitorState:
    """Return the state that the last run wrote; where it is unreadable, pairs are compared again and the next diff is whole."""
    with suppress(InputError, RecursionError):
        return read_record(ws.output / STATE, MonitorState)
    return MonitorState({}, {})


def write_state(ws: Workspace, state: MonitorState) -> None:
    """Write the state in one atomic step."""
    write_record(ws.output / STATE, state)
