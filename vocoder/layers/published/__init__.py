"""The stack and the upsampling of published WaveNets."""
