"""The fit of a scan to the MNI template, and what the template says of a place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from strategies import reoriented

from infarct_vol.atlas import BrainMap, fit_to_template, is_infratentorial, load_template, locate
from infarct_vol.brain import brain_mask
from infarct_vol.errors import GridMismatchError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, LesionMask, Scan
from infarct_vol.nifti import load_scan
from infarct_vol.registration.motion import turned

IDENTITY = BrainMap(np.eye(4), 0.97, 0.8)
GRID = Grid((80, 96, 34), np.array([[2.2, 0, 0, -90], [0, 2.2, 0, -120], [0, 0, 5.0, -75], [0, 0, 0, 1.0]]))


def pose() -> np.ndarray:
    """Return MNI -> scanner: a smaller brain, turned by 12 degrees and shifted by 16 mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = turned(np.radians([12.0, 3.0, -5.0])) @ np.diag([0.95, 0.9, 0.88])
    matrix[:3, 3] = 5.0, -12.0, 9.0
    return matrix


def drawn(brightness: tuple[float, float, float], grid: Grid = GRID) -> tuple[Scan, BrainMask]:
    """Return the template as a scan with the given brightness of grey matter, white matter and CSF."""
    template = load_template()
    to_index = np.linalg.inv(template.coarse_grid.affine) @ np.linalg.inv(pose()) @ grid.affine
    shares = [
        ndimage.affine_transform(part, to_index[:3, :3], to_index[:3, 3], grid.shape, order=1)
        for part in template.coarse
    ]
    data = sum(level * share for level, share in zip(brightness, shares, strict=True))
    noise = np.random.default_rng(1).normal(0, 0.03, grid.shape)
    return Scan(data + noise, grid, Identity(modality="flair")), BrainMask(sum(shares) > 0.5, grid)


def errors_mm(found: BrainMap, brain: BrainMask) -> np.ndarray:
    points = brain.grid.to_world(np.argwhere(brain.data)[::97])
    truth = (points - pose()[:3, 3]) @ np.linalg.inv(pose()[:3, :3]).T
    return np.linalg.norm(found.apply(points) - truth, axis=1)


def test_the_template_is_a_brain_in_mni_space() -> None:
    template = load_template()
    brain = template.brain
    assert template.coarse_grid.spacing_mm == pytest.approx([4.0, 4.0, 4.0])
    assert np.count_nonzero(brain) * 0.064 == pytest.approx(1842, abs=5)
    middle = template.coarse_grid.to_world(np.argwhere(brain).mean(axis=0))
    assert middle == pytest.approx([0.0, -21.5, 9.5], abs=0.5)
    assert float(template.tissue.max()) <= 1.0
    assert not template.tissue.flags.writeable


@pytest.mark.parametrize("brightness", [(1.1, 0.95, 0.2), (0.7, 1.0, 0.3), (1.0, 0.85, 2.0)])
def test_a_known_pose_is_found_in_any_contrast(brightness: tuple[float, float, float]) -> None:
    scan, brain = drawn(brightness)
    found = fit_to_template(scan, brain=brain)
    assert found.reason == ""
    assert errors_mm(found, brain).mean() < 1.5
    assert errors_mm(found, brain).max() < 4.0


def test_the_fit_repeats_to_the_bit_and_knows_no_gain() -> None:
    scan, brain = drawn((1.1, 0.95, 0.2))
    first = fit_to_template(scan, brain=brain)
    assert np.array_equal(fit_to_template(scan, brain=brain).matrix, first.matrix)
    brighter = fit_to_template(scan.with_data(512 * scan.data), brain=brain)
    assert np.array_equal(brighter.matrix, first.matrix)


def test_the_order_of_stored_voxels_does_not_matter() -> None:
    scan, brain = drawn((1.1, 0.95, 0.2))
    axes, flip = (2, 0, 1), (True, False, True)
    turned_mask = reoriented(LesionMask(brain.data, brain.grid), axes=axes, flip=flip)
    data = np.flip(np.transpose(scan.data, axes), [a for a in range(3) if flip[a]])
    other = Scan(data, turned_mask.grid, scan.identity)
    found = fit_to_template(other, brain=BrainMask(turned_mask.data, turned_mask.grid))
    assert found.matrix == pytest.approx(fit_to_template(scan, brain=brain).matrix, abs=1e-6)


def test_what_is_no_brain_has_no_location() -> None:
    noise = Scan(np.random.default_rng(2).normal(100, 20, GRID.shape), GRID)
    box = np.zeros(GRID.shape, dtype=bool)
    box[20:60, 20:80, 5:30] = True
    found = fit_to_template(noise, brain=BrainMask(box, GRID))
    assert "fit to the MNI template is poor" in found.reason
    nothing = fit_to_template(noise, brain=BrainMask(np.zeros(GRID.shape, dtype=bool), GRID))
    assert (nothing.overlap, nothing.likeness) == (0.0, 0.0)
    assert nothing.reason


def test_scan_and_brain_share_a_grid() -> None:
    scan, _ = drawn((1.0, 1.0, 0.2))
    other = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(GridMismatchError, match="scan and brain mask"):
        fit_to_template(scan, brain=BrainMask(np.ones((2, 2, 2), dtype=bool), other))


def test_another_scan_of_the_head_is_mapped_through_its_registration() -> None:
    moved = np.eye(4)
    moved[:3, :3] = turned(np.radians([0.0, 10.0, 0.0]))
    moved[:3, 3] = 7.0, 0.0, -3.0
    fitted = BrainMap(pose(), 0.97, 0.8)
    point = np.array([10.0, 20.0, 30.0])
    there = moved[:3, :3] @ point + moved[:3, 3]
    assert fitted.of_moved(moved).apply(there) == pytest.approx(fitted.apply(point))


@pytest.mark.parametrize(
    ("centre", "hemisphere", "region"),
    [
        ((25.0, -65.0, -40.0), "right", "infratentorial"),
        ((-20.0, -55.0, -30.0), "left", "infratentorial"),
        ((0.0, -28.0, -32.0), "midline", "infratentorial"),
        ((-25.0, -92.0, -2.0), "left", "supratentorial"),
        ((50.0, -10.0, -30.0), "right", "supratentorial"),
        ((-12.0, -18.0, 8.0), "left", "supratentorial"),
    ],
)
def test_places_a_reader_knows(centre: tuple[float, float, float], hemisphere: str, region: str) -> None:
    ball = np.argwhere(np.ones((7, 7, 7))) - 3.0 + centre
    found = locate(ball, IDENTITY)
    assert found.centroid_mni_mm == pytest.approx(centre)
    assert (found.hemisphere, found.region) == (hemisphere, region)


def test_a_lesion_across_the_midline_has_no_side() -> None:
    assert locate(np.array([[-20.0, 0, 20], [20.0, 0, 20]]), IDENTITY).hemisphere == "midline"


def test_shares_of_grey_and_white_matter() -> None:
    centrum_semiovale = locate(np.array([[26.0, -20.0, 34.0], [27.0, -20.0, 34.0]]), IDENTITY)
    assert centrum_semiovale.white_percent > 90
    assert centrum_semiovale.grey_percent < 10
    putamen = locate(np.array([[26.0, 4.0, 0.0]]), IDENTITY)
    assert putamen.grey_percent == pytest.approx(65.8, abs=0.1)
    air = locate(np.array([[0.0, 0.0, 500.0]]), IDENTITY)
    assert (air.grey_percent, air.white_percent) == (0.0, 0.0)


def test_the_tentorium_rule_agrees_with_the_size_of_cerebellum_and_brain_stem() -> None:
    template = load_template()
    points = template.coarse_grid.to_world(np.argwhere(template.coarse[:2].sum(axis=0) > 0.5))
    # cerebellum and brain stem of the template, separated by a watershed, hold 229 mL
    assert np.count_nonzero(is_infratentorial(points)) * 0.064 == pytest.approx(229, rel=0.1)


def test_two_visits_of_a_patient_find_the_same_places(real_scans: Path) -> None:
    folder, at_visit = real_scans / "ms_p12", []
    common = load_scan(folder / "brainmask.nii.gz")
    points = common.grid.to_world(np.argwhere(common.data > 0)[::2999])
    for number in (1, 2):
        scan = load_scan(folder / f"study{number}_FLAIR.nii.gz", modality="flair")
        found = fit_to_template(scan, brain=brain_mask(scan))
        assert found.reason == ""
        there = itk_affine(folder / f"study{number}_FLAIR_to_common_space.txt")
        at_visit.append(found.apply(points @ there[:3, :3].T + there[:3, 3]))
    # the head lies 68 mm apart; measured 0.4 mm on average and 0.8 mm at most
    assert np.linalg.norm(at_visit[0] - at_visit[1], axis=1).max() < 2.0


def itk_affine(path: Path) -> np.ndarray:
    """Return an ITK text transform that is not rigid as a 4x4 matrix between RAS+ points."""
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    parameters = np.array(fields["Parameters"].split(), dtype=float)
    centre = np.array(fields["FixedParameters"].split(), dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = parameters[:9].reshape(3, 3)
    matrix[:3, 3] = parameters[9:] + centre - matrix[:3, :3] @ centre
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    return turn @ matrix @ turn
