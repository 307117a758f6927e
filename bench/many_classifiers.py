#!/usr/bin/env python3
"""One image against several classifiers: in one call, in a call each, and sent again to a server that knows it.

    cmake --build --preset release --target make_checkpoint zeroshot_client zeroshot_server
    .cache/golden/bin/python bench/many_classifiers.py        # about a minute on 2 cores

Random weights of ViT-B/32 (speed does not depend on values), 1000 classes a classifier, the JPEG of bench/served.py.
Times are the server's own for a call, medians over all rounds, the cases in turns.
"""

import argparse
import atexit
import json
import pathlib
import statistics
import subprocess
import sys
import time

from served import BUILD, CLIENT, write_image
from wire import ROOT, free_port

SETS = 4
TEMPLATES = ("a photo of a {}.", "a drawing of a {}.", "a sculpture of a {}.", "a toy {}.")


class Server:
    def __init__(self, model: pathlib.Path, precision: str, *flags: str):
        self.target = f"--target=127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [BUILD / "server" / "zeroshot_server", f"--model={model}", f"--precision={precision}", "--metrics_listen=",
             "--log_level=warn", self.target.replace("target", "listen"), *flags])
        atexit.register(self.process.terminate)
        while subprocess.run([CLIENT, "health", self.target], capture_output=True).returncode != 0:
            if self.process.poll() is not None:
                sys.exit("the server ended")
            time.sleep(0.2)
        self.ids = [self.ask("build", "--class_set=imagenet-1k", f"--templates={text}").strip() for text in TEMPLATES]

    def ask(self, *arguments) -> str:
        return subprocess.run([CLIENT, *arguments, self.target], check=True, capture_output=True, text=True).stdout

    def times(self, ids: list[str], image: pathlib.Path, calls: int) -> list[float]:
        """Milliseconds inside the server of each of the calls."""
        lines = self.ask("classify", "--json", "--parallel=1", *(f"--weight_set={i}" for i in ids), *[image] * calls)
        return [json.loads(line)["timing_ms"]["total"] for line in lines.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / ".cache" / "random-ViT-B-32.pt")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10, help="of each case in a round")
    args = parser.parse_args()
    image = args.model.parent / "bench.jpg"
    write_image(image)
    if not args.model.exists():
        subprocess.run([BUILD / "tests" / "testing" / "make_checkpoint", "--arch=ViT-B/32",
                        "--format=openai_state_dict", f"--out={args.model}"], check=True)
    plain, knowing = Server(args.model, args.precision), Server(args.model, args.precision, "--image_cache_bytes=1000000")
    cases: dict[str, list[float]] = {}
    for round_ in range(args.rounds + 1):
        found = {
            "1 classifier": plain.times(plain.ids[:1], image, args.calls),
            f"{SETS} classifiers, one call": plain.times(plain.ids, image, args.calls),
            f"{SETS} classifiers, a call each": [sum(call) for call in zip(
                *(plain.times([i], image, args.calls) for i in plain.ids))],
            "1 classifier, image known": knowing.times(knowing.ids[:1], image, args.calls + 1)[1:],
            f"{SETS} classifiers, image known": knowing.times(knowing.ids, image, args.calls),
        }
        for name, times in found.items():
            if round_ > 0:  # the first warms up
                cases.setdefault(name, []).extend(times)
    one = statistics.median(cases["1 classifier"])
    for name, times in cases.items():
        low, median, high = (statistics.quantiles(times, n=20)[i] for i in (0, 9, 18))
        print(f"{name:30} {median:8.2f} ms  (5 to 95 %: {low:.2f} to {high:.2f})  {median / one:6.3f} x 1 classifier")


if __name__ == "__main__":
    main()
