"""Keras models in HDF5: the attribute `model_config`, and the size of the weights, which are not read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import only_match
from klever.formats.hdf5 import read_attribute
from klever.formats.hdf5_groups import count_datasets
from klever.formats.hdf5_objects import UnreadableError
from klever.formats.keras_config import MAX_CONFIG, signature_in
from klever.formats.signature import Signature

__all__ = ["read_signature"]

_LIMIT: Final = 16 << 30
_MAX_TEXT: Final = 200


def read_signature(model_dir: Path) -> Signature:
    """Read the signature: inputs are the input layers, outputs the output layers with inferred shapes."""
    path = only_match(model_dir, "*.h5|*.hdf5", _LIMIT)
    try:
        config = read_attribute(path, "model_config", MAX_CONFIG)
        version = read_attribute(path, "keras_version", _MAX_TEXT) or b""
        with path.open("rb") as file:
            weights = count_datasets(file)
    except UnreadableError as error:
        raise InvalidError(f"{path.name} is not an HDF5 file of Keras: {error}") from error
    if config is None:
        raise InvalidError(
            f"{path.name} contains weights ({weights.parameters} parameters) but no model: save the whole model with "
            "model.save(), not save_weights()"
        )
    details = Details(
        format_version="HDF5",
        producer=f"Keras {version.decode(errors='replace')}" if version else "",
        parameters=weights.parameters,
        parameter_bytes=weights.bytes,
    )
    return signature_in(config, f"{path.name}: its model_config", details)
