"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const METRICS = { success: "success", return: "return", score: "score (0 random, 1 optimum)", length: "length, steps" };
const state = { domain: "", start: "", metric: "success", statistic: "mean", axis: "", learning: "", gauge: "", seeds: false, off: new Set() };
const $ = (id) => document.getElementById(id);

// What the reader has picked; what a panel does not have gives way to what it has.
const unique = (values) => [...new Set(values)];
const panel = () => data.panels.find((p) => p.domain === state.domain && p.start === state.start);
const shown = () => panel().rows.filter((row) => !state.off.has(name(row)));
const name = (row) => data.labels[row.label].name;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (row) => dark.matches && data.labels[row.label].colour === "#000000" ? "#FFFFFF" : data.labels[row.label].colour;
const metricsOf = (p) => unique(p.rows.flatMap((row) =>
  Object.keys(row.curves).map((key) => key.split("/")[1]).concat(Object.keys(row.final))));

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "rect", "circle"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function options(id, choices, titles = {}) {
  if (!choices.includes(state[id])) state[id] = choices[0] ?? "";
  $(id).replaceChildren(...choices.map((value) => element("option", { value }, titles[value] ?? value)));
  $(id).value = state[id];
  $(id).disabled = choices.length < 2;
}

function table(id, head, lines) {
  const row = (cells, tag) => element("tr", {}, ...cells.map((cell) => cell instanceof Node ? cell : element(tag, {}, cell)));
  $(id).replaceChildren(element("thead", {}, row(head, "th")), element("tbody", {}, ...lines.map((line) => row(line, "td"))));
}

const titled = (row) => element("td", {}, swatch(row), name(row));
const swatch = (row) => element("span", { class: "swatch", style: `background:${colour(row)}` });
const digits = (metric) => metric === "length" ? 1 : 2;
const fixed = (value, places) => (Math.round(value * 10 ** places) / 10 ** places).toFixed(places); // no -0.00
const spelt = ([value, low, high], places) => {
  const text = places === null ? short : (number) => fixed(number, places); // null: of no known size
  return text(value) + (low === null ? "" : ` [${text(low)}, ${text(high)}]`);
};
const counted = (number, few) => `${number}${few ? ", too few seeds" : ""}`;

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)} k`;
  return `${+value.toPrecision(3)}`;
}

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

// A path through the points that `keep` keeps, broken where it does not.
function path(xs, ys, sx, sy, keep = () => true) {
  let drawn = "", pen = false;
  xs.forEach((x, i) => {
    if (ys[i] === null || x === null || !keep(i)) { pen = false; return; }
    drawn += `${pen ? "L" : "M"}${sx(x).toFixed(1)} ${sy(ys[i]).toFixed(1)}`;
    pen = true;
  });
  return drawn;
}

function band(xs, lows, highs, sx, sy) {
  const there = xs.map((_, i) => i).filter((i) => lows[i] !== null);
  if (!there.length) return "";
  const point = (i, ys) => `${sx(xs[i]).toFixed(1)} ${sy(ys[i]).toFixed(1)}`;
  return `M${there.map((i) => point(i, highs)).join("L")}L${there.reverse().map((i) => point(i, lows)).join("L")}Z`;
}

// series: {row, x, lines: [value, low, high], seeds, full}; thin: {row, x, y}
function chart(host, { series, thin = [], xlabel, ylabel, yrange, rule = null, places, height = 400, most = 1060 }) {
  const width = Math.max(300, Math.min(most, host.clientWidth || most)); // so that letters keep their size
  const all = series.flatMap((s) => s.lines.flat()).concat(thin.flatMap((t) => t.y)).filter((v) => v !== null);
  const xs = series.flatMap((s) => s.x).filter((v) => v !== null);
  if (!xs.length) { host.replaceChildren(element("p", {}, "Nothing to draw for this choice.")); return; }
  let [low, high] = yrange ?? [Math.min(...all), Math.max(...all)];
  if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
  const pad = yrange ? 0.03 * (high - low) : 0.05 * (high - low);
  low -= pad; high += pad;
  const left = Math.min(0, ...xs), right = Math.max(...xs, left + 1e-9);
  const box = { l: 58, r: 14, t: 10, b: 44 };
  const sx = (x) => box.l + (x - left) / (right - left) * (width - box.l - box.r);
  const sy = (y) => height - box.b - (y - low) / (high - low) * (height - box.t - box.b);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img", "aria-label": `${ylabel} against ${xlabel}` });
  for (const y of ticks(low, high, 6)) {
    svg.append(element("line", { class: "grid", x1: box.l, x2: width - box.r, y1: sy(y), y2: sy(y) }),
      element("text", { x: box.l - 8, y: sy(y) + 4, "text-anchor": "end" }, short(y)));
  }
  for (const x of ticks(left, right, width / 120)) {
    svg.append(element("line", { class: "grid", x1: sx(x), x2: sx(x), y1: box.t, y2: height - box.b }),
      element("text", { x: sx(x), y: height - box.b + 17, "text-anchor": "middle" }, short(x)));
  }
  svg.append(element("text", { x: (width + box.l) / 2, y: height - 6, "text-anchor": "middle" }, xlabel),
    element("text", { transform: `translate(13 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, ylabel));
  if (rule !== null) svg.append(element("line", { class: "rule", x1: box.l, x2: width - box.r, y1: sy(rule), y2: sy(rule) }));
  for (const t of thin) svg.append(element("path", { d: path(t.x, t.y, sx, sy), fill: "none", stroke: colour(t.row), opacity: 0.4 }));
  for (const s of series) draw(svg, s, sx, sy);
  const cursor = element("line", { class: "cursor", y1: box.t, y2: height - box.b, visibility: "hidden" });
  svg.append(cursor);
  hover(svg, cursor, series, sx, width, xlabel, ylabel, places);
  host.replaceChildren(svg);
}

function draw(svg, s, sx, sy) {
  const [values, lows, highs] = s.lines, full = (i) => !s.seeds || s.seeds[i] >= s.full;
  const look = { fill: "none", stroke: colour(s.row), "stroke-width": 2.4 };
  if (s.dots) {
    s.x.forEach((x, i) => svg.append(element("circle", { cx: sx(x).toFixed(1), cy: sy(values[i]).toFixed(1), r: 3.5, fill: colour(s.row), opacity: 0.6 })));
    return;
  }
  const dashes = data.labels[s.row.label].dashed ? "9 4" : null;
  svg.append(element("path", { d: band(s.x, lows, highs, sx, sy), fill: colour(s.row), opacity: 0.16 }),
    element("path", { d: path(s.x, values, sx, sy, full), ...look, "stroke-dasharray": dashes, class: "curve" }),
    element("path", { d: path(s.x, values, sx, sy, (i) => !full(i) || (i > 0 && !full(i - 1)) || (i + 1 < s.x.length && !full(i + 1))),
      ...look, "stroke-dasharray": "3 4", class: "fewer" }));
}

// The values at the point nearest to the pointer, or to the arrow keys' cursor.
function hover(svg, cursor, series, sx, width, xlabel, ylabel, places) {
  const points = unique(series.flatMap((s) => s.x)).sort((a, b) => a - b);
  let at = 0;
  const nearest = (xs, x) => xs.reduce((best, value, i) => Math.abs(value - x) < Math.abs(xs[best] - x) ? i : best, 0);
  const show = (left, top) => {
    const x = points[at], gap = (points[points.length - 1] - points[0]) / 25;
    cursor.setAttribute("x1", sx(x)); cursor.setAttribute("x2", sx(x)); cursor.setAttribute("visibility", "visible");
    const lines = series.map((s) => {
      const i = nearest(s.x, x), values = s.lines.map((line) => line[i]);
      if (!s.x.length || Math.abs(s.x[i] - x) > gap || values[0] === null) return null;
      const count = s.seeds ? ` – ${s.seeds[i]} seed${s.seeds[i] === 1 ? "" : "s"}` : "";
      return element("div", {}, swatch(s.row), `${name(s.row)}: ${spelt(values, places)}${count}`);
    });
    tip([element("div", {}, `${xlabel} ${short(x)}: ${ylabel}`), ...lines.filter(Boolean)], left, top);
  };
  const leave = () => { $("tip").hidden = true; cursor.setAttribute("visibility", "hidden"); };
  svg.addEventListener("mousemove", (event) => {
    const frame = svg.getBoundingClientRect();
    at = nearest(points.map(sx), (event.clientX - frame.left) / frame.width * width);
    show(event.clientX, event.clientY);
  });
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    at = Math.min(points.length - 1, Math.max(0, at + move));
    const frame = svg.getBoundingClientRect();
    show(frame.left + sx(points[at]) / width * frame.width, frame.top + 30);
  });
  svg.addEventListener("mouseleave", leave);
  svg.addEventListener("blur", leave);
}

function tip(children, left, top) {
  const box = $("tip");
  box.replaceChildren(...children);
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${left + 16 + width > innerWidth ? Math.max(0, left - 16 - width) : left + 16}px`;
  box.style.top = `${Math.max(0, Math.min(top + 12, innerHeight - height))}px`;
}

function showCurves() {
  const key = `${state.axis}/${state.metric}`, rows = shown().filter((row) => row.curves[key]);
  const series = rows.map((row) => {
    const found = row.curves[key];
    return { row, x: found.x, lines: found[state.statistic], seeds: found.seeds, full: row.full };
  });
  const thin = !state.seeds ? [] : rows.flatMap((row) => row.runs
    .map((run) => ({ row, x: run.x[state.axis] ?? [], y: run.y[state.metric] ?? [] })));
  chart($("curves"), { series, thin, xlabel: panel().titles[state.axis], ylabel: METRICS[state.metric], places: digits(state.metric),
    yrange: state.metric === "success" ? [0, 1] : null, rule: state.metric === data.threshold_metric ? data.threshold : null });
  $("curves-about").textContent = `${data.statistics[state.statistic]} of greedy episodes over seeds, with the 95 % ` +
    "stratified-bootstrap interval; dashed where some of the seeds are missing. Point at a curve, or use the arrow keys.";
}

function showFinal() {
  const rows = shown().filter((row) => row.final[state.metric]), which = Object.keys(data.statistics);
  table("final", ["", ...which.map((key) => data.statistics[key]), "seeds"], rows.map((row) => {
    const found = row.final[state.metric];
    return [titled(row), ...which.map((key) => spelt(found[key], digits(state.metric))), counted(`${found.seeds} of ${row.seeds}`, row.few)];
  }));
  $("final-about").textContent = `${METRICS[state.metric]}. ${panel().domains.length ? data.texts.all : data.texts.final}`;
}

function showProfile() {
  const metric = panel().profiles[state.metric] ? state.metric : panel().domains.length ? "score" : "return";
  const found = panel().profiles[metric] ?? {}, x = panel().thresholds[metric] ?? [];
  const series = shown().filter((row) => found[row.label]).map((row) => ({ row, x, lines: found[row.label] }));
  chart($("profile"), { series, xlabel: `${metric} τ`, ylabel: "share of runs above τ", yrange: [0, 1], places: 2, most: 520, height: 330 });
}

function showImprovement() {
  const metric = panel().improvement[state.metric] ? state.metric : panel().domains.length ? "score" : "return";
  const pairs = panel().improvement[metric] ?? [], rows = shown();
  const text = (x, y) => pairs.find((pair) => pair[0] === x.label && pair[1] === y.label);
  const cell = (x, y) => {
    const pair = text(x, y);
    if (!pair) return element("td", {}, "–");
    const strength = Math.round(Math.abs(pair[2] - 0.5) * 2 * 60);
    const paint = pair[2] > 0.5 ? "0 114 178" : "213 94 0";
    const few = x.few || y.few;
    return few ? element("td", { class: "few" }, counted(pair[3], few))
      : element("td", { style: `background:rgb(${paint} / ${strength}%)` }, pair[3]);
  };
  table("improvement", [`X \\ Y, ${metric}`, ...rows.map(name)], rows.map((x) => [titled(x), ...rows.map((y) => cell(x, y))]));
  $("improvement-about").textContent = data.texts.chance.replace("return", metric) +
    (rows.some((row) => row.few) ? ` Of under ${data.few} seeds it says little, and is not coloured.` : "");
}

function showLearning() {
  const names = unique(panel().rows.flatMap((row) => Object.keys(row.learning)));
  $("learning-section").hidden = !names.length;
  options("learning", names);
  const series = shown().filter((row) => row.learning[state.learning])
    .map((row) => ({ row, ...row.learning[state.learning] }));
  chart($("learning-chart"), { series, xlabel: panel().titles.steps, ylabel: state.learning, places: null, height: 300 });
  $("learning-about").textContent = "Mean over seeds, and from the least to the greatest of them, as logged; not smoothed.";
}

function showGauge() {
  const names = Object.keys(panel().gauge);
  $("gauge-section").hidden = !names.length;
  options("gauge", names);
  if (!names.length) return;
  const found = panel().gauge[state.gauge];
  const series = shown().filter((row) => found.points[row.label]).map((row) => {
    const [x, y] = found.points[row.label], none = y.map(() => null);
    return { row, x, lines: [y, none, none], dots: true };
  });
  chart($("gauge-chart"), { series, xlabel: `I(memory; ${state.gauge}), nats`, ylabel: "return", places: null, most: 620, height: 360 });
  $("gauge-about").textContent = `Each point is one look of --gauge at one seed, ${found.num} of all groups: what the memory held, and the ` +
    `mean return of the same greedy episodes. Over all of them: ${found.text}. Looks at one run are not independent.`;
}

function showClock() {
  $("clock-section").hidden = panel().domains.length > 0;
  if (panel().domains.length) return;
  const what = `${data.threshold_metric} ${data.threshold}`;
  table("clock", ["", `reached ${what}`, `${panel().unit} to ${what}`, `minutes to ${what}`, "hours a run", `${panel().unit} a second`],
    shown().map((row) => [titled(row), row.reached, ...row.clock]));
  $("clock-about").textContent = data.texts.clock;
}

function showFilms() {
  const rows = shown().filter((row) => row.runs.some((run) => run.film !== null));
  $("films-section").hidden = !rows.length;
  $("films").replaceChildren(...rows.map((row) => {
    const runs = row.runs.filter((run) => run.film !== null), image = element("img", { alt: `episodes of ${name(row)}` });
    const choice = element("select", { "aria-label": `seed of ${name(row)}` },
      ...runs.map((run, i) => element("option", { value: i }, `seed ${run.seed}${run.finished ? "" : ", not finished"}`)));
    const play = () => { image.src = data.films[runs[choice.value].film]; };
    choice.addEventListener("change", play);
    play();
    return element("figure", {}, image, element("figcaption", {}, swatch(row), `${name(row)}, `, choice));
  }));
}

function showRuns() {
  const lines = shown().flatMap((row) => row.runs.map((run) => [titled(row), `${run.seed}`, run.finished ? "finished" : "not finished",
    run.reached, element("td", { class: "folder" }, run.folder)]));
  $("runs-section").hidden = !lines.length;
  table("runs", ["", "seed", "", "as of its last evaluation", "folder"], lines);
}

function showMethods() {
  $("methods").replaceChildren(...panel().rows.map((row) => {
    const box = element("input", { type: "checkbox" });
    box.checked = !state.off.has(name(row));
    box.addEventListener("change", () => { state.off[box.checked ? "delete" : "add"](name(row)); show(); });
    const count = `${row.seeds} seed${row.seeds === 1 ? "" : "s"}${row.few ? ": too few" : ""}` +
      `${row.unfinished ? `, ${row.unfinished} not finished` : ""}`;
    return element("label", {}, box, swatch(row), `${name(row)} (${count})`);
  }));
}

function show() {
  $("tip").hidden = true; // what it says is of another choice
  options("domain", unique(data.panels.map((p) => p.domain)));
  options("start", data.panels.filter((p) => p.domain === state.domain).map((p) => p.start));
  options("metric", Object.keys(METRICS).filter((metric) => metricsOf(panel()).includes(metric)), METRICS);
  options("statistic", Object.keys(data.statistics), data.statistics);
  options("axis", panel().axes.filter((axis) => panel().rows.some((row) =>
    row.curves[`${axis}/${state.metric}`])), panel().titles);
  $("seeds").checked = state.seeds;
  for (const draw of [showMethods, showCurves, showFinal, showProfile, showImprovement, showLearning, showGauge, showClock, showFilms, showRuns]) draw();
  const words = new URLSearchParams({ ...state, seeds: state.seeds ? 1 : "", off: [...state.off].join("|") });
  history.replaceState(null, "", `#${words}`);
}

// A link keeps what was picked.
function restore() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const key of ["domain", "start", "metric", "statistic", "axis", "learning", "gauge"]) state[key] = words.get(key) ?? state[key];
  state.seeds = Boolean(words.get("seeds"));
  state.off = new Set((words.get("off") ?? "").split("|").filter(Boolean));
}

for (const id of ["domain", "start", "metric", "statistic", "axis", "learning", "gauge"])
  $(id).addEventListener("change", () => { state[id] = $(id).value; show(); });
$("seeds").addEventListener("change", () => { state.seeds = $("seeds").checked; show(); });
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("counts").textContent = data.counts;
$("settings").append(...data.settings.map(([env, text]) => element("li", {}, `${env}: ${text}`)));
$("notes").append(...data.notes.map((text) => element("li", {}, text)));
dark.addEventListener("change", show);
addEventListener("resize", show);
addEventListener("hashchange", () => { restore(); show(); });
restore();
show();
