// What the views' pages are made of. A value from a log goes into a page as text alone, never as markup.

const OPERATIONS = [
  { name: "INSERT", letter: "I", colour: "#009E73", shape: "triangle" },
  { name: "UPDATE", letter: "U", colour: "#0072B2", shape: "circle" },
  { name: "DELETE", letter: "D", colour: "#D55E00", shape: "square" },
  { name: "TRUNCATE", letter: "T", colour: "#CC79A7", shape: "diamond" },
  { name: "SNAPSHOT", letter: "S", colour: "#777777", shape: "ring" },
];
const SIGNS = { added: "+", removed: "-", modified: "~" };

/**
 * An element. `attributes` are set as attributes (null and false are left out, true is the empty text), functions as
 * listeners of the event that their name says; children are nodes, or texts, which stay texts.
 */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const HIDDEN = /[\p{C}\p{Z}]/gu;
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e" };

/** The text with every character that a page would hide or reorder by as an escape (auditlab.printable). */
function printable(text) {
  return String(text).replace(HIDDEN, (char) => {
    if (char === " ") return char;
    if (NAMED[char]) return NAMED[char];
    const code = char.codePointAt(0);
    if (code < 256) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 65536 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

const LONGEST = 400;

/** A recorded value as a node: null (JSON null, or nothing) told from texts; long ones unfold. */
function value(text, missing = "null") {
  if (text === null || text === undefined) return h("span", { class: "al-null" }, missing);
  if (text === "") return h("span", { class: "al-null" }, "empty text");
  const shown = printable(text);
  if (shown.length <= LONGEST) return h("span", { class: "al-value" }, shown);
  const part = h("span", { class: "al-value" }, `${shown.slice(0, LONGEST)}…`);
  const more = h("button", { type: "button", click: () => { part.textContent = shown; more.remove(); } }, `show all ${shown.length.toLocaleString("en")} characters`);
  return h("span", {}, part, " ", more);
}

/** A table: `columns` are {key, head, cell?(row) -> node or text, header?, long?}; `long` is "long" or "time"; under it the note, where there is one. */
function table(caption, columns, rows, note = "") {
  const body = rows.map((row) => h("tr", row.attributes ?? {}, columns.map((column) => {
    const shown = column.cell ? column.cell(row) : value(row[column.key]);
    return column.header ? h("th", { scope: "row" }, shown) : h("td", { class: column.long ? `al-${column.long}` : null }, shown);
  })));
  const made = h("table", { class: "al-table" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column.head)))),
    h("tbody", {}, body));
  const box = h("div", { class: "al-scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
  return note ? h("div", {}, box, h("p", { class: "al-note" }, note)) : box;
}

/** The sign of a kind of diff with its word for screen readers. */
function sign(kind) {
  return h("span", { class: `al-sign al-${kind}` }, h("span", { "aria-hidden": "true" }, SIGNS[kind] ?? ""), h("span", { class: "al-said" }, kind ?? ""));
}

/** An operation as its shape in its colour with its word. */
function badge(operation) {
  const mark = OPERATIONS.find(({ name }) => name === operation) ?? OPERATIONS[4];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-6 -6 12 12");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", shapePath(mark.shape, 5));
  path.setAttribute(mark.shape === "ring" ? "stroke" : "fill", mark.colour);
  path.setAttribute(mark.shape === "ring" ? "fill" : "stroke", "none");
  path.setAttribute("stroke-width", "2");
  svg.append(path);
  return h("span", { class: "al-badge" }, svg, operation);
}

/** The outline of a shape around 0,0 as SVG path data. */
function shapePath(shape, r) {
  if (shape === "triangle") return `M0 ${-r}L${r} ${r * 0.8}L${-r} ${r * 0.8}Z`;
  if (shape === "square") return `M${-r * 0.85} ${-r * 0.85}H${r * 0.85}V${r * 0.85}H${-r * 0.85}Z`;
  if (shape === "diamond") return `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z`;
  const at = shape === "ring" ? r * 0.8 : r * 0.9;
  return `M${-at} 0A${at} ${at} 0 1 0 ${at} 0A${at} ${at} 0 1 0 ${-at} 0Z`;
}

/** A control with its label; `attributes` are those of the control. */
function labelled(words, control) {
  return h("label", {}, words, control);
}

/** A select: options are {value, text}. */
function choice(words, options, current, changed, testid) {
  const select = h("select", { "data-testid": testid, change: () => changed(select.value) },
    options.map(({ value: code, text }) => h("option", { value: code, selected: String(code) === String(current) }, text)));
  return labelled(words, select);
}

const counted = (number, one, more = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;

/** A name cut in its middle: those of a system often begin alike. */
function middle(text, length) {
  const shown = printable(text);
  const part = Math.floor((length - 1) / 2);
  return shown.length <= length ? shown : `${shown.slice(0, part)}…${shown.slice(-part)}`;
}
