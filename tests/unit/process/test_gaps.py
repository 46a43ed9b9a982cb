"""What a sandbox says that it does not enforce on an older kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.cmd import doctor
from klever.process import Confinement, Level
from klever.process.sandbox import PORT_GAP, Unconfined
from klever.process.sandbox.bubblewrap import Bubblewrap
from klever.process.sandbox.landlock import Landlock

WORDS = ("truncate", "IPv4 ports", "ioctl", "signal")


@pytest.mark.parametrize(("abi", "count"), [(1, 4), (2, 4), (3, 3), (4, 2), (5, 1), (6, 0), (7, 0)], ids=str)
def test_landlock_names_what_its_version_lacks(abi: int, count: int) -> None:
    gaps = Landlock(abi, root=False).gaps
    assert len(gaps) == count
    assert all(word in gap for word, gap in zip(WORDS[len(WORDS) - count :], gaps, strict=True))


@pytest.mark.parametrize(("abi", "gaps"), [(0, (PORT_GAP,)), (3, (PORT_GAP,)), (4, ()), (7, ())])
def test_bubblewrap_needs_landlock_for_ports_alone(abi: int, gaps: tuple[str, ...]) -> None:
    assert Bubblewrap(Path("/usr/bin/bwrap"), abi, root=True).gaps == gaps


@pytest.mark.parametrize("confinement", [Landlock(1, root=False), Landlock(7, root=False), Unconfined()])
def test_doctor_names_the_gaps(confinement: Confinement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "choose", lambda _binaries: confinement)
    (check,) = (check for check in doctor._checks(0) if check.name == "sandbox")
    assert check.found.startswith(confinement.level)
    assert all(gap in check.found for gap in confinement.gaps)
    assert check.ok == (confinement.level is not Level.NONE)
