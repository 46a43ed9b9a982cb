"""Process entry points: the only package that chooses implementations, reads the environment and owns processes."""
