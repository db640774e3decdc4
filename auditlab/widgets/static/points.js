// The points of a timeline, and which of them filters leave.

const NONE = 0xffffffff;

/** Points.page() of auditlab.widgets.points as arrays. */
function pointsOf(told) {
  return {
    ...told,
    at: typed(Float64Array, told.at), operation: typed(Uint8Array, told.operation), flags: typed(Uint8Array, told.flags),
    id: typed(BigInt64Array, told.id), user: typed(Uint32Array, told.user), type: typed(Uint32Array, told.type),
    entity: typed(Uint32Array, told.entity), transaction: typed(Uint32Array, told.transaction),
    transactions: typed(BigInt64Array, told.transactions), correlation: typed(Uint32Array, told.correlation),
    fieldEnd: typed(Uint32Array, told.fieldEnd), field: typed(Uint32Array, told.field),
  };
}

const fieldStart = (points, row) => (row === 0 ? 0 : points.fieldEnd[row - 1]);

function fieldsOf(points, row) {
  const found = [];
  for (let at = fieldStart(points, row); at < points.fieldEnd[row]; at += 1) found.push(points.fields[points.field[at]]);
  return found;
}

/** Which rows the filters of a state leave, as a Uint8Array with `count`. The brush is none of them. */
function filtered(points, state) {
  const kept = new Uint8Array(points.count).fill(1);
  const operations = OPERATIONS.map(({ name }) => state.operations.length === 0 || state.operations.includes(name));
  const transaction = state.transaction === "" ? -1 : codeOf(points.transactions, BigInt(state.transaction));
  const correlation = state.correlation === "" ? -1 : (points.correlations ?? []).indexOf(state.correlation);
  let count = 0;
  for (let row = 0; row < points.count; row += 1) {
    let stays = operations[points.operation[row]] && (state.user === -1 || points.user[row] === state.user)
      && (state.transaction === "" || points.transaction[row] === transaction)
      && (state.correlation === "" || points.correlation[row] === correlation);
    if (stays && state.field !== -1) {
      stays = false;
      for (let at = fieldStart(points, row); at < points.fieldEnd[row] && !stays; at += 1) stays = points.field[at] === state.field;
    }
    if (stays) count += 1;
    else kept[row] = 0;
  }
  return { kept, count };
}

function codeOf(list, wanted) {
  const found = list.indexOf(wanted);
  return found === -1 ? NONE - 1 : found;
}

/** How many kept rows the brush holds. */
function brushed(points, kept, brush) {
  let count = 0;
  for (let row = 0; row < points.count; row += 1) if (kept[row] && points.at[row] >= brush[0] && points.at[row] < brush[1]) count += 1;
  return count;
}

/** The whole time of the points, a little more on both sides, at least a millisecond. */
function wholeSpan(points) {
  let start = Infinity;
  let end = -Infinity;
  for (const at of points.at) {
    if (at < start) start = at;
    if (at > end) end = at;
  }
  if (start > end) return [0, 1000];
  const more = Math.max((end - start) * 0.02, 1);
  return [start - more, end + more * 2.5]; // a mark's number stands to its right
}

/** One change in words, for a screen reader and for the line under the timeline. */
function inWords(points, row) {
  const { name } = OPERATIONS[points.operation[row]];
  const user = points.users[points.user[row]] ?? "no user";
  const entity = points.entities ? ` ${printable(points.entities[points.entity[row]])}` : "";
  const fields = fieldsOf(points, row);
  const told = fields.length ? `; ${fields.slice(0, 6).map(printable).join(", ")}${fields.length > 6 ? ` and ${fields.length - 6} more` : ""}` : "";
  const doubt = points.flags[row] & 1 ? "; not certain" : "";
  return `change ${points.id[row]}: ${name} of ${printable(points.types[points.type[row]])}${entity} by ${printable(user)} at ${timeText(points.at[row], points.zone)} ${points.zone}${told}${doubt}`;
}
