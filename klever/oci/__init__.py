"""Transport and storage of bytes: references, digests, manifests, the content store and the registry client.

This package knows nothing of models. Forbidden here: models and their formats, servers, Kubernetes, environment
variables.
"""
