"""Whether a method finds defects or tells defective scans by something else.

    assay eval MODEL --data CATEGORY --maps MAPS
    python benches/in_place.py CATEGORY MAPS

Image AUROC of a category in MVTec 3D-AD's layout by the maximum of the maps: everywhere; of defective scans within NEAR pixels of their ground
truth alone; and of defective scans without that, which would be 0.5 if nothing but the defect told them from good ones. The last column counts the
defective scans whose greatest score lies within the first. Then, what tells scans apart without a look at the part: the share of pixels along the
picture's edge whose point was measured.

Needs numpy, Pillow, scipy and tifffile.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import binary_dilation

NEAR = 8
EDGE = 40


def auroc(good, bad):
    """The share of pairs in which the second is greater; half of those that are equal."""
    good, bad = np.asarray(good)[:, None], np.asarray(bad)[None, :]
    return float(((bad > good) + 0.5 * (bad == good)).mean())


def scans(category):
    """Kind and files of each test scan."""
    for points in sorted(category.glob("test/*/xyz/*.tiff")):
        kind = points.parent.parent.name
        yield kind, points, points.parent.parent / "gt" / f"{points.stem}.png"


def maps_in_place(category, maps):
    good, everywhere, inside, outside = [], [], [], []
    for kind, points, mask in scans(category):
        found = sorted(maps.glob(f"**/test/{kind}/{points.name}"))
        if len(found) != 1:
            sys.exit(f"{maps}: {len(found)} maps called test/{kind}/{points.name}")
        scores = tifffile.imread(found[0])
        if kind == "good":
            good.append(scores.max())
            continue
        near = binary_dilation(np.asarray(Image.open(mask)) > 0, iterations=NEAR)
        everywhere.append(scores.max())
        inside.append(scores[near].max())
        outside.append(scores[~near].max())
    print(f"maximum everywhere                 {auroc(good, everywhere):.3f}")
    print(f"in the defect's place              {auroc(good, inside):.3f}")
    print(f"without the defect's place         {auroc(good, outside):.3f}")
    peaks = sum(a >= b for a, b in zip(inside, outside))
    print(f"greatest score within its place    {peaks} of {len(inside)}")


def measured_beside(category):
    def share(file):
        measured = (tifffile.imread(file) != 0).any(axis=2)
        edge = np.ones_like(measured)
        edge[EDGE:-EDGE, EDGE:-EDGE] = False
        return measured[edge].mean()

    print("share of the edge's pixels that were measured, least and most")
    shares = {}
    for folder in ("train/good", "validation/good", *sorted({f"test/{kind}" for kind, *_ in scans(category)})):
        shares[folder] = [share(f) for f in sorted((category / folder / "xyz").glob("*.tiff"))]
        print(f"  {folder:16} {min(shares[folder]):.3f} {max(shares[folder]):.3f}")
    bad = [s for folder, all in shares.items() if folder.startswith("test/") and folder != "test/good" for s in all]
    print(f"AUROC of a smaller share           {auroc([-s for s in shares['test/good']], [-s for s in bad]):.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    maps_in_place(Path(sys.argv[1]), Path(sys.argv[2]))
    measured_beside(Path(sys.argv[1]))
