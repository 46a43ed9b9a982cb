"""The package tests/plugin, installed beside Klever: its format, converter, runtime and dialect do the whole job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import BIN, Platform, until

PLUGIN = Path(__file__).parents[1] / "plugin"
PMML = """<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">
  <Header/>
  <DataDictionary>
    <DataField name="a" optype="continuous" dataType="double"/>
    <DataField name="b" optype="continuous" dataType="double"/>
    <DataField name="y" optype="continuous" dataType="double"/>
  </DataDictionary>
  <RegressionModel functionName="regression">
    <MiningSchema>
      <MiningField name="a"/><MiningField name="b"/><MiningField name="y" usageType="target"/>
    </MiningSchema>
    <RegressionTable intercept="0.5">
      <NumericPredictor name="a" coefficient="2"/><NumericPredictor name="b" coefficient="-1"/>
    </RegressionTable>
  </RegressionModel>
</PMML>
"""
JOB = """
apiVersion: kleveross.io/v1alpha1
kind: ModelJob
metadata: {name: convert, namespace: team}
spec:
  model: team/line:pmml
  desiredTag: team/line:toy
  conversion: {mmdnn: {from: PMML, to: Toy}}
"""
REQUEST = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [1, 1, 3, 0]}]}
ANSWER = [1.5, 6.5]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a virtual environment with the packages of this one, and the plugin; nothing is downloaded."""
    root = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    packages = next(root.glob("lib/python*/site-packages"))
    shutil.copytree(sysconfig.get_path("purelib"), packages, copy_function=_link, dirs_exist_ok=True)
    for name in ("klever", "ormb"):
        _, _, program = (BIN / name).read_text().partition("\n")
        (root / "bin" / name).write_text(f"#!{root}/bin/python\n{program}")
        (root / "bin" / name).chmod(0o755)
    install = (*("-m", "pip", "install", "-q", "--no-index", "--no-deps"), "--no-build-isolation", str(PLUGIN))
    subprocess.run([str(root / "bin" / "python"), *install], check=True)
    return root / "bin"


def _link(source: str, target: str) -> None:
    """Link a file, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def platform(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), programs=programs)
    platform.env["XDG_CACHE_HOME"] = str(platform.root / "cache")  # the environment toy is made there
    platform.start()
    yield platform
    platform.clean_up()


def push(platform: Platform, tag: str, file: str, content: str, *flags: str) -> None:
    directory = platform.root / tag
    (directory / "model").mkdir(parents=True)
    (directory / "model" / file).write_text(content)
    platform.run("ormb", "save", str(directory), f"team/line:{tag}", *flags)
    platform.run("ormb", "push", f"team/line:{tag}")


def serves(platform: Platform, tag: str) -> list[float]:
    """Deploy a version, and return what it answers to the request."""
    platform.run("klever", "deploy", f"team/line:{tag}", "--name", tag, "--wait")
    answer = json.loads(platform.run("klever", "predict", tag, "--input", "-", stdin=json.dumps(REQUEST)).stdout)
    data: list[float] = answer["outputs"][0]["data"]
    return data


def test_a_model_goes_from_another_format_to_traffic_through_the_plugin(platform: Platform) -> None:
    push(platform, "pmml", "line.pmml", PMML)
    platform.run("klever", "apply", "-f", "-", stdin=JOB)
    platform.run("klever", "wait", "modeljob", "convert", "-n", "team", "--for=condition=Complete")
    version = platform.get("versions", "team/line:toy")
    assert version["format"] == "Toy"
    assert version["signature"]["inputs"] == [{"name": "x", "shape": [-1, 2], "datatype": "FP64", "dtype": "float64"}]
    assert serves(platform, "toy") == ANSWER


def test_an_artifact_of_the_plugins_dialect_is_read_extracted_and_served(platform: Platform) -> None:
    push(platform, "raw", "line.toy", json.dumps({"slope": [2, -1], "intercept": 0.5}), "--dialect", "toy")
    until(lambda: platform.get("versions", "team/line:raw").get("signature"))
    assert platform.get("versions", "team/line:raw")["dialect"] == "toy"
    assert serves(platform, "raw") == ANSWER
    exported = platform.root / "exported"
    platform.run("ormb", "pull", "team/line:raw")
    platform.run("ormb", "export", "team/line:raw", "-d", str(exported))
    assert (exported / "model" / "line.toy").is_file()


def test_a_model_that_the_plugins_reader_refuses_says_why(platform: Platform) -> None:
    push(platform, "bad", "line.toy", "[]")
    job = until(
        lambda: [j for j in platform.get("modeljobs", "-n", "team")["items"] if j["status"]["phase"] == "Failed"]
    )
    assert "line.toy is not a Toy model" in job[0]["status"]["message"]


def test_doctor_shows_plugins_and_those_that_are_disabled(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("KLEVER_API = 99\n")
    info = tmp_path / "broken-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[klever.formats]\nBroken = broken:ROW\n")
    shown = platform.run("klever", "doctor", check=False, PYTHONPATH=str(tmp_path)).stdout
    rows = {line.split("   ")[0]: line for line in shown.splitlines()}
    for name in ("formats/Toy", "environments/toy", "converters/PMML-Toy", "runtimes/toy", "dialects/toy"):
        assert rows[f"plugin {name}"].split()[2:] == ["ok", "klever-toy", "1.0", "-"]
    assert "broken 2.0, disabled: broken.KLEVER_API is 99" in rows["plugin formats/Broken"]
