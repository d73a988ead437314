"""Where the files of a run lie: on top what people open, the maps in `layers/`, what machines read in `record/`."""

from pathlib import Path

from landshift.pipeline.manifest import MANIFEST, Manifest

LAYERS_FOLDER, RECORD_FOLDER = "layers", "record"
PAGE, PROJECT, CHANGES, README = "report.html", "map.qgz", "changes.gpkg", "README.txt"
"""What people open."""


def layer_file(name: str) -> str:
    """Return where a map or another layer lies, relative to the folder of the run.

    Args:
        name: With its suffix, for example `change.tif`.
    """
    return f"{LAYERS_FOLDER}/{name}"


CHANGE_MAP = layer_file("change.tif")
PROBABILITY = layer_file("change_probability.tif")
LAND_USE = {epoch: layer_file(f"landuse_{epoch}.tif") for epoch in ("before", "after")}
IMAGES = {epoch: layer_file(f"image_{epoch}.tif") for epoch in ("before", "after")}
LAST_OBSERVED = layer_file("last_observed.tif")
DISAGREEMENT = layer_file("disagreement.tif")
DOMAIN_SHIFT = layer_file("domain_shift.tif")

RUN, ESTIMATES, TABLE, ABOUT, TEXT, ITEM, COLLECTION, RUN_MANIFEST = (
    f"{RECORD_FOLDER}/{name}"
    for name in (
        "run.json",
        "estimates.json",
        "estimates.csv",
        "estimates_about.csv",
        "estimates.md",
        "item.json",
        "collection.json",
        MANIFEST,
    )
)
"""What machines read."""
OFFICIAL = f"{RECORD_FOLDER}/official.csv"
MATRICES = {scheme: f"{RECORD_FOLDER}/matrix_{scheme}.csv" for scheme in ("ipcc", "unccd")}
"""Land-use matrices of the estimates in official classes."""


def list_files(folder: Path) -> list[Path]:
    """Return the files of a run, those in its folders too, without what begins with a dot; in the order of their names."""
    found = (p for place in (LAYERS_FOLDER, RECORD_FOLDER) for p in (folder / place).rglob("*"))
    return sorted(path for path in (*folder.iterdir(), *found) if path.is_file() and not path.name.startswith("."))


def manifest_of_run(folder: Path) -> Manifest:
    """Return the record of a run's files."""
    return Manifest(folder, RUN_MANIFEST)
