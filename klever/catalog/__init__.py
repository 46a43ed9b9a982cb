"""Projects, models and versions over an OCI registry, the platform's own or another."""
