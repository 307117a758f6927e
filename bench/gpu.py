#!/usr/bin/env python3
"""What a GPU makes of us: builds, the image tower and Classify, beside the references' own Python.

    python3 bench/gpu.py                       # after scripts/setup --cuda; scripts/gpu-check runs it part by part
    python3 bench/gpu.py ours notebook --models ViT-B/32
    python3 bench/gpu.py --device cpu --folder build/release --precision bf16 --models ViT-B/32 --tiny

Parts, in this order unless some are named:
  ceilings    what a dense product, a copy and attention reach on this device, and the products of each model's layers
  ours        builds, Classify calls and the image tower of each model
  peers       the same of the references: the notebook's loop over some classes, and the tower
  compiled    the references under torch.compile
  variants    our tower with other settings, in turns
checkpoints only writes the models' files into --work, where the other parts find them.

Random full-size weights (speed does not depend on values), float16, written by
make_checkpoint. Prints Markdown tables, each line as it is known, and raw
figures as JSON lines into --figures, where later runs find the earlier ones'.
Peers, each if it is installed: clip (openai/CLIP or clip-anytorch), open_clip,
transformers (scaled_dot_product_attention, which takes the flash kernel in
fp16). What a peer throws costs its own rows only.

Builds: ImageNet's 1000 classes in OpenAI's 80 templates, from the call of the
client to its reply; the first one on a new server, then with other last
characters in the templates, so that no prompt is known. The peers run the loop
of OpenAI's notebook over some classes; 1000 are extrapolated. `clip` tokenises
in the loop as the notebook does, the others are given tokens.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import types

import torch

from built import ROOT, Built, die_with_parent

# image size, patch, image width and layers, text width and layers, text heads, embedding
SHAPES = {"ViT-B/32": (224, 32, 768, 12, 512, 12, 8, 512), "ViT-B/16": (224, 16, 768, 12, 512, 12, 8, 512),
          "ViT-L/14": (224, 14, 1024, 24, 768, 12, 12, 768), "ViT-L/14@336px": (336, 14, 1024, 24, 768, 12, 12, 768)}
PEERS = ("openai/CLIP", "open_clip", "transformers")
# What time_tower is run with, to compare: the environment, and more of its flags.
VARIANTS = {"as it is": ({}, []), "cuBLASLt workspace 32 MiB": ({"CUBLASLT_WORKSPACE_SIZE": "32768"}, []),
            "bf16": ({}, ["--precision=bf16"]),
            "4 callers": ({}, ["--callers=4"])}
START = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:4.0f}s] bench: {text}", file=sys.stderr, flush=True)


def image_flop(model: str, ours: bool) -> float:
    """Of the image tower's matrix products for one image. Ours computes its last block's queries, output and MLP for the class token alone."""
    size, patch, width, layers, _, _, _, dim = SHAPES[model]
    patches = (size // patch) ** 2
    tokens = patches + 1
    layer = 24 * tokens * width * width + 4 * tokens * tokens * width
    saved = (tokens - 1) * 20 * width * width if ours else 0
    return layers * layer - saved + 2 * patches * width * 3 * patch * patch + 2 * width * dim


class Bench:
    def __init__(self, args):
        self.args, self.built = args, Built(args.folder)
        self.cuda = args.device.startswith("cuda")
        self.dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[args.precision]
        self.work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="gpu-bench-"))
        self.work.mkdir(parents=True, exist_ok=True)
        self.figures_file = args.figures or self.work / "figures.jsonl"
        data = ROOT / "data"
        self.classes = (data / "class_sets/imagenet-1k.txt").read_text().splitlines()
        self.templates = (data / "template_sets/openai-imagenet-80.txt").read_text().splitlines()
        if args.tiny:
            self.classes, self.templates = self.classes[:20], self.templates[:5]

    # Figures: one JSON object a line, {what, model, name, ...}.

    def note(self, what: str, model: str = "", name: str = "", **figures) -> None:
        with open(self.figures_file, "a") as out:
            print(json.dumps({"what": what, "model": model, "name": name, **figures}), file=out, flush=True)

    def noted(self, what: str, model: str = "", name: str | None = None) -> list[dict]:
        if not self.figures_file.exists():
            return []
        lines = [json.loads(line) for line in self.figures_file.read_text().splitlines()]
        return [f for f in lines if f["what"] == what and f["model"] == model and name in (None, f["name"])]

    def checkpoint(self, model: str) -> pathlib.Path:
        """The model's file; another process may be writing it: then it is waited for."""
        path = self.work / f"{model.replace('/', '-')}.pt"
        part = path.with_suffix(".part")
        end = time.monotonic() + 60
        while not path.exists() and part.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if not path.exists():
            part.touch()
            self.built.run("make_checkpoint", f"--arch={model}", "--format=openai_state_dict", "--half", f"--out={part}", check=True)
            part.rename(path)
        return path

    def seconds(self, run, least: int = 3, limit: float = 2.0) -> float:
        """The median of some runs, the device waited for."""
        times, end = [], time.monotonic() + (limit / 8 if self.args.tiny else limit)
        while len(times) < least or time.monotonic() < end:
            start = time.monotonic()
            run()
            if self.cuda:
                torch.cuda.synchronize()
            times.append(time.monotonic() - start)
        return sorted(times)[len(times) // 2]

    def random(self, *shape) -> torch.Tensor:
        return torch.randn(*shape, device=self.args.device, dtype=self.dtype)

    # Ceilings.

    def ceilings(self) -> None:
        print(f"## Ceilings of {torch.cuda.get_device_name() if self.cuda else 'the CPU'}, {self.args.precision}, torch {torch.__version__}\n")
        rate = self.matmul_rate()
        print(f"- a dense product: {rate / 1e12:.3g} TFLOP/s")
        size = 2**30 if self.cuda else 2**24
        there, other = (torch.empty(size, dtype=torch.uint8, device=self.args.device) for _ in range(2))
        here = torch.empty(size, dtype=torch.uint8, pin_memory=self.cuda)
        copies = {"device to device, read and written": (lambda: there.copy_(other), 2),
                  "host to device": (lambda: there.copy_(here, non_blocking=True), 1),
                  "device to host": (lambda: here.copy_(there, non_blocking=True), 1)}
        for name, (copy, times) in copies.items():
            copy()
            speed = times * size / self.seconds(copy, limit=0.5)
            self.note("copy", name=name, bytes_per_second=speed)
            print(f"- {name}: {speed / 1e9:.0f} GB/s")
        del there, other, copies
        print("\n| layer product of a model at its largest batch | M x N x K | TFLOP/s without bias | with (cuBLASLt) |\n|---|---|---|---|")
        for model in self.args.models:
            size, patch, width = SHAPES[model][:3]
            batch = self.batches()[-1]
            rows = batch * ((size // patch) ** 2 + 1)
            for name, n, k in (("query, key, value", 3 * width, width), ("out", width, width), ("up", 4 * width, width), ("down", width, 4 * width)):
                x, w, b = self.random(rows, k), self.random(n, k), self.random(n)
                plain, biased = (2 * rows * n * k / self.seconds(run, limit=0.2) / 1e12
                                 for run in (lambda: torch.mm(x, w.t()), lambda: torch.addmm(b, x, w.t())))
                self.note("product", model, name, m=rows, n=n, k=k, tflops=plain, tflops_with_bias=biased)
                print(f"| {model}, {name} | {rows} x {n} x {k} | {plain:.3g} | {biased:.3g} |")
        self.attention()

    def attention(self) -> None:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        print("\n| attention of a layer, batch x heads x tokens x 64 | flash ms | cuDNN ms |\n|---|---|---|")
        for tokens, heads in ((50, 12), (197, 12), (257, 16), (577, 16)):
            batch, times = self.batches()[-1], {}
            x = self.random(batch, heads, tokens, 64)
            for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
                try:
                    with sdpa_kernel(backend), torch.inference_mode():
                        times[backend] = f"{1e3 * self.seconds(lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x), limit=0.3):.3f}"
                except RuntimeError as error:
                    times[backend] = str(error).splitlines()[0][:40]
            self.note("attention", name=str(tokens), **{b.name: t for b, t in times.items()})
            print(f"| {batch} x {heads} x {tokens} | " + " | ".join(times.values()) + " |")

    def matmul_rate(self) -> float:
        """FLOP/s of a dense product, measured once."""
        for figure in self.noted("matmul"):
            return figure["flops"]
        n = 8192 if self.cuda else 1024
        a, b = self.random(n, n), self.random(n, n)
        self.seconds(lambda: a @ b, limit=1)
        rate = 2 * n**3 / self.seconds(lambda: [a @ b for _ in range(10)]) * 10
        self.note("matmul", flops=rate)
        return rate

    # Ours.

    def ours(self) -> None:
        for model in self.args.models:
            print(f"\n### {model}, ours")
            self.checkpoint(model)
            with self.server(model) as target:
                say(f"{model}: builds")
                builds = [self.our_build(target, end) for end in (".", "!", "?", ";", "...")[: 2 if self.args.tiny else 5]]
                first, later = builds[0], sorted(seconds for seconds, _ in builds[1:])
                self.note("build", model, seconds=first[0], later=later, reply=first[1])
                timing = ", ".join(f"{stage} {ms:.0f}" for stage, ms in first[1]["timing_ms"].items())
                print(f"\nBuildClassifier, {len(self.classes)} x {len(self.templates)}, "
                      f"{first[1]['num_tokens_encoded']} prefixes: {first[0]:.3f} s, the first of a new server (its ms: {timing}); "
                      f"then {later[len(later) // 2]:.3f} s, the median of {len(later)} ({later[0]:.3f} to {later[-1]:.3f}).")
                self.classify(model, target, first[1]["weight_set_id"])
            say(f"{model}: our tower")
            lines = self.time_tower(model, [f"--batches={','.join(map(str, self.batches()))}",
                                            f"--prefixes={200 if self.args.tiny else 30000}"])
            rows = {"ours, one caller": rates(lines, r"batch (\d+): .* median ([\d.e+]+)"),
                    "ours, as served": rates(lines, r"batch (\d+) callers \d+: ([\d.e+]+)"),
                    "ours, the device alone": rates(lines, r"batch (\d+) device only: ([\d.e+]+)")}
            self.tower_table(model, {name: row for name, row in rows.items() if row})
            print("\n" + "; ".join(line for line in lines.splitlines() if " text: " in line or line.startswith("loaded")))

    @contextlib.contextmanager
    def server(self, model: str):
        """A server on the model; gives how its clients call it."""
        log = self.work / "server.log"
        with open(log, "w") as out:
            process = subprocess.Popen(
                [self.built.program("zeroshot_server"), f"--model={self.checkpoint(model)}", f"--device={self.args.device}",
                 f"--precision={self.args.precision}", *self.args.server_flags, "--listen=127.0.0.1:0", "--http_listen=", "--metrics_listen=", "--drain_grace=0s"],
                env=self.built.env, stdout=out, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        start = time.monotonic()
        try:
            for _ in range(1200):
                ready = re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text())
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended: {log.read_text()[-1000:]}")
                if ready:
                    target = f"--target=127.0.0.1:{ready[1]}"
                    if self.built.run("zeroshot_client", "health", target, capture_output=True).returncode == 0:
                        break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"the server is not ready: {log.read_text()[-1000:]}")
            start_line = (re.findall(r".* serving .*", log.read_text()) or [""])[-1]
            print(f"\nReady after {time.monotonic() - start:.1f} s: {start_line.strip()}")
            self.note("start", model, seconds=time.monotonic() - start, log=log.read_text()[-4000:])
            yield target
        finally:
            process.terminate()
            process.wait()

    def client(self, *arguments) -> list[dict]:
        done = self.built.run("zeroshot_client", *arguments, "--json", check=True, capture_output=True)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")] or [json.loads(done.stdout)]

    def our_build(self, target: str, end: str) -> tuple[float, dict]:
        names, forms = self.work / "classes.txt", self.work / "templates.txt"
        names.write_text("\n".join(self.classes) + "\n")
        forms.write_text("\n".join(form.rstrip(".") + end for form in self.templates) + "\n")
        start = time.monotonic()
        reply = self.client("build", target, f"--classes_file={names}", f"--templates_file={forms}")[0]
        return time.monotonic() - start, reply

    def time_tower(self, model: str, flags: list[str], environment: dict | None = None) -> str:
        done = subprocess.run([self.built.program("time_tower"), f"--model={self.checkpoint(model)}", f"--device={self.args.device}",
                               f"--precision={self.args.precision}", f"--time={0.1 if self.args.tiny else 1}s", *flags],
                              env=self.built.env | (environment or {}), stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"time_tower {' '.join(flags)} ended with {done.returncode}: {done.stdout[-300:]}")
        return done.stdout

    def classify(self, model: str, target: str, weight_set: str) -> None:
        say(f"{model}: Classify")
        picture = self.picture()
        clients = "1,4" if self.args.tiny else "1,16,64,128,256"
        points = self.client("bench", target, f"--weight_set={weight_set}", f"--concurrency={clients}",
                             "--window=1", "--max_windows=4", picture)
        stages = list(points[0]["mean_stage_ms"])
        print(f"\nClassify over loopback, {picture.name} of {picture.stat().st_size} bytes; "
              f"{os.cpu_count()} cores, which the server and the load generator share:\n")
        print("| calls at once | calls/s | p50 ms | p99 ms | " + " | ".join(f"{s} ms" for s in stages) + " |\n|" + "---|" * (4 + len(stages)))
        for n, point in zip(clients.split(","), points):
            self.note("classify", model, n, **point)
            latency = point["latency_ms"]
            print(f"| {n}{'' if point['stable'] else '*'} | {point['calls_per_second']:.1f} | {latency['p50']:.2f} | {latency['p99']:.2f} | "
                  + " | ".join(f"{point['mean_stage_ms'][s]:.2f}" for s in stages) + " |")

    def picture(self) -> pathlib.Path:
        path = self.work / "500x375.jpg"
        if not path.exists():
            try:
                from served import write_image

                write_image(path)
            except ImportError as error:
                path = next((ROOT / "models/demo/images").glob("*.jpg"))
                print(f"\n{error}: an image of 224x224 instead of 500x375, whose decoding takes a fifth.")
        return path

    def batches(self) -> list[int]:
        return [1, 4] if self.args.tiny else [1, 8, 32, 64, 128, 256, 512] if self.cuda else [1, 8, 32]

    def tower_table(self, model: str, towers: dict) -> None:
        batches, rate = self.batches(), self.matmul_rate()
        print("\n| images/s of the tower at batch | " + " | ".join(map(str, batches)) + " | of the dense product, best |\n|---|" + "---|" * (len(batches) + 1))
        for name, row in towers.items():
            self.note("tower", model, name, rates=row)
            share = max(row.values()) * image_flop(model, ours=name.startswith("ours")) / rate
            print(f"| {name} | " + " | ".join(f"{row[b]:.0f}" if b in row else "" for b in batches) + f" | {100 * share:.1f} % |")

    def variants(self) -> None:
        for model in self.args.models:
            batches = self.batches()[-3:]
            print(f"\n### {model}, variants; images/s as served, two runs each in turns\n")
            print("| variant | " + " | ".join(f"batch {b}" for b in batches) + " |\n|---|" + "---|" * len(batches))
            for turn in (1, 2):
                for name, (environment, flags) in VARIANTS.items():
                    if name == "bf16" and self.args.precision == "bf16":
                        continue
                    try:
                        lines = self.time_tower(model, [f"--batches={','.join(map(str, batches))}", *flags], environment)
                    except RuntimeError as error:
                        print(f"| {name} | {error} |")
                        continue
                    row = rates(lines, r"batch (\d+): .* median ([\d.e+]+)") | rates(lines, r"batch (\d+) callers \d+: ([\d.e+]+)")
                    self.note("variant", model, name, turn=turn, rates=row)
                    print(f"| {name} | " + " | ".join(f"{row.get(b, 0):.0f}" for b in batches) + " |")

    # Peers: text takes tokens [n, 77], image pixels [n, 3, size, size]; either gives [n, D].

    def peer(self, name: str, model: str):
        """(text, image) of a reference, built where it computes."""
        size, patch, width, layers, text_width, text_layers, text_heads, dim = SHAPES[model]
        device = torch.device(self.args.device)
        if name == "openai/CLIP":
            clip = import_clip()
            state = torch.load(self.checkpoint(model), map_location="cpu", weights_only=False)
            with device:
                whole = clip.model.build_model(dict(state)).to(device).eval()
            if self.dtype == torch.float16 and self.cuda:  # what it is made for
                return whole.encode_text, whole.encode_image
            whole = whole.float()
            half = torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)
            return half(whole.encode_text), half(lambda pixels: whole.encode_image(pixels.float()))
        if name == "open_clip":
            import open_clip

            known = model.replace("/", "-").replace("@336px", "-336") + "-quickgelu"
            if known not in open_clip.list_models():
                known = known.removesuffix("-quickgelu")
            with device:
                whole = open_clip.create_model(known, pretrained=None, device=device).to(self.dtype).eval()
            return whole.encode_text, whole.encode_image
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

        with device:
            text = CLIPTextModelWithProjection._from_config(CLIPTextConfig(
                hidden_size=text_width, intermediate_size=4 * text_width, num_hidden_layers=text_layers, num_attention_heads=text_heads,
                projection_dim=dim), attn_implementation="sdpa").to(device, self.dtype).eval()
            image = CLIPVisionModelWithProjection._from_config(CLIPVisionConfig(
                hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64, image_size=size,
                patch_size=patch, projection_dim=dim), attn_implementation="sdpa").to(device, self.dtype).eval()
        return (lambda tokens: text(input_ids=tokens).text_embeds), (lambda pixels: image(pixel_values=pixels).image_embeds)

    def peers(self, compiled: bool = False) -> None:
        for model in self.args.models:
            for peer in self.args.peers:
                name = f"{peer}, compiled" if compiled else peer
                say(f"{model}: {name}")
                try:
                    with torch.inference_mode():
                        self.measure_peer(model, peer, name, compiled)
                except Exception as error:  # a peer's trouble is no reason to lose the others' figures
                    print(f"\n{model}, {name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}")
                    self.note("failed", model, name, error=str(error)[:1000])
                if self.cuda:
                    torch.cuda.empty_cache()

    def measure_peer(self, model: str, peer: str, name: str, compiled: bool) -> None:
        text, image = self.peer(peer, model)
        size, row = SHAPES[model][0], {}
        if compiled:
            torch._dynamo.reset()
            text, image = (torch.compile(f, dynamic=False) for f in (text, image))
        loop = self.notebook_seconds(name, text) * len(self.classes)
        build = [f["seconds"] for f in self.noted("build", model)]
        self.note("loop", model, name, seconds=loop)
        print(f"\n{model}, {name}: the notebook's loop over {len(self.classes)} classes would take {loop:.2f} s"
              + (f", {loop / build[-1]:.1f} times our first build" if build else ""))
        for batch in self.batches()[-1:] if compiled else [b for b in self.batches() if b in (1, 4, 32, 256)]:
            pixels = self.random(batch, 3, size, size)
            image(pixels)
            row[batch] = batch / self.seconds(lambda: image(pixels), limit=1.0)
        self.tower_table(model, {name: row})
        ours = [max(f["rates"].values()) for f in self.noted("tower", model) if f["name"].startswith("ours")]
        if ours:
            print(f"\nOurs at its best batch is {max(ours) / max(row.values()):.2f} times {name} at its own.")

    def notebook_seconds(self, name: str, text) -> float:
        """Of the loop for one class."""
        classes = self.classes[: 3 if self.args.tiny else 10]
        tokens = torch.randint(1, 49000, (len(self.templates), 77), device=self.args.device)
        tokens[:, 0], tokens[:, 10:] = 49406, 49407
        rows, next_class = [], iter(range(10**9))

        def one_class() -> None:
            inputs = tokens
            if name.startswith("openai/CLIP"):
                clip = import_clip()
                class_name = classes[next(next_class) % len(classes)]
                inputs = clip.tokenize([form.format(class_name) for form in self.templates]).to(self.args.device)
            embeddings = text(inputs)
            embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
            mean = embeddings.mean(dim=0)
            rows.append(mean / mean.norm())

        one_class()
        return self.seconds(one_class, least=len(classes))


def rates(lines: str, pattern: str) -> dict[int, float]:
    return {int(n): float(rate) for n, rate in re.findall(pattern, lines)}


def import_clip():
    """clip-anytorch wants pkg_resources, which newer setuptools have not."""
    try:
        from pkg_resources import packaging  # noqa: F401
    except ImportError:
        import packaging.version

        sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
        sys.modules["pkg_resources"].packaging = packaging
    import clip

    return clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ("ceilings", "ours", "peers", "compiled", "variants")
    parser.add_argument("parts", nargs="*", default=every, choices=(*every, "checkpoints"), metavar="PART")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "cuda", help="a build, or one that gpu-check unpacked")
    parser.add_argument("--work", type=pathlib.Path, metavar="FOLDER", help="for checkpoints, which are kept there")
    parser.add_argument("--figures", type=pathlib.Path, metavar="FILE", help="JSON lines are appended to it")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16", choices=("fp16", "bf16", "fp32"))
    parser.add_argument("--models", default=",".join(SHAPES), type=lambda text: text.split(","))
    parser.add_argument("--peers", default=",".join(PEERS), type=lambda text: text.split(","))
    parser.add_argument("--server_flags", default="", type=str.split, help="more flags for the server")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that this script works")
    args = parser.parse_args()
    if unknown := set(args.models) - set(SHAPES) or set(args.peers) - set(PEERS):
        parser.error(f"{', '.join(unknown)}: it must be one of {', '.join((*SHAPES, *PEERS))}")
    sys.stdout.reconfigure(line_buffering=True)
    bench, failed = Bench(args), False
    try:
        for part in args.parts:
            run = {"compiled": lambda: bench.peers(compiled=True), "checkpoints": lambda: [bench.checkpoint(m) for m in args.models]}
            try:
                run.get(part, lambda: getattr(bench, part)())()
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                failed = True
                print(f"\n{part} failed: {error} {getattr(error, 'stdout', '') or ''} {getattr(error, 'stderr', '') or ''}")
    finally:
        if not args.work:
            shutil.rmtree(bench.work, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
