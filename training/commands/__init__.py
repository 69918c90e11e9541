"""The commands of `vocoder-train`, one file each."""
