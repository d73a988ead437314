"""First config of a project, from what lies in a folder, with what has to be decided."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from landshift.flows.config.project import Project, validate
from landshift.flows.steps.inspection.folder import FolderContent, read_folder, sensor_of_products
from landshift.flows.steps.inspection.label_offers import label_years, propose_labels
from landshift.flows.steps.inspection.proposing import (
    Content,
    Draft,
    propose_bands,
    propose_custom_sensor,
    propose_epochs,
    propose_files,
    propose_region,
)
from landshift.flows.steps.learning.labelling import assign_roles, read_labels, split_labels
from landshift.flows.steps.project.plan import plan, sensor_of
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.manifest import scratch_folder, write_text
from landshift.pipeline.scenes.folder import FolderReading, scenes_in
from landshift.pipeline.scenes.products.scenes import Declared
from landshift.pipeline.scenes.scene import Scene
from landshift.pipeline.scenes.survey import Alike, group_alike

_BLOCKS = ((64, 16, 50), (32, 8, 50), (32, 4, 20), (16, 4, 20), (16, 2, 10), (8, 2, 10), (8, 1, 5), (4, 0, 2))
"""Side of a block, buffer and pixels of each class in each split, the safest first."""
_DAY = "YYYY-MM-DD"
"""Stands where a day has to be filled in; no date, so nothing runs before."""
_ENOUGH_BLOCKS = 12
"""So that validation and test have more than one each."""
_MOST_FAULTS = 5
_INLINE = ("epochs.before", "epochs.after")


@dataclass(frozen=True)
class Initialised:
    """What `landshift init` wrote, and understood."""

    config: Path
    """The file."""
    scenes: tuple[Scene, ...]
    """That were found, by date."""
    chosen: tuple[str, ...]
    """Ids of the scenes of both epochs."""
    to_decide: tuple[str, ...]
    """What the user has to decide, each with its reason; sentences that begin with the key."""
    notes: tuple[str, ...]
    """What was left out and why; sentences."""


def write_config(folder: Path, path: Path) -> Initialised:
    """Write a commented config for what lies in a folder.

    Nothing is guessed: what the files do not show is written as a question. What they do show is tried: scenes are looked into,
    and labels divided.

    Args:
        folder: Where images and labels are, in it, below it, or in archives in it.
        path: The config to write; an existing one is not touched.

    Raises:
        InputError: No folder, fewer than two dates, or a config is there already.
    """
    if path.exists():
        raise InputError(f"{path} is there already, and is not overwritten. Name another with --config, or remove it.")
    content = read_folder(folder)
    draft, notes = Draft(), list(content.notes)
    draft.content["name"] = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:60] or "project"
    scenes = _propose_scenes(draft, content, notes)
    before, after = propose_epochs(draft, scenes, label_years(content))
    bare = [s.id for s in (*before, *after) if s.quality is None]
    if bare and len(bare) < len(before) + len(after):
        draft.questions.append(
            f"scenes: nothing masks clouds in {', '.join(bare[:3])}: the quality band is missing; download it too"
        )
    propose_region(draft, before, after)
    propose_bands(draft, [*before, *after])
    propose_labels(draft, content)
    _propose_the_rest(draft, folder, [*before, *after])
    text = _text(draft, content, scenes)
    return Initialised(
        write_text(path, text), tuple(scenes), tuple(s.id for s in (*before, *after)),
        to_decide=tuple(dict.fromkeys(draft.questions)), notes=tuple(notes),
    )  # fmt: skip


def _propose_scenes(draft: Draft, content: FolderContent, notes: list[str]) -> list[Scene]:
    """Write sensor and scenes; return the scenes that are found with them."""
    if content.products:
        name, others = sensor_of_products(content.products)
        draft.content["sensor"] = {"name": name}
        alike = [o for o in others if {f.key for f in content.products if not f.level}]
        if alike:
            draft.decide("sensor.name", f"the names do not have the level: {name} or {', '.join(alike)}")
    elif content.files:
        propose_custom_sensor(draft, content.files)
        propose_files(draft, content.folder, content.files)
    else:
        why = "; ".join(note.rstrip(".") for note in content.notes) or "no .tif, .tiff, .jp2, .zip or .tar"
        raise InputError(
            f"{content.folder} has no image that could be a scene ({why}). "
            f"Expected images of two or more dates, with the date (YYYYMMDD) in the names of files or folders."
        )
    sensor = sensor_of(Project.model_validate(_minimal(draft)).sensor)
    section = draft.content.get("scenes", {})
    refused: list[tuple[str, str]] = []
    how = FolderReading(
        sensor, section.get("pattern"), Declared(section.get("dates", {})),
        refused=lambda name, error: refused.append((name, str(error))),
        left_out=lambda name, day, why: notes.append(f"{name} is left out: it {why}."),
    )  # fmt: skip
    scenes = scenes_in(content.folder, how)
    if refused and len({s.date for s in scenes}) < 2:
        raise InputError(f"{len(refused)} of the images in {content.folder} cannot be used:{_list_faults(refused)}")
    if refused:
        draft.content.setdefault("scenes", {})["faulty"] = "skip"
        draft.comments["scenes.faulty"] = f"{len(refused)} cannot be used; `landshift scenes` lists why"
        # What the first look through the folder met already, such as a damaged archive, is listed once.
        listed = {fault for _, fault in refused}
        notes[:] = [note for note in notes if note not in listed] + [_describe(group) for group in group_alike(refused)]
    if content.products and scenes and all(s.quality is None for s in scenes):
        # The default, which warns until it is decided.
        draft.content.setdefault("scenes", {})["clouds"] = {"mask": "quality"}
        draft.decide("scenes.clouds.mask", "no scene has a quality band; `none` if images are free of clouds, else `model`")
    return scenes


def _list_faults(refused: Sequence[tuple[str, str]]) -> str:
    """Return the first kinds of faults, a line each: without a config `landshift scenes` cannot list them."""
    groups = group_alike(refused)
    more = sum(len(group.names) for group in groups[_MOST_FAULTS:])
    lines = [*map(_describe, groups[:_MOST_FAULTS]), *([f"and {more} more for other reasons"] if more else [])]
    return "".join(f"\n- {line}" for line in lines)


def _describe(group: Alike) -> str:
    named = len(group.names) == 1 and group.names[0] in group.fault
    return group.fault if named else f"{group.few}: {group.fault}"


def _minimal(draft: Draft) -> Content:
    """Return a config that validates as far as the draft goes."""
    days = {"before": {"start": "2000-01-01", "end": "2000-01-01"}, "after": {"start": "2001-01-01", "end": "2001-01-01"}}
    return {"epochs": days, **draft.content}


def _propose_the_rest(draft: Draft, folder: Path, scenes: Sequence[Scene]) -> None:
    """Write the split that the labels can fill, the encoder, and the size of the chips; ask what `check` would object to."""
    side = min(min(s.grid.shape) for s in scenes)
    draft.content["model"] = {"encoder": "imagenet-efficientnet-lite0"}
    draft.comments["model.encoder"] = "runs on any computer; `landshift encoders` lists those made for a satellite"
    chip = 64 if side >= 64 else 32
    draft.content["training"] = {"epochs": 12, "chips_per_epoch": 160, "chip": chip, "seeds": [0]}
    draft.comments["training.epochs"] = "`landshift check` shows how long it takes at most"
    draft.comments["training.seeds"] = "[0, 1, 2] shows the spread, and takes three times as long"
    draft.content["detect"] = {"min_area_ha": 0.5}
    draft.comments["detect.min_area_ha"] = "minimum mapping unit in hectares"
    try:
        project = validate(draft.content, "the config")
        with scratch_folder(Path(tempfile.gettempdir())) as output:
            ws = workspace(project, folder, output)
            made = plan(ws)
            labels = None if project.labels is None else read_labels(ws, made.grid)
            if labels is not None and "split" in draft.content:
                assign_roles(ws, labels, made.grid)
            elif labels is not None:
                _propose_split(draft, labels, lambda content: workspace(Project.model_validate(content), folder, output))
    except InputError as error:
        draft.questions.append(f"before training: {error}")


def _propose_split(draft: Draft, labels: Labels, open_with: Callable[[Content], Workspace]) -> None:
    """Write the largest blocks that the labels fill in every split, enough of them where there are enough labels."""
    fault, fallback = "", None
    for block, buffer, pixels in _BLOCKS:
        split = {"block_px": block, "buffer_px": buffer, "min_pixels": pixels}
        try:
            _, found = split_labels(open_with({**draft.content, "split": split}), labels)
        except InputError as error:
            fault = fault or str(error)
            continue
        fallback = fallback or split
        if len(found.blocks) >= _ENOUGH_BLOCKS:
            fallback = split
            break
    if fallback is None:
        draft.questions.append(f"labels: {fault}")
        return
    draft.content["split"] = fallback
    draft.comments["split"] = "blocks of pixels that the labels can fill"


def _text(draft: Draft, content: FolderContent, scenes: Sequence[Scene]) -> str:
    """Return the config as YAML, each key with its comment."""
    days = sorted({str(s.date) for s in scenes})
    shown = ", ".join(days[:8]) + (", ..." if len(days) > 8 else "")
    head = [
        f"{len(scenes)} scenes of {len(days)} dates: {shown}",
        "Decide the lines marked DECIDE, if there are any, then run `landshift check`. configs/schema.json explains every key.",
    ]
    order = ("name", "sensor", "scenes", "epochs", "grid", "bands", "legend", "labels", "split", "model", "training", "detect")
    written = {k: draft.content[k] for k in order if k in draft.content}
    if draft.undated:
        unknown = {"start": _DAY, "end": _DAY}
        written["scenes"] = {**written["scenes"], "dates": dict.fromkeys(written["scenes"]["dates"], _DAY)}
        written["epochs"] = {"before": unknown, "after": unknown}
    root = _add_comments(written, draft.comments, "")
    root.yaml_set_start_comment("\n".join(head))
    writer = YAML()
    writer.width = 10_000
    # Configs are read without aliases: a few lines of them can stand for more than fits into memory.
    writer.representer.ignore_aliases = lambda *_: True
    stream = StringIO()
    writer.dump(root, stream)
    return stream.getvalue()


def _add_comments(value: Any, comments: dict[str, str], path: str) -> Any:  # noqa: ANN401 (a part of a config)
    if isinstance(value, dict):
        mapping = CommentedMap()
        for key, inner in value.items():
            below = f"{path}.{key}" if path else str(key)
            mapping[key] = _add_comments(inner, comments, below)
            if below in comments:
                # ruamel hangs a comment behind a nested section on its first key otherwise.
                mapping.yaml_add_eol_comment(comments[below], key)
        if path in _INLINE:
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([_add_comments(v, comments, f"{path}[]") for v in value])
        sequence.fa.set_flow_style()
        if value and isinstance(value[0], dict):
            sequence.fa.set_block_style()
            for item in sequence:
                item.fa.set_flow_style()
        return sequence
    return value
