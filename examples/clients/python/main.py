"""List Servings, create one, watch it until it is Ready, and ask it: `python main.py NAME MODEL`.

KLEVER_SERVER is HOST:PORT, KLEVER_TOKEN the token; by default they are what `klever login` saved.
"""

import sys

import numpy as np

from klever import Client

name, model = sys.argv[1:]

with Client() as client:
    for known in client.servings.list():
        print("known:", known.metadata.name, known.status.phase)

    created = client.servings.create(
        {"metadata": {"name": name}, "spec": {"predictors": [{"name": "main", "model": model}]}},
        request_id=f"create-{name}",
    )
    print("created:", created.metadata.name)

    for event in client.servings.watch(name):
        if any(c.type == "Ready" and c.status == "True" for c in event.object.status.conditions):
            break

    prediction = client.predict(name, X=np.ones(5), Y=np.ones(5))
    print("answered:", prediction.array)
