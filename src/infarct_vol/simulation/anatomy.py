"""A digital head: tissue fractions of one person at 1 mm, made from the MNI templates.

Head space is RAS+ mm with the MNI origin. The brain comes from the grey- and white-matter maps of the
ICBM 152 template (Fonov 2011) that nilearn ships; each person gets an own smooth warp (so left and right
differ), own ventricles, own sulci. What surrounds the brain is built in `infarct_vol.simulation.head`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from infarct_vol.geometry import Grid
from infarct_vol.simulation.fields import Field, bounding_slices, bump, smooth_noise

HEAD_ORIGIN_MM = (-94.0, -132.0, -106.0)
HEAD_SHAPE = (189, 239, 211)
_BRAIN_SEARCH_MM = ((-84, 84), (-122, 88), (-82, 94))
_TEMPLATE_BRAIN_MM = ((-73, 74), (-108, 75), (-73, 84))
CENTRE_MM = (0.0, -17.0, 5.0)

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class AnatomySettings:
    """How one person's brain differs from the template.

    Parameters
    ----------
    scale
        Size along x, y, z against the template.
    ventricle_growth
        Widening of the left and right lateral ventricle; 0 keeps the template's.
    csf_bias
        Shift of the CSF log-odds; 0 keeps the template's sulci, 1 is marked atrophy.
    """

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ventricle_growth: tuple[float, float] = (0.0, 0.0)
    csf_bias: float = 0.3


@dataclass(frozen=True)
class Tissues:
    """Tissue fractions of one person inside ``box`` of the head grid, at 1 mm.

    Parameters
    ----------
    box
        Slices of the head grid that the arrays below fill.
    csf, gm, wm
        (I, J, K) float32 fractions; their sum is the fraction of the voxel inside the brain's surface.
    """

    box: Box
    csf: Field
    gm: Field
    wm: Field

    @property
    def parenchyma(self) -> Field:
        """Fraction of each voxel that is brain tissue and not CSF."""
        return self.gm + self.wm

    @property
    def whole(self) -> Field:
        """Fraction of each voxel inside the brain's surface, ventricles and sulci included."""
        whole: Field = self.csf + self.gm
        whole += self.wm
        np.minimum(whole, 1, out=whole)
        return whole


@dataclass(frozen=True)
class Brain(Tissues):
    """Tissues with their anatomical place, needed only while lesions are put in.

    Parameters
    ----------
    template_xyz
        Three (I, J, K) float32 arrays: the MNI coordinate, in mm, each voxel came from.
    """

    template_xyz: tuple[Field, Field, Field]

    def tissues(self) -> Tissues:
        """Return the fractions alone, which is what is worth keeping in memory."""
        return Tissues(self.box, self.csf, self.gm, self.wm)


def head_grid() -> Grid:
    """Return the 1 mm grid every digital head is built on."""
    affine = np.eye(4)
    affine[:3, 3] = HEAD_ORIGIN_MM
    return Grid(HEAD_SHAPE, affine)


def head_axes(box: Box | None = None) -> tuple[Field, Field, Field]:
    """Return the x, y and z coordinates of the head grid, shaped to broadcast."""
    box = box or (slice(None), slice(None), slice(None))
    x, y, z = (
        (np.arange(n, dtype=np.float32) + np.float32(o))[s]
        for n, o, s in zip(HEAD_SHAPE, HEAD_ORIGIN_MM, box, strict=True)
    )
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _template() -> tuple[tuple[Field, Field, Field], NDArray[np.float64]]:
    """Return grey matter, white matter and brain mask of the 1 mm template, cropped, and their affine."""
    # importing nilearn takes seconds and 60 MB, and nothing but the simulation needs it
    from nilearn import datasets

    mask = datasets.load_mni152_brain_mask(resolution=1)
    inside = np.asarray(mask.dataobj) > 0
    box = bounding_slices(inside, margin=4)
    soft = ndi.gaussian_filter(inside[box].astype(np.float32), 0.6)
    affine = np.array(mask.affine)
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in box]
    loaders = (datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)
    gm, wm = (np.array(load(resolution=1).dataobj[box], dtype=np.float32) for load in loaders)
    return (gm, wm, soft), affine


def build_brain(settings: AnatomySettings, rng: np.random.Generator) -> Brain:
    """Make one person's brain.

    Returns
    -------
    Brain
        Tissue fractions at 1 mm in head space.
    """
    search = _search_box()
    u = _warp(search, settings, rng)
    near = _maybe_brain(u)
    box = tuple(slice(s.start + i.start, s.start + i.stop) for s, i in zip(search, near, strict=True))
    xyz = (u[0][near].copy(), u[1][near].copy(), u[2][near].copy())
    del u
    maps, affine = _template()
    inverse = np.linalg.inv(affine)
    index = [c * np.float32(inverse[a, a]) + np.float32(inverse[a, 3]) for a, c in enumerate(xyz)]
    gm, wm, mask = (ndi.map_coordinates(m, index, order=1, output=np.float32) for m in maps)
    del index, maps
    csf, gm, wm = _sharpened(gm, wm, mask, settings, rng)
    return Brain((box[0], box[1], box[2]), csf, gm, wm, xyz)


def _maybe_brain(u: list[Field]) -> Box:
    """Return the box of voxels that come from the template's brain, from every fourth voxel."""
    inside = np.ones(u[0][::4, ::4, ::4].shape, dtype=bool)
    for coordinate, (low, high) in zip(u, _TEMPLATE_BRAIN_MM, strict=True):
        coarse = coordinate[::4, ::4, ::4]
        inside &= (coarse > low) & (coarse < high)
    x, y, z = (
        slice(max(0, 4 * s.start - 4), min(n, 4 * s.stop + 4))
        for s, n in zip(bounding_slices(inside), u[0].shape, strict=True)
    )
    return x, y, z


def _search_box() -> Box:
    low_high = zip(_BRAIN_SEARCH_MM, HEAD_ORIGIN_MM, strict=True)
    x, y, z = (slice(int(low - origin), int(high - origin)) for (low, high), origin in low_high)
    return x, y, z


def _warp(box: Box, settings: AnatomySettings, rng: np.random.Generator) -> list[Field]:
    """Return the template coordinate of every voxel of ``box``: scale, smooth warp, ventricles."""
    axes = head_axes(box)
    shape = tuple(s.stop - s.start for s in box)
    u: list[Field] = []
    for axis in range(3):
        centre = np.float32(CENTRE_MM[axis])
        coordinate = (axes[axis] - centre) / np.float32(settings.scale[axis]) + centre
        coarse = smooth_noise(shape, rng, knot_spacing_voxels=42) * np.float32(2.6)
        fine = smooth_noise(shape, rng, knot_spacing_voxels=20) * np.float32(0.7)
        u.append(coordinate + coarse + fine)
    for side, growth in zip((-1, 1), settings.ventricle_growth, strict=True):
        _widen_ventricle(u, side=side, growth=growth)
    return u


def _widen_ventricle(u: list[Field], *, side: int, growth: float) -> None:
    """Pull template coordinates towards the ventricle's axis, which makes the ventricle larger here."""
    pull = np.float32(growth) * bump(u, (side * 15.0, -12.0, 16.0), (13.0, 34.0, 15.0))
    u[0] -= pull * (u[0] - np.float32(side * 11.0))
    u[2] -= np.float32(0.8) * pull * (u[2] - np.float32(15.0))


def _sharpened(
    gm: Field, wm: Field, mask: Field, settings: AnatomySettings, rng: np.random.Generator
) -> tuple[Field, Field, Field]:
    """Turn population averages into one person's tissues.

    The template's fractions are blurred by averaging many people. Raising them to a power and adding
    smooth random log-odds gives back crisp borders and individual sulci.
    """
    shape = gm.shape
    power = np.float32(2.2)
    csf = np.clip(1 - gm - wm, 0, 1)
    sulci = smooth_noise(shape, rng, knot_spacing_voxels=4.5) * np.float32(0.9)
    sulci += smooth_noise(shape, rng, knot_spacing_voxels=28) * np.float32(0.35)
    ribbon = smooth_noise(shape, rng, knot_spacing_voxels=4.0) * np.float32(0.6)
    odds_csf = (csf + np.float32(0.02)) ** power * np.exp(sulci + np.float32(settings.csf_bias))
    odds_gm = (gm + np.float32(0.02)) ** power
    odds_wm = (wm + np.float32(0.02)) ** power * np.exp(ribbon)
    scale = mask / (odds_csf + odds_gm + odds_wm)
    for odds in (odds_csf, odds_gm, odds_wm):
        odds *= scale
    return odds_csf, odds_gm, odds_wm
