#!/usr/bin/env python3
"""Compares the C++ tokenizers that checkpoints bring along with the libraries they come from, on generated strings.

    .cache/golden/bin/python tools/check_tokenizers.py build/release/tests/clip/tokenize_lines --count 100000 --seed 1

Real vocabularies are not needed: small ones of every kind are trained here, on class names, templates and words of many
languages. References: sentencepiece for models of its own, tokenizers for tokenizer.json, transformers for SigLIP's use of a
SentencePiece model and for BERT's vocab.txt, open_clip for the cleaning before any of them. Strings: hard_texts.KINDS.
Run it on Python 3.11 (Unicode 14). Exits with 1 on a difference. --keep FOLDER leaves the vocabularies there.
"""

import argparse
import importlib.util
import io
import json
import multiprocessing
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from hard_texts import BLOCK_MEMBERS, KINDS, WORDS, one_string

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPACE = "\u2581"
SYMBOLS = ["\n", "\n\n", "\n\n\n", SPACE * 2, SPACE * 3, "<h1>", "</h1>", "<b>", "[toxicity=0]", "cat", "aa", "aab", "\u00e9"]


def corpus():
    """Some thousand lines, the same each time."""
    r = random.Random(0)
    names = (ROOT / "data/class_sets/imagenet-1k.txt").read_text().splitlines()
    templates = (ROOT / "data/template_sets/openai-imagenet-80.txt").read_text().splitlines()
    letters = [chr(c) for members in BLOCK_MEMBERS[:12] for c in members[::7]]
    for name in names:
        yield r.choice(templates).replace("{}", name)
        yield r.choice(templates).replace("{}", name.lower())
        yield " ".join(r.choice(WORDS) for _ in range(8))
        yield "".join(r.choice(letters) for _ in range(8))


# Name of a SentencePiece model: what the trainer is told.
PIECES = {
    "unigram": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
    "unigram_bytes": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", byte_fallback=True),
    "unigram_fold": dict(model_type="unigram", normalization_rule_name="nmt_nfkc_cf", byte_fallback=True, user_defined_symbols=SYMBOLS, control_symbols=["<ctrl>"]),
    "unigram_bare": dict(model_type="unigram", normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, user_defined_symbols=SYMBOLS),
    "bpe": dict(model_type="bpe", normalization_rule_name="nfkc"),
    "bpe_suffix": dict(model_type="bpe", normalization_rule_name="nmt_nfkc", treat_whitespace_as_suffix=True, byte_fallback=True),
    "gemma": dict(model_type="bpe", normalization_rule_name="identity", byte_fallback=True, add_dummy_prefix=False, remove_extra_whitespaces=False,
                  user_defined_symbols=SYMBOLS, pad_id=0, eos_id=1, bos_id=2, unk_id=3, split_digits=True),
}


def train_pieces(options, vocab_size=1600, coverage=0.98) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=corpus(), model_writer=model, vocab_size=vocab_size, character_coverage=coverage, num_threads=1,
                                             hard_vocab_limit=False, minloglevel=2, **options)
    return model.getvalue()


def unused(model: bytes) -> bytes:
    """With every ninth normal piece not in use."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    for piece in proto.pieces[300::9]:
        if piece.type == 1:
            piece.type = 5
    return proto.SerializeToString()


def unescaped(model: bytes) -> bytes:
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    proto.normalizer_spec.escape_whitespaces = False
    return proto.SerializeToString()


def unigram_json(model: bytes, normalizer, pre_tokenizer, single, byte_fallback=False):
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    unknown = next(i for i, p in enumerate(proto.pieces) if p.type == 2)
    made = tokenizers.Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unknown, byte_fallback))
    made.normalizer = normalizer(proto.normalizer_spec.precompiled_charsmap)
    made.pre_tokenizer = pre_tokenizer
    special = [p.piece for p in proto.pieces if p.type in (2, 3)]
    made.add_special_tokens([tokenizers.AddedToken(t, lstrip=t == "</s>", rstrip=t == "</s>", normalized=False, special=True) for t in special])
    made.add_tokens([tokenizers.AddedToken("Tiger Cat", normalized=True), tokenizers.AddedToken("<extra_id_0>", normalized=False)])
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[(t, made.token_to_id(t)) for t in special])
    return made


def t5_json(model):
    """What transformers' converters wrote for T5 and SigLIP."""
    return unigram_json(
        model, lambda m: normalizers.Sequence([normalizers.Precompiled(m), normalizers.Strip(left=False, right=True), normalizers.Replace(tokenizers.Regex(" {2,}"), SPACE)]),
        pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always"), "$A </s>", byte_fallback=True)


def siglip_json(model):
    return unigram_json(
        model, lambda m: normalizers.Sequence([normalizers.Precompiled(m), normalizers.Strip(left=False, right=True), normalizers.Replace(tokenizers.Regex(" {2,}"), SPACE)]),
        pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first"), "$A </s>")


def t5_class_json(model):
    """What transformers 5 makes of a T5Tokenizer."""
    return unigram_json(model, normalizers.Precompiled, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, "always", True)]), "$A </s>")


def xlm_json(model):
    return unigram_json(
        model, lambda m: normalizers.Sequence([normalizers.Precompiled(m), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")]), "<s> $A </s>")


def forms_json(model):
    """Normalizers that no known family has together."""
    return unigram_json(
        model, lambda m: normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(), normalizers.NFC(), normalizers.Prepend("a ")]),
        pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "isolated"), pre_tokenizers.Metaspace(SPACE, "never", False)]), "$A </s>", byte_fallback=True)


def gemma_json(model, lower=False):
    """As transformers' GemmaTokenizer: space -> U+2581, BPE with byte fallback; the lines of SYMBOLS are added tokens."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    vocab = {p.piece: i for i, p in enumerate(proto.pieces)}
    scores = {p.piece: p.score for p in proto.pieces if p.type == 1}
    merges = [(left, right) for piece in scores for left, right in ((piece[:i], piece[i:]) for i in range(1, len(piece))) if left in vocab and right in vocab]
    merges.sort(key=lambda m: (-scores[m[0] + m[1]], len(m[0])))
    made = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", SPACE)
    made.normalizer = normalizers.Sequence([normalizers.Lowercase(), replace]) if lower else replace
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"] if "<eos>" in vocab else ["<pad>", "</s>", "<s>", "<unk>"])
    made.add_tokens([tokenizers.AddedToken(s, normalized=False) for s in SYMBOLS])
    end = "<eos>" if "<eos>" in vocab else "</s>"
    made.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, vocab[end])])
    return made


def no_bytes_json(model):
    """BPE whose unknown characters are one each."""
    content = json.loads(gemma_json(model).to_str())
    content["model"] |= {"byte_fallback": False, "fuse_unk": False, "ignore_merges": True}
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def bert(lower, vocab_size=2000):
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False))
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def open_clip_cleaning(name):
    """open_clip's function, without what its package imports."""
    folder = pathlib.Path(importlib.util.find_spec("open_clip").origin).parent
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", folder / "tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_clean_fn(name)


def make_cases(folder):
    """Name of a case: (arguments of tokenize_lines, the reference's function of a string)."""
    cases = {}
    trained = {name: train_pieces(options) for name, options in PIECES.items()}
    trained["bpe_unused"] = unused(trained["bpe"])
    trained["unigram_unused"] = unused(trained["unigram_bytes"])
    trained["unigram_unescaped"] = unescaped(trained["unigram"])
    for name, model in trained.items():
        path = folder / f"{name}.model"
        path.write_bytes(model)
        cases[f"sentencepiece {name}"] = (["plain", path], sentencepiece.SentencePieceProcessor(model_proto=model).encode)
    siglip = folder / "siglip"
    siglip.mkdir(exist_ok=True)
    (siglip / "spiece.model").write_bytes(trained["unigram"])
    cases["transformers SiglipTokenizer"] = (["siglip", siglip / "spiece.model"], transformers.SiglipTokenizer(str(siglip / "spiece.model")).encode)

    # Folders without a tokenizer.json.
    for kind, name, file, make in (("t5", "unigram", "spiece.model", "T5Tokenizer"), ("xlm", "unigram_fold", "sentencepiece.bpe.model", "XLMRobertaTokenizer")):
        path = folder / kind / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(trained[name])
        (path.parent / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": make}))
        cases[f"transformers {make} of a model"] = ([kind, path], transformers.AutoTokenizer.from_pretrained(path.parent).encode)

    files = {
        "t5": t5_json(trained["unigram_bytes"]),
        "siglip_first": siglip_json(trained["unigram"]),
        "t5_class": t5_class_json(trained["unigram"]),
        "xlm": xlm_json(trained["unigram_bytes"]),
        "forms": forms_json(trained["unigram_bytes"]),
        "gemma": gemma_json(trained["gemma"]),
        "gemma_lower": gemma_json(trained["gemma"], lower=True),
        "no_bytes": no_bytes_json(trained["gemma"]),
        "bert_lower": bert(True),
        "bert_cased": bert(False),
    }
    for name, made in files.items():
        path = folder / f"{name}.json"
        made.save(str(path))
        reference = tokenizers.Tokenizer.from_file(str(path))
        cases[f"tokenizers {name}"] = (["json", path], lambda text, t=reference: t.encode(text).ids)
    for lower in (True, False):
        path = folder / f"vocab_{'lower' if lower else 'cased'}.txt"
        vocab = files["bert_lower" if lower else "bert_cased"].get_vocab()
        path.write_text("\n".join(sorted(vocab, key=vocab.get)) + "\n")
        cases[f"transformers BertTokenizer {'lower' if lower else 'cased'}"] = (
            ["bert" if lower else "BERT", path], transformers.BertTokenizer(str(path), do_lower_case=lower).encode)
    if importlib.util.find_spec("open_clip"):
        for name in ("canonicalize", "whitespace", "lower"):
            clean = open_clip_cleaning(name)
            reference = tokenizers.Tokenizer.from_file(str(folder / "t5.json"))
            cases[f"open_clip {name}"] = (["json", folder / "t5.json", name], lambda text, c=clean, t=reference: t.encode(c(text)).ids)
    return cases


def strings(job):
    seed, first, last = job
    return [one_string(seed, i) for i in range(first, last)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, help="the built tokenize_lines")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases = {name: case for name, case in make_cases(folder).items() if args.only in name}
        with multiprocessing.Pool(args.processes) as pool:
            step = 1000
            jobs = [(args.seed, i, min(i + step, args.count)) for i in range(0, args.count, step)]
            texts = [text for part in pool.map(strings, jobs) for text in part]
        # The library has a file's lines by "\n" and no NUL.
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        failed = False
        for name, (arguments, reference) in cases.items():
            result = subprocess.run([args.binary, *arguments], input=lines, capture_output=True, text=True)
            if result.returncode != 0:
                print(f"{name}: {result.stderr[:500]}", flush=True)
                failed = True
                continue
            wrong = 0
            for index, (text, line) in enumerate(zip(texts, result.stdout.splitlines(), strict=True)):
                expected = list(reference(text))
                found = json.loads(line)
                if expected == found:
                    continue
                wrong += 1
                if wrong <= 3:
                    at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
                    print(f"  {KINDS[index % len(KINDS)].__name__} {index}: {text[:200]!a}\n    from {at}: expected {expected[at:at+12]}, found {found[at:at+12]}")
            print(f"{name}: {len(texts)} strings, {wrong} differences", flush=True)
            failed |= wrong > 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
