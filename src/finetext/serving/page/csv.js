// Rows to delimited text.

const NUMBER = /^\s*[-+]?(\d+([.,]\d+)*|\.\d+)([eE][-+]?\d+)?\s*%?\s*$/;
const FORMULA = /^[=+\-@\t\r]/;

/** Whether a spreadsheet could read a field as a formula. */
export const isFormula = (field) => FORMULA.test(field) && !NUMBER.test(field);

/** Labels as a cell: joined by commas, or as JSON if one of them has a comma; no label is "". */
export function cellOf(labels) {
  if (!Array.isArray(labels)) return labels ?? "";
  const hasComma = labels.some((label) => label.includes(","));
  return hasComma ? `[${labels.map((label) => JSON.stringify(label)).join(", ")}]` : labels.join(",");
}

/** Rows as CSV; `forSpreadsheet` adds a byte order mark, and ' before what looks like a formula. */
export function write(rows, forSpreadsheet) {
  const lines = rows.map((row) => row.map((field) => quoted(field, forSpreadsheet)).join(","));
  return `${forSpreadsheet ? "\ufeff" : ""}${lines.join("\r\n")}\r\n`;
}

function quoted(field, forSpreadsheet) {
  const safe = forSpreadsheet && isFormula(field) ? `'${field}` : field;
  return /[",\r\n]/.test(safe) || /^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
