#!/usr/bin/env python3
"""What one bug in one handler costs: the report's test of "a single event crash takes the whole server down".

    bench/field/setup.sh && target/field/venv/bin/python report/crash.py

Starts the smallest line server of each kind, opens two connections, sends one of them the line that its handler
fails on, and asks the other for an answer. Writes bench/results/crash.jsonl, a line for each kind; a kind that is not
installed is named and skipped. For the threaded server itself the same is a test: see src/tests/limits.rs.
"""

import datetime
import json
import pathlib
import shutil
import socket
import subprocess
import sys

WAIT_S = 5

THREADS = """
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line == b"bug\\n": raise RuntimeError("a bug")
            self.wfile.write(line)
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
"""

TWISTED = """
from twisted.internet import protocol, reactor
from twisted.protocols.basic import LineReceiver
class Handler(LineReceiver):
    delimiter = b"\\n"
    def lineReceived(self, line):
        if line == b"bug": raise RuntimeError("a bug")
        self.sendLine(line)
port = reactor.listenTCP(0, protocol.Factory.forProtocol(Handler), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
"""

ASYNCIO = """
import asyncio
class Handler(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        if data == b"bug\\n": raise RuntimeError("a bug")
        self.transport.write(data)
async def main():
    server = await asyncio.get_running_loop().create_server(Handler, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

NODE = """
require('node:net').createServer(socket => socket.on('data', data => {
  if (String(data) === 'bug\\n') throw new Error('a bug')
  socket.write(data)
}).on('error', () => {})).listen(0, '127.0.0.1', function () { console.log(this.address().port) })
"""

KINDS = {
    "Python threads": [sys.executable, "-c", THREADS],
    "Twisted": [sys.executable, "-c", TWISTED],
    "asyncio": [sys.executable, "-c", ASYNCIO],
    "Node": ["node", "-e", NODE],
}


def ask(connection, line):
    """The answer to a line; nothing if the connection has ended."""
    try:
        connection.sendall(line)
        return connection.recv(100)
    except OSError:
        return b""


def try_out(command):
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        said = server.stdout.readline()
        if not said:
            return None
        one, other = (socket.create_connection(("127.0.0.1", int(said)), WAIT_S) for _ in range(2))
        assert ask(one, b"hello\n") and ask(other, b"hello\n"), f"{command[0]} does not answer at all"
        own_ended = ask(one, b"bug\n") == b""
        other_answered = ask(other, b"still there\n").strip() == b"still there"
        return {"own_ended": own_ended, "other_answered": other_answered}
    finally:
        server.kill()
        server.communicate()


def main():
    results = pathlib.Path(__file__).parent.parent / "bench/results/crash.jsonl"
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = []
    for kind, command in KINDS.items():
        found = try_out(command) if shutil.which(command[0]) else None
        if found is None:
            print(f"{kind}: skipped, it is not installed")
            continue
        print(f"{kind}: {found}")
        lines.append(json.dumps({"suite": "crash", "server": kind, **found, "date": date}) + "\n")
    if len(lines) < len(KINDS):
        sys.exit("Not all kinds were tried, so the results stay as they are.")
    results.write_text("".join(lines))


main()
