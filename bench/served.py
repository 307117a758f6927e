#!/usr/bin/env python3
"""Classify over gRPC under load: our server beside a Python server of the same contract.

    cmake --build --preset release --target time_tower make_checkpoint zeroshot_client_cli zeroshot_server
    .cache/golden/bin/python bench/served.py             # about 12 minutes on 2 cores

The load is `zeroshot_client bench` in a closed loop with a JPEG of 500x375,
against random weights of a full-size ViT (speed does not depend on values) and
1000 classes. For each precision the servers run one after the other and then
again, `--rounds` times; the table has the best of each. It also has what the
tower alone does in the same run (batch 1 for one client, 32 for the others),
which is what a server can reach at most.
"""

import argparse
import collections
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
CLIENT = BUILD / "client" / "zeroshot_client"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def write_picture(path: pathlib.Path) -> None:
    """A photograph's frequencies: smooth noise at several scales, 500x375."""
    random = np.random.default_rng(1)
    picture = sum(np.asarray(Image.fromarray(random.integers(0, 255, (375 // s + 1, 500 // s + 1, 3), dtype=np.uint8))
                             .resize((500, 375), Image.BICUBIC), dtype=float) for s in (2, 8, 32, 128)) / 4
    Image.fromarray(picture.astype(np.uint8)).save(path, quality=90)


def load(port: int, picture: pathlib.Path, concurrency: list[int], weight_set: str, window: float) -> dict:
    """Points of zeroshot_client bench, by concurrency."""
    lines = subprocess.run(
        [CLIENT, "bench", f"--target=127.0.0.1:{port}", f"--weight_set={weight_set}", "--json",
         f"--concurrency={','.join(map(str, concurrency))}", f"--window={window}", "--max_windows=5", picture],
        capture_output=True, text=True).stdout.splitlines()
    points = [json.loads(line) for line in lines]
    return dict(zip(concurrency, points))


def ours(model: pathlib.Path, precision: str, picture: pathlib.Path, concurrency: list[int], window: float) -> dict:
    port = free_port()
    server = subprocess.Popen([BUILD / "server" / "zeroshot_server", f"--model={model}", f"--precision={precision}",
                               f"--listen=127.0.0.1:{port}", "--metrics_listen=", "--log_level=warn"])
    while subprocess.run([CLIENT, "health", f"--target=127.0.0.1:{port}"], capture_output=True).returncode != 0:
        if server.poll() is not None:
            sys.exit("the server ended")
        time.sleep(0.2)
    reply = json.loads(subprocess.run(
        [CLIENT, "build", f"--target=127.0.0.1:{port}", "--class_set=imagenet-1k", "--template_set=simple", "--json"],
        check=True, capture_output=True, text=True).stdout)
    points = load(port, picture, concurrency, reply["weight_set_id"], window)
    server.terminate()
    server.wait()
    return points


def peer(model: pathlib.Path, precision: str, picture: pathlib.Path, concurrency: list[int], window: float) -> dict:
    port = free_port()
    server = subprocess.Popen([sys.executable, ROOT / "bench" / "micro_batched_server.py", model, str(port), precision],
                              stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    points = load(port, picture, concurrency, "any", window)
    server.kill()
    server.wait()
    return points


def tower(model: pathlib.Path, precision: str) -> dict:
    lines = subprocess.run([BUILD / "bench" / "micro" / "time_tower", f"--model={model}", f"--precision={precision}",
                            "--batches=1,32", "--time=3s"], check=True, capture_output=True, text=True).stdout
    return {int(batch): float(images) for batch, images in re.findall(r"batch (\d+): .* median ([\d.]+)", lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", default="fp32,bf16,int8")
    parser.add_argument("--concurrency", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--window", type=float, default=3, help="seconds of a window of the load")
    args = parser.parse_args()
    concurrency = [int(n) for n in args.concurrency.split(",")]

    model, picture = ROOT / ".cache" / "random-ViT-B-32.pt", ROOT / ".cache" / "bench.jpg"
    if not model.exists():
        subprocess.run([BUILD / "tests" / "testing" / "make_checkpoint", "--arch=ViT-B/32",
                        "--format=openai_state_dict", f"--out={model}"], check=True)
    write_picture(picture)
    best: dict = {}  # by system, precision, concurrency
    rates = collections.defaultdict(float)  # of the tower by precision, batch
    for _ in range(args.rounds):
        for precision in args.precisions.split(","):
            for batch, images in tower(model, precision).items():
                rates[precision, batch] = max(rates[precision, batch], images)
            runs = [("ours", ours)] + ([("Python", peer)] if precision != "int8" else [])
            for system, run in runs:
                for n, point in run(model, precision, picture, concurrency, args.window).items():
                    key = (system, precision, n)
                    if key not in best or point["calls_per_second"] > best[key]["throughput"]:
                        best[key] = point
    print(f"ViT-B/32, JPEG 500x375 of {picture.stat().st_size} bytes, best of {args.rounds} rounds")
    for (system, precision, n), point in sorted(best.items(), key=lambda item: (item[0][1], item[0][2], item[0][0])):
        limit, latency = rates[precision, 1 if n == 1 else 32], point["latency_ms"]
        print(f"{precision:5} {n:3} clients {system:7} {point['calls_per_second']:6.1f} calls/s  "
              f"p50 {latency['p50']:7.1f} ms  p99 {latency['p99']:7.1f} ms  "
              f"{100 * point['calls_per_second'] / limit:5.1f} % of our tower's {limit:.1f}")


if __name__ == "__main__":
    main()
