from dataclasses import replace
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from infarct_vol.errors import GridMismatchError, RegistrationError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, LesionMask, Modality, Scan
from infarct_vol.nifti import load_scan
from infarct_vol.registration import RigidTransform, read_tfm, register
from infarct_vol.settings import RegistrationSettings

SPACING_MM = 2.0
SHAPE = (96, 112, 84)
# signal of air, scalp, CSF, grey matter, white matter, lesion
SIGNAL: dict[Modality, list[float]] = {
    "flair": [0, 90, 15, 100, 75, 150],
    "b0": [0, 15, 160, 70, 50, 90],
}


class Head:
    """A made-up head: tissue classes on a 2 mm grid around the world origin."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.grid = Grid(SHAPE, centred(np.eye(3) * SPACING_MM, SHAPE))
        index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
        x, y, z = np.moveaxis(self.grid.to_world(index), -1, 0)
        inner = np.sqrt((x / 66) ** 2 + (y / 82) ** 2 + (z / 62) ** 2)
        outer = np.sqrt((x / 76) ** 2 + (y / 92) ** 2 + (z / 72) ** 2)
        folds = sum(w * smooth_noise(rng, sigma) for sigma, w in ((2.0, 0.6), (4.0, 1.0)))
        tissue = np.where(folds > 0.1, 3, 4)
        tissue[folds > 1.0] = 2
        ventricle = ((np.abs(x) - 12) / 8) ** 2 + (y / 28) ** 2 + ((z - 5) / 10) ** 2 < 1
        tissue[ventricle] = 2
        classes = np.zeros(SHAPE, dtype=int)
        classes[outer < 1] = 1
        classes[inner < 1] = tissue[inner < 1]
        self.classes, self.brain = classes, inner < 1

    def with_lesion(self, centre: tuple[float, float, float], radius_mm: float) -> "Head":
        head = object.__new__(Head)
        head.grid, head.brain, head.classes = self.grid, self.brain, self.classes.copy()
        index = np.argwhere(self.brain)
        near = np.linalg.norm(self.grid.to_world(index) - centre, axis=1) < radius_mm
        head.classes[tuple(index[near].T)] = 5
        return head

    def scan(
        self,
        grid: Grid,
        modality: Modality = "flair",
        pose: RigidTransform | None = None,
        *,
        seed: int = 0,
        shading: float = 0.3,
    ) -> Scan:
        """Acquire on a grid after moving the head by a pose, 3 points through each slice averaged."""
        image = np.array(SIGNAL[modality], dtype=np.float32)[self.classes]
        image = ndi.gaussian_filter(image, 0.5)
        index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1).reshape(
            -1, 3
        )
        back = (pose or RigidTransform.identity()).inverse()
        total = np.zeros(len(index), dtype=np.float32)
        for part in (-1 / 3, 0.0, 1 / 3):
            at = self.grid.to_index(back.apply(grid.to_world(index + [0, 0, part])))
            total += ndi.map_coordinates(image, at.T, order=1) / 3
        bias = np.exp(shading * (index / np.array(grid.shape) - 0.5) @ [1.0, -0.7, 0.5])
        rng = np.random.default_rng(seed)
        noisy = np.hypot(total * bias + rng.normal(0, 3, len(total)), rng.normal(0, 3, len(total)))
        return Scan(noisy.reshape(grid.shape), grid, Identity("sub-1", f"ses-{seed}", modality=modality))


def centred(axes: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.array(shape) - 1) / 2)
    return affine


def smooth_noise(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    noise = ndi.gaussian_filter(rng.normal(size=SHAPE), sigma)
    return np.asarray(noise / noise.std())


def thick(flip: tuple[int, int, int] = (1, 1, 1)) -> Grid:
    shape = (120, 140, 34)
    return Grid(shape, centred(np.diag(np.array(flip) * [1.5, 1.5, 5.0]), shape))


def pose(
    degrees: float, shift: tuple[float, float, float], axis: tuple[float, float, float]
) -> RigidTransform:
    matrix = np.eye(4)
    direction = np.array(axis) / np.linalg.norm(axis)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * direction).as_matrix()
    matrix[:3, 3] = shift
    return RigidTransform(matrix)


def error_mm(found: RigidTransform, truth: RigidTransform, head: Head) -> float:
    points = head.grid.to_world(np.argwhere(head.brain)[::301])
    return float(found.distance_mm(truth, points).mean())


HEAD = Head(1)
# enough to tell right from wrong, quicker than the default
FAST = RegistrationSettings(levels_mm=(8.0, 4.0, 2.0), points_coarse=2000, points_fine=6000)
MOVE = pose(14.0, (12.0, -8.0, 10.0), (1.0, 0.5, 2.0))


@pytest.fixture(scope="module")
def baseline() -> Scan:
    return HEAD.scan(thick())


@pytest.fixture(scope="module")
def follow_up() -> Scan:
    return HEAD.with_lesion((35, 20, 15), 18.0).scan(thick(), pose=MOVE, seed=1, shading=-0.3)


def test_same_contrast_under_a_twentieth_of_a_millimetre(baseline: Scan, follow_up: Scan) -> None:
    found = register(baseline, follow_up)
    assert error_mm(found, MOVE, HEAD) < 0.05
    assert found.quality is not None
    assert found.quality.verdict == "PASS"
    assert found.quality.reasons == ()
    assert found.quality.metrics["match"] > RegistrationSettings().match_warn


def test_exchanging_the_scans_inverts_the_answer_and_repeats_to_the_bit(
    baseline: Scan, follow_up: Scan
) -> None:
    slab = Scan(follow_up.data[..., 6:], follow_up.grid.crop((slice(None), slice(None), slice(6, None))))
    for other in (follow_up, slab, HEAD.scan(thick(), "b0", MOVE, seed=2)):
        forward = register(baseline, other, settings=FAST)
        backward = register(other, baseline, settings=FAST)
        assert error_mm(forward, backward.inverse(), HEAD) < 1e-9
        assert forward.quality is not None
        assert backward.quality is not None
        assert forward.quality.verdict == backward.quality.verdict
        there, back = forward.quality.metrics, backward.quality.metrics
        assert there["coverage_fixed"] == back["coverage_moving"]
        assert there["coverage_moving"] == back["coverage_fixed"]
        assert there["match"] == back["match"]
    assert (register(baseline, other, settings=FAST).matrix == forward.matrix).all()


def test_across_contrasts_under_a_fifth_of_a_millimetre(baseline: Scan) -> None:
    found = register(baseline, HEAD.scan(thick(), "b0", MOVE, seed=2))
    assert error_mm(found, MOVE, HEAD) < 0.2
    assert found.quality is not None
    assert found.quality.verdict != "FAIL"


def test_a_far_turned_head_is_found(baseline: Scan) -> None:
    far = pose(42.0, (40.0, -35.0, 45.0), (1.0, -1.0, 0.6))
    # the scanner's grid follows the head, as a technician makes it
    grid = Grid(thick().shape, far.matrix @ thick().affine)
    found = register(baseline, HEAD.scan(grid, pose=far, seed=3), settings=FAST)
    assert error_mm(found, far, HEAD) < 0.1


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "half turn", "oblique"])
def test_registering_a_scan_to_itself_is_the_identity(axes: str) -> None:
    scan = HEAD.scan(turned_grid(axes))
    found = register(scan, scan, settings=FAST)
    assert error_mm(found, RigidTransform.identity(), HEAD) < 0.001


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "half turn", "oblique"])
def test_a_known_move_is_recovered_whatever_the_header(baseline: Scan, axes: str) -> None:
    moved = HEAD.scan(turned_grid(axes), pose=MOVE, seed=1)
    assert error_mm(register(baseline, moved), MOVE, HEAD) < 0.05


def turned_grid(axes: str) -> Grid:
    flips = {"RAS": (1, 1, 1), "LAS": (-1, 1, 1), "LPS": (-1, -1, 1), "half turn": (1, -1, -1)}
    grid = thick(flips.get(axes, (1, 1, 1)))
    if axes != "oblique":
        return grid
    return Grid(grid.shape, pose(25.0, (3.0, 2.0, 1.0), (0.3, 1.0, 0.2)).matrix @ grid.affine)


def test_the_same_image_in_another_orientation_gives_the_same_transform(baseline: Scan) -> None:
    moved = HEAD.scan(thick(), pose=MOVE, seed=1)
    affine = moved.grid.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = moved.grid.to_world([moved.grid.shape[0] - 1, moved.grid.shape[1] - 1, 0])
    turned = Scan(moved.data[::-1, ::-1], Grid(moved.grid.shape, affine), moved.identity)
    found = [register(baseline, scan, settings=FAST) for scan in (turned, moved)]
    assert error_mm(found[0], found[1], HEAD) < 0.05


def test_brain_and_lesion_masks_are_used_and_must_fit(baseline: Scan, follow_up: Scan) -> None:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in baseline.grid.shape], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(baseline.grid.to_world(index), -1, 0)
    brain = BrainMask((x / 66) ** 2 + (y / 82) ** 2 + (z / 62) ** 2 < 1, baseline.grid)
    lesion = LesionMask((x - 35) ** 2 + (y - 20) ** 2 + (z - 15) ** 2 < 20**2, baseline.grid)
    plain = register(baseline, follow_up, settings=FAST)
    masked = register(baseline, follow_up, fixed_brain=brain, fixed_lesion=lesion, settings=FAST)
    assert error_mm(masked, MOVE, HEAD) < 0.1
    assert (masked.matrix != plain.matrix).any()
    with pytest.raises(GridMismatchError, match="scan and brain mask must share"):
        register(follow_up, baseline, fixed_brain=BrainMask(np.ones(SHAPE, dtype=bool), HEAD.grid))


def test_a_flipped_scan_fails(baseline: Scan, follow_up: Scan) -> None:
    affine = np.diag([-1.0, 1.0, 1.0, 1.0]) @ follow_up.grid.affine
    flipped = replace(follow_up, grid=Grid(follow_up.grid.shape, affine))
    quality = register(baseline, flipped, settings=FAST).quality
    assert quality is not None
    assert quality.verdict == "FAIL"
    assert "left-right mirrored" in quality.reasons[0]


def test_another_person_fails(baseline: Scan) -> None:
    quality = register(baseline, Head(2).scan(thick(), pose=MOVE, seed=1), settings=FAST).quality
    assert quality is not None
    assert quality.verdict == "FAIL"
    assert "do not match" in quality.reasons[0] or "tell nearly nothing" in quality.reasons[0]


def test_a_cropped_follow_up_is_registered_with_a_warning(baseline: Scan, follow_up: Scan) -> None:
    part = (slice(0, 120), slice(0, 140), slice(17, 34))
    cropped = Scan(follow_up.data[part], follow_up.grid.crop(part), follow_up.identity)
    found = register(baseline, cropped, settings=FAST)
    assert error_mm(found, MOVE, HEAD) < 0.5
    assert found.quality is not None
    assert found.quality.verdict == "WARN"
    assert "of the fixed scan's brain lies inside the other scan" in found.quality.reasons[0]


def test_scans_with_nothing_to_register_are_refused(baseline: Scan) -> None:
    with pytest.raises(RegistrationError, match="sub-1 ses-0 FLAIR: the image is constant"):
        register(baseline.with_data(np.full(baseline.grid.shape, 7.0)), baseline)
    one = (slice(0, 120), slice(0, 140), slice(16, 17))
    slab = Scan(baseline.data[one], baseline.grid.crop(one), baseline.identity)
    with pytest.raises(RegistrationError, match="at least 4 voxels along every axis"):
        register(baseline, slab)
    speck = np.zeros(baseline.grid.shape)
    speck[60, 70, 17] = 1.0
    with pytest.raises(RegistrationError, match="no head found"):
        register(baseline.with_data(speck), baseline)


def test_settings_without_the_search_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="8 and 4 are among them"):
        RegistrationSettings(levels_mm=(2.0, 1.0))


def test_settings_change_the_verdict(baseline: Scan, follow_up: Scan) -> None:
    quality = register(baseline, follow_up, settings=FAST.model_copy(update={"match_warn": 0.99})).quality
    assert quality is not None
    assert quality.verdict == "WARN"
    assert "match is weak" in quality.reasons[0]


def test_two_real_visits_agree_with_the_published_transforms(real_scans: Path) -> None:
    visits = real_scans / "ms_p12"
    published = [affine_of(visits / f"study{n}_FLAIR_to_common_space.txt") for n in (1, 2)]
    first, second = (load_scan(visits / f"study{n}_FLAIR.nii.gz", modality="flair") for n in (1, 2))
    found = register(first, second)
    brain = load_scan(visits / "brainmask.nii.gz")
    common = brain.grid.to_world(np.argwhere(brain.data > 0)[::997])
    at = [common @ matrix[:3, :3].T + matrix[:3, 3] for matrix in published]
    # the published transforms are affine: 0.30 mm of them is no rigid motion
    assert np.linalg.norm(found.apply(at[0]) - at[1], axis=1).mean() < 0.5
    assert found.quality is not None
    assert found.quality.verdict == "PASS"


def test_real_images_of_one_session_stay_where_the_scanner_put_them(real_scans: Path) -> None:
    ads = real_scans / "ads_s02"
    b0, adc = (load_scan(ads / f"Subject02_{name}.nii.gz") for name in ("b0", "ADC"))
    assert farthest_mm(register(b0, adc), b0) < 0.5
    # one noisy direction of diffusion weighting: the search alone ends 7 mm away
    series = nib.Nifti1Image.from_filename(next((real_scans / "philips_dwi").glob("*.nii.gz")))
    weights = np.loadtxt(next((real_scans / "philips_dwi").glob("*.bval")))
    grid = Grid(series.shape[:3], np.array(series.affine))
    images = [series.dataobj[..., int(np.argmax(chosen))] for chosen in (weights < 50, weights > 50)]
    plain, weighted = (Scan(np.asarray(image, dtype=np.float32), grid) for image in images)
    assert farthest_mm(register(plain, weighted), plain) < 3


def farthest_mm(found: RigidTransform, scan: Scan) -> float:
    """Largest move over the middle half of a scan, along every axis."""
    ends = [np.array([0.25, 0.75]) * (n - 1) for n in scan.grid.shape]
    corners = scan.grid.to_world(np.array(list(product(*ends))))
    return float(np.linalg.norm(found.apply(corners) - corners, axis=1).max())


def affine_of(path: Path) -> NDArray[np.float64]:
    """Read an ITK affine, points of the common space -> points of the study, as RAS+."""
    with pytest.raises(RegistrationError, match="not rigid"):
        read_tfm(path)
    lines = dict(line.split(": ") for line in path.read_text().splitlines() if ": " in line)
    values, centre = (np.array(lines[k].split(), dtype=float) for k in ("Parameters", "FixedParameters"))
    lps = np.eye(4)
    lps[:3, :3] = values[:9].reshape(3, 3)
    lps[:3, 3] = values[9:] + centre - lps[:3, :3] @ centre
    mirror = np.diag([-1.0, -1.0, 1.0, 1.0])
    return np.asarray(mirror @ lps @ mirror)
