"""Exports a torchvision or timm model as an ONNX file with named feature outputs (taps) for Assay.

    python export_backbone.py torchvision:resnet18 --taps c2=layer1 c3=layer2 c4=layer3 --pretrained
    python export_backbone.py timm:vit_small_patch14_dinov2 --taps c4=blocks.7 --size 518 --fixed-size --pretrained

A tap is NAME=MODULE: the output of that module of the network (`--list` prints the modules) becomes the
output NAME of the ONNX file. What lies behind the last tap is left out.
Needs torch, onnx, onnxscript, and torchvision or timm. With onnxruntime the result is checked.
"""

import argparse
import hashlib
from pathlib import Path

import torch

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Taps(torch.nn.Module):
    """A network that returns the outputs of some of its modules."""

    def __init__(self, network, taps, mean, std, inside):
        super().__init__()
        self.network = network
        self.patch = patch_size(network)
        self.prefix = getattr(network, "num_prefix_tokens", 0)
        self.inside = inside
        self.register_buffer("mean", 255.0 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(std).view(1, 3, 1, 1)))
        self.seen = {}
        self.names = list(taps)
        for name, module in taps.items():
            network.get_submodule(module).register_forward_hook(self.keep(name))

    def keep(self, name):
        def hook(_module, _inputs, output):
            self.seen[name] = output

        return hook

    def forward(self, image):
        x = (image - self.mean) * self.scale if self.inside else image
        self.network(x)
        height, width = image.shape[2], image.shape[3]
        return tuple(self.as_grid(self.seen[name], height, width) for name in self.names)

    def as_grid(self, features, height, width):
        """Tokens [N, prefix + h*w, C] of a transformer become a grid [N, C, h, w]; grids stay as they are."""
        if features.dim() == 4:
            return features
        tokens = features[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(tokens.shape[0], tokens.shape[1], height // self.patch[0], width // self.patch[1])


def patch_size(network):
    embed = getattr(network, "patch_embed", None)
    return getattr(embed, "patch_size", (1, 1))


def create(name, pretrained):
    """The network and the mean and deviation of its training images."""
    library, _, model = name.partition(":")
    if library == "timm":
        import timm

        network = timm.create_model(model, pretrained=pretrained)
        return network, network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    if library == "torchvision":
        import torchvision

        weights = torchvision.models.get_model_weights(model).DEFAULT
        network = torchvision.models.get_model(model, weights=weights if pretrained else None)
        transforms = weights.transforms()
        return network, getattr(transforms, "mean", IMAGENET[0]), getattr(transforms, "std", IMAGENET[1])
    raise SystemExit(f"{name}: write timm:MODEL or torchvision:MODEL")


def check(path, model, sizes):
    try:
        import onnxruntime
    except ImportError:
        print("not checked: onnxruntime is not installed")
        return
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch, height, width in sizes:
        image = torch.rand(batch, 3, height, width) * (255.0 if model.inside else 1.0)
        with torch.no_grad():
            expected = model(image)
        for name, want, got in zip(model.names, expected, session.run(None, {"image": image.numpy()})):
            error = float((torch.from_numpy(got) - want).abs().max() / want.abs().max())
            print(f"{batch} x {height} x {width}: {name} {list(got.shape)}, differs from PyTorch by {error:.1e}")
            if not error < 1e-3:
                raise SystemExit("the exported file disagrees with PyTorch")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="timm:MODEL or torchvision:MODEL")
    parser.add_argument("--taps", nargs="+", metavar="NAME=MODULE", default=[])
    parser.add_argument("--list", action="store_true", help="print the modules that can be tapped, and stop")
    parser.add_argument("--out", type=Path, help="default: MODEL.onnx")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--pretrained", action="store_true", help="the library's weights (a download)")
    weights.add_argument("--weights", type=Path, help="a state dict of your own; without either, random weights")
    parser.add_argument("--normalise", choices=["inside", "outside"], default="inside",
                        help="inside: the input is RGB 0 to 255; outside: it is normalised already")
    parser.add_argument("--mean", nargs=3, type=float, help="of the training images, 0 to 1; default: the library's")
    parser.add_argument("--std", nargs=3, type=float)
    parser.add_argument("--size", type=int, default=224, help="height and width to trace with")
    parser.add_argument("--fixed-size", action="store_true", help="only that size; transformers need it")
    parser.add_argument("--opset", type=int, default=18)
    args = parser.parse_args()
    if any("=" not in tap for tap in args.taps):
        parser.error("a tap is NAME=MODULE, such as c3=layer2")
    if not args.list and not args.taps:
        parser.error("name the outputs with --taps NAME=MODULE, or see --list")
    return args


def main():
    args = arguments()
    network, mean, std = create(args.model, args.pretrained)
    if args.list:
        print("\n".join(name for name, _ in network.named_modules() if name))
        return
    taps = dict(tap.split("=", 1) for tap in args.taps)
    unknown = set(taps.values()) - {name for name, _ in network.named_modules()}
    if unknown:
        raise SystemExit(f"{args.model} has no module {', '.join(sorted(unknown))}: see --list")
    if args.weights:
        network.load_state_dict(torch.load(args.weights, map_location="cpu", weights_only=True))
    if hasattr(network, "set_input_size"):  # timm's transformers resample their position embedding
        if not args.fixed_size:
            raise SystemExit(f"{args.model} takes one size only: add --fixed-size, and --size if not {args.size}")
        network.set_input_size(img_size=args.size)
    model = Taps(network, taps, args.mean or mean, args.std or std, args.normalise == "inside").eval()

    out = args.out or Path(args.model.partition(":")[2] + ".onnx")
    batch = torch.export.Dim("N", min=1)
    axes = {0: batch} if args.fixed_size else {0: batch, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    # A batch of 2: a size of 1 would be taken for a constant. One file: Assay keeps models as single files.
    example = torch.rand(2, 3, args.size, args.size)
    torch.onnx.export(model, (example,), str(out), input_names=["image"], output_names=list(taps),
                      dynamic_shapes=(axes,), opset_version=args.opset, dynamo=True, external_data=False)
    sizes = [(1, args.size, args.size), (2, args.size, args.size)]
    check(out, model, sizes if args.fixed_size else sizes + [(1, args.size + 96, args.size + 32)])
    content = out.read_bytes()
    print(f"{out}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
