#!/usr/bin/env python3
"""Writes the seeds in tests/fuzz/seeds/: sound small inputs for each fuzzer.

    tools/make_fuzz_seeds.py

Files whose name begins with "found-" are inputs that a fuzzer once failed on;
they stay as they are.
"""
import hashlib
import json
import pathlib
import struct

SEEDS = pathlib.Path(__file__).resolve().parent.parent / "tests/fuzz/seeds"


def write(fuzzer, name, content):
    folder = SEEDS / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)


# --- Tokenizer ---------------------------------------------------------------

def tokenizer():
    texts = {
        "plain": "a photo of a cat.",
        "words": "it's 2 o'clock, we'll see 1,234 <|startoftext|> x <|endoftext|>",
        "unicode": "Käse, 猫, кот, ΣΊΣΥΦΟΣ, İstanbul, e\u0301 ﬁ ｆｕｌｌ \u200d🐈‍⬛",
        "mojibake": "schÃ¶n â€œquotedâ€\x9d lâ€™humanitÃ©",
        "html": "&lt;b&gt; &amp;amp;amp; &#128008; &#x1F408; &notit; &nGt;",
        "space": "\t a\u00a0b\u3000c \r\n \u2028 d",
        "controls": "\x1b[31mred\x1b[0m \x00\x07\ufeff",
    }
    for name, text in texts.items():
        write("tokenizer", name, text)
    write("tokenizer", "latin1", "schön".encode("latin-1"))
    write("tokenizer", "surrogate", b"a \xed\xa0\x80 b")


def part(number, value):
    """Of a protobuf message: bytes, a float or a small number."""
    if isinstance(value, bytes):
        return bytes([number << 3 | 2, len(value)]) + value
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    key = number << 3
    return (bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])) + bytes([value])


def sentencepiece_model(kind, pieces, byte_fallback=False, normalizer=b""):
    model = b"".join(part(1, part(1, text.encode()) + part(2, score) + part(3, of_type)) for text, score, of_type in pieces)
    return model + part(2, part(3, kind) + part(35, int(byte_fallback))) + part(3, normalizer)


def subword_tokenizer():
    def seed(name, reader, text, file):
        text = text.encode()
        write("subword_tokenizer", name, bytes([reader, len(text)]) + text + (file if isinstance(file, bytes) else file.encode()))

    pieces = [("<unk>", 0.0, 2), ("</s>", 0.0, 3), ("\u2581", -1.0, 1), ("a", -2.0, 1), ("b", -2.5, 1), ("ab", -2.75, 1), ("\u2581ab", -3.0, 1), ("ba", -3.0, 5), ("<b>", 0.0, 4)]
    some_bytes = [(f"<0x{i:02X}>", 0.0, 6) for i in range(256)]
    seed("unigram", 0, "abba ab <b>x\u6f22", sentencepiece_model(1, pieces))
    seed("siglip", 1, "A_b! abba </s> x", sentencepiece_model(1, pieces))
    seed("bpe", 0, "abba ab <b>x\u6f22", sentencepiece_model(2, pieces + some_bytes, True, part(3, 0) + part(4, 0)))
    seed("wordpiece", 2, "a ab. \u6f22 c", "[UNK]\n[CLS]\n[SEP]\na\n##b\n.\n")
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}
    seed("json_unigram", 3, "ab  ab x", json.dumps({
        "added_tokens": [{"id": 1, "content": "</s>", "lstrip": True, "rstrip": True, "normalized": False}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]},
        "pre_tokenizer": metaspace, "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
                                                       "special_tokens": {"</s>": {"ids": [1]}}},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [[text, score] for text, score, _ in pieces]}}))
    seed("json_bpe", 4, "abba", json.dumps({
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"},
        "model": {"type": "BPE", "unk_token": "?", "fuse_unk": True, "byte_fallback": True, "vocab": {"?": 0, "a": 1, "b": 2, "ab": 3, "abb": 4, "<0x20>": 5},
                  "merges": ["a b", ["ab", "b"]]}}))
    seed("json_bert", 3, "A \u00e9b\u6f22.", json.dumps({
        "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "cls": ["a", 1], "sep": ["a", 1]},
        "model": {"type": "WordPiece", "unk_token": "?", "vocab": {"?": 0, "a": 1, "##b": 2}}}))


# --- Safetensors ---------------------------------------------------------------

def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    write("safetensors", "two", safetensors_bytes(
        {"__metadata__": {"format": "pt"}, "w": tensor("F32", [2, 2], 0, 16),
         "b": tensor("BF16", [3], 16, 22)}, bytes(range(22))))
    write("safetensors", "empty_tensor", safetensors_bytes(
        {"w": tensor("I64", [0, 1 << 40], 0, 0)}))
    write("safetensors", "none", safetensors_bytes({}))
    write("safetensors", "all_types", safetensors_bytes(
        {name: tensor(name, [], i * 8, i * 8 + 8) if name in ("F64", "I64")
         else tensor(name, [8 // size], i * 8, i * 8 + 8)
         for i, (name, size) in enumerate(
             {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4,
              "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}.items())}, bytes(80)))


def weight_set_files():
    rows = struct.pack("<4f", 1, 0, 0.6, 0.8)
    write("npy", "safetensors", safetensors_bytes({"weights": tensor("F32", [2, 2], 0, 16)}, rows))
    metadata = {"labels": json.dumps(["a", "b", "a"]), "model_fingerprint": "model"}
    write("npy", "labels", safetensors_bytes(
        {"__metadata__": metadata, "w": tensor("F64", [2, 3], 0, 48)}, struct.pack("<6d", 1, 0, 0.6, 0, 1, 0.8)))
    metadata |= {"labels": json.dumps(["a"]), "background": json.dumps(["b", "c"]), "temperature": "2",
                 "min_probabilities": "[0.5]", "groups": json.dumps(["g"])}
    write("npy", "decisions", safetensors_bytes(
        {"__metadata__": metadata, "w": tensor("F64", [2, 3], 0, 48)}, struct.pack("<6d", 1, 0, 0.6, 0, 1, 0.8)))
    write("npy", "scalar", b"\x93NUMPY\x01\x00\x38\x00"
          + b"{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n" + rows[:4])


# --- Pickles as PyTorch writes them --------------------------------------------

def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integers(values):
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def pickled_tensor(shape, strides=None, offset=0, storage="FloatStorage"):
    if strides is None:
        strides, step = [], 1
        for side in reversed(shape):
            strides.insert(0, step)
            step = min(step * max(side, 1), 2**31 - 1)
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
            b"ctorch\n" + storage.encode() + b"\n" + text("0") + text("cpu") +
            b"J" + struct.pack("<i", 16) + b"tQJ" +
            struct.pack("<i", offset) + integers(shape) + integers(strides) +
            b"\x89ccollections\nOrderedDict\n)RtR")


def pickled_dict(entries):
    return b"}(" + b"".join(text(k) + v for k, v in entries.items()) + b"u"


def module(name, entries):
    return (b"c__torch__\n" + name.encode() + b"\n)\x81" +
            pickled_dict(entries) + b"b")


def pickle(value):
    return b"\x80\x02" + value + b"."


def pt_files():
    write("pt_file", "state_dict", pickle(pickled_dict(
        {"module.w": pickled_tensor([2, 3]),
         "module.b": pickled_tensor([2, 2], [1, 2], 4, "HalfStorage")})))
    write("pt_file", "training", pickle(pickled_dict(
        {"epoch": b"K\x07", "lr": b"G" + bytes(8),
         "state_dict": pickled_dict({"w": pickled_tensor([16])})})))
    write("pt_file", "torchscript", pickle(module("CLIP", {
        "training": b"\x89", "scale": pickled_tensor([]),
        "visual": module("Visual", {"proj": pickled_tensor([4, 2])})})))
    write("pt_file", "memo", pickle(
        b"\x8c\x01a\x94\x8c\x01b\x94\x93q\x01h\x01]q\x02(K\x01M\x02\x01"
        b"\x8a\x02\x00\xffe0h\x02\x85\x860(N\x88\x891}"))


# --- Whole checkpoints ----------------------------------------------------------

HUGGING_FACE = {
    "model_type": "clip", "projection_dim": 2,
    "vision_config": {"hidden_size": 2, "num_hidden_layers": 1, "patch_size": 2,
                      "image_size": 4, "num_attention_heads": 1,
                      "intermediate_size": 2, "hidden_act": "gelu"},
    "text_config": {"hidden_size": 2, "num_hidden_layers": 1, "vocab_size": 49408,
                    "num_attention_heads": 1, "intermediate_size": 2,
                    "max_position_embeddings": 77, "layer_norm_eps": 1e-5},
    "text_config_dict": None}
PREPROCESSOR = {"do_resize": True, "size": {"shortest_edge": 4}, "resample": 3,
                "crop_size": {"height": 4, "width": 4}, "rescale_factor": 1 / 255,
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
OPEN_CLIP = {
    "model_cfg": {"embed_dim": 2, "quick_gelu": True,
                  "vision_cfg": {"image_size": 4, "layers": 1, "width": 64,
                                 "patch_size": 2, "mlp_ratio": 4.0},
                  "text_cfg": {"context_length": 77, "vocab_size": 49408,
                               "width": 64, "heads": 1, "layers": 1}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
                       "interpolation": "bicubic", "resize_mode": "shortest"}}
OPEN_CLIP_RESNET = {
    "model_cfg": {"embed_dim": 2,
                  "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1],
                                 "width": 64, "patch_size": None},
                  "text_cfg": {"width": 64, "heads": 1, "layers": 1}}}


def checkpoints():
    header = json.dumps({"logit_scale": tensor("F32", [0], 0, 0)})
    write("checkpoint", "hugging_face", "h" + "\0".join(
        [json.dumps(HUGGING_FACE), json.dumps(PREPROCESSOR), header]))
    write("checkpoint", "open_clip",
          "o" + "\0".join([json.dumps(OPEN_CLIP), header]))
    write("checkpoint", "open_clip_resnet",
          "o" + "\0".join([json.dumps(OPEN_CLIP_RESNET), header]))
    config = json.dumps(HUGGING_FACE)
    index = json.dumps({"metadata": {"total_size": 0}, "weight_map": {
        "logit_scale": "model-00001-of-00002.safetensors",
        "text_projection.weight": "model-00002-of-00002.safetensors"}})
    second = json.dumps({"text_projection.weight": tensor("F32", [2, 0], 0, 0)})
    write("checkpoint", "shards", "s" + "\0".join([config, index, header, second]))
    write("checkpoint", "shards_that_are_elsewhere",
          "s" + "\0".join([config, index.replace("model-00002-of-00002", "../h/model"), header, second]))
    write("checkpoint", "hugging_face_bin", b"b" + config.encode() + b"\0" + pickle(pickled_dict(
        {"logit_scale": pickled_tensor([0])})))
    processor = json.dumps({"image_processor": PREPROCESSOR, "processor_class": "CLIPProcessor"})
    for name, tokenizer_class in (("tokenizer", "CLIPTokenizerFast"), ("another_tokenizer", "BertTokenizer")):
        write("checkpoint", name, "t" + "\0".join(
            [config, processor, json.dumps({"tokenizer_class": tokenizer_class}),
             json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}}), header]))
    siglips()
    # No bytes: one side of each is 0.
    text_tower = {
        "text_projection": [0, 2], "positional_embedding": [77, 0],
        "token_embedding.weight": [49408, 0], "ln_final.weight": [64, 0],
        "transformer.resblocks.0.mlp.c_fc.bias": [0]}
    # The second one's image has a side of 2^36.
    for name, patch, rows in (("openai_vit", 32, 50),
                              ("openai_huge_image", 1 << 24, 4095 * 4095 + 1)):
        write("checkpoint", name, b"p" + pickle(pickled_dict({
            tensor_name: pickled_tensor(shape) for tensor_name, shape in {
                "visual.proj": [0, 2], "visual.conv1.weight": [64, 3, 0, patch],
                "visual.positional_embedding": [rows, 0],
                "visual.transformer.resblocks.0.mlp.c_fc.bias": [0],
                **text_tower}.items()})))
    write("checkpoint", "openai_resnet", b"p" + pickle(pickled_dict({
        name: pickled_tensor(shape) for name, shape in {
            "visual.attnpool.c_proj.weight": [2, 0],
            "visual.layer1.0.conv1.weight": [64, 64, 1, 0],
            "visual.layer2.1.conv1.weight": [64, 64, 1, 0],
            "visual.attnpool.positional_embedding": [50, 0],
            **text_tower}.items()})))


def siglips():
    words = {"type": "Unigram", "unk_id": 2, "vocab": [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["\u2581a", -1.0]]}
    pairs = {"type": "BPE", "unk_token": "<unk>", "vocab": {"<pad>": 0, "<eos>": 1, "<unk>": 2, "a": 3}, "merges": []}
    trunk = {"visual.trunk.norm.weight": tensor("F32", [64, 0], 0, 0), "visual.trunk.patch_embed.proj.weight": tensor("F32", [64, 3, 0, 16], 0, 0),
             "visual.trunk.blocks.0.mlp.fc1.weight": tensor("F32", [256, 0], 0, 0), "visual.trunk.attn_pool.mlp.fc1.weight": tensor("F32", [256, 0], 0, 0)}
    write("checkpoint", "siglip2", "t" + "\0".join(
        [json.dumps({"model_type": "siglip", "text_config": {"vocab_size": 4}}), "{}",
         json.dumps({"tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True}), json.dumps({"model": pairs}),
         json.dumps({"text_model.head.weight": tensor("F32", [2, 0], 0, 0)})]))
    for name, tower, text in (
            ("siglip", {"timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map", "timm_proj": "none"}, {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}),
            ("pe_core", {"timm_model_name": "vit_pe_core_base_patch16_224", "timm_pool": "map", "timm_proj": None}, {"pool_type": "eos"})):
        write("checkpoint", f"open_clip_{name}", "u" + "\0".join(
            [json.dumps({"model_cfg": {"embed_dim": 64, "custom_text": True, "vision_cfg": {"image_size": 32, **tower},
                                       "text_cfg": {"hf_tokenizer_name": "x", "vocab_size": 4, "tokenizer_kwargs": {"clean": "canonicalize", "strip_sep_token": False}, **text}}}),
             json.dumps({"tokenizer_class": "T5TokenizerFast", "pad_token": {"content": "</s>"}}), json.dumps({"model": words}), json.dumps(trunk)]))


def wrapped_checkpoints():
    """Names as trainers write them. No tensor has bytes but the scale."""
    names = {"visual.proj": [0, 2], "visual.conv1.weight": [64, 3, 0, 32], "visual.positional_embedding": [50, 0],
             "visual.transformer.resblocks.0.mlp.c_fc.bias": [0], "text_projection": [0, 2],
             "positional_embedding": [77, 0], "token_embedding.weight": [49408, 0], "ln_final.weight": [64, 0],
             "transformer.resblocks.0.mlp.c_fc.bias": [0], "logit_scale": [1]}
    for prefix in ("module.", "model.", "_orig_mod.", "module._orig_mod."):
        wrapper = "model_state_dict" if prefix == "model." else "state_dict"
        entries = {prefix + name: pickled_tensor(shape) for name, shape in names.items()}
        write("checkpoint", "wrapped_" + prefix.rstrip(".").replace(".", "_"), b"p" + pickle(pickled_dict(
            {"epoch": b"K\x07", wrapper: pickled_dict(entries)})))
    for prefix in ("", "module."):
        write("checkpoint", "file_" + (prefix.rstrip(".") or "bare"), "f" + json.dumps(
            {prefix + name: tensor("F32", shape, 0, 0) for name, shape in names.items() if 0 in shape}))


# --- Specs ------------------------------------------------------------------------

def classifier_specs():
    specs = {
        "simple": "ccat\ncdog\nta photo of a {}.\nt{}",
        "own_prompts": "ccat\npa cat\npmy cat\ncdog\nta {}",
        "sets": "Cimagenet-1k\nTsimple",
        "named_templates": "ccat\nccat\nTopenai-imagenet-7",
        "repeated": "clong name\nt{} {} {} {{}} }{",
        "no_place": "ccat\nta photo",
        "long": "c" + "猫" * 70,
        "decisions": "ccar\nm0.5\ngvehicle\nccat\nm2\nbelse\nbcat\nd1.5\nt{}",
    }
    for name, spec in specs.items():
        write("classifier_spec", name, spec)


# --- Stored weight sets -----------------------------------------------------------

WEIGHTS = struct.pack("<4f", 1, 0, 0, 1)


def stored_header(labels=("cat", "dog"), prompts=(), **more):
    metadata = {"format": "zeroshot-weight-set-1", "id": "set",
                "model_fingerprint": "f", "precision": "fp32",
                "labels": json.dumps(labels), "templates": '["a {}"]',
                "prompts": json.dumps(prompts), "num_prompts": "2",
                "num_tokens": "9", "create_time_unix_ns": "1700000000000000000",
                "weights_sha256": hashlib.sha256(WEIGHTS).hexdigest(), **more}
    checksum = hashlib.sha256()
    for name in sorted(metadata):
        for text in (name.encode(), metadata[name].encode()):
            checksum.update(struct.pack("<Q", len(text)) + text)
    metadata["checksum"] = checksum.hexdigest()
    return {"__metadata__": metadata, "weights": tensor("F32", [2, 2], 0, 16)}


def stored_sets():
    sound = stored_header()
    write("stored_set", "file", b"f" + safetensors_bytes(sound, WEIGHTS))
    write("stored_set", "truncated", b"f" + safetensors_bytes(sound, WEIGHTS)[:-1])
    for name, header in {
            "corrected": sound,
            "own_prompts": stored_header(prompts=[["my cat"], []]),
            "names": stored_header(labels=["cat\n\"", "猫\u0000"]),
            "decisions": stored_header(temperature="0.7", min_probabilities="[null,0.25]", groups='["a",""]'),
            "background": stored_header(labels=["cat"], background='["x"]'),
            "thresholds_of_others": stored_header(min_probabilities="[1]", groups='[1,2]', temperature="nan"),
            "no_numbers": stored_header(num_tokens="x", num_prompts="")}.items():
        write("stored_set", name, b"m" + json.dumps(header).encode() + b"\0" + WEIGHTS)


def bulk(data):
    data = data.encode() if isinstance(data, str) else data
    return b"$%d\r\n" % len(data) + data + b"\r\n"


def array(*items):
    return b"*%d\r\n" % len(items) + b"".join(items)


def redis_answers():
    file = safetensors_bytes(stored_header(), WEIGHTS)
    header, number, ok = bulk(file[:-16]), b":1\r\n", b"+OK\r\n"
    nil = b"$-1\r\n"
    for name, script in {
            "get": b"g\xff" + bulk(file) + b":%d\r\n" % len(file) + number * 2,
            "get_nothing": b"g\xff" + nil + b":0\r\n" + number * 2,
            "name": b"n\xff" + bulk("00000000000000017 - pets") + number,
            "name_signed": b"n\x05" + bulk("00000000000000017 " + "a" * 64 + " p\u00e4ts") + b":-1\r\n",
            "get_damaged": b"g\x02" + array(header, bulk("x" * 16)) + number * 2 +
                           ok + b"+QUEUED\r\n" * 3 + array(number, number, number),
            "put": b"p\xff" + number * 3 + ok + b"+QUEUED\r\n" * 3 +
                   array(ok, ok, number),
            "put_there": b"p\xff" + b":2\r\n" + number * 2,
            "put_refused": b"p\xff" + number * 3 + ok +
                           b"-OOM command not allowed\r\n" * 3 + b"-EXECABORT\r\n",
            "delete": b"d\xff" + ok + b"+QUEUED\r\n" * 3 + array(number, number, number),
            "list": b"l\xff" + array(bulk("set"), bulk("gone")) + header + number +
                    nil + b":0\r\n" + number + array(),
            "take": b"t\x01" + number * 2,
            "deep": b"g\xff" + b"*1\r\n" * 12}.items():
        write("redis", name, script)


# --- Requests, in protobuf's wire format --------------------------------------------

def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


CLASSIFY, BUILD, STREAM, GET, LIST, DELETE, IMAGES, TEXTS, MODEL, EXPORT, IMPORT, BATCH = range(12)
INFER, METADATA = 15, 16


def requests():
    def request(name, method, content):
        write("service", name, bytes([method]) + content)

    images = SEEDS.parent.parent / "testdata/images"
    png = (images / "1_by_1.png").read_bytes()
    jpeg = (images / "exif_1.jpg").read_bytes()
    # The fuzzer puts the id of a set that it has built here.
    known = "0" * 64
    build = (field(1, field(1, "cat")) +
             field(1, field(1, "dog") + field(2, "my dog")) + field(3, "a {}"))
    named = field(2, "imagenet-1k") + field(4, "simple")
    request("classify", CLASSIFY,
            field(1, png) + field(2, known) + field(3, 1) + field(4, 1))
    request("build", BUILD, build)
    request("build_stream", STREAM, build)
    request("build_named", BUILD, named)
    request("get", GET, field(1, known))
    request("list", LIST, field(1, 2) + field(2, known))
    request("delete", DELETE, field(1, "1" * 64))
    request("images", IMAGES, field(1, png) + field(1, jpeg) + field(1, b"no"))
    request("texts", TEXTS, field(1, "a cat") + field(1, "x " * 100) +
            field(1, "猫" * 100))
    request("model", MODEL, b"")
    # Taken, and dear: at the limits and a little over them.
    request("classify_many_sets", CLASSIFY,
            field(1, png) + field(2, known) + field(3, 1 << 31) + field(4, 1) +
            field(5, known) * 31)
    request("classify_empty_sets", CLASSIFY,
            field(1, png) + field(2, known) + field(5, "") * 4000)
    request("build_long_names", BUILD,
            b"".join(field(1, field(1, chr(97 + i) * 2000)) for i in range(3)) +
            field(3, "{}" * 16))
    request("build_empty_classes", BUILD, field(1, "") * 4000)
    request("build_empty_prompts", BUILD,
            field(1, field(1, "cat") + field(2, "") * 3900))
    request("texts_full", TEXTS, field(1, "a cat " * 20) * 64)
    request("texts_empty", TEXTS, field(1, "") * 4000)
    request("classify_inline", CLASSIFY, field(1, png) + field(8, build))
    request("classify_inline_empty", CLASSIFY,
            field(1, png) + field(8, field(1, "") * 4000))
    request("batch", BATCH, field(1, png) + field(1, b"no") + field(1, jpeg) +
            field(2, known) + field(3, 2) + field(4, 1) + field(5, known))
    request("batch_inline", BATCH, field(1, png) + field(8, build))
    request("batch_full", BATCH, field(1, b"") * 64 + field(2, known))
    request("batch_empty_images", BATCH, field(1, b"") * 4000 + field(2, known))
    request("images_full", IMAGES, field(1, png) * 64)
    raw = b"".join(struct.pack("<I", len(image)) + image for image in (png, jpeg))
    tensor = field(1, "image") + field(2, "BYTES") + field(3, b"\x02")
    top_k = field(4, field(1, "top_k") + field(2, field(2, 1)))
    request("infer", INFER, field(1, known) + field(3, "7") + top_k + field(5, tensor) + field(6, field(1, "class")) + field(7, raw))
    request("infer_contents", INFER, field(1, "image_encoder") + field(5, tensor + field(5, field(8, png) + field(8, b"no"))))
    request("infer_texts", INFER, field(1, "text_encoder") + field(5, field(1, "text") + field(2, "BYTES") + field(3, b"\x01\x01")) +
            field(7, b"\x05\0\0\0a cat"))
    request("infer_long_shape", INFER, field(1, "image_encoder") + field(5, tensor + field(3, b"\x01" * 4000)))
    request("infer_empty_outputs", INFER, field(1, known) + field(5, tensor) + field(6, b"") * 4000)
    request("metadata", METADATA, field(1, "pets") + field(2, "1"))
    request("model_unknown_fields", MODEL, field(126, 1) * 2000)
    request("model_group", MODEL, b"\xf3\x07" * 2000 + b"\xf4\x07" * 2000)


def main():
    tokenizer()
    subword_tokenizer()
    safetensors()
    pt_files()
    checkpoints()
    wrapped_checkpoints()
    classifier_specs()
    stored_sets()
    redis_answers()
    weight_set_files()
    requests()


if __name__ == "__main__":
    main()
