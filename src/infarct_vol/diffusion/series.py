"""Trace image, b0 and ADC from a diffusion series with several directions and b-values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from infarct_vol.diffusion.adc import MM2_TO_UM2
from infarct_vol.diffusion.bvalues import B0_MAX, plain_bvalues, vendor_flag
from infarct_vol.errors import DiffusionError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, Scan

TARGET_BVALUE = 1000.0
"""s/mm2; the weighting stroke protocols use and the methods here were measured at."""
ADC_MAX_BVALUE = 1200.0
"""s/mm2; above this ln S is no longer linear in b, and such shells do not enter the ADC."""
_SHELL_WIDTH = 0.05
_ISOTROPY = 0.02
"""Largest deviation from 1/3 of an eigenvalue of the mean outer product of the directions that is even."""

_LENGTH_TOLERANCE = 0.03
"""Directions are rounded in files; a length further from 1 may be meant to scale the b-value."""
_DARKENING_BVALUE = 300.0
"""s/mm2; from here on a weighted volume is darker than one without weighting, whatever its noise."""

_MAX_NOISE_GAIN = 2.0
"""Directions so uneven that evening them out more than doubles the noise cannot give a usable trace."""


class DiffusionSeriesLike(Protocol):
    """What a series must bring: voxels, grid, weightings, directions and whose it is."""

    @property
    def data(self) -> NDArray[np.float32]:
        """(I, J, K, N) signal."""

    @property
    def grid(self) -> Grid:
        """Voxel grid of every volume."""

    @property
    def bvalues(self) -> NDArray[np.float64]:
        """(N,) b-values in s/mm2."""

    @property
    def bvectors(self) -> NDArray[np.float64] | None:
        """(N, 3) directions, where stated."""

    @property
    def identity(self) -> Identity:
        """Participant, session and file."""

    @property
    def sidecar(self) -> Mapping[str, object]:
        """Fields of the JSON beside the file."""


@dataclass(frozen=True, eq=False)
class SeriesImages:
    """What a series gives: trace, b0 and ADC (1e-6 mm2/s), the trace's b-value, sentences for a reader."""

    trace: Scan
    b0: Scan | None
    adc: Scan | None
    bvalue: float
    flags: tuple[str, ...]


def images_from_series(series: DiffusionSeriesLike) -> SeriesImages:
    """Compute trace, mean b0 and ADC of a series.

    The trace is the geometric mean over the directions of the shell nearest to b 1000. Uneven directions
    are weighted so that their mean outer product becomes a third of the identity; then the mean of the log
    signals measures the trace of the diffusion tensor and no tract direction stands out. ADC is
    ``ln(S0/Sb)/(b - b0)`` for two weightings and the least-squares slope of ln S for more.

    Parameters
    ----------
    series
        (I, J, K, N) signal with N b-values and, if known, N directions.

    Returns
    -------
    SeriesImages
        A trace voxel is NaN where a signal is negative, an ADC voxel where a signal is not positive.

    Raises
    ------
    DiffusionError
        If the b-values do not fit the volumes or hold no diffusion weighting, or the lengths of directions
        contradict the b-values.
    """
    bvalues, about_bvalues = _checked_bvalues(series)
    vectors = _checked_directions(series, bvalues)
    weighted = _shells(bvalues)
    low = np.flatnonzero(bvalues <= B0_MAX)
    chosen = min(weighted, key=lambda b: abs(b - TARGET_BVALUE))
    weights, flags = _direction_weights(vectors, weighted[chosen], alone=bvalues.size == 1)
    trace = series.data[..., 0] if bvalues.size == 1 else _trace(series, weighted[chosen], weights)
    b0 = series.data[..., low].mean(axis=-1, dtype=np.float32) if low.size else None
    points: dict[float, NDArray[np.float32]] = {chosen: trace}
    if b0 is not None:
        points[float(bvalues[low].mean())] = b0
    for bvalue, volumes in weighted.items():
        if bvalue != chosen and bvalue <= ADC_MAX_BVALUE:
            points[bvalue] = _trace(series, volumes, _direction_weights(vectors, volumes)[0])
    left_out = [b for b in weighted if b > ADC_MAX_BVALUE]
    remark = f"ADC by {'two points' if len(points) == 2 else 'least squares'} at b = " + ", ".join(
        f"{b:g}" for b in sorted(points)
    )
    if left_out:
        remark += "; left out above the linear range: " + ", ".join(f"{b:g}" for b in left_out)
    adc = _slope(points) if len(points) > 1 else None
    return SeriesImages(
        trace=_scan(
            series, trace, "dwi", f"trace of {weighted[chosen].size} volumes at b = {chosen:g} s/mm2"
        ),
        b0=None if b0 is None else _scan(series, b0, "b0", f"mean of {low.size} volumes"),
        adc=None if adc is None else _scan(series, adc, "adc", remark),
        bvalue=chosen,
        flags=(*about_bvalues, *flags),
    )


def require_dark_weighting(series: DiffusionSeriesLike, tissue: BrainMask) -> None:
    """Refuse a series in which a weighted volume is brighter than one without weighting.

    Diffusion only darkens, so the b-values are not in the order of the volumes.

    Raises
    ------
    DiffusionError
        If there is such a volume; the message names it.
    """
    bvalues, _ = _checked_bvalues(series)
    levels = np.array([_level(series.data[..., n], tissue) for n in range(bvalues.size)])
    low = np.flatnonzero((bvalues <= B0_MAX) & np.isfinite(levels))
    high = np.flatnonzero((bvalues >= _DARKENING_BVALUE) & np.isfinite(levels))
    if not low.size or not high.size:
        return
    dark, bright = low[int(levels[low].argmin())], high[int(levels[high].argmax())]
    if levels[bright] >= levels[dark] > 0:
        msg = (
            f"volume {bright + 1} (b = {bvalues[bright]:g}) is brighter over the brain than volume "
            f"{dark + 1} (b = {bvalues[dark]:g}), which diffusion cannot do: b0 and DWI are swapped, or the "
            ".bval file is not in the order of the volumes; write it in their order"
        )
        raise DiffusionError(msg, where=str(series.identity))


def _level(volume: NDArray[np.float32], tissue: BrainMask) -> float:
    values = volume[tissue.data]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def _checked_bvalues(series: DiffusionSeriesLike) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    where = str(series.identity)
    bvalues = np.asarray(series.bvalues, dtype=np.float64).ravel()
    if series.data.ndim != 4 or bvalues.size != series.data.shape[3]:
        msg = f"{bvalues.size} b-values for a series of shape {series.data.shape}; one per volume is needed"
        raise DiffusionError(msg, where=where)
    bvalues, flagged = plain_bvalues(bvalues, what="the .bval file", where=where)
    highest = float(bvalues.max())
    if highest <= B0_MAX:
        likely = "; the values look like ms/um2, give s/mm2" if 0.5 <= highest < 5 else ""
        likely = likely or ("; are DWI and b0 exchanged?" if bvalues.size == 1 else "")
        msg = f"no volume is diffusion-weighted: in .bval the highest b-value is {highest:g} s/mm2{likely}"
        raise DiffusionError(msg, where=where)
    return bvalues, (vendor_flag("the .bval file"),) if flagged else ()


def _checked_directions(
    series: DiffusionSeriesLike, bvalues: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return directions of length 1, or 0 0 0 where a volume has none (written as zeros or as NaN).

    A direction of another length may mean a weighting of b times its squared length (MRtrix
    ``-bvalue_scaling``), or nothing. It means nothing where the b-values differ by the squared lengths
    already; anything else is refused, because ADC and volume would depend on a guess.
    """
    if series.bvectors is None:
        return None
    where = str(series.identity)
    vectors = np.asarray(series.bvectors, dtype=np.float64)
    if vectors.shape != (bvalues.size, 3) or np.isinf(vectors).any():
        msg = f"the .bvec file must give {bvalues.size} volumes 3 finite numbers each; export it again"
        raise DiffusionError(msg, where=where)
    vectors = np.where(np.isnan(vectors).any(axis=1, keepdims=True), 0.0, vectors)
    with np.errstate(over="ignore"):  # an infinite length is refused like any other
        lengths = np.linalg.norm(vectors, axis=1)
    directed = (bvalues > B0_MAX) & (lengths > 1e-6)
    off = directed & (np.abs(lengths - 1) > _LENGTH_TOLERANCE)
    if off.any() and not _repeats_bvalues(lengths[directed], bvalues[directed]):
        volume = int(np.flatnonzero(off)[0])
        scaled = bvalues[volume] * lengths[volume] ** 2
        msg = (
            f"the direction of volume {volume + 1} in the .bvec file has length {lengths[volume]:.3g}, "
            f"expected 1: its weighting is b = {bvalues[volume]:g} s/mm2 as the .bval file says, or "
            f"{scaled:.4g} if the squared length scales it. Write directions of length 1, and into .bval the "
            "b-values that hold"
        )
        raise DiffusionError(msg, where=where)
    return np.where(directed[:, None], vectors / np.where(directed, lengths, 1.0)[:, None], 0.0)


def _repeats_bvalues(lengths: NDArray[np.float64], bvalues: NDArray[np.float64]) -> bool:
    """Tell whether the b-values differ as the squared lengths do, the longest being 1."""
    longest = bvalues.max()
    return bool((np.abs(lengths**2 - bvalues / longest) <= 2 * _LENGTH_TOLERANCE).all())


def _shells(bvalues: NDArray[np.float64]) -> dict[float, NDArray[np.intp]]:
    """Group weighted volumes whose b-values lie within 5 %; keys are mean b-values rounded to 1 s/mm2."""
    order = np.argsort(bvalues, kind="stable")
    shells: list[list[int]] = []
    for volume in order[bvalues[order] > B0_MAX]:
        if shells and bvalues[volume] <= bvalues[shells[-1][0]] * (1 + _SHELL_WIDTH):
            shells[-1].append(int(volume))
        else:
            shells.append([int(volume)])
    return {float(np.round(bvalues[s].mean())): np.array(sorted(s), dtype=np.intp) for s in shells}


def _direction_weights(
    directions: NDArray[np.float64] | None, volumes: NDArray[np.intp], *, alone: bool = False
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return weights, summing to 1, that make the directions even, and flags where that is impossible.

    ``alone``: the series is one volume, which a scanner gives only as its trace image.
    """
    count = volumes.size
    even = np.full(count, 1 / count)
    if directions is None:
        if alone:
            return even, ()
        if count == 1:
            return even, ("one weighted volume and no directions: taken as the scanner's trace image",)
        return even, (f"no b-vectors: whether {count} volumes make a trace cannot be checked",)
    vectors = directions[volumes]
    none = ~vectors.any(axis=1)
    if none.all():
        return even, ()  # no direction is how a scanner's trace image is written down
    if none.any():
        return even, (
            f"{np.count_nonzero(none)} of {count} weighted volumes have no direction in the .bvec file: the "
            "trace may mix kinds of images",
        )
    if _unevenness(vectors, even) <= _ISOTROPY:
        return even, ()
    weights = _evened(vectors)
    if _unevenness(vectors, weights) <= _ISOTROPY and _noise_gain(weights) <= _MAX_NOISE_GAIN:
        return weights, ()
    return even, (
        f"{count} uneven diffusion directions cannot give a trace: tracts will look bright or dark "
        f"(deviation {_unevenness(vectors, even):.2f} from 1/3)",
    )


def _unevenness(vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    mean = np.einsum("n,ni,nj->ij", weights, vectors, vectors)
    return float(np.abs(np.linalg.eigvalsh(mean) - 1 / 3).max())


def _evened(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights nearest to equal ones whose mean outer product is a third of the identity.

    Where six directions are independent this is the trace of the least-squares diffusion tensor.
    """
    rows, columns = np.triu_indices(3)
    products = (vectors[:, rows] * vectors[:, columns]).T
    target = np.where(rows == columns, 1 / 3, 0.0)
    correction = np.linalg.pinv(products) @ (target - products.mean(axis=1))
    return np.asarray(1 / len(vectors) + correction)


def _noise_gain(weights: NDArray[np.float64]) -> float:
    """Return how much noisier than the plain mean the weighted one is."""
    return float(np.sqrt(np.sum(weights**2) * weights.size))


def _trace(
    series: DiffusionSeriesLike, volumes: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the weighted geometric mean: 0 where a signal is 0, NaN where one is negative."""
    logs = np.zeros(series.grid.shape, dtype=np.float32)
    lowest = np.full(series.grid.shape, np.inf, dtype=np.float32)
    for volume, weight in zip(volumes, weights, strict=True):
        signal = series.data[..., volume]
        logs += np.float32(weight) * np.log(signal, out=np.zeros_like(logs), where=signal > 0)
        np.minimum(lowest, signal, out=lowest)
    trace = np.exp(logs)
    trace[lowest == 0] = 0
    trace[~(lowest >= 0)] = np.nan
    return trace


def _slope(points: Mapping[float, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return minus the least-squares slope of ln S over b, in 1e-6 mm2/s; NaN where a signal is <= 0."""
    bvalues = np.array(sorted(points))
    centred = bvalues - bvalues.mean()
    factors = -centred / np.sum(centred**2) * MM2_TO_UM2
    adc = np.zeros(next(iter(points.values())).shape, dtype=np.float32)
    for bvalue, factor in zip(bvalues, factors, strict=True):
        signal = points[float(bvalue)]
        valid = signal > 0
        adc += np.float32(factor) * np.log(signal, out=np.full_like(signal, np.nan), where=valid)
    return adc


def _scan(series: DiffusionSeriesLike, data: NDArray[np.float32], modality: str, remark: str) -> Scan:
    identity = replace(series.identity, modality=modality)  # type: ignore[arg-type]
    return Scan(data, series.grid, identity, series.sidecar, (remark,))
