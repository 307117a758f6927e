#!/usr/bin/env python3
"""SigLIP 2 B/16 and PE-Core B/16 beside open_clip in torch, and beside our own ViT-B/32: images per second, share of the machine's rate, builds.

    cmake --build --preset release --target zeroshot_server zeroshot_client time_tower
    .cache/golden/bin/python bench/families.py                 # about 10 minutes on 2 idle cores
    .cache/golden/bin/python bench/families.py --precisions fp32 --batches 8 --rounds 1
    .cache/golden/bin/python bench/families.py --alone --precisions bf16,int8 --batches 8 --models ViT-L-14,PE-Core-L-14-336   # docs/models.md's images/s

All run random weights of full-size towers in turns, `--rounds` times; the tables have the best of each, because other work on a machine only takes
away. OpenVINO takes part where it is installed. The vocabularies are small ones (tests/testdata/golden/tokenizers): rows of a table are looked up,
however many there are. Ours starts from crops of bytes, the others are given normalised pixels.

    share    GFLOP/s of the matrix products that a tower computes, of those of one large product in torch, measured between the towers of each round
    build    a classifier of 100 classes of ImageNet, `--templates` of OpenAI's each: ours over gRPC, tokenizing and averaging included;
             open_clip's is encode_text of the same prompts, tokenized already. The share is our text tower's
"""

import argparse
import collections
import functools
import json
import pathlib
import re
import subprocess
import sys
import time

import open_clip
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

import build
import tower

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENIZERS = ROOT / "tests" / "testdata" / "golden" / "tokenizers"
GEMMA = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
         "padding_side": "right"}
MODELS = ("ViT-B-32", "PE-Core-B-16", "ViT-B-16-SigLIP2")
CLASSES = 100


class Model:
    """open_clip's of that name with random weights, and a folder of it for ours."""

    def __init__(self, name: str):
        config = open_clip.get_model_config(name)
        subwords = "hf_tokenizer_name" in config["text_cfg"]
        if subwords:
            config["text_cfg"]["vocab_size"] = 1280
        torch.manual_seed(0)
        make = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
        self.model = make(**config).eval().requires_grad_(False)
        self.text = config["text_cfg"]
        self.size, self.context = config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"] if "context_length" in config["text_cfg"] else 77
        self.folder = ROOT / ".cache" / "bench-families" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
        (self.folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config | {"custom_text": make is open_clip.CustomTextCLIP}, "preprocess_cfg": preprocess}))
        if not (self.folder / "open_clip_model.safetensors").exists():
            save_file({key: value.contiguous() for key, value in self.model.state_dict().items()}, self.folder / "open_clip_model.safetensors")
        if subwords:
            (self.folder / "tokenizer_config.json").write_text(json.dumps(GEMMA))
            (self.folder / "tokenizer.json").write_bytes((TOKENIZERS / "gemma.json").read_bytes())
        self.tokenize = open_clip.get_tokenizer(f"local-dir:{self.folder}", context_length=self.context)
        torch.backends.mha.set_fastpath_enabled(False)  # which the counter does not see through
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.model.visual(torch.zeros(1, 3, self.size, self.size))
        torch.backends.mha.set_fastpath_enabled(True)
        self.flop = counter.get_total_flops()
        # Ours computes the last block of a tower that is pooled by its class token for that token alone: without the others' query, output and MLP.
        visual, self.our_flop = self.model.visual, self.flop
        if getattr(visual, "pool_type", "") == "tok" and visual.attn_pool is None:
            tokens, width = visual.positional_embedding.shape
            self.our_flop -= (tokens - 1) * 2 * 10 * width**2

    def text_flop(self, build: dict) -> float:
        """Of the products for one of our builds: common prefixes once where the text is causal, and all positions of the context where it is not."""
        width, layers, rows, prompts = self.text["width"], self.text["layers"], build["num_tokens_encoded"], build["num_prompts"]
        causal = not self.text.get("no_causal_mask", False)
        attention = 4 * width * (build["num_tokens"] / prompts if causal else self.context)  # each row's
        whole = (layers - 1) * rows * (24 * width**2 + attention)
        if not causal:  # the first block's queries, keys and values: of each token at each place once, which are few
            whole -= rows * 6 * width**2
        return whole + rows * 4 * width**2 + prompts * (20 * width**2 + attention)  # the last block: of the rows that are pooled


def product_rate(precision: str, seconds: float) -> float:
    """FLOP/s of one product of 2048 x 2048."""
    side, dtype = 2048, torch.float32 if precision == "fp32" else torch.bfloat16
    left, right = torch.randn(side, side, dtype=dtype), torch.randn(side, side, dtype=dtype)
    return tower.rate(lambda: left @ right, 2 * side**3, seconds)


def ours(model: Model, precision: str, batches: str, seconds: float) -> dict:
    lines = subprocess.run([tower.BUILD / "bench" / "micro" / "time_tower", f"--model={model.folder}", f"--precision={precision}", f"--batches={batches}", f"--time={seconds}s"],
                           check=True, capture_output=True, text=True).stdout
    return {int(batch): float(images) for batch, images in re.findall(r"batch (\d+): best ([\d.]+)", lines)}


@functools.cache
def say_once(line: str) -> None:
    print(line, flush=True)


def openvino_tower(model: Model, precision: str):
    """A function of pixels; None where OpenVINO is not installed or does not take the tower."""
    try:
        compiled = tower.openvino_models(model.model.visual, [precision], model.size)[precision]
    except Exception as error:  # whatever its exporter fails with
        say_once(f"OpenVINO does not take part: {type(error).__name__}: {str(error)[:100]}")
        return None
    return lambda pixels: compiled(pixels.numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--templates", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="neither peers nor builds")
    parser.add_argument("--seconds", type=float, default=2, help="for each figure of a round")
    args = parser.parse_args()
    batches = [int(batch) for batch in args.batches.split(",")]
    models = {name: Model(name) for name in args.models.split(",")}
    templates = build.lines("template_sets/openai-imagenet-80.txt")[: args.templates]
    classes = build.lines("class_sets/imagenet-1k.txt")[:CLASSES]
    prompts = [template.replace("{}", name) for name in classes for template in templates]
    best, machine, shortest = collections.defaultdict(float), collections.defaultdict(float), collections.defaultdict(lambda: float("inf"))
    text = collections.defaultdict(float)  # FLOP/s of our text towers
    openvino = {}
    for name, model in models.items():
        for precision in args.precisions.split(","):
            openvino[name, precision] = None if args.alone else openvino_tower(model, precision)
    for _ in range(args.rounds):
        for precision in args.precisions.split(","):
            autocast = functools.partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "bf16")
            for name, model in models.items():
                print(f"{precision}, {name} ...", file=sys.stderr, flush=True)
                machine[precision] = max(machine[precision], product_rate(precision, args.seconds))
                for batch, images in ours(model, precision, args.batches, args.seconds).items():
                    best[name, "ours", precision, batch] = max(best[name, "ours", precision, batch], images)
                if args.alone:
                    continue
                for batch in batches:
                    pixels = torch.randn(batch, 3, model.size, model.size)
                    towers = {"open_clip": model.model.visual, "OpenVINO": openvino[name, precision]}
                    for system, run in towers.items():
                        if run is None:
                            continue
                        with torch.inference_mode(), autocast():
                            key = (name, system, precision, batch)
                            best[key] = max(best[key], tower.rate(lambda: run(pixels), batch, args.seconds))
                server = build.Server(model.folder, precision, ["--http_listen="])
                built = server.build(classes, templates)
                server.stop()
                shortest[name, "ours", precision] = min(shortest[name, "ours", precision], built["seconds"])
                text[name, precision] = max(text[name, precision], model.text_flop(built) / (built["timing_ms"]["encode"] / 1000))
                with torch.inference_mode(), autocast():
                    ids, start = model.tokenize(prompts), time.monotonic()
                    for part in ids.split(64):
                        model.model.encode_text(part)
                    shortest[name, "open_clip", precision] = min(shortest[name, "open_clip", precision], time.monotonic() - start)
    print(build.machine())
    print(f"images/s at batch {args.batches} and share of the machine's product rate; build of {CLASSES} x {args.templates} prompts; best of {args.rounds} rounds")
    for precision in args.precisions.split(","):
        print(f"{precision}: one product {machine[precision] / 1e9:.0f} GFLOP/s")
        for name, model in models.items():
            for system in ("ours", "open_clip", "OpenVINO"):
                row = [best[name, system, precision, batch] for batch in batches]
                if any(row):
                    flop = model.our_flop if system == "ours" else model.flop
                    shares = " ".join(f"{images * flop / machine[precision]:5.2f}" for images in row)
                    seconds = f"{shortest[name, system, precision]:7.2f} s" if (name, system, precision) in shortest else ""
                    if system == "ours" and seconds:
                        seconds += f", share {text[name, precision] / machine[precision]:5.2f}"
                    print(f"  {name:17} {system:9} " + " ".join(f"{images:7.1f}" for images in row) + f"   share {shares}   build {seconds}")


if __name__ == "__main__":
    main()
