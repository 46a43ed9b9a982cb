"""Process entry points: the only place that chooses implementations, reads the environment and owns processes."""
