// Rows to delimited text, and what of it a spreadsheet would run: the same rules as data/formulas.py.

const SIGNS = "=+\\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b";
const BLANK = "\\s\\x00-\\x1f\\x7f-\\x9f\u200b-\u200f\u2060\ufeff";
const FORMULA = new RegExp(`^'*(?!-[0-9]+(?:[.,][0-9]+)*$)(?:[\\t\\r\\n]|[${BLANK}]*[${SIGNS}])`);
const ADDED = "apostrophe_added";

/** Whether a spreadsheet could read a field as a formula, or would if an apostrophe were taken off. */
export const isFormula = (field) => FORMULA.test(field);

/** Labels as a cell: joined by commas, or as JSON if one of them has a comma; no label is "". */
export function cellOf(labels) {
  if (!Array.isArray(labels)) return labels ?? "";
  const hasComma = labels.some((label) => label.includes(","));
  return hasComma ? `[${labels.map((label) => JSON.stringify(label)).join(", ")}]` : labels.join(",");
}

/** Rows as CSV; `forSpreadsheet` adds a byte order mark, and ' before what looks like a formula. */
export function write(rows, forSpreadsheet) {
  const lines = (forSpreadsheet ? withoutFormulas(rows) : rows).map((row) => row.map(quoted).join(","));
  return `${forSpreadsheet ? "\ufeff" : ""}${lines.join("\r\n")}\r\n`;
}

/** Rows below a header that run nothing, with a last column that says where an apostrophe was added. */
function withoutFormulas(rows) {
  if (!rows.some((row) => row.some(isFormula))) return rows;
  const safe = (field) => (isFormula(field) ? `'${field}` : field);
  const free = (name) => (rows[0].includes(name) ? free(`${name}_`) : name);
  return rows.map((row, place) => {
    const added = row.flatMap((field, column) => (isFormula(field) ? [rows[0][column]] : []));
    return [...row.map(safe), place ? safe(added.join(", ")) : free(ADDED)];
  });
}

function quoted(field) {
  return /[",\r\n]/.test(field) || /^\s|\s$/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
