"use strict";
(() => {
  const list = document.getElementById("case-list");
  if (!list) return;
  const rows = [...list.querySelectorAll(".case")];
  const folds = [...list.querySelectorAll(".rest")];
  const search = document.getElementById("search");
  const tag = document.getElementById("tag");
  const sort = document.getElementById("sort");
  const count = document.getElementById("count");
  const buttons = [...document.querySelectorAll("[data-filter]")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const homes = new Map(rows.map((row) => [row, row.parentElement]));
  let status = "";
  let wasAsked = false;

  const apply = () => {
    const words = (search ? search.value : "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits =
        (!status || row.dataset.status === status || (status === "flaky" && row.dataset.flaky)) &&
        (!tag || !tag.value || row.dataset.tags.includes(`[${tag.value}]`)) &&
        words.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    const asked = status || words.length || (tag && tag.value);
    for (const fold of folds) {
      const found = fold.querySelector(".case:not([hidden])");
      fold.hidden = Boolean(asked) && !found;
      // A search opens the folds in which it finds cases, until it ends.
      if (asked || wasAsked) fold.open = Boolean(asked && found);
    }
    wasAsked = Boolean(asked);
    if (count) count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} cases`;
  };

  const orders = {
    id: (a, b) => a.dataset.id.localeCompare(b.dataset.id),
    change: (a, b) => a.dataset.change - b.dataset.change || rows.indexOf(a) - rows.indexOf(b),
    latency: (a, b) => b.dataset.latency - a.dataset.latency,
  };
  const arrange = () => {
    const order = orders[sort.value];
    if (order) list.prepend(...[...rows].sort(order));
    else for (const row of rows) homes.get(row).append(row);
    if (!order) for (const fold of folds) list.append(fold);
  };

  const inOrder = () => [...list.querySelectorAll(".case")].filter((row) => row.checkVisibility());
  const step = (by) => {
    const shown = inOrder();
    const at = shown.findIndex((row) => row.contains(document.activeElement));
    const next = shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + by))];
    if (next) next.querySelector("summary").focus();
  };

  const openLinked = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const row = id && document.getElementById(id);
    if (!row || !row.classList.contains("case")) return;
    row.hidden = false;
    for (let one = row; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    row.scrollIntoView();
    row.querySelector("summary").focus({ preventScroll: true });
  };

  for (const button of buttons) {
    button.addEventListener("click", () => {
      status = button.dataset.filter;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      apply();
    });
  }
  if (search) search.addEventListener("input", apply);
  if (tag) tag.addEventListener("change", apply);
  if (sort) sort.addEventListener("change", arrange);
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key === "Escape" && search && typing) {
      search.value = "";
      search.blur();
      apply();
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });
  window.addEventListener("hashchange", openLinked);
  // Paper shows the first cases in full, and the others as rows.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = inOrder().slice(0, 5).filter((row) => !row.open);
    for (const row of opened) row.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const row of opened) row.open = false;
  });
  // The controls need this script, so a page without it does not show them.
  const controls = document.getElementById("controls");
  if (controls) controls.hidden = false;
  apply();
  openLinked();
})();
