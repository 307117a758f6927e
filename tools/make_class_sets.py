#!/usr/bin/env python3
"""Writes the class sets and template sets of openai/CLIP's data/prompts.md into data/.

Takes that file, as commit d05afc436d78f1c48dc0dbf8e5980a9d471f35f6 of openai/CLIP has it:
    tools/make_class_sets.py PROMPTS.MD           writes data/class_sets/NAME.txt, data/template_sets/openai-NAME.txt
    tools/make_class_sets.py PROMPTS.MD --check   says what differs from the files that are there; exit code 1 if any does

One name or template a line, in OpenAI's order. ImageNet's sets, which are not in that file, are left alone.
"""

import argparse
import ast
import hashlib
import pathlib
import re
import sys

SHA256 = "f98d2d25e78cc1fee650240b519f7cb58a83cfcc5aa538cde52514809cf4a1c9"
ROOT = pathlib.Path(__file__).resolve().parent.parent

# The file's headings -> our names. FacialEmotionRecognition2013 is left out: its classes have several names each, which a
# class set cannot say.
SETS = {
    "Birdsnap": "birdsnap",
    "CIFAR10": "cifar10",
    "CIFAR100": "cifar100",
    "CLEVRCounts": "clevr-counts",
    "Caltech101": "caltech101",
    "Country211": "country211",
    "DescribableTextures": "dtd",
    "EuroSAT": "eurosat",
    "FGVCAircraft": "fgvc-aircraft",
    "FacialEmotionRecognition2013": None,
    "Flowers102": "flowers102",
    "Food101": "food101",
    "GTSRB": "gtsrb",
    "HatefulMemes": "hateful-memes",
    "KITTI": "kitti",
    "Kinetics700": "kinetics700",
    "MNIST": "mnist",
    "OxfordPets": "oxford-pets",
    "PascalVOC2007": "voc2007",
    "PatchCamelyon": "pcam",
    "RESISC45": "resisc45",
    "SST2": "rendered-sst2",
    "STL10": "stl10",
    "SUN397": "sun397",
    "StanfordCars": "stanford-cars",
    "UCF101": "ucf101",
}


def sections(text: str):
    """(heading, classes, templates) of each section."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, body = section.split("\n", 1)
        code = re.search(r"^```\w*\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL).group(1)
        lists = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(code).body}
        yield heading.strip(), lists["classes"], lists["templates"]


def files(text: str) -> dict[pathlib.Path, str]:
    """What each file is to hold."""
    result = {}
    found = list(sections(text))
    if [heading for heading, _, _ in found] != list(SETS):
        sys.exit("the headings are not those that this script knows")
    for heading, classes, templates in found:
        name = SETS[heading]
        if name is None:
            continue
        for folder, stem, lines in (("class_sets", name, classes), ("template_sets", f"openai-{name}", templates)):
            assert all(line.strip() == line and "\n" not in line and line for line in lines), heading
            result[ROOT / "data" / folder / f"{stem}.txt"] = "".join(f"{line}\n" for line in lines)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    data = arguments.prompts.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        sys.exit(f"{arguments.prompts} has SHA-256 {digest}; it must be {SHA256}")
    differ = 0
    for path, text in files(data.decode()).items():
        if arguments.check:
            if not path.exists() or path.read_text() != text:
                print(f"{path.relative_to(ROOT)} differs")
                differ += 1
        else:
            path.write_text(text)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
