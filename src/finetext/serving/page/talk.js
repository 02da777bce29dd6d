// Requests to the server: the token, retries while it is busy, and error messages.

const KEY = "finetext-token";
const BUSY = new Set([429, 503]);
const MOST_TRIES = 12;
const LONGEST_WAIT = 60;
const GRACE_SECONDS = 60;

let requestSeconds = 30;
let askForToken = async () => null;
let asking = null;

/**
 * Why a request failed; `status` is 0 without an answer.
 *
 * `said` is what the server said, and `choice` what to state in the request, if that would help.
 */
export class Failure extends Error {
  constructor(status, message, said = "", choice = null) {
    super(message);
    this.status = status;
    this.said = said;
    this.choice = choice;
  }
}

export const isCancelled = (error) => error.name === "AbortError";
export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const forgetToken = () => sessionStorage.removeItem(KEY);

/** Set how to ask for a token: a function of whether one was rejected that returns it or null. */
export function onTokenWanted(how) {
  askForToken = how;
}

export function setRequestSeconds(seconds) {
  requestSeconds = seconds;
}

/**
 * Return the JSON answer of the server.
 *
 * Asks for a token if one is required, and retries after the time in Retry-After if the server is
 * busy; `onWait` gets the remaining seconds.
 */
export async function ask(path, value, { signal, onWait = () => {} } = {}) {
  for (let tries = 1; ; ) {
    const token = sessionStorage.getItem(KEY);
    const answer = await send(path, value, token, signal);
    if (answer.ok) return readJson(answer, signal);
    const [said, choice] = await saidBy(answer);
    if (answer.status === 401) {
      await replaceToken(token);
    } else if (BUSY.has(answer.status) && tries < MOST_TRIES) {
      tries += 1;
      await pause(secondsOf(answer), signal, onWait);
    } else {
      throw new Failure(answer.status, inWords(answer.status, said), said, choice);
    }
    signal?.throwIfAborted();
  }
}

async function send(path, value, token, signal) {
  const headers = {};
  if (token !== null) headers.authorization = `Bearer ${token}`;
  const options = { headers, cache: "no-store", credentials: "same-origin" };
  if (value !== undefined) {
    headers["content-type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(value) });
  }
  const tooLong = AbortSignal.timeout(1000 * (requestSeconds + GRACE_SECONDS));
  options.signal = signal ? AbortSignal.any([signal, tooLong]) : tooLong;
  try {
    return await fetch(path, options);
  } catch (error) {
    signal?.throwIfAborted();
    throw new Failure(0, inWords(error.name === "TimeoutError" ? 504 : 0, ""));
  }
}

async function readJson(answer, signal) {
  try {
    return await answer.json();
  } catch {
    signal?.throwIfAborted();
    throw new Failure(0, "The answer is incomplete or not from finetext. Try again.");
  }
}

async function saidBy(answer) {
  try {
    const { error, choice = null } = await answer.json();
    return typeof error === "string" ? [error, choice] : ["", null];
  } catch {
    return ["", null];
  }
}

async function replaceToken(refused) {
  if (sessionStorage.getItem(KEY) !== refused) return;
  asking ??= askForToken(refused !== null).finally(() => {
    asking = null;
  });
  const token = await asking;
  if (token === null) throw new Failure(401, "This server requires a token.");
  sessionStorage.setItem(KEY, token);
}

function secondsOf(answer) {
  const seconds = Number(answer.headers.get("retry-after") ?? 2);
  return Math.min(LONGEST_WAIT, Math.max(1, Number.isFinite(seconds) ? Math.ceil(seconds) : 2));
}

async function pause(seconds, signal, onWait) {
  for (let left = seconds; left > 0; left -= 1) {
    onWait(left);
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  onWait(0);
}

function inWords(status, said) {
  const reason = said ? `: ${said}.` : ".";
  const messages = {
    0: "The server cannot be reached. Check that it is running and that the network works, then try again.",
    408: "The upload took too long. Try again.",
    413: `The request is too large${reason}`,
    422: `The server rejects the request${reason}`,
    429: "The server is busy. Try again later.",
    500: `The server has an internal error${reason} Its log has the details.`,
    503: `The server is full or stopping${reason} Try again later.`,
    504: "The server took too long. Try again, or with less text.",
  };
  return messages[status] ?? `The server answered with status ${status}${reason}`;
}
