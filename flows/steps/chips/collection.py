"""The collection that a config describes: its chips, how they are read, and what they hold."""

from pathlib import Path

from landshift.flows.config.labels import ChipLabels
from landshift.flows.runtime.progress import step
from landshift.flows.steps.project.plan import legend_of, sensor_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.chips.layout import AFTER, AFTER_LABEL, BEFORE, BEFORE_LABEL, LABEL, ChipFolders, find_chips
from landshift.pipeline.chips.read import ChipReader, ChipTables
from landshift.pipeline.chips.survey import Survey, survey_chips
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import ROLES
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.records import read_record, write_record

_FORMAT = 1
"""Raised whenever a survey of the same files has another content."""
_NAME = "chips"


def chips_of(ws: Workspace) -> ChipLabels:
    """Return the section `labels: chips:` of a project.

    Raises:
        InputError: It has none.
    """
    if ws.project.chips is None:
        raise InputError(f"{ws.project.name} is a territory: its config has no `labels: chips:`.")
    return ws.project.chips


def layout_of(ws: Workspace) -> ChipFolders:
    """Return where the files of a project's collection lie.

    Raises:
        InputError: A folder leaves the data folder, and that is not allowed.
    """
    config = chips_of(ws)
    names = {BEFORE: config.before, AFTER: config.after}
    labels = {LABEL: config.label, BEFORE_LABEL: config.before_label, AFTER_LABEL: config.after_label}
    names |= {part: path for part, path in labels.items() if path is not None}
    splits = {role: getattr(config.split, role) for role in ROLES}
    share = splits["validation"] if isinstance(splits["validation"], float) else None
    folders = {role: path for role, path in splits.items() if isinstance(path, Path)}
    for key, path in (*names.items(), *((f"split: {role}", path) for role, path in folders.items())):
        ws.input(config.folder / path, f"labels: chips: {key}")
    return ChipFolders(ws.input(config.folder, "labels: chips: folder"), names, folders, share)


def reader_of(ws: Workspace) -> ChipReader:
    """Return what reads the chips of a project.

    Raises:
        InputError: The config's values do not fit the legend.
    """
    config = chips_of(ws)
    return ChipReader(sensor_of(ws.project.sensor), ChipTables.of(config.values, config.class_values, legend_of(ws.project)))


def look_through(ws: Workspace, *, thorough: bool) -> Survey:
    """Look through the collection; a thorough look is not done again for the same files (by their sizes and times).

    Raises:
        InputError: As `find_chips` and `survey_chips`.
    """
    layout, reader, legend = layout_of(ws), reader_of(ws), legend_of(ws.project)
    chips, faults, notes = find_chips(layout)
    files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for chip in chips for p in chip.files.values()]
    described = ws.project.model_dump(mode="json", include={"labels", "legend", "sensor"})
    key = value_hash([_FORMAT, [(c.role, c.name) for c in chips], files, faults, described])
    manifest, path = ws.manifest(ws.training), ws.training / "chips.json"
    if thorough and manifest.is_current(_NAME, key):
        return read_record(path, Survey)
    with step(f"Looking through {len(chips):,} chips") as advance:
        survey = survey_chips(chips, faults, reader, legend, thorough=thorough, advance=advance)
    survey = Survey(survey.chips, tuple(notes), survey.statistics)
    if thorough:
        write_record(path, survey)
        manifest.record(_NAME, key, [path])
    return survey
