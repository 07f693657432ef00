# Shared by script/test and script/demo (sourced, from the top of the repository).

heading() { printf '\n=== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Installs those of the named Debian packages that are missing; asks apt only then.
need_packages() {
    local missing=() name
    command -v dpkg-query >/dev/null || {
        printf 'This is no Debian; the tools of these packages are taken to be here: %s\n' "$*"
        return
    }
    for name in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    apt_get install -y --no-install-recommends "${missing[@]}"
}

apt_get() {
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "As root, please: apt-get $*"
        as_root=(sudo)
    fi
    printf 'apt-get %s\n' "$*"
    # A list that is missing or old is the usual reason for a failure.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" && return
    "${as_root[@]}" apt-get -qq update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
}

# Sets and exports CARGO to a cargo that is new enough: one that is there, else
# Debian's. With the argument "lints", clippy and rustfmt have to be there too.
need_cargo() {
    local wanted found packages=(cargo-web rustc-web) lints=(rust-web-clippy rustfmt-web)
    wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
    # Debian 12 has a new Rust beside its old one; later releases have only one.
    if command -v apt-cache >/dev/null && ! apt-cache show cargo-web >/dev/null 2>&1 && apt-cache show cargo >/dev/null 2>&1; then
        packages=(cargo rustc) lints=(rust-clippy rustfmt)
    fi
    found=$(find_cargo "$wanted") || {
        need_packages "${packages[@]}"
        found=$(find_cargo "$wanted") || fail "There is no cargo $wanted or newer, and no package has one."
    }
    export CARGO=$found
    PATH=$(dirname "$CARGO"):$PATH
    printf 'cargo: %s (%s)\n' "$CARGO" "$("$CARGO" --version)"
    [[ ${1-} == lints ]] || return 0
    if ! "$CARGO" clippy --version >/dev/null 2>&1 || ! "$CARGO" fmt --version >/dev/null 2>&1; then
        # Only beside the cargo that they belong to.
        [[ $CARGO == /usr/bin/cargo ]] || fail "$CARGO has no clippy or no rustfmt; for a rustup: rustup component add clippy rustfmt"
        need_packages "${lints[@]}"
    fi
}

find_cargo() {
    local wanted=$1 candidate version
    for candidate in "${CARGO-}" "$(command -v cargo)" "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
        [[ -n $candidate && -x $candidate ]] || continue
        version=$("$candidate" --version 2>/dev/null | awk '{ print $2 }')
        [[ -n $version && $(printf '%s\n%s\n' "$wanted" "$version" | sort -V | head -n 1) == "$wanted" ]] || continue
        printf '%s\n' "$candidate"
        return
    done
    return 1
}

# What it takes to build and to run; the tests need more.
build_packages=(gcc make libperl-dev libclang-dev libanyevent-perl libev-perl libfuture-perl
    libmodule-runtime-perl libmoo-perl libthrowable-perl zookeeper)

build() {
    PERL_ZOOKEEPER_BUILD_STRICT=1 "$PERL" Makefile.PL && make
}
