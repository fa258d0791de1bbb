#!/usr/bin/env bash
# What one would expect: `pwrite` writes at its offset, whatever flags the file was opened with, as POSIX demands.
# What happens: on Linux a file that was opened with O_APPEND grows: `pwrite` ignores the offset, and returns the full
# count. `pread` takes the offset as it should. Python's `open(path, "ab")` and Rust's `append(true)` set that flag.
# Whom it hurts: journals that append, and go back to mend a header or to fill a place that they preallocated. The
# header stays as it was, and the bytes are behind the last record, where the next start takes them for one.
#
# Needs Linux and Python 3. Takes a second.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uname -sr
FILE=$folder/journal python3 - <<'PYTHON'
import os, sys

path, seen = os.environ["FILE"], {}
for name, flag in (("without O_APPEND", 0), ("with O_APPEND", os.O_APPEND)):
    with open(path, "wb") as file:
        file.write(b"count=0\nrecord\n")
    journal = os.open(path, os.O_RDWR | flag)
    written = os.pwrite(journal, b"count=1\n", 0)
    seen[name] = (written, os.pread(journal, 8, 0), os.fstat(journal).st_size)
    os.close(journal)
    print(f"{name}: wrote {written} bytes at 0, there is {seen[name][1]}, the file has {seen[name][2]} bytes")
sys.exit(list(seen.values()) != [(8, b"count=1\n", 15), (8, b"count=0\n", 23)])
PYTHON
