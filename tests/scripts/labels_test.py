"""What ctest knows of the tests of this build: all labels of each, so that -L finds them, and a time limit."""

import json
import os
import subprocess
import unittest


class LabelsTest(unittest.TestCase):
    def test_each_test_has_its_labels_and_a_limit(self):
        listed = subprocess.run(["ctest", "--test-dir", os.environ["ZEROSHOT_BINARY_DIR"], "--show-only=json-v1"],
                                check=True, capture_output=True, text=True, timeout=100)
        sets = set()
        for test in json.loads(listed.stdout)["tests"]:
            if "command" not in test:  # not built here
                continue
            properties = {p["name"]: p["value"] for p in test["properties"]}
            with self.subTest(test["name"]):
                self.assertTrue(properties.get("LABELS"))
                self.assertGreater(properties.get("TIMEOUT", 0), 0)
                self.assertLessEqual(set(properties.get("LABELS", [])), {"unit", "parity", "e2e", "redis", "torch", "cuda", "rules", "scripts", "fuzz"})
            sets.add(frozenset(properties.get("LABELS", [])))
        self.assertIn({"unit"}, sets)
        # Where gtest_discover_tests is given several, it keeps the first only.
        self.assertTrue(any(len(labels) > 1 for labels in sets), sets)


if __name__ == "__main__":
    unittest.main()
