// What lies under the clients: the sea, the land, a grid of degrees, and tiles if the operator has chosen some. It is
// drawn on a canvas of its own, and only when the view moves.

import { latitudeOf, longitudeOf, mercatorX, mercatorY } from "./clients.js";

const STEPS_PER_DEGREE = 100;
// Points that are nearer to each other than this are drawn as one.
const PIXELS_MIN = 0.7;
// How far beyond the canvas a ring is cut, so that its edge there is not seen.
const MARGIN_PIXELS = 8;
// The degrees between lines of the grid, and how many pixels are between them at least.
const GRID_DEGREES = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
const GRID_PIXELS_MIN = 110;

// Up to here most of the world is seen, so its paths are made once for each whole zoom, and moved and scaled.
const FAR_ZOOM_MAX = 4;
const WORLD = { west: -1, east: 2, north: -1, south: 2 };

const TILE_PIXELS = 256;
const TILE_ZOOM_MAX = 19;
// A screen has 60 tiles or so.
const TILES_MAX = 300;

// Reads the rings of scripts/land.py, whose form is described there.
export function ringsOf(bytes) {
  let at = 0;
  const number = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const difference = () => {
    const value = number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  };
  const rings = [];
  let [longitude, latitude] = [0, 0];
  while (at < bytes.length) {
    const count = number();
    const ring = { xs: new Float64Array(count), ys: new Float64Array(count), west: 2, east: -1, north: 2, south: -1 };
    for (let point = 0; point < count; point += 1) {
      longitude += difference();
      latitude += difference();
      const x = mercatorX(longitude / STEPS_PER_DEGREE);
      const y = mercatorY(latitude / STEPS_PER_DEGREE);
      [ring.xs[point], ring.ys[point]] = [x, y];
      [ring.west, ring.east] = [Math.min(ring.west, x), Math.max(ring.east, x)];
      [ring.north, ring.south] = [Math.min(ring.north, y), Math.max(ring.south, y)];
    }
    rings.push(ring);
  }
  return rings;
}

export class Ground {
  #context;
  #rings = [];
  #far;
  #template;
  // Tiles by their addresses, the one used last at the end.
  #tiles = new Map();
  #changed;

  // `changed()` hears that a tile has come.
  constructor(canvas, changed) {
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#changed = changed;
  }

  setLand(bytes) {
    this.#rings = ringsOf(bytes);
    this.#far = undefined;
  }

  setTiles(template) {
    this.#template = template;
  }

  draw(view, ratio, colours) {
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colours.sea;
    context.fillRect(0, 0, view.width, view.height);
    this.#drawLand(view, colours);
    if (this.#template) this.#drawTiles(view);
    else this.#drawGrid(view, colours);
  }

  #drawLand(view, colours) {
    const { zoom, width, height } = view;
    const isFar = zoom <= FAR_ZOOM_MAX;
    const level = Math.ceil(zoom);
    if (isFar && this.#far?.level !== level) this.#far = { level, ...this.#paths(2 ** level * TILE_PIXELS, WORLD) };
    for (const turn of [-1, 0, 1]) {
      const [left, top] = [width / 2 + (turn - view.x) * view.world, height / 2 - view.y * view.world];
      if (left > width + MARGIN_PIXELS || left + view.world < -MARGIN_PIXELS) continue;
      const scale = isFar ? 2 ** (zoom - level) : 1;
      const box = {
        west: (-left - MARGIN_PIXELS) / view.world,
        east: (width - left + MARGIN_PIXELS) / view.world,
        north: (-top - MARGIN_PIXELS) / view.world,
        south: (height - top + MARGIN_PIXELS) / view.world,
      };
      const { land, coast } = isFar ? this.#far : this.#paths(view.world, box, left, top);
      this.#paint(land, coast, colours, isFar ? [scale, left, top] : [1, 0, 0]);
    }
  }

  // The rings in a box, as a path to fill and one to stroke, for a world of so many pixels that begins at a place.
  #paths(world, box, left = 0, top = 0) {
    const [land, coast] = [new Path2D(), new Path2D()];
    const { west, east, north, south } = box;
    for (const ring of this.#rings) {
      if (ring.east < west || ring.west > east || ring.south < north || ring.north > south) continue;
      const isWithin = ring.west >= west && ring.east <= east && ring.north >= north && ring.south <= south;
      trace(land, isWithin ? ring : cut(ring, box), world, left, top);
      outline(coast, ring, box, world, left, top);
    }
    return { land, coast };
  }

  #paint(land, coast, colours, [scale, left, top]) {
    const context = this.#context;
    context.save();
    context.translate(left, top);
    context.scale(scale, scale);
    // Even and odd, so that a lake is a ring within a ring.
    context.fillStyle = colours.land;
    context.fill(land, "evenodd");
    context.strokeStyle = colours.coast;
    context.lineWidth = 1 / scale;
    context.stroke(coast);
    context.restore();
  }

  #drawGrid(view, colours) {
    const context = this.#context;
    const degrees = GRID_DEGREES.findLast((step) => (step / 360) * view.world >= GRID_PIXELS_MIN) ?? 45;
    const digits = Math.max(0, Math.ceil(-Math.log10(degrees)));
    context.strokeStyle = colours.grid;
    context.fillStyle = colours.faint;
    context.lineWidth = 1;
    context.font = "11px system-ui, sans-serif";
    context.beginPath();
    const half = view.width / 2 / view.world;
    const first = Math.ceil(longitudeOf(view.x - half) / degrees);
    const last = Math.floor(longitudeOf(view.x + half) / degrees);
    for (let step = first; step <= last; step += 1) {
      const x = Math.round((mercatorX(step * degrees) - view.x) * view.world + view.width / 2) + 0.5;
      context.moveTo(x, 0);
      context.lineTo(x, view.height);
      const longitude = ((step * degrees + 540) % 360) - 180;
      const side = Math.abs(longitude) === 180 || longitude === 0 ? "" : longitude < 0 ? " W" : " E";
      context.fillText(`${Math.abs(longitude).toFixed(digits)}°${side}`, x + 4, 14);
    }
    const tall = view.height / 2 / view.world;
    const lowest = Math.ceil(latitudeOf(view.y + tall) / degrees);
    const highest = Math.floor(latitudeOf(view.y - tall) / degrees);
    for (let step = lowest; step <= highest; step += 1) {
      const y = Math.round(view.screenY(mercatorY(step * degrees))) + 0.5;
      context.moveTo(0, y);
      context.lineTo(view.width, y);
      const side = step === 0 ? "" : step < 0 ? " S" : " N";
      if (y > 30) context.fillText(`${Math.abs(step * degrees).toFixed(digits)}°${side}`, 4, y - 4);
    }
    context.stroke();
  }

  #drawTiles(view) {
    const zoom = Math.max(0, Math.min(TILE_ZOOM_MAX, Math.round(view.zoom)));
    const count = 2 ** zoom;
    const pixels = view.world / count;
    const [left, top] = [view.x * count - view.width / 2 / pixels, view.y * count - view.height / 2 / pixels];
    for (let row = Math.floor(top); row <= top + view.height / pixels; row += 1) {
      if (row < 0 || row >= count) continue;
      for (let column = Math.floor(left); column <= left + view.width / pixels; column += 1) {
        const tile = this.#tile(zoom, ((column % count) + count) % count, row);
        if (!tile.isThere) continue;
        // To whole pixels, so that there is no seam between two.
        const [x, y] = [Math.round((column - left) * pixels), Math.round((row - top) * pixels)];
        const [x2, y2] = [Math.round((column + 1 - left) * pixels), Math.round((row + 1 - top) * pixels)];
        this.#context.drawImage(tile.image, x, y, x2 - x, y2 - y);
      }
    }
  }

  #tile(z, x, y) {
    const address = this.#template.replace(/\{([zxy])\}/g, (_, place) => ({ z, x, y })[place]);
    let tile = this.#tiles.get(address);
    this.#tiles.delete(address);
    if (!tile) {
      tile = { image: new Image(TILE_PIXELS, TILE_PIXELS), isThere: false };
      // Servers of tiles want to know which site uses them, and the page itself tells no one.
      tile.image.referrerPolicy = "origin";
      tile.image.onload = () => {
        tile.isThere = true;
        this.#changed();
      };
      tile.image.src = address;
    }
    this.#tiles.set(address, tile);
    if (this.#tiles.size > TILES_MAX) this.#tiles.delete(this.#tiles.keys().next().value);
    return tile;
  }
}

// Adds a ring to the path that is filled, which closes it.
function trace(path, { xs, ys }, world, left, top) {
  let [lastX, lastY] = [NaN, NaN];
  for (let at = 0; at < xs.length; at += 1) {
    const [x, y] = [xs[at] * world + left, ys[at] * world + top];
    if (at === 0) path.moveTo(x, y);
    else if (Math.abs(x - lastX) + Math.abs(y - lastY) < PIXELS_MIN) continue;
    else path.lineTo(x, y);
    [lastX, lastY] = [x, y];
  }
}

// Adds the edges of a ring that may be seen to the path of coasts. Those on the date line were made by a cut.
function outline(path, { xs, ys }, box, world, left, top) {
  let isDrawing = false;
  let [lastX, lastY] = [NaN, NaN];
  for (let at = 0; at < xs.length; at += 1) {
    const next = at + 1 === xs.length ? 0 : at + 1;
    const [x1, x2, y1, y2] = [xs[at], xs[next], ys[at], ys[next]];
    const isOfCut = x1 === x2 && (x1 === 0 || x1 === 1);
    const isSeen = Math.max(x1, x2) >= box.west && Math.min(x1, x2) <= box.east && Math.max(y1, y2) >= box.north &&
      Math.min(y1, y2) <= box.south;
    if (isOfCut || !isSeen) {
      isDrawing = false;
      continue;
    }
    if (!isDrawing) {
      [lastX, lastY] = [x1 * world + left, y1 * world + top];
      path.moveTo(lastX, lastY);
      isDrawing = true;
    }
    const [x, y] = [x2 * world + left, y2 * world + top];
    if (next !== 0 && Math.abs(x - lastX) + Math.abs(y - lastY) < PIXELS_MIN) continue;
    path.lineTo(x, y);
    [lastX, lastY] = [x, y];
  }
}

// What of a ring is in a box (Sutherland and Hodgman): far beyond the canvas its numbers would be too large to draw.
function cut(ring, box) {
  let points = { xs: ring.xs, ys: ring.ys };
  for (const [axis, border, sign] of [["xs", box.west, 1], ["xs", box.east, -1], ["ys", box.north, 1],
    ["ys", box.south, -1]]) {
    const other = axis === "xs" ? "ys" : "xs";
    const [along, across, of, from] = [points[axis], points[other], [], []];
    for (let at = 0, before = along.length - 1; at < along.length; before = at, at += 1) {
      const [isIn, wasIn] = [(along[at] - border) * sign >= 0, (along[before] - border) * sign >= 0];
      if (isIn !== wasIn) {
        const part = (border - along[before]) / (along[at] - along[before]);
        of.push(border);
        from.push(across[before] + (across[at] - across[before]) * part);
      }
      if (isIn) {
        of.push(along[at]);
        from.push(across[at]);
      }
    }
    points = { [axis]: of, [other]: from };
  }
  return points;
}
