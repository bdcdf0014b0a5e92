// The dashboard's script: what changes on a page is fetched anew while somebody looks at it.
"use strict";
(() => {
  const live = document.getElementById("live");
  const stale = document.getElementById("stale");
  const seconds = Number(live && live.dataset.live) || 0;
  let before = live ? live.innerHTML : "";
  let failures = 0;

  // What a person is doing is not taken from under his hands.
  const isBusy = () => {
    const active = document.activeElement;
    const writes = active && live.contains(active) && active.matches("input:not([type=checkbox]), textarea, select");
    const selects = !getSelection().isCollapsed && live.contains(getSelection().anchorNode);
    return writes || selects || live.querySelector("details.form[open]") || live.querySelector("[data-touched]");
  };

  const replace = (text) => {
    if (text === before || isBusy()) return;
    const open = [...live.querySelectorAll("details[open][id]")].map((one) => one.id);
    const scrolled = [...live.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const active = document.activeElement && live.contains(document.activeElement) && document.activeElement;
    const place = active && [...live.querySelectorAll("a, button, input, summary, [tabindex]")].indexOf(active);
    before = text;
    live.innerHTML = text;
    open.forEach((id) => { const one = document.getElementById(id); if (one) one.open = true; });
    live.querySelectorAll(".scroll").forEach((one, n) => { one.scrollLeft = scrolled[n] || 0; });
    if (active && place >= 0) {
      const again = live.querySelectorAll("a, button, input, summary, [tabindex]")[place];
      if (again) again.focus({ preventScroll: true });
    }
  };

  const look = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { "X-Asyncflow-Fragment": "1" }, redirect: "error" });
        if (answer.status === 401) { location.reload(); return; }
        if (answer.ok) { replace(await answer.text()); failures = 0; } else failures += 1;
      } catch { failures += 1; }
      stale.hidden = failures < 2;
    }
    setTimeout(look, 1000 * seconds * Math.min(8, 2 ** failures));
  };

  document.addEventListener("input", (event) => {
    if (live && live.contains(event.target)) event.target.dataset.touched = "1";
  });
  document.addEventListener("submit", (event) => {
    // A second click sends nothing twice.
    setTimeout(() => event.target.querySelectorAll("button").forEach((one) => { one.disabled = true; }));
  });
  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-check-all]");
    if (all) document.querySelectorAll(`input[name="${all.dataset.checkAll}"]`).forEach((one) => { one.checked = all.checked; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    const links = document.querySelectorAll("header nav a");
    if (event.key === "/") {
      const field = document.querySelector("input[data-search]");
      event.preventDefault();
      if (field) field.focus(); else if (links[3]) links[3].click();
    } else if (/^[0-9]$/.test(event.key)) {
      const link = links[(Number(event.key) + 9) % 10];
      if (link) link.click();
    }
  });
  // On a phone the names of the pages go on beyond its edge.
  const here = document.querySelector("header nav [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
  addEventListener("pageshow", () => document.querySelectorAll("button:disabled").forEach((one) => { one.disabled = false; }));
  if (seconds) setTimeout(look, 1000 * seconds);
})();
