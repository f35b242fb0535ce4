"""Real features of a folder of scans, embedded as the engine embeds them."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from bench import Bench, Skip

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp"}

# Features of more scans than this are not kept.
MOST_SCANS = 80

SEED = 7


def scans(data: Path, split: str, most: int = MOST_SCANS) -> list[Path]:
    """The pictures of a split of a data set in MVTec AD or MVTec 3D-AD layout, evenly thinned to `most`."""
    found = sorted(p for p in (data / split).rglob("*") if p.suffix.lower() in ENDINGS and p.parent.name != "gt")
    if not found:
        raise SystemExit(f"{data / split}: no pictures")
    count = min(len(found), most)
    return [found[i * len(found) // count] for i in range(count)]


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network that takes pictures of 0 to 255, and how its outputs become rows."""

    name: str
    file: Path
    size: int
    taps: tuple[str, ...]
    embed: Callable[[list[np.ndarray]], np.ndarray]
    columns: int

    def rows(self, pictures: list[Path]) -> Iterator[np.ndarray]:
        """The rows [cells, columns] of each picture."""
        session = onnxruntime.InferenceSession(self.file, providers=["CPUExecutionProvider"])
        for picture in pictures:
            image = Image.open(picture).convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
            planes = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)[None]
            maps = session.run(list(self.taps), {session.get_inputs()[0].name: planes})
            yield self.embed([one[0] for one in maps])


def builtin(bench: Bench, size: int = 320, embed: Callable | None = None) -> Backbone:
    """EfficientNet-Lite0, which is built into Assay."""
    file = bench.root / "engine/inference/backbone/efficientnet-lite0.onnx"
    return Backbone("EfficientNet-Lite0", file, size, ("c2", "c3", "c4"), embed or side_by_side, 176)


def resnet50(bench: Bench) -> Backbone:
    """A ResNet-50 with the paper's pooling."""
    if bench.resnet50 is None:
        raise Skip("ResNet-50 features: name a file by --resnet50")
    return Backbone("ResNet-50", bench.resnet50, 224, ("c3", "c4"), joint, 1024)


def side_by_side(maps: list[np.ndarray]) -> np.ndarray:
    """Averages over 3 x 3 cells, brought to the finest grid, all channels: [cells, channels]."""
    finest = maps[0].shape[1:]
    means = [bilinear(shifted(one).mean(axis=1), finest) for one in maps]
    return np.concatenate(means).reshape(-1, finest[0] * finest[1]).T


def joint(maps: list[np.ndarray], width: int = 1024) -> np.ndarray:
    """The pooling of PatchCore's paper: each layer's 3 x 3 neighbourhoods to `width` values, then all layers to as many."""
    finest = maps[0].shape[1:]
    layers = []
    for one in maps:
        values = shifted(one).reshape(-1, one.shape[1] * one.shape[2])
        layers.append(bilinear(adaptive(values, width).reshape(width, *one.shape[1:]), finest))
    return adaptive(np.concatenate(layers).reshape(-1, finest[0] * finest[1]), width).T


def replicated(maps: list[np.ndarray]) -> np.ndarray:
    """PaDiM's rows: cells as they are, those of coarser grids repeated."""
    finest = maps[0].shape[1:]
    lines = [[np.arange(to) * size // to for to, size in zip(finest, one.shape[1:])] for one in maps]
    planes = [one[:, down[:, None], across] for one, (down, across) in zip(maps, lines)]
    return np.concatenate(planes).reshape(-1, finest[0] * finest[1]).T


def shifted(planes: np.ndarray) -> np.ndarray:
    """The 3 x 3 neighbourhood of each cell, zeros outside: [channels, 9, rows, columns]."""
    _, rows, columns = planes.shape
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    return np.stack([padded[:, y:y + rows, x:x + columns] for y in range(3) for x in range(3)], axis=1)


def adaptive(values: np.ndarray, width: int) -> np.ndarray:
    """Means over `width` parts of the first axis, which overlap where its length is no multiple."""
    length = len(values)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    part = np.arange(width)
    start, end = part * length // width, -(-(part + 1) * length // width)
    return ((sums[end] - sums[start]) / (end - start)[:, None]).astype(np.float32)


def bilinear(planes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Planes resized, half-pixel centres."""
    if planes.shape[1:] == shape:
        return planes
    down, across = (weights(size, to) for size, to in zip(planes.shape[1:], shape))
    return down @ planes @ across.T


def weights(size: int, to: int) -> np.ndarray:
    """The matrix [to, size] of a bilinear resize of one axis."""
    at = ((np.arange(to) + 0.5) * size / to - 0.5).clip(0, size - 1)
    low = np.floor(at).astype(int)
    matrix = np.zeros((to, size), dtype=np.float32)
    matrix[np.arange(to), low] += 1 - (at - low)
    matrix[np.arange(to), np.minimum(low + 1, size - 1)] += at - low
    return matrix


def training_rows(bench: Bench, backbone: Backbone, most: int) -> np.ndarray:
    """Up to `most` rows of the training scans, drawn evenly from each."""
    pictures = scans(bench.data, "train")
    random = np.random.default_rng(SEED)
    share = -(-most // len(pictures))
    parts = []
    for rows in backbone.rows(pictures):
        parts.append(rows[np.sort(random.permutation(len(rows))[:share])])
    return np.concatenate(parts)[:most]


def projected(rows: np.ndarray, columns: int = 128) -> np.ndarray:
    """A random projection, in which PatchCore selects its coreset."""
    matrix = np.random.default_rng(SEED).standard_normal((rows.shape[1], columns), dtype=np.float32)
    return rows @ (matrix / np.float32(columns**0.5))
