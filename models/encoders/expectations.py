"""Bands of a territory compared with those that an encoder expects: mistaken units are the commonest fault."""

import math
from collections.abc import Sequence

from landshift.models.encoders.normalisation import Normalisation
from landshift.pipeline.raster.images import BandStatistics
from landshift.pipeline.scores.training import BandFinding

_FAR = 3.0
"""Standard deviations of the encoder's source; three scenes in a thousand lie further off by chance."""
_NARROW, _WIDE = 0.03, 30.0
"""Contrast relative to the source's. A clear scene has much less than an archive with clouds in it; a hundredth is another
unit."""


def band_findings(
    normalisation: Normalisation, statistics: BandStatistics, image_bands: Sequence[str]
) -> tuple[BandFinding, ...]:
    """Compare the bands that enter a network with what its normalisation expects.

    Args:
        normalisation: Of the network.
        statistics: Of the territory, both dates together, in the units of the images.
        image_bands: The bands of `statistics`, in order.

    Returns:
        One for each band that enters. Where pixels are standardised with their own statistics every offset is 0.
    """
    found = []
    for band, mean, std in zip(normalisation.bands, normalisation.mean, normalisation.std, strict=True):
        place = list(image_bands).index(band)
        ours, spread = statistics.mean[place] * normalisation.scale, statistics.std[place] * normalisation.scale
        offset, contrast = (ours - mean) / std, spread / std
        found.append(BandFinding(band, offset, contrast, _fault(band, ours, mean, offset, contrast=contrast)))
    return tuple(found)


def _fault(band: str, ours: float, expected: float, offset: float, contrast: float) -> str:
    if abs(offset) <= _FAR and _NARROW <= contrast <= _WIDE:
        return ""
    found = (
        f"{band}: the territory's mean is {ours:.4g}, the encoder expects {expected:.4g}; that is {offset:+.1f} of its "
        f"standard deviations, and the contrast is {contrast:.2g} of what it knows."
    )
    ratio = expected / ours if ours and expected / ours > 0 else 1.0
    power = round(math.log10(ratio))
    if abs(power) >= 2 and abs(math.log10(ratio) - power) < 0.4:
        units = f"A factor near {10.0**power:g} suggests other units: check `sensor: scale:` and the encoder's statistics."
        return f"{found} {units}"
    return f"{found} Check the units, the order of the bands, and the encoder's mean and std."
