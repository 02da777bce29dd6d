"use strict";
// The text of the dot under the pointer is shown; dots whose row of the table is filtered out fade.
// A dot names its row of the table by data-row, counted from 0.
(() => {
  document.querySelectorAll("figure.map").forEach((figure) => {
    const table = document.getElementById(figure.dataset.table);
    const reading = figure.querySelector(".reading");
    const dots = [...figure.querySelectorAll("[data-row]")];
    const rows = new Map([...table.tBodies[0].rows].map((row) => [row.dataset.row, row]));
    let chosen = null;
    const read = (event) => {
      const dot = event.target.closest("[data-row]");
      if (!dot || dot === chosen) return;
      if (chosen) chosen.classList.remove("chosen");
      chosen = dot;
      dot.classList.add("chosen");
      const [text, truth, prediction] = rows.get(dot.dataset.row).cells;
      const labels = document.createElement("b");
      const [given, right] = [prediction.textContent.trim(), truth.textContent.trim()];
      labels.textContent = given === right ? right : `${right}, predicted as ${given}`;
      reading.replaceChildren(labels, ` ${text.textContent}`);
    };
    figure.addEventListener("pointerover", read);
    figure.addEventListener("click", read);
    table.addEventListener("shown", (event) => {
      const shown = new Set([...event.detail].map((row) => row.dataset.row));
      dots.forEach((dot) => dot.classList.toggle("faded", !shown.has(dot.dataset.row)));
    });
  });
})();
