#!/usr/bin/env python3
"""Writes the encoder of a Point-MAE (Pang et al., ECCV 2022) as an ONNX file for the method `point-mae`, as M3DM uses it.

    python export_point_mae.py point_mae.onnx --weights pretrain.pth
    python export_point_mae.py random.onnx --random

Inputs: groups [1, centres, group, 3], points minus their centre, metres; centres [1, centres, 3]. Output: features [1, centres, 1152], those of
blocks 4, 8 and 12 side by side. Takes torch, onnx and onnxruntime; what comes out is compared with the network.
"""

import argparse

import torch
from torch import nn

WIDTH, HEADS, DEPTH, TAPS = 384, 6, 12, (3, 7, 11)


class Tokens(nn.Module):
    """A feature of each group of points: two small networks on points, each with the greatest value over the group."""

    def __init__(self):
        super().__init__()
        self.first_conv = nn.Sequential(nn.Conv1d(3, 128, 1), nn.BatchNorm1d(128), nn.ReLU(), nn.Conv1d(128, 256, 1))
        self.second_conv = nn.Sequential(nn.Conv1d(512, 512, 1), nn.BatchNorm1d(512), nn.ReLU(), nn.Conv1d(512, WIDTH, 1))

    def forward(self, groups):
        points = self.first_conv(groups.flatten(0, 1).transpose(1, 2))
        whole = points.amax(2, keepdim=True).expand_as(points)
        points = self.second_conv(torch.cat([whole, points], 1))
        return points.amax(2).unflatten(0, groups.shape[:2])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q * (WIDTH // HEADS) ** -0.5) @ k.transpose(2, 3)).softmax(3)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attn, self.norm2, self.mlp = nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH), Mlp()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))


class Encoder(nn.Module):
    """Named as in the published weights, so that these can be loaded."""

    def __init__(self):
        super().__init__()
        self.encoder, self.blocks, self.norm = Tokens(), Blocks(), nn.LayerNorm(WIDTH)
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, WIDTH))

    def forward(self, groups, centres):
        x, place = self.encoder(groups), self.pos_embed(centres)
        found = []
        for i, block in enumerate(self.blocks.blocks):
            x = block(x + place)
            if i in TAPS:
                found.append(self.norm(x))
        return torch.cat(found, 2)


def load(network, path):
    weights = torch.load(path, map_location="cpu", weights_only=True)
    weights = weights.get("base_model", weights)
    names = {k.removeprefix("module.").removeprefix("MAE_encoder."): v for k, v in weights.items()}
    missing, _ = network.load_state_dict(names, strict=False)
    if missing:
        raise SystemExit(f"{path} lacks {', '.join(missing[:5])}: no Point-MAE of width {WIDTH} and depth {DEPTH}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help="published or own weights, a .pth file")
    source.add_argument("--random", action="store_true", help="random weights, to try the path")
    parser.add_argument("--centres", type=int, default=1024)
    parser.add_argument("--group", type=int, default=128)
    args = parser.parse_args()
    torch.manual_seed(0)
    network = Encoder().eval()
    if args.weights:
        load(network, args.weights)
    groups, centres = 0.01 * torch.randn(1, args.centres, args.group, 3), 0.05 * torch.randn(1, args.centres, 3)
    torch.onnx.export(
        network, (groups, centres), args.onnx, input_names=["groups", "centres"], output_names=["features"],
        opset_version=17, dynamo=False,
    )
    import onnxruntime

    session = onnxruntime.InferenceSession(args.onnx, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"groups": groups.numpy(), "centres": centres.numpy()})
    with torch.no_grad():
        expected = network(groups, centres).numpy()
    apart = abs(found - expected).max() / abs(expected).max()
    print(f"{args.onnx}: features {list(found.shape)}, differs from the network by {apart:.1e} of its greatest value")
    if not apart < 1e-4:
        raise SystemExit("the file does not give what the network gives")


main()
