"""The embedded OCI registry server (OCI distribution specification 1.1).

    server -> app -> handlers_* -> registry -> index, uploads, content

`registry` is the registry itself, usable in process; the modules above it speak HTTP. Content is on disk by digest. One
SQLite database next to it holds everything else: which repository may read which blob, manifests, tags.

Depends on `klever.oci`. Must not import the object store, kinds and controllers, Kubernetes, environment variables.
"""
