// Requests to the review server. Every failure becomes an ApiError with words a reader can act on.

/** A refused or failed request; `status` 0 means that no answer came at all. */
export class ApiError extends Error {
  constructor(status, message, body = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.body = body;
  }
}

const UNREACHABLE = "The review server does not answer. Nothing was saved. Look whether it still runs, then try again.";
const SIGNED_OUT = "You had been signed out, so nothing was saved. You are signed in again now: do it once more.";

export const casePath = (code, ...rest) =>
  ["/api/cases", code, ...rest].map((part, at) => (at ? encodeURIComponent(part) : part)).join("/");

export class Api {
  /** `signInAgain` returns a promise that is kept once the same reader has signed in again. */
  constructor(signInAgain) {
    this.signInAgain = signInAgain;
    this.csrf = "";
    this.lastRequest = 0;
  }

  /** Fetch JSON. Reading is safe to repeat, so a 401 asks for the passphrase and then tries again. */
  async get(path, options = {}) {
    return (await this.#read(path, options)).json();
  }

  /** The session as it is, without asking anybody to sign in. */
  async peekSession() {
    const answer = await this.#fetch("/api/session", {});
    if (!answer.ok) throw await refusal(answer);
    return answer.json();
  }

  async buffer(path, options = {}) {
    return (await this.#read(path, options)).arrayBuffer();
  }

  /** Fetch a file to keep: its name and its bytes. */
  async file(path) {
    const answer = await this.#read(path, {});
    const named = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "");
    return { name: named ? named[1] : "download.nii.gz", blob: await answer.blob() };
  }

  /** Send JSON. A failed sending is never repeated by itself. */
  post(path, body = {}) {
    return this.send(path, JSON.stringify(body), { "Content-Type": "application/json" });
  }

  /** Send sign-in data: here a 401 means a wrong passphrase. */
  signIn(path, body) {
    return this.send(path, JSON.stringify(body), { "Content-Type": "application/json" }, { entering: true });
  }

  async send(path, body, headers, { entering = false } = {}) {
    const options = { method: "POST", body, headers: { ...headers, "X-CSRF-Token": this.csrf } };
    const answer = await this.#fetch(path, options);
    if (answer.ok) return answer.json();
    const error = await refusal(answer);
    if (answer.status !== 401 || entering) throw error;
    await this.signInAgain();
    throw new ApiError(401, SIGNED_OUT);
  }

  async #read(path, options) {
    for (;;) {
      const answer = await this.#fetch(path, options);
      if (answer.ok) return answer;
      if (answer.status !== 401) throw await refusal(answer);
      await this.signInAgain();
    }
  }

  async #fetch(path, options) {
    try {
      const answer = await fetch(path, { credentials: "same-origin", ...options });
      this.lastRequest = Date.now();
      return answer;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, UNREACHABLE);
    }
  }
}

async function refusal(answer) {
  let body = null;
  try {
    body = await answer.json();
  } catch {
    body = null;
  }
  const said = body?.error?.message;
  return new ApiError(answer.status, said || `The server refused this (status ${answer.status}).`, body);
}

/** Compress bytes as gzip. */
export async function gzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
