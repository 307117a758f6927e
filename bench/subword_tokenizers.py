#!/usr/bin/env python3
"""The tokenizers that checkpoints bring along beside the libraries they come from: ImageNet's 80,000 prompts on one thread.

    cmake --build --preset release --target micro_benchmarks
    .cache/golden/bin/python bench/subword_tokenizers.py build/release/bench/micro/micro_benchmarks

Vocabularies are the goldens' (tests/testdata/golden/tokenizers). Runs take turns; printed are medians in prompts per second of processor time.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import sentencepiece
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ("unigram.model", "gemma.model", "t5.json", "gemma.json", "bert.json")


def prompts():
    names = (ROOT / "data/class_sets/imagenet-1k.txt").read_text().splitlines()
    templates = (ROOT / "data/template_sets/openai-imagenet-80.txt").read_text().splitlines()
    return [template.replace("{}", name) for name in names for template in templates]


def library(path):
    """A function of a list of texts, all at once and on one thread."""
    if path.suffix == ".model":
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        return lambda texts: processor.encode(texts, num_threads=1)
    return tokenizers.Tokenizer.from_file(str(path)).encode_batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, help="the built micro_benchmarks")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    texts = prompts()
    for name in FILES:
        encode = library(ROOT / "tests/testdata/golden/tokenizers" / name)
        ours, theirs = [], []
        for _ in range(args.runs):
            command = [args.binary, f"--benchmark_filter=Subword/{name}$", "--benchmark_format=json"]
            result = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            ours.append(result["benchmarks"][0]["items_per_second"])
            begin = time.process_time()
            encode(texts)
            theirs.append(len(texts) / (time.process_time() - begin))
        print(f"{name}: {statistics.median(ours):,.0f} here, {statistics.median(theirs):,.0f} by the library")


if __name__ == "__main__":
    main()
