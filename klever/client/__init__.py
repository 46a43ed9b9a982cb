"""The client of a Klever server: `from klever import Client`, or `AsyncClient` for asyncio.

`klever.client.aio` is written by hand. `hack/generate` makes `klever.client.sync` from it. Results are the messages of
the API (`klever.v1alpha1`), and errors those of `klever.errors`. The command line is built on the client.
"""
