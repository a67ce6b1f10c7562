"""The parts of the registration engine, each against what it must be."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

from infarct_vol.geometry import Grid
from infarct_vol.images import Scan
from infarct_vol.registration.acceleration import Accelerator
from infarct_vol.registration.engine import Side, likeness, refine
from infarct_vol.registration.head import find_head
from infarct_vol.registration.knots import Knots
from infarct_vol.registration.motion import adjoint, inverted, moved, turned
from infarct_vol.registration.pyramid import Pyramid, prepare
from infarct_vol.registration.remainder import remaining_displacement
from infarct_vol.registration.sampling import sample
from infarct_vol.registration.search import better, sides_at
from infarct_vol.registration.shading import coil_factor, flattened_sides, polynomial
from infarct_vol.settings import RegistrationSettings

SHAPE = (80, 96, 72)
SPACING_MM = 2.0
SETTINGS = RegistrationSettings(
    levels_mm=(8.0, 4.0, 2.0), points_coarse=2000, points_fine=8000, points_finest=20000
)


def grid() -> Grid:
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    return Grid(SHAPE, affine)


def folded_ball() -> Scan:
    """Return a ball of folded bright tissue in air."""
    x, y, z = SPACING_MM * (np.indices(SHAPE) - (np.array(SHAPE)[:, None, None, None] - 1) / 2)
    ball = (x / 66) ** 2 + (y / 80) ** 2 + (z / 60) ** 2 < 1
    folds = ndi.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 2.0)
    values = np.where(ball, 100 + 40 * folds / folds.std(), 0)
    return Scan(np.clip(ndi.gaussian_filter(values, 0.6), 0, None), grid())


@pytest.fixture(scope="module")
def ball() -> Scan:
    return folded_ball()


@pytest.fixture(scope="module")
def pyramid(ball: Scan) -> Pyramid:
    return prepare(ball, settings=SETTINGS)


def test_samples_and_gradients_are_those_of_the_trilinear_interpolant() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 6, 7)).astype(np.float32)
    index = (rng.uniform(0.2, 0.8, size=(3, 40)) + rng.integers(0, 4, size=(3, 40))).astype(np.float32)
    found = sample(values, index, gradient=True)
    expected = ndi.map_coordinates(values.astype(float), index.astype(float), order=1)
    assert np.allclose(found.values, expected, atol=1e-5)
    assert found.inside.all()
    for axis in range(3):
        step = np.zeros((3, 1), dtype=np.float32)
        step[axis] = 0.05
        rise = sample(values, index + step, gradient=False).values
        fall = sample(values, index - step, gradient=False).values
        assert np.allclose((rise - fall) / 0.1, found.gradient[axis], atol=1e-4)


def test_samples_outside_take_the_nearest_value_and_say_so() -> None:
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    index = np.array([[-1.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], dtype=np.float32)
    found = sample(values, index, gradient=False)
    assert found.values.tolist() == [0.0, 13.0, 26.0]
    assert found.inside.tolist() == [False, True, True]


def test_expected_intensity_is_the_least_squares_fit_of_the_hat_functions() -> None:
    rng = np.random.default_rng(2)
    intensities = rng.uniform(0, 1, 300).astype(np.float32)
    knots = Knots(intensities, knots=8)
    weights = rng.uniform(0.1, 1, (2, 300)).astype(np.float32)
    targets = rng.normal(size=(2, 300)).astype(np.float32)
    found = knots.expected(weights, targets)
    hats = knots.at_points(np.eye(knots.size)).T
    assert np.allclose(hats.sum(axis=1), 1)
    for row in range(2):
        root = np.sqrt(weights[row])[:, None]
        solution, *_ = np.linalg.lstsq(hats * root, targets[row] * root[:, 0], rcond=None)
        assert np.allclose(found[row], hats @ solution, atol=1e-4)


def test_totals_at_knots_lose_nothing_and_follow_the_shares() -> None:
    knots = Knots(np.array([0.0, 0.5, 1.0, 1.25, 2.0], dtype=np.float32), knots=3)
    # knots at 0, 1 and 2: a point half-way between two gives each half of what it carries
    found = knots.totals(np.array([[1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 8.0, 0.0, 4.0, 0.0]], dtype=np.float32))
    assert found.tolist() == [[1.5, 2.25, 1.25], [4.0, 7.0, 1.0]]


def test_one_transform_does_not_see_the_other() -> None:
    intensities = np.linspace(0, 1, 100, dtype=np.float32)
    knots = Knots(intensities, knots=6)
    first = np.sin(7 * intensities)[None]
    both = knots.expected(np.ones((2, 100), np.float32), np.concatenate((first, 9 * first)))
    alone = knots.expected(np.ones((1, 100), np.float32), first)
    assert np.array_equal(both[:1], alone)
    assert np.allclose(both[1:], 9 * alone, atol=1e-4)


def test_a_motion_seen_from_the_other_frame_is_the_same_motion() -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned(np.array([0.3, -0.5, 0.2])), [4.0, 5.0, -6.0]
    for transform in (matrix, matrix @ np.diag([-1.0, 1.0, 1.0, 1.0])):
        motion = 1e-6 * np.array([1.0, 2.0, -1.0, 0.3, 0.1, -0.2])
        after = moved(transform, motion)
        before = transform @ moved(np.eye(4), adjoint(transform) @ motion)
        assert np.allclose(after, before, atol=1e-10)


def test_acceleration_solves_a_linear_series_in_a_few_steps() -> None:
    shrink = np.diag([0.9, 0.8, 0.7, 0.0, 0.0, 0.0])
    place, accelerator = np.array([0.5, -0.4, 0.3, 0.0, 0.0, 0.0]), Accelerator(np.ones(6))
    for _ in range(8):
        place = place + accelerator.improved(shrink @ place - place)
    # plain steps would leave 0.9 ** 8 = 43 % of it
    assert np.linalg.norm(place) < 0.01


def test_many_transforms_are_refined_as_each_would_be_alone(pyramid: Pyramid) -> None:
    side = Side(pyramid.levels[4.0].thinned(1500), knot_count=16)
    offsets = np.array([[3.0, 0, 0, 0, 0, 0.05], [0, -2.0, 1.0, 0.03, 0, 0]])
    starts = np.array([moved(np.eye(4), offset) for offset in offsets])
    together = refine((side, side), starts, tolerance_mm=0.01, max_steps=30)
    assert together.converged.all()
    for start, found in zip(starts, together.matrices, strict=True):
        alone = refine((side, side), start[None], tolerance_mm=0.01, max_steps=30).matrices[0]
        assert np.allclose(found, alone, atol=2e-3)
        assert np.allclose(found, np.eye(4), atol=5e-3)


def test_likeness_is_highest_where_the_images_agree(pyramid: Pyramid) -> None:
    side = Side(pyramid.levels[4.0], knot_count=16)
    shifts = [moved(np.eye(4), np.array([mm, 0, 0, 0, 0, 0])) for mm in (0.0, 2.0, 4.0, 400.0)]
    found = likeness(side, side.level, np.array(shifts))
    assert found.nats[0] > found.nats[1] > found.nats[2] > found.nats[3] == 0
    assert found.inside[3] == 0


def test_a_climb_that_led_away_counts_from_its_start(pyramid: Pyramid) -> None:
    sides = sides_at(pyramid, pyramid, level_mm=4.0, knots=16, count=1500)
    near, nearer, far = (moved(np.eye(4), np.array([mm, 0, 0, 0, 0, 0])) for mm in (3.0, 1.0, 9.0))
    found = better(np.array([far, nearer]), np.array([near, far]), sides)
    assert [start.matrix[0, 3] for start in found] == [1.0, 3.0]
    assert found[0].score > found[1].score


def test_slow_shading_between_visits_does_not_pull_the_fit(ball: Scan) -> None:
    x, y, z = (np.indices(SHAPE) - 40) / 40
    shaded = ball.with_data(ball.data * np.exp(0.3 * x - 0.2 * y * z + 0.2 * z**2))
    levels = [prepare(scan, settings=SETTINGS).levels[2.0] for scan in (ball, shaded)]
    centres = [prepare(scan, settings=SETTINGS).centre for scan in (ball, shaded)]
    start = moved(np.eye(4), np.concatenate((centres[0] - centres[1], np.zeros(3))))
    errors = []
    for sides in (
        flattened_sides(*levels, start, knots=48),
        tuple(Side(level, knot_count=48) for level in levels),
    ):
        end = refine((sides[0], sides[1]), start[None], tolerance_mm=0.001, max_steps=30).matrices[0]
        errors.append(np.abs(end - start)[:3].max())
    assert errors[0] < 0.01
    assert errors[1] > 2 * errors[0]


def test_a_factor_that_no_coil_has_is_not_divided_by() -> None:
    slow = polynomial(np.linspace([-80, 0, 0], [80, 0, 0], 5, axis=1, dtype=np.float32))
    along_x = np.all(slow == [-1, -0.5, 0, 0.5, 1], axis=1).astype(np.float32)
    assert along_x.sum() == 1
    assert coil_factor(0.4 * along_x, slow) == pytest.approx([0.6, 0.8, 1.0, 1.2, 1.4])
    # a line through zero at one end
    assert coil_factor(2 * along_x, slow) == pytest.approx([0.5, 0.5, 1.0, 2.0, 2.0])


def test_a_bent_brain_is_measured_after_the_rigid_fit(ball: Scan) -> None:
    index = np.indices(SHAPE).astype(np.float64)
    x, y, z = SPACING_MM * (index - (np.array(SHAPE)[:, None, None, None] - 1) / 2)
    bend = 3.0 * ((x / 60) ** 2 - (z / 50) ** 2)
    bent = ball.with_data(ndi.map_coordinates(ball.data, [index[0], index[1] + bend / 2, index[2]], order=1))
    first = prepare(ball, settings=SETTINGS)
    for scan, low, high in ((ball, 0.0, 0.1), (bent, 0.6, 1.6)):
        second = prepare(scan, settings=SETTINGS)
        start = moved(np.eye(4), np.concatenate((first.centre - second.centre, np.zeros(3))))
        sides = flattened_sides(first.levels[2.0], second.levels[2.0], start, knots=48)
        end = refine(sides, start[None], tolerance_mm=0.01, max_steps=30).matrices[0]
        assert low <= remaining_displacement(sides, end).typical < high


def test_thick_slices_get_slices_in_between() -> None:
    affine = np.diag([1.5, 1.5, 6.0, 1.0])
    shape = (100, 120, 24)
    index = np.indices(shape)
    x, y, z = (index[a] * affine[a, a] - (shape[a] - 1) * affine[a, a] / 2 for a in range(3))
    values = np.where((x / 60) ** 2 + (y / 75) ** 2 + (z / 60) ** 2 < 1, 100 + 30 * np.sin(z / 8), 0)
    level = prepare(Scan(values, Grid(shape, affine)), settings=RegistrationSettings()).levels[1.0]
    assert level.affine[2, 2] == pytest.approx(1.5)
    at = inverted(level.affine) @ np.array([0.0, 0.0, 3.0, 1.0])
    read = sample(level.values, at[:3, None].astype(np.float32), gradient=False).values[0]
    # cubic slices follow the wave where a straight line between 6 mm slices would miss it by 2.6
    centre = find_head(values.astype(np.float32), affine, where="").centre[2]
    assert read == pytest.approx(100 + 30 * np.sin((3.0 + centre - (shape[2] - 1) * 3.0) / 8), abs=1.5)


def test_the_same_bytes_on_any_number_of_threads_and_processes() -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1])\n"
        "from test_registration_engine import folded_ball, far_ball\n"
        "from infarct_vol.registration import register\n"
        "found = register(folded_ball(), far_ball())\n"
        "print(found.matrix.tobytes().hex(), sorted(found.quality.metrics.items()))"
    )
    here = str(Path(__file__).parent)
    printed = []
    for threads in ("1", "2", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
        environment = {"PATH": "/usr/bin:/bin"} | dict.fromkeys(names, threads)
        done = subprocess.run(
            [sys.executable, "-c", code, here], env=environment, check=True, capture_output=True, text=True
        )
        printed.append(done.stdout)
    assert printed[0] == printed[1] == printed[2]
    assert len(printed[0]) > 200


def far_ball() -> Scan:
    scan = folded_ball()
    affine = moved(np.eye(4), np.array([10.0, -5.0, 8.0, 0.1, 0.2, -0.1])) @ scan.grid.affine
    noise: NDArray[np.float64] = np.random.default_rng(3).normal(0, 4, SHAPE)
    return replace(scan, data=np.abs(scan.data + noise), grid=Grid(SHAPE, affine))
