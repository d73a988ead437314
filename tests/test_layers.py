"""The architecture: who imports whom, where files are opened, and how large a room may be."""

import ast
import graphlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = ("pipeline", "models", "flows")
MODULES = {
    f"landshift.{'.'.join(p.relative_to(ROOT).with_suffix('').parts)}".removesuffix(".__init__"): ast.parse(p.read_bytes())
    for layer in LAYERS
    for p in sorted((ROOT / layer).rglob("*.py"))
}
TORCH = {"torch", "torchgeo", "torchvision", "segmentation_models_pytorch", "lightning", "timm"}
ANY = "*"
ROOMS: dict[str, str] = {
    # What a room may import besides the root of its layer and, above `pipeline`, the layers below it.
    "pipeline.files": "",
    "pipeline.colours": "",
    "pipeline": "files colours",
    "pipeline.raster": "files",
    "pipeline.drawing": "colours raster",
    "pipeline.vector": "drawing",
    "pipeline.scenes": "files raster",
    "pipeline.epochs.checks": "",
    "pipeline.epochs": "epochs.checks scenes raster",
    "pipeline.labels": "files raster vector",
    "pipeline.change": "vector",
    "pipeline.scores": "",
    "pipeline.chips": "files scores labels scenes raster",
    "pipeline.sample": "",
    "pipeline.sample.tables": "sample",
    "pipeline.sample.planning": "sample",
    "pipeline.sample.judging": "files sample drawing vector",
    "pipeline.pages": "drawing scores",
    "pipeline.run": "raster drawing vector change scores sample pages",
    "pipeline.register": "run change vector sample drawing",
    "pipeline.review": "register sample vector drawing raster",
    "pipeline.alerts": "register",
    "pipeline.demo": "raster",
    "models": "",
    "models.encoders": "",
    "models.network": "encoders",
    "models.transfer": "network encoders",
    "models.estimators": "network encoders",
    "models.use": "transfer estimators network encoders",
    "flows.config": "",
    "flows.runtime": "",
    "flows.steps.project": "config runtime",
    "flows.steps.images": "runtime steps.project",
    "flows.steps.learning": "config runtime steps.project steps.images",
    "flows.steps.assessment": "runtime steps.project steps.images steps.learning",
    "flows.steps.detection": "runtime steps.project steps.images steps.learning steps.assessment",
    "flows.steps.publication": "config runtime steps.project steps.images steps.learning steps.assessment steps.detection",
    "flows.steps.plots": "config runtime steps.project",
    "flows.steps.release": "runtime steps.project steps.images steps.learning",
    "flows.steps.alerts": "config runtime steps.project",
    "flows.steps.monitoring": "config runtime steps.project steps.images steps.alerts",
    "flows.steps.inspection": "config runtime steps.project steps.images steps.learning steps.publication steps.monitoring",
    "flows.steps.chips": "config runtime steps.project steps.learning steps.assessment steps.release steps.inspection",
    "flows.steps.register": "runtime",
    "flows.steps.suggestion": "runtime steps.project steps.images steps.learning",
    "flows": ANY,
    "flows.demo": ANY,
    "flows.cli": ANY,
}
"""The rooms, each after those that it may import."""
LARGEST_ROOM, LONGEST_MODULE = 12, 350
UNTYPED = {f"{kind}[str, {value}]" for kind in ("dict", "Mapping", "MutableMapping") for value in ("Any", "object")}
MOST_UNTYPED = 35
"""Dicts of anything, which are for borders: JSON that was just read, the context of a template, rows of a table; only fewer."""
MOST_PARAMETERS, MOST_POSITIONAL = 8, 4


def layer(module: str) -> str:
    return module.split(".")[1]


def room(module: str) -> str:
    """Return the room that a module lies in: the longest name in the table that its own begins with."""
    name = module.removeprefix("landshift.")
    return max((r for r in ROOMS if name == r or name.startswith(f"{r}.")), key=len)


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


def ours(module: str) -> set[str]:
    return {n for n in imported(MODULES[module]) if n in MODULES and n != module}


def calls(tree: ast.AST) -> Iterator[str]:
    return (ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call))


def test_rooms_import_what_their_table_allows() -> None:
    offenders = []
    for module in MODULES:
        here, below = room(module), LAYERS[: LAYERS.index(layer(module))]
        allowed = {here, layer(module), *(f"{layer(module)}.{name}" for name in ROOMS[here].split())}
        for name in ours(module):
            there = room(name)
            anywhere = ROOMS[here] == ANY and layer(name) == layer(module)
            if there not in allowed and layer(name) not in below and not anywhere:
                offenders.append(f"{module} imports {name}")
    assert not offenders


def test_every_permission_is_used() -> None:
    used = {(room(module), room(name)) for module in MODULES for name in ours(module)}
    unused = [
        f"{here}: {name}"
        for here, names in ROOMS.items()
        if names != ANY
        for name in names.split()
        if (here, f"{here.partition('.')[0]}.{name}") not in used
    ]
    assert not unused


def test_rooms_have_an_order_and_modules_no_circles() -> None:
    order = list(ROOMS)
    upwards = [
        f"{module} imports {name}"
        for module in MODULES
        for name in ours(module)
        if room(name) not in LAYERS and order.index(room(name)) > order.index(room(module))
    ]
    assert not upwards
    packages = {m.rpartition(".")[0] for m in MODULES}
    graphlib.TopologicalSorter({m: ours(m) - packages for m in MODULES}).prepare()


def test_frameworks_and_files_have_one_door_each() -> None:
    offenders = []
    for module, tree in MODULES.items():
        found = roots(module)
        names = {n for n in imported(tree) if n.partition(".")[0] in ("rasterio", "rioxarray", "osgeo", "tifffile")}
        called = set(calls(tree))
        if room(module) != "pipeline.raster":
            offenders += [(module, n) for n in names if not n.startswith("rasterio.features")]
            offenders += [(module, c) for c in called if c.endswith((".open_rasterio", "WarpedVRT", "rasterio.open"))]
        if room(module) != "pipeline.vector":
            forbidden = (".read_file", ".to_file", ".read_parquet", ".to_parquet", ".read_postgis", ".list_layers")
            offenders += [(module, n) for n in found & {"pyogrio", "fiona", "osgeo"}]
            offenders += [(module, c) for c in called if c.endswith(forbidden)]
        if layer(module) != "flows":
            offenders += [(module, n) for n in found & {"prefect"}]
        if layer(module) != "models":
            offenders += [(module, n) for n in found & TORCH]
    assert not offenders


def test_flows_import_nothing_heavy_at_once() -> None:
    """The command line prints its help in under a second."""
    heavy = TORCH | {"rasterio", "geopandas"}
    offenders = [
        (module, name)
        for module in MODULES
        if layer(module) == "flows"
        for name in imported(MODULES[module], lazily=False)
        if name.partition(".")[0] in heavy or name.startswith("landshift.models")
    ]
    assert not offenders


def test_rooms_and_modules_are_small_and_say_what_they_are_for() -> None:
    modules = {m for m in MODULES if not any(other.startswith(f"{m}.") for other in MODULES)}
    rooms = Counter(m.rpartition(".")[0] for m in modules)
    assert not {r: n for r, n in rooms.items() if n > LARGEST_ROOM}
    paths = [p for name in LAYERS for p in (ROOT / name).rglob("*.py")]
    lines = {p.relative_to(ROOT).as_posix(): len(p.read_text(encoding="utf-8").splitlines()) for p in paths}
    assert not {p: n for p, n in lines.items() if n > LONGEST_MODULE}
    assert not {m for m, tree in MODULES.items() if not ast.get_docstring(tree)}
    assert not {m for m in MODULES if m.rpartition(".")[2] in ("utils", "util", "common", "helpers", "misc", "registry")}


def test_one_word_names_one_class() -> None:
    classes = Counter(n.name for tree in MODULES.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef))
    assert not {name: n for name, n in classes.items() if n > 1}


def test_nothing_is_asserted_printed_or_kept_in_globals() -> None:
    offenders = []
    for module, tree in MODULES.items():
        offenders += [(module, n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Assert | ast.Global)]
        offenders += [(module, "print") for c in calls(tree) if c == "print" and room(module) != "flows.cli"]
    assert not offenders


def test_nothing_is_unpickled_or_evaluated() -> None:
    offenders = []
    for module, tree in MODULES.items():
        offenders += [(module, n) for n in roots(module) & {"pickle", "dill", "joblib", "shelve", "marshal"}]
        offenders += [(module, c) for c in set(calls(tree)) & {"eval", "exec", "yaml.load", "np.load", "os.system"}]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                careful = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                offenders += [] if careful else [(module, f"torch.load in line {node.lineno}")]
    assert not offenders


def test_no_package_of_ours_can_be_shadowed() -> None:
    """Users have folders called `flows` and `models`; what is imported as a bare name could be theirs."""
    assert not {m for m in MODULES if roots(m) & {*LAYERS, "configs"}}


def test_records_are_typed_but_at_borders() -> None:
    untyped = Counter(
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node) in UNTYPED
    )
    assert untyped.total() <= MOST_UNTYPED, untyped.most_common()


def test_functions_take_few_parameters() -> None:
    """A verb's options are its parameters."""
    offenders = []
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and room(module) != "flows.cli":
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len([n for n in names if n not in ("self", "cls")]) > MOST_PARAMETERS:
                    offenders.append(f"{module}.{node.name}")
    assert not offenders


def test_calls_with_more_than_four_arguments_use_keywords() -> None:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {n.name for tree in MODULES.values() for n in ast.walk(tree) if isinstance(n, definitions)}
    offenders = [
        f"{module}, line {node.lineno}: {ast.unparse(node.func)}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONAL and ast.unparse(node.func).split(".")[-1] in defined
        if not any(isinstance(a, ast.Starred) for a in node.args)
    ]
    assert not offenders


READS_JSON = {
    "landshift.pipeline.records", "landshift.pipeline.manifest", "landshift.pipeline.releases",
    "landshift.pipeline.vector.formats", "landshift.pipeline.scenes.stac.documents", "landshift.models.transfer.probe",
    "landshift.pipeline.register.database.review_rows", "landshift.pipeline.register.database.opening",
    "landshift.pipeline.register.database.rows", "landshift.flows.cli.learning", "landshift.flows.demo.sample",
    "landshift.flows.steps.assessment.publish", "landshift.flows.steps.release.candidates",
}  # fmt: skip
"""The door, and those that read what this process wrote, or turn every fault of it into a refusal themselves."""


def test_json_is_read_through_one_door() -> None:
    found = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.load", "json.loads")
    }
    assert found <= READS_JSON
