// Pictures that auditlab.widgets.drawing made: a tree of elements, built one by one, and their marks brought to life.

const SVG = "http://www.w3.org/2000/svg";

/** The elements of a node, `[tag, attributes, children]`; texts stay texts. */
function drawn(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const [tag, attributes, children] = node;
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map(drawn));
  return element;
}

/**
 * A picture whose marks are buttons: one of them is in the order of Tab, the arrow keys lead to the others.
 * `say(name)` is what a mark says, `chosen(name)` is called when it is clicked, or Enter or the space bar is pressed.
 */
function livePicture({ title, width, height, nodes }, say, chosen) {
  const svg = drawn(["svg", {
    viewBox: `-2 -2 ${width + 4} ${height + 4}`, role: "group", "aria-label": title, class: "al-picture", "font-family": "system-ui, sans-serif",
  }, nodes]);
  const marks = [...svg.querySelectorAll(".al-mark")];
  marks.forEach((mark, place) => {
    mark.setAttribute("role", "button");
    mark.setAttribute("tabindex", place ? "-1" : "0");
    mark.setAttribute("aria-pressed", "false");
    mark.setAttribute("aria-label", printable(say(mark.dataset.mark)));
    mark.querySelector("title").textContent = printable(say(mark.dataset.mark));
  });
  const go = (mark) => {
    if (!mark) return;
    for (const other of marks) other.setAttribute("tabindex", other === mark ? "0" : "-1");
    mark.focus();
  };
  svg.addEventListener("click", (event) => {
    const mark = event.target.closest(".al-mark");
    if (!mark) return;
    go(mark);
    chosen(mark.dataset.mark);
  });
  svg.addEventListener("keydown", (event) => {
    const mark = event.target.closest(".al-mark");
    if (!mark) return;
    if (event.key === "Enter" || event.key === " ") chosen(mark.dataset.mark);
    else if (!STEPPED[event.key]) return;
    else go(STEPPED[event.key](marks, mark));
    event.preventDefault();
  });
  return svg;
}

const rowOf = (mark) => Number(mark.dataset.row);
const columnOf = (mark) => Number(mark.dataset.column);

/** The mark in the nearest row above or below that has one, in the nearest column of that row. */
function inRow(marks, mark, sign) {
  const others = marks.filter((other) => sign * (rowOf(other) - rowOf(mark)) > 0);
  const far = (other) => Math.abs(rowOf(other) - rowOf(mark)) * 1e6 + Math.abs(columnOf(other) - columnOf(mark));
  return others.sort((one, two) => far(one) - far(two))[0];
}

const sameRow = (marks, mark) => marks.filter((other) => rowOf(other) === rowOf(mark));

/** Where the keys lead from a mark; a key that is not here is not ours. */
const STEPPED = {
  ArrowRight: (marks, mark) => marks[marks.indexOf(mark) + 1],
  ArrowLeft: (marks, mark) => marks[marks.indexOf(mark) - 1],
  ArrowDown: (marks, mark) => inRow(marks, mark, 1),
  ArrowUp: (marks, mark) => inRow(marks, mark, -1),
  Home: (marks, mark) => sameRow(marks, mark)[0],
  End: (marks, mark) => sameRow(marks, mark).at(-1),
};
