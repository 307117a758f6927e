"""Writes tests/testdata/images: small images of every kind that DecodeImage reads.

    cd tools && ../.cache/golden/bin/python -m golden.test_images

Drawn from scratch. The committed files are the test's inputs; another version of
an encoder writes other bytes, so after running this make the goldens again. Needs cjpeg
(Debian: libjpeg-turbo-progs) for the subsamplings that Pillow does not write.
"""

import io
import subprocess

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener

from golden import images
from golden.crops import IMAGES
from golden.images import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, pillow_file, png


def scene(width: int, height: int, channels: int, top: int = 255) -> np.ndarray:
    """Colour waves with hard-edged discs and some noise, [height, width, channels] in 0..top."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width][..., None] / max(width, height)
    c = np.arange(channels)
    samples = 0.5 + 0.5 * np.sin(9 * x * (1 + c) + 7 * y * (2 - c) + 2 * c)
    for _ in range(6):
        center_x, center_y = rng.uniform(0, (width, height)) / max(width, height)
        disc = (x - center_x) ** 2 + (y - center_y) ** 2 < rng.uniform(0.03, 0.2) ** 2
        samples = np.where(disc, rng.uniform(-0.2, 1.2, channels), samples)
    samples += rng.normal(0, 0.02, samples.shape)
    return np.clip(np.rint(samples * top), 0, top).astype(np.int64)


def image(mode: str, width: int, height: int) -> Image.Image:
    samples = scene(width, height, {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]).astype(np.uint8)
    return Image.fromarray(samples[..., 0] if mode == "L" else samples, mode)


def jpegs():
    yield "grey", pillow_file(image("L", 61, 47), "JPEG")
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"rgb_{name}", pillow_file(image("RGB", 61, 47), "JPEG", subsampling=subsampling)
    yield "progressive", pillow_file(image("RGB", 83, 61), "JPEG", progressive=True, subsampling=2)
    yield "grey_progressive", pillow_file(image("L", 47, 61), "JPEG", progressive=True)
    yield "restart", pillow_file(image("RGB", 70, 50), "JPEG", restart_marker_blocks=2)
    for big_endian in (False, True):
        name = "exif_6_long" + ("_big_endian" if big_endian else "")
        block = images.exif(6, big_endian, as_long=True)
        yield name, pillow_file(image("RGB", 45, 30), "JPEG", exif=b"Exif\0\0" + block)
    restarts = pillow_file(image("RGB", 70, 50), "JPEG", restart_marker_rows=1)
    yield "restart_lost", images.jpeg_restart(restarts, 1, None)
    yield "restart_misnumbered", images.jpeg_restart(restarts, 1, 5)
    yield "restart_one_ahead", images.jpeg_restart(restarts, 1, 2)
    yield "quality_5", pillow_file(image("RGB", 150, 100), "JPEG", quality=5)
    for name, switches in (
        ("440", ["-sample", "1x2,1x1,1x1"]),
        ("411", ["-sample", "4x1,1x1,1x1"]),
        ("odd", ["-sample", "2x2,2x1,1x2"]),
        ("440_progressive", ["-sample", "1x2,1x1,1x1", "-progressive"]),
        ("as_rgb", ["-rgb"]),
        ("arithmetic", ["-arithmetic"]),
    ):
        ppm = pillow_file(image("RGB", 61, 47), "PPM")
        yield f"rgb_{name}", subprocess.run(["cjpeg", *switches], input=ppm, capture_output=True, check=True).stdout
    cmyk = pillow_file(image("CMYK", 53, 41), "JPEG")
    yield "cmyk", cmyk
    yield "cmyk_progressive", pillow_file(image("CMYK", 53, 41), "JPEG", progressive=True)
    yield "cmyk_without_adobe", images.jpeg_without_adobe(cmyk)
    yield "ycck", images.jpeg_as_ycck(cmyk)
    for orientation in range(1, 9):
        exif = b"Exif\0\0" + images.exif(orientation, big_endian=orientation % 2 == 0)
        yield f"exif_{orientation}", pillow_file(image("RGB", 45, 30), "JPEG", exif=exif)
    yield "tall", pillow_file(image("RGB", 100, 260), "JPEG")  # rows shrink first
    yield "tall_twice", pillow_file(image("L", 100, 200), "JPEG")
    yield "wide", pillow_file(image("RGB", 260, 100), "JPEG")
    yield "photo", pillow_file(image("RGB", 640, 427), "JPEG", quality=70)
    yield "1_by_65500", pillow_file(image("L", 1, 65500), "JPEG", quality=10)
    yield "65500_by_1", pillow_file(image("L", 65500, 1), "JPEG", quality=10)


def pngs():
    rng = np.random.default_rng(1)
    names = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey_alpha", RGBA: "rgba"}
    depths = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
    for color_type, name in names.items():
        for depth in depths[color_type]:
            samples = scene(37, 29, images.PNG_CHANNELS[color_type], 2**depth - 1)
            palette = rng.integers(0, 256, (2**depth, 3)) if color_type == PALETTE else None
            yield f"{name}_{depth}", png(samples, depth, color_type, palette=palette)
            yield f"{name}_{depth}_interlaced", png(samples, depth, color_type, True, palette=palette)
    palette = rng.integers(0, 256, (16, 3))
    indices = scene(37, 29, 1, 15)
    yield "palette_trns", png(indices, 4, PALETTE, palette=palette, trns=bytes(range(0, 240, 16)))
    yield "palette_trns_one", png(indices, 8, PALETTE, palette=palette, trns=b"\xff\xff\0")
    yield "palette_short", png(indices, 8, PALETTE, palette=palette[:9])  # indices beyond its end
    yield "grey_1_trns", png(scene(37, 29, 1, 1), 1, GREY, trns=b"\0\1")
    yield "grey_8_trns", png(scene(37, 29, 1), 8, GREY, trns=b"\0\x80")
    yield "rgb_8_trns", png(scene(37, 29, 3), 8, RGB, trns=b"\0\x80\0\x10\0\x20")
    yield "rgb_16_trns", png(scene(37, 29, 3, 65535), 16, RGB, trns=b"\1\x80\2\x10\3\x20")
    yield "exif_6", png(scene(37, 29, 4), 8, RGBA, exif=images.exif(6))
    yield "exif_5_palette", png(indices, 8, PALETTE, palette=palette, exif=images.exif(5, big_endian=True))
    yield "rgba_32_by_32", png(scene(32, 32, 4), 8, RGBA)  # not resized at size 32
    yield "rgba_32_by_49", png(scene(32, 49, 4), 8, RGBA)  # only cut at size 32
    yield "palette_49_by_32", png(scene(49, 32, 1, 15), 8, PALETTE, palette=palette)
    yield "1_by_1", png(scene(1, 1, 3), 8, RGB)
    yield "rgba_1_by_700", png(scene(1, 700, 4), 8, RGBA)
    yield "rgba_700_by_1", png(scene(700, 1, 4), 8, RGBA)
    yield "rgba_tall", png(scene(40, 150, 4), 8, RGBA)
    yield "grey_1_700_by_3", png(scene(700, 3, 1, 1), 1, GREY)
    yield "palette_3_by_700", png(scene(3, 700, 1, 15), 4, PALETTE, palette=palette)
    frames = [image("RGBA", 40, 30), image("RGBA", 40, 30).rotate(180)]
    for default_image in (False, True):
        data = pillow_file(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=default_image)
        yield "animated" + ("_default_image" if default_image else ""), data


def webps():
    for mode in ("RGB", "RGBA"):
        yield f"{mode.lower()}_lossy", pillow_file(image(mode, 61, 47), "WEBP", quality=60)
        yield f"{mode.lower()}_lossless", pillow_file(image(mode, 61, 47), "WEBP", lossless=True)
    yield "rgba_lossless_exact", pillow_file(image("RGBA", 40, 90), "WEBP", lossless=True, exact=True)
    yield "exif_8", pillow_file(image("RGB", 45, 30), "WEBP", exif=images.exif(8))
    frames = [image("RGBA", 60, 40), image("RGBA", 60, 40).rotate(180)]
    yield "animated", pillow_file(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    for has_alpha in (False, True):
        for mode in ("RGB", "RGBA"):
            first = pillow_file(image(mode, 40, 30), "WEBP", quality=60)
            second = pillow_file(image("RGB", 20, 20), "WEBP", lossless=True)
            data = images.webp_animation((64, 50), [(10, 6, first), (0, 0, second)], has_alpha)
            yield f"animated_small_frame_{mode.lower()}" + ("_alpha" if has_alpha else ""), data


def damaged_pngs():
    """Those of which no pixel is lost."""
    whole = png(scene(61, 47, 3), 8, RGB)
    yield "no_iend", whole[:-12]
    yield "damaged_iend", whole[:-1] + b"?"
    yield "no_iend_interlaced", png(scene(61, 47, 3), 8, RGB, interlaced=True)[:-12]


def gifs():
    palette = np.random.default_rng(3).integers(0, 256, (32, 3))
    indices = scene(61, 47, 1, 31)[..., 0]
    ramp = np.repeat(np.arange(256)[:, None], 3, axis=1)
    frame = images.gif_frame
    yield "palette", images.gif((61, 47), [frame(indices, 5)], palette)
    yield "interlaced", images.gif((61, 47), [frame(indices, 5, interlaced=True)], palette)
    yield "grey", images.gif((61, 47), [frame(scene(61, 47, 1)[..., 0], 8)], ramp)
    yield "no_palette", images.gif((61, 47), [frame(scene(61, 47, 1)[..., 0], 8)])
    yield "two_colours", images.gif((61, 47), [frame(scene(61, 47, 1, 1)[..., 0], 1)], palette[:2])
    yield "local_palette", images.gif((61, 47), [frame(indices, 5, palette=palette[::-1])], palette)
    yield "small_frame", images.gif((70, 60), [frame(indices, 5, 3, 5)], palette, background=4)
    yield "small_frame_transparent", images.gif((70, 60), [frame(indices, 5, 3, 5, transparent=9)], palette)
    yield "frame_beyond_screen", images.gif((40, 60), [frame(indices, 5, 3, 5)], palette)
    rest = frame(indices[::-1], 5, disposal=2, transparent=3)
    for disposal in range(4):
        yield f"animated_disposal_{disposal}", images.gif(
            (61, 47), [frame(indices, 5, disposal=disposal, transparent=7), rest], palette)
    noise = np.random.default_rng(4).integers(0, 256, (90, 120))
    yield "table_full", images.gif((120, 90), [frame(noise, 8)], ramp[::-1])
    yield "cleared_often", images.gif((61, 47), [frame(indices, 5, clear_every=50)], palette)
    yield "1_by_1", images.gif((1, 1), [frame(np.zeros((1, 1), int), 1)], palette[:2])


def bmps():
    rng = np.random.default_rng(5)
    colours = rng.integers(0, 256, (256, 3)).tolist()
    bmp = images.bmp
    for bits in (1, 4, 8):
        samples = scene(61, 47, 1, 2**bits - 1)[..., 0]
        yield f"palette_{bits}", bmp(samples, bits, colours[: 2**bits])
    samples = scene(61, 47, 1, 255)[..., 0]
    yield "palette_8_os2", bmp(samples, 8, colours, header=12)
    yield "palette_8_top_down", bmp(samples, 8, colours, top_down=True)
    yield "palette_short", bmp(scene(61, 47, 1, 99)[..., 0], 8, colours[:100])
    yield "grey", bmp(samples, 8, [[i, i, i] for i in range(256)])
    yield "black_and_white", bmp(scene(61, 47, 1, 1)[..., 0], 1, [[0, 0, 0], [255, 255, 255]])
    rle = scene(61, 47, 1, 15)[..., 0]
    yield "rle_8", images.bmp_of_data(images.bmp_run_lengths(samples, 8, rng), 61, 47, 8, 1, colours)
    yield "rle_4", images.bmp_of_data(images.bmp_run_lengths(rle, 4, rng), 61, 47, 4, 2, colours[:16])
    yield "rgb_24", bmp(scene(61, 47, 3), 24)
    yield "rgb_24_os2", bmp(scene(61, 47, 3), 24, header=12)
    yield "rgb_32", bmp(scene(61, 47, 4), 32)
    yield "rgb_555", bmp(scene(61, 47, 1, 65535), 16)
    yield "rgb_565", bmp(scene(61, 47, 1, 65535), 16, masks=(0xF800, 0x7E0, 0x1F, 0))
    yield "rgba", bmp(scene(61, 47, 4), 32, header=124, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "abgr", bmp(scene(61, 47, 4), 32, header=108, masks=(0xFF000000, 0xFF0000, 0xFF00, 0xFF), top_down=True)


def pnms():
    yield "bits", images.pnm(scene(61, 47, 1, 1), 4)
    yield "grey", images.pnm(scene(61, 47, 1), 5)
    yield "grey_100", images.pnm(scene(61, 47, 1, 100), 5, 100)
    yield "grey_16", images.pnm(scene(61, 47, 1, 65535), 5, 65535)
    yield "grey_1000", images.pnm(scene(61, 47, 1, 1000), 5, 1000)
    yield "rgb", images.pnm(scene(61, 47, 3), 6, comment=b"# made by hand\n")
    yield "rgb_16", images.pnm(scene(61, 47, 3, 65535), 6, 65535)


def tiffs():
    p, tiff = images, images.tiff
    ramp = np.random.default_rng(6).integers(0, 65536, (256, 3))
    grey, rgb, rgba = scene(61, 47, 1), scene(61, 47, 3), scene(61, 47, 4)
    strips = {"rows_per_strip": 8}
    for bits in (1, 2, 4, 8, 16):
        samples = scene(61, 47, 1, 2**bits - 1)
        yield f"grey_{bits}", tiff(samples, bits, p.BLACK_IS_ZERO, compression=p.TIFF_LZW, **strips)
        if bits < 16:
            yield f"white_is_zero_{bits}", tiff(samples, bits, p.WHITE_IS_ZERO, big_endian=True, **strips)
            if bits != 2:
                yield f"palette_{bits}", tiff(samples, bits, p.TIFF_PALETTE, palette=ramp[: 2**bits])
    bits = scene(61, 47, 1, 1)
    for name, compression in (("rle", p.TIFF_CCITT_RLE), ("group3", p.TIFF_GROUP3), ("group4", p.TIFF_GROUP4)):
        yield f"ccitt_{name}", tiff(bits, 1, p.WHITE_IS_ZERO, compression=compression, **strips)
    yield "group4_bits_reversed", tiff(bits, 1, p.WHITE_IS_ZERO, compression=p.TIFF_GROUP4, fill_order=2)
    yield "rgb_raw", tiff(rgb, 8, p.TIFF_RGB)
    yield "rgb_packbits", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_PACKBITS, big_endian=True, **strips)
    yield "rgb_lzw_predictor", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_LZW, predictor=2, **strips)
    yield "rgb_deflate_planar", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_DEFLATE, planar=True, **strips)
    yield "rgb_deflate_tiles", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_DEFLATE, tile=(16, 32))
    yield "rgb_lzw_tiles_planar", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_LZW, planar=True, tile=(32, 16))
    yield "rgb_16_predictor", tiff(scene(61, 47, 3, 65535), 16, p.TIFF_RGB, compression=p.TIFF_DEFLATE, predictor=2,
                                   big_endian=True)
    yield "rgb_big_tiff", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_LZW, big_tiff=True, **strips)
    yield "rgb_extra_sample", tiff(rgba, 8, p.TIFF_RGB, (0,))
    yield "rgba", tiff(rgba, 8, p.TIFF_RGB, (2,), p.TIFF_DEFLATE, **strips)
    yield "rgba_premultiplied", tiff(rgba, 8, p.TIFF_RGB, (1,), p.TIFF_LZW, **strips)
    yield "rgba_16_premultiplied", tiff(scene(61, 47, 4, 65535), 16, p.TIFF_RGB, (1,))
    yield "grey_alpha", tiff(scene(61, 47, 2), 8, p.BLACK_IS_ZERO, (2,), p.TIFF_LZW)
    yield "cmyk", tiff(rgba, 8, p.SEPARATED, compression=p.TIFF_LZW, **strips)
    yield "jpeg_grey", tiff(grey, 8, p.BLACK_IS_ZERO, compression=p.TIFF_JPEG, rows_per_strip=16)
    yield "jpeg_rgb", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_JPEG, rows_per_strip=16)
    yield "jpeg_ycbcr_420", tiff(rgb, 8, p.YCBCR, compression=p.TIFF_JPEG, subsampling=2, rows_per_strip=16)
    yield "jpeg_ycbcr_tiles", tiff(rgb, 8, p.YCBCR, compression=p.TIFF_JPEG, subsampling=2, tile=(32, 32))
    yield "three_pages", tiff(rgb, 8, p.TIFF_RGB, compression=p.TIFF_LZW, pages=3)
    for orientation in range(2, 9):
        yield f"orientation_{orientation}", tiff(scene(45, 30, 3), 8, p.TIFF_RGB, compression=p.TIFF_DEFLATE,
                                                 orientation=orientation, big_endian=orientation % 2 == 0)


def avifs():
    for name, options in (("rgb_444", {"subsampling": "4:4:4"}), ("rgb_420", {"subsampling": "4:2:0"}),
                          ("rgb_422_limited", {"subsampling": "4:2:2", "range": "limited"}),
                          ("grey", {"subsampling": "4:0:0"})):
        yield name, pillow_file(image("RGB", 61, 47), "AVIF", quality=60, **options)
    yield "rgba", pillow_file(image("RGBA", 61, 47), "AVIF", quality=60)
    yield "turned", pillow_file(image("RGB", 45, 30), "AVIF", quality=60, exif=b"Exif\0\0" + images.exif(6))
    frames = [image("RGB", 40, 30), image("RGB", 40, 30).rotate(180)]
    yield "animated", pillow_file(frames[0], "AVIF", save_all=True, append_images=frames[1:])


def heics():
    """Of full colours: where they are subsampled, releases of libheif differ by 1."""
    register_heif_opener()
    for mode in ("L", "RGB", "RGBA"):
        name = {"L": "grey", "RGB": "rgb_444", "RGBA": "rgba"}[mode]
        yield name, pillow_file(image(mode, 64, 48), "HEIF", quality=60, chroma=444)
    yield "turned", pillow_file(image("RGB", 45, 30), "HEIF", quality=60, chroma=444,
                                exif=b"Exif\0\0" + images.exif(6))


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.iterdir():
        old.unlink()
    for extension, files in (("jpg", jpegs()), ("png", pngs()), ("png", damaged_pngs()), ("webp", webps()), ("gif", gifs()),
                             ("bmp", bmps()), ("pnm", pnms()), ("tif", tiffs()),
                             ("avif", avifs()), ("heic", heics())):
        for name, data in files:
            Image.open(io.BytesIO(data)).load()  # The reference must be able to read it.
            (IMAGES / f"{name}.{extension}").write_bytes(data)


if __name__ == "__main__":
    main()
