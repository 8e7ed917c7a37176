"use strict";
(() => {
  const list = document.getElementById("case-list");
  if (!list) return;
  const cases = [...list.querySelectorAll(".case")];
  const search = document.getElementById("search");
  const tag = document.getElementById("tag");
  const sort = document.getElementById("sort");
  const count = document.querySelector(".count");
  const buttons = [...document.querySelectorAll(".statuses button")];
  const texts = new Map(cases.map((one) => [one, one.textContent.toLowerCase()]));
  let status = "";

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of cases) {
      const fits =
        (!status || one.dataset.status === status || (status === "flaky" && one.dataset.flaky)) &&
        (!tag.value || one.dataset.tags.includes(`[${tag.value}]`)) &&
        words.every((word) => texts.get(one).includes(word));
      one.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${cases.length} cases`;
  };

  const orders = {
    rank: (a, b) => a.dataset.rank - b.dataset.rank,
    id: (a, b) => a.dataset.id.localeCompare(b.dataset.id),
    change: (a, b) => a.dataset.change - b.dataset.change || a.dataset.rank - b.dataset.rank,
    latency: (a, b) => b.dataset.latency - a.dataset.latency,
  };

  const visible = () => [...list.querySelectorAll(".case:not([hidden])")];
  const step = (by) => {
    const rows = visible();
    const at = rows.findIndex((one) => one.contains(document.activeElement));
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next) next.querySelector("summary").focus();
  };

  const openLinked = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const one = id && document.getElementById(id);
    if (!one || !one.classList.contains("case")) return;
    one.hidden = false;
    one.open = true;
    one.scrollIntoView();
    one.querySelector("summary").focus({ preventScroll: true });
  };

  for (const button of buttons) {
    button.addEventListener("click", () => {
      status = button.dataset.status;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      apply();
    });
  }
  search.addEventListener("input", apply);
  tag.addEventListener("change", apply);
  sort.addEventListener("change", () => {
    list.append(...cases.sort(orders[sort.value]));
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.key === "Escape" && typing) {
      search.value = "";
      search.blur();
      apply();
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });
  window.addEventListener("hashchange", openLinked);
  window.addEventListener("beforeprint", () => visible().forEach((one) => (one.open = true)));
  apply();
  openLinked();
})();
