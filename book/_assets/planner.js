/* The planner as a page: inputs, answers of several laws side by side, a command line and a link. */
"use strict";

(() => {
  const root = document.getElementById("planner");
  const planner = globalThis.moePlanner(globalThis.moePlannerData), {laws, missing, constants: the} = planner.data;

  /* Words and numbers */
  const UNITS = {k: 1e3, K: 1e3, M: 1e6, G: 1e9, B: 1e9, T: 1e12};
  const short = (value) => {
    const round = Number(value.toPrecision(3));
    const [unit, size] = [["T", 1e12], ["B", 1e9], ["M", 1e6], ["K", 1e3], ["", 1]].find(([, least]) => round >= least) ?? ["", 1];
    return round >= 1e15 || round < 1 ? power(round) : (round / size).toPrecision(3) + unit;
  };
  const power = (value) => value >= 1e4 || value < 1e-3 ? value.toExponential().replace("e+", "e") : String(value);
  const exact = (value, digits = 3) => power(Number(value.toPrecision(digits)));
  const bytes = (value) => {
    const [unit, size] = [["PB", 1e15], ["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, least]) => value >= least * 0.9995) ?? ["B", 1];
    return `${Number((value / size).toPrecision(3))} ${unit}`;
  };
  const worth = (nats) => nats < 1e-4 ? "under 0.0001" : Number(nats.toPrecision(2)).toString();
  const sparsity = (s) => s.toFixed(3);
  const range = ([low, high], write) => write(low) === write(high) ? write(low) : `${write(low)} to ${write(high)}`;
  const parse = (words) => {
    const found = /^([\d.]+(?:e[+-]?\d+)?)\s*([kKMGBT]?)$/.exec(words.trim().replace(/,/g, ""));
    return found ? Number(found[1]) * (UNITS[found[2]] ?? 1) : NaN;
  };

  /* Elements */
  const el = (name, attributes = {}, ...inside) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in node && key !== "list") node[key] = value; else node.setAttribute(key, value);
    }
    node.append(...inside.filter((x) => x !== null && x !== undefined));
    return node;
  };
  const MARKS = ["M-1 0a1 1 0 1 1 2 0a1 1 0 1 1-2 0", "M-.9-.9h1.8v1.8h-1.8z", "M0-1.1L1.1.9h-2.2z", "M0-1.2L1.2 0 0 1.2-1.2 0z", "M-1.1-.9h2.2L0 1.1z", "M-.4-1.1h.8v.7h.7v.8h-.7v.7h-.8v-.7h-.7v-.8h.7z"];
  const mark = (name) => MARKS[laws.findIndex((law) => law.name === name) % MARKS.length];
  const swatch = (name) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), dot = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "-1.5 -1.5 3 3"); svg.setAttribute("class", "swatch"); svg.setAttribute("aria-hidden", "true");
    dot.setAttribute("d", mark(name)); dot.setAttribute("class", `law law-${name} dot`);
    svg.append(dot);
    return svg;
  };

  /* Inputs: a text field and a slider over its logarithm; an optional bound is off at one end of the slider. */
  const FIELDS = {
    flops: {label: "Budget C", unit: "FLOPs", from: 12, to: 27, hint: (v) => `${short(v / the.flopsPerHour)} H100-hours at ${100 * the.utilisation} % of the peak`},
    memory: {label: "Memory", quiet: true, unit: "GB", from: -3, to: 6, off: "to", hint: (v) => `${short(v * 1e9 / perParam())} parameters at ${perParam()} bytes each`},
    params: {label: "Largest N", quiet: true, unit: "parameters", from: 5, to: 14, off: "to", hint: (v) => `${bytes(v * the.bytes.training)} to train, ${bytes(v * the.bytes.weights)} to serve`},
    tokens: {label: "Tokens you have", unit: "tokens", from: 6, to: 16, off: "to", hint: () => "each is read once"},
    serving: {label: "Tokens to serve", unit: "tokens", from: 6, to: 18, off: "from", hint: () => "C pays for training and serving"},
  };
  const OFF = {tokens: "as many as C buys", serving: "C is for training alone", memory: "no bound", params: "no bound"};
  const fields = {};
  for (const [name, field] of Object.entries(FIELDS)) {
    const text = el("input", {type: "text", id: `plan-${name}`, inputMode: "text", autocomplete: "off", spellcheck: false});
    const slider = el("input", {type: "range", min: field.from, max: field.to, step: 0.05, "aria-label": `${field.label}, slider`});
    const note = el("p", {id: `plan-${name}-hint`, className: "hint"});
    text.setAttribute("aria-describedby", note.id);
    const box = el("div", {className: "field"}, el("label", {htmlFor: text.id, className: field.quiet ? "spoken" : ""}, field.label), el("span", {className: "entry"}, text, el("span", {className: "unit"}, field.unit)), slider, note);
    const value = () => text.value.trim() || !field.off ? parse(text.value) : null;
    slider.addEventListener("input", () => {
      const at = Number(slider.value), off = field.off && at === field[field.off];
      text.value = off ? "" : exact(10 ** at, 2);
      update();
    });
    text.addEventListener("input", () => { show(); update(); });
    const show = () => {
      const now = value();
      slider.value = now === null ? field[field.off] : now > 0 ? Math.log10(now) : field.from;
    };
    fields[name] = {...field, box, text, slider, note, value, show};
  }
  const radios = ["train", "serve", "params"].map((kind) => el("input", {type: "radio", name: "plan-bound", value: kind, id: `plan-bound-${kind}`}));
  const KINDS = {train: "to train", serve: "to serve", params: "or as N"};
  const kind = () => radios.find((radio) => radio.checked).value;
  const perParam = () => the.bytes[kind() === "serve" ? "weights" : "training"];
  for (const radio of radios) radio.addEventListener("change", () => update());
  const boxes = laws.map((law) => el("input", {type: "checkbox", value: law.name, id: `plan-law-${law.name}`}));
  for (const box of boxes) box.addEventListener("change", () => update());

  /* Examples, the command line and the link: one list of options for all three. */
  const EXAMPLES = {
    "80 GB and 1e21 FLOPs": "flops=1e21&max-bytes=8e10&law=abnar2025&law=ludziejewski2025&law=frantar2024",
    "serve 1e12 tokens": "flops=1e21&max-bytes=8e10&bytes-per-param=2&serving-tokens=1e12&law=abnar2025&law=ludziejewski2025",
    "a small corpus": "flops=1e21&max-bytes=8e10&max-tokens=5e10&law=abnar2025&law=ludziejewski2025",
    "a laptop, by our runs": "flops=1e13&law=ours&law=abnar2025",
  };
  const options = () => {
    const found = [["flops", fields.flops.value()]], bound = kind();
    if (bound === "params") found.push(["max-params", fields.params.value()]);
    else if (fields.memory.value() !== null) {
      found.push(["max-bytes", Number((fields.memory.value() * 1e9).toPrecision(12))]);
      if (bound === "serve") found.push(["bytes-per-param", perParam()]);
    }
    found.push(["max-tokens", fields.tokens.value()], ["serving-tokens", fields.serving.value()]);
    const chosen = boxes.filter((box) => box.checked).map((box) => ["law", box.value]);
    return [...found.filter(([, value]) => value !== null).map(([name, value]) => [name, power(value)]), ...chosen];
  };
  const restore = (words) => {
    const asked = new URLSearchParams(words);
    if (!asked.has("flops")) return false;
    const put = (name, value) => { fields[name].text.value = value === null ? "" : power(Number(value)); };
    put("flops", asked.get("flops"));
    put("memory", asked.has("max-bytes") ? power(Number((Number(asked.get("max-bytes")) / 1e9).toPrecision(12))) : null);
    put("params", asked.get("max-params"));
    put("tokens", asked.get("max-tokens"));
    put("serving", Number(asked.get("serving-tokens")) === 0 ? null : asked.get("serving-tokens"));
    const bound = asked.has("max-params") ? "params" : Number(asked.get("bytes-per-param")) === the.bytes.weights ? "serve" : "train";
    for (const radio of radios) radio.checked = radio.value === bound;
    const names = asked.getAll("law");
    for (const box of boxes) box.checked = names.length ? names.includes(box.value) : box.value === laws[0].name;
    for (const field of Object.values(fields)) field.show();
    update();
    return true;
  };

  /* What is wrong with the inputs, by field. */
  const wrong = () => {
    const found = {};
    for (const [name, field] of Object.entries(fields)) {
      const value = field.value();
      if (field.box.hidden || value === null) continue;
      if (!(value > 0) || !Number.isFinite(value)) found[name] = `${field.label} has to be a positive number, such as 1e12, 80 or 5B`;
    }
    const n = largest();
    if (!found.memory && !found.params && n !== null && !(n >= the.smallest && n <= the.largest)) {
      found[kind() === "params" ? "params" : "memory"] = `This is ${exact(n)} parameters; it has to be between ${power(the.smallest)} and ${power(the.largest)}`;
    }
    if (fields.flops.value() > the.mostFlops) found.flops = `Budget C has to be at most ${power(the.mostFlops)} FLOPs`;
    return found;
  };
  const largest = () => {
    if (kind() === "params") return fields.params.value();
    return fields.memory.value() === null ? null : fields.memory.value() * 1e9 / perParam();
  };

  /* A law's card */
  const BOUNDS = {flops: "FLOPs", maxTokens: "tokens you have", servingTokens: "fewer tokens to serve", sparsest: "sparsity allowed"};
  const boundName = (name) => BOUNDS[name] ?? (kind() === "params" ? "parameters" : "memory");
  const row = (label, value, between, name) => [el("dt", {}, label),
    el("dd", {"data-name": name}, el("b", {}, value), " ", between ? el("span", {className: "between"}, between) : null)];
  const card = (found) => {
    const {law, error} = found;
    const box = el("article", {className: "plan-card", "data-law": law.name}, el("h3", {}, swatch(law.name), law.name), el("p", {className: "source"}, law.source));
    box.answer = found;
    if (error) {
      box.append(el("p", {className: "notice"}, `No plan: ${error}.`));
      return box;
    }
    const {best, ends, band, bounds, build, question, intervals} = found, dense = !question.sparse;
    const each = the.bytes, most = Math.max(...bounds.map((bound) => bound.worth), 1e-12);
    box.append(el("dl", {className: "main"},
      ...row("S", dense ? "0" : sparsity(best.sparsity), dense ? "a law of dense models" : range(ends.sparsity, sparsity), "sparsity"),
      ...row("N", short(best.n), range(band.n, short), "n")));
    box.append(el("dl", {className: "rest"},
      ...row(el("span", {}, "active ", el("i", {}, "N"), el("sub", {}, "a")), short(best.na), dense ? "all of them" : range(ends.na, short), "na"),
      ...row("tokens D", short(best.tokens), dense ? null : range(ends.tokens, short), "tokens"),
      ...row("loss, nats", best.loss.toFixed(3), `to ${(best.loss + the.indifference).toFixed(3)} in the band`, "loss"),
      ...row("memory to train", bytes(each.training * best.n), range(band.n.map((n) => each.training * n), bytes), "training"),
      ...row("memory of weights", bytes(each.weights * best.n), range(band.n.map((n) => each.weights * n), bytes), "weights")));
    const shown = law.draws.length ? intervals
      ? [`95 % interval of ${law.draws.length} resamples: S ${range(intervals.sparsity, sparsity)}, N ${range(intervals.n, short)}, loss ${range(intervals.loss, (x) => x.toFixed(3))}`]
      : ["95 % interval: resampling …"] : ["No 95 % interval: its source prints no joint uncertainty."];
    box.append(el("p", {className: "quiet", "data-name": "interval"}, ...shown));
    box.append(el("p", {className: "label"}, "A tenth more is worth"), el("ul", {className: "worths"}, ...bounds.map(({name, worth: nats, binds}) => {
      const bar = el("span", {className: "bar"});
      bar.style.width = `${binds ? Math.max(2, 100 * nats / most) : 0}%`;
      return el("li", {className: binds ? "binds" : "", "data-name": name}, el("span", {}, boundName(name)), el("span", {className: "track"}, bar), el("span", {className: "nats"}, binds ? `${worth(nats)} nats` : "does not bind"));
    })));
    box.append(el("p", {className: "build"}, el("b", {}, "To build: "),
      `d ${build.d} × ${build.layers} layers, ${build.heads} head${build.heads > 1 ? "s" : ""}, ` + (build.experts > build.active ? `${build.experts} experts, ${build.active} active` : "dense") +
      `; N = ${short(build.n)}, ${short(build.tokens)} tokens, ${short(found.gpuHours)} GPU-hours`));
    const notes = [
      ...found.outside.map(([name, value, above, limit]) =>
        `${name.replace("Na", "N_a")} = ${exact(value)} is outside this law's data, which ${above ? "end" : "begin"} at ${exact(limit)}`),
      found.atEdge && `S = ${sparsity(best.sparsity)} is the edge of ${law.limits.S ? "this law's data" : "the search"}, not an optimum: the law's loss still falls with sparsity`,
      found.largest && `N is the end of the search, not an optimum: the law's loss still falls with size`,
      found.unspent && "the other bounds leave a part of the budget unspent",
      found.perverse && "here the law says that taking active parameters away at the same N and D lowers the loss",
    ].filter(Boolean);
    if (notes.length) box.append(el("ul", {className: "notices"}, ...notes.map((note) => el("li", {className: "notice"}, note))));
    return box;
  };

  /* One sentence on all laws */
  const headline = (answers) => {
    const sparse = answers.filter((one) => one.question?.sparse), held = "All N parameters have to fit in memory, not only the active ones.";
    if (!answers.length) return "Choose a law.";
    if (!sparse.length) return `${answers.every((one) => one.error) ? "No plan fits these bounds" : "Laws of dense models say nothing about sparsity"}. ${held}`;
    const best = ordered(sparse.map((one) => one.best.sparsity)), common = [Math.max(...sparse.map((one) => one.ends.sparsity[0])), Math.min(...sparse.map((one) => one.ends.sparsity[1]))];
    const n = ordered(sparse.map((one) => one.best.n));
    if (sparse.length === 1) return `Best by ${sparse[0].law.name}: S = ${sparsity(best[0])}; S = ${range(sparse[0].ends.sparsity, sparsity)} costs less than 0.01 nats. ${held}`;
    return `${sparse.length} laws put the best sparsity at ${range([best[0], best.at(-1)], sparsity)} and the best size at ${range([n[0], n.at(-1)], short)}. ` +
      (common[0] <= common[1] ? `S = ${range(common, sparsity)} is within 0.01 nats of the best by all of them. ` : "No sparsity is within 0.01 nats of the best by all of them. ") + held;
  };
  const ordered = (list) => [...list].sort((a, b) => a - b);

  /* The page */
  const alert = el("p", {className: "alert", role: "alert"}), lead = el("p", {className: "headline", "aria-live": "polite"});
  const chart = el("div", {className: "chart"}), cards = el("div", {className: "cards"}), command = el("code"), copied = el("span", {className: "copied", role: "status"});
  const copy = async (words) => {
    try { await navigator.clipboard.writeText(words); } catch {
      const area = el("textarea", {value: words});
      root.append(area); area.select(); document.execCommand("copy"); area.remove();
    }
    copied.textContent = "copied";
    setTimeout(() => { copied.textContent = ""; }, 2000);
  };
  const button = (label, act) => { const one = el("button", {type: "button"}, label); one.addEventListener("click", act); return one; };
  const address = () => `${location.href.split("#")[0]}#${new URLSearchParams(options())}`;
  root.replaceChildren(
    el("div", {className: "examples"}, el("span", {}, "Try"), ...Object.entries(EXAMPLES).map(([label, words]) => button(label, () => restore(words)))),
    el("div", {className: "inputs"}, fields.flops.box,
      el("fieldset", {className: "field"}, el("legend", {}, "Memory"),
        el("div", {className: "choices"}, ...radios.map((radio) => el("label", {htmlFor: radio.id}, radio, KINDS[radio.value]))), fields.memory.box, fields.params.box),
      fields.tokens.box, fields.serving.box,
      el("fieldset", {className: "field laws"}, el("legend", {}, "Laws"), ...boxes.map((box) => el("label", {htmlFor: box.id}, box, swatch(box.value), box.value)),
        ...Object.entries(missing).map(([name, why]) => el("p", {className: "hint"}, `${name}: ${why}`)))),
    el("div", {className: "answers"}, alert, lead, chart, cards,
      el("div", {className: "command"}, el("pre", {tabIndex: 0, role: "region", "aria-label": "the same on the command line"}, command), button("Copy command", () => copy(command.textContent)), button("Copy link", () => copy(address())), copied)));

  let waiting = 0, round = 0, answers = [];
  const draw = () => {
    const sparse = answers.filter((one) => one.question?.sparse);
    chart.hidden = !sparse.length;
    if (sparse.length) globalThis.moePlannerChart(chart, sparse, mark);
    cards.replaceChildren(...answers.map(card));
  };
  /* Resamples take longer: in slices, so that the page stays alive. */
  const resampled = (found, demand, mine) => {
    const seen = [];
    const slice = () => {
      if (mine !== round) return;
      const draws = found.law.draws.slice(seen.length, seen.length + 10);
      seen.push(...draws.map((x) => planner.resample(found, demand, x)));
      if (seen.length < found.law.draws.length) return void setTimeout(slice);
      found.intervals = Object.fromEntries(["sparsity", "n", "loss"].map((name) => [name, planner.interval(seen.map((one) => one[name]))]));
      draw();
      root.dataset.state = "ready";
    };
    setTimeout(slice);
  };
  const compute = () => {
    waiting = 0;
    fields.memory.box.hidden = kind() === "params";
    fields.params.box.hidden = kind() !== "params";
    const mine = ++round, size = largest(), faults = wrong();
    for (const [name, field] of Object.entries(fields)) {
      const value = field.value();
      field.text.setAttribute("aria-invalid", String(name in faults));
      field.slider.setAttribute("aria-valuetext", value === null ? OFF[name] : `${field.text.value} ${field.unit}`);
      field.note.textContent = name in faults ? "" : value === null ? OFF[name] : field.hint(value);
      field.text.placeholder = field.off ? "none" : "";
    }
    alert.textContent = Object.values(faults)[0] ?? "";
    cards.classList.toggle("stale", alert.textContent !== "");
    if (alert.textContent) { root.dataset.state = "wrong"; return; }
    const demand = {flops: fields.flops.value(), bound: size !== null, largest: size ?? the.largest, maxTokens: fields.tokens.value() ?? Infinity, servingTokens: fields.serving.value() ?? 0};
    answers = laws.filter((law) => boxes.some((box) => box.checked && box.value === law.name)).map((law) => planner.answer(law, demand));
    lead.textContent = headline(answers);
    draw();
    const ours = answers.filter((one) => one.law.draws.length && !one.error);
    command.textContent = `moe-lib plan ${options().map(([name, value]) => `--${name} ${value}`).join(" ")}` + (ours.length ? ` --bootstrap ${ours[0].law.draws.length}` : "");
    if (location.hash.includes("flops=") || root.dataset.state) history.replaceState(null, "", `#${new URLSearchParams(options())}`);
    root.dataset.state = ours.length ? "resampling" : "ready";
    for (const one of ours) resampled(one, demand, mine);
  };
  function update() {
    root.dataset.state &&= "waiting";
    waiting ||= requestAnimationFrame(compute);
  }

  window.addEventListener("hashchange", () => restore(location.hash.slice(1)));
  let seen = 0;
  new ResizeObserver(() => { if (chart.clientWidth !== seen && answers.length) { seen = chart.clientWidth; draw(); } }).observe(chart);
  if (!restore(location.hash.slice(1))) restore(Object.values(EXAMPLES)[0]);
})();
