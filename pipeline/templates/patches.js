'use strict';
// Patches of a run's page: unpacked into columns, found by place, and drawn on a canvas a slice of time at a time, so that a
// hundred thousand of them move as ten do.
const Patches = (() => {
  const CELLS = 64; // Cells of the grid index along the longer side of the map.
  const SLICE = 8; // Milliseconds that are drawn before the browser gets its turn.
  const DOT = 2.2; // Patches smaller than that on the screen are drawn as dots.
  const OUTLINED = 7; // Pixels of the screen from which on patches have an edge.

  // Lines that stand for the land use before, as a tile that the browser repeats.
  const tiles = new Map();
  const hatching = (pen, { angles, spacing, width, ink }) => {
    const key = `${angles} ${spacing} ${width} ${ink}`;
    if (!tiles.has(key)) {
      const side = Math.round(angles.some((angle) => angle % 90) ? spacing * Math.SQRT2 : spacing);
      const tile = Object.assign(document.createElement('canvas'), { width: side, height: side });
      const [line, half] = [tile.getContext('2d'), side / 2];
      Object.assign(line, { strokeStyle: ink, lineWidth: width, globalAlpha: 0.75 });
      angles.forEach((angle) => {
        // The neighbours' lines too: they reach over the corners.
        [-side, 0, side].forEach((beside) => {
          line.beginPath();
          if (angle === 0) { line.moveTo(-side, half); line.lineTo(2 * side, half); }
          else if (angle === 90) { line.moveTo(half, -side); line.lineTo(half, 2 * side); }
          else if (angle === 45) { line.moveTo(beside - side, 2 * side); line.lineTo(beside + 2 * side, -side); }
          else { line.moveTo(beside - side, -side); line.lineTo(beside + 2 * side, 2 * side); }
          if (angle % 90 || beside === 0) line.stroke();
        });
      });
      tiles.set(key, tile);
    }
    return pen.createPattern(tiles.get(key), 'repeat');
  };

  // ---- Columns: pipeline/run/page/packing.py has the format. ----
  const unpack = async ({ columns, text }) => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const found = {};
    let at = 0;
    columns.forEach(([name, length]) => {
      const values = new Int32Array(length);
      for (let i = 0; i < length; i += 1) {
        let [value, shift, byte] = [0, 0, 0];
        do {
          byte = bytes[at];
          at += 1;
          value |= (byte & 127) << shift;
          shift += 7;
        } while (byte & 128);
        values[i] = (value >>> 1) ^ -(value & 1);
      }
      found[name] = values;
    });
    return found;
  };

  // ---- Outlines: rings of each shape, vertices of each ring, and where both begin. ----
  const outlines = (columns, name, unit) => {
    const [rings, points] = [columns[`${name}.rings`], columns[`${name}.points`]];
    const begin = (lengths) => {
      const starts = new Uint32Array(lengths.length + 1);
      lengths.forEach((length, i) => { starts[i + 1] = starts[i] + length; });
      return starts;
    };
    const summed = (steps) => {
      const places = new Float32Array(steps.length);
      let at = 0;
      for (let i = 0; i < steps.length; i += 1) {
        at += steps[i];
        places[i] = at / unit;
      }
      return places;
    };
    const [ring, point, x, y] = [begin(rings), begin(points), summed(columns[`${name}.x`]), summed(columns[`${name}.y`])];
    const box = new Float32Array(4 * rings.length);
    for (let i = 0; i < rings.length; i += 1) {
      let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
      for (let k = point[ring[i]]; k < point[ring[i + 1]]; k += 1) {
        if (x[k] < left) left = x[k];
        if (x[k] > right) right = x[k];
        if (y[k] < top) top = y[k];
        if (y[k] > bottom) bottom = y[k];
      }
      box.set([left, top, right, bottom], 4 * i);
    }
    return { length: rings.length, ring, point, x, y, box };
  };

  // The rings of a shape as pairs of y and x by a function of x and y.
  const ringsOf = (shapes, index, place) => {
    const found = [];
    for (let r = shapes.ring[index]; r < shapes.ring[index + 1]; r += 1) {
      const ring = [];
      for (let k = shapes.point[r]; k < shapes.point[r + 1]; k += 1) ring.push(place(shapes.x[k], shapes.y[k]));
      found.push(ring);
    }
    return found;
  };

  const holds = (shapes, index, x, y) => {
    let inside = false;
    for (let r = shapes.ring[index]; r < shapes.ring[index + 1]; r += 1) {
      const end = shapes.point[r + 1];
      for (let k = shapes.point[r], j = end - 1; k < end; j = k, k += 1) {
        const [xa, ya, xb, yb] = [shapes.x[k], shapes.y[k], shapes.x[j], shapes.y[j]];
        if (ya > y !== yb > y && x < ((xb - xa) * (y - ya)) / (yb - ya) + xa) inside = !inside;
      }
    }
    return inside;
  };

  // ---- Index: the patches of each cell by the middle of their boxes; the few that are larger than a cell apart. ----
  const gridIndex = (shapes, columns, rows) => {
    const side = Math.max(columns, rows) / CELLS;
    const [across, down] = [Math.ceil(columns / side), Math.ceil(rows / side)];
    const cells = Array.from({ length: across * down }, () => []);
    const large = [];
    const clamp = (value, most) => Math.min(Math.max(Math.floor(value / side), 0), most - 1);
    for (let i = 0; i < shapes.length; i += 1) {
      const [left, top, right, bottom] = shapes.box.subarray(4 * i, 4 * i + 4);
      if (right - left > side || bottom - top > side) large.push(i);
      else cells[clamp((top + bottom) / 2, down) * across + clamp((left + right) / 2, across)].push(i);
    }
    // Parts of all shapes, among which are those whose boxes meet a box in pixels of the map.
    const partsIn = (left, top, right, bottom) => {
      const found = large.length ? [large] : [];
      for (let row = clamp(top - side / 2, down); row <= clamp(bottom + side / 2, down); row += 1) {
        for (let column = clamp(left - side / 2, across); column <= clamp(right + side / 2, across); column += 1) {
          if (cells[row * across + column].length) found.push(cells[row * across + column]);
        }
      }
      return found;
    };
    const meets = (i, left, top, right, bottom) => {
      const { box } = shapes;
      return box[4 * i] <= right && box[4 * i + 2] >= left && box[4 * i + 1] <= bottom && box[4 * i + 3] >= top;
    };
    return { partsIn, meets };
  };

  // ---- The canvas: Leaflet's renderer places and moves it; a new picture replaces the old one when it is whole. ----
  const Layer = L.Renderer.extend({
    initialize(shapes, options) {
      L.Renderer.prototype.initialize.call(this, options);
      this._shapes = shapes;
      this._job = 0;
    },
    _initContainer() {
      this._container = L.DomUtil.create('canvas', 'patches');
      this._container.setAttribute('aria-hidden', 'true');
      this._back = document.createElement('canvas');
    },
    _destroyContainer() {
      this._job += 1;
      this._container.remove();
    },
    _updatePaths() {},
    _onZoomEnd() {},
    redraw() { if (this._map) this._update(); },
    _update() {
      if (this._map._animatingZoom && this._bounds) return;
      const map = this._map;
      const size = map.getSize();
      const low = map.containerPointToLayerPoint(size.multiplyBy(-this.options.padding)).round();
      const bounds = new L.Bounds(low, low.add(size.multiplyBy(1 + 2 * this.options.padding)).round());
      this._paint(bounds, map.getCenter(), map.getZoom());
    },
    // In slices, until the next call comes.
    _paint(bounds, center, zoom) {
      this._job += 1;
      const [job, size, ratio, { metres, shapes }] = [this._job, bounds.getSize(), devicePixelRatio || 1, this.options];
      const [back, origin, scale] = [this._back, this._map.getPixelOrigin(), this._map.options.crs.scale(zoom) * metres];
      back.width = size.x * ratio;
      back.height = size.y * ratio;
      // Drawn at once and not at the end, so that slices are slices.
      const pen = back.getContext('2d', { willReadFrequently: true });
      pen.scale(ratio, ratio);
      const [left, top] = [bounds.min.x + origin.x, bounds.min.y + origin.y];
      const { styles, styleOf } = this.options.paint();
      const { partsIn, meets } = this.options.index;
      const box = [left / scale, top / scale, (left + size.x) / scale, (top + size.y) / scale];
      const work = partsIn(...box);
      const finish = () => {
        const { _container: front } = this;
        Object.assign(this, { _bounds: bounds, _center: center, _zoom: zoom });
        front.width = back.width;
        front.height = back.height;
        Object.assign(front.style, { width: `${size.x}px`, height: `${size.y}px` });
        L.DomUtil.setPosition(front, bounds.min);
        if (back.width && back.height) front.getContext('2d', { willReadFrequently: true }).drawImage(back, 0, 0);
        this.fire('painted');
      };
      const go = (at) => {
        if (job !== this._job) return;
        const until = performance.now() + SLICE;
        let next = at;
        while (next < work.length && performance.now() < until) {
          // Some parts at once, for fewer strokes of the pen.
          const groups = styles.map(() => []);
          let taken = 0;
          for (; next < work.length && taken < 200; next += 1) {
            work[next].forEach((i) => {
              const style = meets(i, ...box) ? styleOf(i) : -1;
              if (style >= 0) groups[style].push(i);
            });
            taken += work[next].length;
          }
          groups.forEach((found, style) => {
            for (let i = 0; i < found.length; i += 200) this._draw(pen, shapes, [styles[style], found.slice(i, i + 200)], { scale, left, top });
          });
        }
        if (next < work.length) requestAnimationFrame(() => go(next));
        else finish();
      };
      go(0);
    },
    _draw(pen, shapes, [style, found], { scale, left, top }) {
      const { colour, edge, fill, weight } = style;
      const { box, ring, point, x, y } = shapes;
      pen.fillStyle = colour;
      let [outlined, drawn] = [false, false];
      pen.beginPath();
      found.forEach((i) => {
        const [wide, high] = [(box[4 * i + 2] - box[4 * i]) * scale, (box[4 * i + 3] - box[4 * i + 1]) * scale];
        if (wide < DOT && high < DOT) {
          const side = Math.max(wide, high, 1.2);
          pen.fillRect(box[4 * i] * scale - left, box[4 * i + 1] * scale - top, side, side);
          return;
        }
        outlined ||= Math.max(wide, high) > OUTLINED;
        drawn = true;
        for (let r = ring[i]; r < ring[i + 1]; r += 1) {
          for (let k = point[r]; k < point[r + 1]; k += 1) {
            const [px, py] = [x[k] * scale - left, y[k] * scale - top];
            if (k === point[r]) pen.moveTo(px, py);
            else pen.lineTo(px, py);
          }
          pen.closePath();
        }
      });
      if (!drawn) return;
      if (fill) pen.fill('evenodd');
      if (fill && outlined && style.lines?.angles.length) {
        pen.fillStyle = hatching(pen, style.lines);
        pen.fill('evenodd');
      }
      if (!outlined && fill) return;
      pen.strokeStyle = edge;
      pen.lineWidth = weight;
      pen.stroke();
    },
  });

  return { unpack, outlines, ringsOf, holds, gridIndex, Layer };
})();
