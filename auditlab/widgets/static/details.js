// What is told of one change: its facts, its diff, the state that it left with blame, and its transaction.

/** Asks what there is to tell of a row and puts it into `detail`: the answer about the row that was asked last, and no other. */
function telling(page, points, detail) {
  let asked = 0;
  let waiting = 0;
  function forget() {
    clearTimeout(waiting);
    asked += 1;
    detail.removeAttribute("aria-busy");
  }
  function ask(about, row, panels) {
    const mine = asked;
    detail.setAttribute("aria-busy", "true");
    page.ask({ about, row }).then(({ found, warnings }) => {
      if (mine !== asked) return;
      detail.replaceChildren(...warnings.map((words) => h("p", { class: "al-note" }, words)), panels(found));
      detail.dataset.row = String(row);
      page.fail("");
    }).catch((error) => {
      if (mine !== asked) return;
      detail.replaceChildren(h("p", { class: "al-note" }, inWords(points, row))); // what the timeline knows of it, and nothing older
      page.fail(error.message);
    }).finally(() => { if (mine === asked) detail.removeAttribute("aria-busy"); });
  }
  return {
    /** What is on its way counts no more. */
    forget,
    /** `panels(found)` makes of the answer what is shown; `pause` are the milliseconds in which another row may come. */
    tell(about, row, panels, pause = 0) {
      forget();
      if (pause) waiting = setTimeout(() => ask(about, row, panels), pause);
      else ask(about, row, panels);
    },
  };
}

/** The panels of a change; `told` is Details.of() of auditlab.widgets.details for one row. `go(row)` selects another. */
function detailPanels(told, row, go) {
  const change = told.changes[String(row)];
  const { facts, notes, diff, state, absent } = change;
  const transaction = facts.transaction === null ? null : told.transactions[facts.transaction];
  return h("div", { class: "al-panels" },
    h("section", { class: "al-panel", "aria-label": "Change under the cursor", "data-testid": "al-change" },
      h("h3", {}, badge(facts.operation), ` ${printable(facts["entity type"])} ${facts.entity === null ? "" : printable(facts.entity)}`),
      factList(facts), notes.map((note) => h("p", { class: "al-note" }, note)), diffTable(diff, facts.operation)),
    h("section", { class: "al-panel", "aria-label": "State after it", "data-testid": "al-state" },
      h("h3", {}, "The state after it, and who set each field"),
      absent ? h("p", { class: "al-note" }, absent) : stateTable(state)),
    h("section", { class: "al-panel al-wide", "aria-label": "Its transaction", "data-testid": "al-transaction" },
      h("h3", {}, facts.transaction === null ? "Its transaction" : `Transaction ${facts.transaction}`),
      transaction ? transactionTable(transaction, facts.change, row, go) : h("p", { class: "al-note" }, "The log has no transaction id of this change.")));
}

function factList(facts) {
  const shown = ["by", "at", "change", "transaction", "correlation", "version", "life", "metadata"].filter((name) => facts[name] !== null || name === "by");
  return h("dl", { class: "al-facts" }, shown.map((name) => h("div", {}, h("dt", {}, name), h("dd", {}, value(facts[name], name === "by" ? "no user" : "null")))));
}

function diffTable(diff, operation) {
  if (!diff.length) return h("p", { class: "al-note" }, operation === "SNAPSHOT" ? "A SNAPSHOT changes nothing." : "No field changed its value.");
  const rows = diff.map(([field, kind, old, now]) => ({ field, kind, old, now, attributes: { class: `al-${kind}` } }));
  return table(`What it changed: ${counted(rows.length, "field")}`, [
    { head: "Kind", cell: ({ kind }) => h("span", { class: "al-kind" }, sign(kind), h("span", { "aria-hidden": "true" }, kind)) },
    { head: "Field", key: "field", header: true, cell: ({ field }) => value(field) },
    { head: "Old", long: "long", cell: ({ kind, old }) => (kind === "added" ? h("span", { class: "al-null" }, "absent") : value(old)) },
    { head: "New", long: "long", cell: ({ kind, now }) => (kind === "removed" ? h("span", { class: "al-null" }, "absent") : value(now)) },
  ], rows);
}

function stateTable(state) {
  if (!state.length) return h("p", { class: "al-note" }, "The entity has no field.");
  const rows = state.map(([field, now, by, at, change, old, was, note]) => ({ field, now, by, at, change, old, was, note }));
  return table("Fields with who set them", [
    { head: "Field", header: true, cell: ({ field }) => value(field) },
    { head: "Value", long: "long", cell: ({ now }) => value(now) },
    { head: "Set by", long: "long", cell: ({ by, note, change }) => (note && change === null ? h("span", { class: "al-null" }, note) : h("span", {}, value(by, "no user"), note ? ` (${note})` : "")) },
    { head: "At", long: "time", cell: ({ at }) => (at === null ? "" : value(at)) },
    { head: "In change", cell: ({ change }) => (change === null ? "" : value(change)) },
    { head: "From", long: "long", cell: ({ old, was, note, change }) => (note && change === null ? "" : was ? value(old) : h("span", { class: "al-null" }, "absent")) },
  ], rows);
}

function transactionTable(transaction, own, row, go) {
  const rows = transaction.rows.map(([change, operation, type, entity, by, fields, place]) => ({
    change, operation, type, entity, by, fields, place, attributes: change === own ? { class: "al-own", "aria-current": "true" } : {},
  }));
  const others = transaction.count - 1;
  const caption = others ? `This change and ${counted(others, "other")} of the same transaction` : "The transaction has no other change";
  return table(caption, [
    { head: "Change", header: true, cell: (line) => changeCell(line, own, row, go) },
    { head: "Operation", cell: ({ operation }) => badge(operation) },
    { head: "Entity type", key: "type" },
    { head: "Entity", long: "long", cell: ({ entity }) => value(entity, "every one") },
    { head: "By", long: "long", cell: ({ by }) => value(by, "no user") },
    { head: "Fields", long: "long", cell: ({ fields }) => value(fields.join(", "), "") },
  ], rows, transaction.note);
}

function changeCell(line, own, row, go) {
  if (line.change === own) return h("span", {}, `${line.change} (this one)`);
  if (line.place === null) return h("span", { title: "not in this view" }, `${line.change} (not in this view)`);
  return h("button", { type: "button", class: "al-link", click: () => go(line.place) }, line.change);
}
