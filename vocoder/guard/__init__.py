"""The mel guard: check whether a mel follows its mel config, and if not, say what it is likely to be."""
