#!/usr/bin/env python3
"""How long building classifiers takes, over gRPC, beside OpenAI's notebook loop.

    python3 bench/build.py                                   # all sizes, fp32 (about 5 minutes on 2 cores)
    python3 bench/build.py --precisions fp32,bf16,int8 --sizes 1000x80
    .cache/golden/bin/python bench/build.py --notebook 20    # with the notebook's loop over 20 classes in between

Writes random weights of a full-size architecture once (speed does not depend
on their values), starts build/release's server on them, and asks for the first
C classes of ImageNet with T templates of OpenAI's. A row a build:

    s/class        of the whole call, over gRPC
    prefixes       token positions that went through the text tower
    GFLOP/s        of its matrix products: 24 x width^2 x layers a prefix
    tokenize, encode, finish   shares of the call, from the server's own timings
    peak MB        resident memory of the server during the build (and before it)

--notebook N also runs the loop of OpenAI's notebook (Prompt_Engineering_for_
ImageNet.ipynb, zeroshot_classifier) on the same weights over N classes, half of
them before and half after the builds of each precision, and prints how many
times faster the server is. It needs the packages of
tools/requirements-golden.txt. The loop costs the same for every class, so N
classes stand for all; that is an extrapolation and the output says so.
"""

import argparse
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
TEXT_SHAPES = {"ViT-B/32": (512, 12), "ViT-B/16": (512, 12), "ViT-L/14": (768, 12)}  # width, layers


class Server:
    def __init__(self, model: pathlib.Path, precision: str, flags: list[str]):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.target = f"127.0.0.1:{free.getsockname()[1]}"
        self.process = subprocess.Popen([BUILD / "server" / "zeroshot_server", f"--model={model}",
                                         f"--precision={precision}", f"--listen={self.target}",
                                         "--metrics_listen=", "--drain_grace=0s", "--log_level=warn", "--vector_cache_bytes=0", *flags])
        while subprocess.run([*self.client("health")], capture_output=True).returncode != 0:
            if self.process.poll() is not None:
                sys.exit("the server ended")
            time.sleep(0.2)

    def client(self, command: str) -> list:
        return [BUILD / "client" / "zeroshot_client", command, f"--target={self.target}"]

    def build(self, classes: list[str], templates: list[str]) -> dict:
        """The reply of one build, with the peak of resident memory in it."""
        names = pathlib.Path(ROOT / ".cache" / "bench_classes.txt")
        names.write_text("\n".join(classes) + "\n")
        lines = pathlib.Path(ROOT / ".cache" / "bench_templates.txt")
        lines.write_text("\n".join(templates) + "\n")
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # VmHWM starts again
        before = self.memory("VmRSS")
        start = time.monotonic()
        reply = json.loads(subprocess.run(
            [*self.client("build"), f"--classes_file={names}", f"--templates_file={lines}", "--json"],
            check=True, capture_output=True, text=True).stdout)
        return reply | {"seconds": time.monotonic() - start, "before_mb": before, "peak_mb": self.memory("VmHWM")}

    def memory(self, field: str) -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Notebook:
    """zeroshot_classifier of OpenAI's notebook, on the CPU in fp32."""

    def __init__(self, model: pathlib.Path):
        import clip
        import torch

        self.clip, self.torch = clip, torch
        state = torch.load(model, map_location="cpu", weights_only=False)
        self.model = clip.model.build_model(dict(state)).float().eval()
        self.seconds: list[float] = []

    def run(self, classes: list[str], templates: list[str]) -> None:
        with self.torch.no_grad():
            for name in classes:
                start = time.monotonic()
                texts = self.clip.tokenize([template.format(name) for template in templates])
                embeddings = self.model.encode_text(texts)
                embeddings /= embeddings.norm(dim=-1, keepdim=True)
                embedding = embeddings.mean(dim=0)
                embedding /= embedding.norm()
                self.seconds.append(time.monotonic() - start)


def lines(path: str) -> list[str]:
    return (ROOT / "data" / path).read_text().splitlines()


def machine() -> str:
    info = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"flags\s*: (.*)", info)[1].split())
    found = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in flags]
    return (f"{re.search(r'model name.*: (.*)', info)[1]}, {info.count('processor')} cores, "
            f"{' '.join(found)}")


def print_row(precision: str, size: str, classes: int, reply: dict, flop_per_prefix: float) -> float:
    timing = reply["timing_ms"]
    share = {stage: 100 * timing[stage] / timing["total"] for stage in ("tokenize", "encode", "finish")}
    rate = reply["num_tokens_encoded"] * flop_per_prefix / (timing["encode"] * 1e6)
    print(f"{precision:5} {size:>8} {reply['seconds']:8.2f} s {reply['seconds'] / classes:8.4f} s/class "
          f"{reply['num_tokens_encoded']:8} prefixes {rate:6.0f} GFLOP/s   tokenize {share['tokenize']:4.1f} % "
          f"encode {share['encode']:5.1f} % finish {share['finish']:4.1f} %   "
          f"peak {reply['peak_mb']:5.0f} MB (before {reply['before_mb']:.0f})", flush=True)
    return reply["seconds"] / classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="ViT-B/32", choices=TEXT_SHAPES)
    parser.add_argument("--precisions", default="fp32")
    parser.add_argument("--sizes", default="10x1,10x7,10x80,100x1,100x7,100x80,1000x1,1000x7,1000x80",
                        help="classes x templates, in order")
    parser.add_argument("--notebook", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=pathlib.Path, help="also write the replies there, for bench/plot_build.py")
    parser.add_argument("--server_flags", default="", help="more flags for the server")
    args = parser.parse_args()

    (ROOT / ".cache").mkdir(exist_ok=True)
    model = ROOT / ".cache" / f"random-{args.arch.replace('/', '-')}.pt"
    if not model.exists():
        subprocess.run([BUILD / "tests" / "testing" / "make_checkpoint", f"--arch={args.arch}",
                        "--format=openai_state_dict", f"--out={model}"], check=True)
    classes, templates = lines("class_sets/imagenet-1k.txt"), lines("template_sets/openai-imagenet-80.txt")
    templates_of = {80: templates, 7: lines("template_sets/openai-imagenet-7.txt"), 1: lines("template_sets/simple.txt")}
    width, layers = TEXT_SHAPES[args.arch]
    notebook = Notebook(model) if args.notebook else None
    print(f"{args.arch} with random weights on {machine()}")
    replies = []
    for precision in args.precisions.split(","):
        if notebook:
            notebook.seconds.clear()
            notebook.run(classes[:1], templates)  # warm-up
            notebook.seconds.clear()
            notebook.run(classes[: args.notebook // 2], templates)
        server = Server(model, precision, args.server_flags.split())
        best = None
        for size in args.sizes.split(","):
            count, of = map(int, size.split("x"))
            reply = server.build(classes[:count], templates_of.get(of) or templates[:of])
            seconds = print_row(precision, size, count, reply, 24 * width * width * layers)
            replies.append(reply | {"precision": precision, "size": size})
            if of == 80:
                best = (size, seconds)
        server.stop()
        if notebook:
            notebook.run(classes[args.notebook // 2: args.notebook], templates)
            loop = sum(notebook.seconds) / len(notebook.seconds)
            print(f"{precision:5} notebook loop in fp32, {args.notebook} classes x 80: {loop:.3f} s/class "
                  f"({min(notebook.seconds):.3f} ... {max(notebook.seconds):.3f})")
            if best:
                print(f"{precision:5} {best[0]}: {loop / best[1]:.1f} times the loop's speed "
                      f"(the loop's 1000 classes extrapolated: {1000 * loop:.0f} s)", flush=True)
    if args.json:
        args.json.write_text(json.dumps(replies, indent=1) + "\n")


if __name__ == "__main__":
    main()
