// Histograms as Prometheus has them: how many observations lay at or below each bound. They only ever grow, so what happened
// between two moments is the difference of the two, and a quantile is looked up in that.

/** The histogram of this name, its series added up; null where there is none. */
export function readHistogram(metrics, name, wanted = {}) {
  const byBound = new Map();
  for (const { labels, value } of metrics.all(`${name}_bucket`, wanted)) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    if (!Number.isNaN(bound)) byBound.set(bound, (byBound.get(bound) ?? 0) + value);
  }
  if (byBound.size === 0) return null;
  const bounds = [...byBound.keys()].sort((a, b) => a - b);
  return {
    bounds,
    cumulative: bounds.map((bound) => byBound.get(bound)),
    sum: metrics.sum(`${name}_sum`, wanted) ?? NaN,
    count: byBound.get(Infinity) ?? byBound.get(bounds.at(-1)),
  };
}

/** What `later` holds beyond `earlier`. Where a count went down the server was started anew, and all of `later` is new. */
export function difference(later, earlier) {
  if (!later || !earlier || later.count < earlier.count) return later;
  if (later.bounds.join() !== earlier.bounds.join()) return later;
  return {
    bounds: later.bounds,
    cumulative: later.cumulative.map((count, index) => count - earlier.cumulative[index]),
    sum: later.sum - earlier.sum,
    count: later.count - earlier.count,
  };
}

/**
 * Between which bounds the quantile lies, and where in between if observations are spread evenly there, as Prometheus assumes:
 * `{ above, upTo, estimate }`. Null for an empty histogram.
 */
export function quantile(histogram, q) {
  if (!histogram || !(histogram.count > 0)) return null;
  const { bounds, cumulative, count } = histogram;
  const rank = q * count;
  const index = cumulative.findIndex((reached) => reached >= rank);
  if (index < 0) return null;
  const above = index === 0 ? 0 : bounds[index - 1];
  const upTo = bounds[index];
  if (upTo === Infinity) return { above, upTo, estimate: above };
  const before = index === 0 ? 0 : cumulative[index - 1];
  const inside = cumulative[index] - before;
  return { above, upTo, estimate: inside > 0 ? above + ((upTo - above) * (rank - before)) / inside : upTo };
}

/** The mean, which is exact where a quantile is an estimate. Null for an empty histogram. */
export function mean(histogram) {
  return histogram && histogram.count > 0 && !Number.isNaN(histogram.sum) ? histogram.sum / histogram.count : null;
}
