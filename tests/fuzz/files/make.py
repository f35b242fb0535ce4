"""Makes the small files beside this script, from which the readers' targets start: files as other programs write them.

Needs numpy, pillow, tifffile and imagecodecs. Run it in this folder.
"""

import struct

import numpy as np
import tifffile
from PIL import Image

ROWS, COLUMNS = 6, 5
row, column = np.mgrid[0:ROWS, 0:COLUMNS]
rgb = np.stack([40 * row, 50 * column, 255 - 30 * row], -1).astype(np.uint8)
grey = rgb[..., 1]
deep = (grey.astype(np.uint16) + 3) * 211
xyz = np.stack([0.1 * column, 0.1 * row, 1 + 0.01 * row * column], -1).astype(np.float32)
xyz[0, 0] = 0
xyz[1, 2, 1] = np.nan
depth = xyz[..., 2]


def pictures():
    Image.fromarray(rgb).save("rgb.png")
    Image.fromarray(grey).save("grey.png")
    Image.fromarray(deep).save("deep.png")
    Image.fromarray(np.dstack([rgb, grey])).save("alpha.png")
    Image.fromarray(rgb).quantize(7).save("palette.png")
    Image.fromarray(grey > 99).save("bits.png", icc_profile=b"profile", dpi=(72, 72))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    Image.fromarray(rgb).save("turned.png", exif=exif)
    Image.fromarray(rgb).save("turned.jpg", exif=exif, quality=60)
    Image.fromarray(rgb).save("progressive.jpg", progressive=True, quality=60)
    Image.fromarray(grey).save("grey.jpg", quality=60, restart_marker_blocks=1)
    Image.fromarray(np.dstack([rgb, grey]), "CMYK").save("cmyk.jpg", quality=60)
    for name, mode in [("rgb", "RGB"), ("grey", "L"), ("palette", "P"), ("bits", "1")]:
        Image.fromarray(rgb).convert(mode).save(f"{name}.bmp")


def tiffs():
    def write(name, values, **how):
        tifffile.imwrite(f"{name}.tiff", values, metadata=None, software=None, **how)

    write("xyz", xyz, photometric="rgb")
    write("xyz64", xyz.astype(np.float64), photometric="rgb", byteorder=">")
    write("planar", np.moveaxis(xyz, -1, 0), photometric="rgb", planarconfig="separate")
    write("planar_deflate", np.moveaxis(xyz, -1, 0), photometric="rgb", planarconfig="separate", compression="zlib")
    write("deflate_predicted", xyz, photometric="rgb", compression="zlib", predictor=True)
    write("lzw", xyz, photometric="rgb", compression="lzw", rowsperstrip=2)
    write("tiled", xyz, photometric="rgb", tile=(16, 16), compression="zlib")
    write("big", depth, bigtiff=True)
    write("depth16", deep, compression="packbits")
    write("depth64", depth.astype(np.float64), compression="zlib", predictor=True)
    write("half", depth.astype(np.float16))
    write("signed", deep.astype(np.int32))
    write("rgb", rgb, photometric="rgb", compression="lzw", predictor=True)
    write("grey", grey, photometric="miniswhite")
    write("bits", (grey > 99), photometric="minisblack")
    write("zstd", grey, compression="zstd")
    Image.fromarray(rgb).save("jpeg.tiff", compression="jpeg")
    Image.fromarray(rgb).quantize(7).save("palette.tiff")
    Image.fromarray(grey > 99).save("fax.tiff", compression="group4")


def clouds():
    points = xyz.reshape(-1, 3)[:7]
    face = "element face 1\nproperty list uchar int vertex_indices\n"
    for name, order in [("little", "<"), ("big", ">")]:
        head = f"ply\nformat binary_{name}_endian 1.0\ncomment made by hand\nelement vertex {len(points)}\n"
        head += "property double x\nproperty double y\nproperty double z\nproperty uchar red\n" + face + "end_header\n"
        body = b"".join(struct.pack(order + "3dB", *p, 9) for p in points.astype(float))
        open(f"{name}.ply", "wb").write(head.encode() + body + struct.pack(order + "B3i", 3, 0, 1, 2))
    head = f"ply\nformat ascii 1.0\nobj_info width 7\nobj_info height 1\nelement vertex {len(points)}\n"
    head += "property float x\nproperty float y\nproperty float z\n" + face + "end_header\n"
    body = "".join(f"{p[0]:g} {p[1]:g} {p[2]:g}\n" for p in points)
    open("ascii.ply", "w").write(head + body + "3 0 1 2\n")

    def pcd(name, data, body, width=len(points), height=1):
        head = "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 2\n"
        head += f"TYPE F F F U\nCOUNT 1 1 1 1\nWIDTH {width}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\n"
        open(f"{name}.pcd", "wb").write((head + f"POINTS {width * height}\nDATA {data}\n").encode() + body)

    pcd("ascii", "ascii", "".join(f"{p[0]:g} {p[1]:g} {p[2]:g} 5\n" for p in points).encode())
    grid = xyz.reshape(-1, 3)
    pcd("organised", "binary", b"".join(struct.pack("<3fH", *p, 5) for p in grid), COLUMNS, ROWS)
    fields = points.T.astype("<f4").tobytes() + np.full(len(points), 5, "<u2").tobytes()
    # LZF: runs of literals, and the last bytes as a copy of those two before.
    packed = b"".join(
        bytes([len(part) - 1]) + part for part in (fields[k : min(k + 32, len(fields) - 4)] for k in range(0, len(fields) - 4, 32))
    ) + bytes([(4 - 2) << 5, 1])
    pcd("compressed", "binary_compressed", struct.pack("<2I", len(packed), len(fields)) + packed)


def arrays():
    np.save("xyz.npy", xyz)
    np.save("xyz64.npy", xyz.astype(">f8"))
    np.save("planes.npy", np.ascontiguousarray(np.moveaxis(xyz, -1, 0)))
    np.save("fortran.npy", np.asfortranarray(depth))
    np.save("depth16.npy", deep)
    np.save("points.npy", xyz.reshape(-1, 3))
    np.save("mask.npy", grey > 99)


pictures()
tiffs()
clouds()
arrays()
