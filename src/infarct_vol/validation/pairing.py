"""Which measurement is compared with which: two masks, two folders of masks, two tables of volumes.

What has no twin is named, never left out in silence.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from infarct_vol.errors import UsageError
from infarct_vol.external import IMAGE_SUFFIXES
from infarct_vol.files import is_nifti_name, nifti_stem
from infarct_vol.images import LesionMask
from infarct_vol.nifti import SAVE_AS_NIFTI
from infarct_vol.records import VALUED_STATUSES, VolumeRow
from infarct_vol.tables.components import ComponentRow
from infarct_vol.tables.read import TABLE_FILES, read_stated_table, read_table
from infarct_vol.validation.groups import REGIONS, Region

MaskLike = LesionMask | Path | str

_KEY = ("participant_id", "visit", "parameter")
_NEEDED = (*_KEY, "volume_ml")
_KINDS = {"newlesion": "new_lesion", "cavity": "cavity"}
"""BIDS label ``desc-`` of a mask that is not the infarct -> its kind; every other mask is the infarct."""
_INFARCT_IN = {"dwi": "infarct_dwi", "anat": "infarct_flair"}
"""Folder of an infarct mask -> parameter: infarcts on DWI and on FLAIR are different quantities."""
_MASK_SUFFIXES = ("_mask", "_msk")
_NOT_A_LESION = "desc-brain"


@dataclass(frozen=True)
class Drawn:
    """A mask, or the file it is read from; its volume is its own."""

    name: str
    mask: LesionMask | Path


@dataclass(frozen=True)
class Stated:
    """A volume in mL that a table states, and the file of its mask where there is one."""

    name: str
    volume_ml: float
    mask: Path | None


Side = Drawn | Stated


@dataclass(frozen=True)
class Pair:
    """A reference and what is compared with it."""

    case: str
    reference: Side
    compared: Side
    participant_id: str = ""
    session_id: str = ""
    visit: str = ""
    parameter: str = "infarct"
    region: Region = "unknown"


@dataclass(frozen=True)
class Pairing:
    """The pairs found, and a sentence for everything that has no twin."""

    pairs: tuple[Pair, ...]
    unpaired: tuple[str, ...] = ()


class _File(NamedTuple):
    path: Path
    root: Path

    @property
    def relative(self) -> str:
        return self.path.relative_to(self.root).with_name(self.stem).as_posix()

    @property
    def stem(self) -> str:
        return nifti_stem(self.path)

    @property
    def entities(self) -> dict[str, str]:
        return dict(re.findall(r"(?:^|_)(sub|ses|desc)-([A-Za-z0-9]+)", self.stem))

    @property
    def kind(self) -> str:
        return _KINDS.get(self.entities.get("desc", ""), "infarct")

    @property
    def parameter(self) -> str:
        return _INFARCT_IN.get(self.path.parent.name, "infarct") if self.kind == "infarct" else self.kind

    @property
    def session(self) -> tuple[str, str, str] | None:
        """Participant, session and kind; None where the name does not say whose mask it is."""
        found = self.entities
        return (found["sub"], found.get("ses", ""), self.kind) if "sub" in found else None


@dataclass
class _Matching:
    """Files of two folders, matched by one kind of key after another."""

    reference: list[_File]
    compared: list[_File]
    pairs: list[Pair] = field(default_factory=list)

    def by(self, key: Callable[[_File], Hashable]) -> None:
        """Pair what has a key of its own in both folders."""
        first, second = _by_key(self.reference, key), _by_key(self.compared, key)
        for name in [n for n, files in first.items() if len(files) == len(second.get(n, ())) == 1]:
            (one,), (two,) = first[name], second[name]
            self.pairs.append(_file_pair(one, two))
            self.reference.remove(one)
            self.compared.remove(two)


def find_pairs(reference: MaskLike, compared: MaskLike) -> Pairing:
    """Pair two masks, two folders of masks, or two tables of volumes.

    Parameters
    ----------
    reference, compared
        Masks or mask files; folders of masks; ``volumes.csv`` of two runs or their output folders.
        Masks of folders are paired by path, then by file name, then by participant, session and kind
        (infarct, cavity, new lesion) of their BIDS names. Rows of tables are paired by participant, visit
        and parameter; their masks are looked for at ``mask_path`` in the output folder that holds the table.

    Raises
    ------
    UsageError
        If the two are not of one kind, cannot be read, or have no pair.
    """
    if isinstance(reference, LesionMask) or isinstance(compared, LesionMask):
        return Pairing((_mask_pair(reference, compared),))
    first, second = Path(reference), Path(compared)
    tables = _table_of(first), _table_of(second)
    if tables[0] and tables[1]:
        return _paired_rows(tables[0], tables[1])
    for path in (first, second):
        if not path.exists():
            msg = f"no mask, folder or table at {path}"
            raise UsageError(msg)
    if first.is_dir() and second.is_dir():
        return _paired_files(first, second)
    if first.is_file() and second.is_file() and not (tables[0] or tables[1]):
        return Pairing((_mask_pair(first, second),))
    msg = f"{first} and {second} are not of one kind; give two masks, two folders or two tables"
    raise UsageError(msg)


def _mask_pair(reference: MaskLike, compared: MaskLike) -> Pair:
    first, second = _drawn(reference), _drawn(compared)
    case = str(first.mask.identity) if isinstance(first.mask, LesionMask) else nifti_stem(first.mask)
    return Pair(case=case, reference=first, compared=second)


def _drawn(mask: MaskLike) -> Drawn:
    if isinstance(mask, LesionMask):
        return Drawn(name=mask.method or str(mask.identity), mask=mask)
    return Drawn(name=str(mask), mask=Path(mask))


# ---- folders ---------------------------------------------------------------------------------------------


def _paired_files(first: Path, second: Path) -> Pairing:
    matching = _Matching(_mask_files(first), _mask_files(second))
    for key in (lambda f: f.relative, lambda f: f.stem, lambda f: f.session):
        matching.by(key)
    if not matching.pairs:
        msg = (
            f"no mask of {first} has a twin in {second}; a pair has the same file name, or the same "
            "sub- and ses- in its name"
        )
        raise UsageError(msg)
    unpaired = [
        *(_alone(file, matching.compared, other=second) for file in matching.reference),
        *(_alone(file, matching.reference, other=first) for file in matching.compared),
    ]
    unread = [f"{path}: not NIfTI, not compared; {SAVE_AS_NIFTI}" for path in _other_images(first, second)]
    return Pairing(tuple(sorted(matching.pairs, key=lambda pair: pair.case)), (*unpaired, *unread))


def _other_images(*folders: Path) -> list[Path]:
    """Return the image files of folders that are in no format that is read."""
    paths = (path for folder in folders for path in sorted(folder.rglob("[!.]*")) if not is_nifti_name(path))
    return [path for path in paths if path.name.lower().endswith(IMAGE_SUFFIXES) and path.is_file()]


def _mask_files(folder: Path) -> list[_File]:
    """Return the masks of a folder: files named so if there are any, otherwise every NIfTI file."""
    paths = [path for path in sorted(folder.rglob("[!.]*")) if is_nifti_name(path) and path.is_file()]
    files = [f for f in (_File(path, folder) for path in paths) if _NOT_A_LESION not in f.stem]
    return [f for f in files if f.stem.endswith(_MASK_SUFFIXES)] or files


def _by_key(files: Sequence[_File], key: Callable[[_File], Hashable]) -> Mapping[Hashable, list[_File]]:
    found: dict[Hashable, list[_File]] = defaultdict(list)
    for file in files:
        if key(file) is not None:
            found[key(file)].append(file)
    return found


def _file_pair(one: _File, two: _File) -> Pair:
    entities = one.entities or two.entities
    return Pair(
        case=one.relative,
        reference=Drawn(name=str(one.path), mask=one.path),
        compared=Drawn(name=str(two.path), mask=two.path),
        participant_id=f"sub-{entities['sub']}" if "sub" in entities else "",
        session_id=f"ses-{entities['ses']}" if "ses" in entities else "",
        parameter=one.parameter if one.parameter != "infarct" else two.parameter,
    )


def _alone(file: _File, others: Sequence[_File], *, other: Path) -> str:
    rivals = [f.relative for f in others if f.session is not None and f.session == file.session]
    if rivals:
        return (
            f"{file.path}: several masks of one session, {other} holds {', '.join(rivals)}; name twins alike"
        )
    return f"{file.path}: no mask of that name or session in {other}"


# ---- tables ----------------------------------------------------------------------------------------------


def _table_of(path: Path) -> Path | None:
    """Return the table of volumes that a path stands for, if it stands for one."""
    if path.suffix.lower() == ".csv":
        return path
    places = (path / "tables" / "volumes.csv", path / "volumes.csv")
    return next((place for place in places if place.is_file()), None)


def _paired_rows(first: Path, second: Path) -> Pairing:
    reference, compared = _valued_rows(first), _valued_rows(second)
    pairs = [_row_pair(row, compared[key]) for key, row in reference.items() if key in compared]
    if not pairs:
        msg = f"no row of {first} with a volume has its participant, visit and parameter in {second}"
        raise UsageError(msg)
    unpaired = [
        f"{' '.join(key)}: a volume in {one}, none in {two}"
        for rows, others, one, two in (
            (reference, compared, first, second),
            (compared, reference, second, first),
        )
        for key in rows
        if key not in others
    ]
    return Pairing(tuple(pairs), tuple(unpaired))


def _valued_rows(path: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the rows that have a volume, by participant, visit and parameter."""
    table = read_stated_table(path, VolumeRow, needed=_NEEDED, keys=_KEY)
    twice = table[table.duplicated(list(_KEY))]
    if len(twice):
        msg = f"{path} states {' '.join(twice.iloc[0][list(_KEY)])} twice"
        raise UsageError(msg)
    has_value = table["volume_ml"].notna()
    if "status" in table:
        has_value &= table["status"].isin(VALUED_STATUSES)
    if "region" not in table and "mask_path" in table:
        regions = _regions_beside(path)
        table = table.assign(region=[regions.get(mask, "") for mask in table["mask_path"]])
    rows = table[has_value].assign(table=str(path)).to_dict("records")
    return {tuple(row[name] for name in _KEY): {str(k): v for k, v in row.items()} for row in rows}


def _regions_beside(path: Path) -> dict[str, str]:
    """Region of every mask in the table of components beside a table of volumes: where most of it lies."""
    components = path.with_name(TABLE_FILES["components"][0])
    if not components.is_file():
        return {}
    needed = ("mask_path", "region", "volume_ml")
    parts = read_table(components, ComponentRow, needed=needed)
    lying = parts.groupby(["mask_path", "region"], sort=True)["volume_ml"].sum()
    return {str(mask): str(region) for mask, region in lying.groupby(level="mask_path").idxmax()}


def _row_pair(one: Mapping[str, Any], two: Mapping[str, Any]) -> Pair:
    return Pair(
        case=" ".join(one[name] for name in _KEY),
        reference=_row_side(one),
        compared=_row_side(two),
        participant_id=one["participant_id"],
        session_id=one.get("session_id", ""),
        visit=one["visit"],
        parameter=one["parameter"],
        region=_region(one.get("region") or two.get("region") or "unknown", one),
    )


def _row_side(row: Mapping[str, Any]) -> Stated:
    table = Path(row["table"])
    # beside the table, or above the folders 'tables' and 'tables/reads' of a run
    above = [folder for folder in table.parents[:2] if folder.name in ("tables", "reads")]
    home = table.parents[len(above)]
    mask = home / row["mask_path"] if row.get("mask_path") else None
    return Stated(
        name=row["table"],
        volume_ml=float(row["volume_ml"]),
        mask=mask if mask is not None and mask.is_file() else None,
    )


def _region(text: str, row: Mapping[str, Any]) -> Region:
    for region in REGIONS:
        if text.strip().lower() == region:
            return region
    where = f"{row['participant_id']} {row['visit']}"
    msg = f"{row['table']}: a region is one of {', '.join(REGIONS)}, got '{text}'"
    raise UsageError(msg, where=where)
