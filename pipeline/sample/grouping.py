"""Estimates of what belongs together: kinds of change too small to stand alone, and the gains and losses of land uses."""

from collections.abc import Iterable, Sequence

import numpy as np

from landshift.pipeline.legend import CHANGED, Legend
from landshift.pipeline.sample.area_estimation import (
    STEHMAN,
    UNKNOWN,
    Interval,
    areas,
    method_for,
    producers_accuracies,
    ratio_estimates,
    users_accuracies,
)
from landshift.pipeline.sample.design import WILSON, Z_95, Design
from landshift.pipeline.sample.record import LandUseBalance, OtherChanges

SMALL_KIND = 10
"""Judged pixels of a kind of change below which it stands among the others."""
OTHER_CHANGES = "Other changes"
"""Their name, wherever they stand together."""


def pool_small_kinds(
    legend: Legend, design: Design, mapped: np.ndarray, reference: np.ndarray, *, occurring: Iterable[int], pixel_area: float
) -> OtherChanges | None:
    """Estimate the kinds of change with fewer than `SMALL_KIND` judged pixels as one class.

    The area of the class is that of its kinds together, and its accuracies count a change of one kind that is mapped as another
    of them as right (Stehman 2014, doi:10.1080/01431161.2014.930207, for a class that is not a stratum).

    Args:
        legend: Of the run.
        design: Of the sample.
        mapped: uint8 (sample): change code on the map.
        reference: uint8 (sample): change code that the interpreter gave.
        occurring: Change codes of the map and of the judgements, those that no sampled pixel has included.
        pixel_area: Hectares of one pixel.

    Returns:
        Without the mapped hectares (0), which the sample does not know; None where fewer than two kinds are so small.
    """
    codes = [int(code) for code in sorted(occurring) if code >= CHANGED and (reference == code).sum() < SMALL_KIND]
    if len(codes) < 2:
        return None
    is_mapped, is_so = np.isin(mapped, codes)[:, None], np.isin(reference, codes)[:, None]
    method = method_for(design, is_mapped[:, 0])
    return OtherChanges(
        codes=tuple(codes), names=tuple(legend.changes[code].name for code in codes), mapped_ha=0.0,
        area_ha=areas(design, is_so, pixel_area, method)[0],
        users_accuracy=users_accuracies(design, is_mapped, is_so, method)[0],
        producers_accuracy=producers_accuracies(design, is_mapped, is_so, method)[0], samples=int(is_so.sum()),
    )  # fmt: skip


def balances_of_land_uses(
    legend: Legend, design: Design, before: np.ndarray | None, after: np.ndarray | None, *, pixel_area: float
) -> list[LandUseBalance]:
    """Estimate what each land use gained and lost.

    Gain and loss of one class are disjoint, so that the net change is the mean of a variable that is 1, -1 or 0; where
    limits of either rest on few cases, the net change has both combined (Zou and Donner 2008, doi:10.1002/sim.3095) if these
    are wider.

    Args:
        legend: Of the run.
        design: Of the sample.
        before: uint8 (sample): land-use code that the interpreter gave before; None in a binary project.
        after: Same, after.
        pixel_area: Hectares of one pixel.

    Returns:
        By ascending code, without classes that no sampled pixel was on either date; empty in a binary project.
    """
    if before is None or after is None:
        return []
    classes = [c for c in legend.classes if (before == c.code).any() or (after == c.code).any()]
    codes = np.array([c.code for c in classes], dtype=np.int64)
    was, became = before[:, None] == codes, after[:, None] == codes
    gained, lost = became & ~was, was & ~became
    gains, losses = areas(design, gained, pixel_area), areas(design, lost, pixel_area)
    nets = estimate_net(design, gained.astype(float) - lost, gains, losses=losses, pixel_area=pixel_area)
    return [
        LandUseBalance(
            code=c.code, name=c.name, colour=c.colour, gain_ha=gain, loss_ha=loss, net_ha=net, samples=up + down, gained=up,
            lost=down,
        )
        for c, gain, loss, net, up, down in zip(
            classes, gains, losses, nets, gained.sum(axis=0).tolist(), lost.sum(axis=0).tolist(), strict=True
        )
    ]  # fmt: skip


def estimate_net(
    design: Design, moved: np.ndarray, gains: Sequence[Interval], *, losses: Sequence[Interval], pixel_area: float
) -> list[Interval]:
    """Estimate net changes.

    Args:
        design: Of the sample.
        moved: float (sample, class): 1 where a pixel was gained, -1 where it was lost, else 0.
        gains: Of each class.
        losses: Likewise.
        pixel_area: Hectares of one pixel.
    """
    net, error = ratio_estimates(design, moved, np.ones(moved.shape))
    scale = design.total * pixel_area
    return [
        _net(float(n) * scale, float(e) * scale, gain, loss=loss)
        for n, e, gain, loss in zip(net, error, gains, losses, strict=True)
    ]


def _net(estimate: float, error: float, gain: Interval, *, loss: Interval) -> Interval:
    """Return the interval of gain minus loss."""
    if gain.estimate is None or loss.estimate is None:
        return UNKNOWN
    if gain.low is None or gain.high is None or loss.low is None or loss.high is None:
        return Interval(estimate, None, None, None)
    known = 0.0 if np.isnan(error) else error
    below = above = Z_95 * known
    few = WILSON in (gain.method, loss.method)
    if few:
        below = max(below, float(np.hypot(gain.estimate - gain.low, loss.high - loss.estimate)))
        above = max(above, float(np.hypot(gain.high - gain.estimate, loss.estimate - loss.low)))
    return Interval(
        estimate, None if np.isnan(error) else error, estimate - below, estimate + above, method=WILSON if few else STEHMAN
    )
