#!/usr/bin/env bash
# What one would expect: a file whose room was taken by `fallocate`, and that was written in full and flushed, can be
# overwritten in place even when the disk is full. `cp` of it takes room for the copy, and changes nothing about it.
# What happens: on XFS, `cp` of coreutils 9 clones the file without being asked, so the copy is free, and each block of
# the *original* needs new room when it is next overwritten. On a full disk that fails with ENOSPC.
# Whom it hurts: who keeps preallocated journals, ring buffers or mapped files in which a store must not fail, and
# backs them up with `cp` while they are in use.
#
# Needs Linux with XFS, root and a loop device; xfsprogs is installed if it is missing. Takes a few seconds.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || { echo "skipped: this needs root, to mount a file system"; exit 0; }
PATH=$PATH:/usr/sbin:/sbin
if ! command -v mkfs.xfs >/dev/null; then
    { apt-get update && apt-get install --yes --no-install-recommends xfsprogs; } >/dev/null 2>&1
fi
folder=$(mktemp -d)
trap 'umount "$folder/disk" 2>/dev/null || true; rm -rf "$folder"' EXIT
uname -sr
mkfs.xfs -V
cp --version | head -1
truncate -s 320M "$folder/image"
mkfs.xfs -q "$folder/image"
mkdir "$folder/disk"
mount -o loop "$folder/image" "$folder/disk"
DISK=$folder/disk python3 - <<'PYTHON'
import errno, os, subprocess, sys, time

disk, size = os.environ["DISK"], 16 << 20


def free():
    return os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize


def fill():
    """Takes all the room that is left."""
    rest = os.open(disk + "/rest", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for piece in (1 << 20, 4096):
        try:
            while True:
                os.write(rest, b"x" * piece)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
    os.fsync(rest)
    os.close(rest)


def overwrite(journal, byte):
    try:
        for at in range(0, size, 1 << 16):
            os.pwrite(journal, byte * (1 << 16), at)
        os.fsync(journal)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


journal = os.open(disk + "/journal", os.O_CREAT | os.O_RDWR)
os.posix_fallocate(journal, 0, size)
overwrite(journal, b"a")
fill()
alone = overwrite(journal, b"b")
print(f"on a full disk: {alone}")
os.unlink(disk + "/rest")
# XFS gives the room of a removed file back a little later.
before = -1
while before != free():
    before = free()
    time.sleep(0.5)
subprocess.check_call(["cp", disk + "/journal", disk + "/backup"])
os.sync()
taken = before - free()
print(f"the copy of {size >> 20} MiB has taken {taken >> 20} MiB")
fill()
copied = overwrite(journal, b"c")
print(f"on a full disk, after cp: {copied}")
sys.exit((alone, copied) != ("ok", "ENOSPC") or taken >= size // 2)
PYTHON
