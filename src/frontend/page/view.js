// The part of the world that is seen, and how a mouse, fingers and keys move it. The world is a square of 1 by 1 in Web
// Mercator, which goes on to the east and the west.

import { latitudeOf, longitudeOf } from "./clients.js";

const TILE_PIXELS = 256;
const ZOOM_MAX = 20;
// The zoom at which one client is looked at, and the largest at which many are.
export const ZOOM_ONE = 14;
// Pixels that a pointer may move and still have clicked.
const CLICK_PIXELS_MAX = 6;
// Pixels that a key moves the map.
const STEP_PIXELS = 80;
// Pixels around what is fitted into the view; more on the right, where names, buttons and the legend are.
const MARGIN_PIXELS = 60;
const MARGIN_RIGHT_PIXELS = 160;

const KEYS = new Map([
  ["ArrowLeft", (view) => view.moveBy(STEP_PIXELS, 0)],
  ["ArrowRight", (view) => view.moveBy(-STEP_PIXELS, 0)],
  ["ArrowUp", (view) => view.moveBy(0, STEP_PIXELS)],
  ["ArrowDown", (view) => view.moveBy(0, -STEP_PIXELS)],
  ["+", (view) => view.zoomBy(1)],
  ["=", (view) => view.zoomBy(1)],
  ["-", (view) => view.zoomBy(-1)],
  ["_", (view) => view.zoomBy(-1)],
]);

export class View {
  x = 0.5;
  y = 0.4;
  zoom = 0;
  // Pixels that the world is wide.
  world = TILE_PIXELS;
  width = 1;
  height = 1;
  #changed;

  // `changed(byHand)` hears of each move.
  constructor(changed) {
    this.#changed = changed;
  }

  get latitude() {
    return latitudeOf(this.y);
  }

  get longitude() {
    return longitudeOf(this.x);
  }

  // The nearest copy of a place, in pixels of the canvas.
  screenX(x) {
    const away = x - this.x;
    return (away - Math.round(away)) * this.world + this.width / 2;
  }

  screenY(y) {
    return (y - this.y) * this.world + this.height / 2;
  }

  metresPerPixel(latitude) {
    return (40_075_016.686 * Math.cos((latitude * Math.PI) / 180)) / this.world;
  }

  resize(width, height) {
    [this.width, this.height] = [Math.max(1, width), Math.max(1, height)];
    this.#settle(false);
  }

  show(x, y, zoom, byHand = false) {
    [this.x, this.y, this.zoom] = [x, y, zoom];
    this.#settle(byHand);
  }

  moveBy(dx, dy) {
    this.show(this.x - dx / this.world, this.y - dy / this.world, this.zoom, true);
  }

  // Zooms so that what is at this pixel stays there.
  zoomBy(steps, screenX = this.width / 2, screenY = this.height / 2) {
    const [right, down] = [screenX - this.width / 2, screenY - this.height / 2];
    const [x, y] = [this.x + right / this.world, this.y + down / this.world];
    this.zoom += steps;
    this.#bound();
    this.show(x - right / this.world, y - down / this.world, this.zoom, true);
  }

  // Shows all of these places, across the date line if that is the shorter way.
  fit(places) {
    const xs = places.map((place) => ((place.x % 1) + 1) % 1).sort((a, b) => a - b);
    if (xs.length === 0) return;
    // The widest gap is what is not seen.
    let [gap, after] = [xs[0] + 1 - xs[xs.length - 1], 0];
    for (let at = 1; at < xs.length; at += 1) {
      if (xs[at] - xs[at - 1] > gap) [gap, after] = [xs[at] - xs[at - 1], at];
    }
    let [north, south] = [1, 0];
    for (const { y } of places) [north, south] = [Math.min(north, y), Math.max(south, y)];
    const [across, down] = [1 - gap, south - north];
    const right = Math.min(MARGIN_RIGHT_PIXELS, this.width / 4);
    const room = (pixels, margins) => Math.max(TILE_PIXELS / 4, pixels - margins);
    const [wide, tall] = [room(this.width, MARGIN_PIXELS + right), room(this.height, 2 * MARGIN_PIXELS)];
    const zoom = Math.min(ZOOM_ONE, Math.log2(Math.min(wide / across, tall / down) / TILE_PIXELS));
    const aside = xs.length > 1 ? (right - MARGIN_PIXELS) / 2 / (TILE_PIXELS * 2 ** zoom) : 0;
    this.show(xs[after] + across / 2 + aside, (north + south) / 2, zoom);
  }

  #bound() {
    // The world always fills the canvas, so that a place is seen once.
    const least = Math.log2(Math.max(this.width, this.height) / TILE_PIXELS);
    this.zoom = Math.max(least, Math.min(ZOOM_MAX, Number.isFinite(this.zoom) ? this.zoom : least));
    this.world = TILE_PIXELS * 2 ** this.zoom;
  }

  #settle(byHand) {
    this.#bound();
    this.x = ((this.x % 1) + 1) % 1;
    const half = this.height / 2 / this.world;
    this.y = Math.max(half, Math.min(1 - half, this.y));
    this.#changed(byHand);
  }

  // Lets a canvas move the view. `clicked(x, y, isFinger)` hears of clicks.
  listen(canvas, clicked) {
    const pointers = new Map();
    let moved = 0;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      if (pointers.size === 0) moved = 0;
      pointers.set(event.pointerId, at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      const [dx, dy] = [now.x - before.x, now.y - before.y];
      moved += Math.abs(dx) + Math.abs(dy);
      pointers.set(event.pointerId, now);
      if (moved <= CLICK_PIXELS_MAX) return;
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (!other) {
        this.moveBy(dx, dy);
        return;
      }
      // Two fingers: what is between them stays between them.
      const distance = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.moveBy(dx / 2, dy / 2);
      this.zoomBy(Math.log2(distance(now) / distance(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
    });
    const up = (event) => {
      const point = pointers.get(event.pointerId);
      const isClick = event.type === "pointerup" && pointers.size === 1 && moved <= CLICK_PIXELS_MAX;
      pointers.delete(event.pointerId);
      if (point && isClick) clicked(point.x, point.y, event.pointerType === "touch");
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      // In lines or pages where the browser has no pixels.
      const pixels = event.deltaY * [1, 30, 300][event.deltaMode];
      const { x, y } = at(event);
      this.zoomBy(Math.max(-1, Math.min(1, -pixels / 250)), x, y);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const move = KEYS.get(event.key);
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      move(this);
    });
  }
}
