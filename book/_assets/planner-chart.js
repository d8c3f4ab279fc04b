/* The chart of the planner's page: loss above each law's optimum against sparsity. */
"use strict";

globalThis.moePlannerChart = (box, answers, marks) => {
  const TICKS = [0, 0.5, 0.75, 0.9, 0.95, 0.98], LAST = -Math.log(0.01), TOP = 0.06, CURVE = 90;
  const width = Math.max(280, box.clientWidth), height = width < 480 ? 250 : 300;
  const left = 46, right = 12, top = 28, bottom = 44, floor = -0.006;
  const x = (hidden) => left + (width - left - right) * hidden / LAST;
  const y = (loss) => top + (height - top - bottom) * (TOP - Math.min(loss, TOP * 1.5)) / (TOP - floor);
  const make = (name, attributes, ...inside) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...inside);
    return node;
  };
  const words = (at, up, anchor, said, kind = "") => make("text", {x: at, y: up, "text-anchor": anchor, class: kind}, said);

  /* The loss of the best size from one sparsity to another, as a path. */
  const path = (question, best, from, to) => Array.from({length: CURVE}, (_, i) => {
    const hidden = from + (to - from) * i / (CURVE - 1);
    return `${i ? "L" : "M"}${x(hidden).toFixed(1)} ${y(question.lossAtSparsity(hidden) - best.loss).toFixed(1)}`;
  }).join("");

  const svg = make("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: "plan-chart"});
  const clip = make("clipPath", {id: "plan-clip"}, make("rect", {x: left - 8, y: top - 4, width: width - left - right + 8, height: height - bottom - top + 4}));
  svg.append(make("defs", {}, clip));
  for (const loss of [0, 0.01, 0.02, 0.04, 0.06]) {
    svg.append(make("line", {x1: left, x2: width - right, y1: y(loss), y2: y(loss), class: loss === 0.01 ? "level" : "grid"}),
      words(left - 6, y(loss) + 4, "end", String(loss)));
  }
  for (const s of TICKS) {
    const at = x(-Math.log1p(-s));
    svg.append(make("line", {x1: at, x2: at, y1: height - bottom, y2: height - bottom + 5, class: "tick"}),
      words(at, height - bottom + 19, "middle", String(s)));
  }
  svg.append(words((left + width - right) / 2, height - 6, "middle", "sparsity S", "axis"),
    words(width - right, y(0.01) - 5, "end", "0.01 nats", "axis"), words(0, 13, "start", "nats above the law's optimum", "axis"));

  const curves = make("g", {"clip-path": "url(#plan-clip)"});
  for (const {question, best, band, atEdge, law, intervals} of answers) {
    const look = (kind) => `law law-${law.name} ${kind}`, end = Math.min(question.end, LAST);
    curves.append(make("path", {d: path(question, best, ...band.hidden), class: look("band")}),
      make("path", {d: path(question, best, 0, end), class: look("curve")}));
    if (question.end < LAST) {
      curves.append(make("path", {d: path(question, best, question.end, LAST), class: look("curve beyond")}));
    }
    if (intervals) {
      const [from, to] = intervals.sparsity.map((s) => x(-Math.log1p(-s)));
      curves.append(make("path", {d: `M${from} ${y(0) - 5}v10m0-5H${to}m0-5v10`, class: look("interval")}));
    }
    const dot = make("path", {d: marks(law.name), transform: `translate(${x(best.hidden)} ${y(0)}) scale(6)`, class: look(atEdge ? "dot edge" : "dot")});
    dot.append(make("title", {}, `${law.name}: S = ${best.sparsity.toFixed(3)}`));
    curves.append(dot);
  }
  svg.append(curves);
  const spoken = answers.map(({law, best, ends}) =>
    `${law.name}: lowest at S = ${best.sparsity.toFixed(3)}, within 0.01 nats from ${ends.sparsity.map((s) => s.toFixed(3)).join(" to ")}`);
  svg.setAttribute("aria-label", `Loss above each law's optimum against sparsity. ${spoken.join(". ")}.`);
  box.replaceChildren(svg);
};
