"""Projects, models and versions in the platform's registry or another OCI registry."""
