"use strict";

const $ = id => document.getElementById(id);
const filters = $("filters"), editor = $("editor"), boxForm = $("box-form"), text = $("text");
const NAMES = { open: "to review", accepted: "accepted", edited: "edited", rejected: "rejected" };
const SHARES = { length: "length", new: "new words", support: "support", telling: "telling" };
const FAULTS = { dangling_opening: "opening leans on a lost sentence", odd_symbols: "odd symbols", open_end: "ends without a mark" };

let item = null;      // the item shown
let nextId = "";      // the one behind it
let seen = [];        // ids of items seen before this one
let done = [];        // decisions of this visit, to be undone: {id, path, before}
let busy = false;
let refilter = false; // filters were changed while busy
let canvas = null;    // what a box is drawn on while the box is edited: {area, is_page}
let box = null;       // [x0, top, x1, bottom] while it is edited

// --- talking to the server -------------------------------------------------------------------------------------------

async function ask(path, body) {
  const options = body === undefined ? {} :
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; start it again: python prepare_data.py --review");
  }
  if (answer.ok) return answer.json();
  const said = await answer.text();
  let problem = said;
  try { problem = JSON.parse(said).problem; } catch { /* plain text */ }
  throw new Error(problem || `status ${answer.status}`);
}

// Runs one action at a time: keys pressed while a decision is being kept are not meant for what comes after it.
async function alone(action) {
  if (busy) return;
  busy = true;
  document.body.classList.add("busy");
  try {
    await action();
  } catch (error) {
    say(`not done: ${error.message}`, true);
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
  if (refilter) {
    refilter = false;
    await alone(() => restart());
  }
}

function say(message, bad = false) {
  $("message").textContent = message;
  $("message").classList.toggle("bad", bad);
}

// Goes on after something was done, then says so: it was done even where the next item cannot be had.
async function goOn(message, action) {
  try { await action(); say(message); } catch (error) { say(`${message}; not gone on: ${error.message}`, true); }
}

// --- filters and steps -----------------------------------------------------------------------------------------------

function chosen() {
  const values = Object.fromEntries(new FormData(filters));
  values.low = values.low || "0";
  values.high = values.high || "1";
  return values;
}

async function step(direction, start) {
  const query = new URLSearchParams({ ...chosen(), start, direction });
  const found = await ask(`/step?${query}`);
  nextId = found.next_id;
  showCount(found);
  return found.item;
}

function showCount(found) {
  const shown = filters.elements.shown.value;
  $("left").textContent = found.left.toLocaleString("en");
  $("left-of").textContent = shown === "open" ? "left" : `left · ${found.total.toLocaleString("en")} ${shown === "all" ? "in all" : NAMES[shown]}`;
}

async function forward() {
  const start = item ? item.id : "";
  const found = await step("forward", start);
  if (start) seen.push(start);
  if (found) show(found); else showNone();
}

async function back() {
  while (seen.length) {
    const id = seen.pop();
    let found = null;
    try { found = await ask(`/item/${id}`); } catch { continue; }  // gone with another preparation
    await step("forward", id);  // for the counts and what comes next
    show(found);
    return;
  }
  const found = await step("back", item ? item.id : "");
  if (found) show(found); else { await step("forward", item ? item.id : ""); say("this is the first one"); }
}

async function restart(at = "") {
  seen = [];
  const found = at ? await ask(`/item/${at}`).catch(() => null) : null;
  if (found) { await step("forward", at); show(found); return; }
  const first = await step("forward", "");
  if (first) show(first); else showNone();
}

// --- showing ---------------------------------------------------------------------------------------------------------

function make(name, words, className) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (className) made.className = className;
  return made;
}

function tag(words, className = "") { return make("span", words, `tag ${className}`); }

function show(found) {
  closeForms();
  item = found;
  $("done").hidden = true;
  $("seen").hidden = $("read").hidden = false;
  $("seen").classList.remove("zoomed");
  $("read").className = item.state;
  showPicture(found);
  $("source").textContent = item.candidate.source;
  showTags();
  showTexts();
  showQuality();
  showSources();
  $("read").scrollTop = 0;
  enable();
  history.replaceState(null, "", `#${item.id}`);
  if (nextId && nextId !== item.id) new Image().src = `/picture/${nextId}`;
  const draft = localStorage.getItem(draftKey());
  if (draft !== null) { openEditor(draft); $("draft-note").hidden = false; }
}

function showPicture(found) {
  const picture = $("picture");
  const shownFor = found.id;
  picture.onerror = () => { if (item && item.id === shownFor) showNoPicture("Its picture cannot be read."); };
  picture.alt = `Picture of ${found.candidate.source}`;
  $("no-picture").hidden = true;
  $("viewer").hidden = false;
  if (found.candidate.image) { picture.src = `/picture/${found.id}`; return; }
  picture.removeAttribute("src");
  showNoPicture("No picture: its region on the page was not found.");
}

// Says it where the picture would be, as of a draft in its editor: the line of messages belongs to what the user did last.
function showNoPicture(reason) {
  $("no-picture").textContent = reason;
  $("no-picture").hidden = false;
  $("viewer").hidden = true;
}

function showTags() {
  const colors = { accepted: "good", edited: "good", rejected: "bad" };
  const tags = [tag(item.task === "figure" ? "whole figure" : item.task, "task")];
  if (item.candidate.key.panel) tags.push(tag(`panel ${item.candidate.key.panel}`));
  if (item.state !== "open") tags.push(tag(item.decided ? item.state : "rejected with its figure", colors[item.state]));
  if (item.candidate.rule) tags.push(tag(words(item.candidate.rule), "unsure"));
  if (item.candidate.quality) tags.push(tag(`score ${item.score.toFixed(2)}`, item.score < 0.7 ? "unsure" : ""));
  if (item.candidate.split) tags.push(tag(item.candidate.split));
  if (item.candidate.kind) tags.push(tag(item.candidate.kind));
  if (item.figure && item.figure.box) tags.push(tag("box set", "good"));
  $("tags").replaceChildren(...tags);
  const note = $("rule-note");
  note.hidden = !item.candidate.rule;
  const what = item.task === "figure" ? "figures" : "examples";
  const detail = item.candidate.detail && item.candidate.detail !== item.candidate.key.target && !item.candidate.detail.includes(item.candidate.key.target || "\u0000") ? ` (${item.candidate.detail})` : "";
  const remedy = item.candidate.acceptable ? (item.task !== "figure" && !item.candidate.key.target ? "You may write a target." : "You may accept it all the same.")
    : item.candidate.rule === "no_region" ? "A box would give it a picture." : "It cannot be accepted.";
  note.textContent = item.candidate.rule ? `Left out by a rule against ${what} ${item.rule_meaning || words(item.candidate.rule)}${detail}. ${remedy}` : "";
  const earlier = item.earlier.map(each => {
    const made = make("details", undefined, "note");
    made.append(make("summary", `${each.state[0].toUpperCase()}${each.state.slice(1)} before, when its target was another`),
      make("p", each.target || "(none)", "text quiet"));
    if (each.text) made.append(make("p", `Edited to: ${each.text}`, "text"));
    return made;
  });
  $("earlier").replaceChildren(...earlier);
}

function words(rule) { return rule.replaceAll("_", " "); }

function showTexts() {
  const whole = item.task === "figure";
  $("texts").hidden = whole;
  if (whole) return;
  $("prompt").textContent = item.candidate.prompt;
  $("target").textContent = item.text || item.candidate.key.target || "(none)";
  $("target").classList.toggle("quiet", !(item.text || item.candidate.key.target));
  $("target-head").textContent = item.text ? "Target, edited" : "Target";
  $("made-by-rules").hidden = !item.text;
  $("made-by-rules").open = false;
  $("made-by-rules").querySelector("p").textContent = item.candidate.key.target || "(none)";
}

function showQuality() {
  $("quality").hidden = !item.candidate.quality;
  if (!item.candidate.quality) return;
  $("score").textContent = item.score.toFixed(2);
  const parts = Object.entries(SHARES).map(([name, label]) => {
    const part = make("div");
    const meter = make("meter");
    meter.min = 0; meter.max = 1; meter.value = item.candidate.quality[name];
    meter.setAttribute("aria-label", label);
    const value = make("dd", item.candidate.quality[name].toFixed(2));
    value.append(meter);
    part.append(make("dt", label), value);
    return part;
  });
  const faults = item.candidate.quality.faults.map(fault => { const each = make("div"); each.append(make("dt", "fault"), make("dd", FAULTS[fault] || words(fault), "bad")); return each; });
  $("shares").replaceChildren(...parts, ...faults);
}

// Sentences of the paper that the target was made from, told by their words: cleaning changes a few of them.
function marked(paragraph, target) {
  const wanted = new Set(target.toLowerCase().match(/[\p{L}\d]+/gu) || []);
  const made = make("p", undefined, "text");
  for (const sentence of paragraph.match(/[^.!?]+(?:[.!?](?!\s+["'(]?\p{Lu}|$)[^.!?]*)*[.!?]*\s*/gu) || [paragraph]) {
    const own = sentence.toLowerCase().match(/[\p{L}\d]+/gu) || [];
    const shared = own.filter(word => wanted.has(word)).length;
    made.append(own.length > 3 && shared >= 0.7 * own.length ? make("mark", sentence) : sentence);
  }
  return made;
}

function showSources() {
  const parts = [];
  const figure = item.figure && item.figure.record, target = item.candidate.key.target;
  if (figure) {
    if (figure.caption) parts.push(make("h2", "Caption in the paper"), marked(figure.caption, target));
    for (const each of figure.mentions) {
      parts.push(make("h2", `Paragraph on page ${each.page}${each.section ? `, ${each.section}` : ""}`), marked(each.text, target));
    }
    if (!figure.mentions.length) parts.push(make("p", "No paragraph cites it.", "quiet small"));
  }
  $("sources").replaceChildren(...parts);
}

function showNone() {
  closeForms();
  item = null;
  $("seen").hidden = $("read").hidden = true;
  $("done").hidden = false;
  const { shown, task, rule, low, high } = chosen();
  const narrow = task || rule !== "kept" || Number(low) > 0 || Number(high) < 1;
  $("done-title").textContent = shown === "open" ? "Nothing left to review here" : `Nothing ${NAMES[shown] || "more"} here`;
  $("done-text").textContent = (narrow ? "Other filters may show more; what cannot be accepted stands under Show: all." :
    "What the rules left out stands under the filter Rule.") + " To apply what you decided, run: python prepare_data.py";
  enable();
  history.replaceState(null, "", location.pathname);
}

function enable() {
  const able = {
    a: item && item.candidate.acceptable && (item.task === "figure" || item.text || item.candidate.key.target),
    r: item, e: item && item.candidate.acceptable && item.task !== "figure", b: item && item.figure && item.figure.record.page > 0,
    u: done.length || (item && item.decided), R: item && item.figure && item.task !== "figure", j: item, k: true, "?": true,
  };
  for (const button of document.querySelectorAll("button[data-key]")) button.disabled = !able[button.dataset.key];
}

// --- decisions -------------------------------------------------------------------------------------------------------

async function decide(verdict, edited = "") {
  const before = { verdict: item.decided ? (item.state === "rejected" ? "reject" : "accept") : "", text: item.text };
  const id = item.id;
  item = await ask("/decide", { id, verdict, text: edited });
  done.push({ id, path: "/decide", before });
  localStorage.removeItem(draftKey());
  await goOn(`${item.state}: ${item.candidate.source}`, forward);
}

async function rejectFigure() {
  const id = item.id;
  const before = { verdict: item.figure.verdict };
  item = await ask("/figure", { id, verdict: "reject" });
  done.push({ id, path: "/figure", before });
  await goOn(`figure rejected: ${item.candidate.source}`, forward);
}

async function undo() {
  const last = done.pop();
  const change = last || { id: item.id, path: "/decide", before: { verdict: "", text: "" } };
  let found;
  try {
    found = await ask(change.path, { id: change.id, ...change.before });
  } catch (error) {
    if (last) done.push(last);
    throw error;
  }
  seen = seen.filter(id => id !== change.id);
  await goOn("undone", async () => { await step("forward", change.id); show(found); });
}

// --- editing the text ------------------------------------------------------------------------------------------------

function draftKey() { return `figtune review ${item.id}`; }

function openEditor(words) {
  editor.hidden = false;
  $("draft-note").hidden = true;
  $("target").hidden = $("made-by-rules").hidden = true;
  text.value = words;
  fit();
  text.focus();
  text.setSelectionRange(words.length, words.length);
}

function fit() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 4, 0.5 * innerHeight)}px`;
}

function closeForms() {
  editor.hidden = true;
  $("target").hidden = false;
  boxForm.hidden = $("box").hidden = true;
  canvas = box = null;
  if (item) $("made-by-rules").hidden = !item.text;
}

async function saveText() {
  const words = text.value.trim();
  if (!words) { say("the target is empty: reject the example instead", true); return; }
  await decide("accept", words);
}

editor.addEventListener("submit", event => { event.preventDefault(); alone(saveText); });
text.addEventListener("input", () => { localStorage.setItem(draftKey(), text.value); fit(); });
$("edit-reset").addEventListener("click", () => { text.value = item.candidate.key.target; localStorage.setItem(draftKey(), text.value); fit(); text.focus(); });
$("edit-cancel").addEventListener("click", cancel);

// Not while something is being kept: were that refused, the text would be lost.
function cancel() {
  if (busy) return;
  if (item && !editor.hidden) localStorage.removeItem(draftKey());
  if (canvas) showPicture(item);
  closeForms();
  $("main").focus();
}

// --- the box of the crop ---------------------------------------------------------------------------------------------

async function openBox() {
  canvas = await ask(`/canvas/${item.id}`);
  if (!canvas) throw new Error("there is neither its page nor a crop to set a box on");
  closeEditorOnly();
  $("seen").classList.remove("zoomed");
  $("no-picture").hidden = true;
  $("viewer").hidden = false;
  const picture = $("picture");
  picture.onerror = () => { if (canvas) showNoPicture("Its page cannot be shown."); };
  picture.onload = () => { picture.onload = null; if (canvas) { $("box").hidden = false; placeBox(); $("box").focus(); } };
  picture.src = `/canvas_picture/${item.id}`;
  boxForm.hidden = false;
  setBox(item.figure.box || item.figure.record.region_box || middle());
  $("box-note").textContent = canvas.is_page ? "Points from the top left corner of the page." :
    "The paper is not at hand (--pdf_dir), so the box stays inside the crop, and the words in it are not known.";
}

function closeEditorOnly() { editor.hidden = true; $("target").hidden = false; }

function middle() {
  const [x0, top, x1, bottom] = canvas.area;
  return [x0 + (x1 - x0) / 4, top + (bottom - top) / 4, x1 - (x1 - x0) / 4, bottom - (bottom - top) / 4];
}

function setBox(wanted) {
  const [left, above, right, below] = canvas.area;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const round = value => Math.round(10 * value) / 10;
  const [x0, top, x1, bottom] = wanted.map(Number);
  const a = clamp(x0, left, right - 5), b = clamp(top, above, below - 5);
  box = [a, b, clamp(x1, a + 5, right), clamp(bottom, b + 5, below)].map(round);
  for (const [place, name] of ["x0", "top", "x1", "bottom"].entries()) {
    const input = boxForm.elements[name];
    if (document.activeElement !== input || Number(input.value) !== box[place]) input.value = box[place].toFixed(1);
  }
  placeBox();
}

function placeBox() {
  const [left, above, right, below] = canvas.area;
  const percent = (value, from, to) => `${100 * (value - from) / (to - from)}%`;
  const style = $("box").style;
  style.left = percent(box[0], left, right);
  style.top = percent(box[1], above, below);
  style.width = percent(box[2] - box[0], 0, right - left);
  style.height = percent(box[3] - box[1], 0, below - above);
}

async function saveBox(value) {
  const id = item.id;
  const before = { box: item.figure.box };
  const found = await ask("/box", { id, box: value });
  done.push({ id, path: "/box", before });
  const kept = value ? "box kept; preparing again crops it" : "box of the rules is back";
  await goOn(kept, async () => { await step("forward", id); show(found); $("main").focus(); });
}

boxForm.addEventListener("submit", event => { event.preventDefault(); alone(() => saveBox(box)); });
for (const input of boxForm.querySelectorAll("input")) {
  input.addEventListener("change", () => setBox(["x0", "top", "x1", "bottom"].map(name => boxForm.elements[name].value)));
}
$("box-reset").addEventListener("click", () => alone(() => saveBox(null)));
$("box-cancel").addEventListener("click", cancel);

$("box").addEventListener("pointerdown", event => {
  event.preventDefault();
  const side = event.target.dataset.side || "";
  const begin = { x: event.clientX, y: event.clientY, box: [...box] };
  const [left, above, right, below] = canvas.area;
  const shown = $("picture").getBoundingClientRect();
  const move = moved => {
    if (!canvas) return;
    const x = (moved.clientX - begin.x) * (right - left) / shown.width;
    const y = (moved.clientY - begin.y) * (below - above) / shown.height;
    setBox(shifted(begin.box, side, x, y));
  };
  const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
});

// The box moved as a whole where no side is given, and never through its own other side.
function shifted([x0, top, x1, bottom], side, x, y) {
  if (!side) {
    const [left, above, right, below] = canvas.area;
    x = Math.min(Math.max(x, left - x0), right - x1);
    y = Math.min(Math.max(y, above - top), below - bottom);
    return [x0 + x, top + y, x1 + x, bottom + y];
  }
  return [
    side.includes("w") ? Math.min(x0 + x, x1 - 5) : x0, side.includes("n") ? Math.min(top + y, bottom - 5) : top,
    side.includes("e") ? x1 + x : x1, side.includes("s") ? bottom + y : bottom,
  ];
}

// --- keys ------------------------------------------------------------------------------------------------------------

const ACTIONS = {
  a: () => alone(() => decide("accept", item.text)), r: () => alone(() => decide("reject")),
  e: () => alone(() => openEditor(item.text || item.candidate.key.target)), b: () => alone(openBox), u: () => alone(undo),
  R: () => alone(rejectFigure), j: () => alone(forward), k: () => alone(back), "?": () => $("keys").showModal(),
};
const ALIASES = { ArrowRight: "j", ArrowLeft: "k", n: "j", p: "k" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

document.addEventListener("keydown", event => {
  if (event.isComposing || $("keys").open) return;
  const inField = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (!editor.hidden || canvas) cancel();
    else if (inField) { event.target.blur(); $("main").focus(); }
    return;
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !editor.hidden) { event.preventDefault(); alone(saveText); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || inField) return;
  if (canvas) {
    if (event.key === "Enter" && !event.target.matches("button")) { event.preventDefault(); alone(() => saveBox(box)); }
    else if (ARROWS[event.key]) { event.preventDefault(); setBox(shifted(box, event.shiftKey ? "se" : "", ...ARROWS[event.key])); }
    return;
  }
  if (event.key === "f") { event.preventDefault(); filters.elements.task.focus(); return; }
  if (event.key === "z" && item) { $("seen").classList.toggle("zoomed"); return; }
  const key = ALIASES[event.key] || (event.key === "R" ? "R" : event.key.toLowerCase());
  const button = document.querySelector(`button[data-key="${CSS.escape(key)}"]`);
  if (button && !button.disabled && !event.repeat) { event.preventDefault(); press(key); }
});

function press(key) {
  if (canvas || !editor.hidden) cancel();
  ACTIONS[key]();
}

for (const button of document.querySelectorAll("button[data-key]")) {
  button.addEventListener("click", () => { press(button.dataset.key); if (button.dataset.key !== "?") $("main").focus(); });
}
$("picture").addEventListener("click", () => { if (!canvas) $("seen").classList.toggle("zoomed"); });
filters.addEventListener("change", () => busy ? refilter = true : alone(() => restart()));
filters.addEventListener("submit", event => event.preventDefault());
addEventListener("resize", () => { if (box) placeBox(); });

// --- beginning -------------------------------------------------------------------------------------------------------

function offer(select, values) {
  select.replaceChildren(...values.map(([value, label]) => new Option(label, value)));
}

alone(async () => {
  const choices = await ask("/choices");
  offer(filters.elements.task, [["", "all"], ...choices.tasks.map(task => [task, task === "figure" ? "whole figures" : task])]);
  offer(filters.elements.rule, [["kept", "none, kept"], ["any", "any, left out"], ["all", "with or without"],
    ...Object.keys(choices.rules).map(rule => [rule, words(rule)])]);
  if (!choices.kept) filters.elements.rule.value = "any";
  $("file").textContent = choices.decisions_file;
  await restart(/^#[0-9a-f]{16}$/.test(location.hash) ? location.hash.slice(1) : "");
  $("main").focus();
});
