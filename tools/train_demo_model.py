#!/usr/bin/env python3
"""Trains, exports and evaluates the small CLIP model in models/demo.

    tools/train_demo_model.py prepare                     # read the images of the Debian packages, cache them
    tools/train_demo_model.py train --minutes 90          # goes on from its checkpoint
    tools/train_demo_model.py export                      # checkpoint -> models/demo
    tools/train_demo_model.py images                    # the demo images and the class list
    tools/train_demo_model.py evaluate                    # the numbers of the model card, from models/demo

Needs tools/requirements-train.txt and the Debian packages named in models/demo/README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import open_clip
import torch

from demo_model import data, images, trainer
from demo_model import model as models
from demo_model.concepts import TEST_TEMPLATES
from demo_model.evaluate import evaluate

ROOT = Path(__file__).resolve().parent.parent


def export(checkpoint: Path, folder: Path) -> None:
    saved = torch.load(checkpoint, weights_only=True)
    models.export(folder, saved["config"], saved["average"], saved["kept"])
    size = (folder / models.WEIGHTS).stat().st_size
    print(f"{size:,} bytes after {saved['minutes']:.1f} min, {saved['steps']} steps, {saved['images']} images")


def evaluate_exported(folder: Path, cache: Path) -> None:
    """As any user of open_clip would: its loader, its preprocessing, its tokenizer, fp32 from the fp16 weights."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        print(evaluate(data.prepare(cache), model.visual.image_size, model.encode_image,
                       lambda texts: model.encode_text(tokenizer(texts))))
        right = []
        for file, truth, ranking in images.classify(folder, model, preprocess, tokenizer, TEST_TEMPLATES):
            right.append(ranking[0][0] == truth)
            print(f"{file:16} {truth:12} " + ", ".join(f"{name} {share:.2f}" for name, share in ranking[:3]))
    print(f"{sum(right)} of {len(right)} demo images right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["prepare", "train", "export", "images", "evaluate"])
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache/demo_model")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / ".cache/demo_model/checkpoint.pt")
    parser.add_argument("--model", type=Path, default=ROOT / "models/demo", help="folder of the exported model")
    parser.add_argument("--tower", choices=models.TOWERS, default="resnet24")
    parser.add_argument("--minutes", type=float, default=90, help="training time in all, earlier parts included")
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--prototype", type=float, default=0.5, help="weight of the image side of the prototype loss")
    parser.add_argument("--save-every", type=float, default=3, metavar="MINUTES")
    parser.add_argument("--evaluate-every", type=float, default=5, metavar="MINUTES")
    args = vars(parser.parse_args())
    command, folder = args.pop("command"), args.pop("model")

    if command == "prepare":
        print(data.summary(data.prepare(args["cache"]).items))
    elif command == "train":
        trainer.train(trainer.Options(**args))
    elif command == "export":
        export(args["checkpoint"], folder)
    elif command == "images":
        images.write(folder)
    else:
        evaluate_exported(folder, args["cache"])


if __name__ == "__main__":
    main()
