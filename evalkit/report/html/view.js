(() => {
  "use strict";
  const store = document.getElementById("store");
  const rows = () =>
    [...document.querySelectorAll("[data-row]")].filter((row) => row.checkVisibility());
  const filter = () => document.getElementById("filter");

  const apply = () => {
    const field = filter();
    if (!field) return;
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    const all = [...document.querySelectorAll(".run[data-row]")];
    for (const row of all) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    const count = words.length ? `${shown} of ${all.length} runs` : "";
    const place = document.getElementById("filter-count");
    if (place.textContent !== count) place.textContent = count;
  };

  const step = (by) => {
    const shown = rows();
    const at = shown.findIndex((row) => row.contains(document.activeElement));
    const next = shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + by))];
    const link = next && next.querySelector("a");
    if (link) link.focus();
  };

  document.addEventListener("input", (event) => {
    if (event.target === filter()) apply();
  });
  document.addEventListener("keydown", (event) => {
    const field = filter();
    const typing = document.activeElement === field && field;
    if (event.key === "Escape" && field) {
      field.value = "";
      field.blur();
      apply();
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && field) {
      event.preventDefault();
      field.focus();
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });

  // Make the children of one element those of another, and keep every element that can stay: it may have
  // the focus, and what does not change is not read out.
  const become = (old, fresh) => {
    const wanted = [...fresh.childNodes];
    wanted.forEach((node, index) => {
      const own = old.childNodes[index];
      if (!own) old.append(node);
      else if (own.nodeType !== node.nodeType || own.nodeName !== node.nodeName) own.replaceWith(node);
      else if (own.nodeType === Node.ELEMENT_NODE) {
        for (const { name } of [...own.attributes]) if (!node.hasAttribute(name)) own.removeAttribute(name);
        for (const { name, value } of node.attributes)
          if (own.getAttribute(name) !== value) own.setAttribute(name, value);
        if (own !== filter()) become(own, node);
      } else if (own.data !== node.data) own.data = node.data;
    });
    while (old.childNodes.length > wanted.length) old.lastChild.remove();
  };

  const parse = (html) => new DOMParser().parseFromString(html, "text/html");

  let reloading = false;
  const reload = async () => {
    if (reloading) return;
    reloading = true;
    try {
      const reply = await fetch(location.href, { cache: "no-store" });
      const text = await reply.text();
      const main = text.slice(text.indexOf('<main id="main">'), text.indexOf("</main>"));
      // A run that is finished has its report under the same address, with another style and script.
      if (!main.includes('<div id="store"')) location.reload();
      else {
        become(document.getElementById("main"), parse(main).getElementById("main"));
        apply();
      }
    } catch {
      // The server has ended; the source of events says so.
    } finally {
      reloading = false;
    }
  };

  const READ_OUT_MS = 10_000;
  let readOut = 0;
  const show = (event) => {
    const { panels, figures, version } = JSON.parse(event.data);
    const lost = document.getElementById("lost");
    lost.hidden = true;
    const live = document.getElementById("live");
    if (live && panels !== null) become(live, parse(`<div>${panels}</div>`).body.firstChild);
    const place = document.getElementById("figures");
    if (place.textContent !== figures && Date.now() - readOut > READ_OUT_MS) {
      place.textContent = figures;
      readOut = Date.now();
    }
    const own = document.getElementById("store");
    if (own && own.dataset.version !== version) reload();
  };

  let source = null;
  const connect = () => {
    const address = store && store.dataset.events;
    if (!address || source) return;
    source = new EventSource(address);
    source.addEventListener("store", show);
    source.addEventListener("error", () => {
      const lost = document.getElementById("lost");
      const time = new Date().toLocaleTimeString();
      if (lost.hidden) lost.textContent = `The server does not answer since ${time}. Start evalkit view again.`;
      lost.hidden = false;
    });
  };
  const disconnect = () => {
    if (source) source.close();
    source = null;
  };
  // Browsers open only six connections to a host: a tab that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", connect);
  apply();
  connect();
})();
