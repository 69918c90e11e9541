"""Failures that a user should read as one line."""

from __future__ import annotations

__all__ = ["CommandError", "TrainingError"]


class CommandError(RuntimeError):
    """The work of a command failed for a reason that its text explains."""


class TrainingError(CommandError):
    """Training cannot go on."""
