// Lanes: the rows of a timeline (auditlab.widgets.lanes deals the points out in the same way for pictures).

const MOST_LANES = 24;
const LANES = { field: "field", user: "user", operation: "operation", type: "entity type", entity: "entity" };

/** The lanes by one of LANES: {names, folded, size(lane), of(row, call)}; call(lane) for each lane of a row. */
function lanesOf(points, by) {
  if (by === "field") return fieldLanes(points);
  const [codes, names] = {
    user: [points.user, points.users], operation: [points.operation, OPERATIONS.map(({ name }) => name)],
    type: [points.type, points.types], entity: [points.entity, points.entities ?? []],
  }[by];
  const counts = counted32(codes, by === "entity" ? Math.max(points.entities?.length ?? 0, 1) : names.length);
  const order = [...counts.keys()].filter((code) => counts[code] > 0);
  if (by !== "operation") order.sort((one, other) => counts[other] - counts[one] || one - other);
  const { lane, shown, sizes, folded } = folds(order, counts);
  const typeOf = by === "entity" && points.types.length > 1 ? typesOfEntities(points, names.length) : null;
  const nameOf = (code) => (typeOf ? `${typeOf[code]} ${names[code]}` : names[code]) ?? { user: "(no user)" }[by] ?? "(every one)";
  return {
    names: [...shown.map((code) => printable(nameOf(code))), ...(folded ? [`${folded.toLocaleString("en")} more`] : [])],
    folded, sizes, of: (row, call) => call(lane[codes[row]]),
  };
}

/** The short name of each entity's type. */
function typesOfEntities(points, size) {
  const found = new Array(size);
  for (let row = 0; row < points.count; row += 1) found[points.entity[row]] ??= points.types[points.type[row]].split(".").at(-1);
  return found;
}

function counted32(codes, size) {
  const counts = new Uint32Array(size);
  for (const code of codes) if (code < size) counts[code] += 1;
  return counts;
}

/** Each code's lane, where only the first ones have lanes of their own. */
function folds(order, counts) {
  const lane = new Uint16Array(counts.length);
  const shown = order.slice(0, MOST_LANES);
  const sizes = new Array(Math.min(order.length, MOST_LANES + 1)).fill(0);
  order.forEach((code, place) => {
    lane[code] = Math.min(place, MOST_LANES);
    sizes[lane[code]] += counts[code];
  });
  return { lane, shown, sizes, folded: Math.max(0, order.length - MOST_LANES) };
}

function fieldLanes(points) {
  const none = points.fields.length; // a change of no field
  const counts = new Uint32Array(none + 1);
  for (const code of points.field) counts[code] += 1;
  for (let row = 0; row < points.count; row += 1) if (fieldStart(points, row) === points.fieldEnd[row]) counts[none] += 1;
  const order = [...counts.keys()].filter((code) => counts[code] > 0).sort((one, other) => counts[other] - counts[one] || one - other);
  const { lane, shown, sizes, folded } = folds(order, counts);
  return {
    names: [...shown.map((code) => (code === none ? "(no field)" : printable(points.fields[code]))), ...(folded ? [`${folded.toLocaleString("en")} more`] : [])],
    folded, sizes,
    of(row, call) {
      const start = fieldStart(points, row);
      if (start === points.fieldEnd[row]) call(lane[none]);
      for (let at = start; at < points.fieldEnd[row]; at += 1) call(lane[points.field[at]]);
    },
  };
}
