"""Make `docs/trust.md` from docs/measurements/lies.json and chaos.json, so that no figure on the page is typed by hand.

python benchmarks/trust.py [--check]
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tables import Content, keep_page, make_table, name_machine, number

ROOT = Path(__file__).parents[1]
MEASUREMENTS, PAGE = ROOT / "docs" / "measurements", ROOT / "docs" / "trust.md"
INTRODUCTION = """\
# How far to trust a map, and what was tried against it

<!-- Made by `python benchmarks/trust.py` from docs/measurements/. Change the measurements or the script, not this page. -->

What Landshift notices of data that lie, and what a kill or a full disk leaves behind; each was tried, on one small made
landscape, and holds for that. Gates and their limits are in [concepts.md](concepts.md); attacks are in
[security.md](security.md)."""
LIES = """\
`benchmarks/lies.py`: the demo's northern territory ({size} x {size} pixels of 10 m, seed {seed}), and a small network
({epochs} epochs of {chips} chips) that learnt from clean labels for all lies in images, and anew for each lie in labels.
Hectares are counted on {observed} ha that both dates observed and no label covered (less where a lie hides ground). *False* is
mapped as changed and did not change; *wrong kind* changed otherwise; *missed* changed and is not mapped: all of the map as it
is where gates only mark, or are ignored. *With the gate* is what is false or wrong where marked runs are set aside: nothing
where a gate noticed, all of it where none did. The first row is the map without a lie: what it has is the model's own."""
LESSONS = """\
A constant on all bands does not reach the map, since the dates are matched to one light first (`radiometry: match`). What
refused the wrong zone of both images is the layer of areas of interest that the demo has; a project without one was not tried.

A gate is a smoke detector: it shows that something is wrong, seldom what. Lies that come through unnoticed are the reason to
judge a sample of every map ([review.md](review.md)): hectares estimated from judged pixels do not depend on the model, on its
labels or on a gate. By default all gates mark except `level_ratio` and `mapped_share`, which stop; `gates: NAME: otherwise:
stop` makes a marked run none."""
CHAOS = """\
`make chaos` (`tests/chaos/`): the same landscape of 128 pixels, each verb in a process of its own. *Kill* and *terminate*:
SIGKILL and SIGTERM at a moment drawn from a seed, half of them at an operation on files, half at a time. *File size*: no
file may grow beyond some hundred bytes to 1 MB. *Full disk*: a file system with some kB to 1 MB left. *Memory*: an address
space of 3 MB to 1 GB more than at the start. *Read-only*: outputs on a file system that cannot be written to. *Clock*: it jumps
8 years ahead or back. Then the verb is run once in peace, and has to end as if nothing had been: pixels, attributes, rows of
registers, every record but its times, hashes and numbers of attempts, and no file left over (`tests/alike.py`). Where it is not
killed, the disturbed run has to end with an exit code of ours and without a traceback. *Before* is the state before the work
that the changelog describes. Seed 0; publish, and signals apart from the rest, in runs of the harness of their own."""


_OTHER_IMAGES = "Images of the training"


def show_lies(content: Content) -> Iterator[str]:
    """Yield the section on lies in the data."""
    rows = content["rows"]
    yield "## Lies in the data"
    yield LIES.format(**{k: content[k] for k in ("size", "seed", "epochs", "chips")}, observed=f"{rows[0]['observed_ha']:,.0f}")
    own = {gate for row in rows if row["lie"] == "nothing" for gate in row["gates"]} | {_OTHER_IMAGES}
    cells, unnoticed = [], list[str]()
    for row in rows:
        if "refused" in row:
            sentence = row["refused"].splitlines()[0].partition(". ")[0].rstrip(".")
            cells.append([row["lie"], f"refused: {sentence}", *["–"] * 3, "0"])
            continue
        noticed = [
            f"`{name}`{' (stops)' if gate['default'] == 'stop' else ''}"
            for name, gate in row["gates"].items()
            if name not in own
        ]
        said = f"; test F1 stated: {number(row['test_f1'], 2)}" if row["kind"] == "labels" or not unnoticed else ""
        if not noticed:
            unnoticed.append(row["lie"])
        shown = [number(row[k], 3) for k in ("false_ha", "wrong_kind_ha", "missed_ha")]
        unseen = "0" if noticed else number(row["false_ha"] + row["wrong_kind_ha"], 3)
        cells.append([row["lie"], (", ".join(noticed) or "**nothing**") + said, *shown, unseen])
    head = ("lie", "noticed by", "false, ha", "wrong kind, ha", "missed, ha", "false or wrong with the gate, ha")
    yield make_table(head, cells)
    yield f"The gate `{_OTHER_IMAGES}` marks every map of other images than those of the training, and is not counted."
    yield f"Came through: {'; '.join(unnoticed[1:])}."
    yield LESSONS
    yield name_machine("measured on", content)


def show_chaos(content: Content) -> Iterator[str]:
    """Yield the section on kills and starvation."""
    yield "## Kills, full disks, little memory"
    yield CHAOS
    counts = {
        (column, row["verb"], row["fault"]): (row["held"], row["tried"])
        for column in ("before", "now")
        for row in content[column]["rows"]
    }
    verbs = list(dict.fromkeys(row["verb"] for row in content["now"]["rows"]))
    faults = list(dict.fromkeys(row["fault"] for row in content["now"]["rows"]))

    def cell(column: str, chosen: list[str], fault: str) -> str:
        found = [counts.get((column, verb, fault), (0, 0)) for verb in chosen]
        held, tried = (sum(part) for part in zip(*found, strict=True))
        return f"{held} of {tried}" if tried else "–"

    rows = [[verb, *(cell("now", [verb], fault) for fault in faults)] for verb in verbs]
    rows.append(["all, now", *(cell("now", verbs, fault) for fault in faults)])
    rows.append(["all, before", *(cell("before", verbs, fault) for fault in faults)])
    earlier = list(dict.fromkeys(row["verb"] for row in content["before"]["rows"]))
    yield make_table(("held", *faults), rows)
    yield f"*Before* was tried with {', '.join(earlier)}."
    skipped = content["now"]["skipped"]
    yield from [f"Not tried: {'; '.join(f'{n} ({why})' for why, n in skipped.items())}."] if skipped else []
    yield "Not tried: a power cut, a network file system, a disk that returns other bytes than were written."


def make_page(folder: Path = MEASUREMENTS) -> str:
    """Return the page that the files of a folder make."""
    parts = [INTRODUCTION]
    for name, show in (("lies", show_lies), ("chaos", show_chaos)):
        path = folder / f"{name}.json"
        if path.exists():
            parts += list(show(json.loads(path.read_text(encoding="utf-8"))))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(keep_page(PAGE, make_page(), __doc__))
