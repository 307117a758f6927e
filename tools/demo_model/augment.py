"""Augmentation in batches: premultiplied RGBA boxes -> RGB images on a random background."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def normalize(rgb: torch.Tensor) -> torch.Tensor:
    return (rgb - MEAN) / STD


def _uniform(n: int, low: float, high: float) -> torch.Tensor:
    return torch.rand(n) * (high - low) + low


def _cubic(n: int, limit: float) -> torch.Tensor:
    """Mostly small, sometimes up to the limit."""
    return (torch.rand(n) * 2 - 1) ** 3 * limit


def _geometry(n: int, size: int, strength: float) -> torch.Tensor:
    """Sampling grid [n, size, size, 2]: scale, aspect, rotation, shear, mirror, shift, elastic."""
    angle = _cubic(n, math.radians(34) * strength)
    scale = _uniform(n, 1 - 0.4 * strength, 1 + 0.08 * strength)
    aspect = torch.exp(_uniform(n, -0.16, 0.16) * strength)
    shear = _uniform(n, -0.15, 0.15) * strength
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # The grid maps output to input, so scales are inverted.
    wide, high = mirror / (scale * aspect), aspect / scale
    theta = torch.stack([
        torch.stack([wide * (cos + shear * sin), wide * (sin + shear * cos)], -1),
        torch.stack([-high * sin, high * cos], -1),
    ], 1)
    room = 0.12 * strength + (1 - scale).clamp(min=0)
    shift = torch.stack([_uniform(n, -1, 1) * room, _uniform(n, -1, 1) * room], -1) * 0.7
    theta = torch.cat([theta, -torch.einsum("nij,nj->ni", theta, shift)[..., None]], -1)
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    bend = torch.randn(n, 2, 4, 4) * 0.045 * strength
    bend = F.interpolate(bend, size=(size, size), mode="bilinear", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)


TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
TO_RGB = torch.linalg.inv(TO_YIQ)


def _colour(n: int, strength: float) -> torch.Tensor:
    """[n, 3, 4]: hue, saturation, contrast as a matrix on RGB; brightness on alpha, so it works premultiplied."""
    hue = _cubic(n, 0.7 * strength)
    saturation = torch.exp(_uniform(n, math.log(0.5), math.log(1.4)) * strength)
    saturation = torch.where(torch.rand(n) < 0.08 * strength, torch.zeros(n), saturation)
    contrast = 1 + _uniform(n, -0.3, 0.2) * strength
    chroma = torch.zeros(n, 3, 3)
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * torch.cos(hue)
    chroma[:, 1, 2], chroma[:, 2, 1] = -saturation * torch.sin(hue), saturation * torch.sin(hue)
    matrix = TO_RGB @ chroma @ TO_YIQ * contrast.view(n, 1, 1)
    offset = 0.5 * (1 - contrast) + _uniform(n, -0.1, 0.1) * strength
    return torch.cat([matrix, offset.view(n, 1, 1).expand(n, 3, 1)], -1)


def _background(n: int, size: int, strength: float) -> torch.Tensor:
    """White, almost black or light, one colour, a gradient, or coarse noise."""
    kind = torch.rand(n) * (0.35 + 0.65 * strength)  # mostly white at first
    grid = torch.ones(n, 3, 6, 6)
    colour = torch.rand(n, 3, 1, 1)
    extreme = torch.where(torch.rand(n, 1, 1, 1) < 0.5, colour * 0.2, 1 - colour * 0.2)
    corners = F.interpolate(torch.rand(n, 3, 2, 2), size=(6, 6), mode="bilinear", align_corners=True)
    noise = torch.rand(n, 3, 6, 6) * 0.7 + colour * 0.3
    for low, high, choice in ((0.35, 0.5, extreme), (0.5, 0.65, colour), (0.65, 0.85, corners), (0.85, 2, noise)):
        chosen = ((kind >= low) & (kind < high)).view(n, 1, 1, 1)
        grid = torch.where(chosen, choice.expand_as(grid), grid)
    return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=True)


def _jpeg(rgb: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = (rgb.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255


def augment(boxes: torch.Tensor, size: int, strength: float) -> torch.Tensor:
    """[n, BOX, BOX, 4] uint8 -> [n, 3, size, size] in 0..1. strength: 0 almost plain, 1 full."""
    n = len(boxes)
    rgba = boxes.permute(0, 3, 1, 2).float() / 255
    rgba = F.grid_sample(rgba, _geometry(n, size, strength), mode="bilinear", align_corners=False)
    alpha = rgba[:, 3:]
    flat = torch.bmm(_colour(n, strength), rgba.flatten(2)).view(n, 3, size, size)
    rgb = torch.minimum(flat.clamp(min=0), alpha)
    rgb = rgb + (1 - alpha) * _background(n, size, strength)
    blurred = torch.rand(n) < 0.25 * strength
    if blurred.any():
        rgb[blurred] = F.avg_pool2d(F.pad(rgb[blurred], (1, 1, 1, 1), mode="replicate"), 3, 1)
    noisy = torch.rand(n) < 0.25 * strength
    if noisy.any():
        some = rgb[noisy]
        rgb[noisy] = some + torch.randn_like(some) * _uniform(len(some), 0, 0.08).view(-1, 1, 1, 1)
    rgb = rgb.clamp(0, 1)
    for i in torch.nonzero(torch.rand(n) < 0.1 * strength).flatten().tolist():
        rgb[i] = _jpeg(rgb[i], int(torch.randint(25, 86, ())))
    return rgb


def on_white(boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Plain images on white, resized as a preprocessor would."""
    rgba = boxes.permute(0, 3, 1, 2).float() / 255
    rgb = rgba[:, :3] + (1 - rgba[:, 3:])
    return F.interpolate(rgb, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
