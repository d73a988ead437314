"""Read a chip: both dates as a model is given them, and what its labels mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landshift.pipeline.chips.layout import AFTER, AFTER_LABEL, BEFORE, BEFORE_LABEL, LABEL, Chip
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.values import CHANGE_NAMES, change_code, class_reader, codes_of
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.raster.picture import Picture, read_picture
from landshift.pipeline.scenes.sensors import Sensor, to_values

_SAME = 254
"""Code of pixels of a date that are labelled as unchanged instead of with a class."""
_SHOWN = 5


@dataclass(frozen=True)
class ValueTable:
    """What the values of a label mean."""

    codes: Mapping[int, int]
    """Value, or colour as red x 65536 + green x 256 + blue, to code; 255 = not labelled."""
    coloured: bool
    """Whether the values are colours."""

    def translate(self, picture: Picture, path: Path) -> np.ndarray:
        """Return the codes of a label, uint8 (y, x); where the picture is not seen 255.

        Raises:
            InputError: The label has several bands and no colours are named, or holds values that are not in the table.
        """
        values = self._values(picture, path)
        found, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        codes = np.array([self.codes.get(int(v), -1) if np.isfinite(v) else NOT_LABELLED for v in found])
        out = codes[place].reshape(values.shape)
        unknown = [
            f"{self._show(v)} ({n} pixels)"
            for v, n, code in zip(found.tolist(), counts.tolist(), codes.tolist(), strict=True) if code < 0
        ]  # fmt: skip
        if picture.seen is not None:
            out[~picture.seen] = NOT_LABELLED
        if picture.empty is not None:
            # A value that is named means what its name states, whatever the file declares.
            out[picture.empty & (out < 0)] = NOT_LABELLED
        if unknown and (out < 0).any():
            listed = ", ".join(unknown[:_SHOWN]) + (
                f" and {len(unknown) - _SHOWN} more values" if len(unknown) > _SHOWN else ""
            )
            lossy = "; a JPEG does not keep values, make it again as PNG" if path.suffix.lower() in (".jpg", ".jpeg") else ""
            raise InputError(f"{path} holds {listed}, not named among {', '.join(self._show(v) for v in self.codes)}{lossy}")
        return out.astype(np.uint8)

    def _values(self, picture: Picture, path: Path) -> np.ndarray:
        bands, palette = picture.numbers, picture.palette
        if self.coloured:
            rgb = palette[bands[0]].transpose(2, 0, 1) if palette is not None else bands
            if len(rgb) not in (1, 3) or rgb.dtype != np.uint8:
                raise InputError(
                    f"{path} has {len(bands)} bands of {bands.dtype}; expected a palette, or red, green and blue in bytes"
                )
            red, green, blue = (rgb if len(rgb) == 3 else np.repeat(rgb, 3, axis=0)).astype(np.int64)
            return np.asarray(red * 65536 + green * 256 + blue)
        if len(bands) > 1 and not all(np.array_equal(bands[0], other) for other in bands[1:]):
            raise InputError(
                f'{path} has {len(bands)} bands that differ: it holds colours. Name them, such as `"#ff0000": changed`'
            )
        return np.asarray(bands[0])

    def _show(self, value: float) -> str:
        return f"#{int(value):06x}" if self.coloured else f"{value:g}"


def value_table(values: Mapping[int | str, int | str], read: Callable[[str | int], int], where: str) -> ValueTable:
    """Return what the values of a label mean.

    Args:
        values: Numbers, or colours `#rrggbb`, to a name, or to a code.
        read: Gives the code of a name.
        where: The key of the config, for errors.

    Raises:
        InputError: `read` refuses a name.
    """
    codes = codes_of(list(values.values()), read, where)
    keys = [int(v[1:], 16) if isinstance(v, str) else v for v in values]
    return ValueTable(dict(zip(keys, codes, strict=True)), any(isinstance(v, str) for v in values))


def class_or_same(legend: Legend) -> Callable[[str | int], int]:
    """Return the function from a class, or `unchanged` in its place, to a code."""
    read = class_reader(legend)

    def code(value: str | int) -> int:
        return _SAME if isinstance(value, str) and value.casefold() == "unchanged" else read(value)

    return code


@dataclass(frozen=True)
class ChipTables:
    """What the labels of a collection mean."""

    change: ValueTable | None
    """Of the masks of change; None without them."""
    classes: ValueTable | None
    """Of the classes of both dates; None without them."""

    @classmethod
    def of(
        cls, values: Mapping[int | str, int | str], class_values: Mapping[int | str, int | str], legend: Legend
    ) -> "ChipTables":
        """Return the tables that a config describes.

        Raises:
            InputError: As `value_table`.
        """
        return cls(
            value_table(values, change_code, "labels: chips: values") if values else None,
            value_table(class_values, class_or_same(legend), "labels: chips: class_values") if class_values else None,
        )


@dataclass(frozen=True)
class ChipReader:
    """Reads chips; travels to other processes."""

    sensor: Sensor
    """What the numbers of the pictures mean."""
    tables: ChipTables
    """What the labels mean."""
    shift: tuple[float, ...] = ()
    """Of each band, taken off before a model is given it; empty where the values stay as they are."""
    divisor: tuple[float, ...] = ()
    """Of each band, above 0, after `shift`; empty where the values stay as they are."""

    def read(self, chip: Chip) -> tuple[np.ndarray, np.ndarray, Labels]:
        """Read both dates, float32 (band, y, x), NaN = not observed, and the labels of a chip.

        Raises:
            InputError: A file cannot be read, the sizes or bands are not those expected, or a label holds an unknown value.
        """
        before, after = (self._read_date(chip.files[part]) for part in (BEFORE, AFTER))
        labels = self.read_labels(chip)
        for part, image in ((BEFORE, before), (AFTER, after)):
            require_size(chip, part, image.shape[1:], labels.change.shape)
        return before, after, labels

    def _read_date(self, path: Path) -> np.ndarray:
        picture = read_picture(path)
        if picture.palette is not None:
            raise InputError(f"{path} has a palette; make its colours bands: `gdal_translate -expand rgb IN.png OUT.png`")
        require_bands(path, len(picture.numbers), self.sensor)
        values = to_values(picture.numbers, self.sensor)
        for unseen in (None if picture.seen is None else ~picture.seen, picture.empty):
            if unseen is not None:
                values[:, unseen] = np.nan
        if self.shift:
            shift, divisor = (np.array(v, dtype=np.float32)[:, None, None] for v in (self.shift, self.divisor))
            values = (values - shift) / divisor
        return values

    def read_labels(self, chip: Chip) -> Labels:
        """Read the labels of a chip; where they contradict each other a pixel is not labelled.

        Raises:
            InputError: A file cannot be read, sizes differ, or a value is not in the tables.
        """
        found: dict[str, np.ndarray] = {}
        for part, table in (
            (LABEL, self.tables.change),
            (BEFORE_LABEL, self.tables.classes),
            (AFTER_LABEL, self.tables.classes),
        ):
            if table is not None and part in chip.files:
                found[part] = table.translate(read_picture(chip.files[part]), chip.files[part])
        shapes = {part: codes.shape for part, codes in found.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(f"{chip.name}: {', '.join(f'{part} has {_size(s)} pixels' for part, s in shapes.items())}")
        nothing = np.full(next(iter(shapes.values())), NOT_LABELLED, dtype=np.uint8)
        return _combine(*(found.get(part, nothing) for part in (BEFORE_LABEL, AFTER_LABEL, LABEL)))


def _combine(before: np.ndarray, after: np.ndarray, change: np.ndarray) -> Labels:
    """Return labels with what both dates and the mask of change agree on."""
    known = (before != NOT_LABELLED) & (after != NOT_LABELLED)
    derived = np.where(known, before != after, NOT_LABELLED).astype(np.uint8)
    # What has no class on one date alone is not known on the other.
    clash = known & ((before == _SAME) != (after == _SAME))
    clash |= known & (change != NOT_LABELLED) & (change != derived)
    layers = [np.where(layer == _SAME, NOT_LABELLED, layer) for layer in (before, after)]
    layers.append(np.where(known, derived, change))
    first, second, third = (np.where(clash, NOT_LABELLED, layer).astype(np.uint8) for layer in layers)
    return Labels(first, second, third, contested=int(clash.sum()))


def count_change(labels: Labels) -> dict[str, int]:
    """Return the pixels of a chip that are labelled `unchanged` and `changed`."""
    return {name: int((labels.change == code).sum()) for name, code in CHANGE_NAMES.items()}


def require_bands(path: Path, found: int, sensor: Sensor) -> None:
    """Refuse a picture that has not the bands of the sensor.

    Raises:
        InputError: Names both.
    """
    names = [b.name for b in sensor.bands]
    if found != len(names):
        raise InputError(
            f"{path} has {found} band{'s' * (found != 1)}; expected {len(names)}: {', '.join(names)}, as `sensor: bands:` names"
        )


def require_size(chip: Chip, part: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Refuse a picture that has not the size of its label.

    Raises:
        InputError: Names both.
    """
    if found != wanted:
        raise InputError(f"{chip.files[part]} has {_size(found)} pixels (width x height), its label {_size(wanted)}")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
