"""The client, which `hack/generate` makes from `klever.client.aio`: never edited."""
