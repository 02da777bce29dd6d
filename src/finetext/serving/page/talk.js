// Requests to the server: the token, waiting while it is busy, and failures in words for people.

const KEY = "finetext-token";
const BUSY = new Set([429, 503]);
const MOST_TRIES = 12;
const LONGEST_WAIT = 60;
const GRACE_SECONDS = 60;

let requestSeconds = 30;
let askForToken = async () => null;
let asking = null;

/** Why a request came to nothing; `status` is 0 where there was no answer. */
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const isCancelled = (error) => error.name === "AbortError";
export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const forgetToken = () => sessionStorage.removeItem(KEY);

/** Say how a token is asked for: a function of whether one was refused that gives it or null. */
export function onTokenWanted(how) {
  askForToken = how;
}

export function setRequestSeconds(seconds) {
  requestSeconds = seconds;
}

/**
 * The answer of the server, from JSON.
 *
 * Asks for a token where one is wanted, and waits as long as Retry-After says where the server is
 * busy; `onWait` gets the seconds that are left.
 */
export async function ask(path, value, { signal, onWait = () => {} } = {}) {
  for (let tries = 1; ; ) {
    const token = sessionStorage.getItem(KEY);
    const answer = await send(path, value, token, signal);
    if (answer.ok) return readJson(answer, signal);
    const said = await saidBy(answer);
    if (answer.status === 401) {
      await replaceToken(token);
    } else if (BUSY.has(answer.status) && tries < MOST_TRIES) {
      tries += 1;
      await pause(secondsOf(answer), signal, onWait);
    } else {
      throw new Failure(answer.status, inWords(answer.status, said));
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
    throw new Failure(0, "The answer broke off, or came from something that is not finetext. Try again.");
  }
}

async function saidBy(answer) {
  try {
    const said = (await answer.json()).error;
    return typeof said === "string" ? said : "";
  } catch {
    return "";
  }
}

async function replaceToken(refused) {
  if (sessionStorage.getItem(KEY) !== refused) return;
  asking ??= askForToken(refused !== null).finally(() => {
    asking = null;
  });
  const token = await asking;
  if (token === null) throw new Failure(401, "This server answers only to those who have its token.");
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
    0: "The server cannot be reached. Is it still running, and is there a network? Then try again.",
    408: "The text came to the server too slowly. Try again.",
    413: `This is too much for the server at once${reason}`,
    422: `The server does not take this${reason}`,
    429: "The server has too much to do. Try again in a while.",
    500: `The server met a fault${reason} Whoever runs it should look into its log.`,
    503: `The server is full or about to stop${reason} Try again in a while.`,
    504: "The server took too long. Try again, or with less text.",
  };
  return messages[status] ?? `The server answered with status ${status}${reason}`;
}
