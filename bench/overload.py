#!/usr/bin/env python3
"""Four times what the server can do, for a minute: what it still does, and how fast it refuses the rest.

    cmake --build --preset release --target make_checkpoint zeroshot_client_cli zeroshot_server
    .cache/golden/bin/python bench/overload.py                        # ViT-B/32, random weights, bf16 or fp32
    .cache/golden/bin/python bench/overload.py --model models/demo    # a tower so small that refusing counts
    .cache/golden/bin/python bench/overload.py --model models/demo --apart    # a core for the server, one for the load

Capacity is a closed loop of as many calls as the server lets in. Then calls come at random times (Poisson), four times
as many a second, whoever is refused goes away. The bars: as many good answers as capacity, less 10 %; refusals within
5 ms at the 95th percentile; the 99th percentile of good answers below twice the time of all batches that can be ahead
of a call, each as long as a full batch takes when nothing else runs. Exit status 1 if one is missed.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from served import CLIENT, ROOT, random_model, start_ours, write_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="default: random weights of ViT-B/32")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--times", type=float, default=4)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--max_inflight", type=int, default=64)
    parser.add_argument("--max_batch", type=int, default=32)
    parser.add_argument("--apart", action="store_true", help="pin the server to core 0 and the load to core 1")
    options = parser.parse_args()

    image = ROOT / ".cache" / "bench.jpg"
    write_image(image)
    beside = ("taskset", "--cpu-list", "1") if options.apart else ()
    server, port, weight_set = start_ours(
        options.model or random_model(), options.precision, f"--max_inflight={options.max_inflight}",
        f"--max_batch={options.max_batch}", prefix=("taskset", "--cpu-list", "0") if options.apart else ())

    def point(*flags: str) -> dict:
        return json.loads(subprocess.run(
            [*beside, CLIENT, "bench", f"--target=127.0.0.1:{port}", f"--weight_set={weight_set}", "--json", *flags, image],
            check=True, capture_output=True, text=True).stdout)

    batch = point(f"--concurrency={options.max_batch}", "--window=5")["mean_stage_ms"]["compute"]
    full = point(f"--concurrency={options.max_inflight}", "--window=5")
    capacity = full["calls_per_second"]
    over = point(f"--rate={options.times * capacity}", f"--window={options.seconds / 3}", "--max_windows=3",
                 f"--max_in_flight={8 * options.max_inflight}")
    server.terminate()
    ended = server.wait()

    # Those inside fill that many batches, and one may be running.
    bound = 2 * batch * (-(-options.max_inflight // options.max_batch) + 1)
    goodput, refused, p99 = over["calls_per_second"], over["error_latency_ms"]["p95"], over["latency_ms"]["p99"]
    print(f"{options.model or 'ViT-B/32'} {options.precision}, {options.max_inflight} inside, batches to {options.max_batch}"
          f"{', a core each' if options.apart else ''}: capacity {capacity:.1f} calls/s, a batch {batch:.0f} ms; "
          f"at {options.times * capacity:.0f} calls/s {goodput:.1f} answered ({100 * goodput / capacity:.0f} %), "
          f"{over['errors']} of {over['calls']}, refusals p50 {over['error_latency_ms']['p50']:.2f} p95 {refused:.2f} ms, "
          f"answers p50 {over['latency_ms']['p50']:.0f} p99 {p99:.0f} ms (bound {bound:.0f})")
    only_refused = set(over["errors"]) <= {"RESOURCE_EXHAUSTED"}
    sys.exit(0 if goodput >= 0.9 * capacity and refused < 5 and p99 < bound and only_refused and ended == 0 else 1)


if __name__ == "__main__":
    main()
