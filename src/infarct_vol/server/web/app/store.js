// Cases in memory: the one that is shown and its neighbours. At most three, so that memory stays bounded.

import { casePath } from "./api.js";
import { tidied } from "./facts.js";

const KEPT = 3;
const AT_ONCE = 4;

/** Address of one mask of a case by its hash. */
export const maskUrl = (code, item, key, sha256) => `${casePath(code, "masks", item, key)}?sha256=${sha256}`;

/** Address that a file is asked for by: of a mask the box around its voxels, which is a small part of it. */
const sent = (url) => (url.includes("/masks/") ? `${url}&box=1` : url);

export const isLoaded = (buffer) => buffer instanceof ArrayBuffer;

/** All addresses that are needed to draw a case: scans first, then masks. */
export function neededUrls(view) {
  const urls = view.panels.map((panel) => panel.volume);
  for (const item of view.visits.flatMap((visit) => visit.items)) {
    urls.push(...item.masks.map((mask) => mask.url));
    for (const read of item.reads ?? []) urls.push(...(read.masks ?? []).map((mask) => mask.url));
  }
  return [...new Set(urls.filter(Boolean))];
}

class Entry {
  constructor(code) {
    this.code = code;
    this.view = null;
    this.buffers = new Map(); // URL -> ArrayBuffer, or an Error where it could not be loaded
    this.abort = new AbortController();
    this.ready = false;
  }
}

export class CaseStore {
  constructor(api) {
    this.api = api;
    this.entries = new Map();
    this.turn = 0;
  }

  /** The case if it is wholly in memory. */
  peek(code) {
    const entry = this.entries.get(code);
    return entry?.ready && [...entry.buffers.values()].every(isLoaded) ? entry : null;
  }

  /** Get a case, from memory where it is there. What fails is an Error in `buffers`, the rest comes. */
  async open(code) {
    this.turn++;
    const known = this.entries.get(code);
    if (known) {
      try {
        await known.loading;
        await this.retry(known);
        return known;
      } catch {
        this.#drop(known);
      }
    }
    for (const other of [...this.entries.values()]) {
      if (!other.ready || this.entries.size >= KEPT) this.#drop(other);
    }
    return this.#begin(code, "high").loading;
  }

  /** Load these cases one after the other when nothing else is to do; forget all but them and the current one. */
  async preload(current, codes) {
    const turn = ++this.turn;
    const wanted = [...new Set(codes.filter((code) => code && code !== current))].slice(0, KEPT - 1);
    const keep = new Set([current, ...wanted]);
    for (const entry of [...this.entries.values()]) if (!keep.has(entry.code)) this.#drop(entry);
    for (const code of wanted) {
      if (this.entries.has(code)) continue;
      const entry = this.#begin(code, "low");
      try {
        await entry.loading;
      } catch {
        this.#drop(entry); // a case that cannot be preloaded says why when it is opened
      }
      if (turn !== this.turn) return;
    }
  }

  /** Take over a newer view of a case and load what is new in it. */
  async update(entry, view) {
    entry.view = tidied(view);
    const needed = neededUrls(view);
    await this.#load(entry, needed, "high");
    for (const url of [...entry.buffers.keys()]) if (!needed.includes(url)) entry.buffers.delete(url);
  }

  /** Load one more mask, such as an older version. */
  async add(entry, url) {
    if (!isLoaded(entry.buffers.get(url))) entry.buffers.set(url, await this.api.buffer(sent(url)));
    return entry.buffers.get(url);
  }

  /** Try again what failed. */
  async retry(entry) {
    await this.#load(entry, neededUrls(entry.view), "high");
  }

  /** Forget all cases, as when another reader signs in. */
  clear() {
    for (const entry of [...this.entries.values()]) this.#drop(entry);
  }

  #drop(entry) {
    entry.abort.abort();
    if (this.entries.get(entry.code) === entry) this.entries.delete(entry.code);
  }

  #begin(code, priority) {
    const entry = new Entry(code);
    this.entries.set(code, entry);
    entry.loading = this.#fetch(entry, priority);
    entry.loading.catch(() => {}); // told to whoever waits for it
    return entry;
  }

  async #fetch(entry, priority) {
    entry.view = tidied(await this.api.get(casePath(entry.code), { priority, signal: entry.abort.signal }));
    await this.#load(entry, neededUrls(entry.view), priority);
    entry.ready = true;
    return entry;
  }

  async #load(entry, urls, priority) {
    const left = urls.filter((url) => !isLoaded(entry.buffers.get(url)));
    const work = async () => {
      for (let url = left.shift(); url; url = left.shift()) await this.#one(entry, url, priority);
    };
    await Promise.all(Array.from({ length: priority === "low" ? 2 : AT_ONCE }, work));
  }

  async #one(entry, url, priority) {
    try {
      entry.buffers.set(url, await this.api.buffer(sent(url), { priority, signal: entry.abort.signal }));
    } catch (error) {
      if (error.name === "AbortError") throw error;
      entry.buffers.set(url, error);
    }
  }
}
