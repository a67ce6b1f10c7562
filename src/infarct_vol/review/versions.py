"""Corrected masks: each a file of its own beside the automatic one, named after what is in it.

A version is never written over and never removed. Who drew it, when and why is in the audit trail, not in
the file. Volumes come from the native grid only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol._version import __version__
from infarct_vol.atlas import BrainMap
from infarct_vol.errors import AuditError, GridMismatchError, ReviewError, ScanRefusedError
from infarct_vol.files import file_sha256, nifti_stem, write_bytes, write_json
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, LesionMask
from infarct_vol.measurement import dice, measure
from infarct_vol.nifti import load_mask, mask_bytes
from infarct_vol.protocol import Protocol
from infarct_vol.records import AtlasRecord, ParticipantRecord, VisitRecord
from infarct_vol.review.model import KEYS_OF, Item, MaskKey, MaskVersion, ReadKind
from infarct_vol.study import Participant

HASH_DIGITS = 12
"""Digits of a version's SHA-256 that stand in its name."""
_DATATYPES = {"dwi": "dwi", "flair": "anat"}
_PARTS: Mapping[MaskKey, str] = {"cavity": "cavity", "new_lesion": "newlesion"}
_NAMES: Mapping[MaskKey, str] = {"cavity": "cavity", "new_lesion": "new lesion"}


@dataclass(frozen=True, eq=False)
class Canvas:
    """The masks of one item and what they lie on: all that a new version is made from.

    Parameters
    ----------
    out
        Output folder of the run.
    item
        Whose masks they are, and of which image.
    grid
        Native grid of the image.
    scan_sha256
        SHA-256 of the image's file.
    automatic
        The masks the run measured; a mask made elsewhere that counted in the run is one of them.
    current
        The masks the reader started from: automatic ones, or versions.
    atlas
        The visit's fit to MNI, which says where components lie.
    connectivity
        Neighbourhood of a connected component: 6, 18 or 26 voxels.
    protocol_sha256
        Hash of the effective protocol.
    """

    out: Path
    item: Item
    grid: Grid
    scan_sha256: str
    automatic: Mapping[MaskKey, LesionMask]
    current: Mapping[MaskKey, LesionMask]
    atlas: AtlasRecord | None
    connectivity: int
    protocol_sha256: str

    def path_of(self, key: MaskKey, digest: str) -> str:
        """Return where a version lies, relative to the output folder."""
        label, session = Participant(self.item.participant_id).label, self.item.session_id
        name = f"{label}_{session}_desc-edit{digest[:HASH_DIGITS]}{_PARTS.get(key, '')}_mask.nii.gz"
        return f"{label}/{session}/{_DATATYPES[self.item.image]}/{name}"


def open_canvas(
    out: Path,
    record: ParticipantRecord,
    item: Item,
    *,
    protocol: Protocol,
    versions: Mapping[MaskKey, MaskVersion] | None = None,
    grid: Grid | None = None,
) -> Canvas:
    """Read the masks of an item, each held against its hash.

    Parameters
    ----------
    out
        Output folder of the run.
    record
        The participant as the run left it.
    item
        An infarct on DWI or FLAIR.
    protocol
        Says how components are connected.
    versions
        Versions the reader starts from; a mask that is not among them is the automatic one.
    grid
        Native grid of the image; needed only where the run made no mask of it.

    Raises
    ------
    ReviewError
        If the item has no masks, or neither a mask nor ``grid`` says what the grid is.
    AuditError
        If a mask is not what it was when it was measured or saved.
    """
    visit = visit_of(record, item)
    if not KEYS_OF[item.image]:
        msg = f"{item.subject} is a registration; a mask belongs to a DWI or a FLAIR"
        raise ReviewError(msg)
    automatic = {
        key: load_kept(out, visit.masks[key], record.outputs.get(visit.masks[key], ""), item=item)
        for key in KEYS_OF[item.image]
        if key in visit.masks
    }
    current = automatic | {key: load_version(out, each, item=item) for key, each in (versions or {}).items()}
    grid = next((mask.grid for mask in current.values()), grid)
    if grid is None:
        msg = f"{item.subject} has no mask to start from, and the grid of its image is not known"
        raise ReviewError(msg)
    scan = visit.scan(item.image)
    return Canvas(
        out=out,
        item=item,
        grid=grid,
        scan_sha256=scan.sha256 if scan else "",
        automatic=automatic,
        current=current,
        atlas=visit.atlas,
        connectivity=protocol.followup.connectivity,
        protocol_sha256=record.protocol_sha256,
    )


def visit_of(record: ParticipantRecord, item: Item) -> VisitRecord:
    """Return the visit an item is of.

    Raises
    ------
    ReviewError
        If the participant has no such session.
    """
    for visit in record.visits:
        if visit.session_id == item.session_id:
            return visit
    known = ", ".join(visit.session_id for visit in record.visits if visit.session_id) or "none"
    msg = f"{item.subject}: no session {item.session_id} was measured; there are {known}"
    raise ReviewError(msg)


def save_edit(
    canvas: Canvas, key: MaskKey, voxels: NDArray[np.bool_], *, kind: ReadKind = "open", tool: str = "page"
) -> tuple[MaskVersion, ...]:
    """Write a corrected mask and return its version, then versions of the parts it cuts.

    Everything is on disk when this returns; the entries of the audit trail are the caller's.

    Parameters
    ----------
    canvas
        What the mask is drawn on.
    key
        Which mask it is.
    voxels
        (I, J, K) bool on the native grid. An empty mask is 0.0 mL.
    kind
        How the case is read.
    tool
        What it was drawn with: ``page`` or ``upload``.

    Returns
    -------
    tuple of MaskVersion
        The edit; after it, cut to fit, a cavity the infarct no longer holds and a new lesion it grew over.

    Raises
    ------
    GridMismatchError
        If the voxels do not fit the grid.
    ReviewError
        If the item has no such mask, a cavity lies outside its infarct, or a new lesion in it.
    AuditError
        If a file of the same name holds something else.
    """
    masks = KEYS_OF[canvas.item.image]
    if key not in masks:
        msg = f"{canvas.item.subject} has no mask '{key}'; it has {', '.join(masks) or 'none'}"
        raise ReviewError(msg)
    if voxels.shape != canvas.grid.shape:
        msg = f"a mask of {voxels.shape} voxels does not fit the image's {canvas.grid.describe()}"
        raise GridMismatchError(msg, where=canvas.item.subject)
    drawn = {key: np.asarray(voxels, dtype=np.bool_)}
    if key == masks[0]:
        drawn |= _cut_parts(canvas, drawn[key])
    else:
        _require_room(canvas, key, drawn[key])
    return tuple(
        _saved(canvas, name, data, kind=kind, tool=tool if name == key else "cut")
        for name, data in drawn.items()
    )


def _cut_parts(canvas: Canvas, infarct: NDArray[np.bool_]) -> dict[MaskKey, NDArray[np.bool_]]:
    """Return the parts that no longer fit an infarct, cut: a cavity lies in it, a new lesion beside it."""
    parts = {key: canvas.current[key].data for key in _PARTS if key in canvas.current}
    cut = {key: part & room_of(key, infarct) for key, part in parts.items()}
    return {key: part for key, part in cut.items() if not np.array_equal(part, parts[key])}


def room_of(key: MaskKey, infarct: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a part may lie, (I, J, K): the cavity is part of the infarct, a new lesion never is."""
    return infarct if key == "cavity" else ~infarct


def _require_room(canvas: Canvas, key: MaskKey, part: NDArray[np.bool_]) -> None:
    infarct = canvas.current.get(KEYS_OF[canvas.item.image][0])
    if infarct is None:
        msg = f"there is no infarct yet that a {_NAMES[key]} could be told from; draw the infarct first"
        raise ReviewError(msg, where=canvas.item.subject)
    outside = int(np.count_nonzero(part & ~room_of(key, infarct.data)))
    if outside:
        amount_ml = outside * canvas.grid.voxel_volume_ml
        voxels = "1 voxel" if outside == 1 else f"{outside} voxels"
        place, remedy = (
            ("outside the infarct", "enlarge the infarct first")
            if key == "cavity"
            else ("in the infarct", "a new lesion lies beside it: take them out of the infarct first")
        )
        msg = f"{voxels} ({amount_ml:.3f} mL) of the {_NAMES[key]} lie {place}; {remedy}"
        raise ReviewError(msg, where=canvas.item.subject)


def _saved(
    canvas: Canvas, key: MaskKey, voxels: NDArray[np.bool_], *, kind: ReadKind, tool: str
) -> MaskVersion:
    mask = LesionMask(voxels, canvas.grid, _identity(canvas.item), method=f"edited: {tool}")
    empty = mask.with_data(np.zeros(canvas.grid.shape, dtype=np.bool_))
    automatic, parent = canvas.automatic.get(key), canvas.current.get(key)
    volume = measure(
        mask, connectivity=canvas.connectivity, brain_map=brain_map_of(canvas.atlas, canvas.item.image)
    )
    content = mask_bytes(mask)
    digest = sha256(content).hexdigest()
    version = MaskVersion(
        key=key,
        kind=kind,
        path=canvas.path_of(key, digest),
        sha256=digest,
        parent_sha256=parent.identity.sha256 if parent else "",
        scan_sha256=canvas.scan_sha256,
        automatic_sha256=automatic.identity.sha256 if automatic else "",
        tool=tool,
        volume_ml=volume.volume_ml,
        voxel_count=volume.voxel_count,
        voxel_volume_mm3=volume.voxel_volume_mm3,
        lesion_count=volume.lesion_count,
        volume_ml_low=volume.volume_ml_low,
        volume_ml_high=volume.volume_ml_high,
        difference_ml=volume.volume_ml - (parent.volume_ml if parent else 0.0),
        automatic_volume_ml=automatic.volume_ml if automatic else 0.0,
        automatic_dice=dice(replace(automatic or empty, grid=canvas.grid), mask),
        components=volume.components,
    )
    return version.model_copy(update={"sidecar_sha256": _write(canvas, version, content)})


def _write(canvas: Canvas, version: MaskVersion, content: bytes) -> str:
    """Write mask and sidecar, return the sidecar's hash; a version that is there already stays as it is."""
    path = canvas.out / version.path
    if path.is_file() and file_sha256(path) != version.sha256:
        msg = f"{version.path} is not what was saved under that name; put it back from a copy"
        raise AuditError(msg)
    # names, dates and reasons are in the trail alone; equal masks have equal sidecars
    facts = {
        "Type": "Lesion",
        "SourceSHA256": version.scan_sha256,
        "AutomaticSHA256": version.automatic_sha256,
        "VolumeML": version.volume_ml,
        "VoxelCount": version.voxel_count,
        "LesionCount": version.lesion_count,
        "ProtocolSHA256": canvas.protocol_sha256,
        "Version": __version__,
    }
    if not path.is_file():
        write_bytes(content, path)
    sidecar = path.with_name(nifti_stem(path) + ".json")
    if not sidecar.is_file():
        write_json(facts, sidecar)
    return file_sha256(sidecar)


# ---- reading ---------------------------------------------------------------------------------------------


def load_version(out: Path, version: MaskVersion, *, item: Item | None = None) -> LesionMask:
    """Read a version; parameters and errors as `load_kept`."""
    return load_kept(out, version.path, version.sha256, item=item)


def load_kept(out: Path, path: str, digest: str, *, item: Item | None = None) -> LesionMask:
    """Read a mask of the output folder and hold it against its hash.

    Parameters
    ----------
    out
        Output folder.
    path
        Relative to it.
    digest
        SHA-256 it had when it was measured or saved.
    item
        Whose it is; goes into messages and into the mask's identity.

    Raises
    ------
    AuditError
        If the file is gone, unreadable or another one.
    """
    try:
        mask = load_mask(out / path, identity=_identity(item) if item else None, sidecar=False)
    except ScanRefusedError as error:
        msg = f"{path} cannot be read ({error.message}); put it back from a copy"
        raise AuditError(msg) from None
    if mask.identity.sha256 != digest:
        msg = (
            f"{path} was altered: it had SHA-256 {digest[:HASH_DIGITS]}, found "
            f"{mask.identity.sha256[:HASH_DIGITS]}; put it back from a copy"
        )
        raise AuditError(msg)
    return mask


def brain_map_of(atlas: AtlasRecord | None, image: str) -> BrainMap | None:
    """Return the map from an image of a visit to MNI; None where no fit stands."""
    if atlas is None or atlas.reason or image not in atlas.matrices:
        return None
    return BrainMap(np.array(atlas.matrices[image]), overlap=atlas.overlap, likeness=atlas.likeness)


def _identity(item: Item) -> Identity:
    modality = "unknown" if item.image == "registration" else item.image
    return Identity(participant_id=item.participant_id, session_id=item.session_id, modality=modality)
