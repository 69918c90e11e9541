"""One synthesis that is asked for: read, checked and charged."""
