"""Transport and storage of bytes: references, digests, manifests, the content store and the registry client.

Nothing here knows what a model is. Forbidden here: models and their formats, servers, Kubernetes, environment
variables.
"""
