from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from infarct_vol.errors import RegistrationError
from infarct_vol.registration import RegistrationQuality, RigidTransform, read_tfm, write_tfm

POINTS = np.array([[0.0, 0, 0], [50, -30, 20], [-70, 80, -60]])


def rigid(degrees: float, shift: tuple[float, float, float]) -> RigidTransform:
    matrix = np.eye(4)
    axis = np.array([1.0, 2.0, -0.5]) / np.linalg.norm([1.0, 2.0, -0.5])
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix()
    matrix[:3, 3] = shift
    return RigidTransform(matrix)


def lps(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points * [-1, -1, 1]


def test_inverse_and_composition_undo_each_other() -> None:
    transform = rigid(37.0, (12.0, -5.0, 60.0))
    assert np.allclose(transform.inverse().apply(transform.apply(POINTS)), POINTS, atol=1e-10)
    assert transform.compose(transform.inverse()).angle_deg == pytest.approx(0.0, abs=1e-6)
    both = transform.compose(rigid(10.0, (1.0, 2.0, 3.0)))
    expected = rigid(10.0, (1.0, 2.0, 3.0)).apply(transform.apply(POINTS))
    assert np.allclose(both.apply(POINTS), expected, atol=1e-9)


def test_angle_and_shift_are_as_made() -> None:
    transform = rigid(37.0, (3.0, 0.0, 4.0))
    assert transform.angle_deg == pytest.approx(37.0)
    assert transform.shift_mm() == pytest.approx(5.0)
    assert rigid(0.001, (0, 0, 0)).angle_deg == pytest.approx(0.001, rel=1e-6)
    moved = transform.distance_mm(RigidTransform.identity(), [[0.0, 0.0, 0.0]])
    assert moved == pytest.approx([5.0])


@pytest.mark.parametrize(
    ("matrix", "match"),
    [
        (np.diag([1.1, 1, 1, 1]), "not a rotation"),
        (np.diag([-1.0, 1, 1, 1]), "determinant is -1"),
        (np.full((4, 4), np.nan), "finite 4x4"),
        (np.eye(3), "finite 4x4"),
        (np.eye(4) + np.eye(4)[[3, 0, 1, 2]] * [[0], [0], [0], [1]], "last row"),
    ],
)
def test_what_is_not_rigid_is_refused(matrix: NDArray[np.float64], match: str) -> None:
    with pytest.raises(RegistrationError, match=match):
        RigidTransform(matrix)


def test_itk_reads_the_same_points(tmp_path: Path) -> None:
    transform = rigid(37.0, (12.0, -5.0, 60.0))
    write_tfm(transform, tmp_path / "x.tfm")
    itk = sitk.ReadTransform(str(tmp_path / "x.tfm"))
    for point in POINTS:
        found = lps(np.array(itk.TransformPoint(lps(point).tolist())))
        assert np.allclose(found, transform.apply(point), atol=1e-9)


def test_nitransforms_reads_the_same_points(tmp_path: Path) -> None:
    linear = pytest.importorskip("nitransforms.linear", reason="nitransforms is not installed")
    transform = rigid(37.0, (12.0, -5.0, 60.0))
    write_tfm(transform, tmp_path / "x.tfm")
    found = linear.Affine.from_filename(tmp_path / "x.tfm", fmt="itk")
    assert np.allclose(found.map(POINTS), transform.apply(POINTS), atol=1e-6)


def test_written_transform_reads_back_and_is_stable(tmp_path: Path) -> None:
    transform = rigid(170.0, (12.0, -5.0, 60.0))
    write_tfm(transform, tmp_path / "x.tfm")
    again = read_tfm(tmp_path / "x.tfm")
    assert np.allclose(again.matrix, transform.matrix, atol=1e-14)
    write_tfm(transform, tmp_path / "y.tfm")
    assert (tmp_path / "x.tfm").read_bytes() == (tmp_path / "y.tfm").read_bytes()


def test_a_centre_of_rotation_written_by_itk_is_understood(tmp_path: Path) -> None:
    itk = sitk.AffineTransform(3)
    itk.SetMatrix(rigid(20.0, (0, 0, 0)).matrix[:3, :3].ravel().tolist())
    itk.SetCenter([10.0, 20.0, 30.0])
    itk.SetTranslation([1.0, 2.0, 3.0])
    sitk.WriteTransform(itk, str(tmp_path / "x.tfm"))
    transform = read_tfm(tmp_path / "x.tfm")
    for point in POINTS:
        expected = lps(np.array(itk.TransformPoint(lps(point).tolist())))
        assert np.allclose(transform.apply(point), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no transform"),
        ("Transform: Euler3DTransform_double_3_3\nParameters: 0 0 0 0 0 0\n", "expected one of kind"),
        ("Transform: AffineTransform_double_3_3\nParameters: 1 0 0\n", "12 finite numbers"),
        ("Transform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 0 0 nan\n", "12 finite"),
        ("Transform: AffineTransform_double_3_3\nParameters: 1.1 0 0 0 1 0 0 0 1 0 0 0\n", "not rigid"),
        ("Transform: AffineTransform_double_3_3\nParameters: -1 0 0 0 1 0 0 0 1 0 0 0\n", "not rigid"),
    ],
)
def test_files_that_are_no_rigid_transform_are_refused(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "x.tfm"
    path.write_text("#Insight Transform File V1.0\n" + text)
    with pytest.raises(RegistrationError, match=match):
        read_tfm(path)
    with pytest.raises(RegistrationError, match="no readable transform"):
        read_tfm(tmp_path / "absent.tfm")


def test_a_transform_that_failed_is_not_passed_on() -> None:
    good = RigidTransform(np.eye(4), RegistrationQuality("WARN", ("look",)))
    assert good.passed("a to b") is good
    bad = RigidTransform(np.eye(4), RegistrationQuality("FAIL", ("the scans are mirrored",)))
    with pytest.raises(
        RegistrationError, match="sub-1: registration of a to b failed its gate: the scans are"
    ):
        bad.passed("a to b", where="sub-1")


def test_a_doubtful_registration_has_a_sentence_for_the_reader() -> None:
    def judged(verdict: str, *reasons: str) -> tuple[str, ...]:
        return RigidTransform(np.eye(4), RegistrationQuality(verdict, reasons)).doubts  # type: ignore[arg-type]

    assert judged("WARN", "the match is weak", "look") == (
        "the registration to the baseline is doubtful: the match is weak; look",
    )
    assert judged("PASS") == ()
    assert RigidTransform(np.eye(4)).doubts == ()
