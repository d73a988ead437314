"""Land of the demo as people divide it: fields, towns and the roads between them.

Roads are least-cost paths; fields, clearings and estates share one cadastre, as in real countries.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

from landshift.pipeline.demo.terrain import Array, nearest, noise, smooth_line


@dataclass(frozen=True)
class Countryside:
    """What makes one territory look different from another."""

    relief: float
    """Height range in metres."""
    forest: float
    """Share of the area under forest before, 0..1."""
    grass: float
    """Share of the open land under grass, 0..1."""
    field: tuple[float, float]
    """Width and length of a typical field in pixels."""
    district: float
    """Distance between centres of blocks of fields with one direction, in pixels."""
    irregular: float
    """0 = a surveyor's grid, 1 = grown over centuries."""


def divide_fields(rng: np.random.Generator, size: int, c: Countryside, height: Array) -> tuple[Array, Array, Array, Array]:
    """Divide the land into blocks with one direction, those into rows, and rows into fields.

    Returns:
        Field id, position across and along the rows in pixels, distance to the edge of the block in pixels; all (y, x).
    """
    y, x = np.indices((size, size), dtype=float)
    y += c.irregular * 4 * noise(rng, size, 40, 3.5)
    x += c.irregular * 4 * noise(rng, size, 40, 3.5)
    span = np.arange(-c.district, size + c.district, c.district, dtype=float)
    seeds = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    seeds += rng.uniform(-0.5, 0.5, seeds.shape) * c.district
    near, index = (np.asarray(a) for a in cKDTree(seeds).query(np.stack([y, x], axis=-1), k=2))
    apart = np.hypot(*np.moveaxis(seeds[index[..., 0]] - seeds[index[..., 1]], -1, 0))
    edge = (near[..., 1] ** 2 - near[..., 0] ** 2) / (2 * apart + 1e-6)
    block = index[..., 0]
    downhill = np.asarray(np.gradient(ndimage.gaussian_filter(height, 12)))
    across, along = np.zeros((size, size)), np.zeros((size, size))
    field = np.zeros((size, size), np.int64)
    survey = rng.uniform(0, math.pi)
    for b in np.unique(block):
        inside = block == b
        slope = downhill[:, inside].mean(axis=1)
        contour = math.atan2(slope[0], slope[1]) + rng.normal(0, 0.25)  # rows run along the contour
        turned = survey + rng.integers(2) * math.pi / 2 + rng.normal(0, 0.06)
        angle = contour if c.irregular > 0.5 else turned
        u = math.cos(angle) * x[inside] + math.sin(angle) * y[inside]
        v = math.cos(angle) * y[inside] - math.sin(angle) * x[inside]
        widths = c.field[0] * rng.lognormal(0, 0.25 + 0.2 * c.irregular, int(np.ptp(u) / c.field[0] * 3) + 8)
        row = np.searchsorted(np.cumsum(widths) + u.min() - widths[0] * rng.random(), u)
        lengths = c.field[1] * rng.lognormal(0, 0.2 + 0.2 * c.irregular, len(widths) + 1)
        shift = rng.random(len(lengths)) * lengths
        column = np.floor((v - v.min() + shift[row]) / lengths[row]).astype(np.int64)
        field[inside] = (int(b) * 1000 + row) * 1000 + column
        across[inside], along[inside] = u, v
    field = np.unique(field, return_inverse=True)[1].reshape(size, size)
    sliver = np.bincount(field.ravel())[field] < 0.2 * c.field[0] * c.field[1]
    if not sliver.all():
        field = field[tuple(ndimage.distance_transform_edt(sliver, return_distances=False, return_indices=True))]
    return field, across, along, edge


def mean_over(values: Array, labels: Array) -> Array:
    """Replace values by their mean over each label, (y, x) to (y, x)."""
    count = np.bincount(labels.ravel())
    total = np.bincount(labels.ravel(), weights=values.ravel())
    return np.asarray((total / np.maximum(count, 1))[labels])


def place_towns(rng: np.random.Generator, size: int, slope: Array, river: Array) -> list[tuple[int, int, float]]:
    """Return y, x and radius in pixels of a town and its villages: on flat ground, near the river but above it."""
    count = max(2, round((size / 170) ** 2) + 1)
    score = noise(rng, size, 40) - 12 * slope - np.abs(-river - 14) / 25 - 5 * (river > -6)
    rim = max(4, size // 16)
    towns = []
    for k in range(count):
        inner = score[rim:-rim, rim:-rim]
        y, x = (int(v) + rim for v in np.unravel_index(inner.argmax(), inner.shape))
        radius = (0.055 * size + 4) if k == 0 else float(rng.uniform(4, 9))
        towns.append((y, x, radius))
        gy, gx = np.ogrid[:size, :size]
        score = score - 8 * np.exp(-((gy - y) ** 2 + (gx - x) ** 2) / (2 * (0.10 * size + 8) ** 2))
    return towns


def connect_towns(
    rng: np.random.Generator, towns: list[tuple[int, int, float]], slope: Array, river: Array
) -> tuple[Array, Array]:
    """Connect each town to its nearest earlier one and the first ones to the edge of the picture, avoiding slopes.

    Returns:
        Distance to the middle of the nearest road, and half the width of that road, in pixels; both (y, x).
    """
    size = len(slope)
    ground = ndimage.gaussian_filter(slope, 2)[::2, ::2]
    cost = 1 + (14 * ground) ** 2 + 12 * (river[::2, ::2] > 0) + 1.5 * (river[::2, ::2] > -5)
    cost += 0.5 * np.exp(noise(rng, len(cost), 20))
    cost += 3 * np.pad(np.zeros((len(cost) - 6, len(cost) - 6)), 3, constant_values=1)  # not along the edge
    last = len(cost) - 1
    links: list[tuple[tuple[int, int], tuple[int, int], float]] = []
    for k, (y, x, _) in enumerate(towns):
        if k:
            others = sorted((math.hypot(y - a, x - b), a, b) for a, b, _ in towns[:k])
            links += [((y, x), (a, b), 0.95 if k < 3 else 0.6) for _, a, b in others[: 1 + (k % 3 == 0)]]
    spots = rng.uniform(0.15, 0.85, 4)
    borders = [(0, spots[0]), (1, spots[1]), (spots[2], 0), (spots[3], 1)]
    for fy, fx in borders:
        _, a, b = min((math.hypot(fy * size - a, fx * size - b), a, b) for a, b, _ in towns)
        links.append(((int(fy * last) * 2, int(fx * last) * 2), (a, b), 0.95 if fy in (0, 1) else 0.6))
    points, widths = [], []
    for start, end, half in links:
        mcp = MCP_Geometric(cost)
        mcp.find_costs([(start[0] // 2, start[1] // 2)], [(end[0] // 2, end[1] // 2)])
        path = np.array(mcp.traceback((end[0] // 2, end[1] // 2)))
        cost[tuple(path.T)] = 0.35  # later roads join the ones that exist
        if len(path) > 3:
            line = smooth_line(rng, path * 2 + 0.5, sigma=3.0)
            points.append(line)
            widths.append(np.full(len(line), half))
    distance, index = nearest(np.concatenate(points), size)
    return distance, np.concatenate(widths)[index]
