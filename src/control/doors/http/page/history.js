// What was, and how fast: rates are differences of totals, and the last ten minutes are kept for the charts.

export const KEPT_MS = 600_000;
// Rates of a shorter time are noise: what is typed into a filter is asked for at once.
const RATED_S_MIN = 0.5;

export function keyOf(destination) {
  return `${destination.set} ${destination.duid} ${destination.uri}`;
}

function sum(items, number) {
  return items.reduce((total, item) => total + number(item), 0);
}

export class History {
  #before = null;
  #last = null;
  // Of each answer: { at, all, sets: Map of id }, each with cps, failed (a second) and load; null where nobody knows yet.
  samples = [];

  // Takes an answer of dispatcher.overview. Rates of all, sets, destinations and shards.
  take(overview) {
    const before = this.#before;
    const seconds = before ? (overview.at_ms - before.overview.at_ms) / 1000 : 0;
    // A restart begins its totals anew, and a clock that is set says nothing of how long it was.
    const isNext = seconds > 0 && overview.uptime_s >= before.overview.uptime_s;
    if (isNext && seconds < RATED_S_MIN) {
      return this.#last;
    }
    const by = (items, key) => new Map(items.map((it) => [key(it), it]));
    this.#before = { overview, destinations: by(overview.destinations, keyOf), sets: by(overview.sets, (it) => it.set) };
    const rates = isNext ? this.#rates(before, overview, seconds) : nothing(overview);
    this.#keep(overview, rates);
    this.#last = rates;
    return rates;
  }

  #rates(before, overview, seconds) {
    const rate = (now, then, name) => Math.max(0, now[name] - then[name]) / seconds;
    // Who was not told of before, as one that a filter left out, has none.
    const of = (now, then) => (then ? { cps: rate(now, then, "requests"), failed: rate(now, then, "failed") } : null);
    const destinations = new Map(overview.destinations.map((now) => [keyOf(now), of(now, before.destinations.get(keyOf(now)))]));
    const sets = new Map(overview.sets.map((now) => [now.set, of(now, before.sets.get(now.set))]));
    const shards = overview.shards.map((now, index) => {
      const then = before.overview.shards[index];
      const shard = (name) => (then ? rate(now, then, name) : 0);
      return { cps: shard("calls"), received: shard("received"), sent: shard("sent"), failed: shard("failed") };
    });
    const all = { cps: sum(shards, (it) => it.cps), failed: sum(shards, (it) => it.failed) };
    return { all, sets, destinations, shards };
  }

  #keep(overview, rates) {
    const of = (rate, load) => ({ cps: rate?.cps ?? null, failed: rate?.failed ?? null, load });
    const sets = new Map(overview.sets.map((set) => [set.set, of(rates.sets.get(set.set), set.load)]));
    const all = of(rates.all, sum(overview.sets, (set) => set.load));
    const at = overview.at_ms;
    // What a clock that was set back left ahead of now is no past.
    this.samples = this.samples.filter((sample) => sample.at < at && sample.at > at - KEPT_MS);
    this.samples.push({ at, all, sets });
  }
}

function nothing(overview) {
  return { all: null, sets: new Map(), destinations: new Map(), shards: overview.shards.map(() => null) };
}
