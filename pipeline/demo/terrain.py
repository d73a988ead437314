"""The ground of the demo: fractal noise cut by rivers, as plain arrays.

Rivers follow the stream power law, solved implicitly (doi:10.1016/j.geomorph.2012.10.008). Lengths are in pixels of
10 m, so that a small picture is a cut-out and not a miniature.
"""

import heapq
import math
import zlib

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

_COARSE = 4  # the terrain is eroded on cells of 40 m: D8 steps of that size vanish once rivers are smoothed
_MARGIN = 8  # coarse cells around the picture, so that rivers and ridges run out of it

Array = np.ndarray


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


def make_terrain(rng: np.random.Generator, size: int, relief: float) -> tuple[Array, Array, Array, Array]:
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
    bank, reach = nearest(points[big], size)
    brook, stretch = nearest(points[~big], size)
    river = half[big][reach] - bank
    stream = np.clip(half[~big][stretch] + 0.5 - brook, 0, 1) * np.minimum(2 * half[~big][stretch], 1)
    near = np.where(bank < brook, bed[big][reach], bed[~big][stretch])
    above = np.maximum(height - near, 0)
    above = ndimage.gaussian_filter(above * above / (above + 0.03 * relief), 1.5)  # valleys get a flat floor
    height = ndimage.gaussian_filter(near, 5.0) + above
    height += 0.025 * relief * noise(rng, size, 50, 2.7) * (above + 0.02 * relief) / (above + 0.15 * relief)
    return height, above, river, stream * (river < 0)


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
        line = smooth_line(rng, jagged, sigma=3.0, swing=5.5 if big else 1.5, wavelength=24.0 if big else 10.0)
        half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(size)), 0.2 + 2.6 * np.sqrt(size))
        points.append(line)
        widths.append(half)
    return np.concatenate(points), np.concatenate(widths)


def smooth_line(rng: np.random.Generator, points: Array, *, sigma: float, swing: float = 0.0, wavelength: float = 1.0) -> Array:
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
    return np.asarray(line)


def nearest(points: Array, size: int) -> tuple[Array, Array]:
    """Return the distance of each pixel to the nearest point, and the index of that point: two (size, size) arrays."""
    distance, index = cKDTree(points).query(np.moveaxis(np.indices((size, size)), 0, -1))
    return np.asarray(distance), np.asarray(index)
