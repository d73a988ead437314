"""Versions of everything that can change a pixel."""

from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "landshift", "torch", "segmentation-models-pytorch", "timm", "torchgeo", "rasterio", "numpy", "shapely", "prefect",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the installed version of each package that can change a pixel, or `not installed`."""
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
