// Requests to the studio: who asks, errors in the words of the server, downloads.

const TOKEN = "finetext-studio-token";
const NAME = "finetext-studio-annotator";
const SECONDS = 120;

let askForToken = async () => null;
let asking = null;

/**
 * Why a request failed; `status` is 0 without an answer.
 *
 * `choice` is what to state in the request, if that would help.
 */
export class Failure extends Error {
  constructor(status, message, choice = null) {
    super(message);
    this.status = status;
    this.choice = choice;
  }

  /** Whether the same request can succeed later. */
  get isPassing() {
    return this.status === 0 || this.status >= 500 || [401, 408, 429].includes(this.status);
  }
}

export const isLeft = (error) => error.name === "AbortError";

/** The name of the person, or "" as long as it was not asked. */
export const annotator = () => localStorage.getItem(NAME) ?? "";
export const setAnnotator = (name) => localStorage.setItem(NAME, name);
export const setToken = (token) => sessionStorage.setItem(TOKEN, token);

/** Set how to ask for a token: a function of whether one was rejected that returns it or null. */
export function onTokenWanted(how) {
  askForToken = how;
}

/** Take the token out of the address, where it would be seen and stored by the browser. */
export function takeToken() {
  const found = /^#(?:(.*)[?&])?token=([^&]+)/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(TOKEN, decodeURIComponent(found[2]));
  history.replaceState(null, "", `${location.pathname}${location.search}#${found[1] || "/"}`);
}

export const placeOf = (project) => `/api/projects/${encodeURIComponent(project)}`;
export const runPlace = (project, run) => `${placeOf(project)}/runs/${encodeURIComponent(run)}`;

export const get = (path, options) => ask("GET", path, undefined, options);
export const post = (path, value = {}, options) => ask("POST", path, value, options);
export const put = (path, value, options) => ask("PUT", path, value, options);
export const patch = (path, value, options) => ask("PATCH", path, value, options);

/** Return the JSON answer of the studio; `who` asks in the name of another person than the current. */
async function ask(method, path, value, options = {}) {
  const answer = await answerOf(method, path, value, options);
  try {
    return await answer.json();
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new Failure(0, "The answer of the studio is incomplete. Try again.");
  }
}

/** Return an answer as text. */
export async function textOf(path, options = {}) {
  return (await answerOf("GET", path, undefined, options)).text();
}

/** Download what the studio answers, under the name that it gives or `otherwise`. */
export async function download(path, otherwise, value = undefined, options = {}) {
  const answer = await answerOf(value === undefined ? "GET" : "POST", path, value, options);
  const disposition = answer.headers.get("content-disposition") ?? "";
  const told = /filename\*=UTF-8''([^;]+)/i.exec(disposition) ?? /filename="([^"]+)"/i.exec(disposition);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = told ? decodeURIComponent(told[1]) : otherwise;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}

async function answerOf(method, path, value, { signal, who } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const answer = await send(method, path, value, signal, who ?? annotator(), token);
    if (answer.ok) return answer;
    const { error, choice } = await saidBy(answer);
    if (answer.status === 401 && (await replaceToken(token))) continue;
    throw new Failure(answer.status, error || `The studio answered with status ${answer.status}.`, choice);
  }
}

async function send(method, path, value, signal, who, token) {
  const headers = {};
  if (token !== null) headers.authorization = `Bearer ${token}`;
  else if (who) headers["x-annotator"] = encodeURIComponent(who);
  const options = { method, headers, cache: "no-store", credentials: "same-origin" };
  if (value !== undefined) {
    headers["content-type"] = "application/json";
    options.body = JSON.stringify(value);
  }
  const tooLong = AbortSignal.timeout(1000 * SECONDS);
  options.signal = signal ? AbortSignal.any([signal, tooLong]) : tooLong;
  try {
    return await fetch(path, options);
  } catch {
    signal?.throwIfAborted();
    throw new Failure(0, "The studio cannot be reached. Check that it is running, then try again.");
  }
}

async function saidBy(answer) {
  try {
    const { error, choice = null } = await answer.json();
    return { error: typeof error === "string" ? error : "", choice };
  } catch {
    return { error: "", choice: null };
  }
}

/** Whether there is another token now than the refused one. */
async function replaceToken(refused) {
  if (sessionStorage.getItem(TOKEN) !== refused) return true;
  asking ??= askForToken(refused !== null).finally(() => {
    asking = null;
  });
  const token = await asking;
  if (token === null) return false;
  setToken(token);
  return true;
}
