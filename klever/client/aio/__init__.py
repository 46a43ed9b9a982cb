"""The client for asyncio, from which `hack/generate` makes the other one."""
