#!/usr/bin/env python3
"""Which of the models that people know load: all of open_clip's pretrained tags, and Hugging Face's model types.

    .cache/golden/bin/python tools/coverage.py build/release/server/zeroshot_server            # prints the table of docs/models.md
    .cache/golden/bin/python tools/coverage.py build/release/server/zeroshot_server --write    # and puts it there

No weights are needed. The configurations are those of the pinned packages, the names and shapes of tensors those of their models on
torch's "meta" device; files of weights are headers with holes behind them. `zeroshot_server --check` says what it thinks of each.
Tokenizers are the small ones of tests/testdata/golden, in the places of those that the configurations name.
"""

import argparse
import collections
import copy
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import open_clip
import torch
import transformers
from open_clip import pretrained

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENIZERS = ROOT / "tests/testdata/golden/tokenizers"
DOCUMENT = ROOT / "docs/models.md"
BEGIN, END = "<!-- tools/coverage.py writes from here -->", "<!-- to here -->"
GEMMA = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "padding_side": "right"}
SIGLIP = {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>"}
T5 = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "</s>"}
# Where a tokenizer's name has this in it: (its configuration, file of the folder, file of ours).
KINDS = (("SigLIP2", GEMMA, "tokenizer.json", "gemma.json"), ("SigLIP", T5, "tokenizer.json", "t5.json"), ("bert-base", {"tokenizer_class": "BertTokenizer"}, "tokenizer.json", "bert.json"),
         ("xlm-", {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<ctrl>"}, "tokenizer.json", "xlm.json"),
         ("roberta-base", {"tokenizer_class": "RobertaTokenizer"}, "tokenizer.json", "xlm.json"))
# What the hub says of text towers. The token that pads is 1 there, and 3 in our small tokenizer, whose positions begin behind it.
BASE = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, type_vocab_size=1, pad_token_id=1)
LARGE = BASE | dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
TEXT_TOWERS = {"xlm-roberta-base": ("xlm-roberta", BASE | dict(vocab_size=250002, max_position_embeddings=514)),
               "xlm-roberta-large": ("xlm-roberta", LARGE | dict(vocab_size=250002, max_position_embeddings=514)),
               "roberta-base": ("roberta", BASE | dict(vocab_size=50265, max_position_embeddings=514))}


def text_tower(name: str):
    kind, sizes = TEXT_TOWERS[name]
    return transformers.AutoConfig.for_model(kind, **sizes)


def write_weights(path: pathlib.Path, state: dict) -> None:
    header, end = {}, 0
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        begin, end = end, end + 4 * math.prod(tensor.shape)
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def write_tokenizer(folder: pathlib.Path, name: str) -> None:
    for part, config, file, source in KINDS:
        if part in name:
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
            (folder / file).write_bytes((TOKENIZERS / source).read_bytes())
            return


def check(server: pathlib.Path, folder: pathlib.Path) -> str:
    """Empty if it loads, else why it does not."""
    ran = subprocess.run([server, "--check", f"--model={folder}"], capture_output=True, text=True, timeout=300)
    if ran.returncode == 0:
        return ""
    return ran.stderr.strip().splitlines()[-1].split(f"'{folder.name}': ")[-1]


def open_clip_reason(server: pathlib.Path, config: dict, preprocess: dict) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "model"
        folder.mkdir()
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
        write_tokenizer(folder, config["text_cfg"].get("hf_tokenizer_name") or "")
        state = {"nothing": torch.empty(1)}
        # Other towers of Hugging Face would be asked of the hub; their configuration is refused as it is.
        tower = config["text_cfg"].get("hf_model_name")
        if tower is None or tower in TEXT_TOWERS:
            make = copy.deepcopy(config)
            if tower:
                make["text_cfg"]["hf_model_pretrained"] = False
            custom = make.pop("custom_text", False) or tower is not None
            kind = open_clip.CoCa if "multimodal_cfg" in make else open_clip.CustomTextCLIP if custom else open_clip.CLIP
            with torch.device("meta"):
                state = kind(**make).state_dict()
        write_weights(folder / "open_clip_model.safetensors", state)
        return check(server, folder)


def hugging_face_reason(server: pathlib.Path, model_type: str) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "model"
        folder.mkdir()
        config = transformers.AutoConfig.for_model(model_type)
        with torch.device("meta"):
            model = transformers.AutoModel.from_config(config)
        (folder / "config.json").write_text(config.to_json_string())
        write_weights(folder / "model.safetensors", model.state_dict())
        if model_type == "metaclip_2":
            write_tokenizer(folder, "xlm-")
        elif model_type == "siglip2":
            write_tokenizer(folder, "SigLIP2")
        elif model_type == "siglip":
            (folder / "tokenizer_config.json").write_text(json.dumps(SIGLIP))
            (folder / "spiece.model").write_bytes((TOKENIZERS / "unigram.model").read_bytes())
        return check(server, folder)


def family(model: str) -> str:
    """A line of the table: the models of one kind, whatever their size."""
    for pattern, name in ((r"SigLIP2", "SigLIP 2"), (r"nllb", "NLLB-CLIP"), (r"SigLIP", "SigLIP"), (r"PE-Core", "PE-Core"), (r"MobileCLIP2?-(B|L)", "MobileCLIP-B, MobileCLIP2-B and -L"),
                          (r"MobileCLIP", "MobileCLIP S"), (r"CLIPA", "CLIPA"), (r"coca", "CoCa"), (r"EVA01", "EVA01-CLIP"), (r"EVA02-E", "EVA02-CLIP E"), (r"EVA02", "EVA02-CLIP B and L"),
                          (r"convnext", "ConvNeXt"), (r"ViTamin", "ViTamin"), (r"worldwide", "MetaCLIP 2"), (r"roberta", "CLIP with a RoBERTa text tower"), (r"^RN", "CLIP ResNet"), (r"^ViT", "CLIP ViT")):
        if re.search(pattern, model):
            return name
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", type=pathlib.Path, help="the built zeroshot_server")
    parser.add_argument("--write", action="store_true", help="put the table into docs/models.md")
    parser.add_argument("--only", default="", help="models whose names have this in them")
    args = parser.parse_args()
    transformers.AutoConfig.from_pretrained = text_tower
    known, rows, loaded = {}, collections.defaultdict(list), 0
    tags = [(model, tag) for model, tag in open_clip.list_pretrained() if args.only in model]
    for model, tag in tags:
        config = open_clip.get_model_config(model)
        found = pretrained.get_pretrained_cfg(model, tag)
        preprocess = {key: found[key] for key in ("mean", "std", "interpolation", "resize_mode") if found.get(key) is not None}
        key = json.dumps([config, preprocess], sort_keys=True)
        if key not in known:
            known[key] = open_clip_reason(args.server, config, preprocess)
            print(f"{model} {tag}: {known[key] or 'loads'}", file=sys.stderr, flush=True)
        rows[family(model)].append((model, known[key]))
        loaded += not known[key]
    lines = [f"{loaded} of open_clip's {len(tags)} pretrained tags load.", "", "| open_clip's | tags that load | why others do not |", "|---|---|---|"]
    for name, found in sorted(rows.items(), key=lambda row: (-sum(not why for _, why in row[1]), row[0])):
        reasons = sorted({re.sub(r" \({.*?\.\.\.\)", "", why) for _, why in found if why})
        lines.append(f"| {name} | {sum(not why for _, why in found)} of {len(found)} | {'; '.join(reasons[:1])} |")
    lines += ["", "| Hugging Face's `model_type` | |", "|---|---|"]
    for model_type in ("clip", "metaclip_2", "siglip", "siglip2") if not args.only else ():
        lines.append(f"| `{model_type}` | {hugging_face_reason(args.server, model_type) or 'loads'} |")
    table = "\n".join(lines) + "\n"
    print(table)
    if args.write:
        before, rest = DOCUMENT.read_text().split(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
