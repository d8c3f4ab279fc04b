/* The claims board: filters by section and kind, a search, and permanent links; a plain table without this script. */
"use strict";

for (const {parentElement: board} of document.querySelectorAll(".shown.board fieldset")) {
  const rows = [...board.querySelectorAll("tbody tr")], radios = [...board.querySelectorAll("[name=verdict]")];
  const el = (name, attributes, ...inside) => {
    const node = Object.assign(document.createElement(name), attributes);
    node.append(...inside);
    return node;
  };
  const several = (name) => [...new Set(rows.flatMap((row) => row.dataset[name].split(name === "sections" ? " " : "|")))].sort();
  const NAMES = {abstract: "Abstract", poster: "Poster", figures: "Figures and tables"};
  const named = (one) => NAMES[one] ?? (/^[A-F]$/.test(one) ? `Appendix ${one}` : `Section ${one}`);
  const choice = (label, all, options, write) => {
    const select = el("select", {}, el("option", {value: ""}, all), ...options.map((one) => el("option", {value: one}, write(one))));
    return [select, el("label", {}, el("span", {}, label), select)];
  };
  const search = el("input", {type: "search", placeholder: "tokens, N_a, C35 …"});
  const [section, sections] = choice("Section", "all", several("sections"), named);
  const [kind, kinds] = choice("Kind", "all", several("kind"), (one) => one);
  const count = el("p", {className: "count"});
  count.setAttribute("role", "status");
  board.querySelector("fieldset").after(el("div", {className: "filters"}, el("label", {}, el("span", {}, "Search"), search), sections, kinds), count);

  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const show = () => {
    const verdict = radios.find((radio) => radio.checked).value;
    const words = search.value.toLowerCase().replace(/_/g, "").split(/\s+/).filter(Boolean);
    for (const row of rows) {
      row.hidden = !((verdict === "all" || row.classList.contains(verdict)) &&
        (!section.value || row.dataset.sections.split(" ").includes(section.value)) &&
        (!kind.value || row.dataset.kind === kind.value) && words.every((word) => texts.get(row).includes(word)));
    }
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = left ? `${left} of ${rows.length} claims` : "No claim fits; choose less.";
  };
  for (const one of [search, section, kind, ...radios]) one.addEventListener("input", show);

  /* A permanent link shows its claim whatever was chosen, and opens its grounds. */
  const follow = () => {
    const row = document.getElementById(location.hash.slice(1).toUpperCase());
    if (!rows.includes(row)) return;
    search.value = section.value = kind.value = "";
    radios[0].checked = true;
    show();
    for (const other of rows) other.classList.toggle("linked", other === row);
    row.querySelector("details").open = true;
    row.scrollIntoView({block: "center"});
  };
  window.addEventListener("hashchange", follow);
  show();
  follow();
}
