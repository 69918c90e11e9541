"""The corpora of the shipped files: Debian packages, and speech synthesized with Kokoro."""
