// What the page does beyond showing: it keeps itself true, and sends what its buttons say. Without it
// everything is shown all the same. Whatever came from elsewhere is only ever set as text.

const STREAM = "/api/v1/events/stream";
// Milliseconds: how often the page is fetched anew whatever happens, how long events are gathered before it
// is, how long a stream that was refused is left alone, how long a message stands.
const EVERY = 30_000, GATHER = 400, AGAIN = 60_000, STANDS = 6_000;

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// ------------------------------------------------------------------------------------------------ time

/** A span as a person says it, in at most two neighbouring units: like core/span.py. */
function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  for (let i = 0; i < 3; i++) {
    const [size, unit] = units[i], [smaller, small] = units[i + 1];
    if (whole >= size) {
      const rest = Math.floor((whole % size) / smaller);
      return `${Math.floor(whole / size)}${unit}` + (rest ? ` ${rest}${small}` : "");
    }
  }
  return `${whole}s`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

/** A time as the clock on the wall shows it, with its date where that is another one. */
function local(when, now) {
  const date = when.toDateString() === now.toDateString() ? "" : `${day.format(when)} `;
  const year = when.getFullYear() === now.getFullYear() ? "" : `${when.getFullYear()} `;
  return `${date}${year}${clock.format(when)}`;
}

/** Lets every time say what is true now. */
function tick() {
  const now = new Date(Date.now() + skew);
  for (const time of all("time[data-live]")) {
    const when = new Date(time.dateTime);
    if (Number.isNaN(when.getTime())) continue;
    const past = (now - when) / 1000;
    const words = {
      ago: () => (past < 1 ? "just now" : `${span(past)} ago`),
      for: () => span(past),
      in: () => (past > -1 ? "now" : `in ${span(-past)}`),
      left: () => (past > -1 ? "any moment" : `${span(-past)} left`),
      at: () => local(when, now),
    }[time.dataset.live]();
    if (time.textContent !== words) time.textContent = words;
    if (!time.title) time.title = whole.format(when);
  }
}

// How far our clock is from the server's (milliseconds).
let skew = 0;

// ------------------------------------------------------------------------------------------ keeping true

/** What a part of the page says, apart from times that tick by themselves. */
const gist = (element) => element.outerHTML.replace(/(<time\b[^>]*>)[^<]*/g, "$1");
// The gist of what the server sent last, by the id of the part.
let known = new Map();

function learn(root) {
  for (const part of all("[data-swap], [data-rows] > tr", root)) known.set(part.id, gist(part));
}

/** Where the focus is, in words that find it again in another copy of the page. */
function focused() {
  const active = document.activeElement;
  const home = active?.closest("[id]");
  if (!home || active === document.body) return null;
  const place = active === home ? -1 : all(active.tagName, home).indexOf(active);
  return () => {
    if (active.isConnected) return;
    const again = document.getElementById(home.id);
    (place < 0 ? again : all(active.tagName, again ?? document)[place] ?? again)?.focus({ preventScroll: true });
  };
}

/** Puts a new part in the old one's place; what was unfolded stays so. */
function replace(before, after) {
  const open = all("details[open][id]", before).map((details) => details.id);
  before.replaceWith(after);
  for (const id of open) one(`details[id="${CSS.escape(id)}"]`, after)?.setAttribute("open", "");
  show(after);
}

/** Takes over the rows that changed; the others stay as they are, with their focus and what is unfolded. */
function takeRows(before, after) {
  const held = new Map(all(":scope > tr", before).map((row) => [row.id, row]));
  let place = before.firstElementChild;
  for (const row of all(":scope > tr", after)) {
    const old = held.get(row.id);
    held.delete(row.id);
    if (old && known.get(row.id) === gist(row)) {
      if (old === place) place = place.nextElementSibling;
      else before.insertBefore(old, place);
      continue;
    }
    const state = (root) => one(".pill", root)?.textContent;
    if (!old || state(old) !== state(row)) row.classList.add("fresh");
    known.set(row.id, gist(Object.assign(row.cloneNode(true), { className: "" })));
    if (old === place) place = place?.nextElementSibling ?? null;
    if (old) replace(old, row);
    else show(row);
    before.insertBefore(row, place);
  }
  for (const gone of held.values()) gone.remove();
}

/** What a part says besides its rows. */
function around(part) {
  const copy = part.cloneNode(true);
  for (const rows of all("[data-rows]", copy)) rows.replaceChildren();
  return gist(copy).replace(/ hidden=""/g, "");
}

function take(page) {
  const refocus = focused();
  const parts = all("[data-swap]"), news = all("[data-swap]", page);
  const ids = (list) => list.map((part) => part.id).join(" ");
  if (ids(parts) !== ids(news)) {
    // Something is there that was not, or the other way round.
    const fresh = document.importNode(one("main", page), true);
    known = new Map();
    learn(page);
    replace(one("main"), fresh);
    const trust = document.importNode(one("#trust", page), true);
    replace(one("#trust"), trust);
  } else {
    for (const after of news) {
      const before = document.getElementById(after.id);
      const rows = one("[data-rows]", before), others = one("[data-rows]", after);
      if (rows && others && around(before) === around(after)) {
        takeRows(rows, document.importNode(others, true));
      } else if (known.get(after.id) !== gist(after)) {
        learn(after);
        known.set(after.id, gist(after));
        replace(before, document.importNode(after, true));
      }
    }
  }
  if (document.title !== page.title) document.title = page.title;
  one('meta[name="csrf"]').content = one('meta[name="csrf"]', page).content;
  refocus?.();
  tick();
}

let asking = null, again = false, goodAt = Date.now();

/** Fetches this page anew, and takes over what changed. */
async function refresh() {
  if (asking) {
    again = true;
    return asking;
  }
  asking = fetchPage();
  await asking;
  asking = null;
  if (again) {
    again = false;
    await refresh();
  }
}

async function fetchPage() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const text = await answer.text();
    const date = Date.parse(answer.headers.get("date") ?? "");
    if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 3_000) skew = date - Date.now();
    take(new DOMParser().parseFromString(text, "text/html"));
    goodAt = Date.now();
  } catch {
    tell(`no answer since ${clock.format(goodAt)}`, "lost");
    return;
  }
  tell(stream?.readyState === EventSource.OPEN ? "live" : "every 30 s", stream?.readyState === EventSource.OPEN ? "on" : "");
}

function tell(words, kind) {
  one("#live").className = `live ${kind}`;
  one("#live-words").textContent = words;
}

// ----------------------------------------------------------------------------------------------- events

let stream = null, soon = null;

function listen() {
  stream?.close();
  stream = new EventSource(STREAM);
  stream.addEventListener("open", () => tell("live", "on"));
  stream.addEventListener("event", (message) => heard(message.data));
  stream.addEventListener("gap", refresh);
  stream.addEventListener("error", () => {
    // Whether ftwatch answers at all is what the page was asked for last; a stream that fails says less.
    if (!one("#live").classList.contains("lost")) tell("every 30 s", "");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || listen(), AGAIN);
  });
}

/** Something happened: it is said to who cannot see it, and shown. */
function heard(text) {
  try {
    const { type, data } = JSON.parse(text);
    const what = data.status && data.status !== data.previous_status ? data.status : type.split(".").slice(1).join(" ");
    one("#said").textContent = `${data.name ?? data.id}: ${what.replaceAll("_", " ")}`;
  } catch {
    // What cannot be read can still be shown.
  }
  clearTimeout(soon);
  soon = setTimeout(refresh, GATHER);
}

// ---------------------------------------------------------------------------------------------- buttons

/** What needs a script appears once there is one. */
function show(root) {
  const wanted = "[data-send][hidden], [data-copy][hidden], [data-silence][hidden]";
  for (const element of [...(root.matches?.(wanted) ? [root] : []), ...all(wanted, root)]) element.hidden = false;
}

async function send(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { "content-type": "application/json", "x-csrf-token": one('meta[name="csrf"]').content },
    body: method === "DELETE" ? undefined : body,
  });
  if (answer.ok) return;
  const said = await answer.json().catch(() => ({}));
  throw new Error(said.error ?? `that was refused (HTTP ${answer.status})`);
}

let standing = null;

function toast(words, wrongly = false) {
  const place = one("#toast");
  place.classList.toggle("wrongly", wrongly);
  place.textContent = words;
  clearTimeout(standing);
  standing = setTimeout(() => (place.textContent = ""), STANDS);
}

async function press(button) {
  const { send: path, method = "POST", body = "{}", done, sure } = button.dataset;
  if (sure && !("asked" in button.dataset)) {
    const said = button.textContent;
    button.dataset.asked = "";
    button.textContent = sure;
    setTimeout(() => {
      delete button.dataset.asked;
      button.textContent = said;
    }, STANDS);
    return;
  }
  button.disabled = true;
  try {
    await send(method, path, body);
    toast(done);
    button.closest("details.menu")?.removeAttribute("open");
    await refresh();
  } catch (error) {
    toast(error.message, true);
  }
  button.disabled = false;
}

async function silence(form) {
  const { matchers, span, comment } = form.elements;
  const wrong = one('[role="alert"]', form);
  wrong.hidden = true;
  const asked = { matchers: [matchers.value], for: span.value, comment: comment.value };
  try {
    await send("POST", form.dataset.silence, JSON.stringify(asked));
    matchers.value = comment.value = "";
    toast("It is silent");
    await refresh();
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
    matchers.focus();
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-send]");
  if (button) press(button);
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy).textContent).then(
      () => toast("Copied"),
      () => toast("The browser does not let it be copied", true),
    );
  }
  for (const menu of all("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest("details.menu[open]");
  if (menu) {
    menu.removeAttribute("open");
    one("summary", menu).focus();
  }
});

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-silence]")) {
    event.preventDefault();
    silence(event.target);
  }
});

// ------------------------------------------------------------------------------------------------ start

learn(document);
show(document);
tick();
listen();
setInterval(tick, 1_000);
setInterval(() => document.hidden || refresh(), EVERY);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream.close();
  } else {
    refresh();
    listen();
  }
});
