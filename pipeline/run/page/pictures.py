"""Pictures of a run's page: the images, the map, and the layers that its reader can lay over them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from PIL import Image

from landshift.pipeline.change.decision import PROBABILITY_NODATA, PROBABILITY_SCALE
from landshift.pipeline.change.second_opinion import ENTRIES
from landshift.pipeline.drawing.chips import chip_sheet
from landshift.pipeline.drawing.pictures import change_picture, data_uri, display_picture
from landshift.pipeline.legend import Change, Legend
from landshift.pipeline.raster.read import read_preview
from landshift.pipeline.run.page.map_data import on_pixels
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run_files import CHANGE_MAP, DISAGREEMENT, DOMAIN_SHIFT, IMAGES, PROBABILITY

MANY = 20_000
"""Patches from which on they need the room that pictures had: the page stays below 3 MB."""
_CHIPS, _CHIPS_OF_MANY = 200, 48
_SIDE, _MAP_SIDE = 1400, 900


@dataclass(frozen=True)
class _Room:
    """Bytes that each picture may take."""

    image: int
    """Each date."""
    map: int
    """The map, and the second opinion."""
    chips: int
    """Each sheet of chips."""
    layer: int
    """Each other layer."""


_ROOM, _ROOM_OF_MANY = _Room(380_000, 180_000, 250_000, 60_000), _Room(220_000, 110_000, 90_000, 25_000)
_QUALITIES = (88, 77, 65, 50)

_RAMP = ("#00204d", "#414d6b", "#7c7b78", "#bcaf6f", "#ffea46")
"""Low to high (cividis, doi:10.1371/journal.pone.0199239), told apart with any colour vision."""


@dataclass(frozen=True)
class Step:
    """A range of values with its colour."""

    low: float
    """From here on."""
    colour: str
    """`#rrggbb`."""
    text: str
    """For the legend."""


PROBABILITY_STEPS = tuple(
    Step(low, colour, text)
    for low, colour, text in zip(
        (0.1, 0.3, 0.5, 0.7, 0.9), _RAMP, ("0.1 to 0.3", "0.3 to 0.5", "0.5 to 0.7", "0.7 to 0.9", "0.9 and more"), strict=True
    )
)
"""Probability of change; below the first, nothing is drawn."""
RIGHT_STEPS = tuple(
    Step(low, colour, text)
    for low, colour, text in zip(
        (0.0, 0.5, 0.7, 0.8, 0.9), _RAMP, ("below 50 %", "50 to 70 %", "70 to 80 %", "80 to 90 %", "90 % and more"), strict=True
    )
)
"""How often a kind of change was right."""
UNLIKE_STEPS = (
    Step(1.0, "#f1a340", "beyond the edge of the training regions"), Step(1.5, "#b35806", "half as far again"),
)  # fmt: skip
"""Distance from the training regions, 1 = their edge."""


@dataclass(frozen=True)
class Pictures:
    """What the page shows, as data URIs."""

    before: str
    """The image before."""
    after: str
    """The image after."""
    change: str
    """The map over the faded image after."""
    disagreement: str = ""
    """Where the map and the second opinion differ; empty without one."""
    probability: str = ""
    """Probability of change of every pixel, transparent where low; empty without one."""
    unlike: str = ""
    """What looks unlike the training regions, transparent where like; empty where not known."""


def count_chips(patches: int) -> int:
    """Return how many of the patches of a page have chips."""
    return min(patches, _CHIPS if patches <= MANY else _CHIPS_OF_MANY)


def draw_pictures(folder: Path, run: RunRecord, patches: int) -> Pictures:
    """Draw the pictures of a page that holds so many patches.

    Raises:
        InputError: A raster is missing or damaged.
    """
    legend, room = Legend(run.legend), _room(patches)
    under = display_picture(folder / IMAGES["after"], _MAP_SIDE)
    before, after = (display_picture(folder / IMAGES[date], _SIDE) for date in ("before", "after"))
    opinion, shift, probability = (folder / name for name in (DISAGREEMENT, DOMAIN_SHIFT, PROBABILITY))

    def codes(path: Path, entries: Sequence[Change]) -> str:
        picture = change_picture(path, entries, under, _MAP_SIDE)
        exact = data_uri(picture) if max(under.shape) <= 600 else ""
        return exact if exact and len(exact) <= 2 * room.map else photo_uri(picture, room.map)

    return Pictures(
        photo_uri(before, room.image), photo_uri(after, room.image), change=codes(folder / CHANGE_MAP, legend.changes),
        disagreement=codes(opinion, ENTRIES) if opinion.is_file() else "",
        probability=_probability_layer(probability, room.layer) if probability.is_file() else "",
        unlike=layer_uri(read_preview(shift, [1], _MAP_SIDE)[0], UNLIKE_STEPS, room.layer) if shift.is_file() else "",
    )  # fmt: skip


def _room(patches: int) -> _Room:
    return _ROOM if patches <= MANY else _ROOM_OF_MANY


def photo_uri(picture: np.ndarray, most_bytes: int) -> str:
    """Encode a picture as a JPEG that fits: of less quality first, then smaller, as a data URI.

    Args:
        picture: uint8 (y, x, 3).
        most_bytes: That it may take; one of 64 pixels or less may take more.
    """
    image = Image.fromarray(picture)
    while True:
        for quality in _QUALITIES if max(image.size) <= 600 else _QUALITIES[1:]:
            stream = io.BytesIO()
            # Every pixel keeps its own colour; without `optimize`, for which noise is too long.
            image.save(stream, "JPEG", quality=quality, subsampling=0)
            if stream.tell() <= most_bytes or max(image.size) <= 64:
                return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
        image = image.resize((max(image.width * 3 // 4, 1), max(image.height * 3 // 4, 1)), Image.Resampling.BOX)


def _probability_layer(path: Path, most_bytes: int) -> str:
    codes = read_preview(path, [1], _MAP_SIDE)[0]
    values = np.where(codes == PROBABILITY_NODATA, np.nan, codes * PROBABILITY_SCALE)
    return layer_uri(values, PROBABILITY_STEPS, most_bytes)


def layer_uri(values: np.ndarray, steps: Sequence[Step], most_bytes: int) -> str:
    """Draw values in the colours of their ranges, transparent below the first and where they are NaN, as a data URI.

    Args:
        values: (y, x).
        steps: Ascending.
        most_bytes: That it may take; every second pixel is left out until it does.
    """
    index = np.digitize(np.nan_to_num(values, nan=-np.inf), [step.low for step in steps]).astype(np.uint8)
    while True:
        picture = Image.fromarray(index, "P")
        picture.putpalette([0, 0, 0, *(int(step.colour[i : i + 2], 16) for step in steps for i in (1, 3, 5))])
        stream = io.BytesIO()
        picture.save(stream, "PNG", transparency=0, optimize=True)
        if stream.tell() <= most_bytes or max(index.shape) <= 64:
            return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
        index = index[::2, ::2]


def draw_chips(folder: Path, run: RunRecord, patches: gpd.GeoDataFrame, among: int) -> dict[str, str]:
    """Return sheets of chips of the largest patches, `before` and `after`, as data URIs; none without patches.

    Args:
        folder: Of the run.
        run: What describes it.
        patches: The largest.
        among: Patches of the page.
    """
    if patches.empty:
        return {}
    where, most = on_pixels(patches, run), _room(among).chips
    return {date: photo_uri(chip_sheet(folder / file, where, _SIDE), most) for date, file in IMAGES.items()}
