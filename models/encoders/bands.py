"""Rows of the table of encoders, and our bands matched to their input channels.

Bands are matched by name, then by the nearest centre wavelength within 40 nm. A band that the encoder wants and we lack
takes its first-convolution weights with it; a band of ours that the encoder does not know gets the mean of the
pretrained ones, or is dropped; the kept weights are rescaled so that activations keep their magnitude.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landshift.pipeline.errors import InputError

SOURCES = ("random", "pypi", "torchgeo", "timm", "file")
EXTRA_RULES = ("mean", "drop")
MAX_WAVELENGTH_DISTANCE = 40.0
CENTRE_WAVELENGTHS: Mapping[str, float] = {
    "coastal": 443.0, "blue": 490.0, "green": 560.0, "red": 665.0, "rededge071": 704.0, "rededge075": 740.0,
    "rededge078": 783.0, "nir": 833.0, "nir08": 865.0, "nir09": 945.0, "cirrus": 1375.0, "swir16": 1614.0, "swir22": 2202.0,
}  # fmt: skip
"""Nominal centres in nanometres. Panchromatic and thermal bands are left out: they match by name only."""


@dataclass(frozen=True)
class Encoder:
    """One row of the table of encoders: what it is, what it was trained on, and where its weights are."""

    name: str
    """How a config names it, for example `torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO`."""
    architecture: str
    """For `backbones.build_encoder`: an smp name, `tu-` and a timm name, or one of our adapters."""
    source: str
    """`random`, `pypi`, `torchgeo`, `timm` or `file`."""
    weights: str = ""
    """`package/file` (pypi), enum name (torchgeo), tag (timm) or path (file)."""
    bands: tuple[str, ...] = ()
    """STAC common names, in the order of the input channels; empty = any bands."""
    units: str = "any"
    """Of `mean` and `std`: `reflectance`, `reflectance x 10000`, `rgb 0..1`, `any`..."""
    mean: tuple[float, ...] = ()
    """One per band, in `units`; empty = standardise with statistics of both dates together."""
    std: tuple[float, ...] = ()
    """One per band, in `units`, above 0."""
    scale: float = 1.0
    """Factor from reflectance 0..1 to `units`."""
    task: str = "none"
    """What the weights were trained to do."""
    sensor: str = "any"
    """What the training images were, with their processing level."""
    licence: str = ""
    """Of the weights."""
    citation: str = ""
    """DOI or address of the publication."""
    has_decoder: bool = False
    """Whether a trained Unet decoder comes with it."""
    url: str = ""
    """Where the weights can be fetched; empty where no network is needed."""

    def __post_init__(self) -> None:
        """Refuse a row that contradicts itself.

        Raises:
            InputError: The source is unknown, or bands, means and standard deviations do not fit together.
        """
        if self.source not in SOURCES:
            raise InputError(f"Encoder {self.name}: source {self.source!r} is not one of {', '.join(SOURCES)}.")
        if len(set(self.bands)) != len(self.bands):
            raise InputError(f"Encoder {self.name}: bands {list(self.bands)} repeat; name each input channel once.")
        if (self.mean or self.std) and not len(self.mean) == len(self.std) == len(self.bands):
            raise InputError(
                f"Encoder {self.name}: {len(self.bands)} bands, {len(self.mean)} means and {len(self.std)} standard "
                "deviations; give one mean and one standard deviation per band, or neither."
            )
        if any(not (math.isfinite(s) and s > 0) for s in self.std) or not all(map(math.isfinite, self.mean)):
            raise InputError(f"Encoder {self.name}: means must be finite and standard deviations above 0: {self.std}.")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"Encoder {self.name}: scale is {self.scale}; it multiplies reflectance: above 0.")


@dataclass(frozen=True)
class BandPlan:
    """Which of our bands feeds which input channel of an encoder."""

    channels: tuple[str | None, ...]
    """Per channel of the pretrained encoder, the band of ours that feeds it, or None."""
    used: tuple[str, ...]
    """Our bands that enter the network, in our order."""
    extra: tuple[str, ...]
    """Those of `used` that the encoder does not know."""
    notes: tuple[str, ...]
    """Sentences for a person: what lacks, what is extra, and the rule that was applied."""


def match_bands(
    encoder: Encoder,
    bands: Sequence[str],
    wavelengths: Mapping[str, float] | None = None,
    *,
    extra: str = "mean",
) -> BandPlan:
    """Match our bands to an encoder's input channels, by name and then by nearest centre wavelength.

    Args:
        encoder: The row of the table.
        bands: Our bands in order, STAC common names.
        wavelengths: Centre wavelengths of our bands in nanometres; standard names need none.
        extra: What to do with a band that the encoder does not know: `mean` keeps it, `drop` leaves it out.

    Raises:
        InputError: No band matches, a band repeats, a wavelength is not in nanometres, or `extra` is unknown.
    """
    _check_request(bands, wavelengths or {}, extra)
    if not encoder.bands:
        return BandPlan(tuple(bands), tuple(bands), (), ())
    by_name = [band if band in bands else None for band in encoder.bands]
    channels = list(by_name)
    notes = []
    for distance, channel, band in _wavelength_pairs(encoder.bands, by_name, bands, wavelengths or {}):
        if channels[channel] is None and band not in channels:
            channels[channel] = band
            notes.append(
                f"Band {band} feeds the encoder's {encoder.bands[channel]}: no band has that name, and its centre "
                f"wavelength is {distance:.0f} nm away."
            )
    if not any(channels):
        raise InputError(
            f"None of the bands {', '.join(bands)} matches a band of encoder {encoder.name}, which wants "
            f"{', '.join(encoder.bands)}. Name the bands by their STAC common names, give their centre wavelengths in "
            "nanometres, or choose an encoder that takes any bands, for example 'random'."
        )
    unknown = [band for band in bands if band not in channels]
    used = tuple(band for band in bands if band in channels or extra == "mean")
    lacking = [want for want, band in zip(encoder.bands, channels, strict=True) if band is None]
    if lacking:
        notes.append(f"The encoder wants {', '.join(lacking)}, which lack: their first-convolution weights are dropped.")
    if unknown and extra == "mean":
        notes.append(f"The encoder does not know {', '.join(unknown)}: they get the mean first-convolution weights.")
    elif unknown:
        notes.append(f"The encoder does not know {', '.join(unknown)}: dropped, as configured.")
    if len(used) != len(encoder.bands):
        notes.append(
            f"First-convolution weights are multiplied by {len(encoder.bands)}/{len(used)} "
            "so that activations keep their magnitude."
        )
    return BandPlan(tuple(channels), used, tuple(b for b in used if b in unknown), tuple(notes))


def _wavelength_pairs(
    wanted: Sequence[str], by_name: Sequence[str | None], bands: Sequence[str], wavelengths: Mapping[str, float]
) -> list[tuple[float, int, str]]:
    """List (distance in nm, channel, band) within reach, nearest first, for channels and bands without a namesake."""
    centres = {**CENTRE_WAVELENGTHS, **wavelengths}
    pairs = [
        (abs(CENTRE_WAVELENGTHS[want] - centres[band]), channel, band)
        for channel, want in enumerate(wanted)
        for band in bands
        if by_name[channel] is None and band not in by_name and want in CENTRE_WAVELENGTHS and band in centres
    ]
    return sorted(pair for pair in pairs if pair[0] <= MAX_WAVELENGTH_DISTANCE)


def _check_request(bands: Sequence[str], wavelengths: Mapping[str, float], extra: str) -> None:
    if extra not in EXTRA_RULES:
        raise InputError(f"The rule for extra bands is {extra!r}; use one of {', '.join(EXTRA_RULES)}.")
    if not bands or len(set(bands)) != len(bands):
        raise InputError(f"The bands are {list(bands)}; name at least one, and each once.")
    for band, centre in wavelengths.items():
        # STAC gives micrometres; taken for nanometres they would match nothing, without a word.
        if not 100 <= centre <= 20_000:
            raise InputError(f"Band {band}: centre wavelength {centre:g} is not in nanometres (red is about 665).")
