"""A scanner of made heads: samples a head on a grid as thick slices, with bias, noise and gain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray
from registration_engines import FLIP_XY

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

SIGNAL_TO_NOISE = 25
SUBSLICES = 5  # a thick slice is the mean of so many thin ones


@dataclass(frozen=True)
class Grid:
    """The voxels of a scan that is to be taken; `affine` from index to RAS mm."""

    shape: tuple[int, int, int]
    affine: Floats
    is_thick: bool


@dataclass(frozen=True)
class Scanner:
    """Takes scans of a head (`head_affine`) that was moved by `move`, on `grid`; all in RAS mm."""

    head_affine: Floats
    move: Floats
    grid: Grid
    head_centre: Floats

    def acquire(self, rng: Generator, head: Floats) -> Floats:
        """Return a magnitude image with bias, fall-off at the neck, gamma, noise and gain, float32."""
        shape = self.grid.shape
        signal = self.sample(head) * bias(rng, shape) * self.fall_off()
        white = 120.0
        signal = white * (np.clip(signal, 0, None) / white) ** rng.uniform(0.85, 1.15)
        sigma = 80 / SIGNAL_TO_NOISE
        real, imaginary = rng.normal(0, sigma, shape), rng.normal(0, sigma, shape)
        magnitude = np.sqrt((signal + real) ** 2 + imaginary**2) * rng.uniform(2, 9)
        return magnitude.astype(np.float32)

    def fall_off(self) -> Floats:
        """Return the coil's sensitivity along the slices: it hides the cut face of the template."""
        (i, j, slices), affine = self.grid.shape, self.grid.affine
        height_mm = (
            affine[2, 3] + affine[2, 0] * (i / 2) + affine[2, 1] * (j / 2) + affine[2, 2] * np.arange(slices)
        )
        fall: Floats = 1 / (1 + np.exp(-(height_mm - self.head_centre[2] + 62) / 6))
        return fall[None, None, :]

    def sample(self, head: Floats) -> Floats:
        """Return what each voxel sees of the head, without negative overshoot of the splines."""
        return self.resample(
            head, subslices=SUBSLICES if self.grid.is_thick else 1, interpolator=sitk.sitkBSpline
        )

    def sample_mask(self, share: Floats) -> Mask:
        """Return the voxels whose centre lies in the mask."""
        return self.resample(share, subslices=1, interpolator=sitk.sitkLinear) > 0.5

    def resample(self, head: Floats, *, subslices: int, interpolator: int) -> Floats:
        """Return the mean over `subslices` along the slice of the moved head at the grid's points."""
        i, j, slices = self.grid.shape
        fine = self.grid.affine.copy()
        fine[:3, 2] /= subslices
        fine[:3, 3] = self.grid.affine[:3, 3] - self.grid.affine[:3, 2] * 0.5 + fine[:3, 2] * 0.5
        to_head = FLIP_XY @ np.linalg.inv(self.move) @ FLIP_XY
        transform = sitk.AffineTransform(3)
        transform.SetMatrix(to_head[:3, :3].ravel().tolist())
        transform.SetTranslation(to_head[:3, 3].tolist())
        target = to_sitk(np.zeros((1, 1, 1), np.float32), fine)
        resampler = sitk.ResampleImageFilter()
        resampler.SetReferenceImage(target)
        resampler.SetSize([i, j, slices * subslices])
        resampler.SetTransform(transform)
        resampler.SetInterpolator(interpolator)
        resampler.SetOutputPixelType(sitk.sitkFloat32)
        values = sitk.GetArrayFromImage(resampler.Execute(to_sitk(head, self.head_affine))).transpose(2, 1, 0)
        if subslices > 1:
            values = values.reshape(i, j, slices, subslices).mean(-1)
        seen: Floats = np.clip(values, 0, None)
        return seen


def bias(rng: Generator, shape: tuple[int, int, int]) -> Floats:
    """Draw a smooth gain of second order, within a factor of exp(0.35)."""
    axes = [np.linspace(-1, 1, size, dtype=np.float32) for size in shape]
    x, y, z = np.stack(np.meshgrid(*axes, indexing="ij"))
    p = rng.uniform(-1, 1, 9).astype(np.float32)  # the ninth is not used: it keeps the draws in step
    field = (
        p[0] * x + p[1] * y + p[2] * z + p[3] * x * y + p[4] * y * z + p[5] * x**2 + p[6] * y**2 + p[7] * z**2
    )
    gain: Floats = np.exp(0.35 * field / np.abs(field).max())
    return gain


def to_sitk(values: Floats, affine: Floats) -> sitk.Image:
    """Return an image of SimpleITK for an array (I, J, K) and its RAS affine."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.astype(np.float32).transpose(2, 1, 0)))
    lps = FLIP_XY @ affine
    spacing_mm = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((lps[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def save(values: Floats | Mask, grid: Grid, path: Path, *, dtype: DTypeLike = np.int16) -> None:
    """Write whole numbers with the grid in sform and qform."""
    image = nib.Nifti1Image(np.round(values).astype(dtype), grid.affine)
    image.set_sform(grid.affine, 1)
    image.set_qform(grid.affine, 1)
    nib.save(image, path)
