"""Draws docs/calibration.svg: what a false-reject budget of 5 % promises to one station.

    python3 docs/calibration_figure.py        (needs matplotlib and scipy)

The rate of one station with n calibration parts and the k-th smallest score as threshold is Beta(n+1-k, k) distributed.
"""

import math
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from scipy.stats import beta

BUDGET = 0.05
plt.rcParams["svg.hashsalt"] = "assay"  # the same file every time
plt.rcParams["font.size"] = 10


def average_rank(n):
    return min(n, math.ceil((n + 1) * (1 - BUDGET) - 1e-9))


def confident_rank(n, confidence=0.95):
    return next((k for k in range(1, n + 1) if beta.cdf(BUDGET, n + 1 - k, k) >= confidence), None)


parts = list(range(19, 401))
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, constrained_layout=True)
for axis, rank, title in [
    (axes[0], average_rank, "on average (default)"),
    (axes[1], confident_rank, "confidence = 0.95"),
]:
    n = [p for p in parts if rank(p)]
    k = [rank(p) for p in n]
    low, middle, high = ([100 * beta.ppf(q, p + 1 - r, r) for p, r in zip(n, k)] for q in (0.05, 0.5, 0.95))
    axis.fill_between(n, low, high, color="#24569c", alpha=0.18, linewidth=0, label="9 of 10 stations")
    axis.plot(n, high, color="#24569c", linewidth=1, label="the bound that Assay prints")
    axis.plot(n, middle, color="#24569c", linewidth=2, label="half of the stations are below")
    axis.axhline(100 * BUDGET, color="#b3261e", linestyle="--", linewidth=1.2, label="the budget: 5 %")
    axis.set(title=title, xlabel="calibration parts", xlim=(0, 400), ylim=(0, 15.5))
    axis.grid(alpha=0.25)
axes[0].set_ylabel("good parts rejected at one station, %")
axes[1].axvline(59, color="#555", linewidth=0.8)
axes[1].annotate("59 parts: the least\nthat can promise this", (59, 12), (75, 12), color="#555")
axes[0].legend(frameon=False, loc="upper right")
out = pathlib.Path(__file__).with_name("calibration.svg")
figure.savefig(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
