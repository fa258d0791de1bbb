#!/usr/bin/env bash
# Makes the packages, and runs a server from each: a .deb for Debian and what comes of it, and an OCI image without a
# distribution. Both are in target/package then.
#
#     scripts/package.sh          both
#     scripts/package.sh deb      only the one named: deb, image
#
# It takes a release build, some minutes more for cargo-deb the first time, and half a minute. What this machine lacks
# is said and skipped. PROXYHERD_BIN names a program to package instead of building it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

# The version that was tried.
CARGO_DEB_VERSION=3.8.0
# Who the servers of the image are. It is usual in images without a distribution.
IMAGE_USER=65532
# How long a server may take until it answers. A fraction of a second is usual.
READY_SECONDS_MAX=20

out=$root/target/package
scratch=$(mktemp -d)
server=
trap leave EXIT
trap 'exit 130' INT TERM

leave() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$scratch"
}

main() {
    build
    local version
    version=$("$bin" --version)
    version=${version#* }
    for what in "$@"; do
        echo "== $what"
        case $what in
            deb) make_deb ;;
            image) make_image "$version" ;;
            *) die "there is no package $what, only: deb image" ;;
        esac
    done
    echo "package.sh: all done, in $SECONDS s"
}

build() {
    bin=${PROXYHERD_BIN:-}
    if [ -z "$bin" ]; then
        build_release
        bin=$built
    fi
    mkdir -p "$out"
    # A package has no use for the tables of lines.
    strip -o "$out/proxyherd" "$bin"
    bin=$out/proxyherd
    "$bin" man >"$out/proxyherd.1"
    "$bin" completions bash >"$out/proxyherd.bash"
    "$bin" completions zsh >"$out/_proxyherd"
    "$bin" completions fish >"$out/proxyherd.fish"
}

make_deb() {
    local tool=$root/target/tools/bin/cargo-deb deb
    lacks dpkg-deb dpkg && return
    if [ ! -x "$tool" ] &&
        ! cargo install --root "$root/target/tools" --locked --version "$CARGO_DEB_VERSION" cargo-deb; then
        echo "skipped: cargo-deb $CARGO_DEB_VERSION cannot be installed"
        return
    fi
    rm -f "$out"/*.deb
    "$tool" --no-build --no-strip --locked --package proxyherd --output "$out/" >/dev/null
    deb=$(echo "$out"/*.deb)
    dpkg-deb --info "$deb" | sed -n 's/^ \(Package\|Version\|Depends\|Installed-Size\)/\1/p'
    # That a first package closes no report of a bug matters to the archive of Debian alone.
    lacks lintian lintian || lintian --allow-root --fail-on error,warning --tag-display-limit 0 \
        --suppress-tags initial-upload-closes-no-bugs "$deb"
    installs "$deb"
    scripts/deploy/booted.sh "$deb" || [ $? -eq 77 ]
    echo "made, checked, and a server ran from it: $deb"
}

# installs DEB: dpkg installs it in a root that has no more than the package needs, its scripts run there, a server runs
# from it, and the package goes without a trace of its own.
installs() {
    local image=$scratch/debian library
    if [ "$(id -u)" -ne 0 ]; then
        echo "skipped: to install it in a root of its own needs root; it is only unpacked"
        dpkg-deb --extract "$1" "$image" && "$image/usr/bin/proxyherd" --version
        return
    fi
    mkdir -p "$image"/{dev,tmp,var/lib/dpkg/{info,updates}}
    touch "$image/var/lib/dpkg/status" "$image/dev/null"
    needs "$bin" /bin/sh /bin/mkdir /bin/rm /bin/rmdir | while read -r library; do
        cp --parents -L "$library" "$image"
    done
    dpkg --root="$image" --force-depends --install "$1" >/dev/null 2>"$scratch/dpkg" ||
        die "dpkg cannot install it: $(cat "$scratch/dpkg")"
    runs_in "$image"
    dpkg --root="$image" --purge proxyherd >/dev/null 2>"$scratch/dpkg" ||
        die "dpkg cannot remove it: $(cat "$scratch/dpkg")"
    if [ -e "$image/usr/bin/proxyherd" ] || [ -e "$image/etc/default/proxyherd" ]; then die "purge left something"; fi
}

make_image() {
    local image=$scratch/image container mounted
    local name=localhost/proxyherd:$1 archive=$out/proxyherd-$1.oci.tar
    lacks buildah buildah && return
    if [ "$(id -u)" -ne 0 ]; then
        echo "skipped: this needs root"
        return
    fi
    files_of_image "$image"
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$image" / >/dev/null
    buildah config --user "$IMAGE_USER:$IMAGE_USER" --workingdir /var/lib/proxyherd --volume /var/lib/proxyherd \
        --port 12550 --port 12650 --port 12750 --stop-signal SIGTERM --entrypoint '["/usr/bin/proxyherd"]' \
        --cmd '' --label org.opencontainers.image.title=proxyherd --label "org.opencontainers.image.version=$1" \
        --label org.opencontainers.image.licenses=MIT "$container"
    rm -f "$archive"
    buildah commit --quiet "$container" "$name" >/dev/null
    buildah rm "$container" >/dev/null
    buildah push --quiet "$name" "oci-archive:$archive:proxyherd:$1"
    # What is run is what the archive has.
    container=$(buildah from "oci-archive:$archive")
    mounted=$(buildah mount "$container")
    cp -a "$mounted" "$scratch/unpacked"
    buildah rm "$container" >/dev/null
    runs_in "$scratch/unpacked"
    echo "made, and a server ran from its files: $archive ($(du -h "$archive" | cut -f 1))"
}

# Nothing of it stays in the storage of this machine, and it needs no privileges that a container lacks.
buildah() {
    command buildah --root "$scratch/storage" --runroot "$scratch/containers" --storage-driver vfs "$@"
}

# files_of_image FOLDER: the program, the libraries that it is linked with and those that look names up, the names of
# certificate authorities, and a folder that its user may write.
files_of_image() {
    local file
    mkdir -p "$1"/{etc/ssl/certs,usr/bin,tmp,run,var/lib/proxyherd}
    cp "$bin" "$1/usr/bin/proxyherd"
    needs "$bin" | grep -v -x -F "$bin" | while read -r file; do cp --parents -L "$file" "$1"; done
    for file in /lib/*-linux-gnu/libnss_{files,dns}.so.2 /lib/*-linux-gnu/libresolv.so.2; do
        [ ! -e "$file" ] || cp --parents -L "$file" "$1"
    done
    echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
    echo "proxyherd:x:$IMAGE_USER:$IMAGE_USER::/var/lib/proxyherd:/nonexistent" >"$1/etc/passwd"
    echo "proxyherd:x:$IMAGE_USER:" >"$1/etc/group"
    chmod 1777 "$1/tmp"
    chown "$IMAGE_USER:$IMAGE_USER" "$1/var/lib/proxyherd"
}

# needs PROGRAM...: them, and the libraries that they are linked with.
needs() {
    { printf '%s\n' "$@"; ldd "$@" | grep -o '/[^ ]*' | grep -v ':$'; } | sort -u
}

# runs_in ROOT: a server runs in this root, as a user of no rights and in a network of its own; it takes a report, and
# still has it after it was stopped and started again.
runs_in() {
    mkdir -p "$1"/{proc,dev,etc/proxyherd,var/lib/proxyherd}
    chown "$IMAGE_USER:$IMAGE_USER" "$1/var/lib/proxyherd"
    printf '[servers.solo]\n%s = "127.0.0.1:%s"\n%s = "127.0.0.1:%s"\n' client 12550 peer 12650 \
        >"$1/etc/proxyherd/herd.toml"
    unshare --mount --net --pid --fork --kill-child "$0" --inside "$1" || die "no server runs from $1"
}

inside() {
    local image=$1 expected answer
    ip link set lo up
    # As containers have it.
    mount -t proc proc "$image/proc"
    mount --rbind /dev "$image/dev"
    for expected in "IAMAT kiwi +34.06-118.44 1" "WHATSAT kiwi 1 1"; do
        in_image serve solo --herd /etc/proxyherd/herd.toml --data-dir /var/lib/proxyherd/solo \
            --log-dir /var/lib/proxyherd &
        server=$!
        until [ "$(said x)" = "? x" ]; do
            kill -0 "$server" || die "the server has ended"
            [ "$SECONDS" -lt "$READY_SECONDS_MAX" ] || die "the server does not answer"
            sleep 0.1
        done
        answer=$(said "$expected")
        [[ $answer = "AT solo +"*" kiwi +34.06-118.44 1"* ]] || die "$expected is answered: $answer"
        kill -TERM "$server"
        wait "$server"
        server=
    done
}

in_image() { exec chroot --userspec="$IMAGE_USER:$IMAGE_USER" "$image" /usr/bin/proxyherd "$@"; }

said() { (echo "$1" | in_image client 127.0.0.1:12550 2>/dev/null) || true; }

# lacks PROGRAM PACKAGE
lacks() {
    ! command -v "$1" >/dev/null || return
    echo "skipped: this needs $1 (Debian: apt-get install $2)"
}

if [ "${1-}" = --inside ]; then
    inside "$2"
    exit
fi
[ $# -gt 0 ] || set -- deb image
main "$@"
