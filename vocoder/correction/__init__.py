"""The correction of audio towards its mel, in the order of a stream."""
