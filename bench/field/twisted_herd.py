"""One server of a herd in Twisted: one reactor, a LineReceiver for every connection.

    python twisted_herd.py NAME HOST:PORT [NEIGHBOUR=HOST:PORT ...]

Clients and neighbours talk to the same port, as in the course that the herd comes from: a neighbour sends bare
`AT` lines with a seventh field, its own name, over a connection that is opened when there is news and kept.
Python 3.10 or later; `requirements.txt` says which Twisted.
"""

import json
import logging
import re
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

LINE_BYTES_MAX = 4096  # of what a client sends, its terminator not counted
AT_BYTES_MAX = LINE_BYTES_MAX + 256  # an AT line has two servers' names and the skew on top of that
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


@implementer(IHalfCloseableProtocol)
class Conversation(LineReceiver, TimeoutMixin):
    """One connection to our port, a client's or a neighbour's."""

    delimiter = b"\n"
    MAX_LENGTH = LINE_BYTES_MAX + 1  # and a carriage return

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        # Who does not read replies need not ask more: a full transport pauses its own protocol.
        self.transport.registerProducer(self, True)

    def lineReceived(self, line):
        self.answer(line.removesuffix(b"\r"))

    def lineLengthExceeded(self, line):
        """`line` is all that has come: as much as there is of the line, and what is after it."""
        if line.startswith(b"AT ") and self.MAX_LENGTH < AT_BYTES_MAX:
            self.MAX_LENGTH = AT_BYTES_MAX + 1  # this is a neighbour: once more with its own limit
            reactor.callLater(0, self.setLineMode, line)
        else:
            self.answer(line)

    def answer(self, line):
        self.transport.write(self.factory.reply(line))
        if len(line) > line_bytes_max(line):
            self.refuse()

    def refuse(self):
        self.setRawMode()
        self.transport.loseWriteConnection()
        self.setTimeout(LINGER_S)

    def rawDataReceived(self, data):
        pass  # after a line that is too long nothing is understood

    def readConnectionLost(self):
        rest = self.clearLineBuffer()
        # News without its end is half a line of a neighbour that died: it may read as an earlier time.
        if rest and not rest.startswith(b"AT "):
            self.answer(rest)
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass

    def connectionLost(self, reason):
        self.setTimeout(None)


class Herd(ServerFactory):
    """What one server knows and decides. It never touches a socket but through its links."""

    protocol = Conversation
    noisy = False

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


class Pipe(Protocol):
    """The connection of a link while there is one."""

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.factory.opened(self.transport)

    def pauseProducing(self):
        self.factory.ready = False

    def resumeProducing(self):
        self.factory.ready = True
        self.factory.flush()

    def stopProducing(self):
        self.factory.ready = False


class Link(ClientFactory):
    """The way to one neighbour: dialled when there is news, and kept open."""

    protocol = Pipe
    noisy = False

    def __init__(self, name: str, host: str, port: int):
        self.name, self.host, self.port = name, host, port
        self.waiting, self.waiting_bytes = [], 0
        self.transport = None
        self.dialling = False
        self.ready = False  # connected, and the neighbour reads
        self.down = False

    def tell(self, line: bytes):
        if self.ready:
            self.transport.write(line)
        elif self.waiting_bytes + len(line) > LINK_BYTES_MAX:
            self.lost("does not read")
        else:
            self.waiting.append(line)
            self.waiting_bytes += len(line)
            if self.transport is None and not self.dialling:
                self.dialling = True
                reactor.connectTCP(self.host, self.port, self, timeout=DIAL_S)

    def opened(self, transport):
        self.transport, self.dialling, self.ready = transport, False, True
        self.flush()

    def clientConnectionFailed(self, connector, reason):
        self.dialling = False
        self.waiting, self.waiting_bytes = [], 0
        self.lost(f"cannot be reached: {reason.getErrorMessage()}")

    def clientConnectionLost(self, connector, reason):
        self.transport, self.ready = None, False

    def flush(self):
        lines, self.waiting, self.waiting_bytes = self.waiting, [], 0
        self.transport.writeSequence(lines)
        self.down = False

    def lost(self, why):
        if not self.down:
            log.warning("%s %s, it is not told the news", self.name, why)
        self.down = True


def address(text: str):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def main(name, own, *neighbours):
    logging.basicConfig(format=f"[{name}] %(levelname)s %(message)s", level=logging.WARNING)
    pairs = (neighbour.split("=", 1) for neighbour in neighbours)
    links = {other.encode(): Link(other, *address(at)) for other, at in pairs}
    places = Path(__file__).with_name("places.json").read_text(encoding="utf-8")
    host, port = address(own)
    reactor.listenTCP(port, Herd(name.encode(), links, places), backlog=BACKLOG, interface=host)
    reactor.run()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: twisted_herd.py NAME HOST:PORT [NEIGHBOUR=HOST:PORT ...]")
    main(*sys.argv[1:])
