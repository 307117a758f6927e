"""scripts/gpu-check with stand-ins for the programs that it runs: what a run leaves behind, and when it is red."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu-check"
GOOD = "echo '[ RUN      ] A.b'; echo '  worst cosine 0.99995'; echo '  worst cosine 0.9999'; echo '[       OK ] A.b (1 ms)'"
SKIPPED = "echo '[ RUN      ] A.b'; echo 'not run: no CUDA device'; echo '[  SKIPPED ] A.b (0 ms)'"
FAILED = "echo '[ RUN      ] A.b'; echo '[  FAILED  ] A.b (1 ms)'; exit 1"
TESTS = ("cuda_kernels_gpu_test", "cuda_towers_test", "cuda_test", "cuda_lost_device_test")
GPU = "NVIDIA H200, 580.159.04, 143771 MiB, 700.00 W, 1980 MHz, 5, 16, 9.0, Disabled"


class GpuCheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.pack, self.out = self.folder / "pack", self.folder / "out"
        tests = {name: {"labels": ["cuda"], "path": ""} for name in TESTS}
        self.write("pack/packed.json", json.dumps({"tests": tests, "source": str(ROOT), "commit": "c0ffee"}))
        for name in (*TESTS, "time_tower"):
            self.program(f"pack/bin/{name}", GOOD)
        self.program("path/nvidia-smi", f"case $* in *-lms*) while :; do echo 1980 MHz; sleep 0.1; done;; *) echo '{GPU}';; esac")
        # Python's torch, as far as it is asked here: it has no bench/gpu.py to offer.
        self.write("python/torch/__init__.py", "__version__ = '2.11.0+cu130'\nclass cuda:\n    is_available = staticmethod(lambda: True)\n")

    def write(self, path, text):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, path, text):
        self.write(path, f"#!/bin/bash\n{text}\n").chmod(0o755)

    def start(self, *flags):
        environment = os.environ | {"PATH": f"{self.folder / 'path'}:{os.environ['PATH']}", "PYTHONPATH": str(self.folder / "python")}
        return subprocess.Popen([sys.executable, SCRIPT, f"--packed={self.pack}", f"--out={self.out}", "--rental", *flags],
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run_to_end(self, *flags):
        with self.start(*flags) as process:
            output = process.communicate(timeout=600)[0]
        return process.returncode, self.report(), output

    def report(self):
        path = self.out / "report.md"
        return path.read_text() if path.exists() else ""

    def wait_for(self, text):
        end = time.monotonic() + 600
        while text not in self.report():
            self.assertLess(time.monotonic(), end, self.report())
            time.sleep(0.02)

    def test_stages_run_in_the_order_that_is_listed_and_a_good_run_is_green(self):
        code, report, output = self.run_to_end("--only=lost device;tests;smoke")
        self.assertEqual(code, 0, output)
        self.assertEqual(re.findall(r"^## ([a-z ]+) \(", report, re.M), ["machine", "smoke", "tests", "lost device"])
        self.assertIn(GPU, report)
        self.assertIn("| cuda_towers_test | 1 passed; worst cosine 0.9999 of 2 |", report)
        self.assertIn("Green", report)
        self.assertIn("1980 MHz", (self.out / "smi.csv").read_text())
        self.assertLessEqual(len(list(self.out.iterdir())), 8)

    def test_what_is_wanted_most_comes_first(self):
        listed = subprocess.run([sys.executable, SCRIPT, "--stages", f"--out={self.out}"], check=True, capture_output=True, text=True).stdout
        names = [line.split(":")[0] for line in listed.splitlines()]
        wanted = ["machine", "smoke", "tests", "ceilings", "ours ViT-B/32", "ours ViT-L/14", "notebook"]
        self.assertEqual(names[:7], wanted)
        self.assertEqual(names[-1], "lost device")
        seconds = [int(re.search(r": (\d+) s", line)[1]) for line in listed.splitlines()]
        self.assertLessEqual(sum(seconds[:7]), 560)  # these are done whatever the others take

    def test_a_skipped_test_of_the_gpu_is_red_and_says_why(self):
        self.program("pack/bin/cuda_towers_test", SKIPPED)
        code, report, _ = self.run_to_end("--only=tests")
        self.assertEqual(code, 1)
        self.assertIn("RED: cuda_towers_test: 0 passed, 1 skipped (not run: no CUDA device)", report)

    def test_in_a_rehearsal_without_a_gpu_it_is_not(self):
        self.program("pack/bin/cuda_towers_test", SKIPPED)
        code, report, output = self.run_to_end("--only=tests", "--device=cpu", "--tiny")
        self.assertEqual(code, 0, output)
        self.assertIn("A rehearsal on the CPU", report)

    def test_a_program_that_runs_no_test_is_red(self):
        self.program("pack/bin/cuda_towers_test", "true")
        self.assertEqual(self.run_to_end("--only=tests")[0], 1)

    def test_after_a_failure_the_next_stage_begins(self):
        self.program("pack/bin/cuda_kernels_gpu_test", FAILED)
        code, report, _ = self.run_to_end("--only=tests;lost device")
        self.assertEqual(code, 1)
        self.assertIn("failed: A.b", report)
        self.assertIn("| cuda_lost_device_test | 1 passed", report)

    def test_a_smoke_test_that_fails_ends_the_run(self):
        self.program("pack/bin/time_tower", "echo $CUDA_LAUNCH_BLOCKING: no kernel image; exit 1")
        code, report, _ = self.run_to_end("--only=smoke;tests")
        self.assertEqual(code, 1)
        self.assertIn("1: no kernel image", report)
        self.assertNotIn("## tests", report)

    def test_what_a_killed_run_had_found_is_in_the_report(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                self.program("pack/bin/cuda_test", f"echo $$ >{self.folder}/pid; sleep 600")
                with self.start("--only=tests") as process:
                    self.wait_for("| cuda_towers_test | 1 passed")
                    process.send_signal(number)
                    process.communicate(timeout=600)
                self.assertIn("| cuda_kernels_gpu_test | 1 passed", self.report())
                if number == signal.SIGTERM:
                    self.assertIn("RED: stopped by signal 15", self.report())

    def test_at_its_limit_a_stage_ends_with_all_that_it_started(self):
        self.program("pack/bin/cuda_kernels_gpu_test", f"echo '[ RUN      ] A.slow'; sleep 600 & echo $! >{self.folder}/pid; wait")
        code, report, _ = self.run_to_end("--only=tests", "--scale=0.2")
        self.assertEqual(code, 1)
        self.assertIn("cut off in A.slow", report)
        with self.assertRaises(ProcessLookupError):
            for _ in range(1000):  # until init has taken it
                os.kill(int((self.folder / "pid").read_text()), 0)
                time.sleep(0.05)

    def test_stages_that_the_deadline_leaves_no_time_for_are_told(self):
        code, report, output = self.run_to_end("--only=tests;lost device", "--deadline=9")
        self.assertIn("s are left: tests", report)

    def test_another_torch_or_an_old_driver_is_red(self):
        self.program("path/nvidia-smi", f"echo '{GPU.replace('580.', '570.')}'")
        self.write("python/torch/__init__.py", "__version__ = '2.10.0'\nclass cuda:\n    is_available = staticmethod(lambda: False)\n")
        code, report, _ = self.run_to_end("--only=lost device")
        self.assertEqual(code, 1)
        self.assertIn("RED: this Python's torch is 2.10.0", report)
        self.assertIn("RED: CUDA 13 needs NVIDIA's driver 580 or newer", report)

    def test_kernels_are_told_by_the_time_that_they_take(self):
        self.program("path/ncu", """
echo '==PROF== Connected to process 1'
echo '"ID","Process ID","Kernel Name","dram__bytes.sum","gpu__time_duration.sum"'
echo '"","","","byte","ns"'
echo '"0","1","AddNormKernel","3,000","1,000"'
echo '"1","1","gemm","8000","4000"'
echo '"2","1","AddNormKernel","3000","2000"'
""")
        self.write("pack/checkpoints/ViT-L-14.pt", "")
        code, report, output = self.run_to_end("--only=kernels")
        self.assertEqual(code, 0, output)
        rows = [line for line in report.splitlines() if line.startswith("| gemm") or line.startswith("| AddNorm")]
        self.assertEqual(rows, ["| gemm | 1 | 0.004 | 57.1 % | 2 |", "| AddNormKernel | 2 | 0.003 | 42.9 % | 2 |"])


if __name__ == "__main__":
    unittest.main()
