// The dashboard: pictures of a log, and under them the rows behind the mark that is selected.

const view = {
  render(page) {
    const { totals, notes, code, pictures, marks, behind } = page.data;
    const say = (name) => marks[name].words;
    const heading = page.live ? "h3" : "h2"; // a document has a heading over the view
    const rows = h("div", { class: "al-rows", "data-testid": "al-rows" });
    const said = h("p", { class: "al-said", role: "status" });
    const drawings = pictures.map((picture) => livePicture(picture, say, (name) => choose(name === page.state.mark ? "" : name)));

    function choose(name) {
      page.select({ mark: name });
      show(name);
    }

    function show(name) {
      const known = Object.hasOwn(marks, name) ? name : "";
      for (const drawing of drawings) {
        for (const mark of drawing.querySelectorAll(".al-mark")) {
          mark.setAttribute("aria-pressed", String(mark.dataset.mark === known));
        }
      }
      said.textContent = known ? `Selected: ${printable(say(known))}. Its rows stand below the pictures.` : "";
      rows.replaceChildren(...(known ? behindMark(known) : [h("p", { class: "al-note" }, "Select a bar or a cell, by mouse, or by Tab, the arrow keys and Enter, to see the rows behind it. Esc selects nothing.")]));
    }

    function behindMark(name) {
      const { table: which, rows: places, of } = behind.marks[name];
      const { heads, rows: all } = behind.tables[which];
      const columns = heads.map((head, place) => ({ key: place, head, cell: (row) => shown(head, row[place]) }));
      const note = places.length < of ? `The first ${places.length.toLocaleString("en")} of ${counted(of, "row")}; the code gives all of them. Long values are cut (…).` : "Long values under What are cut (…).";
      return [
        h(heading, {}, printable(say(name))),
        h("pre", { "aria-label": "Code that gives the rows", tabindex: "0" }, printable(marks[name].code)),
        table(`The rows behind it: ${counted(of, "row")}`, columns, places.map((place) => all[place]), note),
        h("p", { class: "al-row" }, h("button", { type: "button", click: () => choose("") }, "Select nothing")),
      ];
    }

    page.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !page.state.mark) return;
      event.stopPropagation();
      choose("");
    }, { signal: page.signal });
    page.onState(({ mark }) => show(mark));
    page.root.append(
      ...(page.live ? [h("h2", {}, printable(page.title))] : []),
      h("dl", { class: "al-tiles" }, Object.entries(totals).map(([name, number]) => h("div", { class: "al-tile" }, h("dt", {}, name), h("dd", {}, number)))),
      ...notes.map((note) => h("p", { class: "al-note" }, printable(note))),
      h("div", { class: "al-cards" }, drawings.map((drawing, place) => h("section", { class: "al-card", "aria-label": printable(pictures[place].title) }, h(heading, {}, printable(pictures[place].title)), drawing))),
      said, rows,
      h("details", {}, h("summary", {}, "Code that shows this dashboard"), h("pre", { tabindex: "0" }, code)),
    );
    show(page.state.mark);
  },
};

const WORDY = new Set(["What", "Old", "New", "In the log", "This change says", "Note"]);

/** A cell of the rows: who did it, told where nobody is recorded; an operation with its shape. */
function shown(head, text) {
  if (text === null) return h("span", { class: "al-null" }, head === "Who" ? "no user" : head === "Old" || head === "New" ? "null" : "");
  if (head === "Operation") return badge(text);
  const told = value(text);
  if (WORDY.has(head)) told.classList.add("al-wordy");
  return told;
}
