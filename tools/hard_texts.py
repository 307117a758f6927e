"""Strings of all the kinds that tokenizers treat in a special way: see KINDS.

For check_tokenizer.py and check_tokenizers.py. On Python 3.11 (Unicode 14).
"""

import html.entities
import random
import unicodedata

from ftfy import chardata
from ftfy.badness import MOJIBAKE_CATEGORIES

WORDS = (
    "a photo of the cat dog don't they're I'VE she'll we'd i'm It's rock'n'roll hello-world 3D 2nd b&w R&D C++ x^2 "
    "naïve café voilà à quelle às Ångström Straße İstanbul ΣΊΣΥΦΟΣ ΟΔΟΣ Σ ὈΔΥΣΣΕΎΣ Привет мир Ёлка ВЕНГРИЯ мяч șapte żółć łódź Ěščřžýáíé "
    "Zürich ÉCOLE Ÿ ÇA façade smörgåsbord Øl æther œuvre ŒUVRE ŉ ǆ Ǉ ﬁsh ﬂy oﬃce ﬆop ĳ Ĳs ſtop ' ’s 'ſ <|endoftext|> <|STARTOFTEXT|> "
    "<|ſtartoftext|> <|endoftext <b>bold</b> <3 日本語 漢字 ｶﾀｶﾅ ＬＯＵＤ　ｎｏｉｓｅ 한국어 שלום عربى مرحبا हिन्दी ภาษาไทย தமிழ் ქართული Ꭰꭰ "
    "„quoted“ “curly” ‘single’ ‛x‟ … — – • € £5 ¥ 50% ½ ²³ ① Ⅷ ٣ ३ 💩 👩‍👩‍👧 🇩🇪 👍🏽 ❤️ ♥ ☃ ™ © ® ° ± × ÷ ¿ ¡ « »"
).split(" ")
CODECS = [*chardata.CHARMAP_ENCODINGS, "windows-1252", "cp1252", "utf-8", "cp850", "iso-8859-15", "sloppy-windows-1256", "utf-16-le"]
ENTITIES = [*html.entities.html5, *(name[1:] for name in chardata.HTML_ENTITIES)]
SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
CLUES = "".join(chardata.UTF8_CLUES.values()) + "".join(MOJIBAKE_CATEGORIES.values()) + "\ufffd"
BLOCKS = (
    (0x20, 0x7F), (0x80, 0x100), (0x100, 0x250), (0x250, 0x370), (0x370, 0x530), (0x590, 0x780), (0x900, 0xE80),
    (0xE80, 0x1100), (0x1100, 0x1200), (0x1200, 0x1E00), (0x1E00, 0x2000), (0x2000, 0x2100), (0x2100, 0x2C00),
    (0x2C00, 0x3000), (0x3000, 0x3400), (0x4E00, 0x4F00), (0xAC00, 0xAD00), (0xA000, 0xAC00), (0xF8F0, 0xFB50),
    (0xFB50, 0xFE00), (0xFE00, 0x10000), (0x10000, 0x11000), (0x1D100, 0x1D800), (0x1F000, 0x1FB00), (0xE0000, 0xE0200),
)


def assigned(code_point: int) -> bool:
    return unicodedata.category(chr(code_point)) not in ("Cn", "Cs")


ASSIGNED = [c for c in range(0x110000) if assigned(c)]
# What later versions of Unicode assign, the likeliest to be treated differently.
UNASSIGNED = [c for c in (*range(0x2000, 0x2100), *range(0xA7C0, 0xA800), *range(0x10D00, 0x11400), *range(0x11F00, 0x11F60),
                          *range(0x16100, 0x16E00), *range(0x1DF20, 0x1DF30), *range(0x1E030, 0x1E100), *range(0x1E4D0, 0x1E600)) if not assigned(c)]
MARKS = [c for c in ASSIGNED if unicodedata.combining(chr(c))]
CASED = [c for c in ASSIGNED if chr(c).lower() != chr(c)]
CONTROLS = [c for c in range(0x100) if unicodedata.category(chr(c)) == "Cc"] + [0xAD, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070), *range(0xFFF9, 0xFFFE)]
BLOCK_MEMBERS = [[c for c in range(*block) if assigned(c)] for block in BLOCKS]


def characters(r, members, longest):
    return "".join(chr(r.choice(members)) for _ in range(r.randint(1, longest)))


def phrase(r):
    return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 8)))


def any_points(r):
    return characters(r, ASSIGNED, 30)


def unassigned_points(r):
    return characters(r, [*UNASSIGNED, *MARKS, 0x3A3, 0x41, 0x20], 20)


def block_points(r):
    return "".join(characters(r, r.choice(BLOCK_MEMBERS), 6) for _ in range(r.randint(1, 6)))


def combining(r):
    base = [*r.choice(BLOCK_MEMBERS), *range(0x41, 0x7B)]
    return "".join(chr(r.choice(base)) + characters(r, MARKS, r.choice((1, 2, 5))) for _ in range(r.randint(1, 8)))


def casing(r):
    pool = [*CASED, 0x3A3, 0x3A3, 0x3A3, 0x130, 0x27, 0x3A, 0x2E, 0xAD, 0x2019, 0x345, 0x20, 0x41, 0x61]
    return characters(r, pool, 20)


def encoded(r, text, codec):
    try:
        return text.encode(codec, r.choice(("strict", "replace", "ignore")))
    except UnicodeError:
        return text.encode("utf-8")


def cesu(text):
    return b"".join(
        (chr(0xD800 + (ord(c) - 0x10000 >> 10)) + chr(0xDC00 + (ord(c) - 0x10000 & 0x3FF))).encode("utf-8", "surrogatepass")
        if ord(c) > 0xFFFF else c.encode() if c != "\0" else b"\xc0\x80"
        for c in text
    )


def mojibake(r, text=None):
    """Text through one to three wrong decodings, sometimes with A0 made a space or bytes lost."""
    text = text or r.choice((phrase, block_points, any_points))(r)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        data = r.choice((str.encode, str.encode, cesu, lambda t: encoded(r, t, r.choice(CODECS))))(text)
        if r.random() < 0.25:
            data = data.replace(b"\xa0", r.choice((b" ", b"  ")))
        if r.random() < 0.15:
            data = bytes(r.choice((0x1A, 0x3F, b)) if b > 0x7F and r.random() < 0.2 else b for b in data)
        if r.random() < 0.1:
            data = data[: r.randint(1, len(data))] if data else data
        text = data.decode(r.choice(CODECS[:10]), r.choice(("replace", "ignore", "replace")))
        if r.random() < 0.1:
            text = text.replace("\x1a", "\ufffd")
    return text


def mixed_mojibake(r):
    return r.choice(("", " ", "\n", "a")).join(r.choice((mojibake, phrase))(r) for _ in range(r.randint(2, 4)))


def clues(r):
    pool = [ord(c) for c in CLUES + " aAzZ1.?!\n\xa0\x1a"]
    return characters(r, pool, r.choice((4, 10, 40)))


def byte_soup(r):
    """Bytes that look like UTF-8 variants, decoded as Latin-1 or a sloppy encoding."""
    pieces = (b"\xc0\x80", b"\xc0", b"\xed\xa0\xbd\xed\xb8\x8d", b"\xed\xa0\xbd\xed\xb8", b"\xed", b"\xc3 ", b"\xc3\xa9", b"\xc3 quele", b"\xc3 s ",
              b"\xe2\x80\x99", b"\xe2\x80", b"\xe2 \x99", b"\xf0\x9f\x98\x8d", b"\xf0\x9f \x8d", b"\x1a", b"?", b"\xef\xbf\xbd", b" ", b"a", b"\n", b"\xc2\xa0", b"\xc2 ")
    data = b"".join(r.choice((r.choice(pieces), r.choice(pieces), bytes([r.randrange(256)]))) for _ in range(r.randint(1, 10)))
    return data.decode(r.choice(CODECS[:10]), "replace") + r.choice(("", "", "\n", "\r\n"))


def controls(r):
    pool = [*CONTROLS, *CONTROLS, *range(0x20, 0x7F), 0xC3, 0xA9, 0xE2]
    escapes = ("\x1b[31m", "\x1b[0;1;36m", "\x1b[", "\x1b[;", "\x1b[٣m", "\x1b\x1b[1mm", "\r\n", "\r", "\u2028")
    return "".join(r.choice((characters(r, pool, 4), r.choice(escapes))) for _ in range(r.randint(1, 8)))


def one_entity(r):
    number = r.choice((r.randrange(0x100), r.choice(ASSIGNED), r.randrange(0x20, 0x7F), r.choice((0xD800, 0xDFFF, 0x110000, 10**12, 0xFFFE, 0xFDD0, 0))))
    name = r.choice(ENTITIES)
    name = r.choice((name, name, name.rstrip(";"), name.upper(), name.lower(), name[: r.randint(1, len(name))]))
    body = r.choice((name, name, name, f"#{number}", f"#x{number:x}", f"#X{number:X}", f"#0{number}", "#", "#x", "", "#;", "#59;", "lt", "amp;amp;"))
    return "&" + r.choice(("", "", "", "amp;", "amp;amp;", "#38;")) + body + r.choice((";", ";", "", "x", "é", " ", ";;", "=1"))


def entities(r):
    return r.choice(("", " ")).join(r.choice((one_entity(r), one_entity(r), phrase(r), r.choice("&<;\n é"))) for _ in range(r.randint(1, 6)))


def spaces(r):
    return "".join(r.choice((phrase(r), "x", characters(r, [ord(c) for c in SPACES], 4))) for _ in range(r.randint(1, 8)))


def ascii_soup(r):
    return characters(r, range(0x20, 0x7F), 60)


def contractions(r):
    return "".join(r.choice(("'s", "'T", "'re", "'VE", "'m", "'lL", "'d", "'ſ", "'", "a", "!", "<|endoftext|>", "<|Startoftext|>", "<|", "|>", "ſ", " ", "1", "²")) for _ in range(r.randint(1, 12)))


def long_word(r):
    pool = r.choice(([*range(0x61, 0x7B)], [*range(0x61, 0x64)], [0x61], r.choice(BLOCK_MEMBERS), [*range(0x21, 0x30)]))
    length = r.choice((100, 300, 1000, 1000, 10_000)) if r.random() < 0.02 else r.randint(20, 100)
    return "".join(chr(r.choice(pool)) for _ in range(length))


KINDS = (phrase, any_points, unassigned_points, block_points, combining, casing, mojibake, mojibake, mojibake, mixed_mojibake, clues, byte_soup,
         controls, entities, spaces, ascii_soup, contractions, long_word)


def one_string(seed, index):
    r = random.Random(f"{seed}/{index}")
    kind = KINDS[index % len(KINDS)]
    text = kind(r)
    return "".join(c for c in text if not 0xD800 <= ord(c) <= 0xDFFF)
