"""The scripts that made the shipped files: networks, adapters and measurements. Not in the wheel."""
