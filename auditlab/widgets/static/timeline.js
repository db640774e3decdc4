// The timeline: lanes over time with a cursor on a change, a brush over a span, and a zoom from years to a transaction.

const KEYS = "Arrow keys go from change to change, Page keys by ten, Home and End to the first and the last. "
  + "Plus and minus zoom, 0 shows all, square brackets set the ends of the brush at the cursor, Escape clears the brush.";
const MOUSE = "Click on a mark to put the cursor there; drag to brush a span; drag with Shift to move the window; turn the wheel to zoom "
  + "(with Ctrl, or once the timeline has the focus).";

/**
 * The timeline of a page: {element, buttons, refresh(what), step(by), select(row)}. `page.state` has lanes, cursor,
 * brush and zoom; `told` are {points, kept(), onCursor(), onBrush(), onView(drawn, lanes)},
 * and lanes() where they are not those that the state says.
 */
function timeline(page, told) {
  const { points } = told;
  const whole = wholeSpan(points);
  const keysId = `al-keys-${Math.random().toString(36).slice(2)}`;
  const help = h("details", {}, h("summary", {}, "Keys and mouse"), h("p", { id: keysId }, KEYS), h("p", {}, MOUSE));
  const under = h("canvas", { "aria-hidden": "true" });
  const over = h("canvas", { "aria-hidden": "true", class: "al-over" });
  const slider = h("div", {
    class: "al-slider", role: "slider", tabindex: "0", "aria-label": "Change under the cursor", "aria-orientation": "horizontal",
    "aria-valuemin": "0", "aria-valuenow": "0", "data-testid": "al-timeline", "aria-describedby": keysId,
  }, under, over);
  const names = h("ul", { class: "al-lanes", "aria-label": "Lanes", "data-testid": "al-lanes" });
  const hoverLine = h("p", { class: "al-hover", "aria-hidden": "true", "data-testid": "al-hover" });
  const element = h("div", { class: "al-timeline" }, names, slider);
  const dealt = () => (told.lanes ? told.lanes() : lanesOf(points, page.state.lanes));
  let lanes = dealt();
  let width = 600;
  let hover = null;
  let pending = 0;

  const height = () => AXIS + LANE * Math.max(lanes.names.length, 1) + 2;
  const span = () => page.state.zoom ?? whole;
  const timeAt = (x) => span()[0] + (x / width) * (span()[1] - span()[0]);
  const exact = (ms) => Math.round(ms * 1000) / 1000;

  function drawAll() {
    slider.style.height = `${height()}px`;
    const drawn = drawPoints(under, { points, lanes, kept: told.kept(), span: span(), width, height: height(), zone: points.zone });
    drawOver();
    told.onView(drawn, lanes);
    rest();
  }
  function rest() {
    const [start, end] = span();
    if (points.count) hoverLine.textContent = `${timeText(exact(start), points.zone)} to ${timeText(exact(end), points.zone)} ${points.zone}: ${spanText(end - start)} in view`;
  }
  function drawOver() {
    pending = 0;
    drawPointers(over, { points, lanes, state: page.state, span: span(), width, height: height(), hover });
  }
  function later() { if (!pending) pending = requestAnimationFrame(drawOver); }

  function nameLanes() {
    lanes = dealt();
    names.replaceChildren(...lanes.names.map((name, lane) => h("li", { title: name },
      h("span", { class: "al-lane-name" }, middle(name, 19)), h("span", { class: "al-lane-count" }, lanes.sizes[lane].toLocaleString("en")))));
  }

  // the rows that keys and play go over: kept, and in the brush where there is one
  const goes = (row) => told.kept()[row] && (!page.state.brush || (points.at[row] >= page.state.brush[0] && points.at[row] < page.state.brush[1]));
  function neighbour(from, by) {
    let row = from;
    let last = from;
    for (let left = Math.abs(by); left > 0; left -= 1) {
      do { row += Math.sign(by); } while (row >= 0 && row < points.count && !goes(row));
      if (row < 0 || row >= points.count) return last === from ? -1 : last;
      last = row;
    }
    return row;
  }
  function select(row) {
    if (row < 0 || row >= points.count) return false;
    const changed = row !== page.state.cursor;
    const patch = { cursor: row };
    const [start, end] = span();
    if (points.at[row] < start || points.at[row] > end) {
      const half = (end - start) / 2;
      patch.zoom = [points.at[row] - half, points.at[row] + half];
    }
    if (changed) page.select(patch);
    if (patch.zoom) drawAll();
    else later();
    say();
    if (changed) told.onCursor();
    return changed;
  }
  const step = (by) => select(neighbour(page.state.cursor < 0 ? (by > 0 ? -1 : points.count) : page.state.cursor, by));
  const first = () => select(neighbour(-1, 1));
  const last = () => select(neighbour(points.count, -1));

  function unless(possible, ...names_) {
    for (const one of buttons) if (names_.includes(one.dataset?.testid)) one.disabled = !possible;
  }
  function say() {
    const { cursor } = page.state;
    unless(points.count, "al-previous", "al-play", "al-next", "al-zoom-in");
    unless(page.state.brush, "al-zoom-brush", "al-clear-brush");
    unless(cursor >= 0, "al-zoom-transaction");
    unless(page.state.zoom, "al-zoom-all", "al-zoom-out");
    slider.setAttribute("aria-valuemax", String(points.count));
    slider.setAttribute("aria-valuenow", String(cursor + 1));
    slider.setAttribute("aria-valuetext", cursor < 0 ? `no change; ${counted(points.count, "change")} in all` : `${cursor + 1} of ${points.count}, ${inWords(points, cursor)}`);
  }

  function zoomBy(factor, x = null) {
    const [start, end] = span();
    const { cursor } = page.state;
    const seen = cursor >= 0 && points.at[cursor] >= start && points.at[cursor] <= end;
    const middle = x !== null ? timeAt(x) : seen ? points.at[cursor] : (start + end) / 2;
    const length = Math.min(Math.max((end - start) * factor, 0.01), whole[1] - whole[0]);
    const at = Math.max(whole[0], Math.min(middle - ((middle - start) / (end - start)) * length, whole[1] - length));
    zoomTo([at, at + length]);
  }
  function zoomTo(wanted) {
    const all = !wanted || (wanted[0] <= whole[0] && wanted[1] >= whole[1]);
    page.select({ zoom: all ? null : wanted.map(exact) });
    drawAll();
    say();
  }
  function zoomAround(start, end) {
    const more = Math.max((end - start) * 0.1, 0.5);
    zoomTo([start - more, end + more]);
  }
  function zoomToTransaction() {
    const { cursor } = page.state;
    if (cursor < 0 || points.transaction[cursor] === NONE) return;
    let start = points.at[cursor];
    let end = start;
    for (let row = 0; row < points.count; row += 1) {
      if (points.transaction[row] === points.transaction[cursor]) {
        start = Math.min(start, points.at[row]);
        end = Math.max(end, points.at[row]);
      }
    }
    zoomAround(start, end);
  }
  function brush(wanted) {
    page.select({ brush: wanted && wanted.map(exact) });
    later();
    say();
    told.onBrush();
  }
  function brushEnd(side) {
    const { cursor } = page.state;
    if (cursor < 0) return;
    const at = points.at[cursor];
    const [from, to] = page.state.brush ?? span();
    brush(side === 0 ? [at, Math.max(to, at + 0.001)] : [Math.min(from, at), at + 0.001]);
  }

  const PRESSED = {
    ArrowLeft: () => step(-1), ArrowDown: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(1),
    PageUp: () => step(10), PageDown: () => step(-10), Home: first, End: last, Escape: () => brush(null),
    "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2), 0: () => zoomTo(null), "[": () => brushEnd(0), "]": () => brushEnd(1),
  };
  slider.addEventListener("keydown", page.guard((event) => {
    const call = PRESSED[event.key];
    if (!call || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    call();
  }));

  /** The kept row nearest to a place; those of the pointed lane first, and of several in one place the next one. */
  function near(x, y) {
    const lane = Math.floor((y - AXIS) / LANE);
    const at = timeAt(x);
    const reach = (10 / width) * (span()[1] - span()[0]);
    let best = -1;
    let least = Infinity;
    for (let row = 0; row < points.count; row += 1) {
      const away = Math.abs(points.at[row] - at);
      if (!told.kept()[row] || away > reach) continue;
      let here = false;
      lanes.of(row, (own) => { here ||= own === lane; });
      const cost = away + (here ? 0 : reach * 2);
      if (cost < least || (cost === least && best === page.state.cursor)) {
        least = cost;
        best = row;
      }
    }
    return best;
  }

  let held = null; // where the pointer went down
  const placeOf = (event) => {
    const box = slider.getBoundingClientRect();
    return [Math.min(Math.max(event.clientX - box.left, 0), width), event.clientY - box.top];
  };
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    const [x] = placeOf(event);
    held = { x, moved: false, pan: event.shiftKey ? span() : null };
  });
  slider.addEventListener("pointermove", page.guard((event) => {
    const [x, y] = placeOf(event);
    hover = x;
    if (held && (held.moved || Math.abs(x - held.x) > 4)) {
      held.moved = true;
      if (held.pan) {
        const shift = ((held.x - x) / width) * (held.pan[1] - held.pan[0]);
        zoomTo(held.pan.map((ms) => ms + shift));
      } else {
        brush([timeAt(Math.min(held.x, x)), timeAt(Math.max(held.x, x))]);
      }
    } else if (points.count <= 200000) {
      const row = near(x, y);
      hoverLine.textContent = row < 0 ? timeText(exact(timeAt(x)), points.zone) : inWords(points, row);
    }
    later();
  }));
  slider.addEventListener("pointerup", page.guard((event) => {
    const [x, y] = placeOf(event);
    if (held && !held.moved) select(near(x, y));
    held = null;
  }));
  slider.addEventListener("pointercancel", () => { held = null; });
  slider.addEventListener("pointerleave", () => {
    hover = null;
    rest();
    later();
  });
  slider.addEventListener("wheel", page.guard((event) => {
    if (!(event.ctrlKey || event.metaKey || slider.contains(document.activeElement))) return; // else the page scrolls
    event.preventDefault();
    const [x] = placeOf(event);
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const shift = ((event.deltaX || event.deltaY) / width) * (span()[1] - span()[0]);
      zoomTo(span().map((ms) => ms + shift));
    } else {
      zoomBy(event.deltaY > 0 ? 1.25 : 0.8, x);
    }
  }), { passive: false });

  const sized = new ResizeObserver(page.guard(() => {
    const wide = Math.max(Math.floor(slider.clientWidth), 100);
    if (wide === width) return;
    width = wide;
    drawAll();
  }));
  sized.observe(slider);
  page.signal.addEventListener("abort", () => sized.disconnect());
  page.onTheme(() => requestAnimationFrame(drawAll));

  const button = (words, testid, call, title) => h("button", { type: "button", "data-testid": testid, title, click: page.guard(call) }, words);
  const player = play(page, () => step(1));
  const buttons = [
    button("◀ Previous", "al-previous", () => step(-1), "the change before (left arrow)"), player,
    button("Next ▶", "al-next", () => step(1), "the next change (right arrow)"),
    h("span", { class: "al-gap" }),
    button("Zoom in", "al-zoom-in", () => zoomBy(0.5), "plus"), button("Zoom out", "al-zoom-out", () => zoomBy(2), "minus"),
    button("Zoom to brush", "al-zoom-brush", () => page.state.brush && zoomAround(...page.state.brush)),
    button("Zoom to transaction", "al-zoom-transaction", zoomToTransaction, "all changes of the transaction of the change under the cursor"),
    button("Show all", "al-zoom-all", () => zoomTo(null), "0"), button("Clear brush", "al-clear-brush", () => brush(null), "Escape"),
  ];
  nameLanes();
  say();
  return {
    element, hoverLine, help, buttons, select, step, brush, zoomTo,
    draw() {
      width = Math.max(Math.floor(slider.clientWidth), 100);
      nameLanes();
      drawAll();
      say();
    },
  };
}

/** A button that steps on once a second until there is nothing more, or it is pressed again. */
function play(page, step) {
  let timer = 0;
  const button = h("button", { type: "button", "aria-pressed": "false", "data-testid": "al-play" }, "▶ Play");
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.setAttribute("aria-pressed", "false");
    button.textContent = "▶ Play";
  };
  button.addEventListener("click", page.guard(() => {
    if (timer) return stop();
    if (!step()) return undefined;
    timer = setInterval(() => { if (!step()) stop(); }, 900);
    button.setAttribute("aria-pressed", "true");
    button.textContent = "❚❚ Pause";
    return undefined;
  }));
  page.signal.addEventListener("abort", stop);
  return button;
}

/** What the marks mean. */
function legend() {
  return h("ul", { class: "al-legend", "aria-label": "Marks" },
    OPERATIONS.map(({ name }) => h("li", {}, badge(name))), h("li", {}, h("span", { class: "al-dashed", "aria-hidden": "true" }), "dashed: not certain"));
}
