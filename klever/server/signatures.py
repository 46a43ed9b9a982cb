"""Converts signatures to messages of the API."""

from __future__ import annotations

from klever.formats import NO_DETAILS, Details, LanguageModel, Signature, Tensor
from klever.runtimes.openinference import protocol_type
from klever.v1alpha1 import model_service_pb2 as pb

__all__ = ["signature_message"]


def signature_message(signature: Signature | None) -> pb.Signature | None:
    """Return the message of a signature, or None."""
    if signature is None:
        return None
    return pb.Signature(
        inputs=map(_tensor, signature.inputs),
        outputs=map(_tensor, signature.outputs),
        layers=dict(signature.layers),
        details=_details(signature.details) if signature.details != NO_DETAILS else None,
    )


def _tensor(tensor: Tensor) -> pb.Tensor:
    return pb.Tensor(
        name=tensor.name,
        shape=pb.Shape(dims=tensor.size) if tensor.size is not None else None,
        datatype=protocol_type(tensor.dtype),
        dtype=tensor.dtype,
        op_type=tensor.op_type,
        values=tensor.values,
    )


def _details(details: Details) -> pb.ModelDetails:
    return pb.ModelDetails(
        format_version=details.format_version,
        producer=details.producer,
        parameters=details.parameters,
        parameter_bytes=details.parameter_bytes,
        memory_bytes=details.memory_bytes,
        classes=details.classes,
        language_model=_language_model(details.language_model) if details.language_model else None,
        warnings=details.warnings,
        feature_names=details.feature_names,
    )


def _language_model(model: LanguageModel) -> pb.LanguageModel:
    return pb.LanguageModel(
        architecture=model.architecture,
        quantization=model.quantization,
        context_length=model.context_length,
        chat_template=model.chat_template,
    )
