"""The Open Inference Protocol over gRPC."""

from concurrent import futures

import grpc
import inference
from bounds import RefusedError
from tensors import content, datatype, flat, texts, values
from tritonclient.grpc import service_pb2, service_pb2_grpc

THREADS, CALLS = 8, 256
"""How many calls are computed at a time, and how many are open."""
CODES = {404: grpc.StatusCode.NOT_FOUND, 403: grpc.StatusCode.PERMISSION_DENIED}


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, models):
        self._models = models

    def ServerLive(self, _request, _context):
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, _request, _context):
        return service_pb2.ServerReadyResponse(ready=True)

    def ServerMetadata(self, _request, _context):
        return service_pb2.ServerMetadataResponse(name="klever-openscoring", version="1")

    def ModelReady(self, request, context):
        self._model(request.name, context)
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelMetadata(self, request, context):
        described = inference.metadata(self._model(request.name, context))
        return service_pb2.ModelMetadataResponse(**described)

    def ModelInfer(self, request, context):
        model = self._model(request.model_name, context)
        try:
            return answered(model, request)
        except RefusedError as error:
            context.abort(CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error))

    def ModelStreamInfer(self, requests, _context):
        """Answer each message. An error ends only its message."""
        for request in requests:
            try:
                answer = answered(self._models.get(request.model_name), request)
                yield service_pb2.ModelStreamInferResponse(infer_response=answer)
            except RefusedError as error:
                yield service_pb2.ModelStreamInferResponse(error_message=str(error))

    def _model(self, name, context):
        try:
            return self._models.get(name)
        except RefusedError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))


def answered(model, request):
    columns = {
        tensor.name: read(tensor, found, model.bounds)
        for tensor, found in zip(request.inputs, raw(request), strict=True)
    }
    answer = service_pb2.ModelInferResponse(model_name=model.name, model_version="1", id=request.id)
    for one, found in inference.evaluate(model, columns, [output.name for output in request.outputs]):
        answer.outputs.add(name=one["id"], datatype=datatype(one), shape=[len(found)])
        answer.raw_output_contents.append(content(datatype(one), found))
    return answer


def raw(request):
    """The bytes of each input; None for inputs whose values are in `contents`."""
    found = list(request.raw_input_contents) or [None] * len(request.inputs)
    if len(found) != len(request.inputs):
        raise RefusedError(400, f"raw_input_contents has {len(found)} tensors: expected {len(request.inputs)}")
    return found


def read(tensor, content, bounds):
    if content is not None:
        return flat(tensor.shape, values(tensor.datatype, content, bounds))
    listed = [found for _, found in tensor.contents.ListFields()]
    bounds.check("scored_records", len(listed[0]) if listed else 0, "a tensor")
    found = list(listed[0]) if listed else []
    return flat(tensor.shape, texts(found) if tensor.datatype == "BYTES" else found)


def serve(models, address, max_bytes):
    """Start to serve at `HOST:PORT` or `unix:PATH`."""
    options = [("grpc.max_receive_message_length", max_bytes), ("grpc.max_send_message_length", max_bytes)]
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=options, maximum_concurrent_rpcs=CALLS)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(models), server)
    server.add_insecure_port(address)
    server.start()
    return server
