"""Embeddings of many prompts at once, where sharing prefixes could go wrong.

Runs openai/CLIP's model and tokenizer (clip-anytorch) in fp32 on the CPU, every
prompt by itself and padded to 77, on small random models:
    tries.json     random sequences that begin alike in all ways: prefixes of
                   each other, duplicates, of one token and of 77
    imagenet.json  the weight set of ImageNet's 1000 classes x 80 templates
"""

import json
import pathlib

import clip
import numpy as np
import torch

from golden import models

SHAPE = dict(image_resolution=32, vision_layers=1, vision_width=64, vision_patch_size=16, transformer_heads=1,
             transformer_layers=3)
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def random_sequences() -> list[list[int]]:
    """From small alphabets, so that they share beginnings; the end token only last, or nowhere."""
    random = np.random.default_rng(4)
    sequences = [[models.START], [models.END], [models.START, models.END]]
    for ids in (1, 2, 3):
        for length in (1, 2, 3, 4, 6, 9, 30, 76, 77):
            for end in (True, False):
                sequence = [int(x) for x in random.integers(5, 5 + ids, length)]
                sequences.append(sequence[:-1] + [models.END] if end else sequence)
    # The reference pools at the highest id, so a sequence without an end token
    # is pooled inside: at its first highest.
    return sequences + [list(sequences[i]) for i in random.integers(0, len(sequences), 9)]


def small_model(seed: int, embed_dim: int) -> models.Case:
    return models.openai_case("", "state_dict", seed, False, embed_dim=embed_dim, transformer_width=64, **SHAPE)


def write(case: models.Case, path: pathlib.Path, golden: dict) -> None:
    tensors = [[name, list(tensor.shape)] for name, tensor in case.model.state_dict().items()
               if tensor.is_floating_point()]
    head = {"format": case.format, "seed": case.seed, "half": case.half, "files": {}, "weights_file": "",
            "tensors": tensors}
    path.write_text(json.dumps(head | golden, separators=(",", ":")) + "\n")
    print(f"  {path.name}: {path.stat().st_size} bytes")


def make(out_dir: pathlib.Path) -> None:
    case = small_model(21, 24)
    sequences = random_sequences()
    ids = torch.tensor([sequence + [0] * (models.CONTEXT - len(sequence)) for sequence in sequences])
    with torch.no_grad():
        embeddings = models.unit(case.encode_text(ids))
    write(case, out_dir / "tries.json", {"sequences": sequences, "expected": models.rows(embeddings)})

    case = small_model(22, 8)
    classes = (ROOT / "data/class_sets/imagenet-1k.txt").read_text().splitlines()
    templates = (ROOT / "data/template_sets/openai-imagenet-80.txt").read_text().splitlines()
    weights = []
    with torch.no_grad():
        for name in classes:
            texts = clip.tokenize([template.replace("{}", name) for template in templates])
            weights.append(models.unit(models.unit(case.encode_text(texts)).mean(dim=0)))
    write(case, out_dir / "imagenet.json", {"expected": models.rows(torch.stack(weights))})
