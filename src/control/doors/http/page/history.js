// What was, and how fast: rates are differences of totals, and the last ten minutes are kept for the charts.

export const KEPT_MS = 600_000;

export function keyOf(destination) {
  return `${destination.set} ${destination.duid} ${destination.uri}`;
}

function sum(items, number) {
  return items.reduce((total, item) => total + number(item), 0);
}

export class History {
  #before = null;
  // Of each answer: { at, all, sets: Map of id }, each with cps, failed (a second) and load; null where nobody knows yet.
  samples = [];

  // Takes an answer of dispatcher.overview. Rates of all, sets, destinations and shards.
  take(overview) {
    const before = this.#before;
    const seconds = before ? (overview.at_ms - before.overview.at_ms) / 1000 : 0;
    // A restart begins its totals anew, and a clock that is set says nothing of how long it was.
    const isNext = seconds > 0 && overview.uptime_s >= before.overview.uptime_s;
    this.#before = { overview, destinations: new Map(overview.destinations.map((it) => [keyOf(it), it])) };
    const rates = isNext ? this.#rates(before, overview, seconds) : nothing(overview);
    this.#keep(overview, rates);
    return rates;
  }

  #rates(before, overview, seconds) {
    const rate = (now, then, name) => Math.max(0, now[name] - then[name]) / seconds;
    const destinations = new Map();
    for (const now of overview.destinations) {
      const then = before.destinations.get(keyOf(now));
      destinations.set(keyOf(now), then ? { cps: rate(now, then, "requests"), failed: rate(now, then, "failed") } : null);
    }
    const shards = overview.shards.map((now, index) => {
      const then = before.overview.shards[index];
      const of = (name) => (then ? rate(now, then, name) : 0);
      return { cps: of("calls"), received: of("received"), sent: of("sent"), failed: of("failed") };
    });
    const sets = new Map(overview.sets.map((set) => [set.set, { cps: 0, failed: 0 }]));
    for (const now of overview.destinations) {
      const [set, own] = [sets.get(now.set), destinations.get(keyOf(now))];
      set.cps += own?.cps ?? 0;
      set.failed += own?.failed ?? 0;
    }
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
