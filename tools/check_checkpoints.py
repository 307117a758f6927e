#!/usr/bin/env python3
"""Compares embeddings of a server with a reference's, over checkpoints of many kinds.

    tools/check_checkpoints.py build/release FOLDER

FOLDER holds checkpoints, plain.jpg, and expected.json: {"texts": [...], "words (NAME, NAME, ...)": {"image": [...],
"texts": [[...], ...]}, ...}, where each NAME is a checkpoint whose vectors, of length 1, these are. Each is served in fp32,
and every number must be within 1e-5. A checkpoint that needs a flag: --flag=NAME=--activation=gelu.
"""

import argparse
import json
import pathlib
import re
import subprocess

TOLERANCE = 1e-5


def embeddings(programs, model, flags, texts, image):
    """Of the image, then of the texts; or what the server says when it does not start."""
    server = subprocess.Popen(
        [programs / "server/zeroshot_server", f"--model={model}", "--listen=127.0.0.1:0", "--metrics_listen=", "--precision=fp32",
         *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = []
        for line in server.stdout:
            said.append(line.strip())
            address = re.search(r"serving.* at (127\.0\.0\.1:\d+)", line)
            if address:
                break
        else:
            return said[-1] if said else "it says nothing"
        answer = subprocess.run(
            [programs / "client/zeroshot_client", "embed", f"--target={address[1]}", "--json",
             *(f"--text={text}" for text in texts), str(image)], capture_output=True, text=True)
        found = [json.loads(line) for line in answer.stdout.splitlines()]
        if answer.returncode != 0:
            return answer.stderr or str(found)
        of_texts = {item["text"]: item["embedding"] for item in found if "text" in item}
        return [next(item["embedding"] for item in found if "file" in item), *(of_texts[text] for text in texts)]
    finally:
        server.terminate()
        server.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--flag", action="append", default=[], metavar="NAME=FLAG", help="for the server of that checkpoint")
    args = parser.parse_args()
    expected = json.loads((args.folder / "expected.json").read_text())
    texts = expected.pop("texts")
    failed = checked = 0
    for title, vectors in expected.items():
        for name in title[title.index("(") + 1 : title.rindex(")")].split(", "):
            flags = [flag.removeprefix(f"{name}=") for flag in args.flag if flag.startswith(f"{name}=")]
            wanted = [vectors["image"], *vectors["texts"]]
            found = embeddings(args.programs, args.folder / name, flags, texts, args.folder / "plain.jpg")
            checked += 1
            if isinstance(found, str):
                failed += 1
                print(f"{name} {' '.join(flags)}: {found}")
                continue
            most = [max(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in zip(found, wanted, strict=True)]
            failed += max(most) > TOLERANCE
            print(f"{name} {' '.join(flags)}: image {most[0]:.1e}, texts {max(most[1:]):.1e} off" +
                  (" WRONG" if max(most) > TOLERANCE else ""), flush=True)
    print(f"{checked} checkpoints, {failed} failed")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
