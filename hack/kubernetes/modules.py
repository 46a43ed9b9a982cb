"""Programs that are built, once, from Go modules as they are published."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.kubernetes.cache import entry, fill
from hack.kubernetes.requirements import require

__all__ = ["Module"]


@dataclass(frozen=True, slots=True)
class Module:
    """A program of a module. `package` is its path in the module, `files` are further files to keep."""

    name: str
    module: str
    version: str
    package: str = ""
    tags: str = ""
    stamps: str = ""
    files: tuple[str, ...] = ()

    def prepare(self) -> Path:
        """Build the program unless it is there: minutes, once. Return the folder that has it and the files."""
        return fill(entry(self.name, [repr(self).encode()]), self._build)

    def _build(self, folder: Path) -> None:
        require(go="install Go 1.25 or later")
        folder.mkdir()
        package = f"{self.module}/{self.package}".rstrip("/")
        flags = ["-trimpath", "-buildvcs=false", f"-tags={self.tags}", f"-ldflags=-s -w {self.stamps}"]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder)}
        subprocess.run(["go", "install", *flags, f"{package}@{self.version}"], env=environment, check=True)
        for file in self.files:
            shutil.copy(self._source() / file, folder)

    def _source(self) -> Path:
        command = ["go", "mod", "download", "-json", f"{self.module}@{self.version}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return Path(json.loads(done.stdout)["Dir"])
