"""The four measurements of the model card."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .augment import augment, normalize, on_white
from .concepts import CONCEPTS, TEST_TEMPLATES
from .data import SKIN_TONES, Dataset, emoji_code, emoji_of, is_flag

RENDERINGS = 8
SEED = 20


@dataclass
class Scores:
    """Percent, 50-way top-1 (random: 2)."""

    trained_cldr: float  # (1) augmented renderings of trained drawings
    trained_plain: float
    artist_cldr: float  # (2) the artist held out, the 50 concepts
    artist_plain: float
    artist_plain_top5: float
    artist_all: float  # (2b) the artist held out, every emoji, among 49 random other names
    stamps: float  # (3) stamps with held-out captions, among 49 random other held-out captions

    def __str__(self) -> str:
        return (f"(1) CLDR {self.trained_cldr:.1f} plain {self.trained_plain:.1f}  "
                f"(2) CLDR {self.artist_cldr:.0f} plain {self.artist_plain:.0f} top-5 {self.artist_plain_top5:.0f}  "
                f"(2b) {self.artist_all:.1f}  (3) {self.stamps:.1f}")


def _among_random_others(scores: torch.Tensor, truth: torch.Tensor, others: int = 49) -> float:
    """Expected top-1 when each image competes with `others` names drawn from the rest; exact, not sampled."""
    right = scores.gather(1, truth[:, None])
    above = (scores > right).sum(1)
    rest = scores.shape[1] - 1
    chance = [math.comb(rest - k, others) / math.comb(rest, others) for k in above.tolist()]
    return 100 * sum(chance) / len(chance)


@torch.no_grad()
def evaluate(dataset: Dataset, size: int, encode_images, encode_texts) -> Scores:
    """encode_images: normalised [n, 3, size, size] -> [n, D]; encode_texts: strings -> [n, D]."""

    def images(rgb: torch.Tensor) -> torch.Tensor:
        parts = [F.normalize(encode_images(normalize(part)).float(), dim=-1) for part in rgb.split(256)]
        return torch.cat(parts)

    def classes(names: list[str], templates: list[str]) -> torch.Tensor:
        total = sum(F.normalize(encode_texts([t.format(n) for n in names]).float(), dim=-1) for t in templates)
        return F.normalize(total, dim=-1)

    def boxes(indices: list[int]) -> torch.Tensor:
        return torch.from_numpy(dataset.pictures[indices])

    items = dataset.items
    cldr, plain = [c[1] for c in CONCEPTS], [c[2] for c in CONCEPTS]

    def find(source: str) -> list[int]:
        by_code = {emoji_code(item): i for i, item in enumerate(items) if item.source == source}
        return [by_code[code] for code, _, _ in CONCEPTS]

    def top(features: torch.Tensor, names: list[str], k: int = 1) -> float:
        truth = torch.arange(len(names)).repeat(len(features) // len(names))
        best = (features @ classes(names, TEST_TEMPLATES).T).topk(k).indices
        return 100 * (best == truth[:, None]).any(1).float().mean().item()

    # The renderings are new, but the same at every evaluation.
    state = torch.get_rng_state()
    torch.manual_seed(SEED)
    trained = images(torch.cat([augment(boxes(find("noto")), size, 1.0) for _ in range(RENDERINGS)]))
    torch.set_rng_state(state)
    artist = images(on_white(boxes(find("emojione")), size))

    every = [i for i, item in enumerate(items) if item.split == "artist"
             and not is_flag(emoji := emoji_of(emoji_code(item)))
             and not SKIN_TONES & set(emoji)]
    names = sorted({items[i].captions[0][0] for i in every})
    truth = torch.tensor([names.index(items[i].captions[0][0]) for i in every])
    artist_all = _among_random_others(
        images(on_white(boxes(every), size)) @ classes(names, TEST_TEMPLATES[:3]).T, truth)

    stamps = [i for i, item in enumerate(items) if item.split == "stamps"]
    captions = sorted({items[i].captions[0][0] for i in stamps})
    truth = torch.tensor([captions.index(items[i].captions[0][0]) for i in stamps])
    stamp_score = _among_random_others(images(on_white(boxes(stamps), size)) @ classes(captions, ["{}"]).T, truth)

    return Scores(
        top(trained, cldr), top(trained, plain), top(artist, cldr), top(artist, plain), top(artist, plain, 5),
        artist_all, stamp_score)
