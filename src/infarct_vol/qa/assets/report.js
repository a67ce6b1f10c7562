"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  const shown = viewer.querySelector("img");
  document.addEventListener("click", (event) => {
    const picture = event.target.closest("img.zoomable");
    if (!picture) return;
    shown.src = picture.src;
    shown.alt = picture.alt;
    viewer.showModal();
  });
  shown.addEventListener("click", () => viewer.close());

  const bar = document.querySelector(".filter");
  if (!bar) return; // a page without participants
  const text = document.getElementById("filter-text");
  const look = document.getElementById("filter-look");
  const count = document.getElementById("filter-count");
  const people = [...document.querySelectorAll(".person")];
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    let left = 0;
    for (const person of people) {
      const named = person.dataset.name.toLowerCase().includes(wanted);
      person.hidden = !named || (look.checked && person.dataset.look !== "yes");
      left += person.hidden ? 0 : 1;
    }
    count.textContent = left === people.length ? "" : `${left} of ${people.length} shown`;
  };
  // a link to a hidden participant shows everybody again
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || !target.hidden) return;
    text.value = "";
    look.checked = false;
    apply();
    target.scrollIntoView();
  });
  text.addEventListener("input", apply);
  look.addEventListener("change", apply);
  bar.hidden = people.length < 2;
})();
