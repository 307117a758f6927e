"""Token ids of the tokenizers that checkpoints bring along, by the libraries they come from.

Vocabularies of a few hundred pieces are trained here and kept beside the ids (*.model, *.json, vocab.txt). Their charsmap is
of a few rules of our own, because that of NFKC has 240 kB; check_tokenizers.py compares with that one.
cases.json: {"name", "kind" and "clean" of tests/clip/tokenize_lines.cc, "file", "strings": [[text, ids], ...]}.
"""

import json
import pathlib
import tempfile

import check_tokenizers
import hard_texts
import sentencepiece
import tokenizers
import transformers

# Source, target: code points in hexadecimal, as the trainer reads them.
RULES = (
    "9\t20", "A\t20", "D\t20", "3000\t20", "A0\t20", "200B\t", "FF21\t41", "FF22\t42", "FF43\t63", "FB01\t66 69", "41 300\tC0", "65 301\tE9", "41 30A\tC5",
    "AB\t20 22", "BB\t22 20", "2126\t3A9", "1F468 200D\t1F468", "2026\t2E 2E 2E", "344\t308 301",
)
BY_HAND = (
    "", " ", "a photo of a cat.", "  A  Photo\tof\na dog \u3000 ", "a\u2581b \u2581 \u2581\u2581c", "</s>", "<s> a <unk> </s> b", "a </s>", "<ctrl>x", "Tiger Cat tiger cat",
    "cat aab aaab \u00e9 e\u0301", "\n\n\n\n <h1>x</h1>", "\u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4", "na\u00efve caf\u00e9 A\u0300A\u030A", "it's a man-eating_shark!! (really)", "\ufb01sh \uff21\uff22\uff43",
    "12345 67", "[CLS] [MASK] x", "\u0130I \u039f\u0394\u039f\u03a3", "\U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea", "&lt;b&gt; caf\u00c3\u00a9 _x_", "\u2b78\u0361\u0344\u0354x a\u0344\u0354 \u1100\u1161\u0344", "x" * 120, "\u00ab a \u00bb\u2026",
)


def texts():
    yield from BY_HAND
    for i in range(2 * len(hard_texts.KINDS)):
        text = hard_texts.one_string("golden tokenizers", i)
        if len(text) <= 150:
            yield text


def make(out_dir: pathlib.Path) -> None:
    train = check_tokenizers.train_pieces
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("".join(line + "\n" for line in RULES))
        rules.flush()
        pieces = {}
        for name in ("unigram", "unigram_fold", "bpe", "gemma"):
            options = dict(check_tokenizers.PIECES[name])
            if options["normalization_rule_name"] != "identity":
                del options["normalization_rule_name"]
                options["normalization_rule_tsv"] = rules.name
            pieces[name] = train(options, vocab_size=1200)
    cases = []

    def add(name, kind, file, reference, clean=""):
        strings = [[text, list(reference(text))] for text in texts()]
        cases.append({"name": name, "kind": kind, "file": file, "clean": clean, "strings": strings})

    for name, model in pieces.items():
        (out_dir / f"{name}.model").write_bytes(model)
        add(f"sentencepiece {name}", "plain", f"{name}.model", sentencepiece.SentencePieceProcessor(model_proto=model).encode)
    add("transformers SiglipTokenizer", "siglip", "unigram.model", transformers.SiglipTokenizer(str(out_dir / "unigram.model")).encode)
    with tempfile.TemporaryDirectory() as folder:
        for kind, source, file, make in (("t5", "unigram", "spiece.model", "T5Tokenizer"), ("xlm", "unigram_fold", "sentencepiece.bpe.model", "XLMRobertaTokenizer")):
            path = pathlib.Path(folder) / kind
            path.mkdir()
            (path / file).write_bytes(pieces[source])
            (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": make}))
            add(f"transformers {make}", kind, f"{source}.model", transformers.AutoTokenizer.from_pretrained(path).encode)
    made = {
        "t5": check_tokenizers.t5_json(pieces["unigram_fold"]),
        "xlm": check_tokenizers.xlm_json(pieces["unigram_fold"]),
        "gemma": check_tokenizers.gemma_json(pieces["gemma"], lower=True),
        "bert": check_tokenizers.bert(True, vocab_size=800),
    }
    for name, tokenizer in made.items():
        path = out_dir / f"{name}.json"
        path.write_text(tokenizer.to_str(pretty=False) + "\n")
        add(f"tokenizers {name}", "json", path.name, lambda text, t=tokenizers.Tokenizer.from_file(str(path)): t.encode(text).ids)
    vocabulary = made["bert"].get_vocab()
    (out_dir / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n")
    add("transformers BertTokenizer", "BERT", "vocab.txt", transformers.BertTokenizer(str(out_dir / "vocab.txt"), do_lower_case=False).encode)
    clean = check_tokenizers.open_clip_cleaning("canonicalize")
    reference = tokenizers.Tokenizer.from_file(str(out_dir / "t5.json"))
    add("open_clip canonicalize", "json", "t5.json", lambda text: reference.encode(clean(text)).ids, clean="canonicalize")
    lines = [json.dumps(case) for case in cases]
    (out_dir / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
