"""What made the shipped files and the figures of the documents; no part of the package that is installed."""
