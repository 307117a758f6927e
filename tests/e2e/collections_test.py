"""zeroshot_client classify on a tree of images: killed at random moments and begun again, its files
of answers and of vectors have every image once. A real server with the demo model.

    python3 tests/e2e/collections_test.py [IMAGES [KILLS]]      # default: 1500 and 12
"""

import csv
import json
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import documents

DEMO = documents.SOURCE / "models/demo/images"
NUM_IMAGES, NUM_KILLS = 1500, 12


def classes_of(output):
    """(image, its class or "") of each line of a file of answers."""
    with open(output, newline="") as file:
        if output.suffix == ".csv":
            return [(row["file"], row["class"]) for row in csv.DictReader(file)]
        rows = map(json.loads, file)
        return [(row["file"], row["predictions"][0]["class_name"] if "predictions" in row else "") for row in rows]


def vectors_of(path):
    """The rows of a safetensors file, and its metadata."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        rows, dim = header["embeddings"]["shape"]
        content = file.read()
    assert header["embeddings"]["data_offsets"] == [0, len(content)] and len(content) == rows * dim * 4
    return [struct.unpack_from(f"<{dim}f", content, row * dim * 4) for row in range(rows)], header["__metadata__"]


class CollectionsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.tree = cls.folder / "tree"
        images = sorted(DEMO.iterdir())
        for i in range(NUM_IMAGES):
            path = cls.tree / f"{i % 7}" / f"{i}, {'x' * (i % 90)}{images[i % len(images)].suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Every one of them another image to the server, whose cache would know it.
            path.write_bytes(images[i % len(images)].read_bytes() + str(i).encode())
        (cls.tree / "3" / "broken.png").write_bytes(b"no image")
        cls.server = documents.Server(cls.folder)
        cls.server.wait_for(" serving ")

    @classmethod
    def tearDownClass(cls):
        cls.server.process.kill()
        cls.server.process.wait()
        cls.temporary.cleanup()

    def command(self, *arguments):
        return [documents.CLIENT, "classify", f"--target={self.server.address}", "--classes=frog,apple,car,house",
                "--recursive", "--top_k=1", *arguments]

    def test_killed_at_any_moment_each_image_has_one_line_and_one_vector(self):
        rng = random.Random(7)
        begun = time.monotonic()
        whole = subprocess.run(self.command(self.tree, f"--output={self.folder}/whole.csv"), capture_output=True, text=True)
        took = time.monotonic() - begun
        self.assertEqual(whole.returncode, 1, whole.stderr)
        self.assertIn(f"{NUM_IMAGES:,} of {NUM_IMAGES + 1:,} answered, 1 failed, 0 not tried; failed: IMAGE_NOT_SUPPORTED 1",
                      whole.stderr)
        vectors = self.folder / "v.safetensors"
        for name, more in (("labels.csv", []), ("labels.jsonl", []), ("beside.csv", [f"--vectors={vectors}"])):
            output = self.folder / name
            command = self.command(self.tree, f"--output={output}", *more)
            for _ in range(NUM_KILLS):
                client = subprocess.Popen(command, stderr=subprocess.DEVNULL)
                time.sleep(rng.uniform(0, 2 * took / NUM_KILLS))
                client.kill()
                client.wait()
            last = subprocess.run(command, capture_output=True, text=True)
            self.assertLessEqual(last.returncode, 1, last.stderr)
            answered = classes_of(output)
            self.assertEqual(len(answered), NUM_IMAGES + 1)
            self.assertEqual(sorted(answered), sorted(classes_of(self.folder / "whole.csv")))
        self.check_vectors(vectors)

    def check_vectors(self, vectors):
        rows, metadata = vectors_of(vectors)
        with open(self.folder / "v.names.csv", newline="") as file:
            names = list(csv.DictReader(file))
        self.assertEqual(sorted(row["file"] for row in names), sorted(name for name, _ in classes_of(self.folder / "whole.csv")))
        self.assertEqual(len(rows), len(names))
        for name, row in zip(names, rows):
            length = sum(x * x for x in row)
            self.assertTrue(length != length if name["error"] else abs(length - 1) < 1e-5, name)
        model = subprocess.run([documents.CLIENT, "model", "--json", f"--target={self.server.address}"],
                               capture_output=True, text=True, check=True)
        self.assertEqual(metadata["model_fingerprint"], json.loads(model.stdout)["fingerprint"])
        # Without the images, the same answers.
        output = self.folder / "again.csv"
        again = subprocess.run([documents.CLIENT, "reclassify", f"--target={self.server.address}", f"--vectors={vectors}",
                                "--classes=frog,apple,car,house", "--top_k=1", f"--output={output}"],
                               capture_output=True, text=True)
        self.assertEqual(again.returncode, 1, again.stderr)
        self.assertEqual(sorted(classes_of(output)), sorted(classes_of(self.folder / "whole.csv")))

    def test_a_list_and_an_archive_give_the_same_answers(self):
        paths = sorted(self.tree.glob("0/*"))[:20]
        listed = subprocess.run(self.command("--json", "--files_from=-"), capture_output=True,
                                input=b"\0".join(str(path).encode() for path in paths))
        shutil.make_archive(str(self.folder / "shard"), "tar", self.tree, "0")
        archived = subprocess.run(self.command("--json", self.folder / "shard.tar"), capture_output=True)
        self.assertEqual((listed.returncode, archived.returncode), (0, 0), listed.stderr + archived.stderr)

        def answers(run):
            return {pathlib.Path(line["file"]).name: line["predictions"][0]["class_name"]
                    for line in map(json.loads, run.stdout.splitlines())}

        found = answers(archived)
        self.assertEqual({path.name: found[path.name] for path in paths}, answers(listed))

    def test_many_names_take_little_memory(self):
        """Names that are not there: a walk, a list and a file of answers without images."""
        names = self.folder / "names"
        with open(names, "w") as file:
            for i in range(200_000):
                file.write(f"{self.folder}/there/is/no/such/image/{i}.png\n")
        run = subprocess.run(self.command(f"--files_from={names}", f"--output={self.folder}/none.jsonl"),
                             stderr=subprocess.DEVNULL)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(len(classes_of(self.folder / "none.jsonl")), 200_000)
        # Of all the programs that this test ran.
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 150 << 10)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        NUM_IMAGES = int(sys.argv[1])
        NUM_KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else NUM_KILLS
    unittest.main(argv=sys.argv[:1], verbosity=2)
