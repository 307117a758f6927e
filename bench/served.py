#!/usr/bin/env python3
"""Classify over gRPC under load: our server beside a Python server of the same contract and infinity.

    cmake --build --preset release --target time_tower make_checkpoint zeroshot_client_cli zeroshot_server
    python3 -m venv .cache/infinity && .cache/infinity/bin/pip install -r bench/requirements-infinity.txt
    .cache/golden/bin/python bench/served.py --json .cache/served.json     # about 25 minutes on 2 cores
    .cache/golden/bin/python bench/plot_served.py .cache/served.json docs/plots/served.svg

The load is a closed loop with a JPEG of 500x375 against random weights of
ViT-B/32 (speed does not depend on values) and 1000 classes: `zeroshot_client
bench` for what speaks gRPC, threads of this script for infinity, which speaks
HTTP, takes the image in base64 and returns its embedding, without a
classification. Either counts a point when three windows in a row agree within
10 %. For each precision the servers run one after the other and then again,
`--rounds` times; the table has the best of each. It also has what the tower
alone does in the same run (batch 1 for one client, 32 for the others), which is
what a server can reach at most.
"""

import argparse
import base64
import collections
import gzip
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
from PIL import Image

from wire import ROOT, free_port

BUILD = ROOT / "build" / "release"
CLIENT = BUILD / "client" / "zeroshot_client"
INFINITY = ROOT / ".cache" / "infinity" / "bin" / "infinity_emb"
MAX_WINDOWS = 6


def write_image(path: pathlib.Path) -> None:
    """A photograph's frequencies: smooth noise at several scales, 500x375."""
    random = np.random.default_rng(1)
    image = sum(np.asarray(Image.fromarray(random.integers(0, 255, (375 // s + 1, 500 // s + 1, 3), dtype=np.uint8))
                             .resize((500, 375), Image.BICUBIC), dtype=float) for s in (2, 8, 32, 128)) / 4
    Image.fromarray(image.astype(np.uint8)).save(path, quality=90)


def random_model() -> pathlib.Path:
    model = ROOT / ".cache" / "random-ViT-B-32.pt"
    if not model.exists():
        subprocess.run([BUILD / "tests" / "testing" / "make_checkpoint", "--arch=ViT-B/32",
                        "--format=openai_state_dict", f"--out={model}"], check=True)
    return model


def load(port: int, image: pathlib.Path, concurrency: list[int], weight_set: str, window: float) -> dict:
    """Points of zeroshot_client bench, by concurrency."""
    lines = subprocess.run(
        [CLIENT, "bench", f"--target=127.0.0.1:{port}", f"--weight_set={weight_set}", "--json",
         f"--concurrency={','.join(map(str, concurrency))}", f"--window={window}", f"--max_windows={MAX_WINDOWS}", image],
        capture_output=True, text=True).stdout.splitlines()
    points = [json.loads(line) for line in lines]
    return dict(zip(concurrency, points))


class HttpLoad:
    """A closed loop against infinity, measured as zeroshot_client bench does."""

    def __init__(self, port: int, image: pathlib.Path, window: float, max_windows: int):
        encoded = base64.b64encode(image.read_bytes()).decode()
        self.port, self.window, self.max_windows = port, window, max_windows
        self.body = json.dumps({"model": "clip", "modality": "image", "input": [f"data:image/jpeg;base64,{encoded}"]})

    def point(self, clients: int) -> dict:
        done: list[tuple[float, float]] = []  # when a call ended, its seconds
        stop = threading.Event()

        def loop() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            while not stop.is_set():
                start = time.monotonic()
                connection.request("POST", "/embeddings", self.body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
                assert reply.status == 200, content
                done.append((time.monotonic(), time.monotonic() - start))

        threads = [threading.Thread(target=loop) for _ in range(clients)]
        for thread in threads:
            thread.start()
        time.sleep(self.window)  # warms up
        windows: list[list[float]] = []
        while len(windows) < self.max_windows and not self.stable(windows):
            start = time.monotonic()
            time.sleep(self.window)
            windows.append([seconds for end, seconds in list(done) if start <= end < start + self.window])
        stop.set()
        for thread in threads:
            thread.join()
        latencies = sorted(seconds * 1000 for window in windows[-3:] for seconds in window)
        at = lambda fraction: latencies[int(fraction * (len(latencies) - 1))]
        return {"calls_per_second": len(latencies) / (min(len(windows), 3) * self.window),
                "stable": self.stable(windows), "latency_ms": {"p50": at(0.5), "p99": at(0.99)}}

    def stable(self, windows: list[list[float]]) -> bool:
        last = windows[-3:]
        if len(last) < 3 or not all(last):
            return False
        rates, means = [len(w) for w in last], [sum(w) / len(w) for w in last]
        return max(rates) <= 1.1 * min(rates) and max(means) <= 1.1 * min(means)


def write_transformers_model(folder: pathlib.Path) -> None:
    """Random weights of ViT-B/32 in the layout that infinity loads."""
    from clip.simple_tokenizer import bytes_to_unicode
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder.mkdir(parents=True)
    merges = gzip.open(ROOT / "data/clip/bpe_simple_vocab_16e6.txt.gz").read().decode().split("\n")[1:49152 - 256 - 1]
    characters = list(bytes_to_unicode().values())
    tokens = (characters + [c + "</w>" for c in characters] + ["".join(merge.split()) for merge in merges]
              + ["<|startoftext|>", "<|endoftext|>"])
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}))
    CLIPImageProcessor().save_pretrained(folder)
    CLIPModel(CLIPConfig()).save_pretrained(folder)


def infinity(_: pathlib.Path, precision: str, image: pathlib.Path, concurrency: list[int], window: float) -> dict:
    port, folder = free_port(), ROOT / ".cache" / "random-ViT-B-32-transformers"
    if not folder.exists():
        write_transformers_model(folder)
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    server = subprocess.Popen(
        [INFINITY, "v2", f"--model-id={folder}", "--served-model-name=clip", "--engine=torch", "--device=cpu",
         f"--dtype={dtype}", "--no-bettertransformer", "--no-model-warmup", "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"})
    for _ in range(240):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.5)
    load = HttpLoad(port, image, window, max_windows=MAX_WINDOWS)
    points = {clients: load.point(clients) for clients in concurrency}
    server.kill()
    server.wait()
    return points


def start_ours(model: pathlib.Path, precision: str, *flags: str, prefix: tuple[str, ...] = ()):
    """Our server, its port, and the id of ImageNet's classes on it."""
    port = free_port()
    server = subprocess.Popen([*prefix, BUILD / "server" / "zeroshot_server", f"--model={model}", f"--precision={precision}",
                               f"--listen=127.0.0.1:{port}", "--metrics_listen=", "--log_level=warn", *flags])
    while subprocess.run([CLIENT, "health", f"--target=127.0.0.1:{port}"], capture_output=True).returncode != 0:
        if server.poll() is not None:
            sys.exit("the server ended")
        time.sleep(0.2)
    reply = json.loads(subprocess.run(
        [CLIENT, "build", f"--target=127.0.0.1:{port}", "--class_set=imagenet-1k", "--template_set=simple", "--json"],
        check=True, capture_output=True, text=True).stdout)
    return server, port, reply["weight_set_id"]


def ours(model: pathlib.Path, precision: str, image: pathlib.Path, concurrency: list[int], window: float) -> dict:
    server, port, weight_set = start_ours(model, precision)
    points = load(port, image, concurrency, weight_set, window)
    server.terminate()
    server.wait()
    return points


def peer(model: pathlib.Path, precision: str, image: pathlib.Path, concurrency: list[int], window: float) -> dict:
    port = free_port()
    server = subprocess.Popen([sys.executable, ROOT / "bench" / "micro_batched_server.py", model, str(port), precision],
                              stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    points = load(port, image, concurrency, "any", window)
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
    parser.add_argument("--concurrency", default="1,2,4,8,16,32,64")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--window", type=float, default=5, help="seconds of a window of the load")
    parser.add_argument("--peer_concurrency", default="1,8,32")
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    concurrency = [int(n) for n in args.concurrency.split(",")]
    peer_concurrency = [int(n) for n in args.peer_concurrency.split(",")]

    model, image = random_model(), ROOT / ".cache" / "bench.jpg"
    write_image(image)
    best: dict = {}  # by system, precision, concurrency
    rates = collections.defaultdict(float)  # of the tower by precision, batch
    for _ in range(args.rounds):
        for precision in args.precisions.split(","):
            for batch, images in tower(model, precision).items():
                rates[precision, batch] = max(rates[precision, batch], images)
            runs = [("ours", ours, concurrency)]
            if precision != "int8":
                runs.append(("Python", peer, peer_concurrency))
                if INFINITY.exists():
                    runs.append(("infinity", infinity, peer_concurrency))
            for system, run, clients in runs:
                for n, point in run(model, precision, image, clients, args.window).items():
                    key = (system, precision, n)
                    if key not in best or point["calls_per_second"] > best[key]["calls_per_second"]:
                        best[key] = point
    print(f"ViT-B/32, JPEG 500x375 of {image.stat().st_size} bytes, best of {args.rounds} rounds")
    for (system, precision, n), point in sorted(best.items(), key=lambda item: (item[0][1], item[0][2], item[0][0])):
        limit, latency = rates[precision, 1 if n == 1 else 32], point["latency_ms"]
        print(f"{precision:5} {n:3} clients {system:8} {point['calls_per_second']:6.1f} calls/s  "
              f"p50 {latency['p50']:7.1f} ms  p99 {latency['p99']:7.1f} ms  "
              f"{100 * point['calls_per_second'] / limit:5.1f} % of our tower's {limit:.1f}"
              + ("" if point["stable"] else ", windows did not agree"))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(
            [{"system": system, "precision": precision, "clients": n, "tower": rates[precision, 1 if n == 1 else 32],
              **point} for (system, precision, n), point in best.items()], indent=1))


if __name__ == "__main__":
    main()
