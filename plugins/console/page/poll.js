// Reads `/metrics` once a second while somebody looks at the page.

import { parse } from "./openmetrics.js";

const EVERY = 1000;
const PATIENCE = 5000;

/**
 * Calls `onMetrics(metrics, now)` for each answer and `onFailure(message)` for each that did not come. The next is asked only
 * when the last has come: a slow server is not asked more because it is slow.
 */
export function pollMetrics(onMetrics, onFailure) {
  const ask = async () => {
    const began = performance.now();
    try {
      const metrics = parse(await fetchText());
      onMetrics(metrics, performance.now());
    } catch (error) {
      onFailure(error.message);
    }
    schedule(EVERY - (performance.now() - began));
  };
  const schedule = (ms) => {
    if (document.hidden) document.addEventListener("visibilitychange", ask, { once: true });
    else setTimeout(ask, Math.max(ms, 100));
  };
  ask();
}

async function fetchText() {
  let response;
  try {
    response = await fetch("/metrics", { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "the server takes too long to answer" : "the server cannot be reached");
  }
  if (!response.ok) throw new Error(`/metrics answers with status ${response.status}`);
  return response.text();
}
