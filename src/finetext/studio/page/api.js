// Requests to the studio: who asks, what failed.

const NAME = "finetext-studio-name";
const TOKEN = "finetext-studio-token";
const TAB = "finetext-studio-tab";

/** Why a request failed; `status` is 0 if the server did not answer. */
export class Failure extends Error {
  constructor(status, message, choice = null) {
    super(message);
    this.status = status;
    this.choice = choice;
  }
}

/** A random id; `crypto.randomUUID` exists on loopback and behind TLS alone. */
export function randomId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What tells this tab from others; a duplicated tab begins with the same one, which is harmless. */
export function tabId() {
  let tab = sessionStorage.getItem(TAB);
  if (!tab) {
    tab = randomId();
    sessionStorage.setItem(TAB, tab);
  }
  return tab;
}

export const storedName = () => localStorage.getItem(NAME) ?? "";
export const storeName = (name) => localStorage.setItem(NAME, name);

/** Take the token out of the address, so that it is not in the history or on a screenshot. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  sessionStorage.setItem(TOKEN, token);
  history.replaceState(null, "", `${location.pathname}#/`);
}

function headers() {
  const token = sessionStorage.getItem(TOKEN);
  if (token) return { authorization: `Bearer ${token}` };
  return storedName() ? { "x-annotator": encodeURIComponent(storedName()) } : {};
}

async function send(path, method, value, signal) {
  const options = { method, headers: headers(), cache: "no-store", signal };
  if (method !== "GET") {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(value ?? {});
  }
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The studio does not answer. Is it still running?");
  }
}

/** Return the JSON answer to a request; without a method, a value makes it a POST. */
export async function ask(path, value, method = value === undefined ? "GET" : "POST", signal = undefined) {
  const answer = await send(path, method, value, signal);
  let said;
  try {
    said = await answer.json();
  } catch {
    throw new Failure(answer.ok ? 0 : answer.status, `The answer of the studio is incomplete (${answer.status}).`);
  }
  if (!answer.ok) throw new Failure(answer.status, said.error ?? `The studio answered with status ${answer.status}.`, said.choice);
  return said;
}

/** Fetch a file by POST or GET and let the browser save it under the name that the server gives. */
export async function download(path, value) {
  const answer = await send(path, value === undefined ? "GET" : "POST", value);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Failure(answer.status, said.error ?? `The studio answered with status ${answer.status}.`);
  }
  const disposition = answer.headers.get("content-disposition") ?? "";
  const encoded = disposition.match(/filename\*=UTF-8''([^;]+)/i);
  const plain = disposition.match(/filename="([^"]+)"/i);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = encoded ? decodeURIComponent(encoded[1]) : plain ? plain[1] : "download";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}

/** The path of a project's API. */
export const of = (project, rest = "") => `/api/projects/${encodeURIComponent(project)}${rest}`;

/** The content of a chosen file in Base64. */
export async function fileContent(file) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(new Failure(0, `${file.name} cannot be read.`)));
    reader.readAsDataURL(file);
  });
  return { name: file.name, content: url.slice(url.indexOf(",") + 1) };
}
