"""What the page shows of a case, as plain values; what a reader must not see is not in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infarct_vol.audit import Entry
from infarct_vol.desk.pictures import Pictures, link_of
from infarct_vol.diffusion.bvalues import B0_MAX
from infarct_vol.files import decoded_text
from infarct_vol.images import MODALITY_LABELS, Modality
from infarct_vol.measurement import place_text
from infarct_vol.qa.wording import visit_label
from infarct_vol.records import ComponentRecord, ParticipantRecord, ScanRecord, VisitRecord
from infarct_vol.review.cases import Case, Facts
from infarct_vol.review.model import DECISION, EDIT, LATE_DECISION, LATE_EDIT, Decision, MaskKey, MaskVersion
from infarct_vol.review.orientation import Display
from infarct_vol.review.state import Decided, Reading, Saved
from infarct_vol.shelf import read_file

Cells = dict[str, Any]
MASK_LABELS: Mapping[MaskKey, str] = {
    "dwi": "Infarct",
    "flair": "Infarct",
    "cavity": "Cavity",
    "new_lesion": "New lesion",
}
_DIRECTION = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_SHOWN: tuple[Modality, ...] = ("dwi", "adc", "flair")


@dataclass(frozen=True)
class CaseView:
    """Builds the page's view of one case.

    Parameters
    ----------
    case
        The participant as one reader reads them.
    reading
        What was read so far.
    pictures
        Where scans and masks come from.
    record
        The participant's record with what counts by now; the run's own where the reading is blinded.
    """

    case: Case
    reading: Reading
    pictures: Pictures
    record: ParticipantRecord

    def cells(self) -> Cells:
        """Return the whole case, but for its neighbours in the reader's list."""
        panels = list(self._panels())
        return {
            "code": self.case.code,
            "title": self.case.title,
            "kind": self.case.kind,
            "blinded": self.case.kind != "open",
            "reference": self._reference(panels),
            "panels": panels,
            "visits": [self._visit(name, visit) for name, visit in self.case.visits.items()],
            "history": list(self._history()),
        }

    # ---- panels ------------------------------------------------------------------------------------------

    def _panels(self) -> Iterator[Cells]:
        for name, visit in self.case.visits.items():
            for modality in _SHOWN:
                scan = shown_scan(self.pictures.study, visit, modality)
                if scan is not None and (modality == "flair" or visit.visit == "baseline"):
                    yield self._panel(name, visit, modality, scan)

    def _panel(self, name: str, visit: VisitRecord, modality: Modality, scan: ScanRecord) -> Cells:
        link = link_of(self.case.record, visit, modality, self.pictures.out)
        panel = f"{name}.{modality}"
        # the array axis behind right, front and up
        axes = sorted(range(3), key=lambda axis: _DIRECTION[scan.axis_codes[axis]])
        return {
            "id": panel,
            "visit": name,
            "label": f"{self.label(name, visit)} {MODALITY_LABELS[modality]}",
            "modality": modality,
            "shape": [scan.shape[axis] for axis in axes],
            "spacing_mm": [scan.spacing_mm[axis] for axis in axes],
            # where the file counts its slices from right, front or top
            "backwards": [scan.axis_codes[axis] in "LPI" for axis in axes],
            "window": None,
            "linked": link.linked,
            "note": link.note,
            "volume": f"/api/cases/{self.case.code}/volumes/{panel}",
        }

    def _reference(self, panels: list[Cells]) -> str:
        """Return the panel whose scanner space is the space of all: the baseline FLAIR where there is one."""
        names = [name for name, visit in self.case.visits.items() if visit.visit == "baseline"]
        at_baseline = {p["modality"]: p["id"] for p in panels if p["visit"] in names}
        first = panels[0]["id"] if panels else ""
        return str(at_baseline.get("flair") or at_baseline.get("dwi") or first)

    def label(self, name: str, visit: VisitRecord) -> str:
        """Return what a visit is called on the page."""
        if self.case.hides_order:
            return f"Visit {chr(ord('A') + int(name.removeprefix('v')) - 1)}"
        return visit_label(visit.visit)

    # ---- visits ------------------------------------------------------------------------------------------

    def _visit(self, name: str, visit: VisitRecord) -> Cells:
        own = {n: facts for n, facts in self.case.facts.items() if n.startswith(f"{name}.")}
        hidden = self.case.hides_order
        now = self.record.visit(visit.visit) or visit
        registration = next((n for n, facts in own.items() if facts.registration is not None), None)
        return {
            "id": name,
            "label": self.label(name, visit),
            "study_day": None if hidden else visit.study_day,
            "acq_time": None if self.case.kind != "open" else visit.acq_time,
            "status": now.status,
            "reason": self.case.told(now.reason),
            "flags": [self.case.told(flag) for flag in now.flags],
            "registration": self._registration(registration) if registration else None,
            "items": [self._item(n, facts) for n, facts in own.items() if facts.registration is None],
        }

    def _registration(self, name: str) -> Cells:
        facts = self.case.facts[name]
        found = facts.registration
        assert found is not None
        # labels of sessions are free text, and may hold a date
        named = self.case.kind == "open" or facts.visit.visit == "baseline"
        pair = (found.fixed, found.moving) if named else ("baseline", "this visit")
        return {
            **self._judged(name, facts),
            "pair": " \N{RIGHTWARDS ARROW} ".join(pair),
            "verdict": found.verdict,
            "reasons": [self.case.told(reason) for reason in found.reasons],
            "metrics": dict(found.metrics),
        }

    def _judged(self, name: str, facts: Facts) -> Cells:
        stream = self.case.stream(self.reading, facts)
        adjudication = self.case.kind == "adjudication"
        due = facts.is_due(self.reading, self.case.reader.name) if adjudication else True
        return {
            "item": name,
            "image": facts.item.image,
            "revision": stream.revision,
            "stale": not facts.fits(self.reading, stream),
            "waiting": stream.waiting,
            "due": due,
            "decision": self._decision(stream.decision),
            "reads": list(self._reads(name, facts)) if adjudication and due else [],
        }

    def _decision(self, decided: Decided | None) -> Cells | None:
        if decided is None:
            return None
        entry, decision = decided
        return {
            "verdict": decision.verdict,
            "reason": entry.reason,
            "who": entry.who,
            "utc": entry.utc,
            "sequence": self._number(entry),
            "chosen": decision.chosen,
            "volume_ml": decision.volume_ml,
        }

    def _item(self, name: str, facts: Facts) -> Cells:
        shown = self.pictures.display(next(iter(facts.paths.values())))
        visible = self.case.visible(self.reading, facts)
        in_work = self.case.in_work(self.reading, facts)
        masks = [self._mask(name, facts, key, visible.get(sha), shown) for key, sha in in_work.items()]
        return {
            **self._judged(name, facts),
            "panel": f"{name.partition('.')[0]}.{facts.item.image}",
            "masks": masks,
            "versions": [self._version(name, saved) for saved in visible.values()],
        }

    def _mask(self, name: str, facts: Facts, key: MaskKey, saved: Saved | None, shown: Display) -> Cells:
        automatic = facts.masks[key]
        if saved is not None and saved.version.sha256 != automatic:
            numbers = _numbers_of(saved.version)
            components: tuple[ComponentRecord, ...] = saved.version.components
            sha256, source = saved.version.sha256, "edited"
        else:
            components = facts.visit.components.get(key, ())
            row = next((r for r in self.case.record.rows if r.mask_path == facts.paths[key]), None)
            numbers = {
                "volume_ml": row.volume_ml if row else sum(part.volume_ml for part in components),
                "low": row.volume_ml_low if row else None,
                "high": row.volume_ml_high if row else None,
                "difference_ml": row.edit_difference_ml if row else None,
            }
            sha256 = automatic
            source = "external" if row is not None and row.source.startswith("external") else "automatic"
        return {
            "key": key,
            "label": MASK_LABELS[key],
            "sha256": sha256,
            "automatic_sha256": automatic,
            "source": source,
            "url": self.mask_url(name, key, sha256),
            **numbers,
            "components": [_component(n, part, shown) for n, part in enumerate(components, start=1)],
        }

    def mask_url(self, name: str, key: MaskKey, sha256: str) -> str:
        """Return the address of one mask."""
        return f"/api/cases/{self.case.code}/masks/{quote(name, safe='')}/{key}?sha256={sha256}"

    def _version(self, name: str, saved: Saved) -> Cells:
        version = saved.version
        hidden = self.case.kind != "open"
        return {
            "key": version.key,
            "sha256": version.sha256,
            "url": self.mask_url(name, version.key, version.sha256),
            "who": "" if hidden else saved.entry.who,
            "utc": saved.entry.utc if not hidden or self._is_own(saved) else "",
            "reason": saved.entry.reason if not hidden or self._is_own(saved) else "",
            "volume_ml": version.volume_ml,
            "difference_ml": version.difference_ml,
            "tool": version.tool,
            "counts": saved.counts,
        }

    def _is_own(self, saved: Saved) -> bool:
        return saved.entry.who == self.case.reader.name

    def _reads(self, name: str, facts: Facts) -> Iterator[Cells]:
        for number, one in enumerate(self.reading.blinded(facts.item), start=1):
            masks = one.decision.masks
            yield {
                "number": number,
                "verdict": one.decision.verdict,
                "reason": one.entry.reason,
                "volume_ml": one.decision.volume_ml,
                "masks": [
                    {"key": key, "sha256": sha256, "url": self.mask_url(name, key, sha256)}
                    for key, sha256 in masks.items()
                ],
            }

    # ---- history -----------------------------------------------------------------------------------------

    def _history(self) -> Iterator[Cells]:
        names = {facts.item.subject: name for name, facts in self.case.facts.items()}
        for entry in self._seen:
            yield {
                "sequence": self._number(entry),
                "utc": entry.utc,
                "who": entry.who,
                "action": entry.action,
                "subject": names[entry.subject],
                "reason": entry.reason,
                "text": _told(entry),
            }

    @cached_property
    def _seen(self) -> list[Entry]:
        """The entries of this case that the reader may see."""
        subjects = {facts.item.subject for facts in self.case.facts.values()}
        entries = self.reading.history(self.case.record.participant_id)
        return [entry for entry in entries if entry.subject in subjects and self._may_see(entry)]

    def _number(self, entry: Entry) -> int:
        """Return an entry's number in the trail; in a blinded reading that among the reader's own.

        Gaps in the numbers of the trail would tell how busy the other reader is.
        """
        return entry.sequence if self.case.kind == "open" else self._seen.index(entry) + 1

    def _may_see(self, entry: Entry) -> bool:
        if self.case.kind == "open":
            return True
        if entry.who != self.case.reader.name:
            return False
        return _kind_of(entry) == self.case.kind


def shown_scan(study: Path, visit: VisitRecord, modality: str) -> ScanRecord | None:
    """Return the image a panel shows; for an ADC map that is computed, the diffusion series it comes from."""
    scan, series = visit.scan(modality), visit.scan("dwi")
    if scan is not None or modality != "adc" or series is None:
        return scan
    bval = read_file(study, study / series.path, "dwi").bval
    if bval is None:
        return None
    try:
        words = re.split(r"[\s,;]+", decoded_text(bval.read_bytes()).strip())
        return series if min(map(float, words), default=B0_MAX + 1) <= B0_MAX else None
    except (OSError, ValueError):
        return None


def _numbers_of(version: MaskVersion) -> Cells:
    return {
        "volume_ml": version.volume_ml,
        "low": version.volume_ml_low,
        "high": version.volume_ml_high,
        "difference_ml": version.volume_ml - version.automatic_volume_ml,
    }


def _component(number: int, part: ComponentRecord, shown: Display) -> Cells:
    voxel = shown.grid.to_index(part.centroid_mm)
    inside = [min(max(round(float(v)), 0), n - 1) for v, n in zip(voxel, shown.grid.shape, strict=True)]
    return {
        "number": number,
        "volume_ml": part.volume_ml,
        "voxel": inside,
        "place": place_text(part),
        "slices": [part.first_slice, part.last_slice],
        "axis": _slice_axis(shown),
    }


def _slice_axis(shown: Display) -> int:
    """Return the axis shown that is the file's slice axis: the thickest, the file's last one among equals."""
    spacing = shown.grid.spacing_mm
    thick = [axis for axis in range(3) if spacing[axis] >= 0.95 * max(spacing)]
    return max(thick, key=lambda axis: shown.axes.order[axis])


def _kind_of(entry: Entry) -> str:
    if entry.action in (DECISION, LATE_DECISION):
        return Decision.model_validate_json(entry.new).kind
    return MaskVersion.model_validate_json(entry.new).kind


def _told(entry: Entry) -> str:
    """Return what an entry says in words."""
    if entry.action in (DECISION, LATE_DECISION):
        decision = Decision.model_validate_json(entry.new)
        volume = f", {decision.volume_ml:.2f} mL" if decision.volume_ml is not None else ""
        return f"{decision.verdict.replace('_', ' ')}{volume}"
    if entry.action in (EDIT, LATE_EDIT):
        version = MaskVersion.model_validate_json(entry.new)
        return (
            f"{MASK_LABELS[version.key].lower()} {version.volume_ml:.2f} mL "
            f"({version.difference_ml:+.2f} mL), {version.tool}"
        )
    return entry.action


def file_stem(case: Case, name: str) -> str:
    """Return the name a download is offered under; a blinded one carries the code and no more."""
    item = case.found(name).item
    if case.kind != "open":
        return f"{case.code}_{name.replace('.', '_')}"
    return f"{item.participant_id}_{item.session_id}_{item.image}"
