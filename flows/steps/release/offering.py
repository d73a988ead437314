"""Promotion of a model that was just trained, where it is worse in no region or where a person decides so."""

from collections.abc import Callable
from dataclasses import dataclass

from landshift.flows.runtime.artifacts import show_table
from landshift.flows.runtime.person import login_name
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.given import label_hashes
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.release.comparing import compare_models, comparison_lines, refuse_to_compare
from landshift.flows.steps.release.releases import CARD, KEPT, MODEL, hashes_of, identity, now, settle_release, show_model
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash, short_hash, value_hash, write_text
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.releases import (
    COMPARED,
    JOURNAL,
    PROMOTED,
    REFUSED,
    Entry,
    ReleaseJournal,
    keep_release,
    release_folder,
    write_journal,
)
from landshift.pipeline.scores.release import ReleaseComparison

_FIRST = "The first model of this project."


@dataclass(frozen=True)
class Offered:
    """What became of a model that was offered for use."""

    promoted: bool
    """Whether it is in use now."""
    fresh: bool
    """False where all this was known before, and nothing was written."""
    entry: Entry
    """Its line of the journal."""

    @property
    def comparison(self) -> ReleaseComparison | None:
        """The comparison with the model that was in use; None where nothing was compared."""
        return _read_comparison(self.entry)

    @property
    def lines(self) -> list[str]:
        """The same for the command line."""
        e, comparison = self.entry, self.comparison
        lines = [] if comparison is None else comparison_lines(comparison)
        if comparison is not None and comparison.sentence not in e.reason:
            lines.append(comparison.sentence)
        if self.promoted:
            since = "" if self.fresh else f", since {e.at}"
            return [*lines, f"Release {e.number} ({short_hash(e.weights)}) is in use{since}. {e.reason}"]
        return [
            *lines,
            f"Not promoted: {e.reason} The model in use stays as it is. "
            f"To use the new one all the same: landshift release promote CONFIG --despite-verdict --reason ...",
        ]


def offer_candidate(ws: Workspace, prepared: Pair, who: str | None = None) -> Offered:
    """Promote the model that was trained last, where nothing was in use before or where it is worse in no region.

    The output folder must be locked (`Workspace.alone`).

    Raises:
        InputError: The journal or the labels cannot be used.
    """

    def decide(journal: ReleaseJournal, comparison: ReleaseComparison) -> tuple[bool, str]:
        before = journal.rollback_of(file_hash(ws.candidate / MODEL))
        if before is not None:
            return False, f"It was rolled back from on {before.at}: {before.reason}"
        if comparison.promote and not ws.project.release.automatic:
            return False, "`release: automatic: false` leaves that to a person."
        return comparison.promote, comparison.sentence

    return _decide(ws, prepared, decide, first=_FIRST, who=who)


def promote_candidate(ws: Workspace, prepared: Pair, *, despite_verdict: bool, reason: str | None, who: str | None) -> Offered:
    """Put the model that was trained last in use for a person; the output folder must be locked.

    Raises:
        InputError: Nothing was trained, the journal or the labels cannot be used.
    """

    def decide(_journal: ReleaseJournal, comparison: ReleaseComparison) -> tuple[bool, str]:
        if comparison.promote:
            return True, reason or comparison.sentence
        return despite_verdict, f"Despite the verdict: {reason}" if despite_verdict else comparison.sentence

    require_candidate(ws)
    return _decide(ws, prepared, decide, first=reason or _FIRST, who=who)


def _decide(
    ws: Workspace, prepared: Pair, decide: Callable[[ReleaseJournal, ReleaseComparison], tuple[bool, str]], *, first: str,
    who: str | None,
) -> Offered:  # fmt: skip
    journal = settle_release(ws)
    current = journal.in_use
    if current is None:
        return _promote(ws, journal, first, comparison=None, key=None, who=who)
    description = file_hash(ws.candidate / MODEL)
    if current.description == description:
        return Offered(True, False, current)
    described = ws.project.model_dump(mode="json", include={"release", "labels", "split", "detect", "assess"})
    key = value_hash([description, current.description, prepared.key, label_hashes(ws), described])
    refused = journal.refusal_of(description, key)
    # The journal may have the answer to the same question.
    comparison = None if refused is None else _read_comparison(refused)
    if comparison is None:
        # Its release also holds where it was trained.
        release = journal.releases[current.number or 0]
        try:
            in_use = release_folder(ws.releases, release)
        except InputError as error:
            comparison = refuse_to_compare(str(error))
        else:
            comparison = compare_models(ws, prepared, ws.candidate, in_use)
    promoted, reason = decide(journal, comparison)
    act = _promote if promoted else _refuse
    return act(ws, journal, reason, comparison=comparison, key=key, who=who)


def require_candidate(ws: Workspace) -> None:
    """Refuse to go on without a model that was trained.

    Raises:
        InputError: The folder of the candidate holds no model.
    """
    if not (ws.candidate / MODEL).is_file():
        raise InputError(f"{ws.candidate} holds no model, so there is nothing to promote. Run `landshift train` first.")


def _read_comparison(entry: Entry) -> ReleaseComparison | None:
    return None if entry.comparison is None else record_of(ReleaseComparison, entry.comparison, JOURNAL)


def _promote(
    ws: Workspace, journal: ReleaseJournal, reason: str, *, comparison: ReleaseComparison | None, key: str | None,
    who: str | None,
) -> Offered:  # fmt: skip
    from landshift.models.use.bundle import describe

    describe(ws.candidate)
    weights, description = identity(ws.candidate)
    left = journal.in_use.number if journal.in_use is not None else None
    known = journal.release_of(description)
    if known is not None and known.number is not None:
        number, folder = known.number, release_folder(ws.releases, known)
    else:
        number, folder = keep_release(ws.releases, ws.candidate, KEPT, journal, weights=weights)
    entry = Entry(
        PROMOTED, now(), who or login_name(), reason, weights=weights, description=description, number=number,
        folder=folder.name,
        files=known.files if known is not None else hashes_of(folder), left=left, key=key, comparison=content_of(comparison),
    )  # fmt: skip
    show_model(ws, folder, ReleaseJournal((*journal.entries, entry)))
    if comparison is not None:
        _extend_card(ws, comparison, left)
    return Offered(True, True, entry)


def _refuse(
    ws: Workspace, journal: ReleaseJournal, reason: str, *, comparison: ReleaseComparison | None, key: str | None,
    who: str | None,
) -> Offered:  # fmt: skip
    weights, description = identity(ws.candidate)
    before = journal.refusal_of(description, key or "")
    if before is not None and before.reason == reason:
        return Offered(False, False, before)
    entry = Entry(
        REFUSED, now(), who or login_name(), reason, weights=weights, description=description,
        left=None, key=key, comparison=content_of(comparison),
    )  # fmt: skip
    write_journal(ws.releases, ReleaseJournal((*journal.entries, entry)))
    return Offered(False, True, entry)


def _extend_card(ws: Workspace, comparison: ReleaseComparison, left: int | None) -> None:
    path = ws.model / CARD
    if path.is_file():
        found = "\n".join(f"- {line}" for line in (*comparison_lines(comparison), comparison.sentence))
        card = path.read_text(encoding="utf-8").rstrip()
        write_text(path, f"{card}\n\n{COMPARED} {left}, in use before\n\n{found}\n")


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
    comparison = offered.comparison
    rows = [
        {
            "region": row.region, "score": row.score, "in use": row.old, "new": row.new, "difference": row.gain.estimate,
            "low": row.gain.low, "high": row.gain.high, "blocks": row.blocks, "verdict": row.verdict,
        }
        for row in (comparison.rows if comparison else ())
    ]  # fmt: skip
    if rows:
        show_table(rows, key=f"{ws.project.artifact_name}-release", description=offered.entry.reason)
