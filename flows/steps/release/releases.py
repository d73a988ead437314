"""Releases of a project: the model in use, since when and why, and the way back to the one before."""

import shlex
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from landshift.flows.runtime.person import login_name
from landshift.flows.runtime.reply import Reply, table_lines
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash, replace_when_done, short_hash
from landshift.pipeline.records import read_json
from landshift.pipeline.releases import (
    ROLLED_BACK,
    Entry,
    ReleaseJournal,
    model_in_use,
    read_journal,
    release_folder,
    write_journal,
)

# Named here, since the modules that name them import torch and GDAL, which rolling back does not need.
MODEL, CARD = "model.json", "card.md"
SHOWN = ("weights.safetensors", MODEL, CARD, "item.json")
"""Files of a model."""
KEPT = (*SHOWN, "seen.tif")
"""Files of a release: also where it was trained."""


def roll_back(ws: Workspace, to: int | None, reason: str, who: str | None = None) -> Reply:
    """Put an earlier release in use again: one name in the journal decides, so a kill leaves the one or the other.

    Args:
        ws: The project.
        to: Number of the release; the one that was in use before the present one where None.
        reason: Why; it stays in the journal.
        who: The person who does it; the login name where None.

    Raises:
        InputError: No reason, no such release, or its files are not those that were released.
    """
    if not reason.strip():
        raise InputError("--reason is empty; give one, since it stays in the journal.")
    if read_journal(ws.releases).in_use is None:  # before a folder is made for the lock
        raise InputError(
            f"{ws.releases} holds no release. `landshift train` makes the first; or name the folder with --output."
        )
    with ws.alone():
        journal = read_journal(ws.releases)
        current = journal.in_use
        if current is None or current.number is None:
            raise InputError(f"{ws.releases} holds no release any more.")
        number = to if to is not None else _one_before(journal)
        release = journal.releases.get(number)
        if release is None:
            listed = ", ".join(str(n) for n in journal.releases)
            raise InputError(
                f"There is no release {number}; there are {listed}. `landshift release list CONFIG` describes them."
            )
        source = release_folder(ws.releases, release)
        entry = replace(
            release, action=ROLLED_BACK, at=now(), who=who or login_name(), reason=reason, left=current.number, key=None,
            comparison=None,
        )  # fmt: skip
        fresh = current.number != number
        mended = not fresh and not _shows(ws, release)
        if fresh or mended:
            show_model(ws, source, ReleaseJournal((*journal.entries, entry)) if fresh else None)
    if not fresh:
        line = f"Release {number} is in use already" + (f"; {ws.model} was mended from it." if mended else ".")
        return {"release": number, "weights": release.weights, "fresh": False, "mended": mended}, [line]
    register = ws.output / "register.gpkg"
    named = register if register.is_file() else "REGISTER"
    command = f"landshift register withdraw {shlex.quote(str(named))} --model {current.weights} --reason {shlex.quote(reason)}"
    lines = [
        f"Release {number} ({short_hash(release.weights)}) is in use again, instead of {current.number} "
        f"({short_hash(current.weights)})."
    ]
    if current.weights != release.weights:
        lines.append(f"What release {current.number} put into a register stays there. To take it back:\n  {command}")
    content = {"release": number, "weights": release.weights, "left": current.number, "left_weights": current.weights}
    return {**content, "withdraw": command, "fresh": True}, lines


def list_releases(ws: Workspace) -> Reply:
    """List the models that were released, refused and rolled back, and the one in use."""
    journal = read_journal(ws.releases)
    current = journal.in_use
    rows = [
        ["-" if entry.number is None else str(entry.number), short_hash(entry.weights), entry.at, entry.action, entry.who or "",
         f"{entry.reason}{'  (in use)' if entry is current else ''}"]
        for entry in journal.entries
    ]  # fmt: skip
    used = "No release is in use." if current is None else f"Release {current.number} is in use."
    lines = [used, "", *table_lines(("Release", "Model", "When", "What", "Who", "Why"), rows)] if rows else []
    faults = []
    for release in journal.releases.values():
        try:
            release_folder(ws.releases, release)
        except InputError as error:
            faults.append(str(error))
    content = {
        "in_use": None if current is None else {"release": current.number, "weights": current.weights},
        "entries": [vars(entry) for entry in journal.entries], "faults": faults,
    }  # fmt: skip
    if not lines and (ws.model / "model.json").is_file():
        lines = [f"No model was released yet; {ws.model}, put there by hand, is used."]
    return content, [*lines, *faults] or ["No model was released yet; `landshift train` makes the first."]


def settle_release(ws: Workspace) -> ReleaseJournal:
    """Return the journal, with the folder of the model in use brought in line with it; the output folder must be locked.

    Raises:
        InputError: The journal is damaged, the folder holds a model that was never released, or both are gone.
    """
    journal = read_journal(ws.releases)
    if journal.in_use is None:
        if (ws.model / MODEL).is_file():
            raise InputError(
                f"{ws.model} holds a model that was never released, and {ws.releases} holds no release. Move that folder away "
                f"and run again; to use the model all the same, name it with --model."
            )
        return journal
    source = model_in_use(ws.releases, ws.model)
    if source != ws.model:
        release_folder(ws.releases, journal.releases[journal.in_use.number or 0])
        show_model(ws, source, None)
    return journal


def show_model(ws: Workspace, source: Path, journal: ReleaseJournal | None) -> None:
    """Copy a release to where the model in use is shown, and let the journal name it once the copy is whole.

    The bytes are copied: who overwrites the model in use by hand must not reach the release. A kill after the journal is
    written leaves the old folder or none; `model_in_use` then finds the release itself.
    """
    with replace_when_done(ws.model) as temporary:
        temporary.mkdir(parents=True)
        for name in SHOWN:
            if (source / name).is_file():
                shutil.copy2(source / name, temporary / name)
        if journal is not None:
            write_journal(ws.releases, journal)


def _shows(ws: Workspace, release: Entry) -> bool:
    paths = [(ws.model / name, release.files.get(name)) for name in SHOWN if name != CARD]
    return all(wanted is None or (path.is_file() and file_hash(path) == wanted) for path, wanted in paths)


def _one_before(journal: ReleaseJournal) -> int:
    path = journal.way_back
    if len(path) < 2:
        raise InputError(
            "There is no release before the one in use to go back to."
            + (" Name one with --to." if len(journal.releases) > 1 else "")
        )
    return path[-2]


def identity(folder: Path) -> tuple[str, str]:
    """Return the hashes of a model's weights and of its `model.json`."""
    content = read_json(folder / MODEL)
    return str(content["weights"]), file_hash(folder / MODEL)


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the hash of each file in a folder, by name."""
    return {path.name: file_hash(path) for path in sorted(folder.iterdir()) if path.is_file()}


def now() -> str:
    """Return the present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
