"""Models as OCI artifacts: their metadata, ormbfile.yaml, and the dialects that tools pack them in.

Stands on `klever.oci` and `klever.formats`. Forbidden here: servers, Kubernetes, environment variables, model
frameworks.
"""
