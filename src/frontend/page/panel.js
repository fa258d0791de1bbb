// The list of clients and the details of one: the same as the map shows, in words. What others have named their
// clients is always put in as text, never as markup.

import { agoOf, batteryOf, factsOf, mercatorX, mercatorY } from "./clients.js";
import { ask, isShared, settings } from "./server.js";

const ROWS_MAX = 100;
const NEAR_KM = 10;
const NEAR_MAX = 10;
const SHARE_FOR = "2h";
const TRACK_POINTS_MAX = 5_000;

const byId = (id) => document.getElementById(id);

const numbers = new Intl.NumberFormat("en");

const numberWords = (number) => numbers.format(number);

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind !== undefined) made.className = kind;
  return made;
}

export class Panel {
  // Those near the chosen client, for the map.
  places = [];
  // Where the chosen one was, oldest first, for the map.
  track = [];
  #clients;
  #deed;
  #rows = new Map();
  #chosen;
  // Where the focus goes when the details close.
  #opener;
  // An answer that comes after another client was chosen is of no use.
  #asked = 0;

  // `deed` has `choose(name)`, `follow()` and `changed()`.
  constructor(clients, deed) {
    this.#clients = clients;
    this.#deed = deed;
    byId("close").addEventListener("click", () => this.#deed.choose(undefined));
    byId("follow").addEventListener("click", () => this.#deed.follow());
    byId("near").addEventListener("click", () => this.#showNear());
    byId("track").addEventListener("click", () => this.#showTrack());
    byId("share").addEventListener("click", () => this.#share());
    byId("copy").addEventListener("click", () => this.#copy());
    byId("share").hidden = byId("near").hidden = isShared;
    settings.then((chosen) => (byId("track").hidden = isShared || !chosen.has_tracks));
  }

  // Lists clients, in the order of their names. Rows that stay are not touched, so that the focus stays too.
  list(found, isSearch) {
    const now = this.#clients.now();
    const names = (a, b) => (a.name < b.name ? -1 : 1);
    const shown = found.sort(names).slice(0, ROWS_MAX);
    const wanted = new Set(shown.map((client) => client.name));
    const list = byId("list");
    for (const [name, row] of this.#rows) {
      if (wanted.has(name)) continue;
      row.item.remove();
      this.#rows.delete(name);
    }
    shown.forEach((client, at) => {
      const row = this.#rows.get(client.name) ?? this.#row(client.name);
      if (list.children[at] !== row.item) list.insertBefore(row.item, list.children[at] ?? null);
      this.#fill(row, client, now);
    });
    const all = numberWords(this.#clients.size);
    const here = numberWords(found.length);
    byId("count").textContent = isSearch ? `${here} of ${all} found` : `${here} of ${all} on the map`;
    const more = found.length - shown.length;
    const hint = isSearch ? "search for more of the name" : "zoom in, or search";
    const cut = this.#clients.isCut ? `There are more clients than the ${all} that this page takes. ` : "";
    byId("more").textContent = cut + (more > 0 ? `And ${numberWords(more)} more: ${hint}.` : "");
  }

  #row(name) {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    button.dataset.client = name;
    const label = element("bdi", name, "name");
    const [ago, battery] = [element("span", "", "ago"), element("span", "", "battery")];
    button.append(element("span", "", "age"), label, ago, battery);
    button.addEventListener("click", () => this.#deed.choose(name, button));
    item.append(button);
    const row = { item, button, ago, battery };
    this.#rows.set(name, row);
    return row;
  }

  #fill(row, client, now) {
    const set = (node, text) => node.textContent === text || (node.textContent = text);
    row.button.dataset.age = String(this.#clients.ageOf(client, now));
    set(row.ago, agoOf(client, now));
    const battery = batteryOf(client.said);
    set(row.battery, battery ? `battery ${battery}` : "");
    row.button.setAttribute("aria-current", String(client.name === this.#chosen));
  }

  // Shows the details of a client, or closes them.
  choose(client, opener) {
    const before = this.#chosen;
    this.#chosen = client?.name;
    for (const [name, { button }] of this.#rows) button.setAttribute("aria-current", String(name === this.#chosen));
    if (before === this.#chosen) return;
    this.#asked += 1;
    this.places = [];
    this.track = [];
    byId("tracked").textContent = "";
    byId("places").replaceChildren();
    byId("shared").hidden = true;
    const details = byId("details");
    const hadFocus = details.contains(document.activeElement);
    details.hidden = !client;
    if (client) {
      byId("name").textContent = client.name;
      this.update(client, false);
      if (opener) {
        this.#opener = opener;
        details.focus();
      }
    } else if (hadFocus) {
      (this.#opener?.isConnected ? this.#opener : byId("canvas")).focus();
    }
  }

  // Brings the details of the chosen client up to date.
  update(client, isFollowed) {
    const facts = factsOf(client, this.#clients.now());
    const list = byId("facts");
    // As it is unless something changed: a reader may be in the middle of it.
    const text = JSON.stringify(facts);
    if (list.dataset.facts !== text) {
      list.dataset.facts = text;
      list.replaceChildren(...facts.flatMap(([word, value]) => [element("dt", word), element("dd", value)]));
    }
    byId("follow").setAttribute("aria-pressed", String(isFollowed));
  }

  async #showNear() {
    const name = this.#chosen;
    const asked = (this.#asked += 1);
    const box = byId("places");
    box.replaceChildren(element("p", "Looking around it"));
    try {
      const path = `v1/clients/${encodeURIComponent(name)}/nearby?radius=${NEAR_KM}&limit=${NEAR_MAX}`;
      const answer = await (await ask(path)).json();
      if (asked !== this.#asked) return;
      const found = Array.isArray(answer.results) ? answer.results : [];
      this.places = found.map(placeOf).filter((place) => place !== undefined);
      const list = element("ul");
      for (const { name: title, vicinity } of found) {
        const item = element("li");
        item.append(element("bdi", String(title ?? "without a name")));
        if (vicinity) item.append(element("span", String(vicinity), "ago"));
        list.append(item);
      }
      const why = answer.error_message ? `: ${answer.error_message}` : "";
      const isGood = answer.status === "OK" || answer.status === "ZERO_RESULTS";
      const words = isGood ? `Within ${NEAR_KM} km` : `No answer (${answer.status}${why})`;
      box.replaceChildren(element("h3", found.length > 0 || !isGood ? words : `Nothing within ${NEAR_KM} km`), list);
      for (const text of answer.html_attributions ?? []) box.append(element("p", String(text), "hint"));
    } catch (error) {
      if (asked === this.#asked) box.replaceChildren(element("p", `Not known: ${error.message}`));
    }
    this.#deed.changed();
  }

  async #showTrack() {
    const name = this.#chosen;
    byId("tracked").textContent = "Looking where it was";
    try {
      const path = `v1/clients/${encodeURIComponent(name)}/track?format=geojson&limit=${TRACK_POINTS_MAX}`;
      const [line] = (await (await ask(path)).json()).features;
      if (name !== this.#chosen) return;
      // One position, a list of them, or, if it is cut at the antimeridian, a list of lists.
      const { type, coordinates = [] } = line?.geometry ?? {};
      const points = { Point: [coordinates], MultiLineString: coordinates.flat() }[type] ?? coordinates;
      const since = line && new Date(line.properties.times_utc.flat()[0]).toLocaleString();
      this.track = points.map(([lng, lat]) => ({ x: mercatorX(lng), y: mercatorY(lat) }));
      const count = numberWords(line?.properties.reports ?? 0);
      byId("tracked").textContent = line ? `${count} reports since ${since}` : "No reports are kept";
    } catch (error) {
      if (name === this.#chosen) byId("tracked").textContent = `Not known: ${error.message}`;
    }
    this.#deed.changed();
  }

  async #share() {
    const asked = this.#asked;
    try {
      const body = JSON.stringify({ client: this.#chosen, for: SHARE_FOR });
      const headers = { "Content-Type": "application/json" };
      const { token, expires } = await (await ask("v1/shares", { method: "POST", headers, body })).json();
      if (asked !== this.#asked) return;
      // We know best how the server is reached, behind a proxy too; and a token of our own must not be in the link.
      const folder = location.pathname.replace(/\/t\/[^/]+\/$/, "/");
      byId("link").value = `${location.origin}${folder}#share=${encodeURIComponent(token)}`;
      byId("until").textContent = untilOf(expires);
      byId("shared").hidden = false;
      byId("link").focus();
      byId("link").select();
    } catch (error) {
      // This server or this user cannot share.
      if ([403, 404, 405, 409].includes(error.status)) byId("share").hidden = true;
      byId("places").replaceChildren(element("p", `Not shared: ${error.message}`));
    }
  }

  async #copy() {
    byId("link").select();
    try {
      await navigator.clipboard.writeText(byId("link").value);
      byId("copy").textContent = "Copied";
    } catch {
      // Browsers allow it on encrypted pages alone: it is selected, so that it can be copied by hand.
      byId("copy").textContent = "Press Ctrl-C";
    }
    setTimeout(() => (byId("copy").textContent = "Copy"), 2_000);
  }
}

// A place of the answer to what is near, for the map.
function placeOf({ name, geometry }) {
  const { lat, lng } = geometry?.location ?? {};
  if (!Number.isFinite(lat) || !Number.isFinite(lng)) return undefined;
  const label = String(name ?? "");
  return { x: mercatorX(lng), y: mercatorY(lat), label: label.length > 30 ? `${label.slice(0, 29)}…` : label };
}

function untilOf(expires) {
  const date = new Date(typeof expires === "number" ? expires * 1_000 : expires);
  return Number.isNaN(date.getTime()) ? String(expires) : date.toLocaleString();
}
