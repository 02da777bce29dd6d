// One text: what the model decides, how probable each label is, and which words mattered.

import { fields, joined, shown } from "./columns.js";
import { barRow, byId, count, head, make, percent, tell, whole } from "./dom.js";
import { ask, isCancelled } from "./talk.js";

const SHOWN_LABELS = 10;
const TOLD_WORDS = 3;
const LEAST_STRENGTH = 0.05;

let info = null;
let text = "";
let asked = new AbortController();

/** `getInfo` resolves to the answer of /info, or to null if it failed. */
export function setUpText(getInfo) {
  byId("text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    classify(getInfo);
  });
  byId("text-form").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    byId("text-form").requestSubmit();
  });
  byId("why").addEventListener("change", () => {
    asked.abort();
    asked = new AbortController();
    explain(byId("why").value, asked.signal);
  });
  byId("all-labels").addEventListener("click", () => {
    const button = byId("all-labels");
    showLabels(button.getAttribute("aria-expanded") !== "true");
  });
}

async function classify(getInfo) {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const given = joined(fields().map((field) => field.value));
  text = given.toWellFormed ? given.toWellFormed() : given;
  tell(byId("text-failure"), "");
  if (!text.trim()) {
    tell(byId("text-failure"), "There is no text: type or paste one.");
    byId("text").focus();
    return;
  }
  byId("verdict").textContent = "Classifying …";
  byId("text-result").hidden = true;
  try {
    info = await getInfo();
    signal.throwIfAborted();
    const [decided] = await ask("decide", { inputs: [text] }, { signal, onWait: waiting("verdict") });
    showDecision(decided);
    await explain(undefined, signal);
  } catch (error) {
    if (isCancelled(error)) return;
    byId("verdict").textContent = "";
    tell(byId("text-failure"), error.message);
  }
}

const waiting = (id) => (seconds) => {
  byId(id).textContent = seconds ? `The server is busy: retrying in ${seconds} s` : "Waiting for the server …";
};

function showDecision(decided) {
  // Sorted again, as an object puts labels that are whole numbers first.
  const ranked = Object.entries(decided.probabilities).sort((one, other) => other[1] - one[1]);
  const given = Array.isArray(decided.prediction) ? decided.prediction : [decided.prediction ?? []].flat();
  byId("verdict").textContent = verdict(decided, given);
  byId("verdict-why").textContent = reasons(decided, given, ranked).join(" ");
  const rows = ranked.map(([label, share]) => {
    const isGiven = given.includes(label);
    const tags = isGiven ? ["given"] : [];
    if (decided.set?.includes(label)) tags.push("in the set");
    return barRow(label, share, percent(share), tags, isGiven);
  });
  byId("bars").tBodies[0].replaceChildren(...rows);
  byId("why").replaceChildren(...ranked.map(([label]) => new Option(label, label)));
  showLabels(false);
  byId("text-result").hidden = false;
}

function verdict(decided, given) {
  if (given.length === 1 && !Array.isArray(decided.prediction)) return `${given[0]}, ${percent(decided.probability)}`;
  if (given.length) return given.join(", ");
  if (decided.out_of_scope) return "No label: the text belongs to none of the classes";
  return decided.prediction === null ? "No label: the model abstains" : "No label";
}

function reasons(decided, given, ranked) {
  const told = [];
  const [likeliest, highest] = ranked[0];
  if (decided.out_of_scope) {
    told.push(`The probabilities are spread more widely than those of texts of the classes; the most probable, ${likeliest}, has ${percent(highest)}.`);
  } else if (decided.prediction === null) {
    told.push(`No label is probable enough; the closest has ${percent(decided.probability)}.`);
  } else if (!given.length) {
    told.push(`No label reaches its threshold; the most probable, ${likeliest}, has ${percent(highest)}.`);
  } else if (!Array.isArray(decided.prediction) && given[0] !== likeliest) {
    told.push("This is not the most probable label: the decision rule uses thresholds or costs.");
  }
  if (decided.set) {
    const share = info?.coverage ? `, which contains the true label for ${percent(info.coverage)} of texts like the validation rows` : "";
    told.push(`Prediction set${share}: ${decided.set.join(", ") || "empty"}.`);
  }
  return told;
}

function showLabels(all) {
  const rows = [...byId("bars").tBodies[0].rows];
  rows.forEach((row, place) => {
    row.hidden = !all && place >= SHOWN_LABELS && row.className !== "given";
  });
  const button = byId("all-labels");
  button.hidden = rows.length <= SHOWN_LABELS;
  button.textContent = all ? `Show the ${SHOWN_LABELS} most probable` : `Show all ${whole(rows.length)} labels`;
  button.setAttribute("aria-expanded", String(all));
}

async function explain(label, signal) {
  const status = byId("words-status");
  const most = info?.limits.explained_characters ?? Infinity;
  byId("words").hidden = true;
  if ([...text].length > most) {
    status.textContent = `Only texts of at most ${whole(most)} characters are explained.`;
    return;
  }
  if (info && !info.way) {
    status.textContent = "Texts are not explained here: a paid model would be asked once for each word.";
    return;
  }
  status.textContent = "Explaining …";
  try {
    const question = label === undefined ? { inputs: text } : { inputs: text, label };
    const told = await ask("explain", question, { signal, onWait: waiting("words-status") });
    byId("why").value = told.label;
    showWords(told);
  } catch (error) {
    if (!isCancelled(error)) status.textContent = `The explanation failed. ${error.message}`;
  }
}

function showWords(told) {
  const words = told.words.filter((word) => word.attribution !== null);
  byId("words-status").textContent = words.length ? "" : "The model reads no word of this text.";
  byId("words").hidden = !words.length;
  const most = Math.max(...words.map((word) => Math.abs(word.attribution)));
  byId("marked").replaceChildren(...marked(words, most));
  byId("words-told").textContent = strongest(words, told.label);
  byId("words-how").textContent = how(told);
  const rows = words.map((word) => make("tr", "", head("row", word.text), make("td", "", signed(word.attribution))));
  byId("words-table").tBodies[0].replaceChildren(...rows);
}

/** The text with its words marked; their places count characters, which may be two units of a string. */
function marked(words, most) {
  const characters = [...text];
  const parts = [];
  let at = 0;
  for (const { start, end, attribution } of words) {
    const strength = most > 0 ? Math.abs(attribution) / most : 0;
    if (start < at || strength < LEAST_STRENGTH) continue;
    const word = make("mark", attribution > 0 ? "w for" : "w against", characters.slice(start, end).join(""));
    word.append(make("sup", "", attribution > 0 ? "+" : "−"));
    word.style.setProperty("--s", `${Math.round(10 + 50 * strength)}%`);
    word.title = signed(attribution);
    parts.push(shown(characters.slice(at, start).join("")), word);
    at = end;
  }
  return [...parts, shown(characters.slice(at).join(""))];
}

function strongest(words, label) {
  const sorted = words.toSorted((one, other) => other.attribution - one.attribution);
  const named = (some) => some.map((word) => `“${word.text}” (${signed(word.attribution)})`).join(", ");
  const speaking = sorted.filter((word) => word.attribution > 0).slice(0, TOLD_WORDS);
  const against = sorted.filter((word) => word.attribution < 0).slice(-TOLD_WORDS).reverse();
  const parts = [];
  if (speaking.length) parts.push(`Most for ${label}: ${named(speaking)}.`);
  if (against.length) parts.push(`Most against it: ${named(against)}.`);
  return parts.join(" ") || `No word speaks for ${label} or against it.`;
}

function how(told) {
  const parts = [`Found by ${told.way}.`];
  if (told.lost_top !== null && told.lost_random !== null && told.removed) {
    const fall = `Without the ${told.removed > 1 ? `${told.removed} strongest words` : "strongest word"}`;
    parts.push(`${fall} the probability falls by ${points(told.lost_top)}; without as many random words, by ${points(told.lost_random)}.`);
  }
  if (told.unread) parts.push(`The model does not read ${count(told.unread, "word")} of this text, which is too long for it.`);
  if (told.remark) parts.push(`${told.remark[0].toUpperCase()}${told.remark.slice(1)}.`);
  return parts.join(" ");
}

const points = (share) => `${(Math.round(1000 * share) / 10 || 0).toFixed(1).replace("-", "−")} points`;
const SIGNED = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, signDisplay: "exceptZero" });
const signed = (number) => SIGNED.format(number).replace("-", "−");
