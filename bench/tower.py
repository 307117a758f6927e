#!/usr/bin/env python3
"""Images a second of the image tower alone, beside those of OpenVINO, ONNX Runtime, transformers and openai/CLIP.

    cmake --build --preset release --target time_tower make_checkpoint
    .cache/golden/bin/python bench/tower.py                  # about 6 minutes on 2 cores

All run random weights of a full-size ViT in turns, `--rounds` times; the table
has the best of each, because other work on a machine only takes away. Ours
starts from crops of bytes; the others are given pixels that are normalised
already.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import tempfile
import time
import warnings

import clip
import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"


def rate(run, batch: int, seconds: float) -> float:
    """The best of the runs' images per second."""
    run()
    best, end = float("inf"), time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        run()
        best = min(best, time.monotonic() - start)
    return batch / best


def openvino_models(visual: torch.nn.Module, precisions: list[str], size: int) -> dict:
    import openvino

    core, compiled = openvino.Core(), {}
    model = openvino.convert_model(visual, example_input=torch.randn(1, 3, size, size), input=[-1, 3, size, size])
    for precision in precisions:
        hint = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}[precision]
        this = model
        if precision == "int8":
            import nncf

            samples = [np.random.randn(1, 3, size, size).astype(np.float32) for _ in range(8)]
            this = nncf.quantize(model, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=8)
        compiled[precision] = core.compile_model(
            this, "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"})
    return compiled


def onnx_sessions(visual: torch.nn.Module, precisions: list[str], size: int) -> dict:
    """fp32, and int8 by dynamic quantisation. ONNX Runtime does not compute in bf16 on CPUs."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    sessions = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fp32, int8 = f"{folder}/fp32.onnx", f"{folder}/int8.onnx"
        torch.onnx.export(visual, (torch.randn(2, 3, size, size),), fp32, input_names=["pixels"],
                          output_names=["embeddings"], dynamic_axes={"pixels": {0: "n"}, "embeddings": {0: "n"}},
                          dynamo=False)
        if "fp32" in precisions:
            sessions["fp32"] = onnxruntime.InferenceSession(fp32, providers=["CPUExecutionProvider"])
        if "int8" in precisions:
            quantize_dynamic(fp32, int8, weight_type=QuantType.QInt8)
            sessions["int8"] = onnxruntime.InferenceSession(int8, providers=["CPUExecutionProvider"])
    return sessions


def transformers_tower(visual: torch.nn.Module) -> torch.nn.Module:
    """transformers' tower of the same sizes, with weights of its own."""
    width = visual.conv1.out_channels
    return transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=visual.transformer.layers,
        num_attention_heads=width // 64, image_size=visual.input_resolution, patch_size=visual.conv1.kernel_size[0],
        projection_dim=visual.output_dim)).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="ViT-B/32")
    parser.add_argument("--precisions", default="fp32,bf16,int8")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="for each figure of a round")
    parser.add_argument("--json", help="file for the figures")
    args = parser.parse_args()
    precisions, batches = args.precisions.split(","), [int(b) for b in args.batches.split(",")]

    model = ROOT / ".cache" / f"random-{args.arch.replace('/', '-')}.pt"
    if not model.exists():
        subprocess.run([BUILD / "tests" / "testing" / "make_checkpoint", f"--arch={args.arch}",
                        "--format=openai_state_dict", f"--out={model}"], check=True)
    state = torch.load(model, map_location="cpu", weights_only=False)
    visual = clip.model.build_model(dict(state)).float().eval().visual
    size = visual.input_resolution
    openvino = openvino_models(visual, precisions, size)
    onnx = onnx_sessions(visual, precisions, size)
    torch_towers = {"openai/CLIP": visual, "transformers": transformers_tower(visual)}
    pixels = {batch: torch.randn(batch, 3, size, size) for batch in batches}

    best = collections.defaultdict(float)  # by system, precision, batch
    for _ in range(args.rounds):
        for precision in precisions:
            lines = subprocess.run(
                [BUILD / "bench" / "micro" / "time_tower", f"--model={model}", f"--precision={precision}",
                 f"--batches={args.batches}", f"--time={args.seconds}s"],
                check=True, capture_output=True, text=True).stdout
            for batch, images in re.findall(r"batch (\d+): best ([\d.]+)", lines):
                key = ("ours", precision, int(batch))
                best[key] = max(best[key], float(images))
            for batch in batches:
                array, key = pixels[batch].numpy(), ("OpenVINO", precision, batch)
                best[key] = max(best[key], rate(lambda: openvino[precision](array), batch, args.seconds))
                if precision in onnx:
                    key = ("ONNX Runtime", precision, batch)
                    best[key] = max(best[key],
                                    rate(lambda: onnx[precision].run(None, {"pixels": array}), batch, args.seconds))
            if precision == "int8":
                continue
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                for system, tower in torch_towers.items():
                    for batch in batches:
                        key = (system, precision, batch)
                        best[key] = max(best[key], rate(lambda: tower(pixels[batch]), batch, args.seconds))
    print(f"{args.arch}, images/s at batch {args.batches}, best of {args.rounds} rounds")
    for system in (*torch_towers, "ONNX Runtime", "OpenVINO", "ours"):
        for precision in precisions:
            row = [best[system, precision, batch] for batch in batches]
            if any(row):
                print(f"{system:12} {precision:5} " + " ".join(f"{images:7.1f}" for images in row))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(
            [dict(zip(("system", "precision", "batch", "images_per_second"), (*key, value)))
             for key, value in best.items()], indent=1))


if __name__ == "__main__":
    main()
