"""The embedded OCI registry server (OCI distribution specification 1.1).

    server -> app -> handlers_* -> registry -> index, uploads, content

`registry` is the registry itself, usable in process; the files above it speak HTTP. Content lies on disk by digest,
everything else (which repository may read which blob, manifests, tags) in one SQLite database beside it.

Stands on `klever.oci`. Forbidden here: the object store, kinds and controllers, Kubernetes, environment variables.
"""
