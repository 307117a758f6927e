"""The training loop: contrastive loss plus prototypes, schedule by wall time, one thread in each of several workers."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import data
from . import model as models
from .augment import augment, normalize
from .concepts import CONCEPTS, TEMPLATES
from .evaluate import Scores, evaluate

CURRICULUM = 0.35  # share of the time until augmentation is full
FULL_PATCHES = 0.85  # from here on no patches are dropped (ViT only)
PROTOTYPE_SCALE = 16.0
MAX_LOGIT_SCALE = 50.0


@dataclasses.dataclass
class Options:
    cache: Path
    checkpoint: Path
    tower: str
    minutes: float
    batch: int  # of all workers together
    workers: int
    lr: float
    decay: float
    prototype: float
    save_every: float
    evaluate_every: float


class Sampler:
    """Draws images by weight, a caption for each and a template for most."""

    def __init__(self, dataset: data.Dataset):
        indices = [i for i, item in enumerate(dataset.items) if item.split == "train"]
        self.items = [dataset.items[i] for i in indices]
        self.weights = torch.tensor([item.weight for item in self.items])
        self.pictures = torch.from_numpy(dataset.pictures[indices])
        self.groups = sorted({item.group for item in self.items})
        self.captions = sorted({caption for item in self.items for caption, _ in item.captions})
        group_number = {group: i for i, group in enumerate(self.groups)}
        self.group_of = torch.tensor([group_number[item.group] for item in self.items])
        self.caption_number = {caption: i for i, caption in enumerate(self.captions)}

    def texts(self) -> list[str]:
        """All that is ever said, for the vocabulary."""
        return self.captions + [t.format("") for t in TEMPLATES] + [name for c in CONCEPTS for name in c[1:]]

    def draw(self, n: int, template_share: float) -> tuple[torch.Tensor, list[str], torch.Tensor, torch.Tensor]:
        """Boxes, texts, group numbers, caption numbers."""
        chosen = torch.multinomial(self.weights, n)
        texts, said = [], []
        for k in chosen.tolist():
            item = self.items[k]
            names, weights = zip(*item.captions)
            caption = random.choices(names, weights)[0]
            said.append(self.caption_number[caption])
            use = item.templated and random.random() < template_share
            texts.append(random.choice(TEMPLATES).format(caption) if use else caption)
        return self.pictures[chosen], texts, self.group_of[chosen], torch.tensor(said)


def gather(local: torch.Tensor) -> torch.Tensor:
    """All workers' rows; only the own ones carry a gradient, so summed gradients are those of the whole batch."""
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    parts[dist.get_rank()] = local
    return torch.cat(parts)


def contrastive_loss(images, texts, scale, groups, said) -> torch.Tensor:
    """CLIP's loss; images of the same thing, or with the same caption, are no negatives of each other."""
    same = (groups[:, None] == groups) | (said[:, None] == said)
    same.fill_diagonal_(False)
    logits = (images @ texts.T * scale).masked_fill(same, -1e4)
    truth = torch.arange(len(logits))
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


class Trainer:
    def __init__(self, options: Options):
        self.options = options
        self.dataset = data.prepare(options.cache)
        self.sampler = Sampler(self.dataset)
        self.vocabulary = models.Vocabulary(self.sampler.texts())
        self.config = models.model_config(options.tower)
        self.size = self.config["vision_cfg"]["image_size"]
        torch.manual_seed(0)  # every worker starts from the same weights
        self.model = models.build(self.config, len(self.vocabulary), patch_dropout=0.35)
        self.model.to(memory_format=torch.channels_last)
        # Thrown away afterwards: one free vector per group, which both towers must hit.
        self.prototypes = torch.nn.Parameter(torch.randn(len(self.sampler.groups), self.config["embed_dim"]) * 0.05)
        self.average = models.Average(self.model, 0.998)
        undecayed = ("embedding", "logit_scale", "prototypes")
        named = [*self.model.named_parameters(), ("prototypes", self.prototypes)]
        decayed = [p for n, p in named if p.ndim >= 2 and not any(word in n for word in undecayed)]
        rest = [p for _, p in named if not any(p is q for q in decayed)]
        self.parameters = [p for _, p in named]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": options.decay}, {"params": rest, "weight_decay": 0.0}],
            lr=options.lr, betas=(0.9, 0.98), foreach=True)
        self.steps = self.images = 0
        self.minutes = 0.0

    def save(self) -> None:
        models.save_atomically(self.options.checkpoint, {
            "config": self.config, "kept": self.vocabulary.kept, "model": self.model.state_dict(),
            "average": self.average.state, "average_steps": self.average.steps, "prototypes": self.prototypes.data,
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps, "images": self.images, "minutes": self.minutes})

    def resume(self) -> None:
        saved = torch.load(self.options.checkpoint, weights_only=True)
        if saved["kept"] != self.vocabulary.kept or saved["config"] != self.config:
            raise SystemExit("the checkpoint belongs to another model or other data")
        self.model.load_state_dict(saved["model"])
        self.average.state, self.average.steps = saved["average"], saved["average_steps"]
        self.prototypes.data.copy_(saved["prototypes"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.steps, self.images, self.minutes = saved["steps"], saved["images"], saved["minutes"]

    def learning_rate(self, progress: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
        return self.options.lr * min(1, (self.steps + 1) / 100) * (0.01 + 0.99 * cosine)

    def sum_gradients(self) -> None:
        flat = torch.cat([p.grad.flatten() for p in self.parameters])
        dist.all_reduce(flat)
        for p, part in zip(self.parameters, flat.split([p.numel() for p in self.parameters])):
            p.grad.copy_(part.view(p.shape))

    def step(self, progress: float) -> tuple[float, float, float]:
        early = min(1.0, progress / CURRICULUM)
        workers = self.options.workers
        boxes, texts, groups, said = self.sampler.draw(self.options.batch // workers, 0.3 + 0.35 * early)
        rgb = normalize(augment(boxes, self.size, 0.35 + 0.65 * early)).contiguous(memory_format=torch.channels_last)
        if progress > FULL_PATCHES and hasattr(self.model.visual, "patch_dropout"):
            self.model.visual.patch_dropout = torch.nn.Identity()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)
        # At a dozen tokens plain attention is twice as fast as the flash kernel's backward.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            image = self.model.visual(rgb)
            text = models.encode_text(self.model, self.vocabulary.batch(texts))
        image, text = F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)
        prototypes = F.normalize(self.prototypes, dim=-1) * PROTOTYPE_SCALE
        image_class = F.cross_entropy(image @ prototypes.T, groups, label_smoothing=0.05)
        text_class = F.cross_entropy(text @ prototypes.T, groups)
        contrast = contrastive_loss(
            gather(image), gather(text), self.model.logit_scale.exp(), gather(groups), gather(said))
        loss = contrast + (self.options.prototype * image_class + 0.25 * text_class) / workers
        self.optimizer.zero_grad()
        loss.backward()
        self.sum_gradients()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        self.steps += 1
        self.images += self.options.batch
        return contrast.item(), image_class.item(), text_class.item()

    def evaluate(self) -> Scores:
        averaged = copy.deepcopy(self.model)
        averaged.load_state_dict(self.average.state)
        averaged.eval()
        with torch.no_grad():
            return evaluate(self.dataset, self.size, averaged.visual,
                            lambda texts: models.encode_text(averaged, self.vocabulary.batch(texts)))

    def agreed_minutes(self, minutes: float) -> float:
        """The first worker's clock counts, so that all stop after the same step."""
        clock = torch.tensor([minutes], dtype=torch.float64)
        dist.broadcast(clock, 0)
        return clock.item()

    def run(self) -> None:
        if self.options.checkpoint.exists():
            self.resume()
        first = dist.get_rank() == 0
        torch.manual_seed(1000 * dist.get_rank() + self.steps)
        random.seed(1000 * dist.get_rank() + self.steps)
        self.model.train()
        tick, saved, evaluated = time.monotonic(), self.minutes, self.minutes
        losses: list[tuple[float, float, float]] = []
        while self.minutes < self.options.minutes:
            losses.append(self.step(self.minutes / self.options.minutes))
            now = time.monotonic()
            self.minutes = self.agreed_minutes(self.minutes + (now - tick) / 60)
            tick = now
            if not first:
                continue
            self.average.update(self.model)
            if self.steps % 100 == 0:
                mean = torch.tensor(losses).mean(0).tolist()
                losses.clear()
                print(f"{self.minutes:6.1f} min  step {self.steps}  {self.images} images  contrast {mean[0]:.3f}  "
                      f"prototype image {mean[1]:.3f} text {mean[2]:.3f}  "
                      f"scale {self.model.logit_scale.exp().item():.1f}", flush=True)
            if self.minutes - evaluated >= self.options.evaluate_every:
                evaluated = self.minutes
                print(f"{self.minutes:6.1f} min  {self.evaluate()}", flush=True)
            if self.minutes - saved >= self.options.save_every:
                saved = self.minutes
                self.save()
        if first:
            self.save()
            print(f"{self.minutes:6.1f} min  done: {self.steps} steps, {self.images} images", flush=True)


def _worker(rank: int, options: Options, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=options.workers)
    Trainer(options).run()
    dist.destroy_process_group()


def train(options: Options) -> None:
    """Workers of one thread each: on a shared machine they wait for one another once a step, not at every loop."""
    if options.batch % options.workers:
        raise SystemExit("the batch must be a multiple of the workers")
    data.prepare(options.cache)  # before several workers look for it
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    store = options.checkpoint.with_suffix(".store").resolve()
    store.unlink(missing_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    multiprocessing.spawn(_worker, args=(options, str(store)), nprocs=options.workers)
    store.unlink(missing_ok=True)
