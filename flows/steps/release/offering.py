"""Offering: a model that was just trained comes into use where it is worse in no region, or where a person says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect.artifacts import create_table_artifact

from landshift.flows.runtime.person import login_name
from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.learning.labelling import label_hashes
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.release.comparing import compare_models, comparison_lines
from landshift.flows.steps.release.releases import CARD, KEPT, MODEL, hashes_of, identity, now, settled, show_model
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash, short_hash, value_hash, write_text
from landshift.pipeline.releases import (
    COMPARED,
    PROMOTED,
    REFUSED,
    Entry,
    ReleaseJournal,
    keep_release,
    model_in_use,
    release_folder,
    write_journal,
)


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
        compared = [] if e.comparison is None else comparison_lines(e.comparison)
        if e.comparison is not None and e.comparison["sentence"] not in e.reason:
            compared.append(str(e.comparison["sentence"]))
        if self.promoted:
            since = "" if self.fresh else f", since {e.at}"
            return [*compared, f"Release {e.number} ({short_hash(e.weights)}) is in use{since}. {e.reason}"]
        return [
            *compared,
            f"Not promoted: {e.reason} The model in use stays as it is. "
            f"To use the new one all the same: landshift release promote CONFIG --despite-verdict --reason ...",
        ]


def offer_candidate(ws: Workspace, prepared: Prepared, who: str | None = None) -> Offered:
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
    description = file_hash(ws.candidate / MODEL)
    before = journal.rollback_of(description)
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
    ws: Workspace, prepared: Prepared, *, despite_verdict: bool, reason: str | None, who: str | None
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


def compared(ws: Workspace, prepared: Prepared, journal: ReleaseJournal) -> tuple[str, dict[str, Any]]:
    """Compare the candidate with the model in use, unless the journal has the answer to the same question."""
    current = journal.in_use
    description = file_hash(ws.candidate / MODEL)
    if current is None:
        raise ValueError("no model is in use")
    described = ws.project.model_dump(mode="json", include={"release", "labels", "split", "detect", "assess"})
    key = value_hash([description, current.description, prepared.hashes, label_hashes(ws), described])
    refused = journal.refusal_of(description, key)
    if refused is not None and refused.comparison is not None:
        return key, dict(refused.comparison)
    return key, compare_models(ws, prepared, ws.candidate, model_in_use(ws.releases, ws.model))


def require_candidate(ws: Workspace) -> None:
    """Refuse to go on without a model that was trained.

    Raises:
        InputError: There is none.
    """
    if not (ws.candidate / MODEL).is_file():
        raise InputError(f"{ws.candidate} holds no model, so there is nothing to promote. Run `landshift train` first.")


def _already(ws: Workspace, journal: ReleaseJournal) -> Offered | None:
    """Return where the candidate is in use already."""
    current = journal.in_use
    if current is None or current.description != file_hash(ws.candidate / MODEL):
        return None
    return Offered(True, False, current)


def _promote(
    ws: Workspace, journal: ReleaseJournal, reason: str, comparison: Mapping[str, Any] | None, key: str | None, who: str | None
) -> Offered:  # fmt: skip
    from landshift.models.use.bundle import describe

    describe(ws.candidate)
    weights, description = identity(ws.candidate)
    left = journal.in_use.number if journal.in_use is not None else None
    known = journal.release_of(description)
    if known is not None and known.number is not None:
        number, folder = known.number, release_folder(ws.releases, known)
    else:
        number, folder = keep_release(ws.releases, ws.candidate, KEPT, journal, weights)
    entry = Entry(
        PROMOTED, now(), who or login_name(), reason, weights, description, number, folder.name,
        known.files if known is not None else hashes_of(folder), left, key, comparison,
    )  # fmt: skip
    show_model(ws, folder, ReleaseJournal((*journal.entries, entry)))
    if comparison is not None:
        _tell_card(ws, comparison, left)
    return Offered(True, True, entry)


def _refuse(
    ws: Workspace, journal: ReleaseJournal, reason: str, comparison: Mapping[str, Any], key: str, who: str | None
) -> Offered:  # fmt: skip
    weights, description = identity(ws.candidate)
    before = journal.refusal_of(description, key)
    if before is not None and before.reason == reason:
        return Offered(False, False, before)
    entry = Entry(
        REFUSED, now(), who or login_name(), reason, weights, description,
        left=None, key=key, comparison=comparison,
    )  # fmt: skip
    write_journal(ws.releases, ReleaseJournal((*journal.entries, entry)))
    return Offered(False, True, entry)


def _tell_card(ws: Workspace, comparison: Mapping[str, Any], left: int | None) -> None:
    path = ws.model / CARD
    if path.is_file():
        told = "\n".join(f"- {line}" for line in (*comparison_lines(comparison), comparison["sentence"]))
        card = path.read_text(encoding="utf-8").rstrip()
        write_text(path, f"{card}\n\n{COMPARED} {left}, in use before\n\n{told}\n")


def require_promotable(ws: Workspace, *, despite_verdict: bool, reason: str | None) -> None:
    """Refuse what cannot be done at all, before anything is started.

    Raises:
        InputError: Nothing was trained; or the verdict is to be overridden without a reason.
    """
    if despite_verdict and not (reason or "").strip():
        raise InputError("--despite-verdict needs --reason; it stays in the journal.")
    require_candidate(ws)


def show_release(ws: Workspace, offered: Offered) -> None:
    """Show in Prefect how a new model compares with the one in use."""
    comparison = offered.entry.comparison
    rows = [
        {
            "region": row["region"], "score": row["score"], "in use": row["old"], "new": row["new"],
            "difference": row["gain"]["estimate"], "low": row["gain"]["low"], "high": row["gain"]["high"],
            "blocks": row["blocks"], "verdict": row["verdict"],
        }
        for row in (comparison or {}).get("rows", ())
    ]  # fmt: skip
    if rows:
        create_table_artifact(rows, key=f"{ws.project.artifact_name}-release", description=offered.entry.reason)
