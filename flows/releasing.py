"""Releasing: which model of a project is in use, since when and why, and the way back to the one before."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.person import login_name
from flows.workspace import Workspace
from pipeline.errors import InputError
from pipeline.manifest import file_hash, replace_when_done, value_hash, write_text
from pipeline.releases import (
    ADOPTED,
    COMPARED,
    PROMOTED,
    REFUSED,
    ROLLED_BACK,
    Entry,
    Journal,
    keep_release,
    read_journal,
    release_folder,
    released_model,
    short,
    write_journal,
)

if TYPE_CHECKING:
    from flows.prepare import Prepared

Answer = tuple[dict[str, Any], list[str]]
"""For machines, and for people."""

# Named here, since the modules that name them import torch and GDAL, which rolling back does not need.
_MODEL, _CARD, _SEEN = "model.json", "card.md", "seen.tif"
_SHOWN = ("weights.safetensors", _MODEL, _CARD, "item.json")
"""Files of a model; a release also keeps where it was trained."""


@dataclass(frozen=True)
class Offered:
    """What became of a model that was offered for use."""

    promoted: bool
    """Whether it is in use now."""
    fresh: bool
    """False where all this was known before, and nothing was written."""
    entry: Entry
    """The line of the journal that says so."""

    @property
    def lines(self) -> list[str]:
        """The same for the command line."""
        e = self.entry
        compared = [] if e.comparison is None else _compared(e.comparison)
        if self.promoted:
            since = "" if self.fresh else f", since {e.at}"
            return [*compared, f"Release {e.number} ({short(e.weights)}) is in use{since}. {e.reason}"]
        return [
            *compared,
            f"Not promoted: {e.reason} The model in use stays as it is. "
            f"To use the new one all the same: landshift release promote CONFIG --despite-verdict --reason ...",
        ]


def offer_candidate(ws: Workspace, prepared: "Prepared", who: str | None = None) -> Offered:
    """Promote the model that was trained last, where nothing was in use before or where it is worse in no region.

    The output folder must be locked (`Workspace.alone`).

    Raises:
        InputError: The journal or the labels cannot be used.
    """
    journal = settled(ws)
    known = _already(ws, journal)
    if known is not None:
        return known
    if journal.in_use is None:
        return _promote(ws, journal, "The first model of this project.", None, None, who)
    key, comparison = compared(ws, prepared, journal)
    description = file_hash(ws.candidate / _MODEL)
    before = journal.rolled_back_from(description)
    if before is not None:
        why = f"It was rolled back from on {before.at}: {before.reason}"
    elif not comparison["promote"]:
        why = str(comparison["sentence"])
    elif not ws.project.release.automatic:
        why = "`release: automatic: false` leaves that to a person."
    else:
        return _promote(ws, journal, str(comparison["sentence"]), comparison, key, who)
    return _refuse(ws, journal, why, comparison, key, who)


def promote_candidate(
    ws: Workspace, prepared: "Prepared", *, despite_verdict: bool, reason: str | None, who: str | None
) -> Offered:
    """Put the model that was trained last in use, because a person says so; the output folder must be locked.

    Raises:
        InputError: Nothing was trained, the journal or the labels cannot be used.
    """
    require_candidate(ws)
    journal = settled(ws)
    known = _already(ws, journal)
    if known is not None:
        return known
    if journal.in_use is None:
        return _promote(ws, journal, reason or "The first model of this project.", None, None, who)
    key, comparison = compared(ws, prepared, journal)
    if comparison["promote"] or despite_verdict:
        overridden = "" if comparison["promote"] else "Despite the verdict: "
        return _promote(ws, journal, overridden + (reason or str(comparison["sentence"])), comparison, key, who)
    return _refuse(ws, journal, str(comparison["sentence"]), comparison, key, who)


def compared(ws: Workspace, prepared: "Prepared", journal: Journal) -> tuple[str, dict[str, Any]]:
    """Compare the candidate with the model in use, unless the journal has the answer to the same question."""
    from flows.comparing import compare_models
    from flows.labelling import read_labels
    from flows.prepare import plan

    current = journal.in_use
    description = file_hash(ws.candidate / _MODEL)
    if current is None:
        raise ValueError("no model is in use")
    described = ws.project.model_dump(mode="json", include={"release", "labels", "split", "detect", "assess"})
    labels = read_labels(ws, plan(ws).grid).hashes
    key = value_hash([description, current.description, prepared.hashes, dict(labels), described])
    refused = journal.refused_before(description, key)
    if refused is not None and refused.comparison is not None:
        return key, dict(refused.comparison)
    return key, compare_models(ws, prepared, ws.candidate, released_model(ws.releases, ws.model))


def roll_back(ws: Workspace, to: int | None, reason: str, who: str | None = None) -> Answer:
    """Put an earlier release in use again: one name in the journal decides, so a kill leaves the one or the other.

    Args:
        ws: The project.
        to: Number of the release; the one that was in use before the present one where None.
        reason: Why; it stays in the journal.
        who: Who says so; the login name where None.

    Raises:
        InputError: No reason, no such release, or its files are not those that were released.
    """
    if not reason.strip():
        raise InputError("--reason is empty; say why, since it stays in the journal.")
    with ws.alone():
        journal = read_journal(ws.releases)
        current = journal.in_use
        if current is None or current.number is None:
            raise InputError(f"{ws.releases} holds no release. `landshift train` makes the first.")
        number = to if to is not None else _one_before(journal)
        release = journal.releases.get(number)
        if release is None:
            listed = ", ".join(str(n) for n in journal.releases)
            raise InputError(f"There is no release {number}; there are {listed}. `landshift release list CONFIG` tells more.")
        source = release_folder(ws.releases, release)
        entry = replace(
            release, action=ROLLED_BACK, at=_now(), who=who or login_name(), reason=reason, left=current.number, key=None,
            comparison=None,
        )  # fmt: skip
        fresh = current.number != number
        mended = not fresh and not _shows(ws, release)
        if fresh or mended:
            _show_model(ws, source, Journal((*journal.entries, entry)) if fresh else None)
    if not fresh:
        told = f"Release {number} is in use already" + (f"; {ws.model} was mended from it." if mended else ".")
        return {"release": number, "weights": release.weights, "fresh": False, "mended": mended}, [told]
    command = f"landshift register withdraw {ws.output / 'register.gpkg'} --model {current.weights} --reason ..."
    lines = [
        f"Release {number} ({short(release.weights)}) is in use again, instead of {current.number} ({short(current.weights)})."
    ]
    if current.weights != release.weights:
        lines.append(f"What release {current.number} put into a register stays there. To take it back:\n  {command}")
    content = {"release": number, "weights": release.weights, "left": current.number, "left_weights": current.weights}
    return {**content, "withdraw": command, "fresh": True}, lines


def list_releases(ws: Workspace) -> Answer:
    """Say which models were released, refused and rolled back, and which one is in use."""
    journal = read_journal(ws.releases)
    current = journal.in_use
    lines = []
    for entry in journal.entries:
        number = "-" if entry.number is None else str(entry.number)
        mark = "  (in use)" if entry is current else ""
        by = f" by {entry.who}" if entry.who else ""
        lines.append(f"{number:>4}  {short(entry.weights)}  {entry.at}  {entry.action}{by}: {entry.reason}{mark}")
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
    return content, [*lines, *faults] or ["No model was released yet; `landshift train` makes the first."]


def settled(ws: Workspace) -> Journal:
    """Return the journal, with the folder of the model in use brought in line with it; the output folder must be locked.

    A model that was in use before there was a journal becomes the first release.

    Raises:
        InputError: The journal is damaged, or the folder holds a model that was never released.
    """
    journal = read_journal(ws.releases)
    if journal.in_use is None:
        return _adopted(ws, journal) if (ws.model / _MODEL).is_file() else journal
    source = released_model(ws.releases, ws.model)
    if source != ws.model:
        _show_model(ws, source, None)
    return journal


def require_candidate(ws: Workspace) -> None:
    """Refuse to go on without a model that was trained.

    Raises:
        InputError: There is none.
    """
    if not (ws.candidate / _MODEL).is_file():
        raise InputError(f"{ws.candidate} holds no model, so there is nothing to promote. Run `landshift train` first.")


def _adopted(ws: Workspace, journal: Journal) -> Journal:
    from models.bundle import describe

    try:
        describe(ws.model)
    except InputError:
        return journal  # what cannot be read was not in use
    weights, description = _identity(ws.model)
    source = ws.model
    if (ws.candidate / _MODEL).is_file() and file_hash(ws.candidate / _MODEL) == description:
        source = ws.candidate  # the same model, and where it was trained is known
    number, folder = keep_release(ws.releases, source, (*_SHOWN, _SEEN), journal, weights)
    entry = Entry(
        ADOPTED, _now(), None, "It was in use before there were releases.", weights, description, number, folder.name,
        _files(folder),
    )  # fmt: skip
    journal = Journal((*journal.entries, entry))
    write_journal(ws.releases, journal)
    return journal


def _already(ws: Workspace, journal: Journal) -> Offered | None:
    """Return where the candidate is in use already."""
    current = journal.in_use
    if current is None or current.description != file_hash(ws.candidate / _MODEL):
        return None
    return Offered(True, False, current)


def _promote(
    ws: Workspace, journal: Journal, reason: str, comparison: Mapping[str, Any] | None, key: str | None, who: str | None
) -> Offered:  # fmt: skip
    from models.bundle import describe

    describe(ws.candidate)
    weights, description = _identity(ws.candidate)
    left = journal.in_use.number if journal.in_use is not None else None
    known = journal.release_of(description)
    if known is not None and known.number is not None:
        number, folder = known.number, release_folder(ws.releases, known)
    else:
        number, folder = keep_release(ws.releases, ws.candidate, (*_SHOWN, _SEEN), journal, weights)
    entry = Entry(
        PROMOTED, _now(), who or login_name(), reason, weights, description, number, folder.name,
        known.files if known is not None else _files(folder), left, key, comparison,
    )  # fmt: skip
    _show_model(ws, folder, Journal((*journal.entries, entry)))
    if comparison is not None:
        _tell_card(ws, comparison, left)
    return Offered(True, True, entry)


def _refuse(
    ws: Workspace, journal: Journal, reason: str, comparison: Mapping[str, Any], key: str, who: str | None
) -> Offered:  # fmt: skip
    weights, description = _identity(ws.candidate)
    before = journal.refused_before(description, key)
    if before is not None and before.reason == reason:
        return Offered(False, False, before)
    entry = Entry(
        REFUSED, _now(), who or login_name(), reason, weights, description,
        left=None, key=key, comparison=comparison,
    )  # fmt: skip
    write_journal(ws.releases, Journal((*journal.entries, entry)))
    return Offered(False, True, entry)


def _show_model(ws: Workspace, source: Path, journal: Journal | None) -> None:
    """Copy a release to where the model in use is shown, and let the journal name it once the copy is whole.

    The bytes are copied: who overwrites the model in use by hand must not reach the release. A kill after the journal is
    written leaves the old folder or none; `released_model` then finds the release itself.
    """
    with replace_when_done(ws.model) as temporary:
        temporary.mkdir(parents=True)
        for name in _SHOWN:
            if (source / name).is_file():
                shutil.copy2(source / name, temporary / name)
        if journal is not None:
            write_journal(ws.releases, journal)


def _tell_card(ws: Workspace, comparison: Mapping[str, Any], left: int | None) -> None:
    path = ws.model / _CARD
    if path.is_file():
        told = "\n".join(f"- {line}" for line in _compared(comparison))
        card = path.read_text(encoding="utf-8").rstrip()
        write_text(path, f"{card}\n\n{COMPARED} {left}, in use before\n\n{told}\n")


def _compared(comparison: Mapping[str, Any]) -> list[str]:
    from flows.comparing import comparison_lines

    return comparison_lines(comparison)


def _shows(ws: Workspace, release: Entry) -> bool:
    paths = [(ws.model / name, release.files.get(name)) for name in _SHOWN if name != _CARD]
    return all(wanted is None or (path.is_file() and file_hash(path) == wanted) for path, wanted in paths)


def _one_before(journal: Journal) -> int:
    path = journal.way_back
    if len(path) < 2:
        raise InputError(
            "There is no release before the one in use to go back to."
            + (" Name one with --to." if len(journal.releases) > 1 else "")
        )
    return path[-2]


def _identity(folder: Path) -> tuple[str, str]:
    """Return the hashes of a model's weights and of its `model.json`."""
    content = json.loads((folder / _MODEL).read_text(encoding="utf-8"))
    return str(content["weights"]), file_hash(folder / _MODEL)


def _files(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
