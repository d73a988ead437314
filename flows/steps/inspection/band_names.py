"""What the bands of files are called, and which colours these names can mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from landshift.flows.steps.inspection.folder import DatedFile
from landshift.pipeline.scenes.sensors import SENSORS, Band, Sensor

_SYSTEMS = {
    "Sentinel-2": ("sentinel-2-l2a", r"S2[A-D]|Sentinel-?2"),
    "Landsat 8 and 9": ("landsat-c2-l2-oli", r"L[CO]0?[89](?!\d)|landsat[-_ ]?[89]"),
    "Landsat 4 to 7": ("landsat-c2-l2-tm", r"L[TE]0?[4-7](?!\d)|landsat[-_ ]?[4-7]"),
}
"""What the numbers of bands count on, its row of the table, and how names of files call it."""
_PLAIN = Sensor("custom", tuple({b.name: replace(b, native="") for s in SENSORS for b in s.bands}.values()))
_NOT_SPECTRAL = re.compile(r"qa|udm|scl|fmask|mask|cloud|angle|thermal|radsat|aerosol", re.IGNORECASE)
_LAST = re.compile(r"(?:^|_)((?:SR_)?[A-Za-z]+\d*A?)(?:_\d{2}m|_\(raw\))?$", re.IGNORECASE)


@dataclass(frozen=True)
class BandNames:
    """Names of bands, and what they can mean."""

    texts: tuple[str, ...]
    """As the files have them, in order; empty where they have none."""
    by_file: bool
    """Whether each band is a file of its own, and the texts end their names."""
    readings: dict[str, tuple[Band, ...]]
    """Whose names they can be to the bands that they are then; `names` where they are words such as `red`."""

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands, where the names can mean one thing only; empty otherwise."""
        found = list(self.readings.values())
        return found[0] if found and all([b.name for b in f] == [b.name for b in found[0]] for f in found) else ()


def read_band_names(files: Sequence[DatedFile]) -> BandNames:
    """Return what the bands of files are called: by descriptions, or by what the names of one-band files end in."""
    info = files[0].info
    if info.count == 1 and len(files) > 1:
        texts = tuple(dict.fromkeys(last for f in files if (last := _last_of(f)) and not _NOT_SPECTRAL.search(last)))
        stems = {(PurePosixPath(f.file.relative).parent, _LAST.sub("", f.info.path.stem)) for f in files}
        by_file = len(texts) > 1 and len(stems) * 2 <= len(files)
        if not by_file:
            return BandNames((), by_file=False, readings={})
    else:
        texts, by_file = tuple(info.descriptions[i - 1] for i in info.spectral), False
        if not all(texts):
            return BandNames((), by_file=False, readings={})
    plain = [_PLAIN.band_in(text) for text in texts]
    if all(plain):
        return BandNames(texts, by_file, {"names": tuple(b for b in plain if b is not None)})
    named = " ".join(f.file.relative for f in files)
    fitting = [n for n, (_, pattern) in _SYSTEMS.items() if re.search(rf"(?<![A-Za-z0-9])(?:{pattern})", named, re.IGNORECASE)]
    readings = {}
    for name, (row, _) in _SYSTEMS.items():
        bands = next(s for s in SENSORS if s.name == row).bands
        found = [_find(text, bands, is_landsat=name != "Sentinel-2") for text in texts]
        if all(found) and (not fitting or name in fitting):
            readings[name] = tuple(b for b in found if b is not None)
    return BandNames(texts, by_file, readings)


def _last_of(file: DatedFile) -> str:
    found = _LAST.search(file.info.path.stem)
    return found[1] if found else ""


def _find(text: str, bands: Sequence[Band], *, is_landsat: bool) -> Band | None:
    """Return the band of a satellite that a text names by its number; `SR_` and one digit alone are Landsat's, `B02` is not."""
    found = re.search(r"(?<![A-Za-z0-9])(SR_)?B(\d{1,2}A?)(?![A-Za-z0-9])", text, re.IGNORECASE)
    if found is None:
        return None
    number = found[2].upper()
    if (found[1] and not is_landsat) or (is_landsat and number.startswith("0")):
        return None
    native = f"SR_B{number}" if is_landsat else f"B{number.zfill(3 if number.endswith('A') else 2)}"
    native = "B8A" if number == "8A" and not is_landsat else native
    return next((b for b in bands if b.native == native), None)
