#!/usr/bin/env python3
"""Writes reference.safetensors: what PyTorch computes for the losses, layers and optimisers of this crate.

Run with Python packages torch, numpy and safetensors; the versions are in the file's metadata. The inputs are seeded random numbers.
"""

import pathlib

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
rng = np.random.default_rng(20261128)
found = {}


def draw(*shape):
    return torch.tensor(rng.normal(size=shape).astype(np.float32))


def keep(name, tensor):
    found[name] = tensor.detach().numpy().copy(order="C")


def info_nce(q, k, temperature):
    logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(q))) * 2 * temperature


def cosine(a, b):
    return (1 - F.cosine_similarity(a, b, dim=1)).mean()


def pair_loss(name, loss):
    a, b = draw(12, 7).requires_grad_(), draw(12, 7).requires_grad_()
    value = loss(a, b)
    value.backward()
    for key, tensor in [("a", a), ("b", b), ("loss", value.reshape(1)), ("grad_a", a.grad), ("grad_b", b.grad)]:
        keep(f"{name}.{key}", tensor)


pair_loss("info_nce_1", lambda a, b: info_nce(a, b, 1.0))
pair_loss("info_nce_03", lambda a, b: info_nce(a, b, 0.3))
pair_loss("cosine", cosine)



def gaussian(size=11, sigma=1.5):
    line = torch.tensor([np.exp(-((i - size // 2) ** 2) / (2 * sigma**2)) for i in range(size)], dtype=torch.float32)
    line = line / line.sum()
    return torch.outer(line, line)


def dissimilarity(a, b, span):
    channels = a.shape[1]
    window = gaussian().expand(channels, 1, 11, 11)

    def blur(image):
        return F.conv2d(image, window, padding=5, groups=channels)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    cov = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return 1 - (above / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean()


def focal(p, mask, gamma=2, smooth=1e-5):
    label = torch.cat([1 - mask, mask], 1).clamp(smooth, 1 - smooth)
    p = (label * p).sum(1) + smooth
    return -((1 - p) ** gamma * p.log()).mean()


image = torch.rand(2, 3, 16, 14, generator=torch.Generator().manual_seed(1)).requires_grad_()
noisy = (image.detach() + 0.2 * draw(2, 3, 16, 14)).requires_grad_()
value = dissimilarity(image, noisy, 1.0)
value.backward()
keep("ssim.a", image), keep("ssim.b", noisy), keep("ssim.loss", value.reshape(1))
keep("ssim.grad_a", image.grad), keep("ssim.grad_b", noisy.grad)

logits = draw(2, 2, 5, 6).requires_grad_()
mask = (draw(2, 1, 5, 6) > 0.5).float()
value = focal(torch.softmax(logits, 1), mask)
value.backward()
keep("focal.logits", logits), keep("focal.mask", mask), keep("focal.loss", value.reshape(1)), keep("focal.grad", logits.grad)

# LayerNorm, linear, GELU, linear; then three steps of AdamW as M3DM's fusion is trained with.
names = ["norm.gamma", "norm.beta", "up.weight", "up.bias", "down.weight", "down.bias"]
weights = [1 + 0.1 * draw(5), 0.1 * draw(5), draw(9, 5), draw(9), draw(4, 9), draw(4)]
weights = [w.requires_grad_() for w in weights]
x, target = draw(8, 5), draw(8, 4)


def perceptron():
    gamma, beta, up, up_bias, down, down_bias = weights
    hidden = F.gelu(F.linear(F.layer_norm(x, (5,), gamma, beta), up, up_bias))
    return F.linear(hidden, down, down_bias)


keep("perceptron.x", x)
keep("perceptron.target", target)
keep("perceptron.y", perceptron())
for name, weight in zip(names, weights):
    keep(f"perceptron.{name}", weight)
optimizer = torch.optim.AdamW(weights, lr=0.003, betas=(0.9, 0.95), eps=1e-8, weight_decay=1.5e-6)
for step in range(3):
    optimizer.zero_grad()
    F.mse_loss(perceptron(), target).backward()
    if step == 0:
        for name, weight in zip(names, weights):
            keep(f"perceptron.grad.{name}", weight.grad)
    optimizer.step()
for name, weight in zip(names, weights):
    keep(f"perceptron.after.{name}", weight)

# Two convolutions with batch norm, the first halved and doubled again on the way: the parts of EasyNet's networks. What comes out, gradients, and
# what comes out by the statistics that were seen. These keep the biased variance here, as burn does.
names = ["first.weight", "first.gamma", "first.beta", "second.weight", "second.gamma", "second.beta"]
weights = [0.3 * draw(4, 3, 3, 3), 1 + 0.1 * draw(4), 0.1 * draw(4), draw(2, 4, 1, 1), 1 + 0.1 * draw(2), 0.1 * draw(2)]
weights = [w.requires_grad_() for w in weights]
x, target = draw(2, 3, 8, 6).requires_grad_(), draw(2, 2, 8, 6)
seen = {}


def norm(name, y, gamma, beta, training):
    if training:
        variance, mean = torch.var_mean(y, (0, 2, 3), unbiased=False)
        seen[name] = ((0.9 * 0 + 0.1 * mean).detach(), (0.9 + 0.1 * variance).detach())
        return F.batch_norm(y, None, None, gamma, beta, True)
    return F.batch_norm(y, *seen[name], gamma, beta, False)


def picture(training):
    w1, g1, b1, w2, g2, b2 = weights
    y = F.relu(norm("first", F.conv2d(x, w1, padding=1), g1, b1, training))
    y = F.interpolate(F.max_pool2d(y, 2), scale_factor=2, mode="bilinear", align_corners=True)
    return F.leaky_relu(norm("second", F.conv2d(y, w2), g2, b2, training), 0.2)


y = picture(True)
F.mse_loss(y, target).backward()
keep("picture.x", x), keep("picture.target", target), keep("picture.y", y), keep("picture.grad.x", x.grad)
for name, weight in zip(names, weights):
    keep(f"picture.{name}", weight), keep(f"picture.grad.{name}", weight.grad)
keep("picture.seen", picture(False))

path = pathlib.Path(__file__).with_name("reference.safetensors")
safetensors.numpy.save_file(found, path, metadata={"torch": torch.__version__, "numpy": np.__version__})
print(f"{path.name}: {len(found)} tensors, {path.stat().st_size} bytes")
