"""`python -m klever.cmd.access SOCKET TOKEN_FILE`: decides which requests the gateway lets pass.

It is a separate process under a shim, and outlives the control plane as the gateway does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from klever.auth.ext_authz import serve_access
from klever.auth.token_file import TokenFile


async def _serve(socket: Path, token: TokenFile) -> None:
    server = await serve_access(socket, token.access)
    await server.serve_forever()


def main() -> None:
    socket, token_file = map(Path, sys.argv[1:])
    token = TokenFile(token_file)
    socket.unlink(missing_ok=True)
    asyncio.run(_serve(socket, token))


if __name__ == "__main__":
    main()
