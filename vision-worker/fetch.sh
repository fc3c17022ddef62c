# What the fetch scripts share; sourced, not run. Everything is pinned by SHA-256, nothing is fetched twice, and a
# folder named by GATEPOST_OFFLINE is looked into before any package index is asked.

cache="${GATEPOST_CACHE_DIR:-$HOME/.cache/gatepost}"

say() { echo "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# sha256 FILE: its digest. macOS has shasum instead of sha256sum.
sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1" | cut -d' ' -f1
    else
        shasum -a 256 "$1" | cut -d' ' -f1
    fi
}

# is_whole FILE DIGEST: whether the file is there and is the right one.
is_whole() {
    [[ -f $1 && $(sha256 "$1") == "$2" ]]
}

# take FILE DIGEST FOLDER: copies a file into a folder, by way of a name that no reader looks for.
take() {
    is_whole "$1" "$2" || die "$1 is not the expected file: SHA-256 $(sha256 "$1"), expected $2"
    mkdir -p "$3"
    cp "$1" "$3/.partial.$$"
    mv "$3/.partial.$$" "$3/$(basename "$1")"
}

# Sets `pip` to a pip that works: the system's, else one in an environment of our own, else Debian's package.
find_pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        pip=(python3 -m pip)
        return
    fi
    local venv="$cache/python"
    if [[ -x $venv/bin/pip ]] || python3 -m venv "$venv" >/dev/null 2>&1; then
        pip=("$venv/bin/pip")
        return
    fi
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        say "installing python3-pip"
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 python3-pip >&2
        pip=(python3 -m pip)
        return
    fi
    die "python3 with pip is needed: as root, apt-get install python3-pip (Debian); brew install python3 (macOS)"
}

# download NAME VERSION DIGEST FOLDER [PIP OPTION..]: a Python package's archive, refused unless it has the digest.
download() {
    local name=$1 version=$2 digest=$3 folder=$4
    shift 4
    find_pip
    say "downloading $name $version"
    local work
    work=$(mktemp -d)
    echo "$name==$version --hash=sha256:$digest" >"$work/requirements"
    "${pip[@]}" download --quiet --disable-pip-version-check --no-deps --require-hashes "$@" \
        --requirement "$work/requirements" --dest "$work/archive" >&2
    local archive
    for archive in "$work/archive"/*; do
        take "$archive" "$digest" "$folder"
    done
    rm -rf "$work"
}
