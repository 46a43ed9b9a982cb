"""Triton's adapter: what it writes, checked by Triton's own message, and what it refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from klever.errors import InvalidError
from klever.formats import Signature, Tensor
from klever.limits import DEFAULTS
from klever.runtimes import Guard, Model, Placement, openinference
from klever.runtimes.triton import InstalledTriton, TritonRuntime, find
from klever.runtimes.tuning import Tuning

ADDER = Signature(tuple(Tensor(name, (1, 5), "float32") for name in "XY"), (Tensor("Z", (1, 5), "float32"),))
TYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "string"),
)
ALL_TYPES = Signature(
    tuple(Tensor(f"in_{dtype}", (-1, 3), dtype) for dtype in TYPES), (Tensor('odd "näme"\\\n', (), "float32"),)
)
INSTALLED = InstalledTriton(Path("/opt/tritonserver"), frozenset({"onnxruntime", "tensorflow", "pytorch", "python"}))
AT = Placement(
    "127.0.0.1",
    PurePosixPath("/data/store"),
    PurePosixPath("/data/work"),
    PurePosixPath("/cache/model"),
    sockets=PurePosixPath("/data/sockets/1"),
    environments={name: PurePosixPath("/environments", name) for name in ("triton", "tabular", "tensorflow", "torch")},
)
FILES = {
    "ONNX": ("digits.onnx", "weights/w.bin"),
    "SavedModel": ("saved_model.pb", "variables/variables.index"),
    "GraphDef": ("frozen.graphdef",),
    "TorchScript": ("net.pt",),
}

Golden = Callable[[str, str], None]


def model(signature: Signature | None = ADDER, format_: str = "ONNX") -> Model:
    return Model("digits", format_, FILES.get(format_, ()), signature)


def parsed(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


def test_the_configuration_is_one_of_tritons(golden: Golden) -> None:
    text = TritonRuntime().config(model(), threads=2)
    golden("triton/adder.pbtxt", text)
    config = parsed(text)
    assert (config.name, config.backend, config.max_batch_size) == ("digits", "python", 0)
    assert "max_batch_size: 0" in text
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("X", [1, 5]), ("Y", [1, 5])]
    assert config.parameters["intra_op_thread_count"].string_value == "2"


def test_an_installed_server_batches_rows_as_the_predictor_says() -> None:
    rows = Signature((Tensor("X", (-1, 5), "float32"),), (Tensor("Z", (-1, 2), "float32"),))
    tuning = Tuning(batch_rows=32, queue_delay_us=500, instances=2)
    config = parsed(TritonRuntime(INSTALLED).config(model(rows), 1, tuning))
    assert (config.max_batch_size, config.dynamic_batching.max_queue_delay_microseconds) == (32, 500)
    assert (list(config.input[0].dims), list(config.output[0].dims)) == ([5], [2])
    assert config.instance_group[0].count == 2
    with pytest.raises(InvalidError, match="batching needs a first dimension of -1"):
        TritonRuntime(INSTALLED).config(model(), 1, tuning)


def test_the_environments_server_leaves_batching_to_the_program_of_the_format() -> None:
    config = parsed(TritonRuntime().config(model(), 1, Tuning(batch_rows=32, queue_delay_us=500, instances=2)))
    assert (config.max_batch_size, config.instance_group[0].count) == (0, 2)
    given = {name: config.parameters[name].string_value for name in ("batch_rows", "queue_delay_us")}
    assert given == {"batch_rows": "32", "queue_delay_us": "500"}


def test_every_type_and_any_name_is_written_as_triton_reads_it(golden: Golden) -> None:
    text = TritonRuntime().config(model(ALL_TYPES))
    golden("triton/types.pbtxt", text)
    config = parsed(text)
    assert [DataType.Name(tensor.data_type) for tensor in config.input] == [
        *("TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64"),
        *("TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING"),
    ]
    (output,) = config.output
    assert output.name == 'odd "näme"\\\n'
    assert list(output.dims) == [1]
    with pytest.raises(InvalidError, match="is a scalar"):
        TritonRuntime(INSTALLED).check(model(ALL_TYPES))


@pytest.mark.parametrize(
    ("format_", "platform"),
    [
        ("ONNX", "onnxruntime_onnx"),
        ("SavedModel", "tensorflow_savedmodel"),
        ("GraphDef", "tensorflow_graphdef"),
        ("TorchScript", "pytorch_libtorch"),
    ],
)
def test_an_installed_server_runs_formats_by_its_own_backends(golden: Golden, format_: str, platform: str) -> None:
    runtime = TritonRuntime(INSTALLED, key="secret")
    assert runtime.environments(model(format_=format_)) == ()
    launch = runtime.launch(model(format_=format_), AT)
    config = parsed(launch.files["models/digits/config.pbtxt"].decode())
    assert (config.platform, config.backend) == (platform, "")
    assert launch.argv[:2] == ("/opt/tritonserver/bin/tritonserver", "--backend-directory=/opt/tritonserver/backends")
    links = "\n".join(f"{path} -> {target or '.'}" for path, target in sorted(launch.links.items()))
    golden(f"triton/installed-{format_}.txt", f"{launch.files['models/digits/config.pbtxt'].decode()}\n{links}\n")


def test_hidden_files_are_none_that_triton_opens() -> None:
    files = ("._model.onnx", "cache/.model.onnx", "digits.onnx")
    links = TritonRuntime().launch(replace(model(), files=files), AT).links
    assert links == {"model/model.onnx": "digits.onnx"}


def test_only_the_file_that_the_backend_opens_is_laid_out() -> None:
    """Python's backend imports what lies beside model.py, and what `__pycache__` holds there."""
    hostile = ("__init__.py", "__pycache__/model.cpython-311.pyc", "model.py", "model.abi3.so", "model/__init__.py")
    files = ("digits.onnx", "triton_python_backend_utils.py", *hostile)
    launch = TritonRuntime().launch(replace(model(), files=files), AT)
    assert launch.links == {"model/model.onnx": "digits.onnx"}
    programs = {f"models/digits/1/{name}.py" for name in ("batches", "model", "program", "tensors")}
    assert set(launch.files) == {"launch.py", "models/digits/config.pbtxt", *programs}


def test_without_directories_for_sockets_it_listens_on_ports() -> None:
    launch = TritonRuntime().launch(model(), replace(AT, sockets=None, http_port=1, grpc_port=2, metrics_port=3))
    assert (launch.http, launch.grpc, launch.metrics) == ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


def test_the_environments_server_is_started_for_one_model(golden: Golden) -> None:
    runtime = TritonRuntime(key="secret")
    assert runtime.environments(model()) == ("triton",)
    launch = runtime.launch(model(), replace(AT, env={"SIZE": "7", "MODEL_STORE": "mine"}, threads=2))
    variables = "\n".join(f"{name}={value}" for name, value in sorted(launch.env.items()))
    links = "\n".join(f"{path} -> {target}" for path, target in sorted(launch.links.items()))
    golden("triton/command.txt", "\n".join((*launch.argv, "", variables, "", links, "", *sorted(launch.files))) + "\n")
    assert launch == runtime.launch(model(), replace(AT, env={"SIZE": "7", "MODEL_STORE": "mine"}, threads=2))


def test_each_server_has_a_key_of_its_own() -> None:
    one, other = (TritonRuntime().launch(model(), AT).argv for _ in range(2))
    assert one != other


def test_health_is_an_inference_of_zeros() -> None:
    signature = Signature(
        (Tensor("a", (-1, 3), "float64"), Tensor("s", (2,), "string"), Tensor("n", (), "int64")),
        (Tensor("z", (-1,), "float32"),),
    )
    probe = TritonRuntime().probe(model(signature))
    head = int(probe.headers["Inference-Header-Content-Length"])
    assert (probe.method, probe.path) == ("POST", "/v2/models/digits/infer")
    assert b'"shape": [1, 3]' in probe.body[:head]
    assert (len(probe.body), probe.zeros) == (head, 3 * 8 + 2 * 4 + 8)


def test_an_example_is_the_same_as_json() -> None:
    assert openinference.example((Tensor("a", (-1, 2), "int32"), Tensor("s", (1,), "string")), DEFAULTS) == (
        b'{"inputs": [{"name": "a", "shape": [1, 2], "datatype": "INT32", "data": [0, 0]}, '
        b'{"name": "s", "shape": [1], "datatype": "BYTES", "data": [""]}]}'
    )
    with pytest.raises(InvalidError, match="'h' has the type float16"):
        openinference.example((Tensor("h", (1,), "float16"),), DEFAULTS)


def with_input(tensor: Tensor) -> Signature:
    return replace(ADDER, inputs=(*ADDER.inputs, tensor))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (model(None), "no signature"),
        (model(Signature()), "no inputs"),
        (model(with_input(Tensor("w", None, "float32"))), "input 'w' has an unknown rank"),
        (model(with_input(Tensor("w", None, ""))), "input 'w' has an unknown type: declare its dType and size"),
        (model(with_input(Tensor("w", (1,), "complex64"))), "'w'.*'complex64'"),
        (model(with_input(Tensor("w", (1,), "sequence(map(int64,float32))"))), "'w'.*'sequence"),
        (model(with_input(Tensor("w", (1,), "bfloat16"))), "'w' is bfloat16"),
        (model(with_input(Tensor("w", (0, 2), "float32"))), r"'w' has the shape \[0, 2\]"),
        (model(with_input(Tensor("", (1,), "float32"))), "has no name"),
        (model(format_="PMML"), "does not serve PMML"),
        (model(format_=""), "a model without a format"),
        (model(format_="NetDef"), "NetDef needs a Triton in /opt/tritonserver with the caffe2 backend"),
        (replace(model(), files=("readme.txt",)), "no file for Triton's model.onnx: .onnx is missing"),
        (replace(model(), files=("a.onnx", "b.onnx")), "several files for Triton's model.onnx: a.onnx, b.onnx"),
    ],
)
def test_tensors_that_triton_cannot_serve_are_refused_by_name(bad: Model, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        TritonRuntime().check(bad)


@pytest.mark.parametrize(
    ("format_", "served", "refused"),
    [("MLflow", "sklearn", "spark"), ("MLlib", "KMeansModel", "ALSModel"), ("MLlib", "mllib.SVMModel", "SVMModel")],
)
def test_a_layer_that_a_program_does_not_know_is_refused_by_name(format_: str, served: str, refused: str) -> None:
    def check(**layers: int) -> None:
        TritonRuntime().check(model(replace(ADDER, layers=layers), format_))

    check()
    check(**{served: 1})
    with pytest.raises(InvalidError, match=f"{format_} with {refused}"):
        check(**{served: 1, refused: 1})


@pytest.mark.parametrize("installed", [None, INSTALLED])
def test_tensorrt_without_a_gpu_and_its_backend_says_what_it_needs(installed: InstalledTriton | None) -> None:
    with pytest.raises(InvalidError, match="needs a GPU and a Triton in /opt/tritonserver with the tensorrt backend"):
        TritonRuntime(installed).check(model(format_="TensorRT"))


def test_the_environments_server_runs_what_the_installed_one_has_no_backend_for() -> None:
    runtime = TritonRuntime(replace(INSTALLED, backends=frozenset({"tensorflow"})))
    assert runtime.environments(model()) == ("triton",)
    assert runtime.launch(model(), AT).argv[0] == "/environments/triton/bin/python3"


@pytest.mark.parametrize(
    ("format_", "file"), [("SKLearn", "m.joblib"), ("Pickle", "m.pickle"), ("XGBoost", "m.xgboost")]
)
def test_a_format_of_a_framework_runs_in_an_environment_of_its_own(format_: str, file: str) -> None:
    served = replace(model(format_=format_), files=(file, "model.py", "framework.py"))
    runtime = TritonRuntime()
    assert runtime.environments(served) == ("triton", "tabular")
    launch = runtime.launch(served, AT)
    assert launch.argv[:5] == (
        *("/environments/triton/bin/python3", "-I", "/data/store/launch.py"),
        *("/data/work/backends", "/environments/tabular"),
    )
    assert launch.links == {"model/model": file}
    assert {"models/digits/1/model.py", "models/digits/1/framework.py"} < launch.files.keys()


@pytest.mark.parametrize(
    ("format_", "file", "environment", "link"),
    [
        ("SavedModel", "saved_model.pb", "tensorflow", {"model/saved_model": ""}),
        ("GraphDef", "frozen.graphdef", "tensorflow", {"model/model.graphdef": "frozen.graphdef"}),
        ("H5", "m.h5", "tensorflow", {"model/model.h5": "m.h5"}),
        ("Keras", "m.keras", "tensorflow", {"model/model.keras": "m.keras"}),
        ("TorchScript", "m.pt", "torch", {"model/model.pt": "m.pt"}),
    ],
)
def test_a_network_runs_in_the_environment_of_its_framework(
    format_: str, file: str, environment: str, link: dict[str, str]
) -> None:
    served = replace(model(format_=format_), files=(file, "model.py"))
    assert TritonRuntime().environments(served) == ("triton", environment)
    launch = TritonRuntime().launch(served, AT)
    assert launch.argv[4] == f"/environments/{environment}"
    assert launch.links == link


def test_a_network_may_give_outputs_of_any_rank() -> None:
    served = model(replace(ADDER, outputs=(Tensor("Z", None, "float32"),)), "GraphDef")
    assert [list(tensor.dims) for tensor in parsed(TritonRuntime().config(served)).output] == [[-1]]
    TritonRuntime().check(served)
    with pytest.raises(InvalidError, match="output 'Z' has an unknown rank"):
        TritonRuntime(INSTALLED).check(served)
    with pytest.raises(InvalidError, match="output 'Z' has an unknown rank"):
        TritonRuntime().check(model(served.signature))


def test_a_model_that_is_code_is_told_that_it_may_run() -> None:
    served = model(format_="H5")
    assert "code" not in parsed(TritonRuntime().config(served)).parameters
    assert "code" in parsed(TritonRuntime().config(replace(served, code=True))).parameters


def test_an_installation_is_found_by_its_server_and_backends(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    for path in ("bin/tritonserver", "backends/onnxruntime/libtriton_onnxruntime.so", "backends/README"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert find(tmp_path) == InstalledTriton(tmp_path, frozenset({"onnxruntime"}))
    (tmp_path / "TRITON_VERSION").write_text("2.60.0\n")
    assert find(tmp_path) == InstalledTriton(tmp_path, frozenset({"onnxruntime"}), "2.60.0")


@pytest.mark.parametrize(("version", "guard"), [("2.60.0", Guard.TRITON), ("9.0.0", Guard.NONE)])
def test_an_installed_server_is_used_and_guarded_by_its_version(
    version: str, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klever.runtimes.triton.versions._ROBUST", frozenset({"9.0.0"}))
    program = tmp_path / "bin" / "tritonserver"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (tmp_path / "backends" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "TRITON_VERSION").write_text(version)
    runtime = TritonRuntime(find(tmp_path))
    launch = runtime.launch(model(), AT)
    assert runtime.environments(model()) == ()
    assert launch.guard is guard
    printed = subprocess.run(launch.argv, capture_output=True, text=True, check=True).stdout
    assert f"--backend-directory={tmp_path}/backends" in printed.split()
    assert runtime.environments(model(format_="H5"))[0] == "triton"  # which it has no backend for


@pytest.mark.parametrize("installed", [None, INSTALLED, replace(INSTALLED, version="2.60.0")])
def test_a_server_that_is_not_known_to_withstand_every_request_is_guarded(installed: InstalledTriton | None) -> None:
    assert TritonRuntime(installed).launch(model(), AT).guard is Guard.TRITON


def test_a_server_that_withstands_every_request_is_not_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.runtimes.triton.versions._ROBUST", frozenset({"9.0.0"}))
    robust = replace(INSTALLED, version="9.0.0")
    assert TritonRuntime(robust).launch(model(), AT).guard is Guard.NONE
