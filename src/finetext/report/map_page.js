"use strict";
// Texts of a map are read where the pointer is, or with the arrow keys; the legend filters them.
(() => {
  const plot = document.getElementById("plot");
  const picture = plot.querySelector("svg");
  const reading = document.getElementById("reading");
  const status = document.getElementById("status");
  const legend = [...document.querySelectorAll("#legend button[data-label]")];
  const onlyWrong = document.getElementById("only-wrong");
  const byPrediction = document.getElementById("by-prediction");
  const between = plot.dataset.between;
  const colors = new Map(legend.map((button) => [button.dataset.label, button.dataset.color]));
  const rows = [...document.querySelectorAll("#texts tbody tr")];
  const heads = [...document.querySelectorAll("#texts thead th")].map((head) => head.textContent);
  // A column that is missing gives null: there can be no truths, no predictions, or neither.
  const told = (row, name) => heads.includes(name) ? row.cells[heads.indexOf(name)].textContent : null;
  const split = (labels) => {
    if (labels === null) return [legend[0].dataset.label];
    return between ? labels.split(between) : [labels];
  };
  const points = [...picture.querySelectorAll("[data-row]")].map((mark) => {
    const row = rows[Number(mark.dataset.row)];
    const [truth, prediction] = [told(row, "truth"), told(row, "prediction")];
    return {
      mark, row, shown: true, x: Number(mark.dataset.x), y: Number(mark.dataset.y),
      wrong: mark.classList.contains("wrong"), text: told(row, "text"),
      truth, prediction, truths: split(truth ?? prediction), predictions: split(prediction ?? truth),
    };
  });
  let chosen = null;

  const line = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

  function read(point) {
    if (chosen) chosen.mark.classList.remove("chosen");
    chosen = point;
    reading.hidden = !point;
    if (!point) return;
    point.mark.classList.add("chosen");
    const { truth, prediction } = point;
    const labels = truth === null || prediction === null || truth === prediction
      ? truth ?? prediction : `${truth}, predicted as ${prediction}`;
    reading.replaceChildren(...(labels === null ? [] : [line("b", labels)]), line("span", point.text));
    const scale = picture.clientWidth / picture.viewBox.baseVal.width;
    const [x, y] = [point.x * scale, point.y * scale];
    const left = Math.min(Math.max(0, x - reading.offsetWidth / 2), plot.clientWidth - reading.offsetWidth);
    const above = y - reading.offsetHeight - 12;
    reading.style.left = `${Math.max(0, left)}px`;
    reading.style.top = `${above < 0 ? y + 12 : above}px`;
  }

  function filter() {
    const wanted = new Set(
      legend.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.label));
    const field = byPrediction && byPrediction.checked ? "predictions" : "truths";
    let count = 0;
    for (const point of points) {
      const labels = point[field];
      point.shown = labels.some((label) => wanted.has(label))
        && !(onlyWrong && onlyWrong.checked && !point.wrong);
      point.mark.classList.toggle("away", !point.shown);
      point.row.hidden = !point.shown;
      point.mark.setAttribute("class",
        point.mark.getAttribute("class").replace(/\bc\d+\b/, `c${colors.get(labels[0]) ?? 0}`));
      count += point.shown;
    }
    status.textContent = `${count.toLocaleString("en")} of ${points.length.toLocaleString("en")} ${plot.dataset.texts} shown`;
    if (chosen && !chosen.shown) read(null);
  }

  function nearest(x, y, allowed) {
    let best = null;
    let least = Infinity;
    for (const point of points) {
      if (!point.shown || point === chosen && allowed.skip) continue;
      const [dx, dy] = [point.x - x, point.y - y];
      const distance = allowed.weigh ? allowed.weigh(dx, dy) : Math.hypot(dx, dy);
      if (distance < least) [best, least] = [point, distance];
    }
    return [best, least];
  }

  function point(event) {
    const box = picture.getBoundingClientRect();
    const scale = picture.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const [closest, distance] = nearest(x, y, {});
    const near = closest && distance < 16 * Math.max(1, scale) ? closest : null;
    if (near !== chosen) read(near);
  }

  picture.addEventListener("pointermove", point);
  picture.addEventListener("pointerdown", point);
  // A lifted finger leaves the text it pointed at on the screen.
  picture.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && document.activeElement !== picture) read(null);
  });
  picture.addEventListener("focus", () => {
    if (!chosen && picture.matches(":focus-visible")) read(nearest(0, 0, {})[0]);
  });
  picture.addEventListener("blur", () => read(null));

  // A step goes to a text that is near, ahead rather than aside.
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  picture.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return read(null);
    const step = steps[event.key];
    if (!step) return undefined;
    event.preventDefault();
    const from = chosen || { x: 0, y: 0 };
    const weigh = (dx, dy) => {
      const ahead = dx * step[0] + dy * step[1];
      const aside = Math.abs(dx * step[1]) + Math.abs(dy * step[0]);
      return ahead > 0 && ahead >= aside / 2 ? ahead + 2 * aside : Infinity;
    };
    const [point] = nearest(from.x, from.y, { skip: true, weigh });
    if (point) read(point);
    return undefined;
  });

  for (const button of legend) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  for (const button of document.querySelectorAll("button[data-all]")) {
    button.addEventListener("click", () => {
      legend.forEach((other) => other.setAttribute("aria-pressed", button.dataset.all));
      filter();
    });
  }
  document.querySelectorAll("#controls input").forEach((input) => input.addEventListener("change", filter));
  document.querySelectorAll("[data-scripted]").forEach((element) => { element.hidden = false; });
  filter();
})();
