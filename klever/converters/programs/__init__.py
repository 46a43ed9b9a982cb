"""Programs of Klever's own converters: they run in the Python of their environment, where Klever is not installed."""
