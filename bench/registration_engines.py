"""Register one pair of scans with one engine, in a process of its own, and write the matrix and the time.

The matrix takes points of the fixed scan to points of the moving scan, both in RAS mm.

Example: python bench/registration_engines.py ours fixed.nii.gz moving.nii.gz out.json --threads 2
"""

from __future__ import annotations

import argparse
import io
import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
FLIP_XY = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's LPS to RAS, and back


@dataclass(frozen=True)
class Task:
    """What an engine is asked: two files, the threads it may use, a seed where it takes one."""

    fixed: str
    moving: str
    threads: int
    seed: int


@dataclass(frozen=True)
class Answer:
    """What an engine found; `note` is its own verdict where it has one."""

    matrix: Matrix
    note: str = ""


# An engine imports what it needs and reads both scans; what it returns registers them.
Registration = Callable[[], Answer]


@dataclass(frozen=True)
class Engine:
    """One competitor: its name in tables, the distribution it comes from, and how it starts."""

    title: str
    distribution: str
    start: Callable[[Task], Registration]
    takes_seed: bool = False


def ours(task: Task) -> Registration:
    """Return the product's own call, with its verdict; the threads are the environment's."""
    import infarct_vol as iv

    fixed, moving, register = iv.load_scan(task.fixed), iv.load_scan(task.moving), iv.register

    def run() -> Answer:
        transform = register(fixed, moving)
        verdict = transform.quality.verdict if transform.quality else "none"
        return Answer(np.asarray(transform.matrix), note=str(verdict))

    return run


def simpleitk_scans(task: Task) -> tuple[Any, Any, Any]:
    """Return the module and both scans as float32."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(task.threads)
    fixed, moving = (sitk.ReadImage(path, sitk.sitkFloat32) for path in (task.fixed, task.moving))
    return sitk, fixed, moving


def simpleitk_tutorial(task: Task) -> Registration:
    """Return the recipe of SimpleITK's notebooks: geometric start, 1 % of the voxels, gradient descent."""
    sitk, fixed, moving = simpleitk_scans(task)

    def run() -> Answer:
        start = sitk.CenteredTransformInitializer(
            fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
        )
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(50)
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(0.01, task.seed)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsGradientDescent(
            learningRate=1.0,
            numberOfIterations=100,
            convergenceMinimumValue=1e-6,
            convergenceWindowSize=10,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([2, 1, 0])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        method.SetInitialTransform(start, inPlace=False)
        found = method.Execute(fixed, moving)
        while found.GetName() == "CompositeTransform":
            found = sitk.CompositeTransform(found).GetNthTransform(0)
        return Answer(euler_to_ras(sitk.Euler3DTransform(found)))

    return run


def simpleitk_tuned(task: Task) -> Registration:
    """Return SimpleITK at its best: no gradient filter, moments of Otsu masks, a 4 mm level, a native one."""
    sitk, fixed, moving = simpleitk_scans(task)

    def otsu(image: Any) -> Any:
        mask = sitk.OtsuThreshold(sitk.SmoothingRecursiveGaussian(image, 2.0), 0, 1)
        return sitk.Cast(mask, sitk.sitkFloat32)

    def refine(transform: Any, fixed: Any, moving: Any, *, share: float) -> None:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(32)
        if share < 1:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(share, task.seed)
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 2e-3, 150, 0.5, 1e-10)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(fixed, moving)

    def run() -> Answer:
        moments = sitk.CenteredTransformInitializerFilter.MOMENTS
        start = sitk.CenteredTransformInitializer(otsu(fixed), otsu(moving), sitk.Euler3DTransform(), moments)
        transform = sitk.Euler3DTransform(start)
        smooth_fixed, smooth_moving = (sitk.SmoothingRecursiveGaussian(scan, 2) for scan in (fixed, moving))
        refine(transform, isotropic(sitk, smooth_fixed, spacing_mm=4), smooth_moving, share=1)
        refine(transform, fixed, moving, share=0.1)
        return Answer(euler_to_ras(transform))

    return run


def isotropic(sitk: Any, image: Any, *, spacing_mm: float) -> Any:
    """Resample an image of SimpleITK to cubes over the same field of view."""
    spacing, size = np.array(image.GetSpacing()), np.array(image.GetSize())
    cubes = np.maximum(1, np.ceil(spacing * size / spacing_mm)).astype(int)
    first = (size - cubes * spacing_mm / spacing) / 2 - 0.5 + 0.5 * spacing_mm / spacing
    origin = image.TransformContinuousIndexToPhysicalPoint(first.tolist())
    return sitk.Resample(
        image,
        cubes.tolist(),
        sitk.Transform(),
        sitk.sitkLinear,
        origin,
        [float(spacing_mm)] * 3,
        image.GetDirection(),
        0.0,
        sitk.sitkFloat32,
    )


def ants(task: Task) -> Registration:
    """Return ANTsPy's rigid transform as it is shipped, with a seed."""
    import ants

    fixed, moving = ants.image_read(task.fixed), ants.image_read(task.moving)

    def run() -> Answer:
        found = ants.registration(fixed, moving, "Rigid", random_seed=task.seed, singleprecision=True)
        transform = ants.read_transform(found["fwdtransforms"][0])
        numbers, centre = np.array(transform.parameters), np.array(transform.fixed_parameters)
        return Answer(itk_to_ras(numbers[:9].reshape(3, 3), centre[:3], numbers[9:12]))

    return run


def elastix(task: Task) -> Registration:
    """Return elastix' default rigid parameters with four resolutions and a start by its own."""
    import itk

    fixed, moving = itk.imread(task.fixed, itk.F), itk.imread(task.moving, itk.F)

    def run() -> Answer:
        parameters = itk.ParameterObject.New()
        rigid = parameters.GetDefaultParameterMap("rigid", 4)
        rigid["AutomaticTransformInitialization"] = ["true"]
        rigid["WriteResultImage"] = ["false"]
        rigid["RandomSeed"] = [str(task.seed)]
        parameters.AddParameterMap(rigid)
        method = itk.ElastixRegistrationMethod.New(fixed, moving)
        method.SetParameterObject(parameters)
        method.SetNumberOfThreads(task.threads)
        method.SetLogToConsole(False)
        method.UpdateLargestPossibleRegion()
        found = method.GetTransformParameterObject().GetParameterMap(0)
        numbers = [float(number) for number in found["TransformParameters"]]
        centre = np.array([float(number) for number in found["CenterOfRotationPoint"]])
        is_zyx = "ComputeZYX" in found and found["ComputeZYX"][0] == "true"
        rotation = euler_rotation(*numbers[:3], is_zyx=is_zyx)
        return Answer(itk_to_ras(rotation, centre, np.array(numbers[3:])))

    return run


def greedy(metric: str) -> Callable[[Task], Registration]:
    """Return greedy's rigid mode with a metric, from image centres."""

    def start(task: Task) -> Registration:
        from picsl_greedy import Greedy3D

        _, fixed, moving = simpleitk_scans(task)

        def run() -> Answer:
            engine = Greedy3D()
            command = "-i F M -a -dof 6 -ia-image-centers -n 100x50x10"
            command += f" -m {metric} -threads {task.threads} -o X"
            engine.execute(command, F=fixed, M=moving, X=None, out=io.StringIO())
            return Answer(np.array(engine["X"]))

        return run

    return start


def dipy(task: Task) -> Registration:
    """Return DIPY's usual pipeline: centre of mass, shift, rigid, with mutual information of all voxels."""
    import nibabel as nib
    from dipy.align import affine_registration

    fixed, moving = (nib.Nifti1Image.from_filename(path) for path in (task.fixed, task.moving))
    still, floating = (scan.get_fdata(dtype=np.float32).astype(np.float64) for scan in (fixed, moving))

    def run() -> Answer:
        _, matrix = affine_registration(
            floating,
            still,
            moving_affine=moving.affine,
            static_affine=fixed.affine,
            pipeline=["center_of_mass", "translation", "rigid"],
            nbins=32,
            metric="MI",
            level_iters=[10000, 1000, 100],
            sigmas=[3.0, 1.0, 0.0],
            factors=[4, 2, 1],
            sampling_proportion=None,
        )
        return Answer(np.asarray(matrix))

    return run


def euler_to_ras(transform: Any) -> Matrix:
    """Return the RAS matrix of SimpleITK's Euler transform."""
    rotation = np.array(transform.GetMatrix()).reshape(3, 3)
    return itk_to_ras(rotation, np.array(transform.GetCenter()), np.array(transform.GetTranslation()))


def itk_to_ras(rotation: Matrix, centre: Matrix, translation: Matrix) -> Matrix:
    """Return the RAS matrix of a rotation about a centre and a translation, which are in ITK's LPS."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation + centre - rotation @ centre
    return FLIP_XY @ matrix @ FLIP_XY


def euler_rotation(x: float, y: float, z: float, *, is_zyx: bool) -> Matrix:
    """Return the 3x3 rotation of ITK's Euler angles (radians): Z X Y unless the order is said to be Z Y X."""
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(angle), np.sin(angle)) for angle in (x, y, z))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Matrix = about_z @ about_y @ about_x if is_zyx else about_z @ about_x @ about_y
    return rotation


ENGINES = {
    "ours": Engine("infarct-vol", "infarct-vol", ours),
    "sitk_tutorial": Engine("SimpleITK, tutorial settings", "SimpleITK", simpleitk_tutorial, takes_seed=True),
    "sitk_tuned": Engine("SimpleITK, tuned", "SimpleITK", simpleitk_tuned, takes_seed=True),
    "ants": Engine("ANTsPy rigid", "antspyx", ants, takes_seed=True),
    "elastix": Engine("itk-elastix rigid", "itk-elastix", elastix, takes_seed=True),
    "greedy_nmi": Engine("greedy NMI", "picsl-greedy", greedy("NMI")),
    "greedy_ncc": Engine("greedy NCC 2x2x2", "picsl-greedy", greedy("NCC 2x2x2")),
    "dipy": Engine("DIPY rigid", "dipy", dipy),
}


def cpu_seconds() -> float:
    """Return user and system time of this process, all threads and finished children, from its start."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Register once and write what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("fixed")
    parser.add_argument("moving")
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    task = Task(options.fixed, options.moving, options.threads, options.seed)
    register = ENGINES[options.engine].start(task)
    loaded_cpu_s = cpu_seconds()
    answer = register()
    report = {
        "matrix": answer.matrix.tolist(),
        "note": answer.note,
        "load_cpu_s": loaded_cpu_s,
        "register_cpu_s": cpu_seconds() - loaded_cpu_s,
    }
    options.out.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
