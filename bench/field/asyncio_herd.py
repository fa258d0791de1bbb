"""One server of a herd in asyncio: one thread, one event loop, a Protocol for every connection.

    python asyncio_herd.py NAME HOST:PORT [NEIGHBOUR=HOST:PORT ...]

Clients and neighbours talk to the same port, as in the course that the herd comes from: a neighbour sends bare
`AT` lines with a seventh field, its own name, over a connection that is opened when there is news and kept.
Standard library only; Python 3.11 or later.
"""

import asyncio
import json
import logging
import re
import signal
import sys
import time
from pathlib import Path

LINE_BYTES_MAX = 4096  # of what a client sends, its terminator not counted
AT_BYTES_MAX = LINE_BYTES_MAX + 256  # an AT line has two servers' names and the skew on top of that
REPLIES_BYTES_MAX = 64 << 10  # collected for one write
LINK_BYTES_MAX = 64 << 20  # kept for a neighbour that does not read; what comes after that is dropped
DIAL_S = 1.0  # how long opening a connection to a neighbour may take
LINGER_S = 1.0  # how long a refused client is read on: unread bytes would reset the reply away
BACKLOG = 4096

SERVER = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SKEW = re.compile(rb"[+-]\d+(?:\.\d+)?")
LOCATION = re.compile(
    rb"[+-]0*(?:90(?:\.0+)?|[0-8]?\d(?:\.\d+)?)"
    rb"[+-]0*(?:180(?:\.0+)?|(?:1[0-7]|\d)?\d(?:\.\d+)?)"
)
TIME = re.compile(rb"(\d{1,18})(?:\.(\d+))?")
RADIUS = re.compile(rb"0*(?:[1-9]|[1-4]\d|50)")
LIMIT = re.compile(rb"0*(?:[1-9]|1\d|20)")

log = logging.getLogger("herd")


class Herd:
    """What one server knows and decides. It never touches a socket but through its links."""

    def __init__(self, name: bytes, links: dict, places: str):
        self.name = name
        self.links = links
        self.places = places
        self.known = {}  # client -> (time, AT line)

    def reply(self, line: bytes) -> bytes:
        """What goes back for one line without its terminator; nothing for news from a neighbour."""
        if len(line) > line_bytes_max(line):
            return b"? %b\n" % line[:LINE_BYTES_MAX]
        reply = self.understood(line) if is_utf8(line) else None
        return b"? %b\n" % line if reply is None else reply

    def understood(self, line: bytes):
        match line.split():  # of bytes: at exactly the six ASCII characters of white space
            case [b"IAMAT", client, location, text]:
                return self.iamat(client, location, text)
            case [b"WHATSAT", client, radius, limit]:
                return self.whatsat(client, radius, limit)
            case [b"AT", origin, skew, client, location, text, *sender] if len(sender) <= 1:
                return self.at(origin, skew, client, location, text, sender)
        return None

    def iamat(self, client, location, text):
        when = moment(text)
        if when is None or not LOCATION.fullmatch(location):
            return None
        behind = time.time_ns() - when[0]
        seconds, nanos = divmod(abs(behind), 1_000_000_000)
        skew = b"%c%d.%09d" % (b"-" if behind < 0 else b"+", seconds, nanos)
        line = b"AT %b %b %b %b %b\n" % (self.name, skew, client, location, text)
        known = self.known.get(client)
        if known is None or when > known[0]:
            self.learn(client, when, line, None)
        return line

    def whatsat(self, client, radius, limit):
        known = self.known.get(client)
        if known is None or not RADIUS.fullmatch(radius) or not LIMIT.fullmatch(limit):
            return None
        places = re.sub(r"\n+", "\n", cut(self.places, int(limit))).strip("\n")
        return b"%b%b\n\n" % (known[1], places.encode())

    def at(self, origin, skew, client, location, text, sender):
        when = moment(text)
        if not (when and LOCATION.fullmatch(location) and SKEW.fullmatch(skew) and SERVER.fullmatch(origin)):
            return None
        line = b"AT %b %b %b %b %b\n" % (origin, skew, client, location, text)
        # Equal times are settled by the line itself, or two servers could keep different ones for good.
        if (when, line) > self.known.get(client, ((0, b""), b"")):
            self.learn(client, when, line, sender[0] if sender else None)
        return b""

    def learn(self, client, when, line, sender):
        self.known[client] = (when, line)
        news = b"%b %b\n" % (line[:-1], self.name)
        for name, link in self.links.items():
            if name != sender:
                link.tell(news)


def is_utf8(line: bytes) -> bool:
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def line_bytes_max(line: bytes) -> int:
    return AT_BYTES_MAX if line.startswith(b"AT ") else LINE_BYTES_MAX


def moment(text: bytes):
    """A positive time as nanoseconds and the digits beyond them: pairs that compare as decimal numbers do."""
    found = TIME.fullmatch(text)
    if not found:
        return None
    fraction = found[2] or b""
    when = (int(found[1] + fraction[:9].ljust(9, b"0")), fraction[9:].rstrip(b"0"))
    return when if when > (0, b"") else None


def cut(answer: str, limit: int) -> str:
    """The provider's answer with at most `limit` results, every byte that stays being as it was."""
    parse = json.JSONDecoder().raw_decode
    at = re.search(r'"results"\s*:\s*\[\s*', answer).end()
    ends = []
    while answer[at] != "]":
        ends.append(parse(answer, at)[1])
        at = re.compile(r"\s*,?\s*").match(answer, ends[-1]).end()
    return answer[: ends[limit - 1]] + answer[ends[-1] :] if len(ends) > limit else answer


class Conversation(asyncio.Protocol):
    """One connection to our port, a client's or a neighbour's."""

    def __init__(self, herd: Herd):
        self.herd = herd
        self.lines = iter(())
        self.rest = b""
        self.full = False  # of replies that the client does not read
        self.refused = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if not self.refused:
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.lines = iter(lines)
            self.answer()

    def answer(self):
        """Answers the lines there are, in one write unless the replies are much more than the questions."""
        replies, size = [], 0
        for line in self.lines:
            line = line.removesuffix(b"\r")
            replies.append(self.herd.reply(line))
            if len(line) > line_bytes_max(line):
                return self.refuse(replies)
            size += len(replies[-1])
            if size > REPLIES_BYTES_MAX:
                self.transport.write(b"".join(replies))
                replies, size = [], 0
                if self.full:
                    return
        # A carriage return at the limit may be half of a terminator.
        if len(self.rest) > line_bytes_max(self.rest) + 1:
            replies.append(self.herd.reply(self.rest))
            return self.refuse(replies)
        self.transport.write(b"".join(replies))

    def refuse(self, replies):
        self.refused = True
        self.transport.write(b"".join(replies))
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    def eof_received(self):
        # News without its end is half a line of a neighbour that died: it may read as an earlier time.
        if self.rest and not self.refused and not self.rest.startswith(b"AT "):
            self.transport.write(self.herd.reply(self.rest))
        return False  # what is written is sent, then the connection is closed

    def pause_writing(self):
        self.full = True
        self.transport.pause_reading()

    def resume_writing(self):
        self.full = False
        if not self.refused:
            self.answer()
        if not self.full:
            self.transport.resume_reading()


class Link(asyncio.Protocol):
    """The way to one neighbour: dialled when there is news, kept open, and written once a turn of the loop."""

    def __init__(self, name: str, host: str, port: int):
        self.name, self.host, self.port = name, host, port
        self.waiting, self.waiting_bytes = [], 0
        self.transport = None
        self.task = None  # while dialling
        self.ready = False  # connected, and the neighbour reads
        self.scheduled = False
        self.down = False

    def tell(self, line: bytes):
        if self.waiting_bytes + len(line) > LINK_BYTES_MAX:
            return self.lost("does not read")
        self.waiting.append(line)
        self.waiting_bytes += len(line)
        loop = asyncio.get_running_loop()
        if self.transport is None:
            self.task = self.task or loop.create_task(self.dial())
        elif self.ready and not self.scheduled:
            self.scheduled = True
            loop.call_soon(self.flush)

    async def dial(self):
        connecting = asyncio.get_running_loop().create_connection(lambda: self, self.host, self.port)
        try:
            await asyncio.wait_for(connecting, DIAL_S)
        except OSError as error:
            self.waiting, self.waiting_bytes = [], 0
            self.lost(f"cannot be reached: {error!r}")
        finally:
            self.task = None

    def lost(self, why):
        if not self.down:
            log.warning("%s %s, it is not told the news", self.name, why)
        self.down = True

    def flush(self):
        self.scheduled = False
        if self.ready and self.waiting:
            lines, self.waiting, self.waiting_bytes = self.waiting, [], 0
            self.transport.write(b"".join(lines))
            self.down = False

    def connection_made(self, transport):
        self.transport, self.ready = transport, True
        self.flush()

    def connection_lost(self, error):
        self.transport, self.ready = None, False

    def pause_writing(self):
        self.ready = False

    def resume_writing(self):
        self.ready = True
        self.flush()


def address(text: str):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def main(name, own, *neighbours):
    logging.basicConfig(format=f"[{name}] %(levelname)s %(message)s", level=logging.WARNING)
    pairs = (neighbour.split("=", 1) for neighbour in neighbours)
    links = {other.encode(): Link(other, *address(at)) for other, at in pairs}
    places = Path(__file__).with_name("places.json").read_text(encoding="utf-8")
    herd = Herd(name.encode(), links, places)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    host, port = address(own)
    await loop.create_server(lambda: Conversation(herd), host, port, backlog=BACKLOG)
    await stop.wait()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: asyncio_herd.py NAME HOST:PORT [NEIGHBOUR=HOST:PORT ...]")
    asyncio.run(main(*sys.argv[1:]))
