// log.explore(): the timeline of a selection, its filters, and what is told of the change under the cursor.

const FILTERS = { user: -1, field: -1, operations: [], transaction: "", correlation: "" };

function exploreView(page) {
  const points = pointsOf(page.data.points);
  let shown = filtered(points, page.state);
  const status = h("p", { class: "al-status", role: "status", "data-testid": "al-status" });
  const notes = h("div", { class: "al-notes", "data-testid": "al-notes" });
  const detail = h("div", { class: "al-detail", "data-testid": "al-detail" });
  const code = h("pre", { "data-testid": "al-code", tabindex: "0", role: "region", "aria-label": "Code of this view" }, page.data.code);
  const line = timeline(page, {
    points, kept: () => shown.kept, onCursor: tell, onBrush: points.count > 100000 ? saySoon : say,
    onView(drawn, lanes) { noteView(notes, points, drawn, lanes, page.data); },
  });
  const controls = filters(page, points, line, () => {
    shown = filtered(points, page.state);
    line.draw();
    say();
  });

  function say() {
    const { brush } = page.state;
    const parts = [shown.count === points.count ? counted(points.count, "change") : `${shown.count.toLocaleString("en")} of ${counted(points.count, "change")} after the filters`];
    if (brush) parts.push(`${brushed(points, shown.kept, brush).toLocaleString("en")} in the brush, ${spanText(brush[1] - brush[0])} from ${timeText(brush[0], points.zone)}`);
    status.textContent = `${parts.join("; ")}. Times are ${points.zone}, by ${points.clock}.`;
    controls.follow();
    if (page.live) codeSoon();
  }

  let saying = 0;
  function saySoon() { // a brush is dragged without waiting for the count of what it holds
    clearTimeout(saying);
    saying = setTimeout(say, 150);
  }

  let timer = 0;
  function codeSoon() {
    clearTimeout(timer);
    timer = setTimeout(() => page.ask({ about: "code" }).then(({ found }) => { code.textContent = found.code; }).catch(() => {}), 400);
  }

  const details = telling(page, points, detail);
  function tell() {
    const row = page.state.cursor;
    if (row < 0 || row >= points.count) {
      details.forget();
      detail.replaceChildren(h("p", { class: "al-note" }, points.count
        ? "Choose a change: click on a mark, press Play, or use the arrow keys on the timeline." : "There is no change."));
      return;
    }
    details.tell("change", row, (found) => detailPanels(found, row, line.select), page.live ? 40 : 0);
    if (page.live) codeSoon();
  }

  page.onState(() => {
    shown = filtered(points, page.state);
    line.draw();
    say();
    tell();
  });
  page.root.append(
    h("h2", {}, printable(page.title)),
    h("div", { class: "al-row", role: "group", "aria-label": "Step and zoom" }, line.buttons),
    controls.element, line.element, line.hoverLine, legend(), status, notes, detail,
    line.help, h("details", {}, h("summary", {}, page.live ? "The code of this view" : "The code of this view, as it was exported"), code));
  line.draw();
  say();
  tell();
  return () => {
    details.forget();
    for (const one of [saying, timer]) clearTimeout(one);
  };
}

/** Whatever the picture leaves out or puts together, said. */
function noteView(notes, points, drawn, lanes, data) {
  const said = [];
  if (drawn.many) said.push(`${counted(drawn.inside, "change")} in view, by density: each bar is one pixel column of time, the tallest stands for ${drawn.most.toLocaleString("en")}. Zoom in until single changes show.`);
  else if (drawn.most > 1) said.push("Changes that lie over one another share a mark; the number beside it says how many they are.");
  if (lanes.folded) said.push(`The lane "${lanes.folded.toLocaleString("en")} more" holds all but the ${MOST_LANES} busiest lanes.`);
  if (!points.correlations) said.push("The log has too many correlation ids to choose from here: select by log.correlation(...).");
  if (data.details?.note) said.push(data.details.note);
  notes.replaceChildren(...said.map((words) => h("p", { class: "al-note" }, words)));
}

/** The controls over the timeline: {element, follow()}; `changed()` after a filter was set. */
function filters(page, points, line, changed) {
  const { state } = page;
  const set = page.guard((patch) => { page.fail(""); page.select(patch); changed(); });
  const options = (names, all, none) => [{ value: -1, text: all }, ...names.map((name, code) => ({ value: code, text: name === null ? none : middle(name, 60) }))];
  const by = choice("Lanes by", Object.entries(LANES).filter(([name]) => name !== "entity" || points.entities).map(([name, text]) => ({ value: name, text })), state.lanes, (name) => set({ lanes: name }), "al-lanes-by");
  const user = choice("User", options(points.users, "all users", "(no user)"), state.user, (code) => set({ user: Number(code) }), "al-user");
  const field = choice("Field", options(points.fields, "all fields", ""), state.field, (code) => set({ field: Number(code) }), "al-field");
  const there = OPERATIONS.filter((_, code) => points.operation.includes(code));
  const boxes = there.map(({ name }) => h("input", {
    type: "checkbox", "data-testid": `al-operation-${name}`, checked: !state.operations.length || state.operations.includes(name), change: operations,
  }));
  function operations() {
    const chosen = there.filter((_, place) => boxes[place].checked).map(({ name }) => name);
    if (!chosen.length) { page.fail("Leave at least one operation checked."); follow(); return; }
    set({ operations: chosen.length === there.length ? [] : chosen });
  }
  const text = (name, testid, call, hint) => h("input", { type: "text", "data-testid": testid, placeholder: hint, autocomplete: "off", size: name, change: page.guard((event) => call(event.target.value.trim())) });
  const transaction = text(10, "al-transaction-filter", (wanted) => {
    if (wanted && !/^-?\d{1,19}$/.test(wanted)) throw new Error(`a transaction is a whole number, got '${wanted}'.`);
    set({ transaction: wanted });
  }, "number");
  const correlation = text(18, "al-correlation-filter", (wanted) => set({ correlation: wanted }), "id");
  const from = text(25, "al-from", () => brushFrom(), "YYYY-MM-DD hh:mm:ss");
  const to = text(25, "al-to", () => brushFrom(), "YYYY-MM-DD hh:mm:ss");
  function brushFrom() {
    page.fail("");
    if (!from.value.trim() && !to.value.trim()) { line.brush(null); return; }
    const [start, end] = wholeSpan(points);
    const first = from.value.trim() ? timeOf(from.value, points.zone) : start;
    const last = to.value.trim() ? timeOf(to.value, points.zone) : end;
    if (last < first) throw new Error("the brush goes from the earlier to the later time.");
    line.brush([first, last]);
  }
  const clear = h("button", { type: "button", "data-testid": "al-clear", click: () => set({ ...FILTERS }) }, "Clear filters");
  function follow() {
    const now = page.state;
    by.lastChild.value = now.lanes;
    user.lastChild.value = String(now.user);
    field.lastChild.value = String(now.field);
    boxes.forEach((box, place) => { box.checked = !now.operations.length || now.operations.includes(there[place].name); });
    transaction.value = now.transaction;
    correlation.value = now.correlation;
    [from.value, to.value] = now.brush ? now.brush.map((ms) => timeText(ms, points.zone)) : ["", ""];
  }
  const correlated = points.correlations?.length > 0;
  const element = h("div", {},
    h("div", { class: "al-row", role: "group", "aria-label": "Filters" }, by, user, field,
      h("fieldset", { class: "al-boxes" }, h("legend", { class: "al-said" }, "Operations"), there.map(({ name }, place) => h("label", {}, boxes[place], name)))),
    h("div", { class: "al-row", role: "group", "aria-label": "More filters, and the brush" },
      labelled("Transaction", transaction), correlated ? labelled("Correlation", correlation) : null,
      labelled("Brush from", from), labelled("to", to), h("span", { class: "al-faint" }, points.zone), clear));
  return { element, follow };
}

const view = {
  render: exploreView,
  async answer(data, question) {
    data.details.open ??= opened(data.details.closed); // at the first question: the picture does not wait for it
    const { changes, transactions } = await data.details.open;
    const { note } = data.details;
    if (question.about !== "change") throw new Error(`a document answers nothing about ${question.about}.`);
    if (!changes[String(question.row)]) throw new Error(`the detail of this change is not in this file. ${note}`);
    return { changes, transactions };
  },
};
