# shellcheck shell=bash
# Sourced by the scripts beside it: bare roots of Debian and Ubuntu releases, made
# by mmdebstrap from this machine's own apt sources where it runs the same
# distribution, and commands in them. Needs root. What is mounted or started for
# a root is in namespaces of its own and ends with its command, however that ends.

readonly root_suites=(bookworm trixie noble)
readonly not_reachable=3  # status of make_root

need_mmdebstrap() {
  ((EUID == 0)) || fail "bare roots are made and entered as root: run it as root or through sudo"
  command -v mmdebstrap >/dev/null && return
  command -v apt-get >/dev/null || fail "mmdebstrap is missing, and this machine has no apt-get to install it with"
  step "packages: installing mmdebstrap"
  apt-get -q -y update >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends mmdebstrap >/dev/null ||
    fail "mmdebstrap is missing and cannot be installed; as root run: apt-get install mmdebstrap"
}

# isolated COMMAND...: in namespaces for mounts and processes. Runs beside the
# script, so that a signal ends both at once.
isolated() {
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc -- "$@" &
  isolated_job=$!
  local status=0
  wait "$isolated_job" || status=$?
  isolated_job=''
  return "$status"
}
isolated_job=''

# For the caller's trap: ends what runs isolated and removes the folder.
remove_root() {  # FOLDER
  if [[ -n $isolated_job ]]; then
    kill -KILL "$isolated_job" 2>/dev/null || true
    wait "$isolated_job" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$1" "$1.keyring" "$1.apt"
}

distribution_of() {
  case $1 in
    noble) echo ubuntu ;;
    *) echo debian ;;
  esac
}

# How this machine's apt reaches archives: proxies, certificates, checks.
host_apt_options() {
  apt-config dump --format '%F "%v";%n' | grep -E '^Acquire::(https?::|Check-|Retries|ForceIPv)' || true
}

# host_sources SUITE COMPONENTS: apt lines for a suite, from where this machine
# gets its own release of the same distribution; nothing if it runs another one,
# for which mmdebstrap knows the usual archive.
host_sources() {
  local suite=$1 components=$2 ID='' VERSION_CODENAME=''
  # shellcheck source=/dev/null
  source /etc/os-release
  [[ $ID == "$(distribution_of "$suite")" && -n $VERSION_CODENAME ]] || return 0
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
    sort -u | awk -v own="$VERSION_CODENAME" -v suite="$suite" -v origin="$ID" -v components="$components" '
      tolower($3) == origin && $2 ~ "^" own "(-updates|-security)?$" {
        sub("^" own, suite, $2); print "deb", $1, $2, components }'
}

# Sets `keyring` to a file with the keys of Ubuntu's archive. Where this machine
# has none: Debian 13 packages them, which Debian signs.
find_ubuntu_keyring() {  # FOLDER
  local file=usr/share/keyrings/ubuntu-archive-keyring.gpg sources
  keyring=/$file
  [[ ! -f $keyring ]] || return 0
  keyring=$1/$file
  sources=$(host_sources trixie main)
  isolated mmdebstrap --quiet --variant=extract --include=ubuntu-keyring trixie "$1" ${sources:+"$sources"} \
    >/dev/null 2>&1 </dev/null
}

# make_root SUITE FOLDER VARIANT LOG [OPTION...]: a root without anything that is
# not asked for by mmdebstrap's options; with .tar at its end an archive of it.
# Status $not_reachable: its packages cannot be had from here; the log says why.
make_root() {
  local suite=$1 place=$2 variant=$3 log=$4 components=main options=() sources keyring status=0
  shift 4
  rm -rf --one-file-system "$place"
  if [[ $(distribution_of "$suite") == ubuntu ]]; then
    components=main,universe
    find_ubuntu_keyring "$place.keyring" || {
      echo "E: the keys of Ubuntu's archive are neither here nor to be had from Debian 13: install the package ubuntu-keyring" >"$log"
      return "$not_reachable"
    }
    options+=(--keyring="$keyring")
  fi
  host_apt_options >"$place.apt"
  sources=$(host_sources "$suite" "${components/,/ }")
  [[ $sources != *" https:"* ]] || options+=(--include=ca-certificates)
  # Nobody needs the root after a crash: dpkg need not wait for the disk.
  isolated mmdebstrap --variant="$variant" --components="$components" --aptopt="$place.apt" \
    --dpkgopt=force-unsafe-io "${options[@]}" "$@" "$suite" "$place" ${sources:+"$sources"} >"$log" 2>&1 </dev/null || status=$?
  rm -rf "$place.apt" "$place.keyring"
  if ((status)); then
    ! grep -q '^E: apt-get update.* failed' "$log" || return "$not_reachable"
    return 1
  fi
  [[ ! -d $place ]] || cp -L /etc/resolv.conf "$place/etc/resolv.conf"
  # Every installed machine has this file.
  [[ ! -d $place || -s $place/etc/hosts ]] ||
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$place/etc/hosts"
}

# pip's configuration on this machine, from its files and the environment, and
# what other programs read of proxies, as NAME=VALUE lines. Certificates are
# copied into the root, where its own packages do not write.
host_environment() {  # FOLDER
  local line name value
  {
    "$(python_with_pip)" -m pip config list 2>/dev/null |
      sed -nE "s/^(global|download|:env:)\.([a-z-]+)='(.*)'\$/\2 \3/p" |
      while read -r name value; do
        name=${name^^}
        echo "PIP_${name//-/_}=$value"
      done
    env | grep -iE '^(https?|ftp|all|no)_proxy=|^(SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)=' || true
  } | while IFS= read -r line; do
    name=${line%%=*} value=${line#*=}
    if [[ -f $value ]]; then
      mkdir -p "$1/opt/host"
      cp -L "$value" "$1/opt/host/$name"
      value=/opt/host/$name
    fi
    printf '%s=%s\n' "$name" "$value"
  done
}

# in_root FOLDER COMMAND: a shell's command in the root, with /proc, /dev and
# this machine's configuration for pip. root_binds holds FROM:TO for folders
# of this machine that are mounted into it, root_environment NAME=VALUE.
in_root() {
  local place=$1 environment
  mapfile -t environment < <(host_environment "$place")
  # shellcheck disable=SC2016
  isolated bash -euc '
    root=$1 command=$2 binds=$3
    shift 3
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    for bind in $binds; do
      mkdir -p "${bind%%:*}" "$root${bind#*:}"
      mount --bind "${bind%%:*}" "$root${bind#*:}"
    done
    exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" bash -c "$command"
  ' in_root "$place" "$2" "${root_binds[*]}" "${environment[@]}" \
    "${root_environment[@]}"
}
root_binds=() root_environment=()
