"""Scans as other programs write them, beside what those programs read back.

    python tests/peers/scans.py FOLDER [EXTRA ...]

needs numpy, pillow, tifffile and imagecodecs; opencv-python-headless, open3d, trimesh, plyfile, meshio and pypcd4 add
their dialects where they are installed. EXTRA are files or folders of pictures (a suite of test images): what Pillow
reads of them is expected, what it refuses may be refused or read. Then

    ASSAY_PEER_SCANS=FOLDER cargo test -p assay-data --test peers

reads each file of FOLDER/manifest.jsonl and compares number for number (pictures from JPEG: within a few levels).
"""

import importlib
import io
import json
import pathlib
import struct
import sys

import numpy as np
import tifffile
from PIL import Image, ImageOps

ROWS, COLUMNS = 37, 53
rng = np.random.default_rng(7)


def optional(name):
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken installation is as good as none
        print(f"without {name}: {error}", file=sys.stderr)
        return None


cv2, o3d, trimesh = optional("cv2"), optional("open3d"), optional("trimesh")
plyfile, meshio, pypcd4 = optional("plyfile"), optional("meshio"), optional("pypcd4")


class Suite:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest = (folder / "manifest.jsonl").open("w")
        self.number = 0

    def path(self, name):
        self.number += 1
        return self.folder / f"{self.number:04}-{name}"

    def note(self, path, kind, values, tolerance=0.0, **more):
        """`values`: what is expected; None = it must be refused."""
        line = {"file": path.name, "kind": kind, "tolerance": tolerance, "refused": values is None, **more}
        if values is not None:
            dtype = np.uint8 if kind in ("rgb", "gray", "mask") else "<f4"
            values = np.ascontiguousarray(values, dtype=dtype)
            expected = path.with_name(f"{path.name}.{kind}")
            expected.write_bytes(values.tobytes())
            line |= {"expected": expected.name, "shape": list(values.shape)}
        self.manifest.write(json.dumps(line) + "\n")


def eight(a):
    """16 bits to 8 as documented: round(v / 257)."""
    return ((a.astype(np.uint32) + 128) // 257).astype(np.uint8) if a.dtype == np.uint16 else a


def smooth(channels, dtype=np.uint8):
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    planes = [127 + 120 * np.sin(x / (5 + c) + y / (9 - c)) for c in range(channels)]
    scale = 257 if dtype == np.uint16 else 1
    return (np.stack(planes, -1) * scale + (rng.integers(0, 200, (ROWS, COLUMNS, channels)) if scale > 1 else 0)).astype(dtype)


def rgb_of(image):
    """A Pillow image as red, green, blue of 8 bits, upright, alpha dropped."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = eight(np.asarray(image).astype(np.uint16))
        return np.repeat(grey[..., None], 3, -1)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "RGBA":
        return np.asarray(image)[..., :3]
    if image.mode in ("LA", "1", "L"):
        return np.repeat(np.asarray(image.convert("LA"))[..., :1], 3, -1)
    return np.asarray(image.convert("RGB"))


def pillow_pictures(suite):
    rgb = Image.fromarray(smooth(3))
    grey = rgb.convert("L")
    modes = {
        "rgb": rgb,
        "rgba": Image.merge("RGBA", (*rgb.split(), grey)),
        "grey": grey,
        "la": Image.merge("LA", (grey, grey)),
        "1": grey.convert("1"),
        "p": rgb.quantize(200),
        "p16": rgb.quantize(16),
        "p4": rgb.quantize(4),
        "p2": rgb.quantize(2),
        "i16": Image.fromarray(smooth(1, np.uint16)[..., 0]),
        "cmyk": rgb.convert("CMYK"),
        "ycbcr": rgb.convert("YCbCr"),
    }
    variants = [("png", {}), ("png", {"optimize": True}), ("png", {"compress_level": 0}), ("bmp", {})]
    variants += [("tif", {"compression": c}) for c in
                 (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "group4", "jpeg", "zstd")]
    variants += [("jpg", {"quality": q, "subsampling": s, "progressive": p, "optimize": o})
                 for q in (60, 95) for s in (0, 1, 2) for p in (False, True) for o in (False, True)]
    variants += [("jpg", {"quality": 90, "restart_marker_rows": 1}), ("jpg", {"quality": 90, "restart_marker_blocks": 2})]
    for mode, image in modes.items():
        for ending, options in variants:
            words = "-".join(f"{v}" for v in options.values())
            path = suite.path(f"pil-{mode}-{words}.{ending}")
            try:
                image.save(path, **options)
                with Image.open(path) as read:
                    expected = rgb_of(read)
            except Exception:
                path.unlink(missing_ok=True)
                continue
            if mode == "la" and options.get("compression") == "jpeg":
                path.unlink()
                continue  # JPEGs of two samples are refused
            lossy = ending == "jpg" or options.get("compression") == "jpeg"
            subsampled = lossy and mode in ("rgb", "ycbcr", "cmyk", "rgba") and options.get("subsampling") != 0
            levels = 6.0 if subsampled else 3.0 if lossy else 1.0 if mode == "ycbcr" else 0.0
            suite.note(path, "rgb", expected, levels)
    for orientation in range(1, 9):
        for ending, image in (("png", rgb), ("jpg", rgb), ("tif", rgb), ("png", modes["i16"]), ("tif", modes["i16"])):
            exif = Image.Exif()
            exif[0x0112] = orientation
            path = suite.path(f"pil-orientation-{orientation}-{image.mode.replace(';', '')}.{ending}")
            options = {"quality": 95, "subsampling": 0} if ending == "jpg" else {}
            image.save(path, exif=exif, **options)
            flips = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
                     5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
                     8: np.rot90}
            upright = flips[orientation](np.asarray(image))
            wide = upright if upright.ndim == 3 else np.repeat(eight(upright)[..., None], 3, -1)
            suite.note(path, "rgb", wide, 8.0 if ending == "jpg" else 0.0)
            if image is not rgb:
                suite.note(path, "depth", upright.astype(np.float32)[None], metres=1.0)


def bitmaps(suite):
    """BMP layouts that Pillow does not write but reads: 4 bits, 16 bits, bit fields, top-down."""
    rgb = smooth(3)
    for bits, fields, top_down in ((24, None, True), (32, None, False), (32, (0xFF0000, 0xFF00, 0xFF), True),
                                   (16, None, False), (16, (0xF800, 0x7E0, 0x1F), False), (16, (0xF800, 0x7E0, 0x1F), True)):
        rows = rgb if top_down else rgb[::-1]
        out = []
        for row in rows.astype(np.uint32):
            r, g, b = row.T
            if bits == 24:
                data = np.stack([b, g, r], -1).astype(np.uint8).tobytes()
            elif bits == 32:
                data = (r << 16 | g << 8 | b).astype("<u4").tobytes()
            elif fields:
                data = (r >> 3 << 11 | g >> 2 << 5 | b >> 3).astype("<u2").tobytes()
            else:
                data = (r >> 3 << 10 | g >> 3 << 5 | b >> 3).astype("<u2").tobytes()
            out.append(data + bytes(-len(data) % 4))
        pixels = b"".join(out)
        masks = struct.pack("<3I", *fields) if fields else b""
        start = 54 + len(masks)
        height = -ROWS if top_down else ROWS
        info = struct.pack("<IiiHHIIiiII", 40, COLUMNS, height, 1, bits, 3 if fields else 0, len(pixels), 0, 0, 0, 0)
        path = suite.path(f"bmp-{bits}-{'fields' if fields else 'plain'}-{'down' if top_down else 'up'}.bmp")
        path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + masks + pixels)
        with Image.open(path) as read:
            # Five and six bits are widened with a rounding of each reader's own.
            suite.note(path, "rgb", rgb_of(read), 0.0 if bits > 16 else 1.0)


def tiffs(suite):
    xyz = rng.normal(size=(ROWS, COLUMNS, 3)) + 2
    xyz[rng.random((ROWS, COLUMNS)) < 0.1] = 0
    xyz[0, 0] = np.nan
    zeroed = np.where(np.isfinite(xyz).all(-1, keepdims=True), xyz, 0)
    compressions = [None, "lzw", "zlib", "packbits", "zstd"]
    for dtype in ("f2", "f4", "f8"):
        for order in "<>":
            for big in (False, True):
                for compression in compressions:
                    for predictor in (None, 2, 3) if compression in ("lzw", "zlib", "zstd") else (None,):
                        for planar in ("contig", "separate"):
                            for layout in ({}, {"rowsperstrip": 5}, {"tile": (16, 16)}, {"tile": (64, 64)}):
                                if rng.random() > 0.25:
                                    continue
                                data = xyz.astype(order + dtype)
                                stored = np.moveaxis(data, -1, 0) if planar == "separate" else data
                                words = f"{dtype}-{'le' if order == '<' else 'be'}-{'big' if big else 'classic'}-{compression}-{predictor}-{planar}-{'-'.join(map(str, layout))}"
                                path = suite.path(f"tifffile-{words}.tif")
                                try:
                                    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, byteorder=order,
                                                     bigtiff=big, compression=compression, predictor=predictor, **layout)
                                    back = tifffile.imread(path)
                                except Exception:
                                    path.unlink(missing_ok=True)
                                    continue
                                back = back if planar == "separate" else np.moveaxis(back, -1, 0)
                                good = np.isfinite(back).all(0)
                                suite.note(path, "xyz", np.where(good, back, 0).astype(np.float32))
    for dtype in ("u2", "u4", "f2", "f4", "f8"):
        depth = (rng.random((ROWS, COLUMNS)) * 5000).astype(dtype)
        for options in ({}, {"tile": (16, 32), "compression": "zlib", "predictor": True}, {"compression": "lzw"},
                        {"photometric": "minisblack", "byteorder": ">"}):
            path = suite.path(f"tifffile-depth-{dtype}.tif")
            tifffile.imwrite(path, depth, **options)
            suite.note(path, "depth", depth.astype(np.float32)[None], metres=1.0)
    for dtype in (np.uint8, np.uint16):
        for channels, photometric in ((1, "minisblack"), (1, "miniswhite"), (3, "rgb"), (4, "rgb"), (2, "minisblack")):
            for planar in ("contig", "separate"):
                for options in ({}, {"tile": (16, 16)}, {"rowsperstrip": 4, "compression": "lzw", "predictor": 2},
                                {"compression": "zstd", "tile": (32, 48)}, {"compression": "jpeg"},
                                {"byteorder": ">", "bigtiff": True}):
                    if options.get("compression") == "jpeg" and (dtype is np.uint16 or channels == 2):
                        continue  # 12 bits, and JPEGs of two samples: refused
                    picture = smooth(channels, dtype)
                    data = picture[..., 0] if channels == 1 else picture
                    if planar == "separate":
                        if channels == 1:
                            continue
                        data = np.moveaxis(data, -1, 0)
                    path = suite.path(f"tifffile-{channels}-{photometric}-{planar}-{'-'.join(map(str, options.values()))}.tif".replace(" ", ""))
                    try:
                        tifffile.imwrite(path, data, photometric=photometric,
                                         planarconfig=None if channels == 1 else planar, **options)
                        back = tifffile.imread(path)
                    except Exception:
                        path.unlink(missing_ok=True)
                        continue
                    back = back if channels == 1 or planar == "contig" else np.moveaxis(back, 0, -1)
                    back = back[..., None] if back.ndim == 2 else back
                    back = ~back if photometric == "miniswhite" else back
                    back = back[..., :3] if channels > 2 else np.repeat(back[..., :1], 3, -1)
                    suite.note(path, "rgb", eight(back), 3.0 if options.get("compression") == "jpeg" else 0.0)


def arrays(suite):
    xyz = rng.normal(size=(ROWS, COLUMNS, 3)) + 2
    for dtype in ("<f2", "<f4", ">f4", "<f8", ">f8"):
        path = suite.path(f"xyz-{dtype[1:]}.npy")
        np.save(path, xyz.astype(dtype))
        suite.note(path, "xyz", np.moveaxis(xyz.astype(dtype).astype(np.float32), -1, 0))
        suite.note(path, "points", xyz.astype(dtype).astype(np.float32).reshape(-1, 3))
        path = suite.path(f"points-{dtype[1:]}.npy")
        np.save(path, xyz.astype(dtype).reshape(-1, 3))
        suite.note(path, "points", xyz.astype(dtype).astype(np.float32).reshape(-1, 3))
    path = suite.path("planes.npy")
    np.save(path, np.moveaxis(xyz, -1, 0).copy())
    suite.note(path, "xyz", None)
    path = suite.path("fortran.npy")
    np.save(path, np.asfortranarray(xyz))
    suite.note(path, "xyz", None)
    for dtype in ("<u2", ">u2", "<u4", "<f4", "<f8"):
        depth = (rng.random((ROWS, COLUMNS)) * 5000).astype(dtype)
        path = suite.path(f"depth-{dtype[1:]}.npy")
        np.save(path, depth)
        suite.note(path, "depth", depth.astype(np.float32)[None], metres=1.0)
    for channels in (0, 1, 3, 4):
        for dtype in (np.uint8, np.uint16, np.dtype(">u2")):
            picture = smooth(channels or 1, np.uint16 if np.dtype(dtype).itemsize == 2 else np.uint8).astype(dtype)
            path = suite.path(f"picture-{channels}.npy")
            np.save(path, picture if channels else picture[..., 0])
            picture = eight(picture.astype(np.uint16) if picture.dtype.itemsize == 2 else picture)
            suite.note(path, "rgb", picture[..., :3] if channels > 2 else np.repeat(picture, 3, -1))


def opencv(suite):
    rgb, deep = smooth(3), smooth(3, np.uint16)
    files = [("rgb.png", rgb, []), ("rgb16.png", deep, []), ("rgb.bmp", rgb, []), ("rgb.tiff", rgb, []),
             ("rgb16.tiff", deep, []), ("grey.png", rgb[..., 0], []), ("grey16.png", deep[..., 0], []),
             ("rgb.jpg", rgb, []), ("progressive.jpg", rgb, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
             ("restart.jpg", rgb, [cv2.IMWRITE_JPEG_RST_INTERVAL, 3]), ("grey.bmp", rgb[..., 0], [])]
    for name, image, options in files:
        path = suite.path(f"cv-{name}")
        cv2.imwrite(str(path), image, options)
        back = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        back = np.repeat(back[..., None], 3, -1) if back.ndim == 2 else back[..., ::-1]
        suite.note(path, "rgb", eight(back), 6.0 if name.endswith("jpg") else 0.0)
    xyz = (rng.normal(size=(ROWS, COLUMNS, 3)) + 2).astype(np.float32)
    path = suite.path("cv-xyz.tiff")
    cv2.imwrite(str(path), xyz)
    suite.note(path, "xyz", np.moveaxis(xyz[..., ::-1], -1, 0))
    path = suite.path("cv-depth.tiff")
    cv2.imwrite(str(path), xyz[..., 0] + 10)
    suite.note(path, "depth", (xyz[..., 0] + 10)[None], metres=1.0)
    path = suite.path("cv-depth.png")
    cv2.imwrite(str(path), deep[..., 0])
    suite.note(path, "depth", deep[..., 0].astype(np.float32)[None], metres=1.0)


def clouds(suite):
    points = (rng.normal(size=(500, 3)) * 3).astype(np.float32)
    normals, colours = rng.normal(size=points.shape).astype(np.float32), rng.integers(0, 255, points.shape).astype(np.uint8)
    text_tolerance = 1e-5

    def note(path, values=points, tolerance=0.0):
        suite.note(path, "points", values, tolerance)

    if o3d:
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.astype(np.float64)))
        cloud.normals = o3d.utility.Vector3dVector(normals.astype(np.float64))
        cloud.colors = o3d.utility.Vector3dVector(colours / 255.0)
        for ending in ("ply", "pcd"):
            for text in (False, True):
                for compressed in (False, True):
                    path = suite.path(f"open3d-{text}-{compressed}.{ending}")
                    o3d.io.write_point_cloud(str(path), cloud, write_ascii=text, compressed=compressed)
                    note(path, np.asarray(o3d.io.read_point_cloud(str(path)).points), text_tolerance if text else 0.0)
        tensor = o3d.t.geometry.PointCloud(points)
        tensor.point.normals, tensor.point.scan = normals, np.arange(500, dtype=np.int32)[:, None]
        for ending in ("ply", "pcd"):
            for text in (False, True):
                path = suite.path(f"open3d-tensor-{text}.{ending}")
                o3d.t.io.write_point_cloud(str(path), tensor, write_ascii=text)
                note(path, points, text_tolerance)
        mesh = o3d.geometry.TriangleMesh.create_sphere(1.0, 12)
        path = suite.path("open3d-mesh.ply")
        o3d.io.write_triangle_mesh(str(path), mesh)
        note(path, np.asarray(mesh.vertices))
    if trimesh:
        sphere = trimesh.creation.icosphere(2)
        for name, geometry in (("mesh", sphere), ("cloud", trimesh.PointCloud(points, colours))):
            for encoding in ("ascii", "binary"):
                path = suite.path(f"trimesh-{name}-{encoding}.ply")
                path.write_bytes(trimesh.exchange.ply.export_ply(geometry, encoding=encoding))
                note(path, geometry.vertices, text_tolerance)
    if plyfile:
        for text in (False, True):
            for order in "<>":
                kinds = [("weight", "f8"), ("x", "f8"), ("y", "f8"), ("z", "f8"), ("flags", "i2"), ("scalar_C2C_absolute", "f4")]
                vertex = np.zeros(500, dtype=kinds)
                for k, axis in enumerate("xyz"):
                    vertex[axis] = points[:, k]
                lists = np.empty(500, dtype=[("indices", "O")])
                lists["indices"] = [rng.integers(0, 500, rng.integers(0, 6)).astype(np.int32) for _ in range(500)]
                mixed = np.empty(500, dtype=[("neighbours", "O"), ("x", "f4"), ("y", "f4"), ("z", "f4")])
                mixed["neighbours"] = lists["indices"]
                for k, axis in enumerate("xyz"):
                    mixed[axis] = points[:, k]
                elements = {
                    "vertex": [plyfile.PlyElement.describe(vertex, "vertex")],
                    "behind-lists": [plyfile.PlyElement.describe(lists, "edges"), plyfile.PlyElement.describe(vertex, "vertex")],
                    "with-lists": [plyfile.PlyElement.describe(mixed, "vertex")],
                }
                if order == ">" and not text:
                    del elements["with-lists"]  # plyfile does not swap the bytes of such rows
                for name, parts in elements.items():
                    path = suite.path(f"plyfile-{name}-{text}-{'le' if order == '<' else 'be'}.ply")
                    plyfile.PlyData(parts, text=text, byte_order=order, comments=["made by a test"], obj_info=["a line"]).write(str(path))
                    note(path, tolerance=text_tolerance if text else 0.0)
    if meshio:
        for binary in (False, True):
            path = suite.path(f"meshio-{binary}.ply")
            meshio.write(path, meshio.Mesh(points, [("triangle", [[0, 1, 2], [2, 3, 4]])]), file_format="ply", binary=binary)
            note(path, tolerance=text_tolerance)
    if pypcd4:
        for encoding in ("ASCII", "BINARY", "BINARY_COMPRESSED"):
            cloud = pypcd4.PointCloud.from_xyzi_points(np.hstack([points, points[:, :1]]))
            path = suite.path(f"pypcd4-{encoding}.pcd")
            cloud.save(path, encoding=getattr(pypcd4.Encoding, encoding))
            note(path, tolerance=text_tolerance if encoding == "ASCII" else 0.0)
    dialects(suite, points)


def dialects(suite, points):
    """Headers as programs write them that are not to be had here: PCL, CloudCompare, MeshLab, range scanners."""
    n = len(points)
    holes = points.copy()
    holes[::7] = np.nan
    measured = np.where(np.isnan(holes), 0, holes)
    text = "\n".join(" ".join("nan" if np.isnan(v) else repr(float(v)) for v in p) + " 4.2108e+06" for p in holes)
    fields = ("FIELDS x y z rgb", "SIZE 4 4 4 4", "TYPE F F F F", "COUNT 1 1 1 1")

    def pcd(version, fields, width, height, data, body, points_line=True):
        lines = [f"# .PCD v{version} - Point Cloud Data file format", f"VERSION {version}", *fields, f"WIDTH {width}",
                 f"HEIGHT {height}", "VIEWPOINT 0 0 0 1 0 0 0"] + ([f"POINTS {width * height}"] if points_line else [])
        return ("\n".join(lines + [f"DATA {data}"]) + "\n").encode() + body

    def write(name, content, kind="points", values=measured, tolerance=1e-6):
        path = suite.path(name)
        path.write_bytes(content)
        suite.note(path, kind, values, tolerance)

    organised = measured.reshape(20, 25, 3).transpose(2, 0, 1)
    write("pcl-ascii.pcd", pcd("0.7", fields, n, 1, "ascii", text.encode() + b"\n"))
    write("pcl-ascii-crlf.pcd", pcd("0.7", fields, n, 1, "ascii", text.encode() + b"\n").replace(b"\n", b"\r\n"))
    write("pcl-organised.pcd", pcd("0.7", fields, 25, 20, "ascii", text.encode() + b"\n"), "xyz", organised)
    write("pcl-v5.pcd", pcd(".5", ("FIELDS x y z rgb", "SIZE 4 4 4 4", "TYPE F F F F"), n, 1, "ascii", text.encode(), False))
    write("pcl-v6.pcd", pcd(".6", ("COLUMNS x y z rgb",), n, 1, "ascii", text.encode()))
    row = np.dtype([("_", "V8"), ("z", "<f8"), ("normal", "<f4", 3), ("y", "<f4"), ("x", "<f4"), ("ring", "<u2"), ("pad", "V2")])
    rows = np.zeros(n, row)
    for k, axis in enumerate("xyz"):
        rows[axis] = holes[:, k]
    mixed = ("FIELDS _ z normal y x ring _", "SIZE 1 8 4 4 4 2 1", "TYPE U F F F F U U", "COUNT 8 1 3 1 1 1 2")
    write("pcl-mixed.pcd", pcd("0.7", mixed, n, 1, "binary", rows.tobytes()))
    write("pcl-mixed-padded.pcd", pcd("0.7", mixed, 25, 20, "binary", rows.tobytes() + bytes(100)), "xyz", organised)

    def ply(format, head, body, end="\n"):
        return (end.join(["ply", f"format {format} 1.0", *head, "end_header"]) + end).encode("latin-1") + body

    vertex = [f"element vertex {n}", *(f"property float {a}" for a in "xyz")]
    binary = holes.astype("<f4").tobytes()
    triples = "\n".join(" ".join("nan" if np.isnan(v) else repr(float(v)) for v in p) for p in holes)
    write("crlf-ascii.ply", ply("ascii", vertex, triples.replace("\n", "\r\n").encode() + b"\r\n", "\r\n"))
    write("crlf-binary.ply", ply("binary_little_endian", vertex, binary, "\r\n"))
    write("latin-comment.ply", ply("binary_little_endian", ["comment Pr\u00fcfk\u00f6rper", *vertex], binary))
    write("msvc-nan.ply", ply("ascii", vertex, triples.replace("nan", "-nan(ind)").encode()))
    write("msvc-qnan.ply", ply("ascii", vertex, triples.replace("nan", "-1.#IND").encode()))
    cc = ["comment Created by CloudCompare v2.12", "obj_info Generated by CloudCompare!", f"element vertex {n}",
          *(f"property double {a}" for a in "xyz"), "property uchar red", "property float scalar_C2C[<0.1]",
          "property float scalar_C2C[<0.1]"]
    rows = np.zeros(n, [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("red", "u1"), ("a", "<f4"), ("b", "<f4")])
    for k, axis in enumerate("xyz"):
        rows[axis] = holes[:, k]
    write("cloudcompare.ply", ply("binary_little_endian", cc, rows.tobytes()))
    shelf = ["obj_info num_cols 25", "obj_info num_rows 20", *vertex]
    write("organised.ply", ply("binary_little_endian", shelf, binary), "xyz", organised)
    # A range scanner stores what it measured, and for every pixel which of these it is.
    seen = np.flatnonzero(~np.isnan(holes[:, 0]))
    index = np.full(n, -1)
    index[seen] = np.arange(len(seen))
    head = ["obj_info num_cols 25", "obj_info num_rows 20", f"element vertex {len(seen)}",
            *(f"property float {a}" for a in "xyz"), f"element range_grid {n}", "property list uchar int vertex_indices"]
    grid = b"".join(b"\0" if k < 0 else b"\1" + struct.pack(">i", k) for k in index)
    write("range-grid.ply", ply("binary_big_endian", head, holes[seen].astype(">f4").tobytes() + grid), "xyz", organised)
    grid = "\n".join("0" if k < 0 else f"1 {k}" for k in index)
    rows = "\n".join(" ".join(repr(float(v)) for v in p) for p in holes[seen])
    write("range-grid-ascii.ply", ply("ascii", head, f"{rows}\n{grid}\n".encode()), "xyz", organised)
    for name, content in (("short.ply", ply("binary_little_endian", vertex, binary[:-1])),
                          ("short.pcd", pcd("0.7", fields, n, 1, "binary", bytes(16 * n - 1)))):
        write(name, content, values=None)


def extras(suite, roots):
    """Pictures of public suites, as Pillow reads them."""
    for root in roots:
        root = pathlib.Path(root)
        files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
        for file in files:
            if file.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"):
                continue
            path = suite.path(file.name)
            path.write_bytes(file.read_bytes())
            try:
                with Image.open(io.BytesIO(path.read_bytes())) as image:
                    kind, mode = image.format, image.mode
                    image.load()
                    expected = rgb_of(image)
            except Exception:
                path.unlink()
                continue
            if kind not in ("PNG", "JPEG", "BMP", "TIFF") or mode in ("F", "LAB", "I"):
                path.unlink()
                continue
            # Damaged and odd files are part of a suite: a refusal is an answer, other pixels are not.
            lossy = kind == "JPEG" or (kind == "TIFF" and image.info.get("compression") == "jpeg")
            suite.note(path, "rgb", expected, 6.0 if lossy else 1.0, may_refuse=True)


def main():
    suite = Suite(pathlib.Path(sys.argv[1]))
    pillow_pictures(suite)
    bitmaps(suite)
    tiffs(suite)
    arrays(suite)
    if cv2:
        opencv(suite)
    clouds(suite)
    extras(suite, sys.argv[2:])
    print(f"{suite.number} files tried")


if __name__ == "__main__":
    main()
