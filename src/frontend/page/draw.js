// Draws the clients: a dot for each, whose shape and colour say how long ago it was seen, an arrow for its course, the
// circle of its accuracy, and names where there is room.

import { AGES } from "./clients.js";

const DOT_PIXELS = 6;
// A square with room for a dot.
const DOT_BOX = 20;
// Two dots in a square of so many pixels are one dot, the one that was seen last.
const DOT_CELL = 3;
// Names keep free of each other by squares of so many pixels.
const NAME_CELL = 8;
const NAMES_MAX = 150;
const FONT = "12px system-ui, sans-serif";
// Circles of accuracy that are smaller than the dot say nothing, and hundreds of them hide the map.
const CIRCLE_PIXELS_MIN = 10;
const CIRCLES_MAX = 200;
const BATTERY_LOW_PERCENT = 20;

const SHAPES = [
  (path, x, y) => circle(path, x, y, DOT_PIXELS),
  (path, x, y) => polygon(path, x, y, [0, -7, 7, 0, 0, 7, -7, 0]),
  (path, x, y) => circle(path, x, y, DOT_PIXELS - 1.5),
  (path, x, y) => polygon(path, x, y, [-4, -4, 4, -4, 4, 4, -4, 4]),
];
// Variables of the style sheet.
const COLOURS = ["sea", "land", "coast", "grid", "faint", "text", "halo", "mark", "age0", "age1", "age2", "age3"];

// The younger two are filled, the others hollow.
const FILLED = 2;

export class Painter {
  #canvas;
  #context;
  #cells = { dots: new Uint8Array(0), names: new Uint8Array(0) };
  colours = {};

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  // Takes the colours of the style sheet, for light or dark.
  setTheme() {
    const style = getComputedStyle(this.#canvas);
    for (const name of COLOURS) {
      this.colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  }

  // A small canvas with the dot of an age, for the legend.
  dot(age, ratio) {
    const dot = document.createElement("canvas");
    [dot.width, dot.height] = [DOT_BOX * ratio, DOT_BOX * ratio];
    const context = dot.getContext("2d");
    context.scale(ratio, ratio);
    const path = new Path2D();
    SHAPES[age](path, DOT_BOX / 2, DOT_BOX / 2);
    this.#drawDots(context, age, path);
    return dot;
  }

  #drawDots(context, age, path) {
    context.lineWidth = age < FILLED ? 3 : 5.5;
    context.strokeStyle = this.colours.halo;
    context.stroke(path);
    context.fillStyle = context.strokeStyle = this.colours[`age${age}`];
    context.lineWidth = 2.5;
    if (age < FILLED) context.fill(path);
    else context.stroke(path);
  }

  // `scene` has the clients, the time, the chosen client, the places near it, where it was, and whether the middle is
  // marked.
  draw(view, ratio, scene) {
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    const seen = this.#seen(view, scene);
    this.#drawCircles(view, scene, seen);
    this.#drawTrack(view, scene);
    this.#drawCourses(seen);
    this.#drawSeen(seen);
    this.#drawPlaces(view, scene);
    this.#drawChosen(view, scene);
    this.#drawNames(view, scene, seen);
    this.#drawScale(view);
    if (scene.hasCross) this.#drawCross(view);
  }

  // The clients in the view, the one seen last at the end, without those that another hides.
  #seen(view, { clients, now }) {
    const columns = Math.ceil(view.width / DOT_CELL) + 1;
    const taken = this.#cleared("dots", columns * (Math.ceil(view.height / DOT_CELL) + 1));
    const byAge = AGES.map(() => []);
    const { world, width, height } = view;
    for (const client of clients.values()) {
      const y = (client.y - view.y) * world + height / 2;
      if (y < -DOT_BOX || y > height + DOT_BOX) continue;
      const away = client.x - view.x;
      const x = (away - Math.round(away)) * world + width / 2;
      if (x < -DOT_BOX || x > width + DOT_BOX) continue;
      const age = clients.ageOf(client, now);
      byAge[age].push({ client, x, y, age });
    }
    const seen = [];
    for (const dot of byAge.flat()) {
      if (dot.x >= 0 && dot.y >= 0 && dot.x <= width && dot.y <= height) {
        const cell = Math.floor(dot.y / DOT_CELL) * columns + Math.floor(dot.x / DOT_CELL);
        if (taken[cell]) continue;
        taken[cell] = 1;
      }
      seen.push(dot);
    }
    return seen.reverse();
  }

  // Many dots as one path: a call for each would take twenty times as long. Those of a path must not touch, or their
  // edges would be lost, so squares of the map that are neighbours go into different ones.
  #drawSeen(seen) {
    const paths = AGES.map(() => []);
    for (const { x, y, age } of seen) {
      const group = (Math.floor(x / DOT_BOX) & 1) + 2 * (Math.floor(y / DOT_BOX) & 1);
      SHAPES[age]((paths[age][group] ??= new Path2D()), x, y);
    }
    for (let age = AGES.length - 1; age >= 0; age -= 1) {
      for (const path of paths[age]) if (path) this.#drawDots(this.#context, age, path);
    }
  }

  #cleared(name, size) {
    if (this.#cells[name].length < size) this.#cells[name] = new Uint8Array(size);
    else this.#cells[name].fill(0);
    return this.#cells[name];
  }

  #drawCircles(view, { chosen }, seen) {
    const context = this.#context;
    let left = CIRCLES_MAX;
    context.beginPath();
    for (const { client, x, y } of seen) {
      if (client.said.accuracy_m === undefined) continue;
      const radius = Number(client.said.accuracy_m) / view.metresPerPixel(client.latitude);
      const isDrawn = radius >= (client === chosen ? DOT_PIXELS : CIRCLE_PIXELS_MIN) && radius < 4 * view.width;
      if (!isDrawn || (left <= 0 && client !== chosen)) continue;
      left -= 1;
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fillStyle = context.strokeStyle = this.colours.mark;
    context.lineWidth = 1;
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 0.6;
    context.stroke();
    context.globalAlpha = 1;
  }

  #drawCourses(seen) {
    const context = this.#context;
    context.beginPath();
    for (const dot of seen) {
      const { client, x, y } = dot;
      const { course_degrees: course, speed_mps: speed } = client.said;
      if (course === undefined || !Number.isFinite(Number(course)) || Number(speed ?? 1) <= 0) continue;
      const angle = (Number(course) * Math.PI) / 180;
      const [east, south] = [Math.sin(angle), -Math.cos(angle)];
      const base = DOT_PIXELS + 3;
      dot.isEastward = east > 0.5;
      context.moveTo(x + east * (base + 8), y + south * (base + 8));
      context.lineTo(x + east * base - south * 4.5, y + south * base + east * 4.5);
      context.lineTo(x + east * base + south * 4.5, y + south * base - east * 4.5);
      context.lineTo(x + east * (base + 8), y + south * (base + 8));
    }
    context.strokeStyle = this.colours.halo;
    context.lineWidth = 2.5;
    context.stroke();
    context.fillStyle = this.colours.text;
    context.fill();
  }

  #drawTrack(view, { track }) {
    const path = new Path2D();
    let before;
    for (const { x, y } of track) {
      const [right, down] = [view.screenX(x), view.screenY(y)];
      // Across the far side of the world is no way.
      if (before !== undefined && Math.abs(right - before) < view.world / 2) path.lineTo(right, down);
      else path.moveTo(right, down);
      before = right;
    }
    const context = this.#context;
    context.lineJoin = "round";
    for (const [width, colour] of [[5, this.colours.halo], [2.5, this.colours.mark]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke(path);
    }
  }

  #drawPlaces(view, { places }) {
    const context = this.#context;
    context.fillStyle = this.colours.mark;
    context.strokeStyle = this.colours.halo;
    context.lineWidth = 2;
    for (const place of places) {
      context.beginPath();
      context.rect(view.screenX(place.x) - 4, view.screenY(place.y) - 4, 8, 8);
      context.stroke();
      context.fill();
    }
  }

  #drawChosen(view, { clients, chosen, now }) {
    if (!chosen) return;
    const context = this.#context;
    const [x, y] = [view.screenX(chosen.x), view.screenY(chosen.y)];
    for (const [width, colour] of [[6, this.colours.halo], [3, this.colours.mark]]) {
      context.beginPath();
      context.arc(x, y, DOT_PIXELS + 6, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
    const age = clients.ageOf(chosen, now);
    const path = new Path2D();
    SHAPES[age](path, x, y);
    this.#drawDots(context, age, path);
  }

  // Names where nothing else is: of the chosen client first, then always in the same order, so that they do not
  // change places while nothing moves.
  #drawNames(view, { chosen, places }, seen) {
    const context = this.#context;
    const columns = Math.ceil(view.width / NAME_CELL) + 1;
    const rows = Math.ceil(view.height / NAME_CELL) + 1;
    const taken = this.#cleared("names", columns * rows);
    const take = (x, y, width, height, must) => {
      const [west, north] = [Math.floor(x / NAME_CELL), Math.floor(y / NAME_CELL)];
      const [east, south] = [Math.floor((x + width) / NAME_CELL), Math.floor((y + height) / NAME_CELL)];
      if (!must && (west < 0 || north < 0 || east >= columns || south >= rows)) return false;
      for (let row = north; row <= south && !must; row += 1) {
        for (let column = west; column <= east; column += 1) if (taken[row * columns + column]) return false;
      }
      for (let row = Math.max(0, north); row <= Math.min(south, rows - 1); row += 1) {
        for (let column = Math.max(0, west); column <= Math.min(east, columns - 1); column += 1) {
          taken[row * columns + column] = 1;
        }
      }
      return true;
    };
    context.font = FONT;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = this.colours.halo;
    context.fillStyle = this.colours.text;
    for (const { x, y } of seen) take(x - 3, y - 3, 6, 6, true);
    let left = NAMES_MAX;
    const write = (text, x, y, width) => {
      if (!take(x, y - 7, width, 14, false)) return;
      left -= 1;
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    };
    const name = ({ client, x, y, isEastward }) => {
      if (!client.width) client.width = context.measureText(client.label).width;
      const battery = Number(client.said.battery_percent ?? NaN);
      const isLow = battery <= BATTERY_LOW_PERCENT;
      const text = isLow ? `${client.label} (${Math.round(battery)} %)` : client.label;
      write(text, x + DOT_PIXELS + (isEastward ? 14 : client === chosen ? 10 : 6), y, client.width + (isLow ? 44 : 0));
    };
    const first = seen.find(({ client }) => client === chosen);
    if (first) name(first);
    for (const place of places) {
      if (!place.width) place.width = context.measureText(place.label).width;
      write(place.label, view.screenX(place.x) + 8, view.screenY(place.y), place.width);
    }
    for (let at = seen.length - 1; at >= 0 && left > 0; at -= 1) if (seen[at] !== first) name(seen[at]);
  }

  #drawScale(view) {
    const context = this.#context;
    const metres = 110 * view.metresPerPixel(view.latitude);
    const power = 10 ** Math.floor(Math.log10(metres));
    const round = [5, 2, 1].find((factor) => factor * power <= metres) * power;
    const width = round / view.metresPerPixel(view.latitude);
    const [x, y] = [12, view.height - 12];
    const words = round >= 1_000 ? `${(round / 1_000).toLocaleString("en")} km` : `${round} m`;
    for (const [line, colour] of [[5, this.colours.halo], [2, this.colours.text]]) {
      context.beginPath();
      context.moveTo(x, y - 6);
      context.lineTo(x, y);
      context.lineTo(x + width, y);
      context.lineTo(x + width, y - 6);
      context.lineWidth = line;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.lineWidth = 3;
    context.strokeStyle = this.colours.halo;
    context.fillStyle = this.colours.text;
    context.strokeText(words, x + 6, y - 12);
    context.fillText(words, x + 6, y - 12);
  }

  // Where Enter takes a client from, for those who move the map with keys.
  #drawCross(view) {
    const context = this.#context;
    const [x, y] = [Math.round(view.width / 2) + 0.5, Math.round(view.height / 2) + 0.5];
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * 5, y + dy * 5);
      context.lineTo(x + dx * 14, y + dy * 14);
    }
    context.lineWidth = 1.5;
    context.strokeStyle = this.colours.mark;
    context.stroke();
  }
}

function circle(path, x, y, radius) {
  path.moveTo(x + radius, y);
  path.arc(x, y, radius, 0, 2 * Math.PI);
}

function polygon(path, x, y, corners) {
  path.moveTo(x + corners[0], y + corners[1]);
  for (let at = 2; at < corners.length; at += 2) path.lineTo(x + corners[at], y + corners[at + 1]);
  // Once more to the first two, in place of `closePath`, which measures the whole path each time.
  path.lineTo(x + corners[0], y + corners[1]);
  path.lineTo(x + corners[2], y + corners[3]);
}
