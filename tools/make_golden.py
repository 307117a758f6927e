#!/usr/bin/env python3
"""Writes the expected numbers that the tests compare with (tests/testdata/golden).

The reference implementations are pinned in tools/requirements-golden.txt:
    python3 -m venv .cache/golden && .cache/golden/bin/pip install -r tools/requirements-golden.txt
    .cache/golden/bin/python tools/make_golden.py            # all of them
    .cache/golden/bin/python tools/make_golden.py tokens     # or some

Each module of tools/golden/ has one function make(out_dir) and says in its
docstring which reference it runs and what it writes.
"""

import argparse
import importlib
import pathlib

PARTS = ("tokens", "tokenizers", "crops", "models", "families", "prompts", "weight_sets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which goldens to make (default: all)")
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests" / "testdata" / "golden")
    args = parser.parse_args()
    for part in args.parts or PARTS:
        out = args.out / part
        out.mkdir(parents=True, exist_ok=True)
        print(f"making {part} in {out}")
        importlib.import_module(f"golden.{part}").make(out)


if __name__ == "__main__":
    main()
