"""The networks of `bench/extraction.py`: models of 100 MB, whose weights Klever does not read."""

from __future__ import annotations

from bench.extraction_case import Case

__all__ = ["NETWORKS"]

_SAVED_MODEL = """
import sys, tensorflow as tf
class Model(tf.Module):
    def __init__(self):
        self.w = tf.Variable(tf.random.normal((5000, 5000)))
    @tf.function(input_signature=[tf.TensorSpec((None, 5000))])
    def __call__(self, x):
        return {"y": x @ self.w}
model = Model()
tf.saved_model.save(model, sys.argv[1], signatures=model.__call__)
"""
_GRAPH_DEF = """
import sys, numpy, tensorflow as tf
graph = tf.Graph()
with graph.as_default():
    x = tf.compat.v1.placeholder(tf.float32, (None, 5000), name="x")
    tf.matmul(x, tf.constant(numpy.random.rand(5000, 5000).astype("f")), name="y")
open(sys.argv[1] + "/m.graphdef", "wb").write(graph.as_graph_def().SerializeToString())
"""
_LOAD_GRAPH_DEF = """
import sys, tensorflow as tf
graph = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
tf.import_graph_def(graph)
"""
_KERAS = "model = keras.Sequential([keras.Input((5000,)), keras.layers.Dense(5000)]); "
_ONNX = """
import sys, numpy, onnx
from onnx import helper, numpy_helper
w = numpy_helper.from_array(numpy.random.rand(5000, 5000).astype("f"), "w")
x, y = (helper.make_tensor_value_info(name, 1, ["batch", 5000]) for name in "xy")
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [w])
onnx.save(helper.make_model(graph), sys.argv[1] + "/m.onnx")
"""
_MXNET = """
import sys, mxnet as mx
net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=5000, no_bias=True, name="fc")
net.save(sys.argv[1] + "/m-symbol.json")
mx.nd.save(sys.argv[1] + "/m-0000.params", {"arg:fc_weight": mx.nd.random.uniform(shape=(5000, 5000))})
"""
_LOAD_MXNET = """
import sys, mxnet as mx
mx.sym.load(sys.argv[1] + "/m-symbol.json")
mx.nd.load(sys.argv[1] + "/m-0000.params")
"""
_WIRE = """
import os, sys
def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])
def f(number, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value
weights = os.urandom(100_000_000)
shape = varint(1 << 3) + varint(5000)
"""
_CAFFE = """
blob = f(7, shape * 2) + f(5, weights)
open(sys.argv[1] + "/m.caffemodel", "wb").write(f(100, f(1, "fc") + f(2, "InnerProduct") + f(7, blob)))
open(sys.argv[1] + "/m.prototxt", "w").write('''
input: "x" input_shape { dim: 1 dim: 5000 }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 5000 bias_term: false } }
''')
"""
_LOAD_CAFFE = "import sys, cv2; cv2.dnn.readNetFromCaffe(sys.argv[1] + '/m.prototxt', sys.argv[1] + '/m.caffemodel')"
_NET_DEF = """
fill = f(2, "w") + f(4, "GivenTensorFill") + f(5, f(1, "shape") + (b"\\x30" + varint(5000)) * 2)
open(sys.argv[1] + "/init_net.pb", "wb").write(f(2, fill + f(5, f(1, "values") + f(5, weights))))
net = f(2, f(1, "x") + f(1, "w") + f(2, "y") + f(4, "MatMul")) + f(7, "x") + f(7, "w") + f(8, "y")
open(sys.argv[1] + "/predict_net.pb", "wb").write(net)
"""
_TORCH = """
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/m.pt", "w") as archive:
    storage = b"(X\\x07\\0\\0\\0storagectorch\\nFloatStorage\\nX\\x01\\0\\0\\x000X\\x03\\0\\0\\0cpuJ"
    storage += (25_000_000).to_bytes(4, "little") + b"tQ"
    archive.writestr("m/data.pkl", b"\\x80\\x02c__torch__\\nNet\\nq\\x00" + storage + b".")
    code = "class Net(Module):\\n  def forward(self: Net, x: Tensor) -> Tensor:\\n    return torch.matmul(x, self.w)\\n"
    archive.writestr("m/code/__torch__.py", code)
    archive.writestr("m/data/0", os.urandom(100_000_000))
"""
_GGUF = """
import sys, gguf, numpy
writer = gguf.GGUFWriter(sys.argv[1] + "/m.gguf", "llama")
writer.add_context_length(4096)
writer.add_token_list([f"token{n}" for n in range(128_000)])
writer.add_token_scores([0.0] * 128_000)
writer.add_token_merges([f"to ken{n}" for n in range(280_000)])
for n in range(23):
    writer.add_tensor(f"blk.{n}.w", numpy.random.rand(1000, 1000).astype("f"))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
"""
_SAFE_TENSORS = """
import sys, numpy
from safetensors.numpy import save_file
tensors = {f"layers.{n}.w": numpy.random.rand(250, 100).astype("f") for n in range(1000)}
save_file(tensors, sys.argv[1] + "/m.safetensors")
"""
_PMML = """
import sys
with open(sys.argv[1] + "/m.pmml", "w") as file:
    file.write('<PMML version="4.4"><DataDictionary><DataField name="x" optype="continuous" dataType="double"/>'
               '</DataDictionary><TreeModel functionName="regression">'
               '<MiningSchema><MiningField name="x"/></MiningSchema>')
    node = '<Node score="{0}.25"><SimplePredicate field="x" operator="lessThan" value="{0}.5"/></Node>'
    for n in range(1_000_000):
        file.write(node.format(n))
    file.write("</TreeModel></PMML>")
"""

NETWORKS = (
    Case(
        "SavedModel", "SavedModel", "", _SAVED_MODEL,
        "import sys, tensorflow; tensorflow.saved_model.load(sys.argv[1])", "tensorflow",
    ),
    Case("GraphDef", "GraphDef", "m.graphdef", _GRAPH_DEF, _LOAD_GRAPH_DEF, "tensorflow"),
    Case(
        "H5", "H5", "m.h5", f"import sys, tf_keras as keras; {_KERAS} model.save(sys.argv[1] + '/m.h5')",
        "import sys, tf_keras; tf_keras.models.load_model(sys.argv[1])", "tf_keras",
    ),
    Case(
        ".keras", "Keras", "m.keras", f"import sys, keras; {_KERAS} model.save(sys.argv[1] + '/m.keras')",
        "import sys, keras; keras.models.load_model(sys.argv[1])", "keras",
    ),
    Case("ONNX", "ONNX", "m.onnx", _ONNX, "import sys, onnx; onnx.load(sys.argv[1])", "onnx"),
    Case("MXNet", "MXNetParams", "", _MXNET, _LOAD_MXNET, "mxnet"),
    Case("Caffe", "CaffeModel", "", _WIRE + _CAFFE, _LOAD_CAFFE, "cv2"),
    Case("NetDef", "NetDef", "", _WIRE + _NET_DEF),
    Case("TorchScript", "TorchScript", "", _TORCH),
    Case("GGUF", "GGUF", "m.gguf", _GGUF, "import sys, gguf; gguf.GGUFReader(sys.argv[1])", "gguf"),
    Case(
        "SafeTensors", "SafeTensors", "m.safetensors", _SAFE_TENSORS,
        "import sys; from safetensors.numpy import load_file; load_file(sys.argv[1])", "safetensors",
    ),
    Case("PMML", "PMML", "", _PMML),
)  # fmt: skip
