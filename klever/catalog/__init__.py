"""Projects, models and versions in an OCI registry, the platform's own or another."""
