"""Make `docs/performance.md` from the JSON files of the benchmarks, so that no figure on the page is typed by hand.

    python benchmarks/report.py [--check]

With `--check` nothing is written, and the exit code is 1 where the page is not what the files make.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from machine import fit_exponent
from register_tables import show_clouds, show_register
from tables import COLUMNS, Content, any_column, keep_page, machines_of, make_table, name_machine, number

ROOT = Path(__file__).parents[1]
MEASUREMENTS, PAGE = ROOT / "docs" / "measurements", ROOT / "docs" / "performance.md"
INTRODUCTION = """\
# What Landshift costs

<!-- Made by `python benchmarks/report.py` from docs/measurements/. Change the measurements or the script, not this page. -->

Time, memory and disk, each measured by a script in `benchmarks/` and kept as JSON in `docs/measurements/`. `make benchmarks`
measures them on your machine and makes this page anew. Processor time is in seconds of a core, user and system, with all
processes that a command starts. It suffers less than wall time from what else the machine does (its load stands with every
table), yet not nothing: compare the ratios of a row, which are of one run, and not seconds of two tables. *Before* is the state
before the work on speed that the changelog describes. What no row has was not measured."""


def show_path(content: Content) -> Iterator[str]:
    """Yield the section on all of `detect` but the network."""
    first = any_column(content)
    yield f"## All of `detect` but the network, {first['bands']} bands"
    yield (
        f"`benchmarks/detect_path.py --bands {first['bands']}`: two dates of a made landscape, uint16, {first['codec']}, "
        "blocks of 512 (`benchmarks/made.py`), and the whole command with a network that costs next to nothing "
        "(`benchmarks/free_model.py`), libraries on one thread. *Times decoding*: processor time beyond start-up, against "
        "decoding every block of both files once by rasterio in the same run. *Decode / reading*: decoding the blocks that the "
        "tiles touch, against reading the tiles as the pass does (the numbers that go to the device), with one cache of GDAL."
    )
    known = [column for column in COLUMNS if column in content]
    sizes = sorted({int(size) for column in known for size in content[column]["sizes"]})

    def cells(look: Callable[[Content], float | None], digits: int = 2) -> list[str]:
        found = []
        for column in COLUMNS:
            try:
                found.append(number(look(content[column]), digits))
            except KeyError:
                found.append("–")
        return found

    rows = []
    for size in sizes:
        key, name = str(size), f"{size:,} px"
        rows += [
            [f"{name}: `detect`, times decoding", "≤ 10", *cells(lambda c, k=key: c["sizes"][k]["model"]["times_decode"], 3)],
            [f"{name}: seconds of a core a megapixel", "", *cells(lambda c, k=key: c["sizes"][k]["model"]["cpu_s_per_mpx"])],
            [f"{name}: decode / reading tiles of 1024 with margins", "≥ .80",
             *cells(lambda c, k=key: c["sizes"][k]["tiles"]["share"])],
            [f"{name}: peak RAM of the process, GB", "≤ 1.2",
             *cells(lambda c, k=key: c["sizes"][k]["model"]["peak_process_gb"])],
            [f"{name}: peak disk, times the inputs", "≤ 1",
             *cells(lambda c, k=key: c["sizes"][k]["model"]["disk_times_inputs"])],
            [f"{name}: `--method cva`, times decoding", "", *cells(lambda c, k=key: c["sizes"][k]["cva"]["times_decode"], 3)],
        ]  # fmt: skip
    rows = [row for row in rows if set(row[2:]) != {"–"}]
    rows.insert(0, ["start-up, seconds of a core", "≤ 5", *cells(lambda c: c["startup"]["model"]["cpu_s"])])
    for name, key in (("processor time", "beyond_startup_cpu_s"), ("RAM", "peak_process_gb"), ("disk", "peak_disk_gb")):
        goal = "≤ 1" if key != "peak_process_gb" else "0"
        rows.append([f"exponent of {name} by megapixels, over these sizes", goal, *cells(lambda c, k=key: grow_by_size(c, k))])
    yield make_table(("figure", "goal", *COLUMNS), rows)
    yield machines_of(content)


def grow_by_size(column: Content, key: str) -> float | None:
    """Return the exponent of a figure of `detect` by the megapixels of the scene; None from less than two sizes."""
    sizes = column["sizes"].values()
    return fit_exponent([s["mpx"] for s in sizes], [s["model"][key] for s in sizes]) if len(sizes) > 1 else None


def show_flame(content: Content) -> Iterator[str]:
    """Yield the section on where the time goes."""
    first = any_column(content)
    yield "### Where the time goes"
    yield (
        f"`benchmarks/flame.py`: share of the samples of py-spy over one such `detect` of {first['size_px']:,} px. What GDAL "
        "compresses in threads of its own is not seen. Seconds: the share of the processor time of the process."
    )
    names = sorted(
        {name for column in COLUMNS if column in content for name in content[column]["shares"]},
        key=lambda name: -max(content[c]["shares"].get(name, 0) for c in COLUMNS if c in content),
    )

    def share(name: str) -> list[str]:
        cells = []
        for column in COLUMNS:
            if column in content:
                part = content[column]["shares"].get(name, 0)
                cells += [f"{part:.1%}".replace("%", " %"), number(part * content[column]["process_cpu_s"])]
            else:
                cells += ["–", "–"]
        return cells

    yield make_table(
        ("", *(f"{c}, {what}" for c in COLUMNS for what in ("share", "s"))), [[name, *share(name)] for name in names]
    )
    yield machines_of(content)


def show_fed(content: Content) -> Iterator[str]:
    """Yield the section on a fast device."""
    yield "## Feeding a fast device"
    yield (
        "`benchmarks/fed_device.py`: the network is a wait, as long as a device of so many megapixels a second takes for "
        "what it is given (tiles with their margins), and codes come back. It is a simulation on this machine's cores: "
        "copies to a device are not in it. *Delivered* are megapixels of the map."
    )
    yield (
        "The pass now also makes and compresses the images for the eye and makes the map of IR-MAD, which was work of its "
        "own before: the columns are not of the same work."
    )
    rows = [
        [f"{column}: device of {number(row['device_mpx_per_second'], 3)} Mpx/s", number(row["delivered_mpx_per_second"]),
         number(row["cpu_s_per_mpx"]), number(row["cores_busy"]), number(row["load"])]
        for column in COLUMNS if column in content for row in content[column]["rows"]
    ]  # fmt: skip
    yield make_table(("", "delivered, Mpx/s", "seconds of a core a megapixel", "cores busy", "load"), rows)
    for column in COLUMNS:
        if column in content:
            needs = content[column]["cores_that_feed"].items()
            lines = "; ".join(f"{name}: {number(value)} cores" for name, value in needs)
            yield f"Cores like these that feed a device, {column}, computed from the seconds of a core above: {lines}."
    yield machines_of(content)


PEERS = {
    "landshift": "Landshift's stream: the same work as below", "detect": "`landshift detect`, with land use, polygons, page",
    "torchgeo": "a loop over torchgeo's GridGeoSampler with stitching",
    "rastervision": "raster-vision 0.31, windows of 1,024 side by side",
    "rastervision-margins": "raster-vision 0.31, windows with the margins of ours",
    "rastervision-defaults": "raster-vision 0.31, its defaults (windows of 300 side by side)",
}  # fmt: skip


def show_peers(content: Content) -> Iterator[str]:
    """Yield the section on others."""
    first = any_column(content)
    yield "## Against others"
    yield (
        f"`benchmarks/peers.py`: both dates of a pair of {first['size_px']:,} px and {first['bands']} bands, a model of one 1"
        " x 1 step, one map written as a GeoTIFF; each whole in a process of its own, start-up included. Landshift and "
        "torchgeo have windows of 1,024 with margins of 128, of which torchgeo's lie inside the 1,024."
    )
    rows = []
    for column in COLUMNS:
        for who, row in content.get(column, {}).get("rows", {}).items():
            figures = ["–"] * 5 if "failed" in row else [
                number(row[key]) for key in ("wall_s", "cpu_s", "peak_ram_gb", "peak_disk_gb", "load")
            ]  # fmt: skip
            rows.append([f"{column}: {PEERS[who]}", *figures])
    yield make_table(("", "wall, s", "seconds of a core", "peak RAM, GB", "peak disk, GB", "load"), rows)
    yield from (compare_peers(column, content[column]["rows"]) for column in COLUMNS if column in content)
    yield machines_of(content)


def compare_peers(column: str, rows: Content) -> str:
    """Return ours against each other row, of one run."""
    keys = {"wall": "wall_s", "seconds of a core": "cpu_s", "RAM": "peak_ram_gb"}
    lines = [
        f"{name} of {PEERS[who]}: {number(rows['landshift'][key] / row[key])}"
        for who, row in rows.items() if who not in ("landshift", "detect") and "failed" not in row
        for name, key in keys.items()
    ]  # fmt: skip
    failed = [f"{PEERS[who]} failed: `{row['failed'].splitlines()[-1]}`" for who, row in rows.items() if "failed" in row]
    goals = "goals ≤ 0.17 of the wall, ≤ 0.33 of the RAM of raster-vision"
    return f"Landshift's stream as a share ({column}; {goals}): {'; '.join((*lines, *failed))}."


def show_growth(content: Content) -> Iterator[str]:
    """Yield the section on growth."""
    yield "## Growth"
    yield (
        "`benchmarks/growth.py`: exponents b of a·x^b, fitted over all steps, of `landshift detect` with a network that "
        "costs next to nothing, four bands. 1 is linear, 0 does not grow. Processor time is without start-up."
    )
    titles = {
        "edge": "megapixels of the scene", "dates": "dates of a composite", "classes": "classes",
        "regions": "regions of a command",
    }  # fmt: skip
    rows = []
    for column in COLUMNS:
        for what, title in titles.items():
            found = content.get(column, {}).get(what)
            if found is not None:
                steps = ", ".join(found["steps"])
                rows.append(
                    [f"{column}: {title} ({steps})", *(number(found["exponents"][key]) for key in ("cpu", "ram", "disk"))]
                )
    yield make_table(("", "processor time", "RAM", "disk"), rows)
    yield machines_of(content)


def show_gpu(content: Content) -> Iterator[str]:
    """Yield the section on a GPU."""
    gpu, speed = content["gpu"], content["gpu"]["speed"]
    yield "## On a GPU"
    yield (
        f"`make gpu-check` on {content['device']}, PyTorch {content['torch']}: the demo's network with ten bands, six classes"
        f" and both heads, a pair of {content['scene_px']:,} px, tiles of 1,024 with margins of 128."
    )
    rows = [
        ["the network alone, tiles on the device, Mpx/s of the map", number(speed["alone_mpx_per_second"])],
        ["streamed from files to codes, Mpx/s", number(speed["streamed_mpx_per_second"])],
        ["streamed / alone", number(speed["streamed_share"])],
        ["seconds of a host core a megapixel", number(speed["host_cpu_s_per_mpx"])],
        ["peak memory of the device, GB", number(speed["peak_memory_gb"])],
        ["training, images of 96 px a second", number(gpu["images_per_second"], 3)],
        ["pixels that differ from the CPU in float32, ppm: bf16 / float32",
         f"{number(content['flips_ppm']['bf16'], 3)} / {number(content['flips_ppm']['float32'], 3)}"],
    ]  # fmt: skip
    yield make_table(("", "measured"), rows)
    yield name_machine("host", content)


def show_polygons(content: Content) -> Iterator[str]:
    """Yield the section on patches and polygons."""
    yield "## Patches to a GeoPackage"
    yield (
        "`benchmarks/polygons.py`: from a map to polygons with their attributes in a GeoPackage, seconds of a core. Goal: at"
        " most 2.5 s for 44,000 patches, and linear to 200,000."
    )
    for column in COLUMNS:
        if column not in content:
            continue
        found = content[column]
        rows = [
            [f"{column}: {row['patches']:,} patches on {row['edge_px']:,} px",
             *(number(row[key]) for key in ("total_s", "find_s", "layers_s", "write_s", "peak_ram_gb", "load"))]
            for row in (*found["polygons"], *found.get("few_changes", ()))
        ]  # fmt: skip
        yield make_table(("", "all, s", "finding", "polygons", "writing", "peak RAM, GB", "load"), rows)
        lines = (
            [f"time grows with the patches to the power {number(found['exponents']['total_s'])}"] if found["exponents"] else []
        )
        if "fiona_rows_a_second_of_records" in found:
            ratios = (found[f"rows_a_second_to_fiona_of_{what}"] for what in ("records", "a_frame"))
            of_records, of_frame = (number(ratio, 3) for ratio in ratios)
            lines.append(
                f"{found['polygons'][-1]['rows_a_second']:,} rows a second are written, {of_records} times as many as fiona "
                f"writes of records, {of_frame} times as many as of a GeoDataFrame (goal ≥ 25)"
            )
        if lines:
            yield f"{column.capitalize()}: {'; '.join(lines)}."
    yield machines_of(content)


def show_land_plots(content: Content) -> Iterator[str]:
    """Yield the section on parcels."""
    yield "## Parcels"
    yield (
        "`benchmarks/land_plots.py`: from parcels in another CRS and a map in files to the table in three formats. Goal:"
        " 100,000 parcels in a minute. Parts are seconds of a core."
    )
    for column in COLUMNS:
        rows = [
            [f"{column}: {row['plots']:,} parcels on {row['edge_px']:,} px",
             *(number(row[key]) for key in ("clock_s", "total_s", "read_s", "cover_s", "table_s", "write_s", "peak_ram_gb"))]
            for row in content.get(column, {}).get("plots", ())
        ]  # fmt: skip
        if rows:
            yield make_table(("", "clock, s", "core, s", "reading", "shares", "table", "writing", "peak RAM, GB"), rows)
    yield machines_of(content)


def show_report(content: Content) -> Iterator[str]:
    """Yield the section on the page of a run with many patches."""
    yield "## The page of a run"
    yield (
        "`benchmarks/page.py`: `report.html` with a hundred thousand patches, opened from the disk in a browser without a "
        "graphics card. Milliseconds between two frames while the page answers. Goals: below 3 MB, and no frame of 100 ms."
    )
    for column in COLUMNS:
        if column not in content:
            continue
        found = content[column]
        yield (
            f"{column.capitalize()}: {found['patches']:,} patches on {found['edge_px']:,} px are "
            f"{found['bytes'] / 1e6:.2f} MB, written in {number(found['page_s'])} s of a core and ready after "
            f"{number(found['ready_ms'] / 1000)} s (Chromium {found['chromium'].split('.')[0]})."
        )
        rows = [[name, number(row["longest_ms"], 3), number(row["p95_ms"], 3)] for name, row in found["frames"].items()]
        yield make_table(("", "longest frame, ms", "95 % of the frames at most, ms"), rows)
    yield machines_of(content)


def show_chips(content: Content) -> Iterator[str]:
    """Yield the section on the chips of a training."""
    yield "## Training chips"
    yield (
        "`benchmarks/chips.py`: milliseconds for a chip of both dates and its labels on one core, by the loop of torchgeo's "
        "documentation and by ours, read from the images and from the raw blocks that a training keeps around its labels, in"
        " one run. Labels cover the share of the scene."
    )
    rows = [
        [f"{name}, {row['bands']} bands, {row['codec']}, {row['share']:.0%} labelled".replace("%", " %"),
         *(number(row[key], 3) for key in ("torchgeo_ms", "images_ms", "cache_ms", "augmented_ms")),
         *(f"{number(row[key], 2)} ×" for key in ("torchgeo_to_images", "torchgeo_to_cache"))]
        for name, row in content.items()
    ]  # fmt: skip
    head = (
        "", "torchgeo, ms", "images, ms", "blocks, ms", "blocks and augmentation, ms", "images (goal ≥ 8 ×)", "blocks (≥ 20 ×)"
    )  # fmt: skip
    yield make_table(head, rows)
    yield machines_of(content, tuple(content))


def show_step(content: Content) -> Iterator[str]:
    """Yield the section on a training step."""
    yield "## A training step"
    yield "`benchmarks/training_step.py`: forward and backward on the CPU alone, and what a batch of chips costs."
    names = {
        "bare_step_ms": "a bare step, ms", "bare_step_channels_last_ms": "the same with channels last, ms",
        "fit_step_ms": "a step of the training, ms", "batch_from_images_ms": "a batch of chips from the images, ms of a core",
        "batch_kept_ms": "a batch from raw blocks, ms of a core", "chips_per_core_second": "chips a second of a core",
        "waiting_share_of_fit_step": "share of a step that waits for chips (goal ≤ 0.03)",
    }  # fmt: skip
    known = [column for column in COLUMNS if column in content]
    rows = [[title, *(number(content[column][name], 3) for column in known)] for name, title in names.items()]
    yield make_table(("", *known), rows)
    yield machines_of(content)


SECTIONS: tuple[tuple[str, Callable[[Content], Iterator[str]]], ...] = (
    ("detect_path", show_path), ("detect_path_4", show_path), ("flame", show_flame), ("fed_device", show_fed),
    ("gpu_check", show_gpu), ("polygons", show_polygons), ("land_plots", show_land_plots), ("page", show_report),
    ("register", show_register), ("register_clouds", show_clouds), ("chips", show_chips),
    ("training_step", show_step), ("peers", show_peers), ("growth", show_growth),
)  # fmt: skip
"""Files and what shows them, in the order of the page."""


def make_page(folder: Path = MEASUREMENTS) -> str:
    """Return the page that the files of a folder make."""
    parts = [INTRODUCTION]
    for name, show in SECTIONS:
        path = folder / f"{name}.json"
        if path.exists():
            parts += list(show(json.loads(path.read_text(encoding="utf-8"))))
        elif name == "gpu_check":
            parts += ["## On a GPU", "Nothing has been measured there: `make gpu-check` does it where there is a CUDA device."]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(keep_page(PAGE, make_page(), __doc__))
