"""What `cmake --install` makes runs from any folder, on nothing of the tree that
it was built in. BUILD and CMAKE are set by CMakeLists.txt."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["BUILD"])
CMAKE = os.environ["CMAKE"]
# Nothing that would help to find a library.
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
GLIBC = r"/(ld-linux-x86-64|lib(anl|c|dl|m|nss_\w+|pthread|resolv|rt|util))\.so\.\d+$"


def install(prefix, *components):
    for component in components or [None]:
        chosen = ["--component", component] if component else []
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", prefix, *chosen],
                       check=True, stdout=subprocess.DEVNULL)


class Server:
    """The installed one, on a free port, asked by the client beside it."""

    def __init__(self, prefix, *flags):
        self.prefix = prefix
        self.process = subprocess.Popen(
            [prefix / "bin/zeroshot_server", *flags, "--listen=127.0.0.1:0", "--metrics_listen=",
             "--drain_grace=0s"],
            cwd="/", env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if serving := re.search(r"serving.* at (127\.0\.0\.1:\d+)", line):
                self.address = serving[1]
                return
        raise AssertionError(f"the server ended with {self.process.wait()}: {self.said}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.said += self.process.stdout.read()
        self.process.stdout.close()
        if status := self.process.wait():
            raise AssertionError(f"the server ended with {status}: {self.said}")

    def files_in_memory(self):
        maps = pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()
        return set(re.findall(r"(?m) (/.*)$", maps))

    def best_class(self, image, client):
        answer = subprocess.run(
            [client, f"--target={self.address}", "classify", "--classes=frog,apple,car", "--json", image],
            cwd="/", env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
        return json.loads(answer)["predictions"][0]["class_name"]


folder = prefix = None


def setUpModule():
    global folder, prefix
    folder = pathlib.Path(tempfile.mkdtemp(prefix="installed-", dir=BUILD))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    install(folder / "first")
    prefix = folder / "moved with spaces"
    (folder / "first").rename(prefix)


def libraries_of_others(files):
    """Those that are neither the prefix's nor glibc's."""
    return [file for file in files if ".so" in file
            and not file.startswith(f"{prefix}/") and not re.search(GLIBC, file)]


class Installed(unittest.TestCase):
    def test_a_moved_prefix_serves_its_own_model_with_its_own_libtorch(self):
        with Server(prefix, "--model=demo") as server:
            for image in ["frog.png", "apple.png", "car.png"]:
                path = prefix / "share/zeroshot/models/demo/images" / image
                self.assertEqual(server.best_class(path, prefix / "bin/zeroshot_client"), path.stem)
            files = server.files_in_memory()
        self.assertIn(str(prefix / "lib/zeroshot/torch/lib/libtorch_cpu.so"), files)
        self.assertIn("libgrpc++.so", " ".join(libraries_of_others(files)))
        # All else is the system's: nothing of the tree that it was built in.
        self.assertEqual([file for file in libraries_of_others(files)
                          if not file.startswith(("/usr/lib/", "/lib/"))], [])

    def test_client_library_and_licences_come_with_it(self):
        for file in ["include/zeroshot-client/client/client.h", "lib/libzeroshot_client_lib.a",
                     "share/zeroshot/proto/zeroshot/v1/zeroshot.proto",
                     "share/doc/zeroshot/THIRD_PARTY_NOTICES.md",
                     "lib/zeroshot/torch-2.11.0.dist-info/licenses/LICENSE"]:
            self.assertTrue((prefix / file).exists(), file)


class Packaged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install(prefix, "package", "bundled")

    def test_the_archive_s_libraries_are_all_but_glibc(self):
        flagfile = prefix / "etc/zeroshot/server.flags"
        with Server(prefix, f"--flagfile={flagfile}", f"--disk_store={folder / 'weight-sets'}") as server:
            image = prefix / "share/zeroshot/models/demo/images/frog.png"
            self.assertEqual(server.best_class(image, prefix / "bin/zeroshot_client"), "frog")
            self.assertEqual(libraries_of_others(server.files_in_memory()), [])
        for library in (prefix / "lib/zeroshot/bundled").iterdir():
            self.assertTrue(library.exists(), f"{library} is a link to nothing")

    def test_the_service_s_flags_are_flags(self):
        # Those that are commented out too.
        known = subprocess.run([prefix / "bin/zeroshot_server", "--help"], env=ENVIRONMENT,
                               capture_output=True, text=True).stdout
        mentioned = re.findall(r"(?m)^#?--([a-z_]+)=", (prefix / "etc/zeroshot/server.flags").read_text())
        self.assertGreater(len(mentioned), 4)
        for name in mentioned:
            self.assertRegex(known, rf"--{name}\b")


if __name__ == "__main__":
    unittest.main()
