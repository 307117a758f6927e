#!/usr/bin/env python3
"""Writes the reference pages under docs/ that are made from the code:

    tools/make_reference.py            # metrics.md, errors.md, limits.md
    tools/make_reference.py --check    # changes nothing; status 1 if one is out of date
    tools/make_reference.py --server=build/release/server/zeroshot_server    # also flags.md

metrics.md has the names and HELP texts of server/metrics.cc, errors.md the reasons at the head of the
wire contract, limits.md the fields of its message Limits with the defaults of flags.md. In these pages
only what stands between two comments is written. MetricsTest holds metrics.md to what /metrics says,
OptionsTest flags.md to what the program says.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BEGIN = "<!-- tools/make_reference.py writes from here -->\n"
END = "<!-- to here -->\n"


def read(path):
    return (ROOT / path).read_text()


def literal(pieces):
    """The text of adjacent string literals of C++."""
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', pieces)).replace('\\"', '"')


def table(header, rows):
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def metrics():
    source = read("server/metrics.cc")
    text = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
    family = re.compile(r'"((?:zeroshot|process)_\w+)"\)?\s*(?:,|\.Help\()\s*' + text)
    rows = []
    for found in family.finditer(source):
        name, help_text = found.group(1), literal(found.group(2))
        meaning, _, labels = help_text.partition(" Labels: ")
        is_histogram = "BuildHistogram()" in source[max(0, found.start() - 60):found.start()]
        kind = "histogram" if is_histogram else "counter" if name.endswith("_total") else "gauge"
        rows.append((f"`{name}`", kind, ", ".join(f"`{label}`" for label in sorted(labels.split(", ")) if label), meaning))
    named = set(re.findall(r'"((?:zeroshot|process)_\w+)"', source))
    missing = named - {row[0].strip("`") for row in rows}
    if missing:
        sys.exit(f"server/metrics.cc: no HELP text found for {', '.join(sorted(missing))}")
    return table(("metric", "type", "labels", "meaning"), sorted(rows))


def reasons():
    """Of the comment at the head of the contract: a code, then a line for each of its reasons."""
    head = read("proto/zeroshot/v1/zeroshot.proto").split("\nsyntax =")[0]
    rows, codes = [], ""
    for line in head.splitlines():
        line = line.removeprefix("//").removeprefix(" ")
        code = re.match(r"([A-Z_]+(?:, [A-Z_]+)*):", line)
        reason = re.match(r"  ([A-Z_]{4,}) +(\S.*)", line)
        if code:
            codes = code.group(1)
        elif reason:
            rows.append([f"`{reason.group(1)}`", codes, reason.group(2)])
        elif rows and re.match(r" {10,}\S", line):
            rows[-1][2] += " " + line.strip()
    for row in rows:
        row[1] = ", ".join(f"`{code}`" for code in row[1].split(", "))
        if row[0].strip("`") in row[1]:
            row[1] = row[0]
    documented = {row[0].strip("`") for row in rows}
    known = set(re.findall(r'constexpr char k\w+\[\] =\s*"([A-Z_]+)"', read("base/error_info.h")))
    if documented != known:
        sys.exit("the contract's reasons are not those of base/error_info.h: " + ", ".join(sorted(documented ^ known)))
    return table(("reason", "code", "meaning (metadata)"), rows)


def limits():
    message = re.search(r"\nmessage Limits \{\n(.*?)\n\}", read("proto/zeroshot/v1/zeroshot.proto"), re.S).group(1)
    defaults = dict(re.findall(r"\| `--(\w+)=\w+` \| `([^`]*)` \|", read("docs/flags.md")))
    rows = []
    for comment, name in re.findall(r"((?:  //[^\n]*\n)+)  \w+ (\w+) = \d+;", message):
        meaning = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
        rows.append((f"`{name}`", f"`{defaults[name]}`" if name in defaults else "", meaning))
    if len(rows) < 10:
        sys.exit(f"proto/zeroshot/v1/zeroshot.proto: only {len(rows)} fields of Limits found")
    return table(("field", "default", "meaning"), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say which pages are out of date, and change none")
    parser.add_argument("--server", help="the program that prints flags.md")
    arguments = parser.parse_args()
    out_of_date = []

    def write(name, text):
        path = DOCS / name
        if path.read_text() == text:
            return
        out_of_date.append(name)
        if not arguments.check:
            path.write_text(text)

    if arguments.server:
        write("flags.md", subprocess.run([arguments.server, "--generate=markdown"], check=True, text=True,
                                         stdout=subprocess.PIPE).stdout)
    for name, part in (("metrics.md", metrics()), ("errors.md", reasons()), ("limits.md", limits())):
        before, _, rest = (DOCS / name).read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            sys.exit(f"docs/{name} lacks the line {BEGIN.strip()} or {END.strip()}")
        write(name, before + BEGIN + part + END + after)
    for name in out_of_date:
        print(f"docs/{name}: {'out of date; run tools/make_reference.py' if arguments.check else 'written'}")
    sys.exit(1 if arguments.check and out_of_date else 0)


if __name__ == "__main__":
    main()
