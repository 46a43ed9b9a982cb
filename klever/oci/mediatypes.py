"""Media types and annotation keys, each with the document that defines it."""

from __future__ import annotations

from typing import Final

# OCI image specification 1.1, media-types.md.
IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"

# Docker image manifest version 2, schema 2.
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

OCTET_STREAM: Final = "application/octet-stream"

# OCI image layout 1.1: the name of an index entry.
REF_NAME: Final = "org.opencontainers.image.ref.name"

MANIFESTS: Final = (IMAGE_MANIFEST, DOCKER_MANIFEST)
INDEXES: Final = (IMAGE_INDEX, DOCKER_MANIFEST_LIST)
