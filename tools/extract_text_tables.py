#!/usr/bin/env python3
r"""Writes the tables behind the tokenizer's text cleaning, from the reference's own packages.

Run it with the packages of tools/requirements-golden.txt on Python 3.11 (Unicode 14):
    .cache/golden/bin/python tools/extract_text_tables.py

data/clip/   bpe_simple_vocab_16e6.txt.gz and LICENSE, as in the package `clip-anytorch` (openai/CLIP)
data/ftfy/   tables.txt, what ftfy 6.3.1 knows, and its LICENSE.txt. One entry a line, code points in hexadecimal:
               codec NAME P80 .. PFF P1A     what the bytes 80 to FF, then 1A, decode to; in the order of trial
               set NAME RANGES               a named class of characters
               replace C [C..]               what one character becomes by fix_c1_controls, fix_latin_ligatures,
                                             fix_character_width and uncurl_quotes, in this order
               entity NAME C [C..]           upper-cased HTML names that ftfy adds to HTML5's
               badness ELEMENT ELEMENT ..    one alternative of BADNESS_RE: ^ or RANGES for each character;
                                             `!` before RANGES negates, `space` and `word` are Python's \s and \w
data/unicode/ word_classes.txt: \p{L}, \p{N} and what neither the reference's word pattern nor its negated class
             takes, as the package `regex` (its version is pinned) answers with IGNORECASE, for every code point,
             and its LICENSE.txt
             tokenizers.txt: classes of characters of Hugging Face's `tokenizers`, which come from old versions of
             Unicode, as its BertNormalizer, StripAccents and BertPreTokenizer treat every code point, and lower case
             of a newer one, where it is another than Python's
data/html5/  entities.txt, html.entities.html5 as `NAME C [C]`, and Python's LICENSE.txt
"""

import argparse
import html.entities
import importlib.metadata
import pathlib
import re
import shutil
import sysconfig
from re import _constants as op
from re import _parser

import clip
import ftfy
import regex
from ftfy import badness, chardata, fixes
from tokenizers import normalizers, pre_tokenizers

CLUES = ("utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4", "utf8_continuation", "utf8_continuation_strict")
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def points(text: str) -> str:
    return " ".join(f"{ord(c):X}" for c in text)


def ranges(members) -> str:
    """Sorted code points as `41-5A,5F`."""
    runs = []
    for c in sorted(members):
        if runs and c == runs[-1][1] + 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return ",".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in runs)


def codec_lines():
    some_bytes = bytes(range(0x80, 0x100)) + b"\x1a"
    for name in chardata.CHARMAP_ENCODINGS:
        text = some_bytes.decode(name)
        assert text.encode(name) == some_bytes and len(set(text)) == len(text)
        assert bytes(range(0x1A)).decode(name) == "".join(map(chr, range(0x1A)))
        yield f"codec {name} {points(text)}"


def replace_lines():
    for c in map(chr, SCALARS):
        fixed = fixes.uncurl_quotes(
            fixes.fix_character_width(fixes.fix_latin_ligatures(fixes.fix_c1_controls(c)))
        )
        if fixed != c:
            yield f"replace {points(c)} {points(fixed)}"


def entity_lines():
    for name, text in chardata.HTML_ENTITIES.items():
        assert name[0] == "&" and name[-1] == ";"
        if html.entities.html5.get(name[1:]) != text:
            yield f"entity {name[1:]} {points(text)}"


def element(code, argument) -> str:
    """One character of a parsed regular expression."""
    if code is op.LITERAL:
        return f"{argument:X}"
    if code is op.NOT_LITERAL:
        return f"!{argument:X}"
    if code is op.ANY:
        return "!A"
    if code is op.AT:
        assert argument is op.AT_BEGINNING
        return "^"
    assert code is op.IN, code
    negated, members, categories = "", set(), []
    for kind, value in argument:
        if kind is op.NEGATE:
            negated = "!"
        elif kind is op.LITERAL:
            members.add(value)
        elif kind is op.RANGE:
            members.update(range(value[0], value[1] + 1))
        else:
            assert kind is op.CATEGORY, kind
            categories.append({op.CATEGORY_SPACE: "space", op.CATEGORY_WORD: "word"}[value])
    return negated + ",".join(filter(None, [ranges(members), *categories]))


def sequences(parsed):
    """All sequences of elements that a parsed pattern stands for: optional parts taken both ways."""
    result = [[]]
    for code, argument in parsed:
        if code is op.MAX_REPEAT:
            low, high, body = argument
            assert (low, high) == (0, 1)
            result = [head + tail for head in result for tail in [[], *sequences(body)]]
        elif code is op.BRANCH:
            result = [head + tail for head in result for branch in argument[1] for tail in sequences(branch)]
        else:
            result = [head + [element(code, argument)] for head in result]
    return result


def badness_lines():
    for elements in sequences(_parser.parse(badness.BADNESS_RE.pattern, re.VERBOSE)):
        yield "badness " + " ".join(elements)


def set_lines():
    for name in CLUES:
        pattern = re.compile(f"[{chardata.UTF8_CLUES[name]}]")
        yield f"set {name} {ranges(c for c in SCALARS if pattern.match(chr(c)))}"


def word_class_lines():
    patterns = {
        "letter": regex.compile(r"[\p{L}]+", regex.IGNORECASE),
        "number": regex.compile(r"[\p{N}]", regex.IGNORECASE),
        "other": regex.compile(r"[^\s\p{L}\p{N}]+", regex.IGNORECASE),
    }
    classes = {name: set() for name in (*patterns, "gap")}
    for c in SCALARS:
        names = [name for name, pattern in patterns.items() if pattern.match(chr(c))] or ["gap"]
        assert len(names) == 1
        classes[names[0]].add(c)
    for name in ("letter", "number", "gap"):
        yield f"{name} {ranges(classes[name])}"


def tokenizers_lines():
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    strip = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    decompose, strip_accents, pre_tokenizer = normalizers.NFD(), normalizers.StripAccents(), pre_tokenizers.BertPreTokenizer()

    def members(test):
        return ranges(c for c in SCALARS if test("a" + chr(c)))

    yield "control " + members(lambda text: clean.normalize_str(text) == "a")
    yield "punctuation " + members(lambda text: len(pre_tokenizer.pre_tokenize_str(text + "b")) == 3)
    yield "nonspacing " + members(lambda text: decompose.normalize_str(text) == text and strip.normalize_str(text) == "a")
    yield "combining " + members(lambda text: strip_accents.normalize_str(text) == "a")
    for c in map(chr, SCALARS):
        lower = normalizers.Lowercase().normalize_str(c)
        if lower != c.lower():
            yield f"lower {points(c)} {points(lower)}"


def main() -> None:
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=root / "data")
    out = parser.parse_args().out
    for part in ("clip", "ftfy", "html5", "unicode"):
        (out / part).mkdir(parents=True, exist_ok=True)

    clip_folder = pathlib.Path(clip.__file__).parent
    shutil.copyfile(clip_folder / "bpe_simple_vocab_16e6.txt.gz", out / "clip" / "bpe_simple_vocab_16e6.txt.gz")
    (out / "clip" / "LICENSE").write_text(importlib.metadata.distribution("clip-anytorch").read_text("LICENSE"))

    assert ftfy.__version__ == "6.3.1"
    lines = [*codec_lines(), *set_lines(), *badness_lines(), *replace_lines(), *entity_lines()]
    head = "# ftfy 6.3.1's tables (Apache-2.0, see LICENSE.txt), extracted by tools/extract_text_tables.py.\n"
    (out / "ftfy" / "tables.txt").write_text(head + "\n".join(lines) + "\n")
    (out / "ftfy" / "LICENSE.txt").write_text(
        importlib.metadata.distribution("ftfy").read_text("licenses/LICENSE.txt")
    )

    (out / "unicode" / "word_classes.txt").write_text("\n".join(word_class_lines()) + "\n")
    (out / "unicode" / "tokenizers.txt").write_text("\n".join(tokenizers_lines()) + "\n")
    (out / "unicode" / "LICENSE.txt").write_text(
        importlib.metadata.distribution("regex").read_text("licenses/LICENSE.txt")
    )

    lines = [f"{name} {points(text)}" for name, text in html.entities.html5.items()]
    (out / "html5" / "entities.txt").write_text("\n".join(sorted(lines)) + "\n")
    shutil.copyfile(pathlib.Path(sysconfig.get_path("stdlib")) / "LICENSE.txt", out / "html5" / "LICENSE.txt")


if __name__ == "__main__":
    main()
