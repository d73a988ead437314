"""How often the rule of `landshift train` promotes a model that is as good as the one in use, and one that is worse.

Both models map the same blocks of 200 labelled pixels, 20 to 119 of them changed. In each block the chance to find a changed
pixel, and to call an unchanged one changed, is normal on the logit scale: a part that the models share (standard deviation
0.8, hard and easy places) and a part of each model's own (`--own`: two trainings never agree on every block). A worse model
has both chances moved so that its F1 over very many blocks is lower by the loss. Nothing here is a measured model.

    python benchmarks/release_rule.py [--own 0.6] [--times 400]
"""

import argparse

import numpy as np

from landshift.pipeline.scores.release import CHANGE, Held, ReleaseRule, compare_regions, decide_release

PIXELS, MIDDLE, SHARED = 200, 1.5, 0.8
LOSSES = (0.0, 0.05, 0.1)

Counts = tuple[np.ndarray, np.ndarray]
"""By block: changed pixels that were found, and others that were called changed."""


def draw(rng: np.random.Generator, blocks: int, middles: tuple[float, ...], own: float) -> tuple[np.ndarray, list[Counts]]:
    """Draw blocks: their changed pixels, and the answers of each model."""
    changed = rng.integers(20, 120, blocks)
    hard, alike = rng.normal(0, SHARED, (2, blocks))
    found = []
    for middle in middles:
        hit, false = middle + hard + rng.normal(0, own, blocks), -middle - 1 + alike + rng.normal(0, own, blocks)
        chances = (1 / (1 + np.exp(-hit)), 1 / (1 + np.exp(-false)))
        found.append((rng.binomial(changed, chances[0]), rng.binomial(PIXELS - changed, chances[1])))
    return changed, found


def f1(changed: np.ndarray, counts: Counts) -> float:
    """Return F1 over all blocks."""
    hits, false = counts
    return float(2 * hits.sum() / (changed.sum() + hits.sum() + false.sum()))


def middle_with(loss: float, own: float) -> float:
    """Return the middle of a model whose F1 is lower by a loss."""

    def expect(middle: float) -> float:
        changed, found = draw(np.random.default_rng(1), 200_000, (middle,), own)
        return f1(changed, found[0])

    low, high = 0.0, MIDDLE
    for _ in range(12 if loss else 0):
        half = (low + high) / 2
        low, high = (half, high) if expect(MIDDLE) - expect(half) > loss else (low, half)
    return (low + high) / 2 if loss else MIDDLE


def spread(changed: np.ndarray, found: list[Counts], region: int) -> list[np.ndarray]:
    """Spread counts over pixels: truth, both maps, region and block."""
    place = np.tile(np.arange(PIXELS), len(changed))
    n, codes = changed.repeat(PIXELS), []
    for hits, false in found:
        codes.append(1 + ((place < hits.repeat(PIXELS)) | ((place >= n) & (place < n + false.repeat(PIXELS)))))
    block = np.arange(len(changed)).repeat(PIXELS) + 1000 * region
    return [1 + (place < n), *codes, np.full(place.shape, region), block]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--own", type=float, default=0.6)
    parser.add_argument("--times", type=int, default=400)
    options = parser.parse_args()
    rng, rule = np.random.default_rng(7), ReleaseRule()
    middles = [middle_with(loss, options.own) for loss in LOSSES]
    print("| regions | blocks in each | spread | " + " | ".join(f"promoted at a loss of {loss:g}" for loss in LOSSES) + " |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for regions in (1, 4):
        for blocks in (4, 8, 16, 32):
            shares, gains = [], []
            for middle in middles:
                promoted = 0
                for _ in range(options.times):
                    parts = [draw(rng, blocks, (MIDDLE, middle), options.own) for _ in range(regions)]
                    pixels = zip(*(spread(*part, number) for number, part in enumerate(parts)), strict=True)
                    rows = compare_regions({CHANGE: Held(*map(np.concatenate, pixels))}, [str(n) for n in range(regions)], rule)
                    promoted += decide_release(rows, rule).promote
                    gains += [f1(parts[0][0], parts[0][1][1]) - f1(parts[0][0], parts[0][1][0])] if middle == MIDDLE else []
                shares.append(promoted / options.times)
            print(
                f"| {regions} | {blocks} | {np.std(gains):.3f} | " + " | ".join(f"{s:.0%}" for s in shares) + " |", flush=True
            )


if __name__ == "__main__":
    main()
