"""The architecture: who imports whom, and where files are opened."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "models", "flows")
MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(p.read_text(encoding="utf-8"))
    for package in PACKAGES
    for p in sorted((ROOT / package).rglob("*.py"))
}
TORCH = {"torch", "torchgeo", "torchvision", "segmentation_models_pytorch", "lightning", "timm"}
MAY_IMPORT = {"pipeline": {"pipeline"}, "models": {"pipeline", "models"}, "flows": set(PACKAGES)}


def layer(module: str) -> str:
    return module.partition(".")[0]


def imported(tree: ast.AST, *, lazily: bool = True) -> Iterator[str]:
    """Every dotted name that a module imports; without those inside functions and type-checking blocks, unless lazily."""
    nodes = ast.walk(tree) if lazily else _at_import(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{a.name}" for a in node.names)


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_import(child)


def roots(module: str, *, lazily: bool = True) -> set[str]:
    return {name.partition(".")[0] for name in imported(MODULES[module], lazily=lazily)}


@pytest.mark.parametrize("module", MODULES)
def test_layers(module: str) -> None:
    assert roots(module) & set(PACKAGES) <= MAY_IMPORT[layer(module)]


@pytest.mark.parametrize("module", MODULES)
def test_each_framework_has_its_layer(module: str) -> None:
    if layer(module) != "flows":
        assert "prefect" not in roots(module)
    if layer(module) != "models":
        assert not roots(module) & TORCH


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) == "flows"])
def test_flows_import_nothing_heavy_at_once(module: str) -> None:
    """The command line prints its help in under a second."""
    assert not roots(module, lazily=False) & (TORCH | {"rasterio", "geopandas", "models"})


def calls(tree: ast.AST) -> Iterator[str]:
    return (ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call))


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("pipeline.raster")])
def test_rasters_have_one_door(module: str) -> None:
    names = {n for n in imported(MODULES[module]) if n.partition(".")[0] in ("rasterio", "rioxarray", "osgeo", "tifffile")}
    assert {n for n in names if not n.startswith("rasterio.features")} == set()
    assert not {c for c in calls(MODULES[module]) if c.endswith((".open_rasterio", "WarpedVRT", "rasterio.open"))}


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("pipeline.vector")])
def test_vector_layers_have_one_door(module: str) -> None:
    assert not roots(module) & {"pyogrio", "fiona", "osgeo"}
    forbidden = (".read_file", ".to_file", ".read_parquet", ".to_parquet", ".read_postgis", ".list_layers")
    assert not {c for c in calls(MODULES[module]) if c.endswith(forbidden)}


def test_there_are_no_circles() -> None:
    graph = {
        module: {n for n in imported(tree) if n in MODULES and n != module and n not in PACKAGES}
        for module, tree in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_every_module_says_what_it_is_for() -> None:
    assert not {m for m, tree in MODULES.items() if not ast.get_docstring(tree)}
    assert not {m for m in MODULES if m.rpartition(".")[2] in ("utils", "util", "common", "helpers", "misc", "registry")}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_asserted_or_printed(module: str) -> None:
    assert not [n.lineno for n in ast.walk(MODULES[module]) if isinstance(n, ast.Assert)]
    if module != "flows.cli":
        assert "print" not in set(calls(MODULES[module]))


@pytest.mark.parametrize("module", MODULES)
def test_there_is_no_global_state(module: str) -> None:
    assert not [n.lineno for n in ast.walk(MODULES[module]) if isinstance(n, ast.Global)]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_unpickled_or_evaluated(module: str) -> None:
    assert not roots(module) & {"pickle", "dill", "joblib", "shelve", "marshal"}
    assert not set(calls(MODULES[module])) & {"eval", "exec", "yaml.load", "np.load", "os.system"}
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
