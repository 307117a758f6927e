#!/usr/bin/env python3
"""What a GPU makes of us: builds, the image tower and Classify, beside the references' own Python.

    python3 bench/gpu.py                       # after scripts/setup --cuda; part of scripts/gpu-check
    python3 bench/gpu.py --quick --budget 240
    python3 bench/gpu.py --device cpu --folder build/release --precision bf16 --models ViT-B/32 --quick --tiny

Random full-size weights (speed does not depend on values), float16, written by
make_checkpoint. Prints Markdown tables. Peers, each if it is installed: clip
(openai/CLIP or clip-anytorch), open_clip, transformers (scaled_dot_product_
attention, which takes the flash kernel in fp16), and torch.compile of each.

Builds: ImageNet's 1000 classes in OpenAI's 80 templates, from the call of the
client to its reply; the first one on a new server, then with other last
characters in the templates, so that no prompt is known. The peers run the loop
of OpenAI's notebook over some classes; 1000 are extrapolated. `clip` tokenises
in the loop as the notebook does, the others are given tokens.
Past --budget seconds what is left is left out, with a line that says so.
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

import torch

from built import ROOT, Built

# image size, patch, image width and layers, text width and layers, text heads, embedding
SHAPES = {"ViT-B/32": (224, 32, 768, 12, 512, 12, 8, 512), "ViT-B/16": (224, 16, 768, 12, 512, 12, 8, 512),
          "ViT-L/14": (224, 14, 1024, 24, 768, 12, 12, 768), "ViT-L/14@336px": (336, 14, 1024, 24, 768, 12, 12, 768)}
START = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:4.0f}s] bench: {text}", file=sys.stderr, flush=True)


def image_flop(model: str) -> float:
    """Of the image tower's matrix products for one image."""
    size, patch, width, layers, _, _, _, dim = SHAPES[model]
    patches = (size // patch) ** 2
    tokens = patches + 1
    layer = 24 * tokens * width * width + 4 * tokens * tokens * width
    return layers * layer + 2 * patches * width * 3 * patch * patch + 2 * width * dim


class Bench:
    def __init__(self, args):
        self.args, self.built = args, Built(args.folder)
        self.cuda = args.device.startswith("cuda")
        self.dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[args.precision]
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-bench-"))
        self.checkpoints, self.ours = {}, {}
        data = ROOT / "data"
        self.classes = (data / "class_sets/imagenet-1k.txt").read_text().splitlines()
        self.templates = (data / "template_sets/openai-imagenet-80.txt").read_text().splitlines()
        if args.tiny:
            self.classes, self.templates = self.classes[:20], self.templates[:5]

    def in_time(self, what: str, seconds: float) -> bool:
        if time.monotonic() - START + seconds < self.args.budget:
            return True
        print(f"\nLeft out, the time is up: {what}.")
        return False

    def start_checkpoints(self, models: list[str]) -> None:
        """A process each: drawing random numbers takes one core some seconds."""
        for model in models:
            path = self.work / f"{model.replace('/', '-')}.pt"
            self.checkpoints[model] = path, subprocess.Popen(
                [self.built.program("make_checkpoint"), f"--arch={model}", "--format=openai_state_dict", "--half", f"--out={path}"],
                env=self.built.env)

    def checkpoint(self, model: str) -> pathlib.Path:
        path, writer = self.checkpoints[model]
        if writer.wait() != 0:
            raise RuntimeError(f"make_checkpoint ended with {writer.returncode}")
        return path

    def seconds(self, run, least: int = 3, limit: float = 2.0) -> float:
        """The median of some runs, the device waited for."""
        times, end = [], time.monotonic() + (limit / 4 if self.args.tiny else limit)
        while len(times) < least or time.monotonic() < end:
            start = time.monotonic()
            run()
            if self.cuda:
                torch.cuda.synchronize()
            times.append(time.monotonic() - start)
        return sorted(times)[len(times) // 2]

    def matmul_rate(self) -> float:
        """FLOP/s of a dense product."""
        n = 8192 if self.cuda else 1024
        a = torch.randn(n, n, device=self.args.device, dtype=self.dtype)
        b = torch.randn(n, n, device=self.args.device, dtype=self.dtype)
        self.seconds(lambda: a @ b, limit=1)
        return 2 * n**3 / self.seconds(lambda: [a @ b for _ in range(10)]) * 10

    # Ours.

    @contextlib.contextmanager
    def server(self, model: str):
        """A server on the model; gives how its clients call it."""
        log = self.work / "server.log"
        with open(log, "w") as out:
            process = subprocess.Popen(
                [self.built.program("zeroshot_server"), f"--model={self.checkpoint(model)}", f"--device={self.args.device}",
                 f"--precision={self.args.precision}", "--listen=127.0.0.1:0", "--metrics_listen=", "--drain_grace=0s"],
                env=self.built.env, stdout=out, stderr=subprocess.STDOUT)
        try:
            for _ in range(1200):
                ready = re.search(r"127\.0\.0\.1:([1-9]\d*)", log.read_text())
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended: {log.read_text()[-1000:]}")
                if ready:
                    target = f"--target=127.0.0.1:{ready[1]}"
                    if self.built.run("zeroshot_client", "health", target, capture_output=True).returncode == 0:
                        break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"the server is not ready: {log.read_text()[-1000:]}")
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

    def our_tower(self, model: str, batches: list[int]) -> dict[int, float]:
        done = self.built.run("time_tower", f"--model={self.checkpoint(model)}", f"--device={self.args.device}",
                              f"--precision={self.args.precision}", f"--batches={','.join(map(str, batches))}",
                              f"--time={0.3 if self.args.tiny else 1.5}s", check=True, capture_output=True)
        return {int(n): float(rate) for n, rate in re.findall(r"batch (\d+): .* median ([\d.e+]+)", done.stdout)}

    # Peers: (name, text, image); text takes tokens [n, 77], image pixels [n, 3, size, size]; either gives [n, D].

    def peers(self, model: str):
        size, patch, width, layers, text_width, text_layers, text_heads, dim = SHAPES[model]
        device = self.args.device
        try:
            import clip

            state = torch.load(self.checkpoint(model), map_location="cpu", weights_only=False)
            ours = clip.model.build_model(dict(state)).to(device).eval()
            if self.dtype == torch.float16 and self.cuda:  # what it is made for
                yield "openai/CLIP", ours.encode_text, ours.encode_image
            else:
                ours, half = ours.float(), torch.autocast(self.args.device.split(":")[0], self.dtype, enabled=self.dtype != torch.float32)
                yield "openai/CLIP", half(ours.encode_text), half(lambda pixels: ours.encode_image(pixels.float()))
        except ImportError:
            print("\nopenai/CLIP: not installed here, left out.")
        try:
            import open_clip

            name = model.replace("/", "-").replace("@336px", "-336") + "-quickgelu"
            if name not in open_clip.list_models():
                name = name.removesuffix("-quickgelu")
            ours = open_clip.create_model(name, pretrained=None, device=device).to(self.dtype).eval()
            yield "open_clip", ours.encode_text, ours.encode_image
        except ImportError:
            print("\nopen_clip: not installed here, left out.")
        try:
            from transformers import CLIPConfig, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

            config = CLIPConfig(
                text_config={"hidden_size": text_width, "intermediate_size": 4 * text_width, "num_hidden_layers": text_layers,
                             "num_attention_heads": text_heads, "projection_dim": dim},
                vision_config={"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
                               "num_attention_heads": width // 64, "image_size": size, "patch_size": patch, "projection_dim": dim},
                projection_dim=dim, attn_implementation="sdpa")
            for part in (config.text_config, config.vision_config):
                part._attn_implementation = "sdpa"
            text = CLIPTextModelWithProjection(config.text_config).to(device, self.dtype).eval()
            image = CLIPVisionModelWithProjection(config.vision_config).to(device, self.dtype).eval()
            yield ("transformers", lambda tokens: text(input_ids=tokens).text_embeds,
                   lambda pixels: image(pixel_values=pixels).image_embeds)
        except ImportError:
            print("\ntransformers: not installed here, left out.")

    def notebook_seconds(self, name: str, text) -> float:
        """Of the loop for one class."""
        classes = self.classes[: 3 if self.args.tiny else 10]
        tokens = torch.randint(1, 49000, (len(self.templates), 77), device=self.args.device)
        tokens[:, 0], tokens[:, 10:] = 49406, 49407
        rows, next_class = [], iter(range(10**9))

        def one_class() -> None:
            inputs = tokens
            if name.startswith("openai/CLIP"):
                import clip

                class_name = classes[next(next_class) % len(classes)]
                inputs = clip.tokenize([form.format(class_name) for form in self.templates]).to(self.args.device)
            embeddings = text(inputs)
            embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
            mean = embeddings.mean(dim=0)
            rows.append(mean / mean.norm())

        one_class()
        return self.seconds(one_class, least=len(classes))

    def measure_peers(self, model: str, batches: list[int]) -> tuple[list, list]:
        """Rows of (name, seconds of the loop for all classes), and of (name, {batch: images/s})."""
        loops, towers = [], []
        size = SHAPES[model][0]
        for peer, text, image in self.peers(model):
            for compiled in (False, True):
                name = f"{peer}, compiled" if compiled else peer
                if compiled and self.args.no_compile or not self.in_time(f"{model}, {name}", 60 if compiled else 15):
                    continue
                say(f"{model}: {name}")
                try:
                    with torch.inference_mode():
                        if compiled:
                            torch._dynamo.reset()
                        make = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
                        loops.append((name, self.notebook_seconds(name, make(text)) * len(self.classes)))
                        rates, run = {}, make(image)
                        for batch in batches[-1:] if compiled else batches:
                            pixels = torch.randn(batch, 3, size, size, device=self.args.device, dtype=self.dtype)
                            run(pixels)
                            rates[batch] = batch / self.seconds(lambda: run(pixels), limit=1.0)
                        towers.append((name, rates))
                except Exception as error:  # a peer's trouble is no reason to lose the others' figures
                    print(f"\n{model}, {name}: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}")
            del text, image
            if self.cuda:
                torch.cuda.empty_cache()
        return loops, towers

    # Tables.

    def batches(self) -> list[int]:
        return [1, 4] if self.args.tiny else [1, 8, 32, 64, 128, 256] if self.cuda else [1, 8, 32]

    def measure_ours(self, model: str, rate: float) -> None:
        say(f"{model}: weights")
        self.checkpoint(model)
        with self.server(model) as target:
            say(f"{model}: builds")
            builds = [self.our_build(target, end) for end in (".", "!", "?", ";", "...")[: 2 if self.args.tiny else 5]]
            first, later = builds[0], sorted(seconds for seconds, _ in builds[1:])
            self.ours[model] = first[0]
            timing = ", ".join(f"{stage} {ms:.0f}" for stage, ms in first[1]["timing_ms"].items())
            print(f"\n### {model}\n\nBuildClassifier, {len(self.classes)} x {len(self.templates)}, "
                  f"{first[1]['num_tokens_encoded']} prefixes: {first[0]:.3f} s, the first of a new server (its ms: {timing}); "
                  f"then {later[len(later) // 2]:.3f} s, the median of {len(later)} ({later[0]:.3f} to {later[-1]:.3f}).")
            if self.in_time(f"{model}, Classify", 20):
                self.classify(model, target, first[1]["weight_set_id"])
        say(f"{model}: our tower")
        self.tower_table(model, rate, [("ours, from bytes on the host", self.our_tower(model, self.batches()))])

    def tower_table(self, model: str, rate: float, towers: list) -> None:
        batches = self.batches()
        print("\nImage tower, images/s:\n")
        print("| batch | " + " | ".join(map(str, batches)) + " | of the matmul rate, best |\n|---|" + "---|" * (len(batches) + 1))
        for name, rates in towers:
            share = max(rates.values()) * image_flop(model) / rate
            print(f"| {name} | " + " | ".join(f"{rates[b]:.0f}" if b in rates else "" for b in batches) + f" | {100 * share:.1f} % |")
        sys.stdout.flush()

    def compare(self, model: str, rate: float) -> None:
        print(f"\n### {model}, others")
        loops, towers = self.measure_peers(model, self.batches()[-2:])
        if not loops:
            return
        print("\n| the notebook's loop, extrapolated | seconds | times our first build |\n|---|---|---|")
        for name, seconds in loops:
            print(f"| {name} | {seconds:.1f} | {seconds / self.ours[model]:.0f} |")
        self.tower_table(model, rate, towers)

    def classify(self, model: str, target: str, weight_set: str) -> None:
        say(f"{model}: Classify")
        picture = self.picture()
        clients = "1,4" if self.args.tiny else "1,8,32,128" if self.args.quick else "1,2,4,8,16,32,64,128,256"
        window = 1 if self.args.tiny else 1 if self.args.quick else 3
        points = self.client("bench", target, f"--weight_set={weight_set}", f"--concurrency={clients}",
                             f"--window={window}", "--max_windows=4", picture)
        stages = list(points[0]["mean_stage_ms"])
        print(f"\nClassify over loopback, JPEG of {picture.stat().st_size} bytes, {os.cpu_count()} cores:\n")
        print("| calls at once | calls/s | p50 ms | p99 ms | " + " | ".join(f"{s} ms" for s in stages) + " |\n|" + "---|" * (4 + len(stages)))
        for n, point in zip(clients.split(","), points):
            latency = point["latency_ms"]
            print(f"| {n}{'' if point['stable'] else '*'} | {point['calls_per_second']:.1f} | {latency['p50']:.2f} | {latency['p99']:.2f} | "
                  + " | ".join(f"{point['mean_stage_ms'][s]:.2f}" for s in stages) + " |")

    def picture(self) -> pathlib.Path:
        path = self.work / "picture.jpg"
        if not path.exists():
            try:
                from served import write_picture

                write_picture(path)
            except ImportError:  # without Pillow or NumPy: one of the tests'
                shutil.copy(next((ROOT / "models/demo/pictures").glob("*.jpg")), path)
        return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "cuda", help="a build, or one that gpu-check unpacked")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16", choices=("fp16", "bf16", "fp32"))
    parser.add_argument("--models", help="default: all, or with --quick ViT-B/32 and ViT-L/14")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that this script works")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--budget", type=float, default=1800, metavar="SECONDS")
    args = parser.parse_args()
    models = args.models.split(",") if args.models else ["ViT-B/32", "ViT-L/14"] if args.quick else list(SHAPES)
    bench = Bench(args)
    failed = False
    bench.start_checkpoints(models)
    try:
        rate = bench.matmul_rate()
        name = torch.cuda.get_device_name() if bench.cuda else "the CPU"
        print(f"## Benchmarks on {name}, {args.precision}\n\nA dense product runs at {rate / 1e12:.3g} TFLOP/s (torch {torch.__version__}).")
        # Ours first: whatever a peer does, these figures are there.
        for measure in (bench.measure_ours, bench.compare):
            for model in models:
                if measure == bench.compare and model not in bench.ours or not bench.in_time(model, 30):
                    continue
                try:
                    measure(model, rate)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    failed = True
                    print(f"\n{model}: {error} {getattr(error, 'stdout', '') or ''} {getattr(error, 'stderr', '') or ''}")
                sys.stdout.flush()
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
