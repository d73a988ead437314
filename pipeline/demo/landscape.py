"""A procedural landscape with known land use before and after, for the demo and for tests: arrays only.

Land use follows the terrain and the cadastre: forest stays on slopes, towns near rivers, clearings along roads.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from landshift.pipeline.demo.settlement import Countryside, connect_towns, divide_fields, mean_over, place_towns
from landshift.pipeline.demo.terrain import Array, make_terrain, noise

FOREST, CROPLAND, GRASSLAND, BUILT_UP, WATER, PLANTATION = range(1, 7)

PIXEL = 10.0
"""Side of a pixel in metres."""
MIN_PATCH = 20
"""Smallest patch of change in pixels (0.2 ha)."""


@dataclass(frozen=True)
class Landscape:
    """The ground: what does not depend on the day. All arrays are (y, x)."""

    height: Array
    """float32, metres."""
    before: Array
    """uint8 land-use codes 1..6."""
    after: Array
    """uint8 land-use codes 1..6."""
    parcel: Array
    """int32, id of the field, also under forest."""
    across: Array
    """float32, position across the rows of a field, in pixels."""
    along: Array
    """float32, position along the rows of a field, in pixels."""
    stand: Array
    """int32, id of the forest stand."""
    river: Array
    """float32, signed distance to the bank of a river in pixels, positive in the water."""
    stream: Array
    """float32, share of a pixel taken by a stream too narrow to be mapped, 0..1."""
    road: Array
    """float32, share of a pixel taken by roads, 0..1."""
    track: Array
    """float32, share of a pixel taken by field tracks, 0..1."""
    centre: Array
    """float32, 0..1, nearness to the middle of a town."""


def landscape(country: Countryside, size: int, rng: np.random.Generator) -> Landscape:
    """Make the ground of one territory, with its land use on two dates.

    About 6 % of the area changes: forest is cleared along roads, towns grow, a valley is dammed and trees are planted
    on farmland. Every patch of change has at least `MIN_PATCH` pixels.
    """
    height, above, river, stream = make_terrain(rng, size, country.relief)
    slope = np.hypot(*np.gradient(height)) / PIXEL
    parcel, across, along, edge = divide_fields(rng, size, country, height)
    towns = place_towns(rng, size, slope, river)
    way, half = connect_towns(rng, towns, slope, river)
    road = np.clip(half + 0.5 - way, 0, 1) * np.minimum(2 * half, 1)
    y, x = np.ogrid[:size, :size]
    dense = np.max([1.5 * np.exp(-np.hypot(y - a, x - b) / r) for a, b, r in towns], axis=0)
    ribbon = np.max([np.exp(-np.hypot(y - a, x - b) / (2.5 * r)) for a, b, r in towns], axis=0) * np.exp(-way / 5)
    urban = dense + 0.7 * ribbon + 0.12 * noise(rng, size, 10, 1.5) - 2 * slope
    urban = 0.45 * urban + 0.55 * mean_over(urban, parcel)

    wild = 0.9 * noise(rng, size, 110, 2.3) + 2.2 * slope / slope.std() * 0.35 + 0.5 * above / (above.std() + 1e-6)
    wild += 0.9 * np.exp(-np.maximum(-river, 0) / 2) - 2.0 * (urban > 0.35) + 0.6 * (stream > 0.3)
    wild = 0.5 * wild + 0.5 * mean_over(wild, parcel) + 0.13 * noise(rng, size, 14, 1.8)
    forest = wild > np.quantile(wild, 1 - country.forest)
    forest = _without_specks(forest | ~_without_specks(~forest, 40), 15)
    steep, high = slope / slope.std(), above / (above.std() + 1e-6)
    moist = 0.8 * noise(rng, size, 70) - high + 1.2 * steep + 0.8 * wild / wild.std()
    fresh = mean_over(moist + 1.5 * rng.standard_normal(int(parcel.max()) + 1)[parcel], parcel)
    before = np.where(fresh > np.quantile(fresh[~forest], 1 - country.grass), GRASSLAND, CROPLAND).astype(np.uint8)
    before[forest] = FOREST
    open_land = _without_specks(~forest & (slope < 0.3))
    lonely = open_land & (urban < 0.2) & (river < -4)
    grove = _take(lonely, mean_over(wild, parcel) + noise(rng, size, 60), parcel, along, budget=size * size // 30)
    before[grove] = PLANTATION
    lakes = noise(rng, size, 22) - 6 * slope - 0.6 * above / (above.std() + 1e-6) - 9 * (road > 0.2)
    before[_without_specks(lakes > np.quantile(lakes, 0.997))] = WATER
    before[_without_specks((urban > 0.42) & (river < -1.5), 12)] = BUILT_UP
    before[river > 0] = WATER
    before[road > 0.5] = BUILT_UP

    after = before.copy()
    pixels = size * size
    houses = (before == BUILT_UP) & (way > 2)
    lake = _reservoir(height, river, stream, keep_out=houses, budget=int(0.009 * pixels))
    after[lake] = WATER
    nearness = np.exp(-way / 18) + 0.25 * noise(rng, size, 50) - 0.8 * slope
    clearing = _take((after == FOREST) & (way > 1), nearness, parcel, along, budget=int(0.022 * pixels))
    grazed = mean_over(rng.standard_normal(int(parcel.max()) + 1)[parcel], parcel) > 0.3
    after[clearing] = np.where(grazed, GRASSLAND, CROPLAND)[clearing]
    farmed = np.isin(after, (CROPLAND, GRASSLAND)) & (after == before)
    growth = _take(farmed & (river < -2), urban, parcel, along, budget=int(0.014 * pixels))
    after[growth] = BUILT_UP
    farmed &= after == before
    far = noise(rng, size, 50) + 0.5 * mean_over(wild, parcel) - 3 * urban
    after[_take(farmed & (urban < 0.2) & (river < -4), far, parcel, along, budget=int(0.015 * pixels))] = PLANTATION
    after = _drop_small_changes(before, after)

    cell = np.moveaxis(np.indices((size, size), dtype=float), 0, -1)
    cell += 4 * np.stack([noise(rng, size, 20), noise(rng, size, 20)], axis=-1)
    stand = cKDTree(rng.uniform(-10, size + 10, (max(size * size // 500, 4), 2))).query(cell)[1].astype(np.int32)
    track = 0.55 * np.clip(1.1 - edge, 0, 1) * (rng.random(int(parcel.max()) + 1)[parcel] < 0.8)
    fields = {
        "height": height, "across": across, "along": along, "river": river, "stream": stream, "road": road, "track": track,
        "centre": np.clip(dense, 0, 1),
    }  # fmt: skip
    real = {name: field.astype(np.float32) for name, field in fields.items()}
    return Landscape(before=before, after=after, parcel=parcel.astype(np.int32), stand=stand, **real)


def _take(wanted: Array, priority: Array, parcel: Array, along: Array, *, budget: int) -> Array:
    """Choose whole fields by falling mean priority until `budget` pixels are taken; the last one is cut across.

    Returns:
        bool (y, x), a part of `wanted` without patches under the minimum.
    """
    taken = np.zeros(wanted.shape, bool)
    if not wanted.any():
        return taken
    index = np.unique(parcel[wanted], return_inverse=True)[1]
    mean = np.bincount(index, weights=priority[wanted]) / np.bincount(index)
    rank = np.argsort(np.argsort(-mean, kind="stable"), kind="stable")
    order = np.lexsort((along[wanted], rank[index]))
    chosen = np.zeros(len(index), bool)
    chosen[order[:budget]] = True
    taken[wanted] = chosen
    return _without_specks(taken)


def _without_specks(mask: Array, smallest: int = MIN_PATCH) -> Array:
    """Drop 4-connected patches under `smallest` pixels, bool (y, x)."""
    labels, _ = ndimage.label(mask)
    return np.asarray(mask & (np.bincount(labels.ravel())[labels] >= smallest))


def _reservoir(height: Array, river: Array, stream: Array, keep_out: Array, budget: int) -> Array:
    """Dam the valley that stores about `budget` pixels of water and drowns the fewest houses, bool (y, x)."""
    size = len(height)
    rim = max(3, size // 12)
    y, x = np.indices(height.shape)
    wet = (stream > 0.15) & (river < -8)
    wet[:rim] = wet[-rim:] = wet[:, :rim] = wet[:, -rim:] = False
    sites = np.argwhere(wet)
    best, best_cost = np.zeros((size, size), bool), math.inf
    dy, dx = np.gradient(ndimage.gaussian_filter(height, 4))
    for sy, sx in sites[:: max(1, len(sites) // 24)]:
        norm = math.hypot(dy[sy, sx], dx[sy, sx]) + 1e-9
        ahead = ((y - sy) * dy[sy, sx] + (x - sx) * dx[sy, sx]) / norm  # uphill of the dam
        for rise in (6, 10, 15, 22, 30):
            labels, _ = ndimage.label((height < height[sy, sx] + rise) & (ahead >= 0))
            lake = labels == labels[sy, sx] if labels[sy, sx] else np.zeros_like(wet)
            edge = lake[0].sum() + lake[-1].sum() + lake[:, 0].sum() + lake[:, -1].sum()
            area = int(lake.sum())
            cost = 2 * abs(math.log(max(area, 1) / budget)) + 3 * (lake & keep_out).sum() / budget + 2 * edge / size
            dam = (lake & (ahead < 1)).sum()
            cost += 2 * (area > 1.5 * budget) + 0.6 * dam / math.sqrt(area + 1)
            if cost < best_cost:
                best, best_cost = lake, cost
    labels, _ = ndimage.label(ndimage.binary_opening(best, iterations=2) & (river < 0))
    return np.asarray(labels == np.bincount(labels.ravel(), minlength=2)[1:].argmax() + 1)


def _drop_small_changes(before: Array, after: Array) -> Array:
    """Undo changes whose patch is under the minimum, uint8 (y, x)."""
    pair = np.where(before != after, before * 16 + after, 0)
    kept = np.zeros(pair.shape, bool)
    for code in np.unique(pair[pair > 0]):
        kept |= _without_specks(pair == code)
    return np.where(kept, after, before)
