"""A procedural landscape with known land use before and after, for the demo and for tests: arrays only.

Terrain is fractal noise cut by rivers (stream power law, solved implicitly, doi:10.1016/j.geomorph.2012.10.008);
roads are least-cost paths between towns; fields, clearings and estates share one cadastre, as in real countries.
Lengths are in pixels of 10 m, so that a small picture is a cut-out and not a miniature.
"""

import heapq
import math
import zlib
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

FOREST, CROPLAND, GRASSLAND, BUILT_UP, WATER, PLANTATION = range(1, 7)

PIXEL = 10.0
"""Side of a pixel in metres."""
MIN_PATCH = 20
"""Smallest patch of change in pixels (0.2 ha)."""
_COARSE = 4  # the terrain is eroded on cells of 40 m: D8 steps of that size vanish once rivers are smoothed
_MARGIN = 8  # coarse cells around the picture, so that rivers and ridges run out of it

Array = np.ndarray


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


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the random stream called `names`: it does not move when another stream draws more numbers."""
    return np.random.default_rng([seed, *(zlib.crc32(n.encode()) for n in names)])


def noise(rng: np.random.Generator, size: int, wavelength: float, power: float = 2.0) -> Array:
    """Return a random field with features up to `wavelength` pixels and spectral amplitude f**-power below it.

    Returns:
        float32 (size, size), mean 0, standard deviation 1.
    """
    white = rng.standard_normal((size + 32, size + 32))  # the field is periodic: the rim keeps edges from matching
    fy, fx = np.fft.fftfreq(size + 32)[:, None], np.fft.rfftfreq(size + 32)[None, :]
    field = np.fft.irfft2(np.fft.rfft2(white) * (fy**2 + fx**2 + wavelength**-2.0) ** (-power / 2), s=white.shape)
    field = field[:size, :size]
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def _drainage(height: Array, inlet: int) -> tuple[Array, Array, Array, Array]:
    """Route water downhill to the last row; depressions are filled (priority flood, doi:10.1016/j.cageo.2013.04.024).

    Returns:
        Filled height (y, x), then flat arrays: receiving cell, cells from low to high, upstream area in cells.
    """
    ny, nx = height.shape
    width = nx + 2
    level = np.pad(height, 1).ravel().tolist()
    closed = np.pad(np.zeros((ny, nx), bool), 1, constant_values=True).ravel().tolist()
    steps = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    heap = [(level[ny * width + x], ny * width + x) for x in range(1, nx + 1)]
    for _, i in heap:
        closed[i] = True
    heapq.heapify(heap)
    while heap:
        low, i = heapq.heappop(heap)
        for step in steps:
            j = i + step
            if not closed[j]:
                closed[j] = True
                level[j] = max(level[j], low + 1e-3)
                heapq.heappush(heap, (level[j], j))
    padded = np.array(level).reshape(ny + 2, width)
    filled = padded[1:-1, 1:-1]
    padded[0, :] = padded[-1, :] = padded[:, 0] = padded[:, -1] = np.inf
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    lower = [padded[1 + dy : 1 + dy + ny, 1 + dx : 1 + dx + nx] for dy, dx in offsets]
    fall = np.stack([(filled - low) / math.hypot(*step) for low, step in zip(lower, offsets, strict=True)])
    best = fall.argmax(axis=0).ravel()
    cells = np.arange(ny * nx)
    receiver = cells + np.array([dy * nx + dx for dy, dx in offsets])[best]
    receiver[-nx:] = cells[-nx:]
    order = np.argsort(filled, axis=None, kind="stable")
    area = [1.0] * (ny * nx)
    area[inlet] = 0.6 * ny * nx  # a river comes in from outside the picture
    to = receiver.tolist()
    for i in order[::-1].tolist():
        if to[i] != i:
            area[to[i]] += area[i]
    return filled, receiver, order, np.array(area)


def _erode(rng: np.random.Generator, n: int, relief: float) -> tuple[Array, Array, Array]:
    """Return eroded height (n, n) in metres, and receiving cell and upstream area as flat arrays."""
    slope = np.linspace(1.0, 0.0, n)[:, None]
    rough = noise(rng, n, n / 3, 1.8)
    height = relief * (0.06 * rough + 1.0 * slope)
    middle = n // 4 + int(rng.integers(n // 2))
    for _ in range(12):
        inlet = middle - n // 6 + int(height[0, middle - n // 6 : middle + n // 6].argmin())
        _, receiver, order, area = _drainage(height, inlet)
        strength = (0.12 * np.sqrt(area)).tolist()
        z, to = height.ravel().tolist(), receiver.tolist()
        for i in order.tolist():
            if to[i] != i:
                z[i] = (z[i] + strength[i] * z[to[i]]) / (1 + strength[i])
        height = ndimage.gaussian_filter(np.array(z).reshape(n, n), 0.5) + 0.06 * relief * (1 + 0.15 * rough)
    filled, receiver, _, area = _drainage(height, inlet)
    return (0.5 * filled + 0.5 * height) * (relief / np.ptp(filled)), receiver, area


def _smooth_line(rng: np.random.Generator, points: Array, sigma: float, swing: float, wavelength: float) -> Array:
    """Resample a jagged line to 0.5 pixel, round its corners, and let it swing sideways; its ends stay.

    Returns:
        (n, 2) of y, x.
    """
    ends = np.clip(np.minimum(np.arange(len(points)), np.arange(len(points))[::-1]) / (2 * sigma), 0, 1)[:, None]
    line = ends * ndimage.gaussian_filter1d(points, sigma, axis=0, mode="nearest") + (1 - ends) * points
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0, length[-1], max(int(2 * length[-1]), 2))
    line = np.stack([np.interp(at, length, line[:, k]) for k in (0, 1)], axis=1)
    if swing and len(at) > 8:
        side = ndimage.gaussian_filter1d(rng.standard_normal(len(at) + 400), wavelength / 2)[200:-200]
        side *= swing / (side.std() + 0.02) * np.clip(np.minimum(at, at[::-1]) / 20, 0, 1)
        along = ndimage.gaussian_filter1d(np.gradient(line, axis=0), 6, axis=0, mode="nearest")
        normal = np.stack([along[:, 1], -along[:, 0]], axis=1) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-6)
        line = line + side[:, None] * normal
    return line


def _streams(rng: np.random.Generator, receiver: Array, area: Array, n: int) -> tuple[Array, Array]:
    """Return points (k, 2) of all rivers and streams in pixels, and half their width (k,)."""
    channel = area > 60
    moving = channel & (receiver != np.arange(n * n))
    donors = np.bincount(receiver[moving], minlength=n * n)
    heads = np.flatnonzero(channel & (donors == 0))
    seen = np.zeros(n * n, bool)
    points, widths = [], []
    for head in heads[np.argsort(-area[heads], kind="stable")].tolist():  # the river from outside comes first
        path = [head]
        while not seen[path[-1]] and receiver[path[-1]] != path[-1]:
            seen[path[-1]] = True
            path.append(int(receiver[path[-1]]))
        if len(path) < 5:
            continue
        cells = np.array(path)
        jagged = (np.stack([cells // n, cells % n], axis=1) - _MARGIN + 0.5) * _COARSE - 0.5
        size = ndimage.gaussian_filter1d(area[cells[:-1]] / (n * n), 4, mode="nearest")
        big = size[-1] > 0.4
        line = _smooth_line(rng, jagged, 3.0, 5.5 if big else 1.5, 24.0 if big else 10.0)
        half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(size)), 0.2 + 2.6 * np.sqrt(size))
        points.append(line)
        widths.append(half)
    return np.concatenate(points), np.concatenate(widths)


def _terrain(rng: np.random.Generator, size: int, relief: float) -> tuple[Array, Array, Array, Array]:
    """Return height in metres, height above the nearest stream, signed distance to the river bank, share of streams."""
    n = math.ceil(size / _COARSE) + 2 * _MARGIN
    coarse, receiver, area = _erode(rng, n, relief)
    points, half = _streams(rng, receiver, area, n)
    if rng.integers(2):
        coarse, points = coarse.T, points[:, ::-1]
    axis = (np.arange(size) + 0.5) / _COARSE - 0.5 + _MARGIN
    height = ndimage.map_coordinates(coarse, np.meshgrid(axis, axis, indexing="ij"), order=3)
    bed = ndimage.map_coordinates(coarse, (points.T + 0.5) / _COARSE - 0.5 + _MARGIN, order=1, mode="nearest")
    big = half > 1.3
    bank, reach = _nearest(points[big], size)
    brook, stretch = _nearest(points[~big], size)
    river = half[big][reach] - bank
    stream = np.clip(half[~big][stretch] + 0.5 - brook, 0, 1) * np.minimum(2 * half[~big][stretch], 1)
    near = np.where(bank < brook, bed[big][reach], bed[~big][stretch])
    above = np.maximum(height - near, 0)
    above = ndimage.gaussian_filter(above * above / (above + 0.03 * relief), 1.5)  # valleys get a flat floor
    height = ndimage.gaussian_filter(near, 5.0) + above
    height += 0.025 * relief * noise(rng, size, 50, 2.7) * (above + 0.02 * relief) / (above + 0.15 * relief)
    return height, above, river, stream * (river < 0)


def _nearest(points: Array, size: int) -> tuple[Array, Array]:
    """Return the distance of each pixel to the nearest point, and the index of that point: two (size, size) arrays."""
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
    distance, index = cKDTree(points).query(pixels)
    return np.asarray(distance), np.asarray(index)


def _fields(rng: np.random.Generator, size: int, c: Countryside, height: Array) -> tuple[Array, Array, Array, Array]:
    """Divide the land into blocks with one direction, those into rows, and rows into fields.

    Returns:
        Field id, position across and along the rows in pixels, distance to the edge of the block in pixels; all (y, x).
    """
    y, x = np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float), indexing="ij")
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


def _mean_over(values: Array, labels: Array) -> Array:
    """Replace values by their mean over each label, (y, x) to (y, x)."""
    count = np.bincount(labels.ravel())
    total = np.bincount(labels.ravel(), weights=values.ravel())
    return np.asarray((total / np.maximum(count, 1))[labels])


def _towns(rng: np.random.Generator, size: int, slope: Array, river: Array) -> list[tuple[int, int, float]]:
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


def _roads(
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
        path = np.array(mcp.traceback((end[0] // 2, end[1] // 2)), dtype=float) * 2 + 0.5
        for cell in np.array(mcp.traceback((end[0] // 2, end[1] // 2))):
            cost[tuple(cell)] = 0.35  # later roads join the ones that exist
        if len(path) > 3:
            line = _smooth_line(rng, path, 3.0, 0.0, 1.0)
            points.append(line)
            widths.append(np.full(len(line), half))
    distance, index = _nearest(np.concatenate(points), size)
    return distance, np.concatenate(widths)[index]


def _take(wanted: Array, priority: Array, parcel: Array, along: Array, budget: int) -> Array:
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


def _reservoir(above: Array, height: Array, river: Array, stream: Array, keep_out: Array, budget: int) -> Array:
    """Dam the valley that stores about `budget` pixels of water and drowns the fewest houses, bool (y, x)."""
    size = len(height)
    rim = max(3, size // 12)
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
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


def landscape(country: Countryside, size: int, rng: np.random.Generator) -> Landscape:
    """Make the ground of one territory, with its land use on two dates.

    About 6 % of the area changes: forest is cleared along roads, towns grow, a valley is dammed and trees are planted
    on farmland. Every patch of change has at least `MIN_PATCH` pixels.
    """
    height, above, river, stream = _terrain(rng, size, country.relief)
    slope = np.hypot(*np.gradient(height)) / PIXEL
    parcel, across, along, edge = _fields(rng, size, country, height)
    towns = _towns(rng, size, slope, river)
    way, half = _roads(rng, towns, slope, river)
    road = np.clip(half + 0.5 - way, 0, 1) * np.minimum(2 * half, 1)
    y, x = np.ogrid[:size, :size]
    dense = np.max([1.5 * np.exp(-np.hypot(y - a, x - b) / r) for a, b, r in towns], axis=0)
    ribbon = np.max([np.exp(-np.hypot(y - a, x - b) / (2.5 * r)) for a, b, r in towns], axis=0) * np.exp(-way / 5)
    urban = dense + 0.7 * ribbon + 0.12 * noise(rng, size, 10, 1.5) - 2 * slope
    urban = 0.45 * urban + 0.55 * _mean_over(urban, parcel)

    wild = 0.9 * noise(rng, size, 110, 2.3) + 2.2 * slope / slope.std() * 0.35 + 0.5 * above / (above.std() + 1e-6)
    wild += 0.9 * np.exp(-np.maximum(-river, 0) / 2) - 2.0 * (urban > 0.35) + 0.6 * (stream > 0.3)
    wild = 0.5 * wild + 0.5 * _mean_over(wild, parcel) + 0.13 * noise(rng, size, 14, 1.8)
    forest = wild > np.quantile(wild, 1 - country.forest)
    forest = _without_specks(forest | ~_without_specks(~forest, 40), 15)
    steep, high = slope / slope.std(), above / (above.std() + 1e-6)
    moist = 0.8 * noise(rng, size, 70) - high + 1.2 * steep + 0.8 * wild / wild.std()
    fresh = _mean_over(moist + 1.5 * rng.standard_normal(int(parcel.max()) + 1)[parcel], parcel)
    before = np.where(fresh > np.quantile(fresh[~forest], 1 - country.grass), GRASSLAND, CROPLAND).astype(np.uint8)
    before[forest] = FOREST
    open_land = _without_specks(~forest & (slope < 0.3))
    lonely = open_land & (urban < 0.2) & (river < -4)
    grove = _take(lonely, _mean_over(wild, parcel) + noise(rng, size, 60), parcel, along, size * size // 30)
    before[grove] = PLANTATION
    lakes = noise(rng, size, 22) - 6 * slope - 0.6 * above / (above.std() + 1e-6) - 9 * (road > 0.2)
    before[_without_specks(lakes > np.quantile(lakes, 0.997))] = WATER
    before[_without_specks((urban > 0.42) & (river < -1.5), 12)] = BUILT_UP
    before[river > 0] = WATER
    before[road > 0.5] = BUILT_UP

    after = before.copy()
    pixels = size * size
    lake = _reservoir(above, height, river, stream, (before == BUILT_UP) & (way > 2), int(0.009 * pixels))
    after[lake] = WATER
    nearness = np.exp(-way / 18) + 0.25 * noise(rng, size, 50) - 0.8 * slope
    clearing = _take((after == FOREST) & (way > 1), nearness, parcel, along, int(0.022 * pixels))
    grazed = _mean_over(rng.standard_normal(int(parcel.max()) + 1)[parcel], parcel) > 0.3
    after[clearing] = np.where(grazed, GRASSLAND, CROPLAND)[clearing]
    farmed = np.isin(after, (CROPLAND, GRASSLAND)) & (after == before)
    growth = _take(farmed & (river < -2), urban, parcel, along, int(0.014 * pixels))
    after[growth] = BUILT_UP
    farmed &= after == before
    far = noise(rng, size, 50) + 0.5 * _mean_over(wild, parcel) - 3 * urban
    after[_take(farmed & (urban < 0.2) & (river < -4), far, parcel, along, int(0.015 * pixels))] = PLANTATION
    after = _drop_small_changes(before, after)

    cell = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1).astype(float)
    cell += 4 * np.stack([noise(rng, size, 20), noise(rng, size, 20)], axis=-1)
    stand = cKDTree(rng.uniform(-10, size + 10, (max(size * size // 500, 4), 2))).query(cell)[1]
    stand = np.asarray(stand, dtype=np.int32)
    track = 0.55 * np.clip(1.1 - edge, 0, 1) * (rng.random(int(parcel.max()) + 1)[parcel] < 0.8)
    fields = [height, across, along, river, stream, road, track, np.clip(dense, 0, 1)]
    height, across, along, river, stream, road, track, centre = (f.astype(np.float32) for f in fields)
    return Landscape(
        height, before, after, parcel.astype(np.int32), across, along, stand, river, stream, road, track, centre
    )


def _drop_small_changes(before: Array, after: Array) -> Array:
    """Undo changes whose patch is under the minimum, uint8 (y, x)."""
    pair = np.where(before != after, before * 16 + after, 0)
    kept = np.zeros(pair.shape, bool)
    for code in np.unique(pair[pair > 0]):
        kept |= _without_specks(pair == code)
    return np.where(kept, after, before)
