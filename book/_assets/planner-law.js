/* The arithmetic of the planner's page: the best model of a law within bounds.

   Rules only: every coefficient, shape and constant comes from planner-data.js, which the build writes from moe_lib.
   tests/book/test_planner_page.py holds the answers to those of `moe-lib plan`. Symbols: n and na count total and active
   parameters, d is the width of a model, hidden is -log(1-S), x a law's coefficients and exponents. */
"use strict";

globalThis.moePlanner = (data) => {
  const {constants: the, families} = data;
  const INPUTS = ["N", "Na", "D", "S", "E"];

  /* A law as a function of n, na, tokens and hidden. */
  function compiled(law, x) {
    const terms = law.terms.map(([at, products]) => [
      x[at], products.map(([m, sign, names]) => [sign * x[m], ...names.map((name) => INPUTS.indexOf(name))])]);
    const [q, m] = x.slice(-2).map(Math.exp);
    const f = new Float64Array(5);
    const sum = (n, na, tokens, hidden, slope) => {
      f[0] = Math.log(n); f[1] = Math.log(na); f[2] = Math.log(tokens); f[3] = hidden;
      if (law.saturating) f[4] = -Math.log(q / (Math.expm1(hidden) * q + 1) + m);
      let total = 0;
      for (const [coefficient, products] of terms) {
        let power = 0, inS = 0;
        for (const [weight, i, j] of products) {
          power += weight * f[i] * (j === undefined ? 1 : f[j]);
          if (i === 3) inS += weight;
        }
        total += coefficient * Math.exp(power) * (slope ? inS : 1);
      }
      return total;
    };
    return sum;
  }

  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

  /* A law under a demand {flops, largest, maxTokens, servingTokens}. Sizes are searched as t, log d or log n. */
  class Question {
    constructor(law, demand, x = law.x) {
      Object.assign(this, demand, {law, family: families[law.family], sum: compiled(law, x)});
      this.sparse = law.inputs.includes("S") || law.inputs.includes("Na");
      this.sparsest ??= law.limits.S ?? the.sparsest;
      this.end = this.sparse ? -Math.log1p(-this.sparsest) : 0;
    }

    /* n and na at width exp(t), or both exp(t) for a law of dense models. */
    sizes(t, hidden) {
      const d = Math.exp(t);
      if (!this.sparse) return [d, d];
      const experts = Math.exp(hidden), [a, b, c, e] = this.family.size, [p, q, r, u] = this.family.active;
      return [d * (e + d * (c * experts + d * (a + b * experts))), d * (u + d * (r * experts + d * (p + q * experts)))];
    }

    /* The t of n parameters: Newton's method from above. */
    place(n, hidden) {
      if (!this.sparse) return Math.log(n);
      const experts = Math.exp(hidden), [a, b, c, e] = this.family.size;
      const cubic = a + b * experts, square = c * experts;
      let d = Math.cbrt(n / cubic);
      for (let i = 0; i < 60; i++) {
        const step = (d * (e + d * (square + d * cubic)) - n) / (e + d * (2 * square + 3 * d * cubic));
        d -= step;
        if (Math.abs(step) <= 1e-14 * d) break;
      }
      return Math.log(d);
    }

    tokens(na) {
      return Math.min(Math.max((this.flops / na - 2 * this.servingTokens) / 6, the.noTokens), this.maxTokens);
    }

    loss(t, hidden) {
      const [n, na] = this.sizes(t, hidden);
      return this.sum(n, na, this.tokens(na), hidden);
    }

    bestSize(hidden) {
      return minimise((t) => this.loss(t, hidden), this.place(the.smallest, hidden), this.place(this.largest, hidden));
    }

    lossAtSparsity(hidden) { return this.loss(this.bestSize(hidden), hidden); }

    lossAtSize(logN) {
      const f = (hidden) => this.loss(this.place(Math.exp(logN), hidden), hidden);
      return f(minimise(f, 0, this.end));
    }

    solve() {
      const hidden = minimise((x) => this.lossAtSparsity(x), 0, this.end);
      return this.at(this.bestSize(hidden), hidden);
    }

    at(t, hidden) {
      const [n, na] = this.sizes(t, hidden);
      return {t, hidden, sparsity: -Math.expm1(-hidden), n, na, tokens: this.tokens(na), loss: this.loss(t, hidden)};
    }

    band(best) {
      const level = best.loss + the.indifference, logN = Math.log(best.n);
      return {
        hidden: [0, this.end].map((end) => reach((x) => this.lossAtSparsity(x) - level, best.hidden, end)),
        n: [the.smallest, this.largest].map((end) => Math.exp(reach((x) => this.lossAtSize(x) - level, logN, Math.log(end)))),
      };
    }
  }

  /* Where f is smallest: the lowest point of a grid, then Brent's parabolas and golden sections around it. */
  function minimise(f, low, high, points = 25) {
    if (!(high > low)) return low;
    const grid = Array.from({length: points}, (_, i) => low + (high - low) * i / (points - 1));
    const values = grid.map(f), at = values.indexOf(Math.min(...values));
    let a = grid[Math.max(at - 1, 0)], b = grid[Math.min(at + 1, points - 1)];
    const GOLDEN = 0.381966011250105, tolerance = 1e-9 * (high - low);
    let x = a + GOLDEN * (b - a), w = x, v = x, fx = f(x), fw = fx, fv = fx, step = 0, before = 0;
    for (let i = 0; i < 80; i++) {
      const middle = (a + b) / 2;
      if (Math.abs(x - middle) <= 2 * tolerance - (b - a) / 2) break;
      const r = (x - w) * (fx - fv), q0 = (x - v) * (fx - fw);
      let p = (x - v) * q0 - (x - w) * r, q = 2 * (q0 - r);
      if (q > 0) p = -p; else q = -q;
      const last = before; before = step;
      if (Math.abs(p) < Math.abs(q * last / 2) && p > q * (a - x) && p < q * (b - x)) {
        step = p / q;
        if (x + step - a < 2 * tolerance || b - x - step < 2 * tolerance) step = x < middle ? tolerance : -tolerance;
      } else {
        before = x < middle ? b - x : a - x;
        step = GOLDEN * before;
      }
      const u = x + (Math.abs(step) >= tolerance ? step : Math.sign(step) * tolerance), fu = f(u);
      if (fu <= fx) {
        if (u < x) b = x; else a = x;
        [v, fv, w, fw, x, fx] = [w, fw, x, fx, u, fu];
      } else {
        if (u < x) a = u; else b = u;
        if (fu <= fw || w === x) [v, fv, w, fw] = [w, fw, u, fu];
        else if (fu <= fv || v === x || v === w) [v, fv] = [u, fu];
      }
    }
    return values[at] <= fx ? grid[at] : x;  // the ends of the range count
  }

  /* The farthest point from inside towards outside up to which the excess is at most zero. */
  function reach(excess, inside, outside) {
    const grid = Array.from({length: 65}, (_, i) => inside + (outside - inside) * i / 64);
    const beyond = grid.findIndex((x, i) => i > 0 && excess(x) > 0);
    if (beyond < 0 || inside === outside) return outside;
    let near = grid[beyond - 1], far = grid[beyond];
    for (let i = 0; i < 40; i++) {
      const middle = (near + far) / 2;
      if (excess(middle) > 0) far = middle; else near = middle;
    }
    return near;
  }

  /* The demand with one of its bounds a tenth looser. */
  function relaxed(demand, name, sparsest) {
    const more = 1 + the.relaxed, less = 1 - the.relaxed;
    return {...demand, ...{
      flops: {flops: demand.flops * more},
      size: {largest: demand.largest * more},
      maxTokens: {maxTokens: demand.maxTokens * more},
      servingTokens: {servingTokens: demand.servingTokens * less},
      sparsest: {sparsest: 1 - (1 - sparsest) * less},
    }[name]};
  }

  /* Nats that relaxing each given bound by a tenth gains. */
  function worths(law, demand, question, loss) {
    const given = {flops: true, size: demand.bound, maxTokens: demand.maxTokens < Infinity,
      servingTokens: demand.servingTokens > 0, sparsest: question.sparse};
    return Object.keys(given).filter((name) => given[name]).map((name) => {
      const worth = Math.max(loss - new Question(law, relaxed(demand, name, question.sparsest)).solve().loss, 0);
      return {name, worth, binds: worth > the.negligible};
    });
  }

  /* How a plan leaves the data of its law: [symbol, value, whether it is above, the limit]. */
  function outside(law, values) {
    return Object.entries(values).flatMap(([name, value]) => {
      const least = law.least[name] ?? 0, most = law.limits[name] ?? Infinity;
      return value > most * (1 + 1e-9) ? [[name, value, true, most]]
        : value < least * (1 - 1e-9) ? [[name, value, false, least]] : [];
    });
  }

  /* The model with the lowest loss near the optimum that can be built; null if none fits. */
  function built(question, best) {
    const {family} = question;
    let found = null;
    for (const [key, counts] of Object.entries(family.built)) {
      const g = Number(key), density = 1 - best.sparsity;
      const most = question.sparse ? g / (1 - question.sparsest) * (1 + 1e-9) : g;
      const first = Math.max(g, Math.floor(g / density / 3));
      const last = Math.max(g, Math.floor(Math.min(3 * g / density, most, the.mostExperts)));
      let own = null;
      for (let experts = first; experts <= last; experts++) {
        const hidden = Math.log(experts / g), t = question.bestSize(hidden);
        const d = question.sparse ? Math.exp(t) : denseWidth(family, Math.exp(t)), middle = Math.floor(d / family.dHead);
        for (let heads = Math.max(1, middle - 1); heads <= middle + 2; heads++) {
          const one = model(question, counts, heads, experts, g);
          if (one && (!own || one.loss < own.loss)) own = one;
        }
      }
      if (own && (!found || own.loss < found.loss - the.alike)) found = own;
    }
    return found;
  }

  const denseWidth = (family, n) => Math.exp(Question.prototype.place.call({sparse: true, family}, n, 0));

  function model(question, counts, heads, experts, g) {
    const {family} = question, d = heads * family.dHead, layers = Math.max(1, halfEven(d / family.aspect));
    const shape = [d, layers * d, layers * d * d, layers * d * experts, layers * d * d * experts];
    const [n, na, perToken] = [counts.params, counts.active, counts.flops].map((own) => dot(own, shape));
    const tokens = Math.min(question.flops / perToken - question.servingTokens * family.forward, question.maxTokens);
    if (n > question.largest || tokens < family.context) return null;
    const loss = question.sum(n, question.sparse ? na : n, tokens, Math.log(experts / g));
    return {d, layers, heads, experts, active: g, sparsity: 1 - g / experts, n, na, tokens, loss, flops: tokens * perToken};
  }

  const halfEven = (x) => x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);  // as Python rounds

  /* The whole answer of a law, without its resamples; {error} if the demand leaves nothing. */
  function answer(law, demand) {
    const question = new Question(law, demand), best = question.solve();
    if (best.tokens <= the.noTokens) return {law, error: "serving alone costs more than the budget, even with the smallest and sparsest model"};
    const build = built(question, best);
    if (!build) return {law, error: "no model of this family fits these bounds"};
    const flops = 6 * best.na * best.tokens, band = question.band(best);
    const ends = band.hidden.map((hidden) => question.at(question.bestSize(hidden), hidden));
    const bounds = worths(law, demand, question, best.loss), binds = (name) => bounds.some((x) => x.name === name && x.binds);
    return {
      law, question, best, band, build, bounds,
      ends: {na: ordered(ends.map((x) => x.na)), tokens: ordered(ends.map((x) => x.tokens)), sparsity: ends.map((x) => x.sparsity)},
      atEdge: binds("sparsest"),
      unspent: !binds("flops"),
      largest: best.n >= the.largest * (1 - 1e-9),
      perverse: law.inputs.join() === "N,D,S" && question.sum(best.n, best.na, best.tokens, best.hidden, true) < 0,
      outside: outside(law, {N: best.n, Na: best.na, D: best.tokens, S: best.sparsity, C: flops}),
      gpuHours: build.flops / the.flopsPerHour,
    };
  }

  const ordered = (pair) => [...pair].sort((a, b) => a - b);

  /* Sparsity and size of one resample's optimum, and its loss of the plan of `found`. */
  function resample(found, demand, x) {
    const question = new Question(found.law, demand, x), own = question.solve();
    return {sparsity: own.sparsity, n: own.n, loss: question.loss(found.best.t, found.best.hidden)};
  }

  /* The middle 95 % of a list, with numpy's interpolation. */
  function interval(values) {
    const sorted = [...values].sort((a, b) => a - b);
    return [(1 - the.level) / 2, (1 + the.level) / 2].map((share) => {
      const at = share * (sorted.length - 1), low = Math.floor(at);
      return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
    });
  }

  return {data, answer, resample, interval, Question};
};
