"""Writers of image files of every kind that DecodeImage reads.

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


def exif(orientation: int, big_endian: bool = False, as_long: bool = False) -> bytes:
    """A TIFF block with an orientation tag and one tag before it."""
    order, end = (b"MM", ">") if big_endian else (b"II", "<")
    entries = struct.pack(end + "HHIHH", 0x0100, 3, 1, 9, 0)
    if as_long:
        entries += struct.pack(end + "HHII", 0x0112, 4, 1, orientation)
    else:
        entries += struct.pack(end + "HHIHH", 0x0112, 3, 1, orientation, 0)
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


def gif_lzw(indices, bits: int, clear_every: int = 0) -> bytes:
    """GIF's data of a sequence of colour indices: the size of a code, then blocks. An extra clear code comes after
    every `clear_every` codes, if that is not 0; without, the table fills and stays full."""
    clear, end = 1 << bits, (1 << bits) + 1
    codes = []  # (code, its bits)

    def fresh():
        return {(i,): i for i in range(clear)}, end + 1, bits + 1

    table, next_code, width = fresh()
    codes.append((clear, width))
    run = ()
    for index in [int(i) for i in indices]:
        if (*run, index) in table:
            run = (*run, index)
            continue
        codes.append((table[run], width))
        if clear_every and len(codes) % clear_every == 0:
            codes.append((clear, width))
            table, next_code, width = fresh()
        elif next_code < 4096:
            table[(*run, index)] = next_code
            # The decoder is one code behind.
            if next_code == 1 << width and width < 12:
                width += 1
            next_code += 1
        run = (index,)
    codes.append((table[run], width))
    if next_code == 1 << width and width < 12:
        width += 1
    codes.append((end, width))
    bitstream, at = 0, 0
    data = bytearray()
    for code, size in codes:
        bitstream |= code << at
        at += size
        while at >= 8:
            data.append(bitstream & 255)
            bitstream >>= 8
            at -= 8
    if at:
        data.append(bitstream & 255)
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return bytes([bits]) + blocks + b"\0"


def gif_frame(samples, bits, left=0, top=0, palette=None, interlaced=False, transparent=None, disposal=0,
              clear_every=0) -> bytes:
    """A frame of indices [height, width], with the extension before it that says transparency and disposal."""
    height, width = samples.shape
    out = b""
    if transparent is not None or disposal:
        flags = disposal << 2 | (transparent is not None)
        out += b"!\xf9\4" + struct.pack("<BHB", flags, 7, transparent or 0) + b"\0"
    flags = 0x40 if interlaced else 0
    if palette is not None:
        flags |= 0x80 | (len(palette).bit_length() - 2)
    out += b"," + struct.pack("<HHHHB", left, top, width, height, flags)
    if palette is not None:
        out += np.asarray(palette, np.uint8).tobytes()
    if interlaced:
        samples = np.concatenate([samples[0::8], samples[4::8], samples[2::4], samples[1::2]])
    return out + gif_lzw(samples.ravel(), max(bits, 2), clear_every)


def gif(screen, frames, palette=None, background=0) -> bytes:
    """A GIF file: screen (width, height), frames of gif_frame. Palettes have 2, 4, ... 256 colours."""
    flags = 0 if palette is None else 0x80 | (len(palette).bit_length() - 2)
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, background, 0)
    if palette is not None:
        out += np.asarray(palette, np.uint8).tobytes()
    return out + b"".join(frames) + b";"


def bmp(samples, bits, palette=None, header=40, top_down=False, masks=None, colours=None) -> bytes:
    """A BMP file of samples [height, width, channels] as the file has them: indices, 16-bit pixels, or bytes."""
    height, width = samples.shape[:2]
    if bits < 8:
        per_bit = (samples.reshape(height, width, 1) >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(per_bit.reshape(height, -1).astype(np.uint8), axis=1)
    elif bits == 16:
        rows = samples.reshape(height, width).astype("<u2").view(np.uint8).reshape(height, -1)
    else:
        rows = samples.astype(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    pixels = (rows if top_down else rows[::-1]).tobytes()
    return bmp_of_data(pixels, width, height, bits, 3 if masks else 0, palette, header, top_down, masks, colours)


def bmp_of_data(data, width, height, bits, compression, palette=None, header=40, top_down=False, masks=None,
                colours=None) -> bytes:
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression,
                           len(data), 2835, 2835, colours if colours is not None else len(palette or ()), 0)
        words = list(masks or ())
        in_header = (header - 40) // 4
        head += struct.pack(f"<{in_header}I", *(words + [0] * in_header)[:in_header])
        if masks and header < 52:
            head += struct.pack("<3I", *words[:3])
    for red, green, blue in palette if palette is not None else ():
        head += bytes([blue, green, red]) + (b"" if header == 12 else b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data


def bmp_run_lengths(samples, bits, rng) -> bytes:
    """Run lengths of indices [height, width], the lowest row first: runs, literals and jumps."""
    out = bytearray()
    for row in samples[::-1]:
        x = 0
        while x < len(row):
            run = 1
            while x + run < len(row) and run < 255 and row[x + run] == row[x]:
                run += 1
            if x and not row[x:].any() and rng.integers(2):
                break  # the end of the row fills with 0
            literal = min(len(row) - x, int(rng.integers(3, 40)))
            if run < 3 and literal >= 3:
                out += bytes([0, literal])
                part = [int(v) for v in row[x : x + literal]]
                if bits == 4:
                    part = [a << 4 | b for a, b in zip(part[::2], [*part[1::2], 0])]
                out += bytes(part)
                if len(part) % 2:
                    out.append(0)
                x += literal
            else:
                value = int(row[x])
                out += bytes([run, value << 4 | value if bits == 4 else value])
                x += run
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def pnm(samples, kind: int, most: int = 255, comment: bytes = b"") -> bytes:
    """Netpbm's P4, P5 or P6 of samples [height, width, channels]."""
    height, width = samples.shape[:2]
    head = b"P%d\n%s%d %d\n" % (kind, comment, width, height)
    if kind == 4:
        return head + np.packbits(samples.reshape(height, width).astype(np.uint8), axis=1).tobytes()
    return head + b"%d\n" % most + samples.astype(">u2" if most > 255 else np.uint8).tobytes()


def jpeg_restart(data: bytes, which: int, number: int | None) -> bytes:
    """Gives the file's restart marker `which` another number, or none: cuts it out."""
    at = [i for i in range(data.index(b"\xff\xda"), len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    at = at[which]
    return data[:at] + (b"" if number is None else bytes([0xFF, 0xD0 + number])) + data[at + 2 :]


# TIFF: compressions and photometric interpretations.
TIFF_RAW, TIFF_CCITT_RLE, TIFF_GROUP3, TIFF_GROUP4, TIFF_LZW, TIFF_JPEG, TIFF_DEFLATE = 1, 2, 3, 4, 5, 7, 8
TIFF_PACKBITS, TIFF_OLD_DEFLATE = 32773, 32946
WHITE_IS_ZERO, BLACK_IS_ZERO, TIFF_RGB, TIFF_PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6


def packbits(data: bytes) -> bytes:
    """Runs of three and more as runs, all else as literals."""
    out, at = bytearray(), 0
    while at < len(data):
        run = 1
        while run < 128 and data[at : at + 1] == data[at + run : at + run + 1]:
            run += 1
        if run >= 3:
            out += bytes([257 - run, data[at]])
            at += run
            continue
        end = at + 1
        while end < min(len(data), at + 128) and data[end : end + 3] != data[end : end + 1] * 3:
            end += 1
        out += bytes([end - at - 1]) + data[at:end]
        at = end
    return bytes(out)


def tiff_lzw(data: bytes) -> bytes:
    """TIFF's LZW: the most significant bit first, codes grow one early."""
    bits, count, width = 0, 0, 9

    def emit(code):
        nonlocal bits, count
        bits, count = bits << width | code, count + width

    table, following = {}, 258
    emit(256)
    run = b""
    for byte in data:
        longer = run + bytes([byte])
        if len(longer) == 1 or longer in table:
            run = longer
            continue
        emit(run[0] if len(run) == 1 else table[run])
        table[longer] = following
        following += 1
        width = max(width, following.bit_length())
        if following == 4094:  # the width is 12
            emit(256)
            table, following, width = {}, 258, 9
        run = bytes([byte])
    if run:
        emit(run[0] if len(run) == 1 else table[run])
        width = max(width, (following + 1).bit_length())
    emit(257)
    padding = -count % 8
    return (bits << padding).to_bytes((count + padding) // 8, "big")


def ccitt(bits: np.ndarray, compression: int) -> bytes:
    """Group 3, group 4 or run lengths of pixels [height, width], 1: black, as Pillow's libtiff writes them."""
    name = {TIFF_CCITT_RLE: "tiff_ccitt", TIFF_GROUP3: "group3", TIFF_GROUP4: "group4"}[compression]
    file = pillow_file(Image.fromarray(bits == 0), "TIFF", compression=name, strip_size=1 << 24)
    with Image.open(io.BytesIO(file)) as image:
        (offset,), (size,) = image.tag_v2[273], image.tag_v2[279]
        # Pillow writes white as zero where it is asked to, else black.
        assert image.tag_v2[262] in (0, 1)
    return file[offset : offset + size]


def jpeg_tables(data: bytes):
    """A JPEG file as an abbreviated one, and its tables."""
    tables, rest, at = b"\xff\xd8", b"\xff\xd8", 2
    while data[at + 1] != 0xDA:
        size = 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] in (0xDB, 0xC4):
            tables += data[at : at + size]
        elif data[at + 1] not in (0xE0, 0xEE):  # TIFF says what these would
            rest += data[at : at + size]
        at += size
    return rest + data[at:], tables + b"\xff\xd9"


REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def tiff(samples, bits, photometric, extra=(), compression=TIFF_RAW, big_endian=False, big_tiff=False, planar=False,
         predictor=1, rows_per_strip=None, tile=None, palette=None, fill_order=1, orientation=None, subsampling=0,
         more_tags=(), pages=1) -> bytes:
    """A TIFF file of integer samples [height, width, channels]. `tile`: (width, height). `palette`: 16-bit values
    [colours, 3]. `more_tags`: (tag, type, values). Further pages are the same one again."""
    height, width, channels = samples.shape
    end = ">" if big_endian else "<"
    tables = b""

    def packed(block):
        block_height, block_width, block_channels = block.shape
        if predictor == 2:
            block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1) & (2**bits - 1)
        if bits == 16:
            return block.astype(end + "u2").tobytes()
        if bits == 8:
            return block.astype(np.uint8).tobytes()
        per_bit = (block.reshape(block_height, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
        return np.packbits(per_bit.reshape(block_height, -1).astype(np.uint8), axis=1).tobytes()

    def compressed(block):
        nonlocal tables
        if compression == TIFF_JPEG:
            pixels = block.astype(np.uint8)
            mode = {1: "L", 3: "RGB", 4: "CMYK"}[pixels.shape[2]]
            image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)
            options = {"quality": 75, "optimize": False}
            if photometric == YCBCR:
                options["subsampling"] = subsampling
            elif mode == "RGB":
                options["keep_rgb"] = True
            data, tables = jpeg_tables(pillow_file(image, "JPEG", **options))
            return data
        if compression in (TIFF_CCITT_RLE, TIFF_GROUP3, TIFF_GROUP4):
            data = ccitt(block[..., 0], compression)
        elif compression == TIFF_PACKBITS:
            # Each row by itself, as the specification asks.
            raw = packed(block)
            size = len(raw) // block.shape[0]
            data = b"".join(packbits(raw[i : i + size]) for i in range(0, len(raw), size))
        else:
            coder = {TIFF_RAW: bytes, TIFF_LZW: tiff_lzw}.get(compression, zlib.compress)
            data = coder(packed(block))
        return data.translate(REVERSED) if fill_order == 2 else data

    def blocks(plane):
        if tile is None:
            rows = rows_per_strip or height
            yield from (plane[y : y + rows] for y in range(0, height, rows))
            return
        tile_width, tile_height = tile
        padding = ((0, -height % tile_height), (0, -width % tile_width), (0, 0))
        plane = np.pad(plane, padding, mode="edge" if compression == TIFF_JPEG else "constant")
        for y in range(0, height, tile_height):
            for x in range(0, width, tile_width):
                yield plane[y : y + tile_height, x : x + tile_width]

    planes = [samples[..., c : c + 1] for c in range(channels)] if planar else [samples]
    pieces = [compressed(block) for plane in planes for block in blocks(plane)]
    file = bytearray((b"MM" if big_endian else b"II") + struct.pack(end + "H", 43 if big_tiff else 42))
    file += struct.pack(end + "HHQ", 8, 0, 0) if big_tiff else bytes(4)
    offsets = []
    for piece in pieces:
        offsets.append(len(file))
        file += piece + bytes(len(piece) % 2)
    short, long = 3, 4
    tags = [(256, long, [width]), (257, short if height < 65536 else long, [height]), (258, short, [bits] * channels),
            (259, short, [compression]), (262, short, [photometric]), (277, short, [channels]),
            (284, short, [2 if planar else 1])]
    if fill_order != 1:
        tags.append((266, short, [fill_order]))
    if orientation is not None:
        tags.append((274, short, [orientation]))
    if predictor != 1:
        tags.append((317, short, [predictor]))
    if palette is not None:
        tags.append((320, short, [int(v) for c in range(3) for v in palette[:, c]]))
    if extra:
        tags.append((338, short, list(extra)))
    if compression == TIFF_JPEG and tables:
        tags.append((347, 7, list(tables)))
    if photometric == YCBCR:
        tags.append((530, short, [[1, 1], [2, 1], [2, 2]][subsampling]))
    counts = [len(piece) for piece in pieces]
    if tile is None:
        tags += [(273, long, offsets), (278, long, [rows_per_strip or height]), (279, long, counts)]
    else:
        tags += [(322, short, [tile[0]]), (323, short, [tile[1]]), (324, long, offsets), (325, long, counts)]
    tags = sorted([*tags, *more_tags])
    pointer = 8 if big_tiff else 4  # where the next directory's place is to be written
    for _ in range(pages):
        file += bytes(len(file) % 2)
        struct.pack_into(end + ("Q" if big_tiff else "I"), file, pointer, len(file))
        directory, behind = bytearray(), bytearray()
        size, inside, word = (20, 8, "Q") if big_tiff else (12, 4, "I")
        start = len(file) + (8 if big_tiff else 2) + size * len(tags) + inside
        for tag, kind, values in tags:
            data = struct.pack(end + str(len(values)) + {1: "B", 3: "H", 4: "I", 7: "B"}[kind], *values)
            directory += struct.pack(end + "HH" + word, tag, kind, len(values))
            if len(data) <= inside:
                directory += data + bytes(inside - len(data))
            else:
                directory += struct.pack(end + word, start + len(behind))
                behind += data + bytes(len(data) % 2)
        file += struct.pack(end + ("Q" if big_tiff else "H"), len(tags)) + directory
        pointer = len(file)
        file += bytes(inside) + behind
    return bytes(file)
