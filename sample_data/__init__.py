"""Embedded sample trial."""
