"""Analysis programs for SAS and R: plain text that is copied beside the datasets it reads.

They repeat the statistics and models of the package from ``adinfvol.xpt`` with other software. Paths in them
are relative to the folder they are copied to, below the one that holds the datasets.
"""
