"""Images and captions: read from Debian packages, fitted to one box, cached.

Every image becomes an 80x80 premultiplied RGBA square. Every training image carries captions with weights, a
group (images of one thing share it; they are no negatives of each other) and a sampling weight.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .concepts import CONCEPTS, HELD_OUT_PHOTOGRAPHS, NOT_CONCEPTS

SHARE = Path("/usr/share")
NOTO_FONT = SHARE / "fonts/truetype/noto/NotoColorEmoji.ttf"
TUXPAINT = SHARE / "tuxpaint/stamps"
OPENCLIPART = SHARE / "openclipart/png"
GEMS = SHARE / "rubygems-integration/all/gems"
EMOJIONE = next(iter(sorted(GEMS.glob("gemojione-*/assets/png"))), GEMS)
CLDR = [SHARE / "unicode/cldr/common" / folder / "en.xml" for folder in ("annotations", "annotationsDerived")]

BOX = 80
NOTO_SIZE = 109  # the one size the bitmap font has
MAX_PIXELS = 16_000_000  # a few scanned clip arts are of poster size; not worth their decoding time
FORMAT = 1

SKIN_TONES = {chr(c) for c in range(0x1F3FB, 0x1F400)}
CONCEPT_BOOST = 3.0  # how much more often the tested concepts' images are drawn


@dataclasses.dataclass
class Item:
    source: str  # noto, tuxpaint, openclipart, emojione
    name: str  # code points or file, relative to its package
    split: str  # train, artist (EmojiOne), stamps (held-out captions), photo (held-out photographs)
    group: str
    captions: list[tuple[str, float]]
    weight: float
    templated: bool = True  # whether the captions are names that fit into a template


@dataclasses.dataclass
class Dataset:
    items: list[Item]
    images: np.ndarray  # [N, BOX, BOX, 4] uint8, premultiplied


def fit_box(image: Image.Image) -> np.ndarray | None:
    """Cuts to the visible part, scales it into the box, centres it. None for an empty image."""
    if max(image.size) > 6 * BOX:
        image = image.convert("RGBA").reduce(max(image.size) // (3 * BOX))
    rgba = np.asarray(image.convert("RGBA"), dtype=np.float32)
    rgba = np.concatenate([rgba[..., :3] * (rgba[..., 3:] / 255), rgba[..., 3:]], axis=-1)
    visible = rgba[..., 3] > 12
    if not visible.any():
        return None
    ys, xs = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    rgba = rgba[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    height, width = rgba.shape[:2]
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Channel by channel in float: Pillow's RGBA resize would premultiply once more.
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(rgba[..., c])).resize(size, Image.Resampling.BICUBIC))
        for c in range(4)
    ]
    fitted = np.clip(np.stack(channels, -1), 0, 255)
    fitted[..., :3] = np.minimum(fitted[..., :3], fitted[..., 3:])
    box = np.zeros((BOX, BOX, 4), np.uint8)
    top, left = (BOX - size[1]) // 2, (BOX - size[0]) // 2
    box[top : top + size[1], left : left + size[0]] = (fitted + 0.5).astype(np.uint8)
    return box


@functools.cache
def noto_font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(NOTO_FONT), NOTO_SIZE, layout_engine=ImageFont.Layout.RAQM)


def render_noto(text: str) -> Image.Image:
    canvas = Image.new("RGBA", (3 * NOTO_SIZE, 2 * NOTO_SIZE))
    ImageDraw.Draw(canvas).text((NOTO_SIZE // 2, NOTO_SIZE // 3), text, font=noto_font(), embedded_color=True)
    return canvas


def open_image(path: Path) -> Image.Image:
    if path.suffix == ".svg":
        png = subprocess.run(
            ["rsvg-convert", "--keep-aspect-ratio", "--width=200", "--height=200", str(path)],
            check=True, capture_output=True,
        ).stdout
        return Image.open(io.BytesIO(png))
    return Image.open(path)


def package_path(item: Item) -> Path:
    root = {"emojione": EMOJIONE, "tuxpaint": TUXPAINT, "openclipart": OPENCLIPART}[item.source]
    return root / item.name


def _load_box(item: Item) -> np.ndarray | None:
    try:
        if item.source == "noto":
            return fit_box(render_noto(item.name))
        picture = open_image(package_path(item))
        if picture.width * picture.height > MAX_PIXELS:
            return None
        return fit_box(picture)
    except (OSError, ValueError, Image.DecompressionBombError, subprocess.CalledProcessError):
        return None  # an SVG without a size, a truncated PNG


# --- names -------------------------------------------------------------------------------------------------------


def code_of(emoji: str) -> str:
    """Code points without the variation selector, as in '1F468-200D-1F680'."""
    return "-".join(f"{ord(c):04X}" for c in emoji if c != "\ufe0f")


def emoji_of(code: str) -> str:
    return "".join(chr(int(c, 16)) for c in code.split("-"))


def emoji_code(item: Item) -> str:
    """The code of a Noto or EmojiOne image."""
    if item.source == "noto":
        return code_of(item.name)
    return "-".join(c for c in item.name.removesuffix(".png").upper().split("-") if c != "FE0F")


def is_flag(emoji: str) -> bool:
    return 0x1F1E6 <= ord(emoji[0]) <= 0x1F1FF or "\U000e007f" in emoji


def cldr_annotations() -> dict[str, tuple[str, list[str]]]:
    """Code -> (name, keywords)."""
    names: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    for path in CLDR:
        for node in ElementTree.parse(path).iter("annotation"):
            code, text = code_of(node.get("cp", "")), (node.text or "").strip()
            if node.get("type") == "tts":
                names[code] = text.lower()
            else:
                words[code] = [w.strip().lower() for w in text.split("|")]
    return {code: (name, [w for w in words.get(code, []) if w != name]) for code, name in names.items()}


BY_CODE = {code: (cldr, plain) for code, cldr, plain in CONCEPTS}
BY_NAME = {name: cldr for _, cldr, plain in CONCEPTS for name in (cldr, plain, plain + "s")}


def strip_article(caption: str) -> str:
    bare = caption.strip().strip(".!?“” ").lower()
    return re.sub(r"^(an?|the|some|two|our) ", "", bare)


def concept_of(name: str) -> str | None:
    """The concept a name means: itself, or with words before it ('sumatran tiger')."""
    words = name.split()
    for start in range(len(words)):
        tail = " ".join(words[start:])
        if tail in NOT_CONCEPTS:
            return None
        if tail in BY_NAME:
            return BY_NAME[tail]
    return None


# --- sources -----------------------------------------------------------------------------------------------------


def emoji_items() -> list[Item]:
    annotations = cldr_annotations()
    documents = Counter(word for _, words in annotations.values() for word in words)

    def captions(code: str) -> list[tuple[str, float]]:
        name, words = annotations[code]
        result = [(name, 0.5)]
        if name.endswith(" face"):
            result.append((name.removesuffix(" face"), 0.3))
        if code in BY_CODE:
            result.append((BY_CODE[code][1], 0.5))
        # A rare keyword says more about the image than "face" or "symbol".
        idf = {w: 1 / documents[w] for w in words}
        result += [(w, 0.4 * v / sum(idf.values())) for w, v in idf.items()]
        return result

    def item(source: str, name: str, code: str, split: str) -> Item:
        emoji = emoji_of(code)
        weight = 1.0
        if is_flag(emoji):
            weight = 0.1
        elif SKIN_TONES & set(emoji):
            weight = 0.04
        elif "\u200d" in emoji:
            weight = 0.3
        elif code in BY_CODE:
            weight = CONCEPT_BOOST
        bare = code_of("".join(c for c in emoji if c not in SKIN_TONES))
        group = annotations.get(bare, annotations[code])[0]
        return Item(source, name, split, group, captions(code), weight)

    items = []
    for code in annotations:
        emoji = emoji_of(code)
        if any(ord(c) > 0x2000 for c in emoji):
            # The selector asks the font for the coloured glyph of an old symbol.
            text = emoji + "\ufe0f" if len(emoji) == 1 and ord(emoji) < 0x1F000 else emoji
            items.append(item("noto", text, code, "train"))
    for path in sorted(EMOJIONE.glob("*.png")):
        codes = [c for c in path.stem.upper().split("-") if c != "FE0F"]
        if all(re.fullmatch("[0-9A-F]{4,6}", c) for c in codes) and "-".join(codes) in annotations:
            items.append(item("emojione", path.name, "-".join(codes), "artist"))
    return items


def stamp_is_held_out(caption: str) -> bool:
    """Split by caption, not by file: variants of a stamp share their caption."""
    return hashlib.md5(caption.encode()).digest()[0] < 26  # noqa: S324, a hash for splitting


def tuxpaint_items() -> list[Item]:
    items = []
    for text in sorted(TUXPAINT.rglob("*.txt")):
        if "mirror" in text.stem or "flip" in text.stem:
            continue
        lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
        picture = next((p for p in (text.with_suffix(".png"), text.with_suffix(".svg")) if p.exists()), None)
        if picture is None or not lines or not lines[0].strip():
            continue
        caption = re.split(r"(?<=[.!?])\s", lines[0].strip())[0]  # the first sentence
        bare = strip_article(caption)
        name = str(picture.relative_to(TUXPAINT))
        concept = concept_of(bare)
        captions = [(bare, 0.7), (bare.split(" (")[0], 0.3)]
        if concept:
            captions += concept_captions(concept)
        # Whole sentences ("Say cheese!") do not fit into a template.
        templated = len(bare.split()) <= 4
        split = "photo" if name in HELD_OUT_PHOTOGRAPHS else "stamps" if stamp_is_held_out(caption) else "train"
        weight = CONCEPT_BOOST if concept else 1.0
        items.append(Item("tuxpaint", name, split, concept or bare, captions, weight, templated))
    return items


def concept_captions(concept: str) -> list[tuple[str, float]]:
    plain = next(plain for _, cldr, plain in CONCEPTS if cldr == concept)
    return [(concept, 0.3), (plain, 0.7)]


THIN_FOLDERS = ("computer", "recreation/games", "signs_and_symbols", "logos", "special", "office", "electronics")


def openclipart_items(known_words: set[str]) -> list[Item]:
    """File names start with the thing and end with the author: known words are taken until the first unknown one."""
    items = []
    for path in sorted(OPENCLIPART.rglob("*.png")):
        name = str(path.relative_to(OPENCLIPART))
        if name.startswith("shapes/") or "/flags/" in name or "buttons" in name:
            continue
        words = []
        for word in re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", path.stem).lower()):
            if not word:
                continue
            if word not in known_words or len(words) == 4:
                break
            words.append(word)
        usable = bool(words) and any(len(w) > 2 for w in words)
        folder = path.parent.name.replace("_", " ")
        bare = " ".join(words) if usable else folder
        concept = concept_of(bare) if usable else None
        weight = CONCEPT_BOOST * 0.7 if concept else 0.6 if usable else 0.12
        if name.startswith(THIN_FOLDERS) and not concept:
            weight *= 0.12
        captions = [(bare, 1.0)] + (concept_captions(concept) if concept else [])
        items.append(Item("openclipart", name, "train", concept or bare, captions, weight))
    return items


def collect_items() -> list[Item]:
    items = emoji_items() + tuxpaint_items()
    words = Counter(
        word
        for item in items if item.source != "emojione"
        for caption, _ in item.captions
        for word in re.findall("[a-z]+", caption)
    )
    return items + openclipart_items(set(words))


def prepare(cache: Path) -> Dataset:
    """Reads the cache, or makes it (a minute or two)."""
    cache.mkdir(parents=True, exist_ok=True)
    list_file, image_file = cache / f"items-{FORMAT}.json", cache / f"images-{FORMAT}.npy"
    if list_file.exists() and image_file.exists():
        items = [Item(**{**entry, "captions": [tuple(c) for c in entry["captions"]]})
                 for entry in json.loads(list_file.read_text())]
        return Dataset(items, np.load(image_file))
    items = collect_items()
    with ProcessPoolExecutor() as pool:
        boxes = list(pool.map(_load_box, items, chunksize=64))
    # Code points the font lacks all render to the same few boxes.
    copies = Counter(box.tobytes() for item, box in zip(items, boxes) if item.source == "noto" and box is not None)
    kept = [
        (item, box) for item, box in zip(items, boxes)
        if box is not None and not (item.source == "noto" and copies[box.tobytes()] > 3)
    ]
    items = [item for item, _ in kept]
    images = np.stack([box for _, box in kept])
    np.save(image_file, images)
    list_file.write_text(json.dumps([dataclasses.asdict(item) for item in items]))
    return Dataset(items, images)


def summary(items: list[Item]) -> str:
    weights: dict[tuple[str, str], list[float]] = {}
    for item in items:
        weights.setdefault((item.source, item.split), []).append(item.weight)
    return "\n".join(f"{source:12} {split:7} {len(w):6} images, weight {sum(w):7.0f}"
                     for (source, split), w in sorted(weights.items()))
