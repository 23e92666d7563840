# Fetches what packaging/build needs beside cargo and python3. Read by scripts with `.`, in the root of the repository.
# shellcheck shell=bash

tools=$PWD/target/tools/packaging
export PATH=$tools/bin:$PATH

# Installs Debian packages whose programs are missing: program=package. Without root, says what is missing.
need_programs() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        printf 'missing: %s (Debian'\''s names)\n' "${missing[*]}" >&2
        return 1
    fi
    {
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}"
    } >&2
}

# A linker and libraries for both architectures and for an older glibc: zig, by way of cargo-zigbuild, both from PyPI.
need_zig() {
    local wanted=packaging/requirements.txt
    cmp -s "$wanted" "$tools/requirements.txt" && return 0
    python3 -c 'import ensurepip' 2>/dev/null || need_programs ensurepip=python3-venv
    python3 -m venv --clear "$tools"
    "$tools/bin/pip" --quiet --disable-pip-version-check install --require-hashes --requirement "$wanted"
    cp "$wanted" "$tools/requirements.txt"
}

# The standard library for a target.
need_target() {
    rustup target list --installed | grep -qx "$1" || rustup --quiet target add "$1"
}

# What writes the SBOM; some minutes to compile, once.
need_cyclonedx() {
    local cargo_tools=$PWD/target/tools/cargo
    export PATH=$cargo_tools/bin:$PATH
    command -v cargo-cyclonedx >/dev/null ||
        cargo install cargo-cyclonedx --version 0.5.9 --locked --quiet --root "$cargo_tools" >&2
}
