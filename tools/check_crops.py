#!/usr/bin/env python3
"""Compares crops of random images with the reference's, bit by bit; of HEIC within TOLERANCE.

    cmake --build build/release --target print_crops
    .cache/golden/bin/python tools/check_crops.py build/release/tests/clip/print_crops --count 2000

The environment is that of tools/make_golden.py. Every image is of a random kind (format, mode, depth,
subsampling, ...), size and content. Differences are kept in --keep for study.
"""

import argparse
import collections
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
from golden import images
from golden.crops import reference_crop
from PIL import Image
from pillow_heif import register_heif_opener

register_heif_opener()

# Most that a value of a crop may differ, of 255: releases of libheif round another way where colours are subsampled,
# by 1, which the resize makes more of.
TOLERANCE = {"heic": 3}


def noise(rng, height, width, channels, top=255):
    """Smooth or noisy samples [height, width, channels] in 0..top, extremes included."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(0, top + 1, (height, width, channels))
    if kind == 1:
        return rng.integers(0, 2, (height, width, channels)) * top
    y, x = np.mgrid[0:height, 0:width][..., None]
    wave = np.sin(x * rng.uniform(0, 0.5, channels) + y * rng.uniform(0, 0.5, channels) + rng.uniform(0, 6, channels))
    samples = (wave * 0.5 + 0.5) * top
    if kind == 2:
        samples += rng.normal(0, top / 20, samples.shape)
    return np.clip(np.rint(samples), 0, top).astype(np.int64)


def random_png(rng, height, width):
    color_type, depths = [
        (images.GREY, (1, 2, 4, 8, 16)),
        (images.RGB, (8, 16)),
        (images.PALETTE, (1, 2, 4, 8)),
        (images.GREY_ALPHA, (8, 16)),
        (images.RGBA, (8, 16)),
    ][rng.integers(5)]
    depth = int(rng.choice(depths))
    samples = noise(rng, height, width, images.PNG_CHANNELS[color_type], 2**depth - 1)
    palette = trns = None
    if color_type == images.PALETTE:
        palette = rng.integers(0, 256, (rng.integers(1, 2**depth + 1), 3))
        samples %= len(palette)
        if rng.integers(2):
            trns = rng.integers(0, 256, rng.integers(1, len(palette) + 1)).astype(np.uint8).tobytes()
    elif color_type in (images.GREY, images.RGB) and rng.integers(2):
        trns = samples[0, 0].astype(">u2").tobytes()
    interlaced = bool(rng.integers(2))
    name = f"png type {color_type} depth {depth}" + (" interlaced" if interlaced else "") + (" tRNS" if trns else "")
    return name, images.png(samples, depth, color_type, interlaced, palette, trns)


def random_jpeg(rng, height, width):
    mode = str(rng.choice(["L", "RGB", "CMYK"]))
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    samples = noise(rng, height, width, channels).astype(np.uint8)
    image = Image.fromarray(samples[..., 0] if channels == 1 else samples, mode)
    options = {"quality": int(rng.integers(5, 101)), "progressive": bool(rng.integers(2))}
    if rng.integers(3) == 0:
        options["restart_marker_blocks"] = int(rng.integers(1, 9))
    name = f"jpeg {mode}" + (" progressive" if options["progressive"] else "")
    if mode == "RGB" and shutil.which("cjpeg") and rng.integers(2):
        sampling = ["1x2,1x1,1x1", "4x1,1x1,1x1", "2x1,1x2,1x1", "2x2,2x1,1x2", "1x4,1x1,1x1", "3x1,1x1,1x1",
                    "2x2,1x1,2x2", "4x2,1x1,1x1", "1x1,2x2,2x2"][rng.integers(9)]
        switches = ["-progressive"] if options["progressive"] else ["-arithmetic"] if rng.integers(3) == 0 else []
        data = subprocess.run(["cjpeg", "-quality", str(options["quality"]), "-sample", sampling, *switches],
                              input=images.pillow_file(image, "PPM"), capture_output=True, check=True).stdout
        return f"{name} sampling {sampling} {' '.join(switches)}", data
    if mode == "RGB":
        options["subsampling"] = int(rng.integers(3))
        name += f" subsampling {options['subsampling']}"
    data = images.pillow_file(image, "JPEG", **options)
    if mode == "CMYK" and rng.integers(2):
        return name + " as YCCK", images.jpeg_as_ycck(data)
    if mode == "CMYK" and rng.integers(2):
        return name + " without Adobe marker", images.jpeg_without_adobe(data)
    return name, data


def random_webp(rng, height, width):
    def still(height, width, mode):
        samples = noise(rng, height, width, len(mode)).astype(np.uint8)
        lossless = bool(rng.integers(2))
        return images.pillow_file(Image.fromarray(samples, mode), "WEBP", lossless=lossless, method=0,
                                    quality=int(rng.integers(0, 101)), exact=bool(rng.integers(2)))

    mode = str(rng.choice(["RGB", "RGBA"]))
    if rng.integers(3):
        return f"webp {mode}", still(height, width, mode)
    canvas = (width + int(rng.integers(9)), height + int(rng.integers(9)))
    left, top = (int(rng.integers(0, c - s + 1)) & ~1 for c, s in zip(canvas, (width, height)))
    has_alpha = bool(rng.integers(2))
    frames = [(left, top, still(height, width, mode)), (0, 0, still(1, 1, "RGB"))]
    return f"webp animated {mode} {has_alpha}", images.webp_animation(canvas, frames, has_alpha)


def random_palette(rng, colours):
    if rng.integers(4) == 0:
        return np.repeat(np.arange(colours)[:, None], 3, axis=1)  # the grey ramp
    return rng.integers(0, 256, (colours, 3))


def random_gif(rng, height, width):
    bits = int(rng.integers(1, 9))
    palette = random_palette(rng, 2**bits) if rng.integers(8) else None
    # Pillow fails on a frame's own grey ramp beside another palette of the file.
    local = rng.integers(0, 256, (2**bits, 3)) if rng.integers(3) == 0 else None
    samples = noise(rng, height, width, 1, 2**bits - 1)[..., 0]
    transparent = int(rng.integers(2**bits)) if rng.integers(2) else None
    left, top = (int(rng.integers(9)) if rng.integers(2) else 0 for _ in range(2))
    interlaced = bool(rng.integers(2))
    clear_every = int(rng.choice([0, 0, 7, 100, 1000]))
    frames = [images.gif_frame(samples, bits, left, top, local, interlaced, transparent, int(rng.integers(4)),
                                 clear_every)]
    if rng.integers(3) == 0:
        frames.append(images.gif_frame(samples[::-1], bits, transparent=transparent))
    if rng.integers(4) == 0:
        frames.insert(0, b"!\xfe\x05words\0!\xff\x0bNETSCAPE2.0\3\1\0\0\0")
    # The frame may reach beyond the screen.
    screen = [max(1, side + int(rng.integers(-5, 12))) for side in (width, height)]
    name = f"gif {bits} bits" + (" interlaced" if interlaced else "") + (" transparent" if transparent else "")
    return name, images.gif(screen, frames, palette, int(rng.integers(2**bits)))


BMP_MASKS = [
    (0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
    (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0)]


def random_bmp(rng, height, width):
    bits = int(rng.choice([1, 4, 8, 8, 16, 24, 32]))
    header = int(rng.choice([12, 40, 40, 52, 56, 64, 108, 124]))
    top_down = bool(rng.integers(2)) and header != 12
    name = f"bmp {bits} bits header {header}"
    if bits <= 8:
        colours = 2**bits if header == 12 or rng.integers(2) else int(rng.integers(1, 2**bits + 1))
        palette = random_palette(rng, colours)
        if bits < 8 and (palette == np.arange(colours)[:, None]).all():
            palette = palette[:, :] + 1  # Pillow reads such a file with the wrong depth
        if colours == 2 and bits == 1 and rng.integers(2):
            palette = np.array([[0, 0, 0], [255, 255, 255]])
        if bits > 1 and colours <= 2:
            palette = np.full((colours, 3), 77)
        samples = noise(rng, height, width, 1, colours - 1)[..., 0] % colours
        if header != 12 and bits in (4, 8) and rng.integers(3) == 0:
            data = images.bmp_run_lengths(samples, bits, rng)
            return name + " rle", images.bmp_of_data(data, width, height, bits, 1 if bits == 8 else 2,
                                                       palette.tolist(), header)
        return name, images.bmp(samples, bits, palette.tolist(), header, top_down)
    masks = None
    if header != 12 and rng.integers(2):
        masks = {16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)], 24: [(0xFF0000, 0xFF00, 0xFF, 0)],
                 32: BMP_MASKS if header >= 56 else BMP_MASKS[:3]}[bits]
        masks = masks[rng.integers(len(masks))]
        name += f" masks {masks}"
    samples = noise(rng, height, width, 1, 65535) if bits == 16 else noise(rng, height, width, bits // 8)
    return name, images.bmp(samples, bits, None, header, top_down, masks)


def random_pnm(rng, height, width):
    kind = int(rng.integers(4, 7))
    most = 1 if kind == 4 else int(rng.choice([255, 255, 1, 7, 100, 254, 256, 1000, 65535]))
    samples = noise(rng, height, width, 3 if kind == 6 else 1, most)
    return f"pnm {kind} most {most}", images.pnm(samples, kind, most, b"# words\n" if rng.integers(3) == 0 else b"")


# Photometric interpretation, bits, colours, extra samples; None: of any number.
TIFF_KINDS = [
    (images.WHITE_IS_ZERO, (1, 2, 4, 8), 1, [()]), (images.BLACK_IS_ZERO, (1, 2, 4, 8, 16), 1, [()]),
    (images.BLACK_IS_ZERO, (8,), 1, [(0,), (2,)]),
    (images.TIFF_RGB, (8,), 3, [(), (), (0,), (1,), (2,), (999,), (0, 0), (1, 0), (2, 0)]),
    (images.TIFF_RGB, (16,), 3, [(), (0,), (1,), (2,)]),
    (images.TIFF_PALETTE, (1, 2, 4, 8), 1, [()]), (images.SEPARATED, (8,), 4, [(), (0,)]),
    (images.SEPARATED, (16,), 4, [()]), (images.YCBCR, (8,), 3, [()])]


def random_tiff(rng, height, width):
    photometric, bits, colours, extras = TIFF_KINDS[rng.integers(len(TIFF_KINDS))]
    bits = int(rng.choice(bits))
    extra = extras[rng.integers(len(extras))]
    samples = noise(rng, height, width, colours + len(extra), 2**bits - 1)
    compressions = [images.TIFF_RAW, images.TIFF_LZW, images.TIFF_DEFLATE, images.TIFF_OLD_DEFLATE,
                    images.TIFF_PACKBITS]
    if bits == 8 and not extra and photometric != images.TIFF_PALETTE and max(height, width) < 1000:
        compressions.append(images.TIFF_JPEG)
    if bits == 1 and photometric != images.TIFF_PALETTE:
        compressions += [images.TIFF_CCITT_RLE, images.TIFF_GROUP3, images.TIFF_GROUP4]
    compression = compressions[rng.integers(len(compressions))]
    options = {"compression": compression, "big_endian": bool(rng.integers(2)), "extra": extra}
    if photometric == images.YCBCR:
        options |= {"compression": images.TIFF_JPEG, "subsampling": int(rng.integers(3))}
    elif compression != images.TIFF_RAW and bits >= 8 and colours > 1:
        options["planar"] = bool(rng.integers(2)) and len(extra) < 2
    if compression in (images.TIFF_LZW, images.TIFF_DEFLATE) and bits >= 8:
        options["predictor"] = int(rng.integers(1, 3))
    if photometric == images.TIFF_PALETTE:
        options["palette"] = rng.integers(0, 65536, (2**bits, 3))
    if rng.integers(3) == 0:
        tile = [16 * int(rng.integers(1, 9)) for _ in range(2)]
        # Libtiff's decoders of CCITT and Pillow's of one plain tile fail.
        if compression not in (images.TIFF_RAW, images.TIFF_CCITT_RLE, images.TIFF_GROUP3, images.TIFF_GROUP4):
            options["tile"] = tile
    if "tile" not in options and rng.integers(2):
        options["rows_per_strip"] = int(rng.integers(1, height + 1)) // 8 * 8 or 8
    if rng.integers(3) == 0:
        options["orientation"] = int(rng.integers(1, 9))
    if rng.integers(8) == 0 and not options["big_endian"]:  # else Pillow fails
        options["big_tiff"] = True
    if bits == 1 and photometric != images.TIFF_PALETTE and rng.integers(4) == 0:
        options["fill_order"] = 2
    name = f"tiff {photometric} of {bits} bits, {colours}+{extra}" + "".join(
        f" {key} {value}" for key, value in options.items() if key not in ("palette", "extra", "orientation", "rows_per_strip", "tile"))
    return name, images.tiff(samples, bits, photometric, **options)


def random_avif(rng, height, width):
    mode = str(rng.choice(["L", "RGB", "RGBA"]))
    samples = noise(rng, height, width, len(mode)).astype(np.uint8)
    image = Image.fromarray(samples[..., 0] if mode == "L" else samples, mode)
    options = {"quality": int(rng.integers(0, 101)), "speed": 10, "subsampling": str(rng.choice(["4:4:4", "4:2:2", "4:2:0", "4:0:0"])),
               "range": str(rng.choice(["full", "limited"]))}
    if rng.integers(4) == 0:
        options["exif"] = b"Exif\0\0" + images.exif(int(rng.integers(1, 9)))  # Pillow writes irot and imir of it
    name = f"avif {mode} {options['subsampling']} {options['range']}" + (" turned" if "exif" in options else "")
    return name, images.pillow_file(image, "AVIF", **options)


def random_heic(rng, height, width):
    """Where releases of libheif agree: with subsampled colours only even sides without alpha, and 4:2:2 not turned."""
    mode = str(rng.choice(["L", "RGB", "RGBA"]))
    chroma = 444 if mode == "RGBA" else int(rng.choice([420, 420, 422, 444]))
    if chroma != 444:
        height, width = height + height % 2, width + width % 2
    samples = noise(rng, height, width, len(mode)).astype(np.uint8)
    image = Image.fromarray(samples[..., 0] if mode == "L" else samples, mode)
    options = {"quality": int(rng.integers(1, 101)), "chroma": chroma}
    if rng.integers(4) == 0 and chroma != 422:
        options["exif"] = b"Exif\0\0" + images.exif(int(rng.integers(1, 9)))  # written as irot and imir
    name = f"heic {mode} {chroma}" + (" turned" if "exif" in options else "")
    return name, images.pillow_file(image, "HEIF", **options)


FORMATS = {"png": random_png, "jpeg": random_jpeg, "webp": random_webp, "gif": random_gif, "bmp": random_bmp,
           "pnm": random_pnm, "tiff": random_tiff, "avif": random_avif, "heic": random_heic}


def random_image(rng, formats):
    shape = rng.integers(5)
    if shape == 0:  # extreme aspect ratio
        sides = [int(rng.integers(1, 4)), int(rng.integers(100, 3000))]
    elif shape == 1:  # tall or wide: both orders of the passes
        sides = [int(rng.integers(5, 120)), int(rng.integers(100, 700))]
    else:
        sides = [int(rng.integers(1, 400)), int(rng.integers(1, 400))]
    rng.shuffle(sides)
    return FORMATS[formats[rng.integers(len(formats))]](rng, *sides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("print_crops", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=1000, help="number of images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS), help="of the images")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the images that differ")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    kinds = collections.Counter()
    differences, inexact = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        [args.print_crops], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as ours:
        path = pathlib.Path(folder) / "image"
        for i in range(args.count):
            kind, data = random_image(rng, args.formats.split(","))
            kinds[kind] += 1
            path.write_bytes(data)
            size = int(rng.choice([1, 2, 7, 8, 32, 64, 99, 224, 336])) if rng.integers(2) else int(rng.integers(1, 300))
            # A 1 x 3000 image enlarged by the reference takes (3000 * size) x size pixels.
            ratio = max(Image.open(path).size) / min(Image.open(path).size)
            size = min(size, int((3e7 / ratio) ** 0.5))
            mode = str(rng.choice(["shortest", "shortest", "squash", "longest", "patches"]))
            fill = int(rng.integers(256)) + (mode == "patches")
            bilinear = rng.integers(4) == 0
            try:
                expected = reference_crop(path, size, mode=mode, bilinear=bilinear, fill=fill)
            except Exception as error:
                raise ValueError(f"Pillow does not read image {i}, {kind}, {Image.open(path).size}") from error
            ours.stdin.write(f"{size} {mode} {fill} {int(bilinear)} 0 {path}\n")
            ours.stdin.flush()
            found = ours.stdout.readline().strip()
            most = "all of it" if len(found) != 2 * len(expected) else int(
                np.abs(np.frombuffer(bytes.fromhex(found), np.uint8).astype(int) - np.frombuffer(expected, np.uint8)).max())
            if most != 0:
                inexact[kind.split()[0]] += 1
            if most == "all of it" or most > TOLERANCE.get(kind.split()[0], 0):
                differences[kind] += 1
                print(f"image {i}, {kind}, {Image.open(path).size}, size {size} {mode} {fill}{' bilinear' if bilinear else ''}: {most} {found[:100]}",
                      flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{i}_{size}.{kind.split()[0]}").write_bytes(data)
    print(f"{args.count} images of {len(kinds)} kinds, {sum(differences.values())} differ" +
          "".join(f"; {count} of {name} within {TOLERANCE[name]}" for name, count in inexact.items() if name in TOLERANCE))
    raise SystemExit(1 if differences else 0)


if __name__ == "__main__":
    main()
