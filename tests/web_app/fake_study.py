"""A made-up study for the review page's tests: small digital heads, decisions and edits in memory."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

Voxels = NDArray[np.uint8]
Json = dict[str, Any]

SHAPE = (48, 56, 12)
SPACING_MM = (4.0, 4.0, 5.0)
VOXEL_ML = 0.08
VISITS = (("v1", "Baseline", 0), ("v2", "Month 1", 30), ("v3", "Month 3", 91))
AUTOMATIC = (6, 5, 4)
"""Half-width in voxels of the infarct's square at each visit; it is 3 slices high."""
PASSPHRASE = "four words are enough"


def nifti(data: NDArray[Any]) -> bytes:
    """Return an uncompressed NIfTI-1 file of int16 or uint8 voxels, canonical axes, centred on 0 mm."""
    code, bits = {"int16": (4, 16), "uint8": (2, 8)}[data.dtype.name]
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *data.shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, code, bits)
    struct.pack_into("<8f", header, 76, 1, *SPACING_MM, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[123] = 2
    struct.pack_into("<hh", header, 252, 0, 1)
    for row in range(3):
        values = [0.0] * 4
        values[row] = SPACING_MM[row]
        values[3] = -SPACING_MM[row] * (data.shape[row] - 1) / 2
        struct.pack_into("<4f", header, 280 + 16 * row, *values)
    header[344:348] = b"n+1\0"
    return bytes(header) + data.tobytes(order="F")


@cache
def head(modality: str, visit: int) -> bytes:
    """Return a head with an infarct that is bright (dark on the ADC map)."""
    i, j, k = np.indices(SHAPE)
    inside = ((i - 23.5) / 21) ** 2 + ((j - 27.5) / 25) ** 2 + ((k - 5.5) / 9) ** 2 < 1
    noise = np.random.default_rng(visit).normal(0, 25, SHAPE)
    base = {"dwi": 320, "adc": 800, "flair": 420}[modality]
    image = np.where(inside, base + noise + 40 * np.sin(i / 3) * np.cos(j / 4), 0)
    image[square(AUTOMATIC[visit]) > 0] += {"dwi": 450, "adc": -380, "flair": 260}[modality]
    return nifti(np.maximum(image, 0).astype("<i2"))


def square(half_width: int, at: tuple[int, int] = (14, 30)) -> Voxels:
    """Return the mask of a square of ``2 n x 2 n x 3`` voxels."""
    mask = np.zeros(SHAPE, np.uint8)
    x, y = at
    mask[x - half_width : x + half_width, y - half_width : y + half_width, 5:8] = 1
    return mask


def sha256(mask: Voxels) -> str:
    """Return the hash of a mask's voxels."""
    return hashlib.sha256(mask.tobytes(order="F")).hexdigest()


@dataclass
class FakeItem:
    """One image or registration of one case."""

    image: str
    automatic: dict[str, Voxels] = field(default_factory=dict)
    current: dict[str, Voxels] = field(default_factory=dict)
    versions: list[Json] = field(default_factory=list)
    revision: int = 0
    decision: Json | None = None
    stale: bool = False
    reads: list[Json] = field(default_factory=list)


@dataclass
class FakeCase:
    """One participant."""

    code: str
    title: str
    items: dict[str, FakeItem]
    flags: list[str] = field(default_factory=list)
    history: list[Json] = field(default_factory=list)


class FakeStudy:
    """What the server would know.

    Parameters
    ----------
    cases
        How many.
    kind
        open, read or adjudication.
    hostile
        A name with markup in it for the first case's title and its flags.
    """

    def __init__(self, cases: int = 3, *, kind: str = "open", hostile: str = "") -> None:
        self.kind = kind
        self.sequence = 0
        self.readers = {"Dr A": PASSPHRASE}
        self.roles = {"Dr A": "adjudicator" if kind == "adjudication" else "reader"}
        self.lock: Json | None = None
        self.masks: dict[str, Voxels] = {}
        self.cases = {
            c.code: c for c in (self._case(n, hostile if n == 1 else "") for n in range(1, cases + 1))
        }

    def _case(self, number: int, hostile: str) -> FakeCase:
        code = f"sub-{number:03d}" if self.kind == "open" else hashlib.sha256(bytes([number])).hexdigest()[:8]
        title = hostile or (code if self.kind == "open" else f"Case {code[:4]}-{code[4:]}")
        items: dict[str, FakeItem] = {}
        for at, (visit, _, _) in enumerate(VISITS):
            masks = {"dwi": square(AUTOMATIC[at])} if at == 0 else {}
            if masks:
                items[f"{visit}.dwi"] = FakeItem("dwi", masks)
            items[f"{visit}.flair"] = FakeItem("flair", {"flair": square(AUTOMATIC[at]), "cavity": square(1)})
            items[f"{visit}.registration"] = FakeItem("registration")
        if self.kind == "adjudication":
            items["v2.flair"].reads = [self._read(1, 5), self._read(2, 3)]
        for item in items.values():
            item.current = dict(item.automatic)
            for mask in item.automatic.values():
                self.masks[sha256(mask)] = mask
        flags = [hostile or "FLAIR Month 1: the edge is uncertain (range 5.1-9.6 mL)"] if number % 2 else []
        return FakeCase(code, title, items, flags)

    def _read(self, number: int, half_width: int) -> Json:
        mask = square(half_width)
        self.masks[sha256(mask)] = mask
        volume_ml = mask.sum() * VOXEL_ML
        masks = [{"key": "flair", "sha256": sha256(mask)}]
        return {"number": number, "verdict": "accept", "reason": "", "volume_ml": volume_ml, "masks": masks}

    # ---- what is asked ------------------------------------------------------------------------------------

    def view(self, code: str) -> Json:
        """Return a case as the page gets it."""
        case, codes = self.cases[code], list(self.cases)
        at = codes.index(code)
        return {
            "code": code,
            "title": case.title,
            "kind": self.kind,
            "blinded": self.kind != "open",
            "previous": codes[at - 1] if at else None,
            "next": codes[at + 1] if at + 1 < len(codes) else None,
            "locked": self.lock is not None,
            "reference": "v1.flair",
            "panels": self._panels(code),
            "visits": [self._visit(case, n) for n in range(len(VISITS))],
            "history": case.history if self.kind == "open" else [],
        }

    def _panels(self, code: str) -> list[Json]:
        names = [(0, "dwi"), (0, "adc"), (0, "flair"), (1, "flair"), (2, "flair")]
        return [
            {
                "id": f"{VISITS[at][0]}.{modality}",
                "visit": VISITS[at][0],
                "label": f"{VISITS[at][1]} {modality.upper()}",
                "modality": modality,
                "shape": list(SHAPE),
                "spacing_mm": list(SPACING_MM),
                "slice_axis": 2,
                "window": {"dwi": [0, 900], "adc": [0, 1400], "flair": [0, 800]}[modality],
                "linked": True,
                "note": "",
                "volume": f"/api/cases/{code}/volumes/{VISITS[at][0]}.{modality}",
            }
            for at, modality in names
        ]

    def _visit(self, case: FakeCase, at: int) -> Json:
        visit, label, day = VISITS[at]
        registration = case.items[f"{visit}.registration"]
        images = [name for name in case.items if name.startswith(visit) and "registration" not in name]
        return {
            "id": visit,
            "label": label,
            "study_day": None if self.kind != "open" else day,
            "acq_time": None,
            "status": "measured",
            "reason": "",
            "flags": case.flags if at == 1 else [],
            "registration": {
                "item": f"{visit}.registration",
                "pair": "FLAIR -> DWI" if at == 0 else f"BL -> {label}",
                "verdict": ("PASS", "WARN", "PASS")[at],
                "reasons": ["mutual information is lower than in most pairs"] if at == 1 else [],
                "metrics": {"translation_mm": 2.31, "rotation_deg": 1.7, "brain_dice": 0.97},
                "revision": registration.revision,
                "stale": registration.stale,
                "decision": registration.decision,
            },
            "items": [self._item(case, name) for name in images],
        }

    def _item(self, case: FakeCase, name: str) -> Json:
        item = case.items[name]

        def url(key: str, digest: str) -> str:
            return f"/api/cases/{case.code}/masks/{quote(name, safe='')}/{key}?sha256={digest}"

        reads = [
            {**r, "masks": [{**m, "url": url(m["key"], m["sha256"])} for m in r["masks"]]} for r in item.reads
        ]
        return {
            "item": name,
            "image": item.image,
            "panel": name,
            "revision": item.revision,
            "stale": item.stale,
            "decision": item.decision,
            "masks": [self._mask(item, key, url) for key in item.current],
            "versions": [{**one, "url": url(one["key"], one["sha256"])} for one in item.versions],
            "reads": reads,
        }

    def _mask(self, item: FakeItem, key: str, url: Any) -> Json:
        mask, automatic = item.current[key], item.automatic[key]
        volume_ml = mask.sum() * VOXEL_ML
        edited = sha256(mask) != sha256(automatic)
        component = {
            "number": 1,
            "volume_ml": volume_ml,
            "voxel": [14, 30, 6],
            "place": "left corona radiata",
            "slices": [5, 7],
        }
        return {
            "key": key,
            "label": {"cavity": "cavity"}.get(key, "infarct"),
            "sha256": sha256(mask),
            "automatic_sha256": sha256(automatic),
            "source": "edited" if edited else "automatic",
            "url": url(key, sha256(mask)),
            "volume_ml": volume_ml,
            "low": volume_ml * 0.9,
            "high": volume_ml * 1.1,
            "difference_ml": (mask.sum() - float(automatic.sum())) * VOXEL_ML if edited else None,
            "components": [component] if key != "cavity" else [],
        }

    def worklist(self) -> Json:
        """Return the list of cases."""
        rows = [self._row(case) for case in self.cases.values()]
        done = sum(row["done"] == row["total"] for row in rows)
        return {"progress": {"done": done, "total": len(rows)}, "cases": rows}

    def _row(self, case: FakeCase) -> Json:
        items = [i for i in case.items.values() if self.kind != "adjudication" or i.reads]
        verdicts = [i.decision["verdict"] for i in items if i.decision]
        stale = any(i.stale for i in items)
        word = "rejected" if "reject" in verdicts else "query" if "query" in verdicts else "done"
        status = "stale" if stale else word if len(verdicts) == len(items) else "todo"
        volumes_ml = [case.items[f"{v}.flair"].current["flair"].sum() * VOXEL_ML for v, _, _ in VISITS]
        return {
            "code": case.code,
            "title": case.title,
            "kind": self.kind,
            "status": status,
            "flags": case.flags,
            "done": len(verdicts),
            "total": len(items),
            "edited": any(i.versions for i in items),
            "visits": [
                {
                    "id": visit,
                    "label": label,
                    "volume_ml": volumes_ml[at],
                    "change_ml": volumes_ml[at] - volumes_ml[0] if at else None,
                    "percent_change": 100 * (volumes_ml[at] / volumes_ml[0] - 1) if at else None,
                    "status": "measured",
                }
                for at, (visit, label, _) in enumerate(VISITS)
            ],
        }

    # ---- what is changed ----------------------------------------------------------------------------------

    def entered(self, who: str, code: str, item: str, action: str, reason: str, text: str) -> Json:
        """Add an entry to the history and return its number and time."""
        self.sequence += 1
        utc = f"2026-03-01T12:{self.sequence // 60:02d}:{self.sequence % 60:02d}.000+00:00"
        self.cases[code].items[item].revision = self.sequence
        entry = {"sequence": self.sequence, "utc": utc, "who": who}
        self.cases[code].history.append(
            {**entry, "action": action, "subject": f"{code}/{item}", "reason": reason, "text": text}
        )
        return entry

    def judge(self, who: str, code: str, decisions: list[Json]) -> bool:
        """Take over decisions; False where one of them was made on an older revision."""
        items = self.cases[code].items
        if any(items[one["item"]].revision != one["revision"] for one in decisions):
            return False
        for one in decisions:
            item = items[one["item"]]
            text = f"{one['verdict']}: {one['item']}"
            entry = self.entered(who, code, one["item"], "decision", one["reason"], text)
            item.decision = {**entry, "verdict": one["verdict"], "reason": one["reason"]}
            item.stale = False
        return True

    def save(self, who: str, code: str, name: str, key: str, mask: Voxels, *, reason: str, tool: str) -> None:
        """Take over a corrected mask."""
        item = self.cases[code].items[name]
        before_ml = item.current[key].sum() * VOXEL_ML
        volume_ml = mask.sum() * VOXEL_ML
        entry = self.entered(who, code, name, "edit", reason, f"edited {name} {key}")
        digest = sha256(mask)
        self.masks[digest] = mask
        item.current[key] = mask
        numbers = {"volume_ml": volume_ml, "difference_ml": volume_ml - before_ml}
        version = {**entry, "key": key, "sha256": digest, "reason": reason, "tool": tool, "counts": True}
        item.versions.append({**version, **numbers})
