"""Measure how many judged pixels an interval of the changed area takes, by design of the sample, on simulated maps.

    python benchmarks/sampling.py [--maps 200] [--samples 40] [--seed 0] [--out docs/measurements/sampling.json]
    python benchmarks/sampling.py --docs [--check]     put the measured table into docs/results.md, or compare it
    python benchmarks/sampling.py --demo FOLDER        sample the map of a finished demo again and again

Each map is made from smooth random fields: a truth in patches, a probability of change that is right, dull or blind to a part
of the change, a threshold, and 7 to 15 kinds of change of very unequal size. Samples are drawn and estimated as `landshift
sample` and `landshift estimate` do; the interpreter makes no error. Each design gets the same maps.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from scipy.ndimage import gaussian_filter
from tables import make_table

from landshift.flows.steps.publication.sample import read_to_sample
from landshift.pipeline.legend import CHANGED, UNCHANGED, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.sample.area_estimation import Interval, areas, users_accuracies
from landshift.pipeline.sample.design import Design
from landshift.pipeline.sample.draw import DrawnStratum
from landshift.pipeline.sample.planning.anticipation import Anticipation, TestedKind, anticipate
from landshift.pipeline.sample.planning.plan import Aim, MapToSample, plan_strata
from landshift.pipeline.sample.planning.strata import stratify

ROOT = Path(__file__).parents[1]
MEASURED, PAGE = ROOT / "docs" / "measurements" / "sampling.json", ROOT / "docs" / "results.md"
BEGIN, END = "<!-- Made by `python benchmarks/sampling.py --docs`. -->\n", "<!-- Until here. -->\n"
SIZE, QUARTILES = 600, (0.25, 0.5, 0.75)
UNSEEN = {"hesitant": (0.0, 0.1), "blind": (0.2, 0.4)}
"""Share of the change that looks like unchanged ground to the model, so that its probability shows no doubt."""
DESIGNS = {
    "kinds": "a stratum for each kind, at least 50 pixels of each (before; `--target-error`)",
    "kinds_half": "the same, half the pixels",
    "doubt": "the default design, half the pixels",
    "no_doubt": "the same without the doubtful stratum",
    "blind": "the same, probabilities shuffled over the map",
    "hopeful": "the same, plan expects 10 % of the change to be missed",
    "gloomy": "the same, plan expects 60 % of the change to be missed",
}


@dataclass(frozen=True)
class Simulated:
    """A map with its truth."""

    change: np.ndarray
    """uint8 (y, x): change codes of the map."""
    truth: np.ndarray
    """uint8 (y, x): the true ones."""
    probability: np.ndarray
    """uint8 (y, x): numbers of change_probability.tif."""
    tested: Mapping[int, TestedKind]
    """How the model did on test blocks, where the ground is easier than on the map."""


def make_map(rng: np.random.Generator, unseen_share: tuple[float, float], size: int = SIZE) -> Simulated:
    """Make a map with 1 to 8 % change, of which a share between these two looks like unchanged ground to the model."""
    share, distance, blind = np.exp(rng.uniform(np.log(0.01), np.log(0.08))), rng.uniform(2.2, 4.5), rng.uniform(*unseen_share)
    ground = _field(rng, size, rng.uniform(3, 12))
    changed = ground > np.quantile(ground, 1 - share)
    hidden = _field(rng, size, 8)
    unseen = changed & (hidden < np.quantile(hidden[changed], blind))
    signal = 0.7 * rng.normal(size=(size, size)) + 0.7 * _field(rng, size, 2) + distance * (changed & ~unseen)
    odds = rng.uniform(0.5, 1.5) * (distance * signal - distance**2 / 2 + np.log(share / (1 - share)))
    chance = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    mapped = chance >= rng.uniform(0.3, 0.6)
    kinds = np.cumsum(1 / np.arange(1, rng.integers(8, 17)) ** 1.2)
    place = _field(rng, size, 25)
    kind = (
        np.searchsorted(kinds[:-1] / kinds[-1], place.ravel().argsort().argsort() / place.size).reshape(place.shape) + CHANGED
    )
    truth = np.where(changed, kind, UNCHANGED).astype(np.uint8)
    confused = np.where(rng.random(kind.shape) < 0.1, np.roll(kind, 40, axis=0), kind)
    change = np.where(mapped, confused, UNCHANGED).astype(np.uint8)
    found = float((mapped & changed).sum() / changed.sum())
    easier = found + rng.uniform(0, 0.5) * (1 - found)
    tested = {
        int(code): TestedKind(float((truth[change == code] == code).mean()), easier, int(rng.integers(30, 600)))
        for code in np.unique(change[mapped])
        if rng.random() < 0.7
    }
    return Simulated(change, truth, np.round(chance * 200).astype(np.uint8), tested)


def _field(rng: np.random.Generator, size: int, smooth: float) -> np.ndarray:
    field = gaussian_filter(rng.normal(size=(size, size)), smooth, mode="wrap")
    return np.asarray((field - field.mean()) / field.std())


def design_of(name: str, made: Simulated, pixels: int | None) -> tuple[tuple[DrawnStratum, ...], np.ndarray]:
    """Return the strata of a design with their sizes, and the stratum of each pixel."""
    counts = {int(code): int(n) for code, n in zip(*np.unique(made.change, return_counts=True), strict=True)}
    expected = anticipate(list(counts), made.tested)
    if name in ("hopeful", "gloomy"):
        expected = Anticipation(expected.right, 0.1 if name == "hopeful" else 0.6, ())
    probability = made.probability
    if name == "blind":
        probability = np.random.default_rng(0).permutation(probability.ravel()).reshape(probability.shape)
    numbers = None if name == "no_doubt" else np.bincount(probability[made.change == UNCHANGED], minlength=201)
    facts = MapToSample(counts, {code: f"kind {code}" for code in counts}, numbers, expected, 0.01)
    strata = plan_strata(facts, Aim(accuracy_error=0.01, size=pixels) if name.startswith("kinds") else Aim(size=pixels))
    return strata, stratify(made.change, probability, strata)


def sample_once(
    strata: tuple[DrawnStratum, ...], places: list[np.ndarray], made: Simulated, rng: np.random.Generator
) -> tuple[Design, np.ndarray, np.ndarray]:
    """Draw a sample; return its design, the map's codes and the true ones."""
    drawn = [rng.choice(place, row.samples, replace=False) for row, place in zip(strata, places, strict=True)]
    at = np.concatenate(drawn)
    stratum = np.repeat(np.arange(len(strata)), [len(one) for one in drawn])
    design = Design(np.array([row.pixels for row in strata]), stratum)
    return design, made.change.ravel()[at], made.truth.ravel()[at]


def _holds(found: Interval, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low - 1e-9 <= truth <= found.high + 1e-9


def _length(found: Interval) -> float:
    return float("nan") if found.low is None or found.high is None else found.high - found.low


def measure_map(
    made: Simulated, samples: int, rng: np.random.Generator, *, designs: Mapping[str, str] = DESIGNS
) -> dict[str, Any]:
    """Return what each design gives on a map: pixels, coverage and length of its intervals."""
    is_changed, mapped = made.truth >= CHANGED, made.change >= CHANGED
    codes = sorted({int(c) for c in np.unique(made.truth) if c >= CHANGED})
    sizes = np.array([int((made.truth == code).sum()) for code in codes])
    right = float((is_changed & mapped).sum() / mapped.sum())
    found: dict[str, Any] = {
        "changed_share": float(is_changed.mean()), "right": right,
        "found": float((is_changed & mapped).sum() / is_changed.sum()),
    }  # fmt: skip
    first = sum(row.samples for row in design_of("kinds", made, None)[0])
    for name in designs:
        strata, numbers = design_of(name, made, first if name == "kinds" else first // 2)
        if name == "kinds":
            strata, numbers = design_of(name, made, None)
        places = [np.flatnonzero(numbers == row.number) for row in strata]
        rows = []
        for _ in range(samples):
            design, at_map, at_truth = sample_once(strata, places, made, rng)
            member = at_truth[:, None] == np.array(codes)
            every = areas(design, np.concatenate([(at_truth >= CHANGED)[:, None], member], axis=1), 1.0)
            users = users_accuracies(design, (at_map >= CHANGED)[:, None], (at_truth >= CHANGED)[:, None])[0]
            kinds = [(_holds(one, n), _length(one)) for one, n in zip(every[1:], sizes.tolist(), strict=True)]
            rows.append(
                (
                    _holds(every[0], float(is_changed.sum())), _length(every[0]), _holds(users, right), _length(users),
                    np.mean([held for held, _ in kinds]), np.mean([length for _, length in kinds]),
                    kinds[0][1], (every[0].estimate or 0.0) / is_changed.sum(),
                )
            )  # fmt: skip
        means = np.mean(np.array(rows, dtype=float), axis=0)
        keys = ("holds", "length", "users_holds", "users_length", "kinds_hold", "kinds_length", "largest_kind_length", "ratio")
        found[name] = {"pixels": sum(row.samples for row in strata), **dict(zip(keys, means.tolist(), strict=True))}
        found[name]["length"] /= float(is_changed.sum())
    return found


def measure(maps: int, samples: int, seed: int) -> dict[str, Any]:
    """Return the figures of all designs over many maps, for models that hesitate where they err and for ones that do not."""
    groups = {}
    for group, unseen in UNSEEN.items():
        rng = np.random.default_rng([seed, len(groups)])
        number_of_maps = maps if not groups else maps // 4
        groups[group] = summarise([measure_map(make_map(rng, unseen), samples, rng) for _ in range(number_of_maps)])
    return {"machine": describe_machine(), "samples": samples, "seed": seed, "size": SIZE, "groups": groups}


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all designs over these maps."""
    figures = {}
    for name in DESIGNS:
        here, base = [row[name] for row in rows], [row["kinds"] for row in rows]
        holds = np.array([row["holds"] for row in here])
        figures[name] = {
            "pixels": float(np.median([row["pixels"] for row in here])),
            "covered": float(holds.mean()),
            "covered_by_map": np.quantile(holds, [0.05, 0.95]).tolist(),
            "relative_length": float(np.median([row["length"] for row in here])),
            **{
                f"{key}_ratio": np.quantile([a[key] / b[key] for a, b in zip(here, base, strict=True)], QUARTILES).tolist()
                for key in ("length", "users_length", "kinds_length", "largest_kind_length")
            },
            "bias": float(np.mean([row["ratio"] for row in here])) - 1,
            "users_covered": float(np.mean([row["users_holds"] for row in here])),
            "kinds_covered": float(np.mean([row["kinds_hold"] for row in here])),
        }
    spans = {key: np.quantile([row[key] for row in rows], [0, 0.5, 1]).tolist() for key in ("changed_share", "right", "found")}
    return {"maps": len(rows), "spans": spans, "designs": figures}


def show(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the section of docs/results.md, between its marks."""
    yield (
        f"`benchmarks/sampling.py`: simulated maps of {content['size']:,} x {content['size']:,} pixels with 7 to 15 kinds of "
        f"change, {content['samples']} samples of each by each design. *Length*: of the 95 % interval of the changed area, "
        "against the first row on the same map (median; in brackets quartiles). *Covered*: intervals that hold the truth; in "
        "brackets the 5 % and 95 % quantile over the maps. *Kinds*: the mean length of the intervals of all kinds of change, "
        "against the first row, and how many hold the truth."
    )
    for group, found in content["groups"].items():
        spans = found["spans"]
        of = {key: f"{100 * low:.0f} to {100 * high:.0f} %" for key, (low, _, high) in spans.items()}
        low, high = (100 * share for share in UNSEEN[group])
        yield (
            f"{found['maps']} maps, {found['maps'] * content['samples']:,} intervals a row, of which {low:.0f} to {high:.0f} % "
            f"of the change looks like unchanged ground to the model ({of['changed_share']} changed; of the mapped change "
            f"{of['right']} is right, of the change {of['found']} is found):"
        )
        rows = []
        for name, text in DESIGNS.items():
            row = found["designs"][name]
            less, middle, more = row["length_ratio"]
            span = " to ".join(f"{100 * part:.0f}" for part in row["covered_by_map"])
            others = (f"{row[f'{key}_length_ratio'][1]:.1f}" for key in ("users", "kinds"))
            length, covered = f"{middle:.2f} ({less:.2f} to {more:.2f})", f"{100 * row['covered']:.1f} % ({span})"
            rows.append([text, f"{row['pixels']:,.0f}", length, covered, *others, f"{100 * row['kinds_covered']:.1f} %"])
        head = ("design", "pixels", "length", "covered", "length, user's accuracy", "length, kinds", "covered, kinds")
        yield make_table(head, rows)


def write_docs(check: bool) -> int:
    """Put the measured table into docs/results.md, or compare it; return the exit code."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    section = "\n\n".join(show(json.loads(MEASURED.read_text(encoding="utf-8"))))
    made = f"{before}{BEGIN}\n{section}\n\n{END}{after}"
    if check:
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


def measure_demo(folder: Path, draws: int, seed: int) -> Iterator[str]:
    """Yield what each design gives on the map of a finished demo, whose truth is known."""
    run = read_to_sample(folder / "runs" / "demo" / "run")
    data = next(folder.glob("landscape-*/north"))
    before, after = (read_raster(data / f"truth_{epoch}.tif")[0] for epoch in ("before", "after"))
    truth = np.where(run.change == 0, 0, Legend(run.described.legend).change_lookup()[before, after]).astype(np.uint8)
    probability = np.zeros_like(run.change) if run.probability is None else run.probability
    made, facts = Simulated(run.change, truth, probability, {}), run.facts()
    hectares, changed = facts.hectares_per_pixel, float((truth >= CHANGED).sum())
    rng = np.random.default_rng(seed)
    aims = {"a stratum for each kind": Aim(accuracy_error=0.01), "the default": Aim(), "--area-error 20%": Aim(area_error=0.2)}
    for name, aim in aims.items():
        strata = plan_strata(facts, aim)
        numbers = stratify(run.change, run.probability, strata)
        places = [np.flatnonzero(numbers == row.number) for row in strata]
        found = []
        for _ in range(draws):
            design, _, at_truth = sample_once(strata, places, made, rng)
            (area,) = areas(design, (at_truth >= CHANGED)[:, None], 1.0)
            found.append((area.estimate or 0.0, _length(area), _holds(area, changed)))
        estimate, length, holds = np.array(found, dtype=float).T
        yield (
            f"{name}: {sum(row.samples for row in strata):,} pixels; estimates {estimate.mean() * hectares:.1f} ha with "
            f"standard deviation {estimate.std() * hectares:.1f} (truth {changed * hectares:.1f}); intervals "
            f"{length.mean() * hectares:.1f} ha long, {100 * holds.mean():.1f} % hold the truth"
        )


def main() -> int:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=MEASURED)
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--demo", type=Path)
    given = parser.parse_args()
    if given.docs:
        return write_docs(given.check)
    if given.demo is not None:
        print(*measure_demo(given.demo, 500, given.seed), sep="\n")
        return 0
    found = measure(given.maps, given.samples, given.seed)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("\n\n".join(show(found)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
