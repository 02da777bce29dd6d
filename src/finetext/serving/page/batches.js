// Predictions for many texts, in batches and in order.

import { ask, Failure } from "./talk.js";

const FIRST_SIZE = 8;
const QUICK = 500;
const SLOW = 3000;
const MOST_REFUSED = 10;
const SPARE_BYTES = 64;
const ABOUT_THE_TEXTS = new Set([408, 413, 422, 500, 504]);
const ENCODER = new TextEncoder();

/**
 * Extend `results` to the length of `texts` with decisions of the server, or `{ problem }`.
 *
 * `keep` selects the fields of a decision to store. Existing results stay, so stopped work can be
 * resumed. A text that the server rejects is recorded; ten in a row end the work.
 */
export async function predictAll(texts, results, limits, { signal, onProgress, onWait, keep }) {
  let size = Math.min(FIRST_SIZE, limits.request_texts);
  let refused = 0;
  while (results.length < texts.length) {
    signal.throwIfAborted();
    const problem = problemOf(texts[results.length], limits);
    if (problem) {
      results.push({ problem });
      continue;
    }
    const batch = nextBatch(texts, results.length, size, limits);
    const started = performance.now();
    try {
      const decided = await ask("table/decide", { inputs: batch }, { signal, onWait });
      results.push(...decided.map(keep));
      refused = 0;
      size = nextSize(size, performance.now() - started, limits.request_texts);
    } catch (error) {
      if (!(error instanceof Failure) || !ABOUT_THE_TEXTS.has(error.status)) throw error;
      size = Math.max(1, Math.floor(batch.length / 2));
      if (batch.length > 1) continue;
      refused += 1;
      if (refused >= MOST_REFUSED) {
        results.length -= refused - 1;
        throw error;
      }
      results.push({ problem: error.message });
    }
    onProgress(results.length);
  }
  onProgress(results.length);
}

function problemOf(text, limits) {
  if (text.includes("\0")) return "the text holds a NUL character";
  if (text.length <= limits.text_characters) return "";
  const length = [...text].length;
  return length > limits.text_characters
    ? `the text has ${length} characters; the limit is ${limits.text_characters}`
    : "";
}

function nextBatch(texts, start, size, limits) {
  const batch = [];
  let bytes = SPARE_BYTES;
  for (let place = start; place < texts.length && batch.length < size; place += 1) {
    const text = texts[place];
    bytes += problemOf(text, limits) ? Infinity : ENCODER.encode(JSON.stringify(text)).length + 1;
    if (batch.length && bytes > limits.request_bytes) break;
    batch.push(text);
  }
  return batch;
}

function nextSize(size, took, most) {
  if (took < QUICK) return Math.min(2 * size, most);
  return took > SLOW ? Math.max(1, Math.floor(size / 2)) : Math.min(size, most);
}
