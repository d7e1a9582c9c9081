"""What can go wrong in a benchmark, told apart by what it means for the result."""

from __future__ import annotations


class SetUpError(Exception):
    """A peer cannot be set up here; it is listed with this reason."""


class RunError(Exception):
    """A run ended without a measurement: a process failed or took too long."""
