from __future__ import annotations

import hashlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from review_trials import (
    BASELINE_DWI,
    BASELINE_MOVED,
    GRID,
    INFARCTS,
    MONTH3,
    PROTOCOL,
    block,
    write_review_trial,
)
from strategies import masks

from infarct_vol.errors import AuditError, GridMismatchError, ReviewError
from infarct_vol.external import find_masks, unused_masks
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.ledger import with_sidecar
from infarct_vol.measurement import measure
from infarct_vol.nifti import load_mask, mask_bytes, save_array, save_mask
from infarct_vol.records import AtlasRecord
from infarct_vol.review.model import Item
from infarct_vol.review.orientation import canonical
from infarct_vol.review.versions import brain_map_of, load_version, open_canvas, save_edit
from infarct_vol.study import Participant, Session


@pytest.fixture
def trial(tmp_path):
    return tmp_path, write_review_trial(tmp_path)


def canvas_of(trial, item, **given):
    out, record = trial
    return open_canvas(out, record, item, protocol=PROTOCOL, **given)


# ---------------------------------------------------------------- orientation


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_every_orientation_is_shown_to_the_right_to_the_front_and_up(axes, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.diag([2.0, 3.0, 5.0])[:, axes] * np.array(signs)
    affine[:3, 3] = [7.0, -8.0, 9.0]
    grid = Grid((4, 5, 6), affine)
    data = np.arange(120).reshape(4, 5, 6)

    display = canonical(grid)
    shown = display.shown(data)

    assert display.grid.axis_codes == "RAS"
    assert np.allclose(display.grid.spacing_mm, [2.0, 3.0, 5.0])
    assert shown.shape == display.grid.shape
    assert np.array_equal(display.native(shown), data)
    for index in ((0, 0, 0), (3, 1, 2)):
        place = display.grid.to_index(grid.to_world(index))
        assert shown[tuple(np.rint(place).astype(int))] == data[index]


@given(masks())
@settings(max_examples=60, deadline=None)
def test_an_oblique_mask_is_turned_and_turned_back_without_loss(mask):
    display = canonical(mask.grid)
    shown = display.shown(mask.data)

    assert np.array_equal(display.native(shown), mask.data)
    assert display.grid.voxel_volume_ml == pytest.approx(mask.grid.voxel_volume_ml)
    world = {tuple(np.round(mask.grid.to_world(index), 4)) for index in np.argwhere(mask.data)}
    assert {tuple(np.round(display.grid.to_world(index), 4)) for index in np.argwhere(shown)} == world


def test_the_bytes_of_a_mask_are_those_of_its_file(tmp_path):
    mask = LesionMask(INFARCTS["ses-BL"], GRID)
    save_mask(mask, tmp_path / "mask.nii.gz")
    assert (tmp_path / "mask.nii.gz").read_bytes() == mask_bytes(mask)


def test_a_scaled_array_is_written_as_before(tmp_path):
    data = np.linspace(0, 10, 24, dtype=np.float32).reshape(2, 3, 4)
    save_array(data, Grid((2, 3, 4), np.eye(4)), tmp_path / "a.nii", dtype="int16", slope=0.5, intercept=1.0)
    content = (tmp_path / "a.nii").read_bytes()
    assert np.frombuffer(content, "<f4", count=2, offset=112).tolist() == [0.5, 1.0]
    assert np.frombuffer(content, "<i2", offset=352)[:1].tolist() == [-2]


# ---------------------------------------------------------------- a version


def test_an_edit_is_a_new_file_named_after_its_content_and_measured(trial):
    out, record = trial
    smaller = INFARCTS["ses-BL"] & ~block((0, 1), (0, 10), (0, 1))
    (version,) = save_edit(canvas_of(trial, BASELINE_DWI), "dwi", smaller)

    digest = hashlib.sha256((out / version.path).read_bytes()).hexdigest()
    assert version.sha256 == digest
    assert version.path == f"sub-001/ses-BL/dwi/sub-001_ses-BL_desc-edit{digest[:12]}_mask.nii.gz"
    assert version.voxel_count == 190
    assert version.volume_ml == pytest.approx(3.8)
    assert version.difference_ml == pytest.approx(-0.2)
    assert version.automatic_volume_ml == pytest.approx(4.0)
    assert version.automatic_dice == pytest.approx(2 * 190 / 390)
    assert version.lesion_count == 1
    assert version.volume_ml_low <= 3.8 <= version.volume_ml_high
    assert version.components == measure(LesionMask(smaller, GRID)).components
    automatic = record.visits[0].masks["dwi"]
    assert version.parent_sha256 == version.automatic_sha256 == record.outputs[automatic]
    assert version.scan_sha256 == "d" * 64
    assert np.array_equal(load_version(out, version).data, smaller)
    assert load_mask(out / automatic).voxel_count == 200


def test_the_sidecar_names_no_reader_and_is_the_same_again(trial):
    out, _ = trial
    (version,) = save_edit(canvas_of(trial, BASELINE_DWI), "dwi", block((0, 5), (0, 5), (0, 1)))
    _, sidecar = with_sidecar(out / version.path)
    before = sidecar.read_bytes()
    facts = json.loads(before)
    assert facts["VoxelCount"] == 25
    assert facts["VolumeML"] == pytest.approx(0.5)
    assert not {"Reader", "Who", "Reason", "UTC"} & set(facts)
    save_edit(
        canvas_of(trial, BASELINE_DWI), "dwi", block((0, 5), (0, 5), (0, 1)), kind="read", tool="upload"
    )
    assert sidecar.read_bytes() == before


def test_an_edit_of_an_edit_states_the_change_from_its_parent(trial):
    (first,) = save_edit(canvas_of(trial, BASELINE_DWI), "dwi", block((0, 10), (0, 5), (0, 1)))
    canvas = canvas_of(trial, BASELINE_DWI, versions={"dwi": first})
    (second,) = save_edit(canvas, "dwi", block((0, 10), (0, 6), (0, 1)))
    assert (second.parent_sha256, second.difference_ml) == (first.sha256, pytest.approx(0.2))
    assert second.automatic_volume_ml == pytest.approx(4.0)
    assert (trial[0] / first.path).is_file()


def test_an_empty_mask_is_measured_and_is_0_ml(trial):
    (version,) = save_edit(canvas_of(trial, BASELINE_DWI), "dwi", np.zeros(GRID.shape, dtype=bool))
    assert (version.volume_ml, version.voxel_count, version.lesion_count) == (0.0, 0, 0)
    assert version.components == ()
    assert version.automatic_dice == 0.0


def test_the_same_voxels_again_are_the_automatic_mask(trial):
    (version,) = save_edit(canvas_of(trial, BASELINE_DWI), "dwi", INFARCTS["ses-BL"])
    assert version.automatic_dice == 1.0
    assert version.difference_ml == 0.0


def test_a_smaller_infarct_cuts_its_cavity(trial):
    out, _ = trial
    # of the cavity's 50 voxels, those of the rows 0 to 3 stay
    infarct, cavity = save_edit(canvas_of(trial, MONTH3), "flair", block((0, 10), (0, 4), (0, 1)))
    assert (infarct.key, infarct.tool, infarct.volume_ml) == ("flair", "page", pytest.approx(0.8))
    assert (cavity.key, cavity.tool, cavity.volume_ml) == ("cavity", "cut", pytest.approx(0.4))
    assert cavity.path.endswith(f"desc-edit{cavity.sha256[:12]}cavity_mask.nii.gz")
    assert not np.any(load_version(out, cavity).data & ~load_version(out, infarct).data)


def test_a_larger_infarct_cuts_nothing(trial):
    versions = save_edit(canvas_of(trial, MONTH3), "flair", np.ones(GRID.shape, dtype=bool))
    assert [version.key for version in versions] == ["flair"]


def test_a_part_outside_the_infarct_is_refused(trial):
    canvas = canvas_of(trial, MONTH3)
    with pytest.raises(
        ReviewError, match=r"24 voxels \(0\.480 mL\) of the cavity lie outside the infarct; enl"
    ):
        save_edit(canvas, "cavity", block((0, 12), (10, 12), (0, 1)))


def test_a_new_lesion_lies_beside_the_infarct(trial):
    canvas = canvas_of(trial, MONTH3)
    (beside,) = save_edit(canvas, "new_lesion", block((11, 12), (11, 12), (3, 4)))
    assert beside.path.endswith("newlesion_mask.nii.gz")
    assert beside.volume_ml == pytest.approx(0.02)
    with pytest.raises(ReviewError, match=r"1 voxel \(0\.020 mL\) of the new lesion lie in the infarct"):
        save_edit(canvas, "new_lesion", block((9, 10), (9, 10), (0, 1)))


def test_correcting_the_infarct_leaves_a_new_lesion_elsewhere_alone(trial):
    (beside,) = save_edit(canvas_of(trial, MONTH3), "new_lesion", block((11, 12), (11, 12), (2, 4)))
    held = canvas_of(trial, MONTH3, versions={"new_lesion": beside})
    smaller = save_edit(held, "flair", block((0, 10), (0, 10), (0, 1)))
    assert "new_lesion" not in {version.key for version in smaller}
    larger = save_edit(held, "flair", np.pad(np.ones((12, 12, 3), dtype=bool), ((0, 0), (0, 0), (0, 1))))
    (cut,) = [version for version in larger if version.key == "new_lesion"]
    # one of its two voxels lies in what became infarct
    assert (cut.tool, cut.volume_ml) == ("cut", pytest.approx(0.02))


def test_a_part_is_held_against_the_infarct_the_reader_started_from(trial):
    larger, *_ = save_edit(canvas_of(trial, MONTH3), "flair", np.ones(GRID.shape, dtype=bool))
    (cavity,) = save_edit(
        canvas_of(trial, MONTH3, versions={"flair": larger}), "cavity", block((0, 12), (10, 12), (0, 1))
    )
    assert cavity.volume_ml == pytest.approx(0.48)


def test_an_image_without_a_mask_can_be_drawn_on_where_its_grid_is_known(trial):
    out, record = trial
    bare = record.visits[2].model_copy(update={"masks": {}})
    record = record.model_copy(update={"visits": (*record.visits[:2], bare)})
    item = Item("sub-001", "ses-M06", "flair")
    with pytest.raises(ReviewError, match="has no mask to start from"):
        open_canvas(out, record, item, protocol=PROTOCOL)
    canvas = open_canvas(out, record, item, protocol=PROTOCOL, grid=GRID)
    (version,) = save_edit(canvas, "flair", block((0, 5), (0, 5), (0, 2)))
    assert (version.volume_ml, version.automatic_sha256, version.automatic_dice) == (1.0, "", 0.0)


def test_what_does_not_fit_is_refused(trial):
    canvas = canvas_of(trial, BASELINE_DWI)
    with pytest.raises(GridMismatchError, match=r"\(12, 12, 3\) voxels does not fit the image's 12x12x4"):
        save_edit(canvas, "dwi", np.zeros((12, 12, 3), dtype=bool))
    with pytest.raises(ReviewError, match="has no mask 'cavity'; it has dwi"):
        save_edit(canvas, "cavity", np.zeros(GRID.shape, dtype=bool))
    with pytest.raises(ReviewError, match="is a registration"):
        canvas_of(trial, BASELINE_MOVED)
    with pytest.raises(ReviewError, match="no session ses-M99 was measured; there are ses-BL, ses-M03"):
        canvas_of(trial, Item("sub-001", "ses-M99", "flair"))


def test_an_altered_file_is_named(trial):
    out, record = trial
    (version,) = save_edit(canvas_of(trial, BASELINE_DWI), "dwi", block((0, 5), (0, 5), (0, 1)))
    save_mask(LesionMask(block((0, 4), (0, 5), (0, 1)), GRID), out / version.path)
    with pytest.raises(
        AuditError, match=rf"{version.path} was altered: it had SHA-256 {version.sha256[:12]}"
    ):
        load_version(out, version)
    with pytest.raises(AuditError, match=f"{version.path} is not what was saved"):
        save_edit(canvas_of(trial, BASELINE_DWI), "dwi", block((0, 5), (0, 5), (0, 1)))
    (out / version.path).write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(AuditError, match=f"{version.path} cannot be read"):
        load_version(out, version)
    (out / record.visits[1].masks["cavity"]).unlink()
    with pytest.raises(AuditError, match=r"desc-cavity_mask\.nii\.gz cannot be read"):
        canvas_of(trial, MONTH3)


def test_components_are_located_by_the_fit_of_the_visit():
    rows = ((1.0, 0.0, 0.0, 2.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    fit = AtlasRecord(template="T", image="BL FLAIR", overlap=0.95, likeness=0.8, matrices={"flair": rows})
    found = brain_map_of(fit, "flair")
    assert found is not None
    assert found.apply(np.zeros(3)).tolist() == [2.0, 0.0, 0.0]
    assert brain_map_of(fit, "dwi") is None
    assert brain_map_of(fit.model_copy(update={"reason": "poor"}), "flair") is None
    assert brain_map_of(None, "flair") is None


def test_versions_are_no_masks_made_elsewhere(trial):
    out, _ = trial
    save_edit(canvas_of(trial, MONTH3), "flair", block((0, 10), (0, 4), (0, 1)))
    participant = Participant("sub-001", sessions=(Session("ses-M03"), Session("ses-BL"), Session("ses-M06")))
    names = [path.name for path in find_masks(out, participant)]
    assert len(names) == 4
    assert all("desc-infarct" in name for name in names)
    assert unused_masks(out, [participant]) == ()
