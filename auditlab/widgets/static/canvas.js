// What a timeline draws: marks where there are few changes, the density of each pixel column where there are many.

const LANE = 36; // px; each lane has three bands: INSERT and SNAPSHOT, UPDATE, DELETE and TRUNCATE
const AXIS = 24;
const BANDS = [0, 1, 2, 2, 0];
const MOST_MARKS = 1500; // filled pixel columns, over all lanes and operations

/** The colours of the theme as an element has them. */
function inks(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(["ink", "faint", "paper", "band", "line", "accent"].map((name) => [name, style.getPropertyValue(`--al-${name}`).trim()]));
}

/** A canvas' context in CSS pixels, cleared. */
function cleared(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * Draw the points into the canvas: marks where they fit beside one another, else the density of each pixel column.
 * Gives {inside, many, most}: how many are in the window, whether by density, and how many one mark or bar stands for.
 */
function drawPoints(canvas, { points, lanes, kept, span, width, height, zone }) {
  const context = cleared(canvas, width, height);
  const ink = inks(canvas);
  drawGround(context, { points, lanes, span, width, height, zone }, ink);
  const cells = cellsOf({ points, lanes, kept, span, width });
  const many = cells.filled > MOST_MARKS;
  return { inside: cells.inside, many, most: many ? drawDensity(context, cells, lanes) : drawMarks(context, cells, lanes, ink) };
}

/** For each lane, operation and pixel column: how many changes, and whether one of them is not certain. */
function cellsOf({ points, lanes, kept, span, width }) {
  const columns = Math.ceil(width) + 1;
  const scale = width / (span[1] - span[0]);
  const counts = new Uint32Array(lanes.names.length * OPERATIONS.length * columns);
  const doubts = new Uint8Array(counts.length);
  let inside = 0;
  for (let row = 0; row < points.count; row += 1) {
    const at = points.at[row];
    if (!kept[row] || at < span[0] || at > span[1]) continue;
    inside += 1;
    const place = points.operation[row] * columns + Math.floor((at - span[0]) * scale);
    const doubt = points.flags[row] & 1;
    lanes.of(row, (lane) => {
      const cell = lane * OPERATIONS.length * columns + place;
      counts[cell] += 1;
      doubts[cell] |= doubt;
    });
  }
  let filled = 0;
  let most = 0;
  for (const count of counts) {
    if (count) filled += 1;
    if (count > most) most = count;
  }
  return { counts, doubts, columns, inside, filled, most };
}

function drawGround(context, { points, lanes, span, width, height, zone }, ink) {
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "alphabetic";
  for (let lane = 0; lane < lanes.names.length; lane += 1) {
    if (lane % 2 === 1) {
      context.fillStyle = ink.band;
      context.fillRect(0, AXIS + lane * LANE, width, LANE);
    }
  }
  context.strokeStyle = ink.line;
  context.fillStyle = ink.faint;
  let free = -Infinity;
  const shown = points.count ? ticks(span[0], span[1], Math.floor(width / 90), zone) : []; // of no change there is no time
  for (const { ms, text } of shown) {
    const x = Math.round(((ms - span[0]) / (span[1] - span[0])) * width) + 0.5;
    context.beginPath();
    context.moveTo(x, AXIS - 5);
    context.lineTo(x, height);
    context.stroke();
    const half = context.measureText(text).width / 2;
    const at = Math.min(Math.max(x, half + 2), width - half - 2);
    if (at - half > free + 8) {
      context.fillText(text, at - half, AXIS - 9);
      free = at + half;
    }
  }
  context.beginPath();
  context.moveTo(0, AXIS + 0.5);
  context.lineTo(width, AXIS + 0.5);
  context.stroke();
}

/** A bar for each cell, in its operation's band; its height grows with the logarithm of the count. */
function drawDensity(context, { counts, columns, most }, lanes) {
  const third = LANE / 3;
  OPERATIONS.forEach(({ colour }, kind) => {
    context.fillStyle = colour;
    for (let lane = 0; lane < lanes.names.length; lane += 1) {
      const base = AXIS + lane * LANE + (BANDS[kind] + 1) * third - 1;
      const start = (lane * OPERATIONS.length + kind) * columns;
      for (let column = 0; column < columns; column += 1) {
        const count = counts[start + column];
        if (count) {
          const tall = 3 + (third - 5) * (Math.log1p(count) / Math.log1p(most));
          context.fillRect(column, base - tall, 1, tall);
        }
      }
    }
  });
  return most;
}

/** A mark for each change; those that would lie over one another share one, with their number beside it. */
function drawMarks(context, { counts, doubts, columns }, lanes, ink) {
  context.font = "10px system-ui, sans-serif";
  let most = 0;
  for (let line = 0; line < lanes.names.length * OPERATIONS.length; line += 1) {
    const kind = line % OPERATIONS.length;
    const y = AXIS + Math.floor(line / OPERATIONS.length) * LANE + (BANDS[kind] + 0.5) * (LANE / 3);
    const start = line * columns;
    for (let column = 0; column < columns; column += 1) {
      if (!counts[start + column]) continue;
      const mark = { x: column + 0.5, y, width: columns - 1, count: 0, doubt: false };
      let room = 12;
      for (; column < columns && column + 0.5 < mark.x + room; column += 1) {
        if (!counts[start + column]) continue;
        mark.count += counts[start + column];
        mark.doubt ||= doubts[start + column] === 1;
        if (mark.count > 1) room = 16 + context.measureText(mark.count.toLocaleString("en")).width;
      }
      column -= 1;
      drawMark(context, OPERATIONS[kind], mark, ink);
      most = Math.max(most, mark.count);
    }
  }
  return most;
}

function drawMark(context, operation, { x, y, width, count, doubt }, ink) {
  drawShape(context, operation, x, y, 5);
  if (doubt) {
    context.strokeStyle = ink.ink;
    context.lineWidth = 1;
    context.setLineDash([2, 2]);
    context.strokeRect(x - 6.5, y - 6, 13, 12);
    context.setLineDash([]);
  }
  if (count === 1) return;
  const text = count.toLocaleString("en");
  const left = x + 7 + context.measureText(text).width > width;
  context.fillStyle = ink.ink;
  context.textAlign = left ? "right" : "left";
  context.fillText(text, left ? x - 7 : x + 7, y + 3.5);
  context.textAlign = "left";
}

function drawShape(context, { shape, colour }, x, y, r) {
  const outline = new Path2D(shapePath(shape, r));
  context.save();
  context.translate(x, y);
  if (shape === "ring") {
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.stroke(outline);
  } else {
    context.fillStyle = colour;
    context.fill(outline);
  }
  context.restore();
}

/** Draw what moves: the brush, the change under the cursor, and the pointer. */
function drawPointers(canvas, { points, lanes, state, span, width, height, hover }) {
  const context = cleared(canvas, width, height);
  const ink = inks(canvas);
  const place = (ms) => ((ms - span[0]) / (span[1] - span[0])) * width;
  if (state.brush) {
    const [from, to] = state.brush.map(place);
    context.globalAlpha = 0.14;
    context.fillStyle = ink.accent;
    context.fillRect(from, AXIS, Math.max(to - from, 1), height - AXIS);
    context.globalAlpha = 1;
    context.strokeStyle = ink.accent;
    context.lineWidth = 2;
    context.setLineDash([5, 3]);
    context.strokeRect(from, AXIS + 1, Math.max(to - from, 1), height - AXIS - 2);
    context.setLineDash([]);
  }
  if (hover !== null) {
    context.strokeStyle = ink.faint;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(hover + 0.5, AXIS);
    context.lineTo(hover + 0.5, height);
    context.stroke();
  }
  if (state.cursor >= 0 && state.cursor < points.count) drawCursor(context, { points, lanes, row: state.cursor, x: place(points.at[state.cursor]), width, height }, ink);
}

function drawCursor(context, { points, lanes, row, x, width, height }, ink) {
  if (x < -1 || x > width + 1) return;
  context.strokeStyle = ink.ink;
  context.fillStyle = ink.ink;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x, AXIS - 2);
  context.lineTo(x, height);
  context.stroke();
  context.beginPath();
  context.moveTo(x - 6, AXIS - 8);
  context.lineTo(x + 6, AXIS - 8);
  context.lineTo(x, AXIS + 2);
  context.fill();
  const third = LANE / 3;
  lanes.of(row, (lane) => {
    const y = AXIS + lane * LANE + (BANDS[points.operation[row]] + 0.5) * third;
    context.beginPath();
    context.arc(x, y, 8, 0, 7);
    context.stroke();
  });
}
