#!/usr/bin/env bash
# What one would expect: a socket timeout of 10 s ends 10 s after its own read began, give or take a tick of some
# milliseconds. So reads that begin spread over a second end spread over a second.
# What happens: the timeouts of SO_RCVTIMEO and SO_SNDTIMEO stand in the kernel's timer wheel, whose steps grow with
# the time: on a kernel of 250 Hz they are 32 ms from 0.25 s on, 256 ms from 2 s on, and 2 s from 16 s on. Each ends
# late, at the next step, and all reads of a step end in the same moment. `poll` with the same timeout is exact.
# Whom it hurts: servers with a thread for each connection, or many connections with timeouts: thousands that came
# within a second are cut in a few bursts, whose threads all stand before the processors at once.
#
# Needs Linux with the ordinary timers (100 to 1,000 Hz) and Python 3. Takes 25 s.
set -euo pipefail

uname -sr
python3 --version
python3 - <<'PYTHON'
import select, socket, struct, sys, threading, time

THREADS, SPREAD_S, TIMEOUT_S = 200, 1.0, 10


def read(receiver):
    try:
        receiver.recv(1)
    except BlockingIOError:
        pass


def poll(receiver):
    poller = select.poll()
    poller.register(receiver, select.POLLIN)
    poller.poll(TIMEOUT_S * 1000)


def ends(wait):
    """When each wait ended, and by how much too late, in seconds."""
    all_ends, sockets = [], []

    def one(number):
        ours, theirs = socket.socketpair()
        sockets.append(theirs)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", TIMEOUT_S, 0))
        time.sleep(SPREAD_S * number / THREADS)
        began = time.monotonic()
        wait(ours)
        ended = time.monotonic()
        all_ends.append((ended, ended - began - TIMEOUT_S))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(THREADS)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return sorted(all_ends)


def bursts(all_ends, gap_s=0.05):
    """How many waits ended together, with more than a gap between one burst and the next."""
    counts, last = [], None
    for ended, _ in all_ends:
        if last is not None and ended - last < gap_s:
            counts[-1] += 1
        else:
            counts.append(1)
        last = ended
    return counts


found = {}
for name, wait in (("SO_RCVTIMEO", read), ("poll", poll)):
    all_ends = ends(wait)
    late = [late for _, late in all_ends]
    found[name] = bursts(all_ends), max(late)
    print(f"{THREADS} waits of {TIMEOUT_S} s, begun over {SPREAD_S} s, by {name}: "
          f"bursts of {found[name][0]}, up to {max(late) * 1000:.0f} ms late")
in_bursts, late = found["SO_RCVTIMEO"]
one_by_one, exact = found["poll"]
sys.exit(0 if len(in_bursts) > 2 and late > 0.06 and len(one_by_one) == 1 and exact < late / 2 else "this has changed")
PYTHON
