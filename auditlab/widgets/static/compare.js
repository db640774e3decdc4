// Two times side by side: which entities differ, and each field of the selected one at both times.

const WORDS = { added: "added", removed: "removed", modified: "modified", same: "the same" };

/** What the list holds: entities that differ, or the only entity, also where it is the same. */
function headed(listed) {
  if (listed.every(({ kind }) => kind === "same")) return "Nothing differs: the entity is the same at both times";
  return counted(listed.length, "entity that differs", "entities that differ");
}

const view = {
  render(page) {
    const { times, code, notes, pictures, filters, entities, same } = page.data;
    const heading = page.live ? "h3" : "h2";
    const list = h("div", { class: "al-rows", "data-testid": "al-entities" });
    const detail = h("div", { class: "al-rows", "data-testid": "al-sides" });
    const said = h("p", { class: "al-said", role: "status" });
    let onlyDifferent = false;
    const drawings = pictures.map((picture) => livePicture(picture, sayMark, (name) => {
      if (filters[name]) filterBy(name === page.state.filter ? "" : name);
    }));

    function sayMark(name) {
      const own = filters[name];
      if (!own) return "entities that are the same at both times; the list has those that differ";
      return own.field === undefined ? `${own.entity_type}: ${WORDS[own.kind]}` : `${own.field} of ${own.entity_type}`;
    }

    const meets = (entity, own) => !own || (entity.entity_type === own.entity_type
      && (own.field === undefined ? entity.kind === own.kind : entity.fields.some(([field, kind]) => field === own.field && kind !== "same")));

    function filterBy(name) {
      page.select({ filter: name });
      showList();
    }

    function choose(name) {
      page.select({ entity: name });
      showChosen();
      showSides();
    }

    /** The list stays as it is, so that the button that was pressed keeps the focus. */
    function showChosen() {
      for (const button of list.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.name === page.state.entity));
    }

    function showList() {
      const { filter } = page.state;
      const own = Object.hasOwn(filters, filter) ? filters[filter] : null;
      for (const drawing of drawings) {
        for (const mark of drawing.querySelectorAll(".al-mark")) mark.setAttribute("aria-pressed", String(Boolean(own) && mark.dataset.mark === filter));
      }
      const kept = entities.map((entity, place) => ({ ...entity, name: `e${place}` })).filter((entity) => meets(entity, own));
      if (!entities.length) {
        list.replaceChildren(h("p", { class: "al-note" }, `Nothing differs. ${counted(same, "entity is", "entities are")} the same at both times.`));
        return;
      }
      const columns = [
        { head: "What became of it", cell: (row) => h("span", { class: "al-badge" }, sign(row.kind), WORDS[row.kind], row.certain ? "" : " (in doubt)") },
        { head: "Type", key: "entity_type" },
        { head: "Entity", header: true, cell: (row) => h("button", { type: "button", "data-name": row.name, click: () => choose(row.name === page.state.entity ? "" : row.name) }, printable(row.entity_id) || "empty text") },
        { head: "Fields that differ", cell: (row) => value(row.fields.filter(([, kind]) => kind !== "same").map(([field]) => field || '""').join(", ") || "none") },
      ];
      const words = own ? `${counted(kept.length, "entity", "entities")}: ${printable(sayMark(filter))}` : headed(kept);
      list.replaceChildren(
        table(words, columns, kept, own ? "A second click on the bar, or Esc, shows all again." : ""),
      );
      showChosen();
    }

    function showSides() {
      const entity = entities[Number(page.state.entity.slice(1))];
      if (!page.state.entity || !entity) {
        said.textContent = "";
        detail.replaceChildren(h("p", { class: "al-note" }, entities.length ? "Select an entity to see it at both times." : ""));
        return;
      }
      said.textContent = `Selected: ${printable(entity.entity_id)}, ${WORDS[entity.kind]}. It stands below at both times.`;
      const missing = { added: 2, removed: 3 };
      const side = (row, place) => (missing[row[1]] === place ? h("span", { class: "al-null" }, "not there") : value(row[place]));
      const columns = [
        { head: "Field", header: true, cell: (row) => value(row[0]) },
        { head: times[0], cell: (row) => side(row, 2) },
        { head: times[1], cell: (row) => side(row, 3) },
        { head: "Difference", cell: (row) => h("span", {}, row[1] === "same" ? h("span", { class: "al-sign", "aria-hidden": "true" }, "=") : sign(row[1]), WORDS[row[1]]) },
      ];
      const fields = h("div");
      const showFields = () => {
        const kept = entity.fields.filter(([, kind]) => !onlyDifferent || kind !== "same");
        fields.replaceChildren(table("Side by side", columns, kept.map((row) => Object.assign([...row], { attributes: { class: row[1] === "same" ? null : "al-differs" } }))));
      };
      const steps = ["When", "Who", "Field", "Kind", "Old", "New", "Change", "Transaction"].map((head, place) => ({
        head, cell: (row) => (row[place] === null ? h("span", { class: "al-null" }, head === "Who" ? "no user" : absent(head, row) ? "not there" : head === "Old" || head === "New" ? "null" : "") : value(row[place])),
      }));
      const toggle = h("input", { type: "checkbox", change: () => { onlyDifferent = toggle.checked; showFields(); } });
      toggle.checked = onlyDifferent;
      showFields();
      detail.replaceChildren(
        h(heading, {}, `${printable(entity.entity_type)} ${printable(entity.entity_id)}: ${WORDS[entity.kind]}`),
        h("p", { class: "al-row" }, h("label", {}, toggle, "only fields that differ"), h("button", { type: "button", click: () => { choose(""); list.querySelector("button")?.focus(); } }, "Select nothing")),
        ...(entity.certain ? [] : [h("p", { class: "al-note" }, "In doubt: it may have been seen otherwise at one of the times.")]),
        fields,
        entity.steps.length ? table(`Every change between: ${counted(entity.steps.length, "field change")}`, steps, entity.steps) : h("p", { class: "al-note" }, "No logged change of a field lies between."),
      );
    }

    const absent = (head, row) => (head === "Old" && row[3] === "added") || (head === "New" && row[3] === "removed");

    page.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !(page.state.entity || page.state.filter)) return;
      event.stopPropagation();
      page.select({ entity: "", filter: "" });
      showList();
      showSides();
    }, { signal: page.signal });
    page.onState(() => { showList(); showSides(); });
    page.root.append(
      ...(page.live ? [h("h2", {}, printable(page.title))] : []),
      ...notes.map((note) => h("p", { class: "al-note" }, printable(note))),
      h("div", { class: "al-cards" }, drawings.map((drawing, place) => h("section", { class: "al-card", "aria-label": printable(pictures[place].title) }, h(heading, {}, printable(pictures[place].title)), drawing))),
      said, h("div", { class: "al-pair" }, list, detail),
      h("details", {}, h("summary", {}, "Code that shows this comparison"), h("pre", { tabindex: "0" }, printable(code))),
    );
    showList();
    showSides();
  },
};
