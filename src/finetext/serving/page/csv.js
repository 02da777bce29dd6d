// Delimited text to rows and back, and detection of its format.

const SAMPLE = 256 * 1024;
const LONGEST_QUOTED = 1_000_000;
const DELIMITERS = [",", "\t", ";", "|"];
const STATED = /^\ufeff?[ \t]*"?sep=(\\t|[^"\r\n])"?[,;|\t ]*(?=[\r\n]|$)/i;
const NUMBER = /^\s*[-+]?(\d+([.,]\d+)*|\.\d+)([eE][-+]?\d+)?\s*%?\s*$/;
const FORMULA = /^[=+\-@\t\r]/;

/** The text of a file and its encoding: Windows-1252 if it is not UTF-8 and has no mark. */
export function decode(bytes) {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return { text: new TextDecoder("utf-16le").decode(bytes), encoding: "UTF-16" };
  if (first === 0xfe && second === 0xff) return { text: new TextDecoder("utf-16be").decode(bytes), encoding: "UTF-16" };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), encoding: "UTF-8" };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "Windows-1252" };
  }
}

/**
 * The rows of a text, lists of fields; empty lines are skipped, and so is a first line "sep=;".
 *
 * A field in quotes may hold delimiters, line breaks, and doubled quotes for quotes. A quote that
 * begins a field and is not closed right before the next delimiter is a quote like any other.
 */
export function parse(text, delimiter, hasQuotes) {
  const rows = [];
  let row = [];
  let at = text.match(STATED)?.[0].length ?? 0;
  while (at < text.length) {
    const quoted = hasQuotes && text[at] === '"' ? quotedField(text, at, delimiter) : null;
    const end = quoted ? quoted.end : endOfField(text, at, delimiter);
    row.push(quoted ? quoted.value : text.slice(at, end));
    at = end;
    if (delimiter && text[at] === delimiter) {
      at += 1;
      if (at < text.length) continue;
      row.push("");
    }
    if (text[at] === "\r" && text[at + 1] === "\n") at += 1;
    at += 1;
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  }
  return rows;
}

function endOfField(text, start, delimiter) {
  let at = start;
  while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at += 1;
  return at;
}

function quotedField(text, start, delimiter) {
  for (let at = start + 1; ; at += 2) {
    at = text.indexOf('"', at);
    if (at < 0 || at - start > LONGEST_QUOTED) return null;
    if (text[at + 1] === '"') continue;
    const after = text[at + 1];
    const isClosed = after === undefined || after === "\n" || after === "\r" || after === delimiter;
    return isClosed ? { value: text.slice(start + 1, at).replaceAll('""', '"'), end: at + 1 } : null;
  }
}

/** The delimiter, "" for none, and whether quotes hold fields together; between tabs they may not. */
export function guess(text, name) {
  const stated = text.match(STATED)?.[1].replace("\\t", "\t");
  if (stated) return { delimiter: stated, hasQuotes: true };
  const sample = text.slice(0, SAMPLE);
  const isCut = sample.length < text.length;
  const isTabs = /\.(tsv|tab)$/i.test(name);
  let best = { delimiter: "", hasQuotes: true, merit: 0 };
  for (const delimiter of isTabs ? ["\t"] : DELIMITERS) {
    for (const hasQuotes of delimiter === "\t" ? [true, false] : [true]) {
      const rows = parse(sample, delimiter, hasQuotes);
      const merit = evenness(isCut ? rows.slice(0, -1) : rows);
      if (merit > best.merit + 1e-9) best = { delimiter, hasQuotes, merit };
    }
  }
  return best.merit < 0.8 ? { delimiter: isTabs ? "\t" : "", hasQuotes: true } : best;
}

/** Share of rows with the commonest number of fields, and a little for more fields; 0 for one. */
function evenness(rows) {
  const sizes = new Map();
  for (const row of rows) sizes.set(row.length, (sizes.get(row.length) ?? 0) + 1);
  const [size, times] = [...sizes].sort((one, other) => other[1] - one[1])[0] ?? [0, 0];
  return size < 2 ? 0 : times / rows.length + Math.min(size, 50) / 10_000;
}

/** Whether a spreadsheet could read a field as a formula. */
export const isFormula = (field) => FORMULA.test(field) && !NUMBER.test(field);

/** Rows as CSV; `forSpreadsheet` adds a byte order mark, and ' before what looks like a formula. */
export function write(rows, forSpreadsheet) {
  const lines = rows.map((row) => row.map((field) => quoted(field, forSpreadsheet)).join(","));
  return `${forSpreadsheet ? "\ufeff" : ""}${lines.join("\r\n")}\r\n`;
}

function quoted(field, forSpreadsheet) {
  const safe = forSpreadsheet && isFormula(field) ? `'${field}` : field;
  return /[",\r\n]/.test(safe) || /^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
