#!/usr/bin/env python3
"""Folders of images: `classify` beside `bench`, and `reclassify` of the vectors that `classify` kept.

    cmake --build --preset release --target zeroshot_server zeroshot_client
    .cache/golden/bin/python bench/folders.py        # about 6 minutes on 2 idle cores

A folder of --images JPEGs (bench/served.py's, each with a comment of its own, so that no cache knows it) is classified by the demo model with --output, and
the same images are sent by `bench` with as many calls in flight, in turns, --rounds times each. Then --vectors embeddings are classified
against --classes classes by `reclassify`, into CSV and JSON lines. Server and client share the machine's cores.
"""

import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import time

import build
import served

FOLDER = build.ROOT / ".cache" / "bench-folders"
IN_FLIGHT = 8  # what classify has when nothing is said


def jpegs(count: int) -> pathlib.Path:
    """A tree of folders of 1,000."""
    tree, source = FOLDER / "tree", FOLDER / "source.jpg"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    served.write_image(source)
    image = source.read_bytes()
    for i in range(count):
        path = tree / str(i // 1000) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        comment = str(i).encode()
        path.write_bytes(image[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + image[2:])
    return tree


def repeated(few: pathlib.Path, count: int) -> pathlib.Path:
    """A file of so many vectors: those of another, again and again."""
    with open(few, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]  # the program's files all have the same
        header, rows = json.loads(file.read(length)), file.read()
    found, dim = header["embeddings"]["shape"]
    header["embeddings"].update(shape=[count, dim], data_offsets=[0, count * dim * 4])
    text = json.dumps(header).encode().ljust(length)
    many = FOLDER / "many.safetensors"
    many.write_bytes(struct.pack("<Q", len(text)) + text + (rows * (count // found + 1))[: count * dim * 4])
    (FOLDER / "many.names.csv").write_text("file,error\n" + "".join(f"{i}.jpg,\n" for i in range(count)))
    return many


def seconds(command: list) -> float:
    start = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    tree = jpegs(args.images)
    server = build.Server(build.ROOT / "models" / "demo", "fp32", ["--http_listen="])
    try:
        measure(args, server, tree)
    finally:
        server.stop()
        shutil.rmtree(FOLDER)


def measure(args: argparse.Namespace, server: build.Server, tree: pathlib.Path) -> None:
    names = build.lines("class_sets/imagenet-1k.txt")
    pets = "--classes=cat,dog,frog"
    output = FOLDER / "labels.csv"
    print(build.machine())
    print(f"images/s of the demo model, {IN_FLIGHT} calls in flight")
    for _ in range(args.rounds):
        folder = args.images / seconds([*server.client("classify"), pets, tree, "--recursive", f"--output={output}", "--overwrite", f"--parallel={IN_FLIGHT}"])
        images = [str(path) for path in sorted(tree.rglob("*.jpg"))[:2000]]
        ran = subprocess.run([*server.client("bench"), pets, f"--concurrency={IN_FLIGHT}", "--window=5", "--json", *images], check=True, capture_output=True, text=True)
        bench = json.loads(ran.stdout.splitlines()[-1])["calls_per_second"]
        print(f"  folder of {args.images} {folder:7.1f}   bench {bench:7.1f}   ratio {folder / bench:.3f}", flush=True)
    few = FOLDER / "few.safetensors"
    seconds([*server.client("classify"), pets, tree / "0", f"--vectors={few}"])
    many = repeated(few, args.vectors)
    classes = FOLDER / "classes.txt"
    classes.write_text("\n".join(names[: args.classes]) + "\n")
    seconds([*server.client("build"), f"--classes_file={classes}"])  # not part of what is timed
    print(f"seconds to reclassify {args.vectors} vectors, {args.classes} classes")
    for _ in range(args.rounds):
        row = []
        for kind in ("csv", "jsonl"):
            row.append(seconds([*server.client("reclassify"), f"--vectors={many}", f"--classes_file={classes}", f"--output={FOLDER / 'again.'}{kind}", "--overwrite"]))
        print(f"  csv {row[0]:5.2f}   jsonl {row[1]:5.2f}", flush=True)


if __name__ == "__main__":
    main()
