"""Token ids of openai/CLIP's SimpleTokenizer (package `clip-anytorch`), with the start and end token.

strings.json: [text, ids] of a few hundred strings of all kinds.
code_points.txt: `FIRST LAST HASH` for runs of code points assigned in Unicode 14: what 64-bit FNV-1a makes of the ids of
PROBE for each code point of the run, in order. The lines of PROBE put the code point beside what may depend on it: other
letters, capital sigmas (final or not), and characters of ftfy's badness heuristic.
"""

import json
import pathlib

import hard_texts
from clip.simple_tokenizer import SimpleTokenizer

PROBE = "{0}\na{0}b\naΣ{0}\n{0}Σ\né«{0}"
LONGEST_RUN = 1024

BY_HAND = (
    "", " ", "a photo of a cat.", "A  Photo\tof\na DOG", "don't stop, they'VE said 'tis I'll", "caf\u00e9 cafe\u0301 caf\u00c3\u00a9",
    "voil\u00c3\u00a0 le travail", "voil\u00c3  le travail", "\u00c3 la mode; \u00c3 quele, \u00c3 s", "\u00e2\u20ac\u0153quoted\u00e2\u20ac\ufffd",
    "a<|endoftext|>b", "a <|EndOfText|> b", "!<|endoftext|>", "<|\u017ftartoftext|> it'\u017f", "\u039f\u0394\u039f\u03a3 \u03a3 \u0391\u03a3.\u03a3 \u0130I\u0131",
    "&lt;b&gt; &amp;amp; &notit; &not; &NTILDE; &#233; &#xe9; &#128; &#0; &#xD800; &#59; &amp", "<b>&amp;eacute;</b>\n&eacute;",
    "\u00c3\u00a9\u00c0\n", "\u00ed\u00a0\u00bd\u00ed\u00b8\u008d", "\u00ed\u00a0\u00bd\u00ed\u00b8\n", "\u00c3\u00a9\u00c0\u0080x", "\uff2c\uff2f\uff35\uff24\u3000\uff76\uff9e",
    "\ufb01\ufb02\u0149\u01c6\u0133", "\u2018a\u2019 \u201cb\u201d \u02bcc", "\x1b[31mred\x1b[0m \x00\x07\x7f\ufeff", "a\u0345b", "\u0958 \u1100\u1161\u11a8 \u212b \u2126",
    "1234 \u0661\u0662 \u2167 \u00bd x\u00b2", "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd", "\u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4",
    "\r\n\x0b\x0c\x1c\x85\u2028\u3000", "a\u200bb\u00adc\u2060d", "pneumonoultramicroscopicsilicovolcanoconiosis" * 5, "!?#$%&" * 20, "ab" * 500,
)


def fnv1a(ids, value) -> int:
    for token in ids:
        value = (value ^ token) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def runs(code_points):
    run = []
    for c in code_points:
        if run and (c != run[-1] + 1 or len(run) == LONGEST_RUN):
            yield run
            run = []
        run.append(c)
    yield run


def make(out_dir: pathlib.Path) -> None:
    tokenizer = SimpleTokenizer()

    def encode(text):
        # The reference caches every word for ever; a million of them would not do.
        if len(tokenizer.cache) > 100_000:
            tokenizer.cache = {word: word for word in ("<|startoftext|>", "<|endoftext|>")}
        return [49406, *tokenizer.encode(text), 49407]

    texts = [*BY_HAND, *(hard_texts.one_string("golden", i) for i in range(40 * len(hard_texts.KINDS)))]
    lines = [json.dumps([text, encode(text)]) for text in texts if len(text) <= 1000]
    (out_dir / "strings.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")

    with open(out_dir / "code_points.txt", "w") as out:
        for run in runs(hard_texts.ASSIGNED):
            value = 0xCBF29CE484222325
            for c in run:
                value = fnv1a(encode(PROBE.format(chr(c))), value)
            out.write(f"{run[0]:X} {run[-1]:X} {value:016X}\n")
