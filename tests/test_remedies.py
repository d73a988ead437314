"""Every remedy in a message exists: keys of the config, verbs and options, commands of other programs, extras of the package.

All texts of the source but docstrings are read: an f-string with its values left out. What stands in backticks, or after a
word such as `--`, is looked up. Whether a remedy works is shown where its message is tried.
"""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from landshift.flows.cli.main import app
from landshift.flows.config.project import schema_text

ROOT = Path(__file__).parents[1]
VALUE = "VALUE0"
"""Stands for a value that is filled in when the text is shown."""
SCHEMA = json.loads(schema_text())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"^(?:(?:[a-z_]+|{VALUE}):\s+)*(?:[a-z_]+|{VALUE}):(?=\s|$)")
LEADING = re.compile(r"^((?:[a-z_]+: )+)(?=[a-z0-9{\[V'\"])")
"""Keys with which a message begins."""
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
VERB = re.compile(r"\blandshift ((?:[a-z]+ ?)+)")
PROGRAMS: dict[str, set[str]] = {
    # Options by the manuals of GDAL 3.x, https://gdal.org/en/stable/programs/
    "gdalwarp": {"-t_srs", "-s_srs", "-tr", "-te", "-r", "-order", "-tps", "-dstnodata", "-srcnodata", "-dstalpha", "-tap",
                 "-of", "-co"},
    "gdal_translate": {"-of", "-co", "-a_srs", "-a_nodata", "-a_ullr", "-gcp", "-b", "-ot", "-expand", "-unscale", "-mask",
                       "-projwin"},
    "gdal_retile.py": {"-ps", "-targetDir"},
    "gdal_edit.py": {"-a_srs", "-a_nodata", "-unsetnodata", "-unsetmd", "-a_ullr", "-mo", "-scale", "-offset"},
    "gdalinfo": {"-stats", "-checksum", "-json", "-mm"},
    "gdal_calc.py": {"--calc", "--outfile", "-A"},
    "gdal_rasterize": {"-a", "-burn", "-l", "-tr"},
    "gdal_footprint": set(),
    "ogr2ogr": {"-t_srs", "-s_srs", "-a_srs", "-f", "-nlt", "-where", "-sql", "-dim", "-lco", "-oo", "-explodecollections",
                "-makevalid", "-nln"},
    "ogrinfo": {"-so", "-al"},
    "pip": {"install"},
    "tar": {"-xf"},
    "dask": {"scheduler", "worker", "--nthreads"},
    "ray": {"start", "--head"},
    "prefect": {"server", "start", "--host", "gcl", "create", "--limit", "work-pool", "--type", "worker", "--pool"},
}  # fmt: skip
"""Programs that messages advise, and what may stand after them."""
FOREIGN_OPTIONS = {"--type", "--limit", "--nthreads", "--head", "--pool", "--host", "--calc", "--outfile"}
SHARED = {
    "layer": ("labels: polygons", "areas_of_interest"), "before_column": ("labels: polygons",),
    "after_column": ("labels: polygons",), "crs": ("labels: polygons", "grid"),
}  # fmt: skip
"""Keys that rooms name which do not know the section that they read for, and the sections that have them."""


@dataclass(frozen=True)
class Text:
    """A text of the source."""

    place: str
    """Module and line."""
    content: str
    """Values left out."""
    is_message: bool = True
    """Whether it is raised: its first words may be keys then."""


def texts() -> Iterator[Text]:
    """Give each text of the source."""
    for layer in ("pipeline", "models", "flows"):
        for path in sorted((ROOT / layer).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            raised = {
                id(part) for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error")
                for part in ast.walk(node)
            }  # fmt: skip
            inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    inside.add(id(node.value))
            for node in ast.walk(tree):
                place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.JoinedStr):
                    content = "".join(str(v.value) if isinstance(v, ast.Constant) else VALUE for v in node.values)
                    yield Text(place, content, id(node) in raised)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                    yield Text(place, node.value, id(node) in raised)


TEXTS = list(texts())


def resolve(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the alternatives of a place in the schema."""
    if "$ref" in node:
        yield from resolve(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
        return
    yield node
    for part in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from resolve(part)
    if "items" in node:
        yield from resolve(node["items"])


def descend(nodes: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return what a key leads to; empty where there is no such key."""
    found = []
    for node in (n for top in nodes for n in resolve(top)):
        if key == VALUE:
            found += node.get("properties", {}).values()
        elif key in node.get("properties", {}):
            found.append(node["properties"][key])
        elif isinstance(node.get("additionalProperties"), dict) and not node.get("properties"):
            found.append(node["additionalProperties"])
    return found


def follow(keys: Sequence[str], start: Sequence[dict[str, Any]] = (SCHEMA,)) -> list[dict[str, Any]]:
    """Return what a path of keys leads to."""
    nodes = list(start)
    for key in keys:
        nodes = descend(nodes, key)
    return nodes


def fault_of_value(nodes: Sequence[dict[str, Any]], value: Any) -> str:
    """Return what is wrong with a value by the schema: keys of mappings, and words where only some are allowed."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if VALUE in str(key):
                continue
            below = descend(nodes, str(key))
            if not below:
                return f"has no key {key}"
            if fault := fault_of_value(below, inner):
                return f"{key}: {fault}"
        return ""
    if isinstance(value, list):
        return next((fault for v in value if (fault := fault_of_value(nodes, v))), "")
    kinds = {place.get("type") for node in nodes for place in resolve(node)} - {None, "null"}
    if isinstance(value, str) and descend(nodes, value):
        return ""
    if kinds == {"object"} and value is not None and not (isinstance(value, str) and VALUE in value):
        return "takes keys"
    if not isinstance(value, str) or VALUE in value or value in ("...", ""):
        return ""
    places = [place for node in nodes for place in resolve(node)]
    words = {word for place in places for word in (*place.get("enum", ()), *([place["const"]] if "const" in place else ()))}
    free = any(place.get("type") == "string" and "enum" not in place and "const" not in place for place in places)
    return f"does not take {value!r}, but {sorted(map(str, words))}" if words and not free and value not in words else ""


def every_section() -> list[list[str]]:
    """Return the paths of all sections; messages of the config's own checks begin with the place where they were raised."""
    found: list[list[str]] = [[]]
    for path in found:
        for key, node in {k: v for n in follow(path) for r in resolve(n) for k, v in r.get("properties", {}).items()}.items():
            if any("properties" in place for place in resolve(node)):
                found.append([*path, key])
    return found


SECTIONS = every_section()


def faults_of_keys(text: Text) -> Iterator[str]:
    """Give what is wrong with the keys of the config that a text names in backticks."""
    sections: list[list[str]] = list(SECTIONS) if text.place.startswith("flows/config/") else [[]]
    spans = [span for span in QUOTED.findall(text.content) if PATH.match(span)]
    if text.is_message and (leading := LEADING.match(text.content)):
        spans.insert(0, leading.group(1).strip())
    for span in spans:
        head = PATH.match(span)
        if head is None:
            continue
        keys, rest = re.findall(rf"{VALUE}|[a-z_]+", head.group()), span[head.end() :].strip()
        # What stands without its section belongs to one that the text has named before.
        keys, anywhere = (keys[1:], SECTIONS) if keys[0] == VALUE and len(keys) > 1 else (keys, [])
        shared = [re.findall(r"[a-z_]+", section) for section in SHARED.get(keys[0], ())]
        known = [section for section in [*reversed(sections), *shared, *anywhere] if follow([*section, *keys])]
        if not known:
            yield f"`{span}`: the config has no {': '.join(keys)}"
            continue
        full = [*known[0], *keys]
        sections += [full[:depth] for depth in range(1, len(full) + 1)]
        try:
            value = yaml.safe_load(rest.rstrip(",;")) if rest else None
        except yaml.YAMLError:
            yield f"`{span}` is not valid YAML"
            continue
        if fault := fault_of_value(follow(full), value):
            yield f"`{span}`: {': '.join(full)} {fault}"


def commands() -> dict[tuple[str, ...], set[str]]:
    """Return the verbs of the command line with their options."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command: Any, name: tuple[str, ...]) -> None:
        found[name] = {option for p in command.params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")}
        for verb, inner in getattr(command, "commands", {}).items():
            walk(inner, (*name, verb))

    walk(typer.main.get_command(app), ())
    return found


COMMANDS = commands()
OPTIONS = {option for options in COMMANDS.values() for option in options}


def verb_in(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the longest verb that words begin with."""
    return next((tuple(words[:n]) for n in range(min(len(words), 3), 0, -1) if tuple(words[:n]) in COMMANDS), None)


def faults_of_verbs(text: Text) -> Iterator[str]:
    """Give what is wrong with the verbs and options of Landshift that a text names."""
    for span in QUOTED.findall(text.content):
        if span.startswith("landshift "):
            words = span.split()[1:]
            verb = verb_in(words)
            if verb is None:
                yield f"`{span}`: there is no such verb"
                continue
            unknown = [o for o in OPTION.findall(span) if o not in COMMANDS[verb]]
            if unknown:
                yield f"`{span}`: {' '.join(verb)} has no {unknown[0]}"
    if re.search(r"https?://", text.content) is None:
        bare = QUOTED.sub("", text.content)
        yield from (f"there is no option {o}" for o in OPTION.findall(bare) if o not in OPTIONS | FOREIGN_OPTIONS)


def faults_of_programs(text: Text) -> Iterator[str]:
    """Give what is wrong with the commands of other programs that a text names in backticks."""
    for span in QUOTED.findall(text.content):
        program = span.split()[0] if span.split() else ""
        if re.match(r"(?:gdal|ogr|rio)", program) and program not in PROGRAMS:
            yield f"`{span}`: {program} is not a program that is known here"
        if program not in PROGRAMS or span == program:
            continue
        try:
            words = shlex.split(span)[1:]
        except ValueError:
            yield f"`{span}`: the quotes are not closed"
            continue
        unknown = [w for w in words if re.match(r"--?[a-z_]+$", w) and w not in PROGRAMS[program]]
        if unknown:
            yield f"`{span}`: {program} is not known to take {unknown[0]}"
        for extra in re.findall(r"landshift\[([\w-]+)\]", span):
            if extra not in EXTRAS and extra != VALUE:
                yield f"`{span}`: there is no extra {extra}"


@pytest.mark.parametrize("check", [faults_of_keys, faults_of_verbs, faults_of_programs])
def test_what_messages_advise_exists(check: Any) -> None:
    faults = [f"{text.place}: {fault}" for text in TEXTS for fault in check(text)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Correct `sensor: scale:`, `offset:` or `number_offset:`.", None),
        ("Correct `scenes: pattern:` or `stac: leave_out:`.", None),
        ("Correct `sensor: scales:`.", "no sensor: scales"),
        ("Correct `offset:`.", "no offset"),
        ("Set `scenes: clouds: mask: none`.", None),
        ("Set `sensor: custom`.", "sensor takes keys"),
        ("Set `scenes: clouds: mask: nothing`.", "does not take 'nothing'"),
        (f"Set `grid: {{crs: {VALUE}, pixel_size: {VALUE}, bounds: [{VALUE}]}}`.", None),
        (f"Set `grid: {{crs: {VALUE}, size: 10}}`.", "has no key size"),
        ("Set `grid: {crs: EPSG:32651`.", "not valid YAML"),
        ("training: losses: 'a' is not known", "no training: losses"),
        ("Run `landshift train`, or name one with --model.", None),
        ("Run `landshift retrain`.", "no such verb"),
        ("Run `landshift train --modell x`.", "train has no --modell"),
        ("Give --modell.", "no option --modell"),
        ("Run `gdal_edit.py -unsetnodata`.", None),
        ("Run `gdal_edit.py -nonsense x`.", "not known to take -nonsense"),
        ("Run `gdal_mend x`.", "not a program"),
        ("Type `pip install 'landshift[nothing]'`.", "no extra nothing"),
    ],
)
def test_the_check_finds_what_does_not_exist(text: str, fault: str | None) -> None:
    found = [f for check in (faults_of_keys, faults_of_verbs, faults_of_programs) for f in check(Text("pipeline/a.py", text))]
    if fault is None:
        assert not found
    else:
        [one] = found
        assert fault in one
