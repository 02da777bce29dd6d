// Answers on their way to the studio: each stays in this browser until the studio has stored it.

import { Failure, placeOf, post } from "./ask.js";

const PREFIX = "finetext-studio-answer:";
const TAB = "finetext-studio-tab";
const LONGEST_WAIT = 30;

/** A random UUID, also on pages without TLS, where `randomUUID` does not exist. */
export function randomId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/**
 * The id of this tab, which a reload keeps.
 *
 * A duplicated tab gets a copy of the session storage, so the id is there only between two loads.
 */
export const tab = sessionStorage.getItem(TAB) ?? randomId();
sessionStorage.removeItem(TAB);
addEventListener("pagehide", () => sessionStorage.setItem(TAB, tab));
addEventListener("pageshow", () => sessionStorage.removeItem(TAB));

/** Keep an answer in this browser; `path` is below the project, such as "judgements". */
export function keep(project, path, who, body) {
  const entry = { project, path, who, body, kept: Date.now() };
  try {
    localStorage.setItem(PREFIX + body.token, JSON.stringify(entry));
  } catch {
    // A full or forbidden storage: the answer is still sent, only a reload would lose it.
  }
  return entry;
}

/** The answers of a project that are not known to be stored, oldest first. */
export function unsent(project) {
  const entries = Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => JSON.parse(localStorage.getItem(key)));
  return entries.filter((entry) => entry.project === project).sort((a, b) => a.kept - b.kept);
}

const forget = (entry) => localStorage.removeItem(PREFIX + entry.body.token);

/**
 * Send an answer until the studio stored it, and return what it says.
 *
 * `onWait` gets the failure and the seconds until the next try, and null once it worked. An answer
 * that the studio refuses is forgotten, and the failure thrown.
 */
export async function deliver(entry, { signal, onWait = () => {} } = {}) {
  for (let seconds = 1; ; seconds = Math.min(LONGEST_WAIT, 2 * seconds)) {
    try {
      const said = await post(`${placeOf(entry.project)}/${entry.path}?tab=${tab}`, entry.body, {
        signal,
        who: entry.who,
      });
      forget(entry);
      onWait(null, 0);
      return said;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (!failure.isPassing) {
        forget(entry);
        onWait(null, 0);
        throw failure;
      }
      onWait(failure, seconds);
    }
    await pause(seconds, signal);
  }
}

let wake = () => {};
addEventListener("online", () => wake());

/** Try again at once what waits for its next try. */
export const retryNow = () => wake();

async function pause(seconds, signal) {
  await new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", resolve, { once: true });
  });
  signal?.throwIfAborted();
}
