// The clients that the page knows, where they are on the map, and words for their values.

// Beyond so many no more are taken: the page must stay quick.
const CLIENTS_MAX = 20_000;

// Where Web Mercator ends, which makes the map a square.
const LATITUDE_MAX = 85.0511287798;

// How long ago a client was seen, in seconds, each with its words; the last has no end. Each has a shape of its own,
// too (see draw.js), because not all people tell all colours apart.
export const AGES = [
  { below: 300, words: "under 5 min" },
  { below: 3_600, words: "under 1 h" },
  { below: 86_400, words: "under 1 day" },
  { below: Infinity, words: "longer ago" },
];

export const mercatorX = (longitude) => longitude / 360 + 0.5;

export function mercatorY(latitude) {
  const radians = Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitude)) * (Math.PI / 180);
  return 0.5 - Math.asinh(Math.tan(radians)) / (2 * Math.PI);
}

export const longitudeOf = (x) => (x - 0.5) * 360;

export const latitudeOf = (y) => Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) * (180 / Math.PI);

export class Clients {
  #all = new Map();
  #round = 0;
  // The server's clock minus ours, in seconds: ages are told by the former.
  #clockAhead = 0;
  // Whether there are more than the page takes.
  isCut = false;

  get size() {
    return this.#all.size;
  }

  get(name) {
    return this.#all.get(name);
  }

  // In the order in which they first came, so that what is drawn first stays first.
  values() {
    return this.#all.values();
  }

  setClock(date) {
    const seconds = Date.parse(date) / 1_000;
    if (Number.isFinite(seconds)) this.#clockAhead = seconds - Date.now() / 1_000;
  }

  now() {
    return Date.now() / 1_000 + this.#clockAhead;
  }

  // Takes what the server says of a client, and returns it.
  put(said) {
    const latitude = Number(said.latitude);
    const longitude = Number(said.longitude);
    const isPlace = Number.isFinite(latitude) && Number.isFinite(longitude);
    if (typeof said.client !== "string" || !isPlace) return undefined;
    let client = this.#all.get(said.client);
    if (!client) {
      if (this.#all.size >= CLIENTS_MAX) {
        this.isCut = true;
        return undefined;
      }
      const name = said.client;
      const label = name.length > 24 ? `${name.slice(0, 23)}…` : name;
      client = { name, small: name.toLowerCase(), label, width: 0 };
      this.#all.set(name, client);
    }
    client.said = said;
    client.latitude = latitude;
    client.x = mercatorX(longitude);
    client.y = mercatorY(latitude);
    client.time = Number(said.time);
    client.round = this.#round;
    return client;
  }

  remove(name) {
    this.#all.delete(name);
  }

  // From now on the server tells all it knows from the beginning.
  beginRound() {
    this.#round += 1;
    this.isCut = false;
  }

  // It has: those of whom it said nothing are gone.
  endRound() {
    for (const [name, client] of this.#all) {
      if (client.round !== this.#round) this.#all.delete(name);
    }
  }

  clear() {
    this.#all.clear();
  }

  // The index in AGES.
  ageOf(client, now) {
    const age = now - client.time;
    return age < 300 ? 0 : age < 3_600 ? 1 : age < 86_400 ? 2 : 3;
  }
}

// How long ago, for people.
export function agoOf(client, now) {
  const age = Math.round(now - client.time);
  if (!Number.isFinite(age)) return "at an unknown time";
  if (age < -5) return "by a clock that is ahead";
  for (const [limit, unit, word] of [[90, 1, "s"], [5_400, 60, "min"], [129_600, 3_600, "h"]]) {
    if (age < limit) return `${Math.max(0, Math.round(age / unit))} ${word} ago`;
  }
  return `${Math.round(age / 86_400).toLocaleString("en")} days ago`;
}

const isKnown = (value) => value !== undefined && value !== null && Number.isFinite(Number(value));

const POINTS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"];

// The battery in words, if it is known.
export function batteryOf(said) {
  if (!isKnown(said.battery_percent)) return undefined;
  return `${Math.round(Number(said.battery_percent))} %${said.is_charging ? ", charging" : ""}`;
}

// All that is known of a client, as pairs of a word and a value for people.
export function factsOf(client, now) {
  const { said } = client;
  const facts = [
    ["Last seen", agoOf(client, now)],
    ["At", `${String(said.time_utc ?? said.time).replace("T", " ").replace(/(:\d\d)(\.\d+)?Z$/, "$1 UTC")}`],
    ["Place", `${said.latitude}, ${said.longitude}`],
  ];
  if (isKnown(said.accuracy_m)) facts.push(["Accuracy", `${Number(said.accuracy_m)} m`]);
  if (isKnown(said.altitude_m)) facts.push(["Altitude", `${Math.round(Number(said.altitude_m))} m`]);
  if (isKnown(said.speed_mps)) facts.push(["Speed", `${(Number(said.speed_mps) * 3.6).toFixed(1)} km/h`]);
  if (isKnown(said.course_degrees)) {
    const course = ((Number(said.course_degrees) % 360) + 360) % 360;
    facts.push(["Course", `${POINTS[Math.round(course / 45) % 8]}, ${Math.round(course)}°`]);
  }
  const battery = batteryOf(said);
  if (battery) facts.push(["Battery", battery]);
  if (said.tracker_id) facts.push(["Tracker", String(said.tracker_id)]);
  if (said.server) facts.push(["Reported to", String(said.server)]);
  return facts;
}
