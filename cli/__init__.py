"""Command line of infarct-vol: no logic of its own, only options, messages and exit codes."""

import os

# read when numeric libraries are first loaded: cases are the parallel part, not the inside of one
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
