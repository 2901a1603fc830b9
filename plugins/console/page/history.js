// The last minutes of a server's metrics, and what can be said only of a span of time: increases and rates.

/** How much a counter grew. A counter that went down was started anew, and all of it is new. */
export function increase(later, earlier) {
  if (later === null) return null;
  return earlier === null || later < earlier ? later : later - earlier;
}

export class History {
  #moments = [];
  #capacity;

  /** `capacity` moments are kept, at one per second about as many seconds. */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  /** `time` in milliseconds, from a clock that does not go back. */
  add(time, metrics) {
    this.#moments.push({ time, metrics });
    if (this.#moments.length > this.#capacity) this.#moments.shift();
  }

  /** The newest metrics; null before the first. */
  get latest() {
    return this.#moments.at(-1)?.metrics ?? null;
  }

  /** The span of the last so many seconds, or of all that is known where that is less; null before the second moment. */
  last(seconds) {
    return this.#span(this.#moments.length - 1, seconds);
  }

  /** `read` of each moment, oldest first. */
  values(read) {
    return this.#moments.map(({ metrics }) => read(metrics));
  }

  /** `read` of the span before each moment, oldest first; null where there is no span. */
  spans(seconds, read) {
    return this.#moments.map((_, index) => {
      const span = this.#span(index, seconds);
      return span && read(span);
    });
  }

  #span(index, seconds) {
    if (index < 1) return null;
    const to = this.#moments[index];
    let first = index - 1;
    // Polls do not come to the millisecond: half a second decides which moment is meant.
    while (first > 0 && to.time - this.#moments[first].time < seconds * 1000 - 500) first -= 1;
    return new Span(this.#moments[first], to);
  }
}

/** Two moments and what lies between them. */
export class Span {
  constructor(from, to) {
    this.earlier = from.metrics;
    this.later = to.metrics;
    this.seconds = (to.time - from.time) / 1000;
  }

  /** How much the counters of this name and these labels grew together; null where nobody counts. */
  increase(name, wanted) {
    return increase(this.later.sum(name, wanted), this.earlier.sum(name, wanted));
  }

  /** The same per second. */
  rate(name, wanted) {
    const grown = this.increase(name, wanted);
    return grown === null || this.seconds <= 0 ? null : grown / this.seconds;
  }
}
