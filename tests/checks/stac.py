#!/usr/bin/env python3
"""Validate the STAC items and collections of a run without a network, and check that every asset is there.

usage: stac.py RUN_DIR      needs: pystac, jsonschema, referencing (in the environment that runs it)
The extension schemas beside this file are the STAC community's own (Apache-2.0), named by their $id.
"""

import json
import pathlib
import sys

import pystac
import pystac.errors
import pystac.validation
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable

here, run = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])
known = {}
for path in (here / "schemas").glob("*.json"):
    schema = json.loads(path.read_text())
    known[schema["$id"].rstrip("#")] = schema
registry = Registry().with_resources((key, Resource.from_contents(schema)) for key, schema in known.items())
failed = found = 0
for path in sorted(run.rglob("*.json")):
    document = json.loads(path.read_text())
    if not isinstance(document, dict) or "stac_version" not in document:
        continue
    found += 1
    problems = []
    try:
        pystac.validation.validate_dict(document, extensions=[])  # the core schemas come with pystac
    except pystac.errors.STACValidationError as error:
        problems.append(f"core: {str(error)[:300]}")
    for extension in document.get("stac_extensions", []):
        schema = known.get(extension.rstrip("#"))
        if schema is None:
            print(f"note  {path.name}: no local schema for {extension}")
            continue
        try:
            problems += [
                f"{extension.split('/')[-3]}: {e.json_path} {e.message[:120]}"
                for e in Draft7Validator(schema, registry=registry).iter_errors(document)
            ]
        except Unresolvable as error:
            print(f"note  {path.name}: {extension} refers to {error}, which is not here")
    for name, asset in document.get("assets", {}).items():
        href = asset["href"]
        if href.startswith("/"):
            problems.append(f"asset {name}: absolute path")
        elif "://" not in href and not (path.parent / href).exists():
            problems.append(f"asset {name}: {href} is not there")
    print(("FAIL  " if problems else "ok    ") + path.name + ("".join(f"\n      {p}" for p in problems[:10])))
    failed += bool(problems)
if not found:
    print("FAIL  no STAC document in the run")
sys.exit(bool(failed or not found))
