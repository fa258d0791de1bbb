// Talks to the server: the token, questions, and the stream of events. A token never stands in an address, because
// addresses are logged and remembered.

const TOKEN_KEY = "proxyherd-token";

// A stream that says nothing for so long is dead: the server sends a comment every 30 s.
const SILENCE_MS_MAX = 75_000;
const WAIT_MS_FIRST = 1_000;
const WAIT_MS_MAX = 30_000;
// The most of a message that is not yet whole, in characters: a client is far smaller.
const MESSAGE_CHARS_MAX = 1 << 20;

// A link that was shared has its token behind the # of the address, which no browser sends.
const shared = /^#share=([^&]+)/.exec(location.hash)?.[1];

export const isShared = shared !== undefined;

// Where apps that send no header have a token, browsers may have one, too: /t/TOKEN/.
const hasPathToken = /\/t\/[^/]+\/[^/]*$/.test(location.pathname);

// What the operator has chosen.
export const settings = fetch("page/settings.json").then((answer) => answer.json());

// Whether the server would answer no question, so that none is asked.
export async function needsLogin() {
  return (await settings).has_users && !token() && !hasPathToken;
}

// Another link in the same tab is another page.
addEventListener("hashchange", () => location.reload());

export function token() {
  if (!isShared) return sessionStorage.getItem(TOKEN_KEY);
  try {
    return decodeURIComponent(shared);
  } catch {
    return shared;
  }
}

export function setToken(text) {
  if (text) {
    sessionStorage.setItem(TOKEN_KEY, text);
  } else {
    sessionStorage.removeItem(TOKEN_KEY);
  }
}

// An answer that is no success: its status, and the sentence of the server.
export class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

// Asks for a path, from the folder of the page on, with the token.
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  try {
    if (token()) headers.set("Authorization", `Bearer ${token()}`);
  } catch {
    throw new Refused(401, "no token has such characters");
  }
  // Without this a browser asks for a password by itself when the token is wrong.
  const response = await fetch(path, { cache: "no-store", ...options, headers, credentials: "omit" });
  if (!response.ok) throw new Refused(response.status, await sentence(response));
  return response;
}

async function sentence(response) {
  try {
    return String((await response.json()).detail);
  } catch {
    return `the server says ${response.status}`;
  }
}

// Hears a stream of events for ever, and connects again whenever it ends, from where it was. It returns if the token
// is refused. `heard` has `opened(response, isResumed)`, `told(event)` and `closed(why, waitMs)`.
export async function listen(path, heard) {
  let lastId = "";
  let waitFirst = WAIT_MS_FIRST;
  let wait = waitFirst;
  for (;;) {
    const stop = new AbortController();
    let silence;
    const isAlive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENCE_MS_MAX);
    };
    let why = "the server has ended the stream";
    try {
      isAlive();
      const headers = { Accept: "text/event-stream" };
      if (lastId) headers["Last-Event-ID"] = lastId;
      const response = await ask(path, { headers, signal: stop.signal });
      heard.opened(response, lastId !== "");
      for await (const event of events(response.body, isAlive)) {
        if (event.id !== undefined) lastId = event.id;
        if (event.retry !== undefined) waitFirst = Math.min(event.retry, WAIT_MS_MAX);
        if (event.data !== undefined) heard.told(event);
        wait = waitFirst;
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return error;
      why = error instanceof Refused ? error.message : "the server cannot be reached";
    } finally {
      clearTimeout(silence);
      stop.abort();
    }
    // Not all pages at the same moment, when a server comes back.
    const now = wait * (0.75 + Math.random() / 2);
    heard.closed(why, now);
    await pause(now);
    wait = Math.min(wait * 2, WAIT_MS_MAX);
  }
}

// Ends early when the network comes back, or the reader does.
function pause(ms) {
  return new Promise((resolve) => {
    const wakers = [[window, "online"], [document, "visibilitychange"]];
    const done = () => {
      clearTimeout(timer);
      wakers.forEach(([target, name]) => target.removeEventListener(name, wake));
      resolve();
    };
    const wake = () => document.hidden || done();
    const timer = setTimeout(done, ms);
    wakers.forEach(([target, name]) => target.addEventListener(name, wake));
  });
}

// The messages of a body in the form of server-sent events.
async function* events(body, isAlive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let event = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    isAlive();
    text += value;
    let from = 0;
    for (let end; (end = text.indexOf("\n", from)) >= 0; from = end + 1) {
      const line = text.slice(from, end).replace(/\r$/, "");
      if (line === "") {
        if (Object.keys(event).length > 0) yield event;
        event = {};
        continue;
      }
      const [, name, rest] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (name === "data") event.data = event.data === undefined ? rest : `${event.data}\n${rest}`;
      else if (name === "id") event.id = rest;
      else if (name === "event") event.kind = rest;
      else if (name === "retry" && /^\d+$/.test(rest)) event.retry = Number(rest);
    }
    text = text.slice(from);
    if (text.length > MESSAGE_CHARS_MAX) throw new Error("a message without an end");
  }
}
