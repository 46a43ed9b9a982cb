"""Models as OCI artifacts: their metadata, ormbfile.yaml, and the dialects that tools pack them in.

Forbidden here: servers, Kubernetes, environment variables, model frameworks.
"""
