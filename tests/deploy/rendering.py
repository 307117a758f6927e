"""What kubectl and Helm make of deploy/. The tools are those that scripts/test
fetches, else this machine's."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/zeroshot"
PACKAGES = ROOT / ".deps/http-clients"  # with yaml and jsonschema_rs


def tool(name):
    """Its path; None: there is none."""
    fetched = ROOT / ".deps/helm" / name
    return str(fetched) if fetched.exists() else shutil.which(name)


def output_of(*command):
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def kustomized(folder):
    return output_of(tool("kubectl"), "kustomize", folder)


def templated(*arguments, release="zeroshot", namespace="zeroshot", notes=False):
    """The chart's objects as YAML; with `notes` what Helm shows besides."""
    command = ["install", release, CHART, "--dry-run=client"] if notes else ["template", release, CHART]
    return output_of(tool("helm"), *command, "--namespace", namespace, *arguments)


def objects_in(text):
    """Of each document of YAML that is not empty."""
    sys.path.insert(0, str(PACKAGES))
    import yaml  # pylint: disable=import-outside-toplevel
    return [one for one in yaml.safe_load_all(text) if one]
