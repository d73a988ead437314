"""The encoders that torchgeo publishes, as rows made from its own metadata.

Only the normalisation is taken from torchgeo's transforms, never its crops and resizes. Its statistics are in the units
of each training set; the factors here bring them to reflectance:

- SSL4EO-S12, CrisisLandMark, SSL4EO-S12 seco-eco: Sentinel-2 digital numbers, reflectance x 10000.
- SSL4EO-L: 8-bit images, 0..255 stretched from reflectance 0..0.4 at the top of the atmosphere, 0..0.3 at the surface,
  and from 248.15..318.15 K (`experiments/ssl4eo/landsat/compress_*.sh` in torchgeo's repository).
- SatlasPretrain: Sentinel-2 true colour, whose 255 is reflectance 0.3558 at Level-1C (ESA), the other bands divided by
  8160; Landsat Level-1 numbers, which are 50000 x reflectance + 5000 before the sun's height is taken into account.
- SeCo: 8-bit images whose relation to reflectance is not published: standardised with both dates.
"""

from typing import Any

from landshift.models.encoders.bands import Encoder

ARCHITECTURES = {
    "ResNet18_Weights": "resnet18",
    "ResNet50_Weights": "resnet50",
    "ResNet152_Weights": "resnet152",
    "Swin_V2_T_Weights": "swin_v2_t",
    "Swin_V2_B_Weights": "swin_v2_b",
    "ViTSmall14_DINOv2_Weights": "vit_small_patch14_dinov2",
    "ViTSmall16_Weights": "vit_small_patch16_224",
    "ViTBase14_DINOv2_Weights": "vit_base_patch14_dinov2",
    "ViTBase16_Weights": "vit_base_patch16_224",
}
"""torchgeo's enum to the architecture that its weights fit."""

FAMILIES_LEFT_OUT = {
    "Aurora_Weights": "forecasts weather on a global grid",
    "CROMABase_Weights": "one encoder of stacked radar and optical images at a fixed 120 px",
    "CROMALarge_Weights": "one encoder of stacked radar and optical images at a fixed 120 px",
    "CopernicusFM_Base_Weights": "its input layer is generated from wavelengths, not a convolution over bands",
    "DOFABase16_Weights": "its input layer is generated from wavelengths, not a convolution over bands",
    "DOFALarge16_Weights": "its input layer is generated from wavelengths, not a convolution over bands",
    "EarthLoc_Weights": "one vector per picture, trained to find places in photographs",
    "Panopticon_Weights": "its input layer attends over wavelengths, not a convolution over bands",
    "ScaleMAELarge16_Weights": "trained on aerial and very high resolution RGB",
    "SwinBackbone_Weights": "change detection model of its own, not an encoder",
    "Swin_T_Weights": "trained on street scenes",
    "Swin_S_Weights": "trained on street scenes",
    "Swin_B_Weights": "trained on street scenes or aerial RGB",
    "Unet_Weights": "takes both dates stacked or aerial RGB, not one date of Sentinel-2 or Landsat",
    "ViTLarge16_Weights": "300 million parameters, more than a siamese network over whole scenes can use",
    "ViTHuge14_Weights": "630 million parameters, more than a siamese network over whole scenes can use",
}
"""Whole enums that give no row, and why."""

_SENTINEL_2 = {
    "B1": "coastal", "B2": "blue", "B3": "green", "B4": "red", "B5": "rededge071", "B6": "rededge075", "B7": "rededge078",
    "B8": "nir", "B8A": "nir08", "B9": "nir09", "B10": "cirrus", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
_LANDSAT_TM = {"B1": "blue", "B2": "green", "B3": "red", "B4": "nir08", "B5": "swir16", "B6": "lwir", "B7": "swir22"}
_LANDSAT_ETM = {**_LANDSAT_TM, "B6_VCID_1": "lwir", "B6_VCID_2": "lwir_high_gain", "B8": "pan"}
_LANDSAT_OLI = {
    "B1": "coastal", "B2": "blue", "B3": "green", "B4": "red", "B5": "nir08", "B6": "swir16", "B7": "swir22", "B8": "pan",
    "B9": "cirrus", "B10": "lwir11", "B11": "lwir12",
}  # fmt: skip

# Level-1 thermal numbers are radiance: under these names no band of ours matches them.
_LANDSAT_LEVEL_1 = {**_LANDSAT_OLI, "B10": "lwir11_radiance", "B11": "lwir12_radiance"}
SENSORS = (
    ("SENTINEL2", "Sentinel-2", _SENTINEL_2),
    ("LANDSAT_TM_TOA", "Landsat 4-5 TM, top of atmosphere", _LANDSAT_TM),
    ("LANDSAT_ETM_TOA", "Landsat 7 ETM+, top of atmosphere", _LANDSAT_ETM),
    ("LANDSAT_ETM_SR", "Landsat 7 ETM+, surface reflectance", _LANDSAT_ETM),
    ("LANDSAT_OLI_TIRS_TOA", "Landsat 8-9 OLI/TIRS, top of atmosphere", _LANDSAT_OLI),
    ("LANDSAT_OLI_SR", "Landsat 8-9 OLI, surface reflectance", _LANDSAT_OLI),
    ("LANDSAT_MI_SATLAS", "Landsat 8-9 OLI/TIRS Level-1", _LANDSAT_LEVEL_1),
    ("LANDSAT_SI_SATLAS", "Landsat 8-9 OLI/TIRS Level-1", _LANDSAT_LEVEL_1),
)
"""Start of the weights' name, what the sensor is, and its band names as STAC common names."""
LEVEL_1C = ("SSL4EO-S12", "SatlasPretrain")
"""Datasets known to hold Sentinel-2 at the top of the atmosphere."""


def torchgeo_encoders() -> tuple[Encoder, ...]:
    """Return a row for every torchgeo weight of Sentinel-2 or Landsat that can feed a dense head."""
    return tuple(_row(w) for w in _weights() if not _reason_against(w))


def torchgeo_left_out() -> dict[str, str]:
    """Return the torchgeo weights that give no row, each with the reason."""
    return {_name(w): reason for w in _weights() if (reason := _reason_against(w))}


def _weights() -> list[Any]:
    """List the members of all of torchgeo's enums of weights. Imports torchgeo, which takes seconds."""
    import torchgeo.models
    from torchvision.models._api import WeightsEnum

    enums: list[Any] = [getattr(torchgeo.models, name) for name in sorted(dir(torchgeo.models))]
    return [w for enum in enums if isinstance(enum, type(WeightsEnum)) for w in enum]


def _name(weights: Any) -> str:  # noqa: ANN401 - torchvision's enums carry no types
    return f"torchgeo:{type(weights).__name__}.{weights.name}"


def _reason_against(weights: Any) -> str:  # noqa: ANN401
    """Return why a weight gives no row, empty where it gives one."""
    family = type(weights).__name__
    if family in FAMILIES_LEFT_OUT:
        return FAMILIES_LEFT_OUT[family]
    if family not in ARCHITECTURES:
        return "not known to this version of Landshift"
    sensor = next((s for s in SENSORS if weights.name.startswith(s[0])), None)
    if sensor is None:
        return "not Sentinel-2 or Landsat"
    unknown = [b for b in weights.meta["bands"] if _plain(b) not in sensor[2]]
    return f"takes {', '.join(unknown)}, which is no band" if unknown else ""


def _row(weights: Any) -> Encoder:  # noqa: ANN401
    _, sensor, names = next(s for s in SENSORS if weights.name.startswith(s[0]))
    bands = tuple(names[_plain(band)] for band in weights.meta["bands"])
    units, scale, mean, std = _normalisation(weights, bands)
    method = weights.meta.get("ssl_method")
    repository = weights.url.partition("/resolve/")[0]
    return Encoder(
        name=_name(weights), architecture=ARCHITECTURES[type(weights).__name__], source="torchgeo",
        weights=f"{type(weights).__name__}.{weights.name}", bands=bands, units=units, mean=mean, std=std, scale=scale,
        task=_task(weights.meta["dataset"], method),
        sensor=f"{sensor} L1C" if sensor == "Sentinel-2" and weights.meta["dataset"] in LEVEL_1C else sensor,
        licence=weights.meta.get("license") or f"not stated by torchgeo; see {repository}",
        citation=weights.meta["publication"], url=weights.url,
    )  # fmt: skip


def _plain(band: str) -> str:
    """Write B02, SR_B2 and B8a as B2, B2 and B8A."""
    return band.upper().removeprefix("SR_").replace("B0", "B", 1)


def _task(dataset: str, method: str | None) -> str:
    if method:
        return f"self-supervised ({method}) on {dataset}"
    if dataset == "SatlasPretrain":
        return "supervised, many tasks, on SatlasPretrain"
    return f"images and text (contrastive) on {dataset}"


Statistics = tuple[float, ...]


def _normalisation(weights: Any, bands: tuple[str, ...]) -> tuple[str, float, Statistics, Statistics]:  # noqa: ANN401
    """Return units, scale, means and standard deviations of a weight, from its transforms and the table above."""
    mean, std = _fold(weights.transforms, len(bands))
    dataset = weights.meta["dataset"]
    if dataset == "SeCo Dataset":
        return "8-bit stretch", 1.0, (), ()
    if dataset == "SSL4EO-L":
        brightest = 0.3 if "_SR_" in weights.name else 0.4
        thermal = [band.startswith("lwir") for band in bands]
        return (
            "reflectance",
            1.0,
            tuple(248.15 if hot else 0.0 for hot in thermal),
            tuple(70.0 if hot else brightest for hot in thermal),
        )
    if dataset == "SatlasPretrain" and weights.name.startswith("LANDSAT"):
        return "reflectance x 50000", 50_000.0, tuple(m - 5000.0 for m in mean), std
    if dataset == "SatlasPretrain":
        return "reflectance x 10000", 10_000.0, mean, tuple(3558.0 if s == 255 else s for s in std)
    return "reflectance x 10000", 10_000.0, mean, std


def _fold(transforms: Any, count: int) -> tuple[Statistics, Statistics]:  # noqa: ANN401
    """Fold a chain of `Normalize` steps into one mean and standard deviation per band."""
    mean, std = [0.0] * count, [1.0] * count
    for step in transforms.children():
        if type(step).__name__ != "Normalize":
            continue
        m, s = (list(v) * (count if len(v) == 1 else 1) for v in (step.mean, step.std))
        mean = [a + b * c for a, b, c in zip(mean, std, m, strict=True)]
        std = [a * b for a, b in zip(std, s, strict=True)]
    return tuple(float(m) for m in mean), tuple(float(s) for s in std)
