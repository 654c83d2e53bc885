// Small things that HTML alone does not do. Everything also works without this file.
"use strict";

(function () {
  // A form that takes a moment says so, and cannot be sent twice.
  document.addEventListener("submit", function (event) {
    const button = event.submitter || event.target.querySelector("[data-busy]");
    if (!button || !button.dataset.busy) return;
    window.setTimeout(function () {
      button.disabled = true;
      button.classList.add("is-busy");
      button.lastChild.textContent = " " + button.dataset.busy;
    });
  });
  // Coming back by the browser's history finds usable buttons.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) window.location.reload();
  });

  document.addEventListener("click", function (event) {
    const copy = event.target.closest("[data-copy]");
    if (copy && navigator.clipboard) {
      navigator.clipboard.writeText(copy.dataset.copy).then(function () { copy.textContent = "Copied"; });
    }
    const show = event.target.closest("[data-reveal]");
    if (show) {
      const field = document.getElementById(show.dataset.reveal);
      field.type = field.type === "password" ? "text" : "password";
      show.textContent = field.type === "password" ? "Show" : "Hide";
    }
  });

  // The role may change while the page is open: favicon, title and colour follow the identity in the frame.
  function followRole() {
    const identity = document.getElementById("identity");
    if (!identity || identity.dataset.role === document.documentElement.dataset.role) return;
    document.documentElement.dataset.role = identity.dataset.role;
    document.getElementById("favicon").href = identity.dataset.favicon;
    document.title = document.title.replace(/ · [^·]*$/, " · " + identity.dataset.titleTail);
  }
  document.addEventListener("htmx:oobAfterSwap", followRole);
  document.addEventListener("htmx:afterSettle", followRole);

  // What somebody has unfolded stays so when fresh facts replace it, and what an address names is unfolded.
  const unfolded = new Set();
  document.addEventListener("toggle", function (event) {
    if (event.target.matches("details[data-stays]")) unfolded[event.target.open ? "add" : "delete"](event.target.id);
  }, true);
  document.addEventListener("htmx:oobAfterSwap", function () {
    document.querySelectorAll("details[data-stays]").forEach(function (part) { part.open = unfolded.has(part.id); });
  });
  function unfoldNamed() {
    const named = document.getElementById(window.location.hash.slice(1));
    if (named && named.matches("details")) { named.open = true; named.scrollIntoView(); }
  }
  window.addEventListener("hashchange", unfoldNamed);
  unfoldNamed();

  // While the appliance does not answer the page says so instead of showing old facts as new.
  function answered(yes) {
    const note = document.getElementById("connection-lost");
    if (note) note.hidden = yes;
    const live = document.getElementById("live");
    if (live) live.classList.toggle("is-stale", !yes);
  }
  document.addEventListener("htmx:sendError", function () { answered(false); });
  document.addEventListener("htmx:timeout", function () { answered(false); });
  document.addEventListener("htmx:responseError", function () { answered(false); });
  document.addEventListener("htmx:afterOnLoad", function () { answered(true); });

  // A form of choices says how many are made, and how many are left.
  function countPicks(form) {
    const text = form.querySelector("[data-picked-text]");
    if (!text) return;
    const all = form.querySelectorAll("fieldset.pick").length;
    const made = form.querySelectorAll("fieldset.pick input:checked").length;
    const mine = form.querySelectorAll('fieldset.pick input[value="mine"]:checked').length;
    if (form.dataset.picks === "restore") text.textContent = mine ? mine + " of " + all + " chosen." : "Nothing is chosen yet.";
    else text.textContent = made === all ? "All " + all + " are chosen." : made + " of " + all + " chosen.";
    text.closest(".choice-bar").classList.toggle("is-complete", form.dataset.picks === "restore" ? mine > 0 : made === all);
  }
  document.querySelectorAll("form[data-picks]").forEach(function (form) {
    countPicks(form);
    form.addEventListener("change", function () { countPicks(form); });
  });

  // A current tab that lies outside a narrow screen is brought into view.
  document.querySelectorAll(".tabs [aria-current]").forEach(function (tab) {
    tab.parentElement.scrollLeft = tab.offsetLeft - 60;
  });
})();
