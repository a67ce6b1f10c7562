// Looking through the images while a dialog stands beside them.

import { nameOf, rowFor } from "./keys.js";
import { KEY_MAP } from "./keymap.js";

/**
 * What a dialog does with a key that is not its own: ↑ and ↓ turn the slices; with `letters` every key of the
 * group "Look" does what it does without the dialog. Gives true where the key meant something.
 */
export function lookingKeys(page, { letters = false } = {}) {
  return (event) => {
    if (event.key === " ") return false;
    const row = rowFor(KEY_MAP, nameOf(event), ["case"]);
    const slices = ["↑", "↓"].some((key) => row?.keys.includes(key));
    if (!slices && !(letters && row?.group === "Look")) return false;
    if (!event.repeat || row.repeats) row.run(page.app, event);
    return true;
  };
}
