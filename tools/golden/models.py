"""Embeddings, weight sets and probabilities of small random models.

Runs the reference implementation of each checkpoint format (clip-anytorch for
OpenAI's, transformers, open_clip) in fp32 on the CPU. Weights and crops are
hashes of a seed, the same here and in tests/testing/random_tensors.cc, so that
only what the references made of them is written: one <case>.json each, with
the names and shapes of the reference's own state dict, its configuration
files, token sequences, and the expected numbers.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import clip.model
import numpy as np
import open_clip
import torch
import transformers

CONTEXT = 77
VOCABULARY = 49408
START, END = 49406, 49407
CROPS = 5
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashes(seed: int, name: str, counters: np.ndarray) -> np.ndarray:
    fnv = 0xCBF29CE484222325
    for byte in name.encode():
        fnv = (fnv ^ byte) * 0x100000001B3 % 2**64
    key = mix(np.array([seed ^ fnv], np.uint64))
    return mix(key + (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


def value_range(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Offset and scale; see RangeOf in tests/testing/random_tensors.cc."""
    if name.endswith("logit_bias"):
        return -10, 0.01
    if not shape or name.endswith("logit_scale"):
        return 4.6, 0.01
    if len(shape) == 1:
        for end, found in (("bias", (0, 0.1)), ("running_mean", (0, 0.1)), ("running_var", (1, 0.5)),
                           ("embedding", (0, 0.5))):
            if name.endswith(end):
                return found
        return 1, 0.2
    if len(shape) == 2 and "embedding" in name:
        return 0, 0.5
    fan_in = shape[0] if name in ("text_projection", "visual.proj") else int(np.prod(shape[1:]))
    return 0, np.sqrt(3.0 / fan_in)


def random_tensor(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    offset, scale = value_range(name, shape)
    bits = hashes(seed, name, np.arange(int(np.prod(shape)))) >> np.uint64(40)
    u = bits.astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return (np.float32(offset) + np.float32(scale) * u).reshape(shape)


def random_crop(seed: int, size: int) -> np.ndarray:
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    tile = hashes(seed, "tiles", ((y // 8) * size + x // 8) * 3 + c) >> np.uint64(56)
    grain = hashes(seed, "noise", (y * size + x) * 3 + c) >> np.uint64(56)
    return ((np.uint64(3) * tile + grain) // np.uint64(4)).astype(np.uint8)


def token_sequences() -> list[list[int]]:
    """Of all lengths up to the context, one twice, one with the end token inside."""
    def words(name: str, count: int) -> list[int]:
        return [int(h % np.uint64(START)) for h in hashes(0, name, np.arange(count))]

    sequences = [[START, *words(f"words {count}", count), END] for count in (5, 5, 3, 1, 9, 20, 41, 75, 75)]
    sequences[8][1:-1] = words("other words", 75)
    return sequences + [[START, END], [START, *words("cut", 6), END, *words("behind", 5), END]]


# A class is the token sequences of its prompts.
CLASSES = [[0, 2], [3], [4, 5, 6], [7], [8, 9], [10]]


@dataclasses.dataclass
class Case:
    name: str
    format: str  # torchscript, state_dict, safetensors, shards
    seed: int
    half: bool
    model: torch.nn.Module
    image_size: int
    encode_image: Callable
    encode_text: Callable
    files: dict = dataclasses.field(default_factory=dict)  # configuration by file name
    weights: str = ""  # the safetensors' file name
    mean: tuple = OPENAI_MEAN
    std: tuple = OPENAI_STD


def openai_case(name: str, format: str, seed: int, half: bool, **shape) -> Case:
    model = clip.model.CLIP(context_length=CONTEXT, vocab_size=VOCABULARY, **shape)
    case = Case(name, format, seed, half, model, shape["image_resolution"], None, None)
    fill(case)
    # The reference's way from a state dict to a model: it infers the shape and
    # rounds to float16, then the CPU computes in float32.
    rebuilt = clip.model.build_model(dict(model.state_dict())).float() if half else model
    case.encode_image, case.encode_text = rebuilt.encode_image, rebuilt.encode_text
    return case


def hugging_face_case(name: str, format: str, seed: int, half: bool, mean=OPENAI_MEAN, std=OPENAI_STD,
                      **config) -> Case:
    config = transformers.CLIPConfig(**config)
    size = config.vision_config.image_size
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size, image_mean=list(mean),
                                                image_std=list(std))
    model = transformers.CLIPModel(config)
    files = {"config.json": json.loads(config.to_json_string()),
             "preprocessor_config.json": json.loads(processor.to_json_string())}
    case = Case(name, format, seed, half, model, size, lambda x: features(model.get_image_features(pixel_values=x)),
                lambda ids: features(model.get_text_features(input_ids=ids)), files, "model.safetensors", mean, std)
    fill(case)
    return case


def features(output) -> torch.Tensor:
    """get_*_features returns a tensor or, since transformers 5, an output with it."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def open_clip_case(name: str, seed: int, half: bool, mean, std, **config) -> Case:
    model = open_clip.CLIP(**config)
    files = {"open_clip_config.json": {"model_cfg": config, "preprocess_cfg": {
        "mean": list(mean), "std": list(std), "interpolation": "bicubic", "resize_mode": "shortest"}}}
    case = Case(name, "safetensors", seed, half, model, config["vision_cfg"]["image_size"], model.encode_image,
                model.encode_text, files, "open_clip_model.safetensors", mean, std)
    fill(case)
    return case


def fill(case: Case) -> None:
    """Gives the model its random weights."""
    state = case.model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            values = torch.from_numpy(random_tensor(case.seed, name, tuple(tensor.shape)))
            state[name] = values.half().float() if case.half else values
    case.model.load_state_dict(state, strict=True)
    case.model.eval()


def cases() -> list[Case]:
    text = dict(hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4)
    return [
        openai_case("openai_vit", "torchscript", 11, True, embed_dim=64, image_resolution=32, vision_layers=3,
                    vision_width=128, vision_patch_size=8, transformer_width=64, transformer_heads=1,
                    transformer_layers=3),
        openai_case("openai_resnet", "state_dict", 12, False, embed_dim=48, image_resolution=96,
                    vision_layers=(2, 1, 3, 1), vision_width=16, vision_patch_size=None, transformer_width=64,
                    transformer_heads=1, transformer_layers=2),
        hugging_face_case("hugging_face_quick_gelu", "safetensors", 13, False, projection_dim=56, text_config=text,
                          vision_config=dict(hidden_size=96, intermediate_size=200, num_hidden_layers=3,
                                             num_attention_heads=3, image_size=48, patch_size=16)),
        hugging_face_case("hugging_face_gelu_sharded", "shards", 14, True, mean=(0.5, 0.4, 0.6), std=(0.5, 0.25, 0.3),
                          projection_dim=32,
                          text_config=text | dict(hidden_act="gelu", layer_norm_eps=1e-6, eos_token_id=2),
                          vision_config=dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2,
                                             num_attention_heads=4, image_size=40, patch_size=10, hidden_act="gelu",
                                             layer_norm_eps=1e-6)),
        open_clip_case("open_clip_vit_gelu", 15, True, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), embed_dim=40,
                       vision_cfg=dict(image_size=32, layers=3, width=96, head_width=32, patch_size=16, mlp_ratio=3.0),
                       text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=64, heads=2, layers=3)),
        open_clip_case("open_clip_both_ways", 17, False, OPENAI_MEAN, OPENAI_STD, embed_dim=40,
                       vision_cfg=dict(image_size=32, layers=2, width=64, head_width=32, patch_size=16),
                       text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=64, heads=2, layers=3,
                                     no_causal_mask=True)),
        open_clip_case("open_clip_resnet", 16, False, OPENAI_MEAN, OPENAI_STD, embed_dim=64, quick_gelu=True,
                       vision_cfg=dict(image_size=64, layers=[1, 2, 1, 2], width=16, patch_size=None),
                       text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=64, heads=1, layers=2)),
    ]


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def expected(case: Case) -> dict:
    crops = torch.stack([torch.from_numpy(random_crop(100 + i, case.image_size)) for i in range(CROPS)])
    # torchvision's ToTensor and Normalize.
    pixels = crops.permute(0, 3, 1, 2).contiguous().float().div(255)
    pixels = pixels.sub(torch.tensor(case.mean).view(3, 1, 1)).div(torch.tensor(case.std).view(3, 1, 1))
    sequences = token_sequences()
    ids = torch.tensor([sequence + [0] * (CONTEXT - len(sequence)) for sequence in sequences])
    with torch.no_grad():
        images, texts = unit(case.encode_image(pixels)), unit(case.encode_text(ids))
        weights = torch.stack([unit(texts[rows].mean(dim=0)) for rows in CLASSES])
        scale = case.model.logit_scale.exp()
        probabilities = (scale * images @ weights.T).softmax(dim=-1)
    top = probabilities.sort(dim=-1, descending=True).values
    assert (top[:, 0] - top[:, 1]).min() > 0.01, f"{case.name}: the best class is a matter of rounding"
    return {"logit_scale": scale.item(), "image_embeddings": rows(images), "text_embeddings": rows(texts),
            "weights": rows(weights), "probabilities": rows(probabilities)}


def rows(matrix: torch.Tensor) -> list[list[float]]:
    return [[float(f"{x:.8g}") for x in row] for row in matrix.tolist()]


def make(out_dir: pathlib.Path) -> None:
    for case in cases():
        golden = {"format": case.format, "seed": case.seed, "half": case.half, "image_size": case.image_size,
                  "files": case.files, "weights_file": case.weights,
                  "tensors": [[name, list(tensor.shape)] for name, tensor in case.model.state_dict().items()
                              if tensor.is_floating_point()],
                  "crop_seeds": [100 + i for i in range(CROPS)], "sequences": token_sequences(),
                  "classes": CLASSES, "expected": expected(case)}
        text = json.dumps(golden, separators=(",", ":"))
        (out_dir / f"{case.name}.json").write_text(text + "\n")
        print(f"  {case.name}: {len(text)} bytes, best probabilities "
              f"{[round(max(row), 3) for row in golden['expected']['probabilities']]}")
