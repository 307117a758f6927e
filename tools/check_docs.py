#!/usr/bin/env python3
"""Checks the documents of the repository, in seconds and without building anything:

    tools/check_docs.py

- every relative link in a .md file leads to a file, and its anchor to a heading of it;
- the words of tools/words.txt are nowhere in documents, comments and messages;
- the messages that docs/troubleshooting.md quotes are in the code;
- each task of a newcomer that CONTRIBUTING.md lists is found within two clicks from README.md;
- every document is in the navigation of mkdocs.yml, or named there as one that is not;
- the reference pages are what tools/make_reference.py writes.

Prints each finding as FILE:LINE: what is wrong. Status 1 if there is one.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
# Text of others, generated text, and the list itself.
NOT_OURS = ("data/", "tests/testdata/", "tests/fuzz/seeds/", "models/demo/IMAGES.md", "CHANGELOG.md", "LICENSE",
            "THIRD_PARTY_NOTICES.md", "tools/words.txt", "deploy/debian/copyright", "client/python/zeroshot_client/_stubs/")
WORDS_IN = {".md", ".h", ".cc", ".cu", ".cuh", ".c", ".py", ".proto", ".sh", ".html", ".yaml", ".yml", ".txt", ".cmake", ""}

found = []


def report(path, line, what):
    found.append(f"{path}:{line}: {what}")


def files():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def without_code(text):
    """The lines of a document, those of code blocks and the code within lines blanked."""
    lines, fence = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fence = not fence
            line = ""
        lines.append("" if fence or line.startswith("    ") else re.sub(r"`[^`]*`", "``", line))
    return lines


def anchor(heading):
    """As GitHub and MkDocs make it."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
    return re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", text))


def anchors(path):
    lines, fence = [], False
    for line in (ROOT / path).read_text().splitlines():
        fence ^= line.startswith("```")
        if not fence and re.match(r"#{1,6} ", line):
            lines.append(anchor(line.lstrip("#")))
    return lines


def target_of(path, link):
    """The file that a link of a document leads to, and its anchor; None for other sites."""
    if re.match(r"[a-z]+:", link):
        return None
    name, _, part = link.partition("#")
    target = (ROOT / path).parent / name if name else ROOT / path
    return target.resolve(), part


def links(path):
    """(line, file, anchor) of each relative link of a document."""
    for number, line in enumerate(without_code((ROOT / path).read_text()), 1):
        for match in LINK.finditer(line):
            target = target_of(path, match.group(1) or match.group(2))
            if target is not None:
                yield number, *target


def check_links(documents):
    for path in documents:
        for number, target, part in links(path):
            if not target.exists():
                report(path, number, f"the link leads to {target.name}, which is not there")
            elif part and target.suffix == ".md" and part not in anchors(target):
                report(path, number, f"{target.name} has no heading #{part}")


def check_words(names):
    rules = []
    for line in (ROOT / "tools/words.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, advice = re.split(r" {3,}", line, maxsplit=1)
            rules.append((re.compile(pattern), advice))
    for name in names:
        if name.startswith(NOT_OURS) or pathlib.Path(name).suffix not in WORDS_IN:
            continue
        try:
            lines = (ROOT / name).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            for pattern, advice in rules:
                match = pattern.search(line)
                if match:
                    report(name, number, f"'{match.group().strip()}': {advice}")


def source_literals(names):
    """The string literals of the programs, adjacent ones joined."""
    comment_or_literals = re.compile(r'//[^\n]*|(?:"(?:[^"\\\n]|\\.)*"\s*)+')
    text = []
    for name in names:
        if name.endswith((".cc", ".h")) and not name.startswith(("tests/", "bench/")):
            for found in comment_or_literals.findall((ROOT / name).read_text()):
                if found.startswith('"'):
                    text.append("".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', found)))
    return "\n".join(text)


def check_messages(names):
    """A quoted message is in the code, piece by piece between its … and what a program fills in."""
    page, literals = "docs/troubleshooting.md", source_literals(names)
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        row = re.match(r"\| (`.*?) \| ", line)
        if not row:
            continue
        for message in re.findall(r"`([^`]+)`", row.group(1)):
            if message in ELSEWHERE or message.startswith(("zeroshot_", "--", "class_index")):
                continue
            for piece in message.split("…"):
                if piece.strip() and piece.strip() not in literals:
                    report(page, number, f"no program says '{piece.strip()}'")


# gRPC's own words.
ELSEWHERE = {"Received message larger than max"}


def check_tasks():
    """Of CONTRIBUTING.md's table of tasks."""
    page = "CONTRIBUTING.md"
    first = {target for _, target, _ in links("README.md") if target.suffix == ".md" and target.exists()}
    second = {target for path in first for _, target, _ in links(path.relative_to(ROOT)) if target.exists()}
    tasks = 0
    section = (ROOT / page).read_text().partition("| task | where |")[2].partition("\n\n")[0]
    start = (ROOT / page).read_text().partition("| task | where |")[0].count("\n") + 1
    for number, line in enumerate(section.splitlines(), start):
        for match in LINK.finditer(line):
            tasks += 1
            target, part = target_of(page, match.group(1))
            if target not in first | second | {ROOT / "README.md"}:
                report(page, number, f"{target.name} is not within two clicks from README.md")
            if part not in anchors(target):
                report(page, number, f"{target.name} has no heading #{part}")
    if tasks < 20:
        report(page, start, f"{tasks} tasks of a newcomer are listed; there must be 20 at least")


def check_navigation(documents):
    navigation = re.sub(r" *#.*", "", (ROOT / "mkdocs.yml").read_text())
    for path in documents:
        if f" {path}\n" not in navigation:
            report("mkdocs.yml", 1, f"{path} is neither in nav nor in not_in_nav")


def main():
    names = files()
    documents = [name for name in names if name.endswith(".md")]
    check_links(documents)
    check_words(names)
    check_messages(names)
    check_tasks()
    check_navigation(documents)
    reference = subprocess.run([sys.executable, ROOT / "tools/make_reference.py", "--check"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if reference.returncode:
        found.extend(reference.stdout.splitlines() or ["tools/make_reference.py --check failed"])
    print("\n".join(found) if found else f"{len(documents)} documents: links, words, messages, tasks and references are right")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
