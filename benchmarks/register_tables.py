"""Sections of the page on performance about the register."""

from collections.abc import Iterator

from tables import COLUMNS, Content, any_column, machines_of, make_table, number


def show_register(content: Content) -> Iterator[str]:
    """Yield the section on merges into a register."""
    yield "## Changes in a register"
    yield (
        "`benchmarks/register.py`: merges into a GeoPackage that holds so many changes, seconds of a core: the first run, with "
        "a patch for each change; a run of 5,000 patches of the same ground, after which all others count as not seen; "
        "a run of about 5,000 patches of a corner; one of 5,000 patches that comes late, for which all runs are folded again; "
        "and reading all changes. Memory is that of the process up to there. Goal: 10 s for 5,000 patches into 100,000 changes."
    )
    names = ("first_s", "merge_s", "corner_s", "late_s", "read_s")
    rows = []
    for column in (c for c in COLUMNS if c in content):
        found = content[column]
        rows += [
            [
                f"{column}: {row['changes_first']:,} changes",
                *(number(row.get(key)) for key in names),
                number(row.get("peak_gb")),
            ]
            for row in found["register"]
        ]
        rows.append([f"{column}: grows to the power", *(number(found["exponents"].get(key)) for key in names), ""])
    yield make_table(("", "first, s", "5,000 patches, s", "a corner, s", "late, s", "reading, s", "memory, GB"), rows)
    yield machines_of(content)


def show_clouds(content: Content) -> Iterator[str]:
    """Yield the section on changes under clouds."""
    yield "## Changes under clouds"
    one = any_column(content)
    yield (
        f"`benchmarks/register_clouds.py`: {one['territories']} made territories with {one['changes']} changes in all, which "
        f"begin within {one['dates']} dates that clouds hide to 0 to 40 %; what is seen is mapped right. Dates count from "
        f"the one at which the change is there: 0 is that one."
    )
    names = {
        "split": "changes with more than one entry at the end", "ids": "ids ever given", "ends": "ends that were none",
    }  # fmt: skip
    known = [column for column in COLUMNS if column in content]
    rows = [[title, *(str(content[column][name]) for column in known)] for name, title in names.items()]
    for name, title in (("until_seen", "dates until it is seen"), ("until_confirmed", "dates until it is confirmed")):
        cells = (content[column][name] for column in known)
        rows.append([f"{title}: half of them, 90 %, 99 %", *(f"{c['p50']}, {c['p90']}, {c['p99']}" for c in cells)])
    yield make_table(("", *known), rows)
    yield machines_of(content)
