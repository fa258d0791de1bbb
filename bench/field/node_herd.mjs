// One server of a herd in Node: the net module, one event loop, no packages.
//
//     node node_herd.mjs NAME HOST:PORT [NEIGHBOUR=HOST:PORT ...]
//
// Clients and neighbours talk to the same port, as in the course that the herd comes from: a neighbour sends bare
// `AT` lines with a seventh field, its own name, over a connection that is opened when there is news and kept.
// Bytes are kept as strings of one character each ("latin1"), so that everything is echoed as it came.
// Node 18.14 or later.

import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { performance } from 'node:perf_hooks';

const LINE_BYTES_MAX = 4096; // of what a client sends, its terminator not counted
const AT_BYTES_MAX = LINE_BYTES_MAX + 256; // an AT line has two servers' names and the skew on top of that
const REPLIES_BYTES_MAX = 64 * 2 ** 10; // collected for one write
const LINK_BYTES_MAX = 64 * 2 ** 20; // kept for a neighbour that does not read; what comes after is dropped
const DIAL_MS = 1000; // how long opening a connection to a neighbour may take
const LINGER_MS = 1000; // how long a refused client is read on: unread bytes would reset the reply away
const BACKLOG = 4096;

const FIELD = /[^ \t\r\n\f\v]+/g; // not \S: a no-break space is an ordinary character
const SERVER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const SKEW = /^[+-]\d+(?:\.\d+)?$/;
const LOCATION =
  /^[+-]0*(?:90(?:\.0+)?|[0-8]?\d(?:\.\d+)?)[+-]0*(?:180(?:\.0+)?|(?:1[0-7]|\d)?\d(?:\.\d+)?)$/;
const TIME = /^(\d{1,18})(?:\.(\d+))?$/;
const RADIUS = /^0*(?:[1-9]|[1-4]\d|50)$/;
const LIMIT = /^0*(?:[1-9]|1\d|20)$/;
const BEYOND_ASCII = /[\x80-\xff]/;

// The wall clock in nanoseconds: read once, then counted by the steady clock, which Node has finer than the wall's.
const ORIGIN_NS = BigInt(Math.round(performance.timeOrigin * 1e6));
const START_NS = process.hrtime.bigint() - BigInt(Math.round(performance.now() * 1e6));
const nowNs = () => ORIGIN_NS + (process.hrtime.bigint() - START_NS);

const lineBytesMax = (line) => (line.startsWith('AT ') ? AT_BYTES_MAX : LINE_BYTES_MAX);

/** What one server knows and decides. It never touches a socket but through its links. */
class Herd {
  constructor(name, links, places) {
    this.name = name;
    this.links = links;
    this.places = places;
    this.known = new Map(); // client -> { when, line }
  }

  /** What goes back for one line without its terminator; nothing for news from a neighbour. */
  reply(line, receivedNs) {
    if (line.length > lineBytesMax(line)) return `? ${line.slice(0, LINE_BYTES_MAX)}\n`;
    const isText = !BEYOND_ASCII.test(line) || isUtf8(Buffer.from(line, 'latin1'));
    return (isText ? this.understood(line, receivedNs) : null) ?? `? ${line}\n`;
  }

  understood(line, receivedNs) {
    const fields = line.match(FIELD) ?? [];
    if (fields[0] === 'IAMAT' && fields.length === 4) return this.iamat(fields, receivedNs);
    if (fields[0] === 'WHATSAT' && fields.length === 4) return this.whatsat(fields);
    if (fields[0] === 'AT' && (fields.length === 6 || fields.length === 7)) return this.at(fields);
    return null;
  }

  iamat([, client, location, text], receivedNs) {
    const when = moment(text);
    if (when === null || !LOCATION.test(location)) return null;
    const line = `AT ${this.name} ${skew(receivedNs - when.ns)} ${client} ${location} ${text}\n`;
    const known = this.known.get(client);
    if (known === undefined || isLater(when, known.when)) this.learn(client, when, line, null);
    return line;
  }

  whatsat([, client, radius, limit]) {
    const known = this.known.get(client);
    if (known === undefined || !RADIUS.test(radius) || !LIMIT.test(limit)) return null;
    const places = cut(this.places, Number(limit)).replace(/\n+/g, '\n').replace(/^\n|\n$/g, '');
    return `${known.line}${places}\n\n`;
  }

  at([, origin, skew, client, location, text, sender]) {
    const when = moment(text);
    if (when === null || !LOCATION.test(location) || !SKEW.test(skew) || !SERVER.test(origin)) return null;
    const line = `AT ${origin} ${skew} ${client} ${location} ${text}\n`;
    const known = this.known.get(client);
    // Equal times are settled by the line itself, or two servers could keep different ones for good.
    const isNews =
      known === undefined ||
      isLater(when, known.when) ||
      (!isLater(known.when, when) && line > known.line);
    if (isNews) this.learn(client, when, line, sender);
    return '';
  }

  learn(client, when, line, sender) {
    // Pieces of a string keep all of it alive, the whole chunk that was read: what is kept is copied.
    this.known.set(copy(client), { when, line: copy(line) });
    const news = `${line.slice(0, -1)} ${this.name}\n`;
    for (const link of this.links) {
      if (link.name !== sender) link.tell(news);
    }
  }
}

const copy = (text) => Buffer.from(text, 'latin1').toString('latin1');

/** A positive time as nanoseconds and the digits beyond them; null for anything else. */
function moment(text) {
  const found = TIME.exec(text);
  if (found === null) return null;
  const fraction = found[2] ?? '';
  const ns = BigInt(found[1] + fraction.slice(0, 9).padEnd(9, '0'));
  const beyond = fraction.length > 9 ? fraction.slice(9).replace(/0+$/, '') : '';
  return ns > 0n || beyond !== '' ? { ns, beyond } : null;
}

function isLater(a, b) {
  return a.ns > b.ns || (a.ns === b.ns && a.beyond > b.beyond);
}

function skew(ns) {
  const digits = (ns < 0n ? -ns : ns).toString().padStart(10, '0');
  return `${ns < 0n ? '-' : '+'}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/** The provider's answer with at most `limit` results, every byte that stays being as it was. */
function cut(answer, limit) {
  const token = /"(?:[^"\\]|\\.)*"|[[\]{},]/g; // a string, or what gives JSON its shape
  token.lastIndex = /"results"\s*:\s*\[/.exec(answer).index + '"results"'.length;
  let depth = 0;
  let results = 1;
  let keptEnd = null;
  for (let found; (found = token.exec(answer)) !== null; ) {
    if (found[0] === '[' || found[0] === '{') depth += 1;
    else if (found[0] === ']' || found[0] === '}') depth -= 1;
    else if (found[0] === ',' && depth === 1 && results++ === limit) keptEnd = found.index;
    if (depth === 0) break;
  }
  if (keptEnd === null) return answer;
  const end = answer.slice(0, token.lastIndex - 1).trimEnd().length;
  return answer.slice(0, keptEnd) + answer.slice(end);
}

/** One connection to our port, a client's or a neighbour's. */
class Conversation {
  constructor(herd, socket) {
    this.herd = herd;
    this.socket = socket;
    this.lines = [];
    this.next = 0; // of the lines, to be answered
    this.rest = '';
    this.refused = false;
    socket.setEncoding('latin1');
    socket.on('data', (data) => this.read(data));
    socket.on('end', () => this.end());
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => {
      socket.resume();
      if (!this.refused) this.answer();
    });
  }

  read(data) {
    if (this.refused) return;
    this.lines = (this.rest + data).split('\n');
    this.rest = this.lines.pop();
    this.next = 0;
    this.answer();
  }

  /** Answers the lines there are, in one write unless the replies are much more than the questions. */
  answer() {
    const receivedNs = nowNs();
    let replies = '';
    while (this.next < this.lines.length && !this.refused) {
      let line = this.lines[this.next++];
      if (line.endsWith('\r')) line = line.slice(0, -1);
      replies += this.herd.reply(line, receivedNs);
      this.refused = line.length > lineBytesMax(line);
      if (replies.length > REPLIES_BYTES_MAX && !this.refused) {
        if (!this.write(replies)) return;
        replies = '';
      }
    }
    // A carriage return at the limit may be half of a terminator.
    if (!this.refused && this.rest.length > lineBytesMax(this.rest) + 1) {
      replies += this.herd.reply(this.rest, receivedNs);
      this.refused = true;
    }
    this.write(replies);
    if (this.refused) this.hangUp();
  }

  /** Whether the client reads what is written to it; who does not need not ask more. */
  write(replies) {
    const reads = replies === '' || this.socket.write(replies, 'latin1');
    if (!reads) this.socket.pause();
    return reads;
  }

  hangUp() {
    this.socket.resume().end();
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
  }

  end() {
    // News without its end is half a line of a neighbour that died: it may read as an earlier time.
    if (this.rest !== '' && !this.refused && !this.rest.startsWith('AT ')) {
      this.write(this.herd.reply(this.rest, nowNs()));
    }
    this.socket.end();
  }
}

/** The way to one neighbour: dialled when there is news, kept open, and written once a turn of the loop. */
class Link {
  constructor(name, to) {
    this.name = name;
    this.to = to;
    this.waiting = '';
    this.socket = null;
    this.ready = false; // connected, and the neighbour reads
    this.scheduled = false;
    this.down = false;
  }

  tell(line) {
    if (this.waiting.length + line.length > LINK_BYTES_MAX) return this.lost('does not read');
    this.waiting += line;
    if (this.socket === null) this.dial();
    else if (this.ready && !this.scheduled) {
      this.scheduled = true;
      setImmediate(() => this.flush());
    }
  }

  dial() {
    const socket = net.connect({ ...this.to, noDelay: true });
    const timer = setTimeout(() => socket.destroy(new Error('timed out')), DIAL_MS);
    const writable = () => {
      this.ready = true;
      this.flush();
    };
    this.socket = socket;
    socket.on('connect', writable);
    socket.on('connect', () => clearTimeout(timer));
    socket.on('drain', writable);
    socket.on('error', (error) => {
      if (socket.bytesWritten > 0) return; // it was reached; the next news dials again
      this.waiting = '';
      this.lost(`cannot be reached: ${error.message}`);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      this.socket = null;
      this.ready = false;
    });
    socket.resume(); // a neighbour answers nothing but errors
  }

  flush() {
    this.scheduled = false;
    if (!this.ready || this.waiting === '') return;
    const lines = this.waiting;
    this.waiting = '';
    this.down = false;
    this.ready = this.socket.write(lines, 'latin1');
  }

  lost(why) {
    if (!this.down) console.error(`[${name}] WARNING ${this.name} ${why}, it is not told the news`);
    this.down = true;
  }
}

function address(text) {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

const [name, own, ...neighbours] = process.argv.slice(2);
if (own === undefined) {
  console.error('usage: node node_herd.mjs NAME HOST:PORT [NEIGHBOUR=HOST:PORT ...]');
  process.exit(2);
}
const links = neighbours.map((neighbour) => {
  const [other, at] = neighbour.split('=');
  return new Link(other, address(at));
});
const places = readFileSync(new URL('places.json', import.meta.url), 'latin1');
const herd = new Herd(name, links, places);
const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => new Conversation(herd, socket));
server.listen({ ...address(own), backlog: BACKLOG });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
