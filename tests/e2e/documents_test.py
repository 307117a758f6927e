"""Runs the examples of README.md, docs/quick_start.md, docs/clients.md and docs/inference_protocol.md as they stand, from the root of a copy of the
project, against the server that the documents start. What needs the internet, or is a test or a
build of its own, is named below with the reason. Prints each command and what became of it."""

import fcntl
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

import documents

DOCUMENTS = ["README.md", "docs/quick_start.md", "docs/clients.md", "docs/inference_protocol.md"]
PORT = 50051  # that the documents name

# What is not run: the first line of the command, and why.
NOT_RUN = [
    (r"^scripts/(demo|test|setup|package)\b", "builds the project"),
    (r"^scripts/fetch_model\b", "downloads"),
    (r"^(python3 -m )?pip3? install\b", "downloads; scripts/test has done it"),
    (r"^(docker|podman|kubectl|helm)\b", "needs a container engine or a cluster"),
    (r"https?://(?!127\.0\.0\.1|localhost)", "downloads"),
    (r"--model=models/(?!demo)", "needs weights that were downloaded"),
    (r"^(sudo |apt-get |apt |systemctl |dpkg )", "changes the machine"),
]
# Lines of output in a document's block, rather than commands.
NOT_A_COMMAND = r"^(\$ |\[|\{|\d|100%|built |[a-z]+\.(png|jpg)\s)"


def own_network():
    """Goes on in a network of its own, where the port is free; returns if it is one already."""
    if os.environ.get("ZEROSHOT_OWN_NETWORK"):
        # Loopback is down in a new network.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            request = struct.pack("16sH14s", b"lo", 0, b"")
            flags = struct.unpack("16sH14s", fcntl.ioctl(s, 0x8913, request))[1]
            fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", flags | 1, b""))
        return
    for options in (["--net"], ["--net", "--map-root-user"]):
        if subprocess.run(["unshare", *options, "true"], capture_output=True).returncode == 0:
            os.environ["ZEROSHOT_OWN_NETWORK"] = "1"
            os.execvp("unshare", ["unshare", *options, sys.executable, *sys.argv])
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", PORT))
        except OSError:
            documents.skip(f"port {PORT} is in use and a network of its own cannot be had")


def copy_of_the_project(folder):
    """What a fresh clone has, with build/release where it was built."""
    root = folder / "zeroshot"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=documents.SOURCE,
                           capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source = documents.SOURCE / name
        if source.is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, root / name)
    (root / "build").mkdir()
    (root / "build/release").symlink_to(documents.BINARY)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-C", str(root)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
        subprocess.run([*git, *command], check=True)
    return root


def virtual_environment(folder):
    """What `pip install grpcio grpcio-tools tritonclient ./client/python` would have made; its bin folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "client.pth").write_text(f"{documents.PACKAGES}\n{documents.SOURCE / 'client/python'}\n"
                                         f"{documents.SOURCE / '.deps/http-clients'}\n")
    return folder / "bin"


class Document:
    def __init__(self, name, root, home):
        self.name, self.root = name, root
        self.blocks = documents.blocks((documents.SOURCE / name).read_text())
        path = [virtual_environment(home / "venv"), documents.CLIENT.parent, documents.SERVER.parent]
        self.environment = {**os.environ, "HOME": str(home),
                            "PATH": ":".join([*map(str, path), os.environ["PATH"]])}
        self.environment.pop("PYTHONPATH")
        self.server = None
        self.shell = []    # the commands so far, whose variables later ones need
        self.ran, self.failed = 0, []

    def report(self, what, command):
        print(f"{self.name}: {what}: {command.strip()}", flush=True)

    def run(self, arguments, what, **more):
        result = subprocess.run(arguments, cwd=self.root, env=self.environment, text=True, timeout=300,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
        self.ran += 1
        if result.returncode != 0:
            self.failed.append(f"{self.name}: status {result.returncode}: {what.strip()}\n{result.stdout}")
        self.report("ran" if result.returncode == 0 else f"FAILED with {result.returncode}", what)
        return result.stdout

    def start_server(self, command):
        self.server = subprocess.Popen(["bash", "-c", "exec " + command.split("#")[0]], cwd=self.root,
                                       env=self.environment, stderr=subprocess.DEVNULL)
        self.run([documents.CLIENT, "health", "--wait=300s"], command)

    def run_shell(self, command):
        first = command.splitlines()[0]
        for pattern, why in NOT_RUN:
            if re.search(pattern, first):
                return self.report(f"not run ({why})", first)
        program = first.split()[0]
        if program.endswith("zeroshot_server"):
            return self.start_server(command) if self.server is None else None
        if "grpcurl" in command and shutil.which("grpcurl") is None:
            return self.report("SKIPPED (no grpcurl on this machine)", first)
        # Variables and exports of the commands before it; their answers are not asked for again.
        self.run(["bash", "-euo", "pipefail", "-c", "".join(self.shell) + command], command)
        if re.match(r"^(export )?[A-Z_]+=(\$\(|[^ ]*$)", first):
            self.shell.append(command)
        if first.startswith("export "):
            name, _, value = first[len("export "):].strip().partition("=")
            self.environment[name] = value
        return None

    def run_python(self, text):
        output = self.run(["python3", "-c", text], text)
        if "frog" not in output:
            self.failed.append(f"{self.name}: the Python example does not see the frog:\n{output}")

    def run_cpp(self, text, cmake, home):
        """The example in a program of its own, against the installed client."""
        folder = self.root / "build/example"
        folder.mkdir()
        includes = "\n".join(re.findall(r"^#include .*$", text, re.M))
        body = re.sub(r"^#include .*$", "", text, flags=re.M)
        (folder / "main.cc").write_text(f"""
#include <fstream>
#include <iostream>
#include <iterator>
{includes}
absl::Status Example(const std::string& image_bytes) {{
{body}
return absl::OkStatus();
}}
int main(int, char** argv) {{
  std::ifstream file(argv[1], std::ios::binary);
  const absl::Status status = Example(std::string(std::istreambuf_iterator<char>(file), {{}}));
  std::cerr << status << std::endl;
  return status.ok() ? 0 : 1;
}}
""")
        (folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(pets LANGUAGES CXX)\nset(CMAKE_CXX_STANDARD 20)\n"
            "add_executable(pets main.cc)\n" + cmake)
        prefix = home / "installed"
        for command in (
                ["cmake", "--install", "build/release", "--component", "client", "--prefix", str(prefix)],
                ["cmake", "-G", "Ninja", "-S", str(folder), "-B", str(folder / "build"),
                 f"-DCMAKE_PREFIX_PATH={prefix}"],
                ["cmake", "--build", str(folder / "build")]):
            self.run(command, " ".join(command))
        output = self.run([str(folder / "build/pets"), "models/demo/images/frog.png"], text)
        if "frog" not in output:
            self.failed.append(f"{self.name}: the C++ example does not see the frog:\n{output}")
        shutil.rmtree(folder)

    def run_all(self, home):
        cmake = next((text for language, text in self.blocks if language == "cmake"),
                     "find_package(zeroshot-client REQUIRED)\ntarget_link_libraries(pets PRIVATE zeroshot::client)\n")
        if not any("zeroshot_server" in text for _, text in self.blocks):
            self.start_server("zeroshot_server")  # docs/clients.md begins with one that runs
        for index, (language, text) in enumerate(self.blocks):
            if language in ("sh", "bash", "indented"):
                if language == "indented" and re.match(NOT_A_COMMAND, text):
                    continue
                for command in documents.commands(text):
                    self.run_shell(command)
            elif language == "python":
                script = self.script_named_before(index)
                if script is None:
                    self.run_python(text)
                else:
                    (self.root / script).write_text(text)
            elif language == "json":
                (self.root / "service_config.json").write_text(text)
            elif language == "cpp":
                self.run_cpp(text, cmake, home)
            elif language not in ("cmake",):
                self.failed.append(f"{self.name}: a block of '{language}', which this test does not know")

    def script_named_before(self, index):
        """The file that a later command runs, if a Python block is meant to be saved."""
        for language, text in self.blocks[index + 1:]:
            found = re.search(r"python3 (\w+\.py)\b", text)
            if language in ("sh", "indented") and found:
                return found.group(1)
        return None

    def close(self):
        if self.server is not None:
            self.server.terminate()
            self.server.wait(120)
        for name in ("classify.py", "service_config.json"):  # that a reader saves
            (self.root / name).unlink(missing_ok=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=self.root, capture_output=True,
                                 text=True, check=True).stdout
        if changed:
            self.failed.append(f"{self.name}: its commands leave files among the sources:\n{changed}")
        if self.ran < 5:
            self.failed.append(f"{self.name}: only {self.ran} examples were found")


def main():
    own_network()
    documents.need_python_packages()
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name in DOCUMENTS:
            home = folder / "home" / name.replace("/", "-")
            home.mkdir(parents=True)
            place = folder / name.replace("/", "-")
            place.mkdir()
            document = Document(name, copy_of_the_project(place), home)
            try:
                document.run_all(home)
            finally:
                document.close()
            failed += document.failed
    for message in failed:
        print(f"\n{message}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
