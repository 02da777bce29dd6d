// Judgements on their way: each is kept in the browser until the studio has acknowledged it.
//
// The studio stores a judgement with a known token once, so sending one again is always safe.

import { ask, of, randomId, storedName } from "./api.js";

const PREFIX = "finetext-judgement:";
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5_000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Keep a judgement of a project, with a token of its own, and return it. */
export function keep(project, judgement) {
  const kept = { ...judgement, token: randomId() };
  localStorage.setItem(PREFIX + kept.token, JSON.stringify({ project, name: storedName(), judgement: kept }));
  return kept;
}

const forget = (judgement) => localStorage.removeItem(PREFIX + judgement.token);

/** Judgements of this person in a project that were never acknowledged, as after a reload. */
export function left(project) {
  return Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => JSON.parse(localStorage.getItem(key)))
    .filter((kept) => kept.project === project && kept.name === storedName())
    .map((kept) => kept.judgement);
}

/**
 * Send a judgement until the studio has it, and return the answer.
 *
 * `onWait` is called while the studio does not answer. What it refuses is dropped, and thrown.
 */
export async function deliver(project, judgement, tab, onWait) {
  for (let wait = FIRST_PAUSE; ; wait = Math.min(2 * wait, LONGEST_PAUSE)) {
    try {
      const answer = await ask(of(project, `/judgements?tab=${tab}`), judgement);
      forget(judgement);
      return answer;
    } catch (error) {
      const isGone = error.status === 0 || error.status === 429 || error.status >= 500;
      if (!isGone) {
        if (error.status !== 401) forget(judgement);
        throw error;
      }
      onWait(error);
      await pause(wait);
    }
  }
}
