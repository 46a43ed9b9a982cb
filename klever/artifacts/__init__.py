"""Models as OCI artifacts: their metadata, ormbfile.yaml, and the dialects in which tools pack them.

Forbidden here: servers, Kubernetes, environment variables, model frameworks.
"""
