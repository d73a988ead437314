"""Versions of everything that can change a pixel."""

from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a pixel."""
    found = {}
    for name in (
        "landshift",
        "torch",
        "segmentation-models-pytorch",
        "timm",
        "torchgeo",
        "rasterio",
        "numpy",
        "shapely",
        "prefect",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
