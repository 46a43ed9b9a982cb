"""Ends every process of a data directory, the gateway first, so that no request reaches a stopping runtime."""

from __future__ import annotations

import asyncio

from klever.process import ProcessManager
from klever.routers.envoy.processes import PROCESS_ID

__all__ = ["stop_processes"]


async def stop_processes(processes: ProcessManager) -> int:
    """Stop all processes, including those that a killed shim left. Return how many were running."""
    states = await asyncio.to_thread(processes.list)
    ids = {state.spec.id for state in states}
    if PROCESS_ID in ids:
        await processes.stop(PROCESS_ID)
    await asyncio.gather(*(processes.stop(process_id) for process_id in ids - {PROCESS_ID}))
    return sum(state.phase != "Exited" for state in states)
