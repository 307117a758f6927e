#!/usr/bin/env python3
"""Writes the messages of the Python client, client/python/zeroshot_client/_proto, from proto/:

    tools/make_python_stubs.py            # after a change of the contract
    tools/make_python_stubs.py --check    # only says whether they are the contract's

It needs protoc 3.21, which Debian 12, Debian 13 and Ubuntu 24.04 package. What that release writes
is loaded by protobuf 4 to 7; what a later one writes is refused by every protobuf that is older than
itself.

protobuf keeps one file and one message of a name in a process. The contract is therefore generated
under names of the package's own, or a program that has generated zeroshot/v1/zeroshot.proto by
itself, perhaps of another release, could not import both. Names of messages are not on the wire.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = pathlib.Path("zeroshot_client/_proto")  # in client/python
CONTRACT = "proto/zeroshot/v1/zeroshot.proto"
PACKAGE = re.compile(r"^package zeroshot\.v1;$", re.M)

# The two messages of google/rpc/error_details.proto that the server sends; public, and frozen.
ERROR_DETAILS = """
syntax = "proto3";
package zeroshot_client.v1;
import "google/protobuf/duration.proto";
message ErrorInfo {
  string reason = 1;
  string domain = 2;
  map<string, string> metadata = 3;
}
message RetryInfo {
  google.protobuf.Duration retry_delay = 1;
}
"""


def generate(protoc, folder):
    """Writes the modules into `folder`; returns them, name by text."""
    version = subprocess.run([protoc, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if not version.startswith("libprotoc 3.21."):
        sys.exit(f"{protoc} is '{version}'; libprotoc 3.21 is needed (Debian's protobuf-compiler)")
    contract, packages = PACKAGE.subn("package zeroshot_client.v1;", (ROOT / CONTRACT).read_text())
    if packages != 1:
        sys.exit(f"{CONTRACT} has no line 'package zeroshot.v1;'")
    sources = folder / "proto"
    (sources / TARGET).mkdir(parents=True)
    (sources / TARGET / "zeroshot.proto").write_text(contract)
    (sources / TARGET / "error_details.proto").write_text(ERROR_DETAILS)
    subprocess.run([protoc, f"-I{sources}", f"--python_out={folder}", f"--pyi_out={folder}",
                    *(str(TARGET / name) for name in ("zeroshot.proto", "error_details.proto"))], check=True)
    return {path.name: path.read_text() for path in sorted((folder / TARGET).iterdir())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where they differ")
    parser.add_argument("--protoc", default="protoc", help="the program, protoc 3.21")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        modules = generate(arguments.protoc, pathlib.Path(folder))
    differ = False
    for name, text in modules.items():
        path = ROOT / "client/python" / TARGET / name
        if arguments.check:
            if not path.is_file() or path.read_text() != text:
                print(f"{path.relative_to(ROOT)} is not what {CONTRACT} makes; run tools/make_python_stubs.py",
                      file=sys.stderr)
                differ = True
        else:
            path.write_text(text)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
