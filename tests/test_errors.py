"""The error tree: one exit code a class, builtins a caller expects, and whole across processes."""

from __future__ import annotations

import pickle

import pytest

from infarct_vol import errors
from infarct_vol.errors import InfarctVolError

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, InfarctVolError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_survives_a_process_border(kind):
    error = kind("pixdim is 0; repair the header", where="sub-003 ses-M03 FLAIR")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "sub-003 ses-M03 FLAIR: pixdim is 0; repair the header"
    assert (copy.message, copy.where) == (error.message, error.where)


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_codes_are_those_of_the_command_line(kind):
    # 1: one case refused, all others done; 2: wrong usage, nothing run; 3: verification failed
    assert kind.exit_code == (2 if issubclass(kind, errors.UsageError) else kind.exit_code)
    assert kind.exit_code in {1, 2, 3}


@pytest.mark.parametrize(
    ("kind", "builtin", "code"),
    [
        (errors.ProtocolError, ValueError, 2),
        (errors.StudyError, ValueError, 2),
        (errors.DamagedFileError, OSError, 1),
        (errors.HeaderError, ValueError, 1),
        (errors.GridMismatchError, ValueError, 1),
        (errors.RegistrationError, RuntimeError, 1),
        (errors.SegmentationError, RuntimeError, 1),
    ],
)
def test_errors_are_the_builtins_a_caller_expects(kind, builtin, code):
    assert issubclass(kind, builtin)
    assert kind.exit_code == code


def test_a_message_without_a_case_stands_alone():
    assert str(InfarctVolError("no file")) == "no file"


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_what_it_stands_for(kind):
    assert kind.__doc__
