#!/usr/bin/env python3
"""What keeping weight sets is worth: edits, tiers, cold replicas. Real servers, a real redis-server, gRPC.

    .cache/golden/bin/python bench/weight_sets.py edits --precision=int8       # a minute on 2 cores
    .cache/golden/bin/python bench/weight_sets.py tiers
    .cache/golden/bin/python bench/weight_sets.py edits --model=models/demo    # seconds
    .cache/golden/bin/python bench/weight_sets.py tiers --model=models/demo

Needs grpcio and grpcio-tools (bench/requirements.txt), and redis-server for
`tiers`. Without --model: random weights of ViT-B/32, written once by
make_checkpoint.

edits   builds ImageNet's 1000 classes x OpenAI's 80 templates and then edits
        it: a row each, with the token positions that went through the text
        tower and the time of the call.
tiers   1. the time of GetWeightSet, over gRPC, with the set in memory, on disk
           and in Redis. For the latter two the server has no memory tier.
        2. the first Classify with a known id on a server that just started,
           which finds the set on its disk, in Redis, or builds it again from
           its header in Redis; beside it Classify with the set in memory.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

import grpc

from wire import ROOT, free_port, load_stubs

BUILD = ROOT / "build" / "release"

pb, rpc = load_stubs()


class Server:
    """A server and a connection to it."""

    def __init__(self, model: str, precision: str, *flags: str):
        port = free_port()
        self.process = subprocess.Popen([BUILD / "server" / "zeroshot_server", f"--model={model}",
                                         f"--precision={precision}", f"--listen=127.0.0.1:{port}",
                                         "--metrics_listen=", "--drain_grace=0s", "--log_level=error", *flags])
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}",
                                             options=[("grpc.max_receive_message_length", -1)])
        self.stub = rpc.ZeroShotStub(self.channel)
        while True:
            try:
                self.info = self.stub.GetModel(pb.GetModelRequest(), wait_for_ready=True)
                break
            except grpc.RpcError:
                if self.process.poll() is not None:
                    sys.exit("the server ended")
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.process.terminate()
        self.process.wait()


class Redis:
    def __init__(self):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                         "--appendonly", "no"], stdout=subprocess.DEVNULL)
        while subprocess.run(["redis-cli", "-p", str(self.port), "ping"], capture_output=True).stdout != b"PONG\n":
            time.sleep(0.05)

    def run(self, *command: str) -> None:
        subprocess.run(["redis-cli", "-p", str(self.port), *command], check=True, capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def lines(path: str) -> list[str]:
    return (ROOT / "data" / path).read_text().splitlines()


def request(classes: list, templates: list[str]):
    """Classes are names, or (name, prompts)."""
    definitions = [pb.ClassDefinition(name=c) if isinstance(c, str) else pb.ClassDefinition(name=c[0], prompts=c[1])
                   for c in classes]
    return pb.BuildClassifierRequest(classes=definitions, templates=templates)


def timed(call) -> tuple[float, object]:
    start = time.monotonic()
    reply = call()
    return time.monotonic() - start, reply


def edits(args: argparse.Namespace) -> None:
    classes, templates = lines("class_sets/imagenet-1k.txt"), lines("template_sets/openai-imagenet-80.txt")
    with Server(args.model, args.precision) as server:
        print(f"{server.info.family} {server.info.precision}: 1000 classes x 80 templates, then edits of it")

        def row(what: str, asked) -> None:
            seconds, reply = timed(lambda: server.stub.BuildClassifier(asked))
            print(f"{what:44} {reply.num_tokens_encoded:8} tokens {seconds:8.3f} s{'  (found)' if reply.cached else ''}",
                  flush=True)

        own = lambda c: (c, [t.replace("{}", c) for t in templates])
        row("built from nothing", request(classes, templates))
        row("the same again", request(classes, templates))
        row("1 class added", request(classes + ["hourglass sand"], templates))
        row("1 class removed", request(classes[:-1], templates))
        row("classes in another order", request(classes[::-1], templates))
        row("1 class renamed, its prompts kept", request([("another name", own(classes[0])[1])] + classes[1:], templates))
        row("1 class renamed, prompts from the templates", request(["another name"] + classes[1:], templates))
        row("1 template added", request(classes, templates + ["an engraving of a {}."]))
        row("1 template removed", request(classes, templates[:-1]))


def median(server: Server, call, rounds: int) -> str:
    call()
    times = sorted(timed(call)[0] * 1e3 for _ in range(rounds))
    return f"{statistics.median(times):7.2f} ms ({times[0]:.2f} to {times[-1]:.2f})"


def tiers(args: argparse.Namespace) -> None:
    picture = (ROOT / "models" / "demo" / "images" / "car.png").read_bytes()
    asked = request(lines("class_sets/imagenet-1k.txt"), ["a photo of a {}."])
    with Redis() as redis, tempfile.TemporaryDirectory() as folder:
        disk, shared, bare = f"--disk_store={folder}", f"--redis={redis.url}", "--memory_store_bytes=0"
        with Server(args.model, args.precision, disk, shared) as server:
            seconds, reply = timed(lambda: server.stub.BuildClassifier(asked))
            get = pb.GetWeightSetRequest(weight_set_id=reply.weight_set_id)
            classify = pb.ClassifyRequest(image=picture, weight_set_id=reply.weight_set_id)
            size = server.stub.GetWeightSet(get).weight_set.size_bytes
            print(f"{server.info.family} {server.info.precision}: 1000 classes, {size / 1e6:.2f} MB of weights, "
                  f"built in {seconds:.2f} s\n\nGetWeightSet, median of {args.rounds} (least to most)")
            print(f"  in memory {median(server, lambda: server.stub.GetWeightSet(get), args.rounds)}")
        for tier, flag in (("on disk", disk), ("in Redis", shared)):
            with Server(args.model, args.precision, flag, bare) as server:
                print(f"  {tier:9} {median(server, lambda: server.stub.GetWeightSet(get), args.rounds)}")
        print(f"\nClassify with a known id on a server that just started, {args.starts} starts: the first, then in memory")
        for tier, flag in (("on disk", disk), ("in Redis", shared)):
            first, later = [], []
            for _ in range(args.starts):
                with Server(args.model, args.precision, flag) as server:
                    first.append(timed(lambda: server.stub.Classify(classify))[0] * 1e3)
                    later += [timed(lambda: server.stub.Classify(classify))[0] * 1e3 for _ in range(10)]
            print(f"  {tier:11} {statistics.median(first):8.1f} ms ({min(first):.1f} to {max(first):.1f}), "
                  f"then {statistics.median(later):6.1f} ms ({min(later):.1f} to {max(later):.1f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("edits", "tiers"))
    parser.add_argument("--model", default="")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=200, help="calls that the median of a tier is of")
    parser.add_argument("--starts", type=int, default=3, help="servers started for each row of the second table")
    args = parser.parse_args()
    if not args.model:
        args.model = ROOT / ".cache" / "random-ViT-B-32.pt"
        if not args.model.exists():
            args.model.parent.mkdir(exist_ok=True)
            subprocess.run([BUILD / "tests" / "testing" / "make_checkpoint", "--arch=ViT-B/32",
                            "--format=openai_state_dict", f"--out={args.model}"], check=True)
    {"edits": edits, "tiers": tiers}[args.what](args)


if __name__ == "__main__":
    main()
