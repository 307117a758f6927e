"""The CLIP model (open_clip's own classes), its compact vocabulary while training, and the export."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file

CONTEXT, VOCABULARY = 77, 49408
START, END = 49406, 49407
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"

TEXT = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 128, "heads": 2, "layers": 3}
TOWERS: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 72, "layers": 6, "width": 192, "patch_size": 12},
    "resnet24": {"image_size": 64, "layers": [2, 2, 2, 2], "width": 24},
}
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def model_config(tower: str) -> dict[str, Any]:
    vision = dict(TOWERS[tower])
    if isinstance(vision["layers"], int):
        vision["head_width"] = 64
    return {"embed_dim": 128, "quick_gelu": True, "vision_cfg": vision, "text_cfg": dict(TEXT)}


class Vocabulary:
    """Only tokens that occur get a trained row: a dense gradient of 49,408 rows would cost more than the towers."""

    def __init__(self, texts: list[str]):
        self._tokenizer = SimpleTokenizer()
        self._cache: dict[str, list[int]] = {}
        used = {START, END}
        for text in texts:
            used.update(self._tokenizer.encode(text))
        self.kept = sorted(used)  # keeps END the highest, which is how CLIP finds it
        self._row = {token: row for row, token in enumerate(self.kept)}

    def __len__(self) -> int:
        return len(self.kept)

    def encode(self, text: str) -> list[int]:
        if text not in self._cache:
            tokens = [START, *self._tokenizer.encode(text)[: CONTEXT - 2], END]
            self._cache[text] = [self._row[token] for token in tokens if token in self._row]
        return self._cache[text]

    def batch(self, texts: list[str]) -> torch.Tensor:
        """[n, longest]; the padding, row 0, lies behind the end token, which a causal tower never sees."""
        rows = [self.encode(text) for text in texts]
        result = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            result[i, : len(row)] = torch.tensor(row)
        return result


def build(config: dict[str, Any], vocabulary: int, patch_dropout: float = 0.0) -> CLIP:
    config = json.loads(json.dumps(config))
    config["text_cfg"]["vocab_size"] = vocabulary
    if patch_dropout and isinstance(config["vision_cfg"]["layers"], int):
        config["vision_cfg"]["patch_dropout"] = patch_dropout
    return CLIP(**config)


def encode_text(model: CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """open_clip's encode_text for sequences padded to less than the context."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)
    return x[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection


class Average:
    """Exponential moving average of weights and batch-norm statistics."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.steps = 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        mine, theirs = [], []
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                mine.append(self.state[key])
                theirs.append(value)
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1 - decay)


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """A reader sees the old file or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.part")
    write(temporary)
    temporary.chmod(0o644)
    os.replace(temporary, path)


def save_atomically(path: Path, value: Any) -> None:
    _write(path, lambda p: torch.save(value, p))


def export(folder: Path, config: dict[str, Any], state: dict[str, torch.Tensor], kept: list[int]) -> None:
    """Writes the folder as open_clip reads it: configuration, and weights in fp16 with the whole vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for key, value in state.items():
        if key == "attn_mask":
            continue  # computed, not learned
        if key == "token_embedding.weight":
            table = torch.zeros(VOCABULARY, value.shape[1])
            table[torch.tensor(kept)] = value
            value = table
        tensors[key] = value.half().contiguous() if value.is_floating_point() else value.contiguous()
    text = json.dumps({"zeroshot": {"demo": True}, "model_cfg": config, "preprocess_cfg": PREPROCESS}, indent=2) + "\n"
    _write(folder / CONFIG, lambda p: p.write_text(text))
    _write(folder / WEIGHTS, lambda p: save_file(tensors, p, metadata={"format": "pt"}))
