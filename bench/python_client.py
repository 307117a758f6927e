#!/usr/bin/env python3
"""The Python client beside `zeroshot_client bench`: images per second of one process with 32 in flight, in turns.

    python3 -m venv .cache/client && .cache/client/bin/pip install ./client/python
    .cache/client/bin/python bench/python_client.py --rounds=5

Client and server share the machine, so that what a client takes of the processor the server lacks: its own
CPU time an image is printed too.
"""

import argparse
import asyncio
import itertools
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from zeroshot_client import AsyncClient, Client

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import documents  # noqa: E402

IMAGES = sorted((ROOT / "models/demo/images").glob("*.png"))
CLASSES = ROOT / "models/demo/classes.txt"


def program(address, seconds):
    """The C++ client."""
    output = subprocess.run(
        [documents.CLIENT, f"--target={address}", "bench", f"--classes_file={CLASSES}", "--concurrency=32",
         f"--window={seconds}s", "--json", *IMAGES], check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    return float(next(line["calls_per_second"] for line in lines if "calls_per_second" in line)), None


def threads(address, seconds, **how):
    """classify_many."""
    data = [path.read_bytes() for path in IMAGES]
    with Client(address) as client:
        classifier = client.build(CLASSES.read_text().splitlines())
        count, begun, used = 0, time.monotonic(), time.process_time()
        for _, answer in classifier.classify_many(itertools.cycle(data), **how):
            assert answer.top.class_name
            count += 1
            if time.monotonic() - begun > seconds:
                break
        took = time.monotonic() - begun
        return count / took, (time.process_time() - used) / count * 1e6


def tasks(address, seconds, **how):
    """AsyncClassifier.classify_many."""

    async def main():
        data = [path.read_bytes() for path in IMAGES]
        async with AsyncClient(address) as client:
            classifier = await client.build(CLASSES.read_text().splitlines())
            count, begun, used = 0, time.monotonic(), time.process_time()
            pairs = classifier.classify_many(itertools.cycle(data), **how)
            async for _, answer in pairs:
                assert answer.top.class_name
                count += 1
                if time.monotonic() - begun > seconds:
                    break
            took = time.monotonic() - begun
            result = count / took, (time.process_time() - used) / count * 1e6
            await pairs.aclose()
            return result

    return LOOP.run_until_complete(main())


# gRPC's asyncio API is made for one loop in a process.
LOOP = asyncio.new_event_loop()
WAYS = {
    "zeroshot_client bench": program,
    "classify_many": lambda address, seconds: threads(address, seconds, in_flight=32),
    "classify_many, batch_size=8": lambda address, seconds: threads(address, seconds, in_flight=32, batch_size=8),
    "classify_many, batch_size=16": lambda address, seconds: threads(address, seconds, in_flight=64, batch_size=16),
    "AsyncClient": lambda address, seconds: tasks(address, seconds, in_flight=32),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{model.group(1) if model else 'unknown processor'}, Python {sys.version.split()[0]}")
    rates = {name: [] for name in WAYS}
    cpu = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        server = documents.Server(pathlib.Path(folder), "--drain_grace=0s")
        server.wait_for(" serving ")
        threads(server.address, 1, in_flight=32)  # a warm-up
        for _ in range(arguments.rounds):
            for name, way in WAYS.items():
                rate, microseconds = way(server.address, arguments.seconds)
                rates[name].append(rate)
                cpu[name].append(microseconds)
        server.stop()
    reference = rates["zeroshot_client bench"]
    for name, values in rates.items():
        ratio = statistics.median(value / other for value, other in zip(values, reference))
        used = "" if cpu[name][0] is None else f"{statistics.median(cpu[name]):5.0f} us of CPU an image"
        print(f"{name:30} {statistics.median(values):6.0f} images/s  {ratio:5.0%} of bench's  "
              f"({min(values):.0f} to {max(values):.0f})  {used}")


if __name__ == "__main__":
    main()
