"""Makes an outline of the land that is small enough for a page, from TopoJSON: land.py INPUT OUTPUT.

The rings are cut at the meridians of -180 and +180, so that neither a fill nor a stroke crosses the map; simplified by
Visvalingam's method, which removes the points that span the smallest triangles; and written in hundredths of a degree.

The file is a run of rings. A ring is its number of points, and for each the longitude and the latitude as differences
from the point before it, also across rings (the first is from 0, 0); the ring closes by itself. All numbers are LEB128,
the differences in zigzag. Edges along a meridian of 180 were made by the cut, and are not for strokes.
"""

import heapq
import json
import sys

# Square degrees: what a triangle must span so that its point stays. It makes 34 KB.
AREA_MIN = 0.04
# A ring that would vanish stays as so many of its points: islands are what people look for.
POINTS_MIN = 4
STEPS_PER_DEGREE = 100


def main(source, target):
    rings = [part for ring in read(source) for part in cut(unrolled(ring))]
    rings = [whole for ring in rings if len(set(whole := quantised(simplified(ring)))) >= 3]
    # From west to east, so that differences between rings are small, and the same bytes come again.
    rings.sort()
    data = encoded(rings)
    with open(target, "wb") as file:
        file.write(data)
    print(f"{target}: {len(rings)} rings, {sum(map(len, rings))} points, {len(data)} bytes")


def read(path):
    """The rings of a TopoJSON file, outer ones and holes alike, each without its last point, which is its first."""
    with open(path, encoding="utf-8") as file:
        topology = json.load(file)
    (scale_x, scale_y), (x_0, y_0) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * scale_x + x_0, y * scale_y + y_0))
        arcs.append(points)
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            for indices in polygon:
                ring = []
                for index in indices:
                    ring += (arcs[index] if index >= 0 else arcs[~index][::-1])[:-1]
                yield ring


def unrolled(ring):
    """A ring without jumps from one side of the map to the other: its longitudes go beyond 180 instead."""
    points, turn = [ring[0]], 0
    for (before, _), (x, y) in zip(ring, ring[1:] + ring[:1]):
        turn += -360 if x - before > 180 else 360 if x - before < -180 else 0
        points.append((x + turn, y))
    last, first = points.pop(), points[0]
    if turn != 0:
        # It goes around a pole, so it closes along that.
        pole = -90.0 if first[1] < 0 else 90.0
        points += [last, (last[0], pole), (first[0], pole)]
    return points


def cut(ring):
    """The parts of a ring in -180 to 180, where one that goes beyond comes in again on the other side."""
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    for shift in (-360, 0, 360):
        if west + shift < 180 and east + shift > -180:
            part = [(x + shift, y) for x, y in ring]
            part = clipped(clipped(part, -180, 1), 180, -1)
            if len(part) >= 3:
                yield part


def clipped(ring, border, sign):
    """What of a ring is on the inner side of a meridian."""
    part = []
    for (x_0, y_0), (x_1, y_1) in zip(ring[-1:] + ring[:-1], ring):
        is_in_0, is_in_1 = (x_0 - border) * sign >= 0, (x_1 - border) * sign >= 0
        if is_in_0 != is_in_1:
            part.append((float(border), y_0 + (y_1 - y_0) * (border - x_0) / (x_1 - x_0)))
        if is_in_1:
            part.append((x_1, y_1))
    return part


def simplified(ring):
    """A ring without the points that matter least. Those on the cut stay, so that both halves meet there."""
    count = len(ring)
    before, after = [(at - 1) % count for at in range(count)], [(at + 1) % count for at in range(count)]
    area = [0.0] * count
    gone = [False] * count

    def measure(at):
        if abs(ring[at][0]) >= 180 or abs(ring[at][1]) >= 90:
            return float("inf")
        (x_0, y_0), (x_1, y_1), (x_2, y_2) = ring[before[at]], ring[at], ring[after[at]]
        return abs((x_1 - x_0) * (y_2 - y_0) - (x_2 - x_0) * (y_1 - y_0)) / 2

    for at in range(count):
        area[at] = measure(at)
    heap = [(area[at], at) for at in range(count)]
    heapq.heapify(heap)
    left = count
    while heap and left > POINTS_MIN:
        size, at = heapq.heappop(heap)
        if size >= AREA_MIN:
            break
        if gone[at] or size != area[at]:
            continue
        gone[at] = True
        left -= 1
        after[before[at]], before[after[at]] = after[at], before[at]
        for near in (before[at], after[at]):
            # Never less than what has gone, or a coast of many small steps would go step by step.
            area[near] = max(measure(near), size)
            heapq.heappush(heap, (area[near], near))
    return [point for at, point in enumerate(ring) if not gone[at]]


def quantised(ring):
    """A ring in whole steps, without points that fall together."""
    points = [(round(x * STEPS_PER_DEGREE), round(y * STEPS_PER_DEGREE)) for x, y in ring]
    return [point for at, point in enumerate(points) if point != points[at - 1]]


def encoded(rings):
    data = bytearray()

    def push(number):
        while number > 127:
            data.append(number & 127 | 128)
            number >>= 7
        data.append(number)

    x_0 = y_0 = 0
    for ring in rings:
        push(len(ring))
        for x, y in ring:
            for difference in (x - x_0, y - y_0):
                push(difference * 2 if difference >= 0 else -difference * 2 - 1)
            x_0, y_0 = x, y
    return bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
