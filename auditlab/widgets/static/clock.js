// Times in the log's zone. A time is float64 milliseconds since 1970 UTC: microseconds fit, until the year 2250.

const zones = new Map();

/** The offset of a zone from UTC at an instant, in ms. */
function offsetAt(ms, zone) {
  if (zone === "UTC") return 0;
  if (!zones.has(zone)) {
    zones.set(zone, new Intl.DateTimeFormat("en-GB", {
      timeZone: zone, hourCycle: "h23", era: "short", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit",
    }));
  }
  const whole = Math.floor(ms / 1000) * 1000;
  const part = Object.fromEntries(zones.get(zone).formatToParts(whole).map(({ type, value }) => [type, value]));
  const year = part.era.startsWith("B") ? 1 - Number(part.year) : Number(part.year);
  const local = new Date(0);
  local.setUTCFullYear(year, part.month - 1, part.day);
  local.setUTCHours(part.hour, part.minute, part.second);
  return local.getTime() - whole;
}

const padded = (number, width) => String(number).padStart(width, "0");

/** The parts of an instant as a clock in the zone shows them, microseconds included. */
function clockParts(ms, zone) {
  const micros = Math.round(ms * 1000);
  const offset = offsetAt(micros / 1000, zone);
  const seconds = Math.floor(micros / 1e6);
  const date = new Date(seconds * 1000 + offset);
  return {
    year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), hour: date.getUTCHours(),
    minute: date.getUTCMinutes(), second: date.getUTCSeconds(), micro: micros - seconds * 1e6, offset,
  };
}

function offsetText(offset) {
  const minutes = Math.round(Math.abs(offset) / 60000);
  return `${offset < 0 ? "-" : "+"}${padded(Math.floor(minutes / 60), 2)}:${padded(minutes % 60, 2)}`;
}

/** The instant as text, e.g. 2024-06-01 12:00:00.000001 in the zone; `full` adds its offset. */
function timeText(ms, zone, full = false) {
  const at = clockParts(ms, zone);
  const micro = at.micro ? `.${padded(at.micro, 6)}` : "";
  const text = `${padded(at.year, 4)}-${padded(at.month, 2)}-${padded(at.day, 2)} ${padded(at.hour, 2)}:${padded(at.minute, 2)}:${padded(at.second, 2)}${micro}`;
  return full ? `${text}${offsetText(at.offset)}` : text;
}

const ISO = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/;

/** The instant that a text names: a naive one is read in the zone. Throws an Error in words. */
function timeOf(text, zone) {
  const found = ISO.exec(text.trim());
  if (!found) throw new Error(`cannot read the time '${text}'. Write e.g. 2024-06-01 or 2024-06-01 12:30:00.`);
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "", offset] = found;
  const local = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(local);
  if (back.getUTCMonth() !== month - 1 || back.getUTCDate() !== Number(day) || hour > 23 || minute > 59 || second > 59) {
    throw new Error(`there is no time '${text}'.`);
  }
  const micros = Number(fraction.padEnd(6, "0")) / 1000;
  if (offset) {
    const [sign, hours, minutes] = offset === "Z" ? ["+", 0, 0] : [offset[0], offset.slice(1, 3), offset.slice(-2)];
    return local - (sign === "-" ? -1 : 1) * (hours * 60 + Number(minutes)) * 60000 + micros;
  }
  const near = [...new Set([local - 864e5, local + 864e5].map((ms) => offsetAt(ms, zone)))];
  const fits = near.map((shift) => local - shift).filter((ms) => ms + offsetAt(ms, zone) === local);
  if (fits.length === 1) return fits[0] + micros;
  throw new Error(`${text} ${fits.length ? "exists twice" : "does not exist"} in ${zone} (the clocks change). Give the offset, e.g. ${text}+01:00.`);
}

/** A length of time in words. */
function spanText(ms) {
  const units = [["year", 31557600000], ["day", 864e5], ["hour", 36e5], ["minute", 6e4], ["second", 1e3], ["ms", 1]];
  const [name, size] = units.find(([, length]) => ms >= length * 2) ?? ["µs", 0.001];
  const count = Math.round(ms / size);
  return `${count} ${name}${count === 1 || name.endsWith("s") ? "" : "s"}`;
}

const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => n / 1000), ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * 1000), ...[1, 2, 5, 10, 15, 30].map((n) => n * 6e4),
  ...[1, 2, 3, 6, 12].map((n) => n * 36e5), ...[1, 2, 7, 14].map((n) => n * 864e5),
];
const MONTHS = [1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12000];
const MONTH = 2629800000;

/** Ticks of an axis from `start` to `end`: at most `most` of them, as {ms, text}, on round times of the zone. */
function ticks(start, end, most, zone) {
  const want = Math.max(end - start, 0.001) / Math.max(most, 1);
  const step = STEPS.find((length) => length >= want);
  return step ? regular(start, end, step, zone) : monthly(start, end, MONTHS.find((n) => n * MONTH >= want) ?? 24000, zone);
}

function regular(start, end, step, zone) {
  const found = [];
  const shift = offsetAt(start, zone);
  for (let ms = Math.ceil((start + shift) / step) * step - shift; ms <= end && found.length < 100; ms += step) {
    const drift = step >= 36e5 ? offsetAt(ms, zone) - shift : 0; // a day in which the clocks change is no 24 hours
    if (ms - drift >= start && ms - drift <= end) found.push({ ms: ms - drift, text: tickText(ms - drift, step, zone) });
  }
  return found;
}

function monthly(start, end, months, zone) {
  const found = [];
  const first = clockParts(start, zone);
  let number = Math.floor((first.year * 12 + first.month - 1) / months) * months;
  for (; found.length < 100; number += months) {
    const date = new Date(0);
    date.setUTCFullYear(Math.floor(number / 12), number % 12, 1);
    const ms = date.getTime() - offsetAt(date.getTime(), zone);
    if (ms > end) break;
    if (ms < start) continue;
    const year = padded(Math.floor(number / 12), 4);
    found.push({ ms, text: months >= 12 ? year : `${year}-${padded((number % 12) + 1, 2)}` });
  }
  return found;
}

function tickText(ms, step, zone) {
  const text = timeText(ms, zone);
  if (step >= 864e5) return text.slice(0, 10);
  if (step >= 6e4) return text.endsWith("00:00:00") ? text.slice(0, 10) : text.slice(11, 16);
  if (step >= 1e3) return text.slice(11, 19);
  const micros = padded(clockParts(ms, zone).micro, 6);
  return `${text.slice(17, 19)}.${step >= 1 ? micros.slice(0, 3) : micros} s`;
}
