// Reads the text that `/metrics` serves (OpenMetrics, and Prometheus' older format, which differs in nothing that matters here).

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?/;
const VALUE = /^\s*(\S+)/;

/** The samples of one moment, by name. A line that makes no sense is skipped: the others are still worth showing. */
export function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const sample = line.startsWith("#") ? null : parseSample(line);
    if (!sample) continue;
    const known = samples.get(sample.name);
    if (known) known.push(sample);
    else samples.set(sample.name, [sample]);
  }
  return new Metrics(samples);
}

function parseSample(line) {
  const name = NAME.exec(line)?.[0];
  if (!name) return null;
  let rest = line.slice(name.length);
  const labels = {};
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    for (let label = LABEL.exec(rest); label; label = LABEL.exec(rest)) {
      labels[label[1]] = unescape(label[2]);
      rest = rest.slice(label[0].length);
    }
    if (!rest.startsWith("}")) return null;
    rest = rest.slice(1);
  }
  // What may follow the value, a time or an exemplar, is not looked at.
  const value = number(VALUE.exec(rest)?.[1]);
  return value === null ? null : { name, labels, value };
}

function unescape(text) {
  return text.replace(/\\(.)/g, (_, character) => (character === "n" ? "\n" : character));
}

function number(text) {
  if (text === undefined) return null;
  if (text === "NaN") return NaN;
  const infinite = /^([+-]?)Inf(inity)?$/i.exec(text);
  if (infinite) return infinite[1] === "-" ? -Infinity : Infinity;
  const value = Number(text);
  return Number.isNaN(value) ? null : value;
}

/** What a server said at one moment. */
export class Metrics {
  #samples;

  constructor(samples) {
    this.#samples = samples;
  }

  /** Every sample of this name whose labels have the wanted values, as `{ name, labels, value }`. */
  all(name, wanted = {}) {
    const entries = Object.entries(wanted);
    return (this.#samples.get(name) ?? []).filter(({ labels }) => entries.every(([label, value]) => labels[label] === value));
  }

  /** The sum of those samples; null where there is none: nobody measured, which is not the same as zero. */
  sum(name, wanted = {}) {
    const samples = this.all(name, wanted);
    return samples.length === 0 ? null : samples.reduce((sum, { value }) => sum + value, 0);
  }

  /** The values that a label takes among the samples of this name, in the order of their first appearance. */
  labelValues(name, label, wanted = {}) {
    return [...new Set(this.all(name, wanted).map(({ labels }) => labels[label]))].filter((value) => value !== undefined);
  }
}
