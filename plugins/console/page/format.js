// Figures as text. A figure that is not known is a dash.

const NONE = "–";
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });
// Between a number and its unit, so that they stay on one line.
const GAP = "\u202f";

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** 12,345 */
export function count(value) {
  return known(value) ? whole.format(value) : NONE;
}

/** Three digits, and all of them from a hundred on: 0, 3.21, 48.2, 1,234. */
export function rate(value) {
  if (!known(value)) return NONE;
  return Math.abs(value) >= 100 ? whole.format(value) : short.format(value);
}

/** `value` from 0 to 1. */
export function share(value) {
  return known(value) ? `${rate(value * 100)}${GAP}%` : NONE;
}

/** Seconds in the unit that fits: 85.2 µs, 12.3 ms, 1.25 s. */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds === 0) return `0${GAP}s`;
  if (seconds < 0.0009995) return `${rate(seconds * 1e6)}${GAP}µs`;
  if (seconds < 0.9995) return `${rate(seconds * 1e3)}${GAP}ms`;
  return `${rate(seconds)}${GAP}s`;
}

/** A quantile, no more precise than its histogram: in the first bucket only its bound is known, in the last only the one before. */
export function quantileText(found) {
  if (!found) return NONE;
  if (found.upTo === Infinity) return `>${GAP}${duration(found.above)}`;
  return found.above === 0 ? `<${GAP}${duration(found.upTo)}` : duration(found.estimate);
}

/** The first twelve digits of a digest, enough to tell versions apart by eye. */
export function shortDigest(digest) {
  return digest ? digest.replace(/^sha256:/, "").slice(0, 12) : NONE;
}
