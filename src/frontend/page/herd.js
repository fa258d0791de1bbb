// The page of the herd: draws its servers and links as the server that is asked sees them, and says the same in a
// table.

import { ask, needsLogin } from "./server.js";

const EVERY_MS = 3_000;
// In units of the picture.
const [WIDTH, HEIGHT] = [720, 520];
const RADIUS = 22;
// With more servers than this there is no room for words at the links; the table has them.
const WORDS_SERVERS_MAX = 12;

const byId = (id) => document.getElementById(id);

function element(name, attributes, text) {
  const isDrawn = ["svg", "line", "circle", "text", "g", "title"].includes(name);
  const made = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function timeOf(seconds) {
  if (!Number.isFinite(seconds)) return "";
  for (const [limit, unit, word] of [[120, 1, "s"], [7_200, 60, "min"], [172_800, 3_600, "h"]]) {
    if (seconds < limit) return `${Math.floor(seconds / unit)} ${word}`;
  }
  return `${Math.floor(seconds / 86_400)} days`;
}

const rateOf = (perSecond) => (Number.isFinite(perSecond) ? perSecond.toFixed(perSecond < 10 ? 1 : 0) : "");

// Places on an oval, this server at the top.
function placesOf(servers) {
  const mine = servers.findIndex((server) => server.is_self);
  const places = new Map();
  servers.forEach(({ name }, at) => {
    const turn = ((at - mine) / servers.length) * 2 * Math.PI;
    const [across, down] = servers.length === 1 ? [0, 0] : [Math.sin(turn), -Math.cos(turn)];
    places.set(name, { x: WIDTH / 2 + across * (WIDTH / 2 - 120), y: HEIGHT / 2 + down * (HEIGHT / 2 - 70) });
  });
  return places;
}

// Each link once, with what this server knows of it, which is nothing of those between others.
function linksOf(herd) {
  return herd.herd_links.map(([a, b]) => {
    const other = a === herd.server ? b : b === herd.server ? a : undefined;
    return { a, b, seen: herd.links.find((link) => link.peer === other) };
  });
}

function picture(herd) {
  const places = placesOf(herd.servers);
  const links = linksOf(herd);
  const up = links.filter(({ seen }) => seen?.is_up).length;
  const mine = links.filter(({ seen }) => seen).length;
  const words = `${plural(herd.servers.length, "server")}; ${up} of ${plural(mine, "link")} of ${herd.server} up`;
  const drawing = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words });
  const notes = [];
  for (const { a, b, seen } of links) {
    const [from, to] = [places.get(a), places.get(b)];
    const kind = !seen ? "unseen-link" : seen.is_up ? "up" : "down";
    drawing.append(element("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: kind }));
    if (!seen || herd.servers.length > WORDS_SERVERS_MAX) continue;
    // Nearer to the other end, where the links of this server are further apart.
    const part = a === herd.server ? 0.55 : 0.45;
    const [x, y] = [from.x + (to.x - from.x) * part, from.y + (to.y - from.y) * part];
    const lag = seen.updates_behind > 0 ? `behind by ${seen.updates_behind}` : "up to date";
    const note = element("text", { x, y: y - 4, class: "note" }, seen.is_up ? lag : "down");
    notes.push(note);
    if (!seen.is_up) continue;
    const rates = `${rateOf(seen.updates_sent_per_second)}/s out, ${rateOf(seen.updates_received_per_second)}/s in`;
    notes.push(element("text", { x, y: y + 12, class: "note" }, rates));
  }
  for (const { name, is_self: isSelf, is_legacy: isLegacy } of herd.servers) {
    const { x, y } = places.get(name);
    const link = links.find(({ a, b, seen }) => seen && (a === name || b === name));
    const kind = isSelf ? "self" : link ? (link.seen.is_up ? "up" : "down") : "far";
    drawing.append(element("circle", { cx: x, cy: y, r: RADIUS, class: kind }));
    const label = isSelf ? `${name} (this one)` : isLegacy ? `${name} (classic)` : name;
    notes.push(element("text", { x, y: y + (y < HEIGHT / 2 ? -RADIUS - 8 : RADIUS + 18), class: "server" }, label));
  }
  drawing.append(...notes);
  return drawing;
}

const COLUMNS = [
  ["Link to", ({ peer }) => peer],
  ["State", ({ is_up: isUp, is_flapping: flaps }) => `${isUp ? "up" : "down"}${flaps ? ", flapping" : ""}`],
  ["For", ({ since_s: seconds }) => timeOf(seconds ?? NaN)],
  ["Behind", ({ updates_behind: count }) => String(count ?? "")],
  ["Not acknowledged", ({ updates_unacknowledged: count }) => String(count ?? "")],
  ["Sent a second", ({ updates_sent_per_second: rate }) => rateOf(rate)],
  ["Received a second", ({ updates_received_per_second: rate }) => rateOf(rate)],
  ["Last error", ({ last_error: error }) => (error ? `${error.what} (${timeOf(error.ago_s)} ago)` : "")],
];

function table(herd) {
  const made = element("table", {});
  made.append(element("caption", {}, `Links of ${herd.server} (proxyherd ${herd.version})`));
  const head = element("tr", {});
  head.append(...COLUMNS.map(([title]) => element("th", { scope: "col" }, title)));
  const rows = herd.links.map((link) => {
    const row = element("tr", { "data-link": link.peer, "data-up": String(link.is_up) });
    const cells = COLUMNS.map(([, value]) => value(link));
    row.append(element("th", { scope: "row" }, cells[0]), ...cells.slice(1).map((cell) => element("td", {}, cell)));
    return row;
  });
  made.append(head, ...rows);
  return made;
}

// Where each of the other servers shows what it sees itself: at its own address, on the path of this page. A token in
// the path stays here.
function others(herd) {
  const made = element("p", {}, "What others see: ");
  const path = location.pathname.replace(/\/t\/[^/]+\//, "/");
  for (const { name, is_self: isSelf, http, https } of herd.servers) {
    const address = https ?? http;
    if (isSelf || !address) continue;
    // One that listens on all addresses says none of them.
    const at = address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, location.hostname);
    const link = element("a", { href: `${https ? "https:" : "http:"}//${at}${path}`, "data-server": name }, name);
    made.append(made.children.length > 0 ? ", " : "", link);
  }
  return made.children.length > 0 ? made : element("p", {}, "No other server says where it speaks HTTP.");
}

function say(state, words) {
  document.body.dataset.state = state;
  if (byId("state").textContent !== words) byId("state").textContent = words;
}

async function show() {
  try {
    if (await needsLogin()) return say("login", "Log in on the map first");
    const herd = await (await ask("v1/herd")).json();
    byId("picture").replaceChildren(picture(herd));
    // A link that has the focus stays.
    if (byId("others").dataset.of !== JSON.stringify(herd.servers)) {
      byId("others").dataset.of = JSON.stringify(herd.servers);
      byId("others").replaceChildren(others(herd), element("p", { class: "hint" },
        "This is what one server sees. Links between others are drawn as the herd file has them."));
    }
    byId("words").replaceChildren(table(herd));
    say("live", `As ${herd.server} sees it`);
  } catch (error) {
    const why = error.status ? error.message : "The server cannot be reached";
    say("waiting", error.status === 401 ? "Log in on the map first" : why);
  }
  return undefined;
}

show();
setInterval(() => document.hidden || show(), EVERY_MS);
document.addEventListener("visibilitychange", () => document.hidden || show());
