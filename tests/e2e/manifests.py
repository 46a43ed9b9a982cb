"""Objects as their users write them."""

from __future__ import annotations

from tests.e2e.platform import Platform, freeze, tasks, until
from tests.kubectl import Kubectl

__all__ = ["begin_job", "job", "make_ready", "serving"]


def serving(name: str, model: str = "team/adder:v1", replicas: int = 1) -> str:
    return f"""
apiVersion: kleveross.io/v1alpha1
kind: Serving
metadata: {{name: {name}}}
spec: {{predictors: [{{name: main, model: '{model}', replicas: {replicas}}}]}}
"""


def job(name: str, tag: str = "read") -> str:
    return f"""
apiVersion: kleveross.io/v1alpha1
kind: ModelJob
metadata: {{name: {name}}}
spec: {{model: 'team/adder:v1', desiredTag: 'team/adder:{tag}', extraction: {{format: ONNX}}}}
"""


def make_ready(cluster: Kubectl, name: str, namespace: str = "default") -> str:
    """Have kubectl make a Serving, and wait for it."""
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=serving(name))
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=60s", f"serving/{name}")
    return name


def begin_job(cluster: Kubectl, platform: Platform, name: str, namespace: str = "default") -> int:
    """Have kubectl make a job; returns the pid of its task, which stands still."""
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=job(name, name))
    (task,) = until(lambda: tasks(platform))
    freeze(int(task))
    running = "--for=jsonpath={.status.phase}=Running"
    cluster.kubectl("wait", "-n", namespace, running, "--timeout=20s", f"modeljob/{name}")
    return int(task)
