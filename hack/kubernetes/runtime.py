"""The images that containerd has on the node."""

from __future__ import annotations

from pathlib import Path

from hack.kubernetes.images import BUSYBOX, PAUSE, write_busybox, write_pause
from hack.kubernetes.machine import Machine
from hack.kubernetes.packages import environment, program
from hack.kubernetes.processes import Processes

__all__ = ["Runtime"]


class Runtime:
    """Takes images from archives: there is no registry."""

    def __init__(self, machine: Machine, processes: Processes) -> None:
        self.machine = machine
        self.processes = processes

    def load(self, archive: Path) -> None:
        """Load the images of an archive such as `write_image` and `docker save` write."""
        self._images("import", str(archive.absolute()))

    def load_own(self) -> None:
        """Load the image that no pod can do without, and one to try pods with; wait for containerd first."""
        self.processes.until("containerd", self._answers)
        loaded = self._images("list", "--quiet").splitlines()
        for name, write in {PAUSE: write_pause, BUSYBOX: write_busybox}.items():
            if name not in loaded:
                archive = self.processes.root / "image.tar"
                write(archive)
                self.load(archive)
                archive.unlink()

    def _answers(self) -> bool:
        try:
            self._images("list", "--quiet")
        except RuntimeError:
            return False
        return True

    def _images(self, *arguments: str) -> str:
        command = [str(program("ctr")), "--namespace=k8s.io", "images", *arguments]
        return self.machine.run(*command, environment=environment())
