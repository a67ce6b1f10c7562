"""The review server over a real desk: a toy trial is opened, corrected, judged, and found in the trail."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fake_desk import PASSPHRASE
from toy_trials import SHAPE, VOXEL_ML, ToyParticipant, ToySession, write_toy_trial

import infarct_vol as iv
from infarct_vol.audit import AuditTrail
from infarct_vol.desk import Desk
from infarct_vol.review.model import DECISION, EDIT, LATE_DECISION, SIGNED_IN
from infarct_vol.server.serving import serve


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trial")
    sessions = (ToySession("BL", "2026-03-01T10:00:00", 100), ToySession("M03", "2026-06-01T10:00:00", 80))
    study, masks = write_toy_trial(root, {"sub-001": ToyParticipant(sessions)})
    iv.run_study(study, root / "out", masks=masks)
    return root / "out"


class Page:
    """A signed-in reader."""

    def __init__(self, url: str) -> None:
        base = url.partition("/?")[0]
        self.client = httpx.Client(base_url=base, headers={"Origin": base}, timeout=60)
        self.client.get(url)
        self.csrf = self.client.get("/api/session").json()["csrf"]
        body = {"name": "Ann", "passphrase": PASSPHRASE}
        self.csrf = self.post("/api/enrol", json=body).json()["csrf"]

    def post(self, path: str, **sent: Any) -> httpx.Response:
        headers = {"X-CSRF-Token": self.csrf, **sent.pop("headers", {})}
        return self.client.post(path, headers=headers, **sent)

    def get(self, path: str) -> httpx.Response:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer

    @property
    def code(self) -> str:
        (case,) = self.get("/api/worklist").json()["cases"]
        return str(case["code"])

    def case(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/cases/{self.code}").json()
        return found


@pytest.fixture(scope="module")
def page(out: Path) -> Iterator[Page]:
    with serve(Desk(out)) as running:
        page = Page(running.url)
        yield page
        page.client.close()


def followup(case: dict[str, Any]) -> dict[str, Any]:
    items = [item for visit in case["visits"] for item in visit["items"] if item["image"] == "flair"]
    found: dict[str, Any] = items[-1]
    return found


def test_every_image_and_mask_of_a_case_arrives_on_one_grid(page: Page) -> None:
    case = page.case()
    for panel in case["panels"]:
        raw = page.get(panel["volume"]).content
        shape = np.frombuffer(raw, "<i2", 3, offset=42)
        assert (raw[344:348], sorted(shape)) == (b"n+1\0", sorted(SHAPE))
    (mask,) = [mask for mask in followup(case)["masks"] if mask["key"] == "flair"]
    voxels = np.frombuffer(page.get(mask["url"]).content, np.uint8, offset=352)
    assert int(voxels.sum()) == 80
    assert mask["volume_ml"] == pytest.approx(80 * VOXEL_ML)


def test_a_correction_and_its_judgement_are_in_the_trail_and_a_late_one_is_a_conflict(
    page: Page, out: Path
) -> None:
    item = followup(page.case())
    (mask,) = [mask for mask in item["masks"] if mask["key"] == "flair"]
    voxels = bytearray(page.get(mask["url"]).content[352:])
    voxels[voxels.index(1)] = 0
    place = f"{item['item'].replace('/', '%2F')}/flair"
    saved = page.post(
        f"/api/cases/{page.code}/masks/{place}",
        params={"revision": item["revision"], "parent": mask["sha256"]},
        content=gzip.compress(bytes(voxels)),
        headers={"X-Reason": "edge"},
    )
    assert saved.status_code == 200, saved.text
    edited = followup(saved.json())
    (now,) = [mask for mask in edited["masks"] if mask["key"] == "flair"]
    assert now["volume_ml"] == pytest.approx(79 * VOXEL_ML)
    judged = {"item": item["item"], "verdict": "accept", "reason": "", "revision": edited["revision"]}
    judged["masks"] = {each["key"]: each["sha256"] for each in edited["masks"]}
    path = f"/api/cases/{page.code}/decisions"
    assert page.post(path, json={"decisions": [judged]}).status_code == 200
    late = page.post(path, json={"decisions": [judged]})
    assert late.status_code == 409
    assert followup(late.json()["current"])["decision"]["verdict"] == "accept"
    actions = [entry.action for entry in AuditTrail(out).entries()]
    assert (actions.count(SIGNED_IN), actions.count(EDIT), actions.count(DECISION)) == (1, 1, 1)
    assert actions.count(LATE_DECISION) == 1


def test_what_is_not_there_is_404_and_a_blank_reason_422(page: Page) -> None:
    case = page.case()
    for path in ("/api/cases/none", f"/api/cases/{page.code}/volumes/none"):
        assert page.client.get(path).status_code == 404
    item = followup(case)
    blank = {"item": item["item"], "verdict": "reject", "reason": " ", "revision": item["revision"]}
    answer = page.post(f"/api/cases/{page.code}/decisions", json={"decisions": [blank]})
    assert answer.status_code == 422


def test_an_upload_that_is_no_image_is_422_and_no_file_is_kept_of_it(page: Page, out: Path) -> None:
    item = followup(page.case())
    (mask,) = [mask for mask in item["masks"] if mask["key"] == "flair"]
    name, place = "../../x.nii.gz", f"{item['item'].replace('/', '%2F')}/flair"
    before = sorted(out.rglob("*"))
    answer = page.post(
        f"/api/cases/{page.code}/uploads/{place}",
        params={"revision": item["revision"], "parent": mask["sha256"], "name": name},
        content=b"no image",
        headers={"X-Reason": "Slicer"},
    )
    assert answer.status_code == 422
    assert str(out) not in answer.text
    assert sorted(out.rglob("*")) == before
