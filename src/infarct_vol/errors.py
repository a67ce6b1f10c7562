"""Everything that can be refused, as one tree.

Each class names a kind of refusal, inherits the builtin a Python caller would expect, and carries the
exit code the command line ends with. Messages say what was wrong, what was expected, what was found
and what to do next; the scan's identity is put in front.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

_LOG = logging.getLogger(__name__)


class InfarctVolError(Exception):
    """Base of every error this package raises on purpose.

    Parameters
    ----------
    message
        What was wrong, what was expected, what was found, what to do.
    where
        Identity of the case, such as ``"sub-003 ses-M03 FLAIR"``; put in front of the message.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str = "") -> None:
        self.message = message
        self.where = where
        super().__init__(f"{where}: {message}" if where else message)

    def __reduce__(self) -> tuple[object, ...]:
        # keyword arguments do not survive the default pickling, and errors cross process borders
        return (_rebuild, (type(self), self.message, self.where))


def _rebuild(kind: type[InfarctVolError], message: str, where: str) -> InfarctVolError:
    return kind(message, where=where)


def fault_reason(error: BaseException, *, where: str) -> str:
    """Return what a row says of a fault nobody foresaw: its kind, its place in the program, what to do.

    The traceback is logged, for whoever runs again with ``-v``.
    """
    _LOG.debug("fault at %s", where, exc_info=error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    advice = "run again with --jobs 1 -v, and report it if it stays"
    return f"{where}: unexpected {type(error).__name__}{place}: {error}; {advice}"


class UsageError(InfarctVolError, ValueError):
    """A wrong option, protocol or study layout: nothing is run."""

    exit_code = 2


class ProtocolError(UsageError):
    """The protocol file cannot be used as written."""


class StudyError(UsageError):
    """The study folder or manifest cannot be read as a study."""


class OutputLockedError(UsageError):
    """Another run is at work in the same output folder."""


class ScanRefusedError(InfarctVolError, ValueError):
    """A scan is refused before anything is measured on it."""


class DamagedFileError(ScanRefusedError, OSError):
    """The file is not intact, or is not what its name says."""


class HeaderError(ScanRefusedError):
    """The header contradicts itself or cannot be interpreted."""


class MaskError(HeaderError):
    """Voxels that are no mask, or a mask that cannot be right on its image."""


class GridMismatchError(ScanRefusedError):
    """Two images that must share a voxel grid do not."""


class UnitError(ScanRefusedError):
    """The physical unit of an image cannot be settled."""


class PairError(ScanRefusedError):
    """Two images that should be of one head at one visit are not."""


class DiffusionError(ScanRefusedError):
    """A diffusion series cannot give a trace image or an ADC map."""


class BrainMaskError(ScanRefusedError):
    """No plausible brain was found in a scan."""


class RegistrationError(InfarctVolError, RuntimeError):
    """Two scans of one participant could not be registered."""


class SegmentationError(InfarctVolError, RuntimeError):
    """A lesion could not be segmented, which is not the same as no lesion."""


class MixedOutputError(UsageError):
    """One output folder holds results of different protocols or versions."""


class VerificationError(InfarctVolError, RuntimeError):
    """A self-verification did not hold one of its acceptance limits."""

    exit_code = 3


class ReviewError(InfarctVolError, ValueError):
    """A reader's request cannot be taken as it is; nothing was changed."""


class ConflictError(ReviewError):
    """Somebody else was faster; what was sent is kept in the trail, and does not count."""


class NotAllowedError(ReviewError, PermissionError):
    """A reader is not who they say, or may not do this."""


class LockedStudyError(UsageError):
    """The study is locked and signed; it must be unlocked, with a reason, before anything changes."""


class AuditError(InfarctVolError, RuntimeError):
    """The audit trail, or a file it vouches for, is not what it was."""

    exit_code = 3
