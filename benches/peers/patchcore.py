"""PatchCore on one scan, from a PNG of 800 x 800 to map and score, against anomalib's inferencer and its export to OpenVINO.

All have the same network (a ResNet-18, layers 2 and 3, at 256 x 256) and the same bank, 2048 rows of 384 values, that Assay
selected. Without weights from a file the network's are random, and its normalisation is that of the scans: an exact search takes
longer where vectors spread less evenly, and those of a network without normalisation hardly spread at all.
"""

import contextlib
import json
import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anomalib
import numpy as np
import onnxruntime
import openvino
import torch
import torchvision.transforms.v2
from anomalib.deploy import TorchInferencer
from anomalib.models import Patchcore
from PIL import Image

import features
from bench import Bench, Outcome, Row, alternate, timed
from programs import Station, assay

SIZE, INPUT = 800, 256
TRAINING, TESTS = 48, 24
BANK, COLUMNS = 2048, 384

# The scores agree to this part: scans are shrunk to bytes by different libraries.
TOLERANCE = 1e-2

# Scans at a time.
BATCH = 8

NORMALISE = torchvision.transforms.v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])

RECIPE = f"""
[sensors]
colour = "{{id}}.png"

[steps]
look = {{ method = "onnx", from = "colour", model = "resnet18.onnx", taps = ["c3", "c4"], size = {INPUT} }}
appearance = {{ method = "patchcore", from = "look", coreset = {BANK}, max_bank = {BANK} }}

[decide]
false_reject_rate = 0.1
"""


def prepare(bench: Bench) -> None:
    """Scans, the network and Assay's model."""
    for split, most in (("train", TRAINING), ("test", TESTS)):
        folder = bench.work / "scans" / split / "good"
        folder.mkdir(parents=True)
        for number, picture in enumerate(features.scans(bench.data, split, most)):
            image = Image.open(picture).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            image.save(folder / f"{number:03}.png")
    if bench.resnet18 is None:
        torch.save(random_weights(sorted((bench.work / "scans" / "train" / "good").iterdir())), weights(bench))
    subprocess.run(
        [sys.executable, bench.root / "docs/export_backbone.py", "torchvision:resnet18", "--taps", "c3=layer2", "c4=layer3",
         "--weights", weights(bench), "--size", str(INPUT), "--out", bench.work / "resnet18.onnx"],
        check=True, stdout=sys.stderr,
    )
    recipe = bench.work / "patchcore.toml"
    recipe.write_text(RECIPE)
    subprocess.run(assay(bench, "fit", recipe, data=bench.work / "scans", output=model(bench)), check=True)


def compare(bench: Bench, threads: int) -> Outcome:
    """Scans one after the other: each is scored by all before the next."""
    torch.set_num_threads(threads)
    scans = sorted((bench.work / "scans" / "test" / "good").iterdir())
    peer = Anomalib(bench, scans)
    exported = exported_call(bench, peer, threads)
    network = bench.work / "resnet18.onnx"
    pictures = [shrunk(scan).numpy() for scan in scans]
    planes = [np.ascontiguousarray(255 * picture) for picture in pictures]
    onnx, vino = onnxruntime_call(network, threads), openvino_call(network, threads, (1, 3, INPUT, INPUT))
    station = Station(bench, model(bench), threads)
    ours: list[dict] = []
    theirs: list[float] = []

    def in_turn(values: list) -> Callable[[int], object]:
        return lambda number: values[number % len(values)]

    def score(number: int) -> float:
        start = time.perf_counter()
        result = station.score(in_turn(scans)(number))
        ours.append(result | {"round_trip": (time.perf_counter() - start) * 1e3})
        return result["ms"]["total"]

    def call(number: int) -> float:
        return timed(lambda: theirs.append(float(exported(in_turn(pictures)(number))["pred_score"][0])))

    times = alternate(
        {
            "Assay": score,
            "anomalib": lambda number: timed(lambda: peer.predict(in_turn(scans)(number))),
            "OpenVINO": call,
            "network, ONNX Runtime": lambda number: timed(lambda: onnx(in_turn(planes)(number))),
            "network, OpenVINO": lambda number: timed(lambda: vino(in_turn(planes)(number))),
        },
        max(bench.repeats, len(scans)), warm_up=2,
    )
    station.close()

    scores = np.array([result["steps"]["appearance"] for result in ours])
    expected = np.array([peer.score(in_turn(scans)(number)) for number in range(len(ours))])
    off = float(np.max(np.abs(scores - expected) / expected))
    off_export = float(np.max(np.abs(np.array(theirs) * peer.scale - expected) / expected))
    work = f"PatchCore, one scan from a PNG of {SIZE} x {SIZE}"
    return Outcome(
        [
            Row(work, f"anomalib {anomalib.__version__} TorchInferencer", threads, times["anomalib"], times["Assay"],
                f"image scores to {off:.0e}", off <= TOLERANCE),
            Row(f"{work}; the peer without reading and shrinking it", f"OpenVINO {version()} f32, the model's call", threads,
                times["OpenVINO"], times["Assay"], f"image scores to {off_export:.0e} of anomalib's", off_export <= TOLERANCE),
        ],
        [parts(threads, ours, peer, times)],
    )


def parts(threads: int, ours: list[dict], peer: "Anomalib", times: dict[str, list[float]]) -> str:
    """Medians of each stage."""
    stages = {name: [result["ms"][name] for result in ours] for name in ours[0]["ms"]}
    stages["with the pipe"] = [result["round_trip"] for result in ours]
    words = {
        "Assay": said(stages),
        "anomalib": said(peer.stages | {"total": times["anomalib"]}),
        "alone": said({name: values for name, values in times.items() if name not in ("Assay", "anomalib")}),
    }
    return f"PatchCore's parts, threads {threads}, ms: " + "; ".join(f"{name}: {part}" for name, part in words.items())


def said(stages: dict[str, list[float]]) -> str:
    """Names and medians."""
    return ", ".join(f"{name} {statistics.median(values):.1f}" for name, values in stages.items())


class Anomalib:
    """anomalib's PatchCore as its inferencer runs it, with Assay's bank."""

    def __init__(self, bench: Bench, scans: list[Path]):
        module = Patchcore(
            backbone=resnet18(weights(bench)), layers=("layer2", "layer3"), pre_trained=False, evaluator=False, visualizer=False
        ).eval()
        module.model.memory_bank = torch.from_numpy(bank(model(bench)))
        self.module = module
        # The post-processor maps scores to 0..1; these statistics make that a division, which the check undoes.
        highest = max(self.score(scan) for scan in scans)
        self.scale = 2 * highest
        for level in ("image", "pixel"):
            for name, value in ((f"{level}_min", 0.0), (f"{level}_max", self.scale), (f"_{level}_threshold", highest)):
                getattr(module.post_processor, name).fill_(value)
        os.environ["TRUST_REMOTE_CODE"] = "1"  # of the file that was written a line before
        self.inferencer = TorchInferencer(module.to_torch(bench.work), device="cpu")
        self.stages: dict[str, list[float]] = {}
        self.watch()

    def predict(self, scan: Path) -> None:
        """Reads and scores a scan, and takes the time of each part."""
        self.marks = [("", time.perf_counter())]
        self.inferencer.predict(scan)
        for (_, start), (name, end) in zip(self.marks, self.marks[1:], strict=False):
            self.stages.setdefault(name, []).append((end - start) * 1e3)

    def watch(self) -> None:
        """Marks the time where parts begin or end."""
        module = self.inferencer.model

        def mark(name: str) -> Callable[..., None]:
            return lambda *_: self.marks.append((name, time.perf_counter()))

        module.register_forward_pre_hook(mark("load"))
        module.pre_processor.register_forward_hook(mark("preprocess"))
        module.model.feature_extractor.register_forward_hook(mark("network"))
        module.model.anomaly_map_generator.register_forward_pre_hook(mark("embedding and search"))
        module.model.anomaly_map_generator.register_forward_hook(mark("map"))
        module.post_processor.register_forward_hook(mark("post-process"))

    def score(self, scan: Path) -> float:
        """The model's image score of the picture that Assay sees; the inferencer shrinks scans without averaging."""
        with torch.no_grad():
            return float(self.module.model(NORMALISE(shrunk(scan))).pred_score[0])


def exported_call(bench: Bench, peer: Anomalib, threads: int) -> Callable[[np.ndarray], dict]:
    """anomalib's export for OpenVINO, for one picture at a time; the call takes one that is shrunk already."""
    options = {"dynamic_axes": {}, "opset_version": 18}
    with contextlib.redirect_stdout(sys.stderr):
        file = peer.module.to_openvino(bench.work, input_size=(INPUT, INPUT), onnx_kwargs=options)
    return openvino_call(file, threads)


def openvino_call(file: Path, threads: int, shape: tuple[int, ...] | None = None) -> Callable[[np.ndarray], dict]:
    """A network on OpenVINO, in f32 whatever the processor offers."""
    core = openvino.Core()
    network = core.read_model(file)
    if shape:
        network.reshape(shape)
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    return core.compile_model(network, "CPU", settings)


def onnxruntime_call(file: Path, threads: int) -> Callable[[np.ndarray], list]:
    """A network on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda planes: session.run(None, {"image": planes})


def shrunk(scan: Path) -> torch.Tensor:
    """A scan at the network's size, 0 to 1: [1, 3, rows, columns]."""
    image = Image.open(scan).convert("RGB").resize((INPUT, INPUT), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1)[None] / 255)


def resnet18(weights: Path) -> torch.nn.Module:
    """A ResNet-18 of a state dict."""
    network = torchvision.models.resnet18(weights=None)
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def random_weights(scans: list[Path]) -> dict[str, torch.Tensor]:
    """A state dict of random weights, the same each time; each channel is normalised as it spreads over the scans."""
    torch.manual_seed(features.SEED)
    network = torchvision.models.resnet18(weights=None).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # plain means of what follows
    with torch.no_grad():
        for first in range(0, len(scans), BATCH):
            network(NORMALISE(torch.cat([shrunk(scan) for scan in scans[first:first + BATCH]])))
    return network.state_dict()


def weights(bench: Bench) -> Path:
    """The network's state dict."""
    return bench.resnet18 or bench.work / "resnet18.pt"


def model(bench: Bench) -> Path:
    """Assay's model file."""
    return bench.work / "patchcore.assay"


def bank(file: Path) -> np.ndarray:
    """The memory bank in a model: docs/model-format.md has the layout; the step's section ends with columns, rows and values."""
    content = file.read_bytes()
    (length,) = struct.unpack_from("<Q", content, 12)
    end = 52 + length
    for section in json.loads(content[52:end])["sections"]:
        end += section["length"]
        if section["name"] == "state/appearance":
            start = end - BANK * COLUMNS * 4
            if struct.unpack_from("<2Q", content, start - 16) != (COLUMNS, BANK):
                raise RuntimeError(f"the bank of {file} is not {BANK} x {COLUMNS}")
            return np.frombuffer(content, "<f4", BANK * COLUMNS, start).reshape(BANK, COLUMNS).copy()
    raise RuntimeError(f"{file} has no bank")


def version() -> str:
    """OpenVINO's version, without its build."""
    return openvino.__version__.partition("-")[0]
