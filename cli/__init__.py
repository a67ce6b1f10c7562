"""Command line of infarct-vol."""
