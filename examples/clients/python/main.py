"""List Servings, create one, watch it until it is Ready, and ask it: `python main.py NAME MODEL`.

Needs grpcio and the package klever, which has the stubs. KLEVER_SERVER is HOST:PORT, KLEVER_TOKEN the token.
"""

import json
import os
import sys
import urllib.request

import grpc

from klever.v1alpha1 import common_pb2, serving_service_pb2, serving_service_pb2_grpc

name, model = sys.argv[1:]
server = os.environ["KLEVER_SERVER"]
token = (("authorization", f"Bearer {os.environ['KLEVER_TOKEN']}"),)

with grpc.insecure_channel(server) as channel:
    servings = serving_service_pb2_grpc.ServingServiceStub(channel)
    for known in servings.ListServings(serving_service_pb2.ListServingsRequest(page_size=100)).items:
        print("known:", known.metadata.name, known.status.phase)

    request = serving_service_pb2.CreateServingRequest(request_id=f"create-{name}")
    request.serving.metadata.name = name
    request.serving.spec.predictors.add(name="main", model=model)
    created = servings.CreateServing(request, metadata=token)
    print("created:", created.metadata.name)

    watch = servings.WatchServings(
        serving_service_pb2.WatchServingsRequest(namespace="default", filter=f'metadata.name = "{name}"'), timeout=120
    )
    for event in watch:
        if event.type == common_pb2.WatchEvent.ERROR:
            sys.exit(event.error.message)
        if any(c.type == "Ready" and c.status == "True" for c in event.object.status.conditions):
            break

url = f"http://{server}/seldon/default/{name}/v2/models/{name}"
inputs = [
    {"name": tensor["name"], "datatype": tensor["datatype"], "shape": [1, 5], "data": [1.0] * 5}
    for tensor in json.load(urllib.request.urlopen(url))["inputs"]
]
asked = urllib.request.Request(f"{url}/infer", json.dumps({"inputs": inputs}).encode())
print("answered:", json.load(urllib.request.urlopen(asked))["outputs"][0]["data"])
