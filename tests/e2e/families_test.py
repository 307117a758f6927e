"""Models of other families than CLIP through the real programs: --check, start, build, classify. Scores are those of the
folder's own library (tools/golden/families.py)."""

import json
import math
import pathlib
import subprocess
import tempfile
import unittest

import documents

GOLDEN = documents.SOURCE / "tests/testdata/golden/families"
IMAGES = documents.SOURCE / "tests/testdata/images"
MAKE_CHECKPOINT = documents.BINARY / "tests/testing/make_checkpoint"
# Which texts of the golden can be names of classes as they stand.
CLASSES = 5


def class_names(golden):
    names = []
    for index, (text, _) in enumerate(golden["texts"][:len(golden["expected"]["text_embeddings"])]):
        if text.isprintable() and text.strip() == text and text and "{" not in text and "," not in text:
            names.append((index, text))
    return names[:CLASSES]


def unit(row):
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


class FamiliesTest(unittest.TestCase):
    def check(self, name):
        golden = json.loads((GOLDEN / f"{name}.json").read_text())
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name) / name
        subprocess.run([MAKE_CHECKPOINT, f"--golden={GOLDEN / name}.json", f"--out={folder}"], check=True, timeout=300)

        checked = subprocess.run([documents.SERVER, "--check", f"--model={folder}"],
                                 capture_output=True, text=True, timeout=300)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn(f"up to {golden['context']} tokens", checked.stdout)

        server = documents.Server(pathlib.Path(temporary.name), "--precision=fp32", f"--model={folder}")
        self.addCleanup(lambda: server.process.poll() is None and (server.process.kill(), server.process.wait()))
        server.wait_for(" serving ")
        names = class_names(golden)
        self.assertEqual(len(names), CLASSES)
        classes = pathlib.Path(temporary.name) / "classes.txt"
        classes.write_text("".join(text + "\n" for _, text in names))
        answer = subprocess.run(
            [documents.CLIENT, "classify", "--json", "--top_k=5", f"--classes_file={classes}", "--templates={}",
             f"--target={server.address}", *[IMAGES / image for image in golden["image_files"]]],
            capture_output=True, text=True, timeout=300)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        lines = [json.loads(line) for line in answer.stdout.splitlines()]
        self.assertEqual(len(lines), len(golden["image_files"]))
        expected = golden["expected"]
        for line, image in zip(lines, expected["file_embeddings"]):
            logits = {text: expected["logit_scale"] * sum(a * b for a, b in zip(unit(image), unit(expected["text_embeddings"][index])))
                      + (expected["logit_bias"] or 0) for index, text in names}
            if expected["logit_bias"] is None:
                total = sum(math.exp(x) for x in logits.values())
                scores = {text: math.exp(x) / total for text, x in logits.items()}
            else:
                scores = {text: 1 / (1 + math.exp(-x)) for text, x in logits.items()}
            self.assertEqual(line["predictions"][0]["class_name"], max(scores, key=scores.get))
            for prediction in line["predictions"]:
                self.assertAlmostEqual(prediction["probability"], scores[prediction["class_name"]], delta=1e-4)

    def test_each_of_them(self):
        for path in sorted(GOLDEN.glob("*.json")):
            with self.subTest(path.stem):
                self.check(path.stem)


if __name__ == "__main__":
    unittest.main()
