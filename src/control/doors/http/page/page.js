// The page: asks once a second, shows what comes.

import { actions } from "./actions.js";
import { Chart, LINES_MAX, decimals } from "./charts.js";
import { History, keyOf } from "./history.js";
import { NO_SUCH_METHOD, NOT_ALLOWED, Refused, Unknown, batch, canBeToken, forgetToken, hasToken, keepToken, role } from "./rpc.js";
import { Table, bar, head, number, put, state, text } from "./tables.js";

const EVERY_MS = 1_000;
const ROWS_MAX = 200;
const EVENTS_SHOWN = 50;

const byId = (id) => document.getElementById(id);
const millis = (value) => (value === null ? "–" : value.toFixed(1));
const ofCapacity = (item) => (item.capacity === null ? `${item.load}` : `${item.load} of ${item.capacity}`);
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(0)} %`);
const shareOf = ({ load, capacity }) => (capacity === null ? null : capacity === 0 ? 1 : Math.min(1, load / capacity));

let history = new History();
let hasEvents = true;
let may = null;
let last = null;
let timer = null;
// Counts looks and what ends them: what an older one brings in is not shown.
let turn = 0;

const tables = {
  sets: new Table(byId("sets"), [
    head((set) => `${set.set}`, (set) => set.name),
    bar((set) => set.utilisation, (set) => percent(set.utilisation)),
    number(ofCapacity),
    number((set) => `${set.available} of ${set.destinations}`),
    number((set) => decimals(set.rate?.cps)),
    number((set) => decimals(set.rate?.failed)),
  ]),
  destinations: new Table(byId("destinations"), [
    head((it) => it.uri, (it) => it.duid),
    number((it) => `${it.set}`),
    state((it) => it.state),
    state((it) => it.admin),
    bar(shareOf, ofCapacity),
    number((it) => decimals(it.rate?.cps)),
    number((it) => millis(it.response_ms)),
    number((it) => millis(it.probe_ms)),
    number((it) => `${it.failed}`),
    number((it) => decimals(it.rate?.failed)),
    text((it) => it.why, "long"),
    actions(acted),
  ]),
  shards: new Table(byId("shards"), [
    head((it) => `${it.shard}`, () => ""),
    number((it) => decimals(it.rate?.cps)),
    number((it) => decimals(it.rate?.received)),
    number((it) => decimals(it.rate?.sent)),
    ...["failed", "failovers", "lost", "transactions", "dialogs"].map((name) => number((it) => `${it[name]}`)),
  ]),
  events: new Table(byId("events"), [
    text((it) => new Date(it.at).toLocaleTimeString()),
    text((it) => `${it.type}`),
    text(described, "long"),
  ]),
};

const charts = [
  ["cps", new Chart(byId("charts"), "Calls per second")],
  ["load", new Chart(byId("charts"), "Load, calls")],
  ["failed", new Chart(byId("charts"), "Failures per second")],
];

// What an event holds besides its number, time and type.
function described(event) {
  const rest = Object.entries(event).filter(([name, value]) => !["seq", "at", "type"].includes(name) && value !== null);
  return rest.map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

function show() {
  const { overview, rates } = last;
  put(byId("ready"), overview.not_ready === null ? "ready" : `not ready: ${overview.not_ready}`);
  byId("ready").dataset.state = overview.not_ready === null ? "ready" : "not ready";
  const drift = overview.drift === 0 ? "" : `, drift ${overview.drift}`;
  put(byId("about"), `${overview.version}, up ${uptime(overview.uptime_s)}${drift}`);
  chooseScopes(overview.sets);
  const scope = byId("scope").value;
  const inScope = (item) => scope === "" || `${item.set}` === scope;
  const rated = (items, rate) => items.map((item, index) => ({ ...item, rate: rate(item, index) }));
  tables.sets.show(rated(overview.sets.filter(inScope), (set) => rates.sets.get(set.set)), (set) => set.set);
  tables.shards.show(rated(overview.shards, (_, index) => rates.shards[index]), (shard) => shard.shard);
  showDestinations(overview, rates);
  const lines = chartLines(overview.sets.filter(inScope), scope);
  for (const [name, chart] of charts) {
    chart.draw(history.samples, lines.map((line) => ({ name: line.name, of: (sample) => line.of(sample)?.[name] ?? null })));
  }
}

function uptime(seconds) {
  const [days, hours, minutes] = [seconds / 86_400, (seconds / 3_600) % 24, (seconds / 60) % 60].map(Math.floor);
  return days > 0 ? `${days} d ${hours} h` : hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

const called = (set) => (set.name ? `${set.set} ${set.name}` : `set ${set.set}`);

// The total and the first sets, or the one that was chosen.
function chartLines(sets, scope) {
  const lines = sets.map((set) => ({ name: called(set), of: (sample) => sample.sets.get(set.set) }));
  const total = { name: "total", of: (sample) => sample.all };
  return scope === "" ? [total, ...lines].slice(0, LINES_MAX) : lines;
}

// The sets to choose from; what is chosen stays as long as it is there.
function chooseScopes(sets) {
  const select = byId("scope");
  const wanted = [["all", ""], ...sets.map((set) => [called(set), `${set.set}`])];
  const shown = [...select.options].map((option) => [option.textContent, option.value]);
  if (JSON.stringify(wanted) === JSON.stringify(shown)) {
    return;
  }
  const chosen = select.value;
  select.replaceChildren(...wanted.map(([label, value]) => new Option(label, value)));
  select.value = wanted.some(([, value]) => value === chosen) ? chosen : "";
}

// Which destinations are asked for: however many there are, an answer has those that are looked at.
function choice() {
  const [scope, find] = [byId("scope").value, byId("find").value.trim()];
  return { ...(scope === "" ? {} : { set: Number(scope) }), find, troubled: byId("troubled").checked, limit: ROWS_MAX };
}

function showDestinations({ destinations, found, all }, rates) {
  tables.destinations.show(destinations.map((it) => ({ ...it, rate: rates.destinations.get(keyOf(it)) })), keyOf);
  const more = found > destinations.length ? `; the first ${destinations.length} are shown` : "";
  put(byId("shown"), `${found} of ${all}${more}`);
}

function showEvents(answer) {
  hasEvents = !(answer instanceof Refused && answer.code === NO_SUCH_METHOD);
  byId("events-section").hidden = !hasEvents || answer instanceof Refused;
  if (!(answer instanceof Refused)) {
    tables.events.show([...answer.events].reverse(), (event) => event.seq);
  }
}

// One at a time; `from` tells who may take it back.
function fault(message, from = "") {
  byId("fault").dataset.from = from;
  byId("fault").hidden = message === "";
  put(byId("fault"), message);
}

// What came of a button.
function acted(message, isFault, isRole) {
  put(byId("done"), isFault ? "" : message);
  fault(isFault ? message : "");
  if (isRole) {
    // Another token may be in force by now: what it may do is asked again.
    may = null;
  }
  step();
}

async function ask(mine) {
  const allowed = may ?? (await role());
  const looks = [["dispatcher.overview", { limit: 0 }], ["dispatcher.overview", choice()]];
  const [every, chosen, events] = await batch([...looks, ...(hasEvents ? [["events.list", { limit: EVENTS_SHOWN }]] : [])]);
  if (mine !== turn) {
    return;
  }
  for (const answer of [every, chosen]) {
    if (answer instanceof Refused) {
      throw answer;
    }
  }
  const { destinations, destinations_found: found, destinations_all: all } = chosen;
  const overview = { ...every, destinations, found, all };
  may = allowed;
  document.body.classList.toggle("watcher", may !== "operate");
  last = { overview, rates: history.take(overview) };
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = !hasToken();
  byId("view").hidden = false;
  byId("view").classList.remove("stale");
  show();
  if (events !== undefined) {
    showEvents(events);
  }
}

// One look, and the next one a second after this one began.
async function step() {
  clearTimeout(timer);
  const mine = ++turn;
  const began = performance.now();
  try {
    await ask(mine);
    if (mine === turn && byId("fault").dataset.from === "ask") {
      fault("");
    }
  } catch (error) {
    if (mine === turn) {
      failed(error);
    }
  }
  if (mine === turn) {
    timer = setTimeout(step, Math.max(100, EVERY_MS - (performance.now() - began)));
  }
}

function failed(error) {
  if (error instanceof Unknown || error.code === NOT_ALLOWED) {
    const why = error instanceof Unknown ? "siplane does not know this token." : `This token may not look: ${error.message}.`;
    signOut(hasToken() ? why : "This siplane answers those who have a token.");
    return;
  }
  byId("view").classList.add("stale");
  const when = last ? ` What is shown is of ${new Date(last.overview.at_ms).toLocaleTimeString()}.` : "";
  fault(`No answer: ${error.message}.${when}`, "ask");
}

// Nothing that was shown stays, and nothing is asked until there is another token.
function signOut(why) {
  clearTimeout(timer);
  turn += 1;
  forgetToken();
  [may, last, history, hasEvents] = [null, null, new History(), true];
  Object.values(tables).forEach((table) => table.show([], () => ""));
  ["ready", "about", "done"].forEach((id) => put(byId(id), ""));
  fault("");
  byId("view").hidden = true;
  byId("sign-out").hidden = true;
  byId("sign-in").hidden = false;
  put(byId("sign-in-why"), why);
  byId("token").focus();
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (!canBeToken(token)) {
    put(byId("sign-in-why"), "That is no token: it has printable characters alone.");
    return;
  }
  keepToken(token);
  step();
});
byId("sign-out").addEventListener("click", () => signOut("The token is forgotten."));
for (const id of ["scope", "find", "troubled"]) {
  byId(id).addEventListener("input", () => last && step());
}
step();
