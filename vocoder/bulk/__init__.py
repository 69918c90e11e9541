"""Speak many mel files: by several processes, in rows, and so that a run that was stopped goes on where it was."""
