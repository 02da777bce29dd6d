"use strict";
// Every table of class "data" is sorted by its headers; one of eight rows or more gets a search box
// and filters, too. Without this script it is a plain table. A header cell with the attribute
// data-filter gets a choice of the values of its column: the texts of its elements of class "chip",
// or else the text of the cell. A cell is sorted by its attribute data-value, or else by its text.
// A table sends the event "shown" with the rows that are shown.
(() => {
  const FEW_ROWS = 8;
  const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const said = (element) => element.textContent.replace(/\s+/g, " ").trim();
  const plain = (text) => text.normalize("NFKD").replace(/\p{Diacritic}/gu, "").toLowerCase();
  const valuesOf = (cell) => {
    const chips = cell.querySelectorAll(".chip");
    return chips.length ? [...chips].map(said) : [said(cell)];
  };

  function choices(rows, column) {
    const counts = new Map();
    for (const row of rows) {
      for (const value of new Set(valuesOf(row.cells[column]))) {
        counts.set(value, (counts.get(value) || 0) + 1);
      }
    }
    return [...counts].sort((a, b) => collator.compare(a[0], b[0]));
  }

  function keysOf(rows, column) {
    const texts = rows.map((row) => {
      const cell = row.cells[column];
      return cell.dataset.value ?? said(cell);
    });
    const numbers = texts.map((text) => (text === "" ? NaN : Number(text)));
    const isNumeric = texts.every((text, i) => text === "" || !Number.isNaN(numbers[i]));
    const compare = isNumeric ? (a, b) => a - b : collator.compare;
    return { keys: isNumeric ? numbers : texts, texts, compare };
  }

  function sort(table, rows, column, direction) {
    let order = rows.map((_, i) => i);
    if (direction) {
      const { keys, texts, compare } = keysOf(rows, column);
      const sign = direction === "ascending" ? 1 : -1;
      const missing = (i) => Number(texts[i] === "");
      order.sort((a, b) => missing(a) - missing(b) || sign * compare(keys[a], keys[b]) || a - b);
    }
    table.tBodies[0].append(...order.map((i) => rows[i]));
  }

  function makeSortable(table, rows) {
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = make("button", { type: "button" }, ...header.childNodes);
      header.append(button);
      header.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const direction = next[header.getAttribute("aria-sort")];
        headers.forEach((other) => other.setAttribute("aria-sort", "none"));
        header.setAttribute("aria-sort", direction);
        sort(table, rows, column, direction === "none" ? "" : direction);
      });
    });
  }

  function makeFilter(header, options) {
    const select = make("select", {}, make("option", { value: "" }, "all"));
    options.forEach(([value, count], i) => {
      select.append(make("option", { value: String(i + 1) }, `${value || "(none)"} (${count})`));
    });
    return make("label", {}, `${said(header)} `, select);
  }

  function enhance(table) {
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => plain(row.textContent));
    const search = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const status = make("output", {});
    status.setAttribute("aria-live", "polite");
    const bar = make("div", { className: "tools" }, make("label", {}, "Search ", search));
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", `Search and filter: ${said(table.caption)}`);
    const filters = [];
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const options = "filter" in header.dataset ? choices(rows, column) : [];
      if (options.length < 2) return;
      const label = makeFilter(header, options);
      filters.push({ column, options, select: label.querySelector("select") });
      bar.append(label);
    });
    bar.append(status);

    const update = () => {
      const words = plain(search.value).split(/\s+/).filter(Boolean);
      const wanted = filters.filter(({ select }) => select.value);
      const shown = rows.filter((row, i) => {
        const isShown =
          words.every((word) => texts[i].includes(word)) &&
          wanted.every(({ column, options, select }) =>
            valuesOf(row.cells[column]).includes(options[select.value - 1][0]));
        row.hidden = !isShown;
        return isShown;
      });
      const all = rows.length.toLocaleString("en");
      const noun = rows.length === 1 ? "row" : "rows";
      const some = shown.length < rows.length ? `${shown.length.toLocaleString("en")} of ` : "";
      status.textContent = `${some}${all} ${noun}`;
      table.dispatchEvent(new CustomEvent("shown", { detail: new Set(shown) }));
    };
    makeSortable(table, rows);
    if (rows.length < FEW_ROWS) return;
    (table.closest(".table") || table).before(bar);
    bar.addEventListener("input", update);
    update();
  }

  document.querySelectorAll("table.data").forEach(enhance);

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((details) => { details.open = false; });
  });
})();
