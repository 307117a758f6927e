#!/usr/bin/env python3
"""Whether the server's memory stays flat: a mixed load for minutes, its resident memory meanwhile.

    scripts/setup && python3 -m venv .cache/golden && .cache/golden/bin/pip install -r tools/requirements-golden.txt \\
        -r bench/requirements.txt
    .cache/golden/bin/python bench/soak.py                       # 3 minutes of warm-up, 10 minutes of soak
    .cache/golden/bin/python bench/soak.py --seconds 120 --preload libjemalloc.so.2
    .cache/golden/bin/python bench/soak.py --seconds 120 --env MALLOC_ARENA_MAX=2

The load on the real server with the demo model: Classify with images from 1x1 to 3000x2000 in three formats, damaged
ones among them, EmbedImages and EmbedTexts, builds of 2 to 500 classes and deletes, calls that are cancelled, that
expire, and connections that come and go. The server's caches are small, so that they are full before the warm-up ends:
what grows after it is a leak or the allocator's. Prints a table of samples and, at the end, the growth: the mean of the
last tenth over the mean of the first tenth after the warm-up. Exit status 1 if it is more than --max_growth.
"""

import argparse
import io
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
from PIL import Image

from wire import ROOT, load_stubs

SERVICE = "/zeroshot.v1.ZeroShot/"


def pictures() -> list[bytes]:
    noise = np.random.default_rng(1)
    made = []
    for width, height, count in ((1, 1, 2), (32, 32, 8), (224, 224, 8), (500, 375, 8), (1280, 960, 2), (3000, 2000, 1)):
        small = noise.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.BICUBIC)
        for i in range(count):
            out = io.BytesIO()
            picture.save(out, ("JPEG", "PNG", "WEBP")[i % 3])
            made.append(out.getvalue())
    return made + [made[-1][:1000], b"not an image"]


class Load:
    """Threads that call until stop is set; counts calls by their code and keeps Classify's times."""

    def __init__(self, address: str, proto, only: str):
        self.address, self.proto = address, proto
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.codes, self.times = {}, []
        self.pictures = pictures()
        self.channel = self.dial()
        self.id = self.build(self.channel, [f"thing {i}" for i in range(100)]).weight_set_id
        self.workers = [self.classify] * 10 + [self.embed, self.build_and_delete, self.leave, self.come_and_go]
        if only:
            self.workers = [worker for worker in self.workers if worker.__name__ in only.split(",")]

    def dial(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def method(self, channel: grpc.Channel, name: str):
        return channel.unary_unary(SERVICE + name, request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=getattr(self.proto, name + "Response").FromString)

    def count(self, name: str, code: grpc.StatusCode) -> None:
        with self.lock:
            self.codes[name, code.name] = self.codes.get((name, code.name), 0) + 1

    def call(self, channel, name: str, timeout: float = 60, **fields):
        try:
            response = self.method(channel, name)(getattr(self.proto, name + "Request")(**fields), timeout=timeout)
            self.count(name, grpc.StatusCode.OK)
            return response
        except grpc.RpcError as error:
            self.count(name, error.code())
            return None

    def build(self, channel, names: list[str], timeout: float = 60):
        return self.call(channel, "BuildClassifier", timeout=timeout, classes=[{"name": n} for n in names],
                         templates=["a photo of a {}.", "{}"])

    def classify(self, rng: random.Random) -> None:
        start = time.monotonic()
        done = self.call(self.channel, "Classify", image=rng.choice(self.pictures), weight_set_id=self.id, top_k=5)
        if done is not None:
            with self.lock:
                self.times.append(time.monotonic() - start)

    def embed(self, rng: random.Random) -> None:
        self.call(self.channel, "EmbedImages", images=rng.choices(self.pictures, k=rng.randint(1, 8)))
        self.call(self.channel, "EmbedTexts", texts=[f"word {rng.random()} " * rng.randint(1, 10) for _ in range(8)])

    def build_and_delete(self, rng: random.Random) -> None:
        size = rng.choice((2, 10, 100, 500))
        built = self.build(self.channel, [f"{rng.choice('abcdef')} thing {rng.randint(0, 10**6)}" for _ in range(size)])
        if built is None:  # too many at once
            time.sleep(0.1)
        elif rng.random() < 0.7:
            self.call(self.channel, "DeleteWeightSet", weight_set_id=built.weight_set_id)

    def leave(self, rng: random.Random) -> None:
        request = self.proto.ClassifyRequest(image=rng.choice(self.pictures), weight_set_id=self.id)
        left = self.method(self.channel, "Classify").future(request)
        time.sleep(rng.random() * 0.02)
        left.cancel()
        self.call(self.channel, "Classify", timeout=rng.random() * 0.02, image=rng.choice(self.pictures),
                  weight_set_id=self.id)
        self.build(self.channel, [f"left {rng.randint(0, 10**6)}" for _ in range(500)], timeout=rng.random() * 0.2)

    def come_and_go(self, rng: random.Random) -> None:
        with self.dial() as channel:
            for _ in range(rng.randint(1, 5)):
                self.call(channel, "Classify", image=rng.choice(self.pictures), weight_set_id=self.id, top_k=5)

    def start(self) -> None:
        def run(worker, seed):
            rng = random.Random(seed)
            while not self.stop.is_set():
                worker(rng)
        self.threads = [threading.Thread(target=run, args=(worker, i)) for i, worker in enumerate(self.workers)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def resident(pid: int) -> float:
    """MB, without the pages of files."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    sys.exit("the server has gone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warm_up", type=float, default=180)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--preload", default="", help="an allocator's library, for LD_PRELOAD")
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE for the server")
    parser.add_argument("--only", default="", help="classify, embed, build_and_delete, leave, come_and_go: some of them")
    parser.add_argument("--server", default=str(ROOT / "build/release/server/zeroshot_server"))
    parser.add_argument("--max_growth", type=float, default=2, help="percent")
    options = parser.parse_args()

    proto = load_stubs()[0]
    environment = dict(os.environ, **dict(pair.split("=", 1) for pair in options.env))
    if options.preload:
        environment["LD_PRELOAD"] = options.preload
    errors = tempfile.TemporaryFile("w+")
    server = subprocess.Popen(
        [options.server, "--listen=127.0.0.1:0", "--metrics_listen=", "--memory_store_bytes=10000000",
         "--vector_cache_bytes=10000000"], stderr=errors, env=environment)
    address = ""
    while not address:
        time.sleep(0.1)
        if server.poll() is not None:
            sys.exit("the server ended")
        errors.seek(0)
        served = [line for line in errors if " serving " in line]
        if served:
            address = served[0].split(" at ")[1].split(";")[0]
    load = Load(address, proto, options.only)
    load.start()
    start, samples = time.monotonic(), []
    while (now := time.monotonic() - start) < options.warm_up + options.seconds:
        time.sleep(1)
        samples.append((now, resident(server.pid)))
        if len(samples) % 30 == 0:
            print(f"{now:6.0f} s  {samples[-1][1]:7.1f} MB", flush=True)
    load.end()
    time.sleep(3)
    idle = resident(server.pid)
    server.terminate()
    ended = server.wait()

    after = [mb for at, mb in samples if at >= options.warm_up]
    tenth = max(1, len(after) // 10)
    first, last = statistics.mean(after[:tenth]), statistics.mean(after[-tenth:])
    slope = np.polyfit([at for at, _ in samples if at >= options.warm_up], after, 1)[0] * 60
    growth = (last / first - 1) * 100
    times = sorted(load.times)
    print(", ".join(f"{name} {code} {n}" for (name, code), n in sorted(load.codes.items())))
    print(f"{options.preload or 'as built'} {' '.join(options.env)}: Classify {len(times) / samples[-1][0]:.0f}/s, "
          f"p50 {(times or [0])[len(times) // 2] * 1e3:.1f} ms, p99 {(times or [0])[int(len(times) * 0.99)] * 1e3:.1f} ms; "
          f"resident {first:.1f} -> {last:.1f} MB ({growth:+.2f} %), most {max(after):.1f}, "
          f"{slope:+.2f} MB/min, idle {idle:.1f}; exit {ended}")
    sys.exit(1 if growth > options.max_growth or ended != 0 else 0)


if __name__ == "__main__":
    main()
