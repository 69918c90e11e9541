"""Synthesize many mel files with several processes, in rows, resumably."""
