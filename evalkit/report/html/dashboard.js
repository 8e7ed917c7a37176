(() => {
  const source = document.getElementById("slices");
  if (!source) return;
  const slices = JSON.parse(source.textContent);
  const find = (id) => document.getElementById(id);
  const selects = [...document.querySelectorAll("[data-dimension]")];
  const figures = [...document.querySelectorAll("[data-plot]")];
  const rows = [...document.querySelectorAll("#requests tbody tr")];
  const reason = find("reason");
  const search = find("search-requests");
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  // What the page shows of all traffic, by the elements that a slice changes.
  const texts = [...document.querySelectorAll("[data-all],[data-step]")].map((one) => [one, one.textContent]);
  const hits = figures.map((figure) => [...figure.querySelectorAll(".hit title")].map((one) => [one, one.textContent]));

  const draw = (parent, name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };
  const percent = (share) => `${+(100 * share).toFixed(2)}%`;

  const drawLine = (parent, kind, points) => {
    const group = draw(parent, "g", { class: `line ${kind}` });
    const center = (index) => percent((index + 0.5) / points.length);
    points.forEach((point, index) => {
      if (!point) return;
      const [y, high, low] = point;
      const next = points[index + 1];
      const x = center(index);
      if (high !== null && low !== null) draw(group, "line", { x1: x, x2: x, y1: high, y2: low, class: "interval" });
      if (next) draw(group, "line", { x1: x, x2: center(index + 1), y1: y, y2: next[0], class: "series" });
      draw(group, "circle", { cx: x, cy: y, r: points.length > 20 ? 2.5 : 3.5 });
    });
  };

  // A slice is drawn before all traffic, which is a thin line, on a scale that all slices share.
  const drawSlice = (figure, found) => {
    for (const one of figure.querySelectorAll(".slice")) one.remove();
    for (const one of figure.querySelectorAll(".data,.ticks")) {
      if (found) one.setAttribute("display", "none");
      else one.removeAttribute("display");
    }
    if (!found) return;
    const all = slices[""].plots[figure.dataset.plot];
    const gutter = draw(figure.querySelector(".gutter"), "g", { class: "slice" });
    const data = figure.querySelector(".data");
    const group = draw(data.parentNode, "g", { class: "slice" });
    data.after(group);
    for (const [y, text] of all.ticks) {
      draw(gutter, "text", { x: "100%", y: y + 4 }).textContent = text;
      draw(group, "line", { x1: "0%", x2: "100%", y1: y, y2: y, class: "guide" });
    }
    const ghost = draw(group, "g", { class: "ghost" });
    for (const [kind, points] of Object.entries(all.lines)) drawLine(ghost, kind, points);
    for (const [x, width, y, height, kind] of found.bars) {
      draw(group, "rect", { x: percent(x), width: percent(width), y, height, class: `part part${kind}` });
    }
    for (const [kind, points] of Object.entries(found.lines)) drawLine(group, kind, points);
  };

  const titleOf = (slice, one) => {
    const [name, step] = one.dataset.step.split(" ");
    return slice.plots[name]?.titles[step];
  };

  const showSlice = (slice) => {
    figures.forEach((figure, index) => {
      const found = slice?.plots[figure.dataset.plot];
      drawSlice(figure, slice ? found || { bars: [], lines: {}, titles: [] } : null);
      hits[index].forEach(([one, text], step) => {
        one.textContent = slice ? `${text.split(": ")[0]}: ${found?.titles[step] ?? "no data"}` : text;
      });
    });
    for (const [one, text] of texts) {
      const other = slice && (one.dataset.step ? titleOf(slice, one) : slice.texts[one.dataset.all]);
      one.textContent = slice ? (other ?? "no data") : text;
    }
  };

  const filterRows = () => {
    const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(
        selects.every((one) => !one.value || (row.dataset[`d${one.dataset.dimension}`]?.includes(`[${one.value}]`) ?? true)) &&
        (!reason.value || row.dataset.reasons.includes(`[${reason.value}]`)) &&
        asked.every((word) => words.get(row).includes(word))
      );
      shown += !row.hidden;
    }
    find("count").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };

  const apply = () => {
    const chosen = selects.filter((one) => one.value).map((one) => `${one.dataset.dimension}:${one.value}`);
    const slice = chosen.length ? slices[chosen.join(" ")] : null;
    showSlice(slice);
    find("slice-about").textContent = slice ? slice.about : "";
    find("slice-about").hidden = !slice;
    find("slice-missing").hidden = !chosen.length || Boolean(slice);
    if (rows.length) filterRows();
  };

  const inputs = [...selects, reason, search].filter(Boolean);
  for (const one of inputs) one.addEventListener("input", apply);
  find("reset")?.addEventListener("click", () => {
    for (const one of inputs) one.value = "";
    apply();
  });
  // The controls need this script, so a page without it does not show them.
  for (const one of document.querySelectorAll(".needs-script")) one.hidden = false;
  if (find("reset")) apply();
})();
