"""OCI artifacts: references, digests, the content store, the registry client, and the dialects models are packed in.

Stands on `klever.formats` alone. Forbidden here: servers, Kubernetes, environment variables, model frameworks.
"""
