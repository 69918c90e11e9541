"""The corpora behind the files that ship: Debian packages, and speech synthesized with Kokoro."""
