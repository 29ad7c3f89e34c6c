// Makes the page live: incidents appear as they settle, kernels change; a few keys. All works without it.
"use strict";
(() => {
  const body = document.body;
  const rows = document.getElementById("rows");
  const lives = document.getElementById("lives");
  const told = document.getElementById("told");

  const parsed = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html; // the server's own template, which has escaped what users wrote
    return template.content;
  };

  const place = (data) => {
    const fresh = parsed(data.html).firstElementChild;
    const same = (name, value) => rows.querySelector(`[data-${name}="${CSS.escape(value)}"]`);
    const known = same("uuid", data.uuid);
    if (known?.innerHTML === fresh.innerHTML) return; // told again after a pause
    if (known) known.replaceWith(fresh);
    else {
      same("loop", fresh.dataset.loop)?.remove(); // a loop is one line: its latest death's
      rows.prepend(fresh);
      count();
    }
    fresh.classList.add("fresh");
    document.getElementById("empty")?.remove();
    told.textContent = data.told;
  };

  const count = () => {
    const counted = document.querySelector("[data-count]");
    const number = ++counted.dataset.count;
    counted.textContent = `${number.toLocaleString("en")} incident${number === 1 ? "" : "s"}`;
  };

  if (body.dataset.events) {
    const light = document.querySelector("[data-live]");
    const word = document.querySelector("[data-live-word]");
    const say = (text) => { light.hidden = false; light.dataset.state = text; word.textContent = text; };
    const source = new EventSource(body.dataset.events);
    source.onopen = () => say("live");
    source.onerror = () => say(source.readyState === EventSource.CLOSED ? "not live" : "connecting");
    source.addEventListener("incident", (event) => {
      if ("first" in body.dataset) place(JSON.parse(event.data));
    });
    source.addEventListener("gone", (event) => {
      rows?.querySelector(`[data-uuid="${CSS.escape(JSON.parse(event.data).uuid)}"]`)?.remove();
    });
    source.addEventListener("kernels", (event) => lives?.replaceChildren(parsed(JSON.parse(event.data).html)));
    source.addEventListener("reload", () => location.reload());
    addEventListener("pagehide", () => source.close());
  }

  for (const form of document.querySelectorAll("form.filters")) {
    form.querySelector("[data-apply]").hidden = true;
    form.addEventListener("change", () => form.requestSubmit());
    form.addEventListener("submit", () => {
      for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
    });
    addEventListener("pageshow", () => { for (const field of form.elements) field.disabled = false; });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(new URL(button.dataset.copy, location.href).href);
      button.textContent = told.textContent = "Copied";
    });
  }

  const back = document.querySelector("[data-back]");
  if (back && document.referrer.startsWith(location.origin) && history.length > 1) {
    back.addEventListener("click", (event) => { event.preventDefault(); history.back(); });
  }

  const keys = document.querySelector("[data-keys]");
  if (keys && matchMedia("(hover: hover)").matches) keys.hidden = false;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "/" && document.querySelector("[data-slash]")) {
      event.preventDefault();
      document.querySelector("[data-slash]").focus();
    } else if ((event.key === "j" || event.key === "k") && rows) {
      const links = [...rows.querySelectorAll(".hit")];
      const at = links.indexOf(document.activeElement);
      const to = at < 0 ? 0 : at + (event.key === "j" ? 1 : -1);
      links[Math.max(0, Math.min(links.length - 1, to))]?.focus();
    }
  });
})();
