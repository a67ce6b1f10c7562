"""Where a file of a participant lies, and why an image may not be used from there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infarct_vol.study.names import BidsName, same_label

_DATA_TYPE = re.compile(
    "anat|dwi|perf|func|fmap|swi|ct|pet|mri?|dti|nifti|nii|trace|adc|b0|flair|t[12]w?", re.IGNORECASE
)
"""Folders of a participant without sessions: data types of BIDS, and what data sets call them."""
_SET_ASIDE = re.compile(
    "old(er)?|bak|backup|archived?|unused|bad|wrong|te?mp|test|cop(y|ies)|reject(ed)?|excluded?"
    "|discard(ed)?|trash|derivatives|sourcedata",
    re.IGNORECASE,
)
"""Folders whose names say that what lies in them is not meant."""


@dataclass(frozen=True)
class Owner:
    """Whose files are looked at: folder of the participant, its label, and the session's where there is one.

    Labels are without ``sub-`` and ``ses-``.
    """

    root: Path
    folder: Path
    session: str = ""
    has_sessions: bool = True

    @property
    def label(self) -> str:
        """Label of the participant."""
        return self.folder.name[len("sub-") :]

    @property
    def text(self) -> str:
        """The folder in words."""
        return f"sub-{self.label} ses-{self.session}" if self.session else f"sub-{self.label}"

    def relative(self, path: Path) -> str:
        """Return a path as it is listed: relative to the study."""
        return path.relative_to(self.root).as_posix()

    def contradiction(self, path: Path, name: BidsName) -> str:
        """Say why a file may be another participant's, or another session's; empty where nothing says so."""
        said = name.entities.get("sub", self.label)
        # a label with an underscore is cut short in a name, and stands there in full nevertheless
        in_full = path.name.casefold().startswith(f"sub-{self.label}_".casefold())
        if not same_label(said, self.label) and not in_full:
            return f"its name says sub-{said}, its folder {self.text}; it is never used: put it in its place"
        session = name.entities.get("ses", self.session)
        if self.session and not same_label(session, self.session):
            return (
                f"its name says ses-{session}, its folder {self.text}; it is never used: put it in its place"
            )
        return ""

    def odd_link(self, path: Path) -> str:
        """Say why a link cannot be followed; empty for a file that is none."""
        real_root = self.root.resolve()
        if path.is_symlink() and not path.exists():
            return "a link to a file that is not there; fetch it (git annex get, datalad get)"
        target = path.resolve() if path.is_symlink() else path.parent.resolve()
        if not target.is_relative_to(real_root):
            return "a link to outside the study folder; copy the file in"
        within = target.relative_to(real_root).parts
        if within and within[0].startswith("sub-") and not same_label(within[0], self.folder.name):
            return (
                f"a link into {within[0]}, its folder {self.text}; it is never used: put a file in its place"
            )
        return ""

    def odd_folder(self, path: Path) -> str:
        """Say why an image in this folder is not meant, or belongs to no session that is known."""
        for part in self._folders(path):
            if _SET_ASIDE.fullmatch(part):
                return f"lies in a folder '{part}'; put it beside the others if it is meant"
            if not self.has_sessions and not _DATA_TYPE.fullmatch(part):
                return f"'{part}' is no folder of BIDS: call a session's ses-<label>, else anat or dwi"
        return ""

    def _folders(self, path: Path) -> Iterator[str]:
        parts = path.relative_to(self.folder).parts[:-1]
        yield from (part for part in parts if not part.casefold().startswith("ses-"))
