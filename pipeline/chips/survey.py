"""Look through a collection before any training: every fault at once, what is labelled, and what the bands are like."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from landshift.pipeline.chips.layout import AFTER, BEFORE, Chip
from landshift.pipeline.chips.read import ChipReader, count_change, require_bands, require_size
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.search import ROLES, TRAIN
from landshift.pipeline.legend import Legend
from landshift.pipeline.raster.images import BandStatistics, describe_pixels
from landshift.pipeline.raster.picture import measure_picture

_SHOWN = 5
_THREADS = 4
_SAMPLED = 200_000
"""Pixels that describe the bands, at most."""

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class ChipFacts:
    """What a chip holds."""

    chip: Chip
    """Its files."""
    shape: tuple[int, int]
    """Rows and columns."""
    change: Mapping[str, int]
    """`unchanged` and `changed` to pixels."""
    before: Mapping[str, int]
    """Class to pixels before; empty without classes."""
    after: Mapping[str, int]
    """Class to pixels after."""
    contested: int
    """Pixels whose labels contradict each other."""
    digests: tuple[str, str, str] = ("", "", "")
    """sha256 of the files before, after, and of the labels; empty where the pixels were not read."""


@dataclass(frozen=True)
class RoleCount:
    """The chips of one role."""

    chips: int
    """Pairs."""
    with_change: int
    """Those that hold a changed pixel."""
    pixels: Mapping[str, int]
    """`unchanged`, `changed`, and of a legend each class and date, to pixels."""


@dataclass(frozen=True)
class Survey:
    """A collection without faults."""

    chips: tuple[ChipFacts, ...]
    """By role and name."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""
    statistics: BandStatistics | None = None
    """Of the bands over both dates of the training chips, in the units of the sensor; None where no pixels were read."""

    def of(self, role: str) -> list[ChipFacts]:
        """Return the chips of a role."""
        return [f for f in self.chips if f.chip.role == role]

    @property
    def counts(self) -> dict[str, RoleCount]:
        """Of each role."""
        return {role: _count(self.of(role)) for role in ROLES}

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Every size (rows, columns) that occurs."""
        return sorted({f.shape for f in self.chips})

    def digest(self, part: int) -> str:
        """Return `sha256:...` of all files before (0) or after (1), or of the labels (2), with their names and roles."""
        total = hashlib.sha256()
        for facts in self.chips:
            total.update(f"{facts.chip.role} {facts.chip.name} {facts.digests[part]}\n".encode())
        return f"sha256:{total.hexdigest()}"


def warn_of_copies(survey: Survey) -> list[str]:
    """Return a sentence where validation or test chips have the very files of training chips, under whatever name."""
    known = {f.digests[:2] for f in survey.of(ROLES[TRAIN])}
    counts = {role: sum(f.digests[:2] in known for f in survey.of(role)) for role in ROLES[1:]}
    return [
        f"{count:,} {role} chips have the very pictures of training chips: what they score is memory. Take them out of one."
        for role, count in counts.items() if count
    ]  # fmt: skip


def survey_chips(
    chips: Sequence[Chip], faults: Sequence[str], reader: ChipReader, legend: Legend, *, thorough: bool,
    advance: Callable[[float], None] = lambda share: None,
) -> Survey:  # fmt: skip
    """Look at every chip: the sizes and bands of both dates, and all of the labels.

    Args:
        chips: Of the collection.
        faults: What is wrong already.
        reader: Reads them, without `shift`.
        legend: Of the project.
        thorough: Also read every pixel of both dates, hash the files and describe the bands.
        advance: Called with the share done, 0..1.

    Raises:
        InputError: A file is missing, unreadable, of another size or number of bands, or holds an unknown label: how many, and
            the first five; or a role has no changed or no unchanged pixel.
    """
    wrong, facts, samples = list(faults), [], []
    each = max(_SAMPLED // max(2 * sum(c.role == ROLES[TRAIN] for c in chips), 1), 1)

    def look(numbered: tuple[int, Chip]) -> tuple[ChipFacts | str, np.ndarray | None]:
        number, chip = numbered
        try:
            return _read(chip, reader, legend, (each, number)) if thorough else (_glance(chip, reader, legend), None)
        except InputError as error:
            return str(error).rstrip("."), None

    for number, (found, sample) in enumerate(_in_threads(look, enumerate(chips)), start=1):
        if isinstance(found, str):
            wrong.append(found)
        else:
            facts.append(found)
        if sample is not None:
            samples.append(sample)
        advance(number / len(chips))
    if wrong:
        more = f"\n  ... and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"The collection has {len(wrong):,} fault{'s' * (len(wrong) > 1)}:\n"
            + "\n".join(f"  {line}." for line in wrong[:_SHOWN]) + more
            + "\nMend these files, leave them out of the lists, or correct `labels: chips:`; nothing was trained."
        )  # fmt: skip
    survey = Survey(tuple(facts), statistics=describe_pixels(np.concatenate(samples)) if samples else None)
    _require_both(survey)
    return survey


def _require_both(survey: Survey) -> None:
    """Refuse a role that teaches or tests nothing."""
    for role, count in survey.counts.items():
        for name in ("unchanged", "changed"):
            if not count.pixels[name]:
                raise InputError(
                    f"No pixel of the {count.chips:,} {role} chips is labelled {name}: {role} needs both. Correct "
                    f"`labels: chips: values:`, or the split."
                )


def _glance(chip: Chip, reader: ChipReader, legend: Legend) -> ChipFacts:
    """Measure the pictures by their headers, and read the labels."""
    labels = reader.read_labels(chip)
    shape = labels.change.shape
    for part in (BEFORE, AFTER):
        bands, size = measure_picture(chip.files[part])
        require_bands(chip.files[part], bands, reader.sensor)
        require_size(chip, part, size, shape)
    return _facts(chip, (shape[0], shape[1]), labels, legend)


def _read(chip: Chip, reader: ChipReader, legend: Legend, draw: tuple[int, int]) -> tuple[ChipFacts, np.ndarray | None]:
    """Read a chip whole; of a training chip also draw pixels (n, band) of both dates: so many, with this seed."""
    before, after, labels = reader.read(chip)
    facts = _facts(chip, (before.shape[1], before.shape[2]), labels, legend)
    parts = [[BEFORE], [AFTER], [p for p in chip.files if p not in (BEFORE, AFTER)]]
    digests = [hashlib.sha256(b"".join(chip.files[p].read_bytes() for p in part)).hexdigest() for part in parts]
    facts = ChipFacts(**{**vars(facts), "digests": tuple(digests)})
    if chip.role != ROLES[TRAIN]:
        return facts, None
    rng, drawn = np.random.default_rng(draw[1]), []
    for image in (before, after):
        pixels = image[:, np.isfinite(image).all(axis=0)].T
        drawn.append(pixels[rng.integers(len(pixels), size=min(draw[0], len(pixels)))] if len(pixels) else pixels)
    return facts, np.concatenate(drawn)


def _facts(chip: Chip, shape: tuple[int, int], labels: Labels, legend: Legend) -> ChipFacts:
    classes = [
        {c.name: int(n) for c in legend.classes if (n := (layer == c.code).sum())} for layer in (labels.before, labels.after)
    ]
    return ChipFacts(chip, shape, count_change(labels), classes[0], after=classes[1], contested=labels.contested)


def _count(facts: Sequence[ChipFacts]) -> RoleCount:
    pixels = {"unchanged": 0, "changed": 0}
    for one in facts:
        dated = {f"{name} ({date})": n for date in (BEFORE, AFTER) for name, n in getattr(one, date).items()}
        for name, count in {**one.change, **dated}.items():
            pixels[name] = pixels.get(name, 0) + count
    return RoleCount(len(facts), sum(f.change["changed"] > 0 for f in facts), pixels)


def _in_threads(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Yield the results in order; a few items are worked on ahead, so that memory does not grow with their number."""
    todo = iter(items)
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = [pool.submit(work, item) for item in islice(todo, 4 * _THREADS)]
        while waiting:
            found = waiting.pop(0).result()
            waiting += [pool.submit(work, item) for item in islice(todo, 1)]
            yield found
