// Masks to and from other programs, such as ITK-SNAP and 3D Slicer.

import { casePath } from "./api.js";
import { conflictOverEdit } from "./conflict.js";
import { el } from "./dom.js";
import { findPart, nameOfItem, nameOfMask } from "./facts.js";
import { tell, warn } from "./messages.js";
import { QUICK, askReason } from "./reasons.js";

export class Files {
  constructor(page) {
    this.page = page;
  }

  /** Save a scan (`scan`) or a mask on its native grid as a file. */
  async download(item, key) {
    try {
      const { name, blob } = await this.page.app.api.file(casePath(this.page.code, "download", item, key));
      const address = URL.createObjectURL(blob);
      const link = el("a", { href: address, download: name, hidden: true });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
      tell(`Downloaded: ${name}`);
    } catch (error) {
      warn(`Not downloaded. ${error.message}`);
    }
  }

  /** Let the reader choose a file, then ask why and send it. */
  choose(part, mask) {
    if (!this.page.mayChange()) return;
    const input = el("input", { type: "file", accept: ".nii,.gz,.nii.gz", hidden: true, "aria-label": "Mask file" });
    input.addEventListener("change", () => {
      const [file] = input.files;
      input.remove();
      if (file) this.upload(part, mask, file);
    });
    input.addEventListener("cancel", () => input.remove());
    document.body.append(input);
    input.click();
  }

  /** Send a file in the place of a mask. */
  async upload(part, mask, file) {
    const { page } = this;
    const sent = { item: part.item, key: mask.key, parent: mask.sha256, revision: part.revision, file };
    const about = el(
      "p",
      {},
      "File ",
      el("b", { class: "file-name", text: file.name }),
      `, ${Math.ceil(file.size / 1024)} KiB. `,
      "It must be on the grid of the image.",
    );
    const title = `Upload the ${nameOfMask(mask)}: ${nameOfItem(page.view, part.item)}`;
    const meant = el("input", { type: "checkbox" });
    const doubt = el("label", { class: "target" }, meant, "It is meant as it is, even if it looks mirrored or too large");
    const send = (reason) => this.#send({ ...sent, reason, confirmed: meant.checked });
    const outcome = await askReason(title, send, {
      picks: QUICK.edit,
      confirm: "Upload",
      still: true,
      about: [about, doubt],
    });
    if (outcome?.conflict) await this.#conflict(outcome);
  }

  async #send(sent) {
    const { page } = this;
    const query = new URLSearchParams({ revision: sent.revision, parent: sent.parent, name: sent.file.name });
    if (sent.confirmed) query.set("confirmed", "1");
    const address = `${casePath(page.code, "uploads", sent.item, sent.key)}?${query}`;
    const headers = { "Content-Type": "application/octet-stream", "X-Reason": encodeURIComponent(sent.reason) };
    page.busy = true;
    try {
      const view = await page.app.api.send(address, sent.file, headers);
      await page.take(view);
      tell(`Uploaded: ${nameOfItem(view, sent.item)}. A accepts it.`);
      return { done: true };
    } catch (error) {
      if (error.status !== 409 || !error.body?.current) throw error;
      return { conflict: error, sent };
    } finally {
      page.busy = false;
    }
  }

  async #conflict({ conflict, sent }) {
    const { current } = conflict.body;
    const answer = await conflictOverEdit(current, { item: sent.item, key: sent.key, volume_ml: null });
    await this.page.take(current);
    if (answer !== "mine") return;
    try {
      const again = { ...sent, revision: findPart(current, sent.item).revision };
      const outcome = await this.#send(again);
      if (outcome.conflict) await this.#conflict(outcome);
    } catch (error) {
      warn(`Not uploaded. ${error.message}`);
    }
  }
}
