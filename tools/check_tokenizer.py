#!/usr/bin/env python3
"""Compares the C++ tokenizer with openai/CLIP's on generated strings.

    .cache/golden/bin/python tools/check_tokenizer.py build/release/tests/clip/tokenize_lines --count 100000 --seed 1

Strings are of all the kinds that the reference treats in a special way: see
hard_texts.KINDS. Run it on Python 3.11 (Unicode 14). Exits with 1 on a difference.
"""

import argparse
import collections
import functools
import json
import multiprocessing
import pathlib
import subprocess
import sys

from clip.simple_tokenizer import SimpleTokenizer
from hard_texts import KINDS, one_string


@functools.lru_cache(maxsize=1)
def tokenizer():
    return SimpleTokenizer()


def reference(job):
    text = one_string(*job)
    return text, [49406, *tokenizer().encode(text), 49407]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, help="the built tokenize_lines")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pieces", action="store_true", help="each string as a template around a name")
    args = parser.parse_args()
    with multiprocessing.Pool(args.processes) as pool:
        expected = pool.map(reference, [(args.seed, i) for i in range(args.count)], chunksize=200)
    lines = "".join(json.dumps(text) + "\n" for text, _ in expected)
    result = subprocess.run([args.binary, *(["--pieces"] if args.pieces else [])], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(expected)
    wrong = collections.Counter()
    for index, ((text, ids), answer) in enumerate(zip(expected, answers)):
        if ids != answer:
            kind = KINDS[index % len(KINDS)].__name__
            wrong[kind] += 1
            if wrong[kind] <= 5:
                print(f"{kind} {index}: {text[:300]!a}\n  reference {tokenizer().decode(ids[1:-1])[:300]!a}\n  found     {tokenizer().decode(answer[1:-1])[:300]!a}")
    print(f"{args.count} strings, seed {args.seed}: {sum(wrong.values())} differences {dict(wrong) or ''}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
