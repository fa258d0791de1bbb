// The page of the map: what is heard from the server goes into the clients, and from there into the map and the list.

import { AGES, Clients } from "./clients.js";
import { Painter } from "./draw.js";
import { Ground } from "./ground.js";
import { Panel } from "./panel.js";
import { isShared, listen, needsLogin, setToken, settings, token } from "./server.js";
import { View, ZOOM_ONE } from "./view.js";

// A shared link has a view of its own.
const VIEW_KEY = isShared ? "proxyherd-shared-view" : "proxyherd-view";
// How often the map follows what is told at most: the eye needs no more, and a phone has a battery.
const TOLD_MS = 100;
// How often the list follows the map at most, and ages are told anew at least.
const LIST_MS = 400;
const AGES_MS = 5_000;
// How long it says that a client is gone.
const GONE_MS = 10_000;
const CLICK_PIXELS = 14;
// A finger is not as exact.
const TOUCH_PIXELS = 26;

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const clients = new Clients();
const painter = new Painter(canvas);
const ground = new Ground(byId("ground"), () => redraw(true));
const view = new View(viewChanged);
const panel = new Panel(clients, { choose, follow: toggleFollow, changed: () => redraw(false) });

// The name of the client that is looked at, and whether the map moves with it.
let chosen;
let isFollowing = false;
// Whether the view is one that somebody has chosen, so that it stays.
let isViewChosen = false;
let epoch;
let ratio = 1;
let isGroundOld = true;
// Whether all clients have been drawn once, of which the browser's own clock tells.
let isDrawn = false;
let frame;
let toldTimer;
let listTimer;

function redraw(withGround) {
  isGroundOld ||= withGround;
  frame ??= requestAnimationFrame(draw);
}

function draw() {
  frame = undefined;
  if (isGroundOld) {
    isGroundOld = false;
    ground.draw(view, ratio, painter.colours);
  }
  const hasCross = document.activeElement === canvas && canvas.matches(":focus-visible");
  const now = clients.now();
  const { places, track } = panel;
  painter.draw(view, ratio, { clients, now, chosen: clients.get(chosen), places, track, hasCross });
  document.body.dataset.clients = String(clients.size);
  if (document.body.dataset.state === "live" && !isDrawn) {
    isDrawn = true;
    performance.mark("all-clients");
  }
}

function viewChanged(byHand) {
  if (byHand) {
    isViewChosen = true;
    setFollowing(false);
  }
  redraw(true);
  relist();
}

function setFollowing(follows) {
  isFollowing = follows && chosen !== undefined;
  if (chosen !== undefined && clients.get(chosen)) panel.update(clients.get(chosen), isFollowing);
}

function toggleFollow() {
  setFollowing(!isFollowing);
  centre();
  keepView();
}

// Brings the client that is followed into the middle.
function centre() {
  const client = clients.get(chosen);
  if (isFollowing && client) view.show(client.x, client.y, view.zoom);
}

function choose(name, opener) {
  chosen = name;
  const client = name === undefined ? undefined : clients.get(name);
  if (!client) setFollowing(false);
  panel.choose(client, opener);
  if (client && opener) {
    // From the list one comes to where the client is; on the map one is there.
    const [x, y] = [view.screenX(client.x), view.screenY(client.y)];
    const isSeen = x > 20 && y > 20 && x < view.width - 20 && y < view.height - 20;
    const isFar = !isSeen || view.zoom < 5;
    if (opener !== canvas && isFar) view.show(client.x, client.y, Math.max(view.zoom, ZOOM_ONE - 2));
    isViewChosen = true;
  }
  setFollowing(isFollowing);
  centre();
  keepView();
  redraw(false);
}

function nearest(x, y, within) {
  let [found, least] = [undefined, within];
  for (const client of clients.values()) {
    const distance = Math.hypot(view.screenX(client.x) - x, view.screenY(client.y) - y);
    if (distance <= least) [found, least] = [client, distance];
  }
  return found;
}

// The list a little later, once for all that changes meanwhile.
function relist() {
  listTimer ??= setTimeout(list, LIST_MS);
}

function list() {
  clearTimeout(listTimer);
  listTimer = undefined;
  const words = byId("search").value.trim().toLowerCase();
  const isHere = ({ x, y }) => {
    const [left, top] = [view.screenX(x), view.screenY(y)];
    return left >= 0 && top >= 0 && left <= view.width && top <= view.height;
  };
  const fits = words ? ({ small }) => small.includes(words) : isHere;
  panel.list([...clients.values()].filter(fits), words !== "");
  const client = clients.get(chosen);
  if (client) panel.update(client, isFollowing);
  keepView();
}

// A reload keeps the view. It is not in the address, which may have a token of its own behind the #.
function keepView() {
  const { x, y, zoom } = view;
  document.body.dataset.view = `${zoom.toFixed(2)}/${view.latitude.toFixed(5)}/${view.longitude.toFixed(5)}`;
  document.body.dataset.chosen = chosen ?? "";
  if (isViewChosen) sessionStorage.setItem(VIEW_KEY, JSON.stringify({ x, y, zoom, chosen, isFollowing }));
}

function restoreView() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(VIEW_KEY));
    if (!kept || ![kept.x, kept.y, kept.zoom].every(Number.isFinite)) return;
    view.show(kept.x, kept.y, kept.zoom);
    isViewChosen = true;
    chosen = kept.chosen;
    isFollowing = kept.isFollowing === true;
  } catch {
    // What is there is not ours: the view is that of all clients.
  }
}

function say(state, words) {
  document.body.dataset.state = state;
  if (byId("state").textContent !== words) byId("state").textContent = words;
}

const heard = {
  opened(response, isResumed) {
    clients.setClock(response.headers.get("Date"));
    if (!isResumed) clients.beginRound();
    say("telling", "Loading");
    byId("logout").hidden = isShared || !token();
  },

  told({ kind, data, id }) {
    const now = id?.split(".")[0];
    if (now !== undefined && now !== epoch) {
      // Another life of the server: it begins from the beginning.
      if (epoch !== undefined) clients.beginRound();
      epoch = now;
    }
    const said = JSON.parse(data);
    if (kind === "client") {
      const client = clients.put(said);
      if (client && client.name === chosen) {
        panel.choose(client);
        centre();
      }
    } else if (kind === "gone") {
      clients.remove(said.client);
      if (said.client === chosen) lose(said.client);
    } else if (kind === "reset") {
      clients.beginRound();
    } else if (kind === "current") {
      this.current();
    }
    toldTimer ??= setTimeout(() => {
      toldTimer = undefined;
      redraw(false);
    }, TOLD_MS);
    relist();
  },

  current() {
    clients.endRound();
    if (isShared && !isViewChosen && clients.size > 0) {
      const [client] = clients.values();
      choose(client.name);
      toggleFollow();
      view.show(client.x, client.y, ZOOM_ONE);
    }
    if (!isViewChosen) view.fit([...clients.values()]);
    const client = clients.get(chosen);
    if (client) choose(client.name);
    else if (chosen !== undefined) choose(undefined);
    say("live", "Live");
    redraw(false);
    list();
  },

  closed(why, wait) {
    say("waiting", `Not live: ${why}. Trying again in ${Math.ceil(wait / 1_000)} s`);
  },
};

// The client that was looked at is gone.
function lose(name) {
  choose(undefined);
  byId("state").textContent = `${name} is gone`;
  setTimeout(() => document.body.dataset.state === "live" && say("live", "Live"), GONE_MS);
}

async function watch() {
  for (;;) {
    const message = (await needsLogin()) ? "" : (await listen("v1/events", heard)).message;
    clients.clear();
    choose(undefined);
    epoch = undefined;
    list();
    if (isShared) return say("ended", "This link has ended, or its client is gone");
    say("login", "Not logged in");
    await login(token() ? message : "");
  }
}

// Asks for a token, until there is one to try.
function login(why) {
  const [dialog, form, input] = [byId("login"), byId("enter"), byId("token")];
  byId("why").textContent = why;
  byId("logout").hidden = true;
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    // Without a token there is nothing behind it.
    dialog.onclose = () => dialog.showModal();
    form.onsubmit = (event) => {
      event.preventDefault();
      dialog.onclose = null;
      setToken(input.value.trim());
      input.value = "";
      dialog.close();
      resolve();
    };
  });
}

function fitCanvas() {
  const { clientWidth: width, clientHeight: height } = byId("map");
  const now = Math.min(3, devicePixelRatio || 1);
  for (const it of [canvas, byId("ground")]) {
    [it.width, it.height] = [Math.round(width * now), Math.round(height * now)];
  }
  if (now !== ratio) setTheme(now);
  view.resize(width, height);
  // At once, because a canvas that was resized is empty.
  cancelAnimationFrame(frame);
  draw();
}

function setTheme(now = ratio) {
  ratio = now;
  painter.setTheme();
  byId("legend").replaceChildren(...AGES.map(({ words }, age) => {
    const item = document.createElement("li");
    item.append(painter.dot(age, ratio), words);
    return item;
  }));
  redraw(true);
}

function listenToKeys() {
  view.listen(canvas, (x, y, isFinger) => {
    choose(nearest(x, y, isFinger ? TOUCH_PIXELS : CLICK_PIXELS)?.name);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") choose(nearest(view.width / 2, view.height / 2, Infinity)?.name, canvas);
    else if (event.key === "0" || event.key === "Home") showAll();
  });
  ["focus", "blur"].forEach((name) => canvas.addEventListener(name, () => redraw(false)));
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen !== undefined && !byId("login").open) choose(undefined);
  });
  byId("in").addEventListener("click", () => view.zoomBy(1));
  byId("out").addEventListener("click", () => view.zoomBy(-1));
  byId("all").addEventListener("click", showAll);
  byId("search").addEventListener("input", list);
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    list();
    byId("list").querySelector("button")?.click();
  });
  byId("logout").addEventListener("click", () => {
    setToken(undefined);
    sessionStorage.removeItem(VIEW_KEY);
    location.reload();
  });
}

function showAll() {
  setFollowing(false);
  view.fit([...clients.values()]);
}

async function loadGround() {
  const [land, { tiles, tiles_credit: credit }] = await Promise.all([
    fetch("page/land.bin").then((answer) => answer.arrayBuffer()),
    settings,
  ]);
  ground.setLand(new Uint8Array(land));
  if (tiles) {
    ground.setTiles(tiles);
    byId("credit").textContent = credit ?? "";
  }
  redraw(true);
}

setTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme());
new ResizeObserver(fitCanvas).observe(byId("map"));
fitCanvas();
restoreView();
listenToKeys();
// Without an outline the map still shows where the clients are.
loadGround().catch(() => {});
setInterval(() => {
  redraw(false);
  list();
}, AGES_MS);
if (isShared) document.body.dataset.shared = "";
watch();
