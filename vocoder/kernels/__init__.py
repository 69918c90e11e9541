"""What numba compiles, and how it is run on the threads of torch."""
