// log.aggregate_view(): one parent with its children, and at the cursor what came, went and changed.

const WORDS = { added: "came", removed: "gone", modified: "changed", "": "same" };

function aggregatePage(page) {
  const points = pointsOf(page.data.points);
  const kept = new Uint8Array(points.count).fill(1);
  const detail = h("div", { class: "al-detail", "data-testid": "al-detail" });
  const status = h("p", { class: "al-status", role: "status", "data-testid": "al-status" });
  const notes = h("div", { class: "al-notes", "data-testid": "al-notes" });
  const code = h("pre", { "data-testid": "al-code", tabindex: "0", role: "region", "aria-label": "Code of this view" }, page.data.code);
  const dealt = memberLanes(points, page.data.lanes);
  const line = timeline(page, {
    points, kept: () => kept, lanes: () => dealt, onCursor: tell, onBrush() {},
    onView(drawn, lanes) {
      const said = [];
      if (drawn.most > 1) said.push("Changes that lie over one another share a mark; the number beside it says how many they are.");
      if (lanes.folded) said.push(`The lane "${lanes.folded.toLocaleString("en")} more" holds all but the first ${MOST_LANES}.`);
      if (page.data.instants?.note) said.push(page.data.instants.note);
      notes.replaceChildren(...said.map((words) => h("p", { class: "al-note" }, words)));
    },
  });

  const details = telling(page, points, detail);
  function tell() {
    const row = page.state.cursor;
    if (row < 0 || row >= points.count) return;
    details.tell("aggregate", row, (found) => {
      status.textContent = `As of ${found.at} (${points.zone}): ${found.kinds.map(({ kind, rows }) => `${kind}: ${told(rows)}`).join("; ")}.`;
      return memberPanels(found, row, line.select);
    });
    if (page.live) page.ask({ about: "code" }).then(({ found }) => { code.textContent = found.code; }).catch(() => {});
  }

  page.onState(() => { line.draw(); tell(); });
  page.root.append(
    h("h2", {}, printable(page.title)), h("div", { class: "al-row", role: "group", "aria-label": "Step and zoom" }, line.buttons),
    line.element, line.hoverLine, legend(), status, notes, detail, line.help,
    h("details", {}, h("summary", {}, page.live ? "The code of this view" : "The code of this view, as it was exported"), code));
  line.draw();
  tell();
}

/** A lane for the parent, then for each child; `given` are {name, code}. */
function memberLanes(points, given) {
  const lane = new Uint16Array(Math.max(...given.map(({ code }) => code), 0) + 1);
  const sizes = new Array(Math.min(given.length, MOST_LANES + 1)).fill(0);
  given.forEach(({ code }, place) => { lane[code] = Math.min(place, MOST_LANES); });
  for (const code of points.entity) sizes[lane[code]] += 1;
  const folded = Math.max(0, given.length - MOST_LANES);
  return {
    names: [...given.slice(0, MOST_LANES).map(({ name }) => printable(name)), ...(folded ? [`${folded.toLocaleString("en")} more`] : [])],
    folded, sizes, of: (row, call) => call(lane[points.entity[row]]),
  };
}

/** How many are there, and how many came, went and changed. */
function told(rows) {
  const count = (wanted) => rows.filter(({ status }) => status === wanted).length;
  const parts = [`${rows.length - count("removed")} there`];
  for (const status of ["added", "removed", "modified"]) if (count(status)) parts.push(`${count(status)} ${WORDS[status]}`);
  return parts.join(", ");
}

function memberPanels(found, row, go) {
  const changes = { rows: found.changes, count: found.changes.length, note: "" };
  return h("div", { class: "al-panels" },
    found.kinds.map((kind) => h("section", { class: "al-panel al-wide", "aria-label": kind.kind, "data-testid": `al-kind-${kind.kind}` },
      h("h3", {}, `${printable(kind.type)}${kind.kind === "parent" ? ", the parent" : ""}`),
      found.notes.map((note) => h("p", { class: "al-note" }, note)),
      kind.rows.length ? memberTable(kind) : h("p", { class: "al-note" }, "None is there."))),
    h("section", { class: "al-panel al-wide", "aria-label": "Changes of this instant", "data-testid": "al-changes" },
      h("h3", {}, "What was changed at this instant"),
      instantTable(changes, row, go)));
}

function memberTable(kind) {
  const rows = kind.rows.map((member) => ({ ...member, attributes: { class: `al-${member.status || "same"}` } }));
  const moved = rows.some(({ status }) => status) ? told(kind.rows) : `${told(kind.rows)}, all as they were`;
  return table(`${printable(kind.kind)}: ${moved} since the instant before`, [
    { head: "Since before", cell: ({ status }) => h("span", { class: "al-kind" }, status ? sign(status) : "", status ? h("span", {}, WORDS[status]) : h("span", { class: "al-null" }, "same")) },
    { head: "Entity", header: true, cell: ({ entity }) => value(entity) },
    ...kind.fields.map((name, place) => ({ head: printable(name), long: "long", cell: ({ cells }) => memberCell(cells[place]) })),
  ], rows);
}

/** A field of a member; where it changed, the old value before the new one. */
function memberCell([text, there, changed, old, was]) {
  const now = there ? value(text) : h("span", { class: "al-null" }, "absent");
  if (!changed) return now;
  const before = was ? value(old) : h("span", { class: "al-null" }, "absent");
  return h("span", { class: "al-changed" }, h("del", {}, before), h("span", { "aria-label": "became" }, " → "), h("ins", {}, now));
}

function instantTable(changes, row, go) {
  const rows = changes.rows.map(([change, operation, type, entity, by, fields, place]) => ({
    change, operation, type, entity, by, fields, place, attributes: place === row ? { class: "al-own", "aria-current": "true" } : {},
  }));
  return table(counted(rows.length, "change"), [
    { head: "Change", header: true, cell: ({ change, place }) => (place === row ? `${change} (cursor)` : h("button", { type: "button", class: "al-link", click: () => go(place) }, change)) },
    { head: "Operation", cell: ({ operation }) => badge(operation) },
    { head: "Entity type", key: "type" },
    { head: "Entity", long: "long", cell: ({ entity }) => value(entity, "every one") },
    { head: "By", long: "long", cell: ({ by }) => value(by, "no user") },
    { head: "Fields", long: "long", cell: ({ fields }) => value(fields.join(", "), "") },
  ], rows);
}

const view = {
  render: aggregatePage,
  answer(data, question) {
    const { of, told: instants, note } = data.instants;
    if (question.about !== "aggregate") throw new Error(`a document answers nothing about ${question.about}.`);
    const found = instants[String(of[question.row])];
    if (!found) throw new Error(`the aggregate at this change is not in this file. ${note}`);
    return found;
  },
};
