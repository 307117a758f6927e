"""Writers of picture files of every kind that DecodeImage reads.

Pillow writes what it can. The rest (PNG of all depths, interlaced; WebP
animations with small frames; JPEG with marker tricks) is put together here by
hand, from the formats' specifications.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageFile

ImageFile.MAXBLOCK = 1 << 24  # Pillow fails where a whole progressive JPEG does not fit this.

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG colour types
PNG_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
# Adam7: first column, first row, column step, row step.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_rows(samples: np.ndarray, depth: int) -> bytes:
    """Rows with alternating filters 0, 1 and 2 of samples [height, width, channels]."""
    height, width, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    elif depth == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        bits = (samples.reshape(height, -1, 1) >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    pixel = max(1, depth * channels // 8)
    out = bytearray()
    before = np.zeros(rows.shape[1], np.uint8)
    for y, row in enumerate(rows):
        left = np.concatenate([np.zeros(pixel, np.uint8), row[:-pixel]])[: row.size]
        out.append(y % 3)
        out += (row - (0, left, before)[y % 3]).astype(np.uint8).tobytes()
        before = row
    return bytes(out)


def png(samples, depth, color_type, interlaced=False, palette=None, trns=None, exif=None) -> bytes:
    """A PNG file of integer samples [height, width, channels]."""
    height, width, channels = samples.shape
    assert channels == PNG_CHANNELS[color_type]
    if interlaced:
        passes = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7]
        data = b"".join(_png_rows(p, depth) for p in passes if p.size)
    else:
        data = _png_rows(samples, depth)
    out = PNG_SIGNATURE
    out += png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced)))
    if palette is not None:
        out += png_chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes())
    if trns is not None:
        out += png_chunk(b"tRNS", trns)
    if exif is not None:
        out += png_chunk(b"eXIf", exif)
    compressed = zlib.compress(data, 9)
    half = len(compressed) // 2  # Two IDAT chunks, as large files have.
    out += png_chunk(b"IDAT", compressed[:half]) + png_chunk(b"IDAT", compressed[half:])
    return out + png_chunk(b"IEND", b"")


def exif(orientation: int, big_endian: bool = False) -> bytes:
    """A TIFF block with an orientation tag and one tag before it."""
    order, end = (b"MM", ">") if big_endian else (b"II", "<")
    entries = struct.pack(end + "HHIHH", 0x0100, 3, 1, 9, 0) + struct.pack(end + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return order + struct.pack(end + "HI", 42, 8) + struct.pack(end + "H", 2) + entries + bytes(4)


def pillow_file(image: Image.Image, format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpeg_as_ycck(data: bytes) -> bytes:
    """Says of a CMYK JPEG with an Adobe marker that its samples are YCCK."""
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1 :]


def jpeg_without_adobe(data: bytes) -> bytes:
    """Cuts out the Adobe marker segment."""
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp_animation(canvas, frames, has_alpha) -> bytes:
    """A WebP animation: canvas (width, height); frames of (left, top, still WebP file)."""

    def u24(value):
        return struct.pack("<I", value)[:3]

    flags = 0x02 | (0x10 if has_alpha else 0)
    body = _riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + u24(canvas[0] - 1) + u24(canvas[1] - 1))
    body += _riff_chunk(b"ANIM", bytes([10, 200, 30, 255]) + b"\0\0")
    for left, top, still in frames:
        assert left % 2 == 0 and top % 2 == 0
        width, height = Image.open(io.BytesIO(still)).size
        chunks = still[12:]
        if chunks[:4] == b"VP8X":  # A frame holds the chunks after it.
            chunks = chunks[18:]
        head = u24(left // 2) + u24(top // 2) + u24(width - 1) + u24(height - 1) + u24(100) + b"\0"
        body += _riff_chunk(b"ANMF", head + chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
