"""Targets: vector layers of users, in every format, by every way in which they are read."""

from pathlib import Path

from tests.fuzz.harness import Target
from tests.fuzz.mutators import BYTES, JSON
from tests.fuzz.sqlite import SQLITE

_SUFFIXES = {"gpkg": "GPKG", "fgb": "FlatGeobuf", "geojson": "GeoJSON", "shp": "ESRI Shapefile"}


def _write(folder: Path, suffix: str) -> list[Path]:
    import geopandas as gpd
    import pyogrio
    import shapely

    boxes = [shapely.box(500_000 + 50 * i, 3_400_000, 500_040 + 50 * i, 3_400_040) for i in range(6)]
    frame = gpd.GeoDataFrame(
        {"name": [f"Ort {i} \u00e9" for i in range(6)], "code": range(6), "share": [0.1 * i for i in range(6)]},
        geometry=boxes, crs="EPSG:32651",
    )  # fmt: skip
    if suffix == "geojson":
        frame = frame.to_crs("EPSG:4326")
    path = folder / f"areas.{suffix}"
    pyogrio.write_dataframe(frame, path, driver=_SUFFIXES[suffix], layer="areas")
    return sorted(p for p in folder.iterdir() if p.suffix not in (".prj", ".cpg")) if suffix == "shp" else [path]


def _link_beside(path: Path, seeds: Path) -> None:
    for other in seeds.iterdir():
        if other.name != path.name and other.is_file():
            (path.parent / other.name).symlink_to(other)


def _read(path: Path, seeds: Path) -> None:
    from contextlib import suppress

    from landshift.pipeline.change.areas_reading import read_areas_of_interest
    from landshift.pipeline.errors import InputError
    from landshift.pipeline.vector.read import StatedLayer, burn, read_layer, read_polygons, read_usable_polygons
    from tests.conftest import small_grid

    grid = small_grid(40, 48)
    if path.suffix in (".shx", ".dbf"):
        _link_beside(path, seeds)
        path = path.with_suffix(".shp")
    with suppress(InputError):
        read_layer(path, "areas").to_csv()
    with suppress(InputError):
        read_areas_of_interest(path, grid)
    usable = read_usable_polygons(path, grid.crs, StatedLayer()).frame
    burn(usable, [1] * len(usable), grid)
    read_polygons(path, "EPSG:32651")


_MODULES = ("landshift.pipeline.vector.read", "landshift.pipeline.change.areas_reading", "tests.conftest")
TARGETS = tuple(
    Target(name, lambda folder, name=name: _write(folder, name), _read, mutators, imports=_MODULES)
    for name, mutators in (("gpkg", SQLITE), ("fgb", BYTES), ("geojson", JSON), ("shp", BYTES))
)
