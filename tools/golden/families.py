"""Embeddings of small random models of other families than CLIP, from whole folders: configuration, preprocessing, tokenizer.

The reference of a Hugging Face folder is transformers, that of an open_clip folder open_clip (with timm's towers by their own
names, made small). Weights and crops are those of models.py; tokenizers and their vocabularies are tests/testdata/golden/tokenizers;
images are tests/testdata/images. One <case>.json each: models.py's fields, and
    "tokenizer": {file of the folder: file of golden/tokenizers}; "context", "pad" (the id) and "pad_left" say how the library pads
    "texts": [[text, ids without padding], ...], of which the first have expected["text_embeddings"]
    "image_files": [file of tests/testdata/images, ...] for expected["file_embeddings"]
"""

import functools
import json
import pathlib
import shutil
import tempfile

import open_clip
import timm
import torch
import transformers
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import hard_texts

from . import models

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXTS, EMBEDDED = 200, 40
HALF = (0.5, 0.5, 0.5)


def texts():
    """Short ones of every kind."""
    yield from ("a photo of a cat.", "a Photo of A Dog!", "", " two  spaces_and_underscores ", "caf\u00e9 &amp; th\u00e9", "\u65e5\u672c\u8a9e", "it's 12:30 </s>")
    for i in range(100_000):
        text = hard_texts.one_string("golden families", i)
        # Of special tokens' names in texts open_clip and OpenAI think otherwise; we do as OpenAI does.
        if len(text) <= 20 and "<|" not in text:
            yield text


# Of CoCa, where the token of "!" within a word hides what follows it, and a full text differs; and tokens that pad, spelled within a text.
PADS = ("a <ctrl> cat", "a [PAD] cat", "<ctrl><ctrl>", "[PAD] dog")
MORE_TEXTS = {"open_clip_xlm_roberta": PADS, "open_clip_biomed": PADS} | {name: ("!(a cat", "?!( )!( a !(", " ".join(["a"] * 74), " ".join(["a"] * 73), " ".join(["a"] * 72)) for name in ("open_clip_coca", "open_clip_coca_narrow")}


def image_files() -> list[str]:
    """Some of the plain ones, of all shapes."""
    found = []
    for path in sorted((ROOT / "tests" / "testdata" / "images").iterdir()):
        if path.suffix not in (".jpg", ".png"):
            continue
        try:
            image = Image.open(path)
            image.load()
        except Exception:
            continue
        if image.mode == "RGB" and max(image.size) < 4000:
            found.append(path.name)
    return found[:: max(1, len(found) // 8)][:8]


class Folder:
    """A case's folder, for the libraries to load."""

    def __init__(self, case: models.Case, tokenizer: dict):
        self.temporary = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.temporary.name)
        for name, content in case.files.items():
            (self.path / name).write_text(json.dumps(content))
        for name, source in tokenizer.items():
            shutil.copy(ROOT / "tests" / "testdata" / "golden" / "tokenizers" / source, self.path / name)


class TransformersTokenizer:
    """Ids of a text, not padded."""

    def __init__(self, folder: pathlib.Path, context: int):
        self.tokenizer, self.context = transformers.AutoTokenizer.from_pretrained(folder), context
        self.pad, self.pad_left = self.tokenizer.pad_token_id, self.tokenizer.padding_side == "left"

    def __call__(self, text: str) -> list[int]:
        return self.tokenizer(text).input_ids

    def padded(self, text: str) -> list[int]:
        return self.tokenizer(text, padding="max_length", max_length=self.context).input_ids


class OpenClipTokenizer:
    """The same."""

    def __init__(self, folder: pathlib.Path, context: int):
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", context_length=context)
        self.context, self.pad, self.pad_left = context, 0, False
        self.subwords = isinstance(self.tokenizer, open_clip.tokenizer.HFTokenizer)
        if self.subwords:
            inner = self.tokenizer.tokenizer
            self.pad, self.pad_left = inner.pad_token_id, inner.padding_side == "left"

    def __call__(self, text: str) -> list[int]:
        if not self.subwords:
            return [self.tokenizer.sot_token_id, *self.tokenizer.encode(text), self.tokenizer.eot_token_id]
        ids = self.tokenizer.tokenizer(self.tokenizer.clean_fn(text)).input_ids
        return [0 if self.tokenizer.strip_sep_token and i == self.tokenizer.tokenizer.sep_token_id else i for i in ids]

    def padded(self, text: str) -> list[int]:
        return self.tokenizer(text)[0].tolist()


def siglip_case(name: str, seed: int, tokenizer: dict, tokenizer_config: dict, preprocessor: dict, **config):
    """transformers' SiglipModel."""
    config = transformers.SiglipConfig(**config)
    model = transformers.SiglipModel(config)
    processor = SiglipImageProcessorPil(**preprocessor)
    files = {"config.json": json.loads(config.to_json_string()), "tokenizer_config.json": tokenizer_config,
             "preprocessor_config.json": json.loads(processor.to_json_string())}
    case = models.Case(name, "safetensors", seed, False, model, config.vision_config.image_size,
                       lambda x: models.features(model.get_image_features(pixel_values=x)), lambda ids: models.features(model.get_text_features(input_ids=ids)),
                       files, "model.safetensors", HALF, HALF)
    models.fill(case)
    pixels = lambda image: processor(image, return_tensors="pt").pixel_values[0]
    return case, pixels, tokenizer, TransformersTokenizer, config.text_config.max_position_embeddings


def naflex_case(name: str, seed: int, tokenizer: dict, tokenizer_config: dict, **config):
    """transformers' Siglip2Model."""
    config = transformers.Siglip2Config(**config)
    model = transformers.Siglip2Model(config)
    vision = config.vision_config
    # More patches than the positions are kept for.
    processor = Siglip2ImageProcessorPil(patch_size=vision.patch_size, max_num_patches=2 * vision.num_patches)
    files = {"config.json": json.loads(config.to_json_string()), "tokenizer_config.json": tokenizer_config,
             "preprocessor_config.json": json.loads(processor.to_json_string())}
    size = round(vision.num_patches**0.5) * vision.patch_size

    def encode_image(values):
        """Pixels of squares, or what the processor makes of images."""
        if isinstance(values, torch.Tensor):
            patches = torch.stack([convert_image_to_patches(image, vision.patch_size) for image in values])
            count = patches.shape[:2]
            values = {"pixel_values": patches, "pixel_attention_mask": torch.ones(count, dtype=torch.int32),
                      "spatial_shapes": torch.full((count[0], 2), size // vision.patch_size)}
        return models.features(model.get_image_features(**values))

    case = models.Case(name, "safetensors", seed, False, model, size, encode_image, lambda ids: models.features(model.get_text_features(input_ids=ids)),
                       files, "model.safetensors", HALF, HALF)
    models.fill(case)
    return case, lambda image: dict(processor(image, return_tensors="pt")), tokenizer, TransformersTokenizer, config.text_config.max_position_embeddings


def metaclip2_case(name: str, seed: int, tokenizer: dict, tokenizer_config: dict, **config):
    """transformers' MetaClip2Model."""
    config = transformers.MetaClip2Config(**config)
    model = transformers.MetaClip2Model(config)
    size = config.vision_config.image_size
    processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=size)
    files = {"config.json": json.loads(config.to_json_string()), "tokenizer_config.json": tokenizer_config,
             "preprocessor_config.json": json.loads(processor.to_json_string())}
    case = models.Case(name, "safetensors", seed, False, model, size, lambda x: models.features(model.get_image_features(pixel_values=x)),
                       lambda ids: models.features(model.get_text_features(input_ids=ids)), files, "model.safetensors")
    models.fill(case)
    pixels = lambda image: processor(image, return_tensors="pt").pixel_values[0]
    return case, pixels, tokenizer, TransformersTokenizer, config.text_config.max_position_embeddings


def open_clip_case(name: str, seed: int, trunk: dict, tokenizer: dict, tokenizer_config: dict, preprocess: dict, text_tower=None, **config):
    """open_clip's model of a configuration, with an image tower of timm, if it has one, made small by `trunk`, and with a text tower
    of transformers by the configuration `text_tower`, if there is one, in the place of that which its name has on the hub."""
    create, configured = timm.create_model, transformers.AutoConfig.from_pretrained
    timm.create_model = functools.partial(create, **trunk)
    transformers.AutoConfig.from_pretrained = lambda name: text_tower
    custom = config.pop("custom_text", False)
    make = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP if custom or text_tower else open_clip.CLIP
    try:
        model = make(**config)
    finally:
        timm.create_model, transformers.AutoConfig.from_pretrained = create, configured
    size = config["vision_cfg"]["image_size"]
    model_cfg = config | ({"custom_text": True} if custom else {})
    files = {"open_clip_config.json": {"model_cfg": model_cfg, "preprocess_cfg": preprocess}}
    if tokenizer_config:
        files["tokenizer_config.json"] = tokenizer_config
    case = models.Case(name, "safetensors", seed, True, model, size, model.encode_image, model.encode_text, files, "open_clip_model.safetensors",
                       tuple(preprocess["mean"]), tuple(preprocess["std"]))
    models.fill(case)
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(size=size, **preprocess), is_train=False)
    return case, transform, tokenizer, OpenClipTokenizer, config["text_cfg"]["context_length"]


# Pads in front, unless a file says otherwise.
GEMMA = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
SIGLIP = {"tokenizer_class": "SiglipTokenizer", "do_lower_case": True, "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "model_max_length": 64}
T5 = {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0, "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
SQUASH = {"mean": HALF, "std": HALF, "interpolation": "bicubic", "resize_mode": "squash"}
SIGLIP_VISION = {"timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none"}
SIGLIP_TEXT = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "tokenizer_kwargs": {"clean": "canonicalize"}}


def cases():
    """Each: (models.Case, pixels of a Pillow image, tokenizer files, class of tokenizers, context)."""
    tower = dict(hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4)
    # 14 does not divide 45.
    yield siglip_case("siglip", 31, {"spiece.model": "unigram.model"}, SIGLIP, dict(size={"height": 45, "width": 45}),
                      text_config=tower | dict(vocab_size=1200, max_position_embeddings=64), vision_config=tower | dict(image_size=45, patch_size=14))
    # The text tower has another width, and pads in front.
    yield siglip_case("siglip2", 32, {"tokenizer.json": "gemma.json"}, GEMMA, dict(size={"height": 32, "width": 32}, resample=2),
                      text_config=dict(hidden_size=48, intermediate_size=100, num_hidden_layers=2, num_attention_heads=2, vocab_size=1280, projection_size=64),
                      vision_config=tower | dict(image_size=32, patch_size=16))
    yield open_clip_case("open_clip_siglip", 33, dict(embed_dim=128, depth=2, num_heads=2, img_size=32, mlp_ratio=3.0), {"tokenizer.json": "t5.json"}, T5, SQUASH,
                         embed_dim=128, init_logit_bias=-10, custom_text=True,
                         vision_cfg=dict(image_size=32, timm_model_name="vit_base_patch16_siglip_224", **SIGLIP_VISION),
                         text_cfg=dict(context_length=16, vocab_size=1300, hf_tokenizer_name="timm/ViT-B-16-SigLIP", width=64, heads=2, layers=2, **SIGLIP_TEXT))
    # So400m's heads of 72 and hidden layer of 4304; tanh by the tower's name, and by act_kwargs.
    ratio = 4304 / 144
    yield open_clip_case("open_clip_siglip2", 34, dict(embed_dim=144, depth=2, num_heads=2, img_size=32, mlp_ratio=ratio), {"tokenizer.json": "gemma.json"},
                         GEMMA | {"padding_side": "right"}, SQUASH, embed_dim=144, init_logit_bias=-10, custom_text=True,
                         vision_cfg=dict(image_size=32, timm_model_name="vit_so400m_patch16_siglip_256", **SIGLIP_VISION),
                         text_cfg=dict(context_length=64, vocab_size=1280, hf_tokenizer_name="timm/ViT-SO400M-16-SigLIP2-256", width=144, heads=2, layers=2, mlp_ratio=ratio,
                                       act_kwargs={"approximate": "tanh"}, **SIGLIP_TEXT))
    clip = dict(vocab_size=models.VOCABULARY, width=64, heads=2, layers=2)
    # Rotary positions, and a head that is the trunk's own.
    own_head = {"timm_model_pretrained": False, "timm_proj": None}
    yield open_clip_case("open_clip_pe_core", 35, dict(embed_dim=128, depth=2, num_heads=2, img_size=48, mlp_ratio=2.0, ref_feat_shape=(3, 3)), {}, {},
                         SQUASH | {"interpolation": "bilinear"}, embed_dim=32, custom_text=True,
                         vision_cfg=dict(image_size=48, timm_model_name="vit_pe_core_base_patch16_224", timm_pool="map", **own_head), text_cfg=dict(context_length=32, **clip))
    yield open_clip_case("open_clip_pe_core_bigg", 36, dict(embed_dim=192, depth=2, num_heads=2, img_size=42, mlp_ratio=2.0, ref_feat_shape=(3, 3)), {}, {},
                         SQUASH | {"interpolation": "bilinear"}, embed_dim=32, custom_text=True,
                         vision_cfg=dict(image_size=42, timm_model_name="vit_pe_core_gigantic_patch14_448", timm_pool="map", **own_head), text_cfg=dict(context_length=72, **clip))
    openai = {"mean": models.OPENAI_MEAN, "std": models.OPENAI_STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    yield open_clip_case("open_clip_eva01", 37, dict(embed_dim=176, depth=2, num_heads=2, img_size=28, mlp_ratio=2.0), {}, {}, openai, embed_dim=32, custom_text=True,
                         vision_cfg=dict(image_size=28, timm_model_name="eva_giant_patch14_224", timm_pool="token", **own_head), text_cfg=dict(context_length=77, **clip))
    yield open_clip_case("open_clip_eva02", 38, dict(embed_dim=128, depth=3, num_heads=2, img_size=48), {}, {}, openai, embed_dim=32, custom_text=True,
                         vision_cfg=dict(image_size=48, timm_model_name="eva02_base_patch16_clip_224", timm_pool="token", **own_head), text_cfg=dict(context_length=77, **clip))
    yield open_clip_case("open_clip_mobileclip_b", 39, dict(depth=1, img_size=32, mlp_ratio=0.25), {}, {}, openai | {"mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bilinear"},
                         embed_dim=32, custom_text=True, vision_cfg=dict(image_size=32, timm_model_name="vit_base_mci_224", timm_pool="token", **own_head),
                         text_cfg=dict(context_length=77, **clip))
    yield open_clip_case("open_clip_mobileclip2_l", 40, dict(embed_dim=128, depth=2, num_heads=2, img_size=28), {}, {}, openai, embed_dim=32, custom_text=True,
                         vision_cfg=dict(image_size=28, timm_model_name="vit_large_patch14_clip_224", timm_pool="token", **own_head),
                         text_cfg=dict(context_length=77, no_causal_mask=True, **clip))
    yield open_clip_case("open_clip_metaclip2", 42, {}, {"tokenizer.json": "xlm.json"}, {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<ctrl>"}, openai,
                         embed_dim=32, quick_gelu=True, vision_cfg=dict(image_size=32, layers=2, width=64, head_width=32, patch_size=16),
                         text_cfg=dict(context_length=77, vocab_size=2000, width=64, heads=2, layers=2, hf_tokenizer_name="facebook/xlm-v-base", pool_type="eos", eos_id=2))
    # A head of two layers, biases, and the longest side's resize.
    yield open_clip_case("open_clip_mlp_head", 43, dict(embed_dim=128, depth=2, num_heads=2, img_size=32, mlp_ratio=2.0), {}, {},
                         openai | {"resize_mode": "longest", "fill_color": 90}, embed_dim=32, custom_text=True,
                         vision_cfg=dict(image_size=32, timm_model_name="vit_base_patch16_siglip_224", timm_model_pretrained=False, timm_pool="map", timm_proj="mlp", timm_proj_bias=True),
                         text_cfg=dict(context_length=77, proj_bias=True, **clip))
    yield metaclip2_case("metaclip2", 44, {"tokenizer.json": "xlm.json"}, {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<pad>"}, projection_dim=32,
                         text_config=dict(hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=2, vocab_size=2000, eos_token_id=2, projection_dim=32),
                         vision_config=dict(hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16, projection_dim=32))
    # A pooler as wide as the image tower's embedding, and a text tower's own class token.
    for name, seed, width in (("open_clip_coca", 45, 64), ("open_clip_coca_narrow", 46, 32)):
        yield open_clip_case(name, seed, {}, {}, {}, openai, embed_dim=32, custom_text=True,
                             vision_cfg=dict(image_size=32, layers=2, width=width, head_width=16, patch_size=16, attentional_pool=True, attn_pooler_queries=6, attn_pooler_heads=4, output_tokens=True),
                             text_cfg=dict(context_length=76, embed_cls=True, output_tokens=True, **clip),
                             multimodal_cfg=dict(context_length=76, vocab_size=300, width=32, heads=2, layers=1, attn_pooler_heads=2))
    # Text towers of Hugging Face, whose padding is masked.
    bert = dict(hidden_size=128, intermediate_size=160, num_hidden_layers=3, num_attention_heads=2, vocab_size=2000)
    yield open_clip_case("open_clip_xlm_roberta", 48, {}, {"tokenizer.json": "xlm.json"}, {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<ctrl>"}, openai,
                         transformers.XLMRobertaConfig(max_position_embeddings=90, type_vocab_size=1, pad_token_id=3, layer_norm_eps=1e-5, **bert), embed_dim=48,
                         vision_cfg=dict(image_size=32, layers=2, width=64, head_width=32, patch_size=16),
                         text_cfg=dict(context_length=77, hf_model_name="xlm-roberta-base", hf_tokenizer_name="xlm-roberta-base", hf_model_pretrained=False, hf_pooler_type="mean_pooler"))
    yield open_clip_case("open_clip_biomed", 49, dict(embed_dim=128, depth=2, num_heads=2, img_size=32, mlp_ratio=2.0), {"tokenizer.json": "bert.json"},
                         {"tokenizer_class": "BertTokenizer"}, openai, transformers.BertConfig(max_position_embeddings=64, pad_token_id=0, **bert), embed_dim=32,
                         vision_cfg=dict(image_size=32, timm_model_name="vit_base_patch16_224", timm_model_pretrained=False, timm_pool="", timm_proj="linear"),
                         text_cfg=dict(context_length=60, hf_model_name="microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract", hf_model_pretrained=False,
                                       hf_tokenizer_name="microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract", hf_proj_type="linear", hf_pooler_type="cls_last_hidden_state_pooler"))
    # Its class of tokenizer counts, not the one that the file names.
    yield naflex_case("siglip2_naflex", 47, {"tokenizer.json": "gemma.json"}, GEMMA | {"padding_side": "right"},
                      text_config=tower | dict(vocab_size=1280, max_position_embeddings=64), vision_config=tower | dict(patch_size=8, num_patches=16))
    yield open_clip_case("open_clip_clipa", 41, {}, {"tokenizer.json": "bert.json"}, {"tokenizer_class": "BertTokenizer"},
                         openai | {"interpolation": "bilinear", "resize_mode": "squash"}, embed_dim=32,
                         vision_cfg=dict(image_size=32, layers=2, width=64, head_width=32, patch_size=16, no_ln_pre=True, pool_type="avg", final_ln_after_pool=True),
                         text_cfg=dict(context_length=32, vocab_size=2000, width=64, heads=2, layers=2, hf_tokenizer_name="bert-base-uncased",
                                       tokenizer_kwargs={"strip_sep_token": True}, pool_type="last", no_causal_mask=True))


def make(out_dir: pathlib.Path) -> None:
    files = image_files()
    for case, pixels, tokenizer_files, tokenizer, context in cases():
        folder = Folder(case, tokenizer_files)
        encode = tokenizer(folder.path, context)
        tokens = []
        for text in (*MORE_TEXTS.get(case.name, ()), *texts()):
            ids = encode(text)
            if len(ids) > context:
                continue
            padding = [encode.pad] * (context - len(ids))
            assert encode.padded(text) == (padding + ids if encode.pad_left else ids + padding), (case.name, text)
            tokens.append([text, ids])
            if len(tokens) == TEXTS:
                break
        crops = torch.stack([torch.from_numpy(models.random_crop(100 + i, case.image_size)) for i in range(models.CROPS)])
        values = crops.permute(0, 3, 1, 2).contiguous().float().div(255)
        values = values.sub(torch.tensor(case.mean).view(3, 1, 1)).div(torch.tensor(case.std).view(3, 1, 1))
        pictures = [pixels(Image.open(ROOT / "tests" / "testdata" / "images" / name)) for name in files]
        pictures = {key: torch.cat([one[key] for one in pictures]) for key in pictures[0]} if isinstance(pictures[0], dict) else torch.stack(pictures)
        with torch.no_grad():
            images, seen = models.unit(case.encode_image(values)), models.unit(case.encode_image(pictures))
            encoded = models.unit(case.encode_text(torch.tensor([encode.padded(text) for text, _ in tokens[:EMBEDDED]])))
            scale = case.model.logit_scale.exp().reshape(())
            bias = getattr(case.model, "logit_bias", None)
            logits = scale * images @ encoded.T
            probabilities = logits.softmax(dim=-1) if bias is None else (logits + bias).sigmoid()
        golden = {"format": case.format, "seed": case.seed, "half": case.half, "image_size": case.image_size, "files": case.files, "weights_file": case.weights,
                  "tokenizer": tokenizer_files, "context": context, "pad": encode.pad, "pad_left": encode.pad_left,
                  "tensors": [[name, list(tensor.shape)] for name, tensor in case.model.state_dict().items() if tensor.is_floating_point()],
                  "crop_seeds": [100 + i for i in range(models.CROPS)], "texts": tokens, "image_files": files,
                  "expected": {"logit_scale": scale.item(), "logit_bias": None if bias is None else bias.item(), "image_embeddings": models.rows(images),
                               "file_embeddings": models.rows(seen), "text_embeddings": models.rows(encoded), "probabilities": models.rows(probabilities)}}
        line = json.dumps(golden, separators=(",", ":"))
        (out_dir / f"{case.name}.json").write_text(line + "\n")
        print(f"  {case.name}: {len(line)} bytes, {len(tokens)} texts, probabilities {probabilities.min():.2g} to {probabilities.max():.2g}")
