// Small helpers. All content is set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with a class, and children that are nodes or texts. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A header cell of a row or column. */
export function head(scope, text, className = "") {
  const cell = make("th", className, text);
  cell.scope = scope;
  return cell;
}

/** Show a text in an element that is hidden while it has none. */
export function tell(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

const WHOLE = new Intl.NumberFormat("en");
const ROUGH = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const whole = (number) => WHOLE.format(number);
export const rough = (number) => ROUGH.format(number);

/** "1 row", "2 rows". */
export const count = (number, what) => `${whole(number)} ${what}${number === 1 ? "" : "s"}`;

/** A probability as a percentage; only 0 and 1 are shown as 0% and 100%. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1%";
  if (share < 1 && share > 0.999) return "> 99.9%";
  return `${(100 * share).toFixed(1)}%`;
}

/** A row of a table of bars: a name, tags after it, a bar and a number. */
export function barRow(name, share, number, tags, isGiven) {
  const title = head("row", name);
  for (const tag of tags) title.append(" ", make("span", "tag", tag));
  const bar = make("i");
  bar.style.setProperty("--share", `${100 * share}%`);
  const track = make("span", "track", bar);
  track.setAttribute("aria-hidden", "true");
  return make("tr", isGiven ? "given" : "", title, make("td", "", make("div", "", track, make("span", "number", number))));
}
