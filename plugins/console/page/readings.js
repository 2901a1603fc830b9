// What the operator's tiles show: figures of now, figures of the last minute, and their course through it.

import { count, duration, quantileText, rate, share } from "./format.js";
import { difference, mean, quantile, readHistogram } from "./histogram.js";

/** Rates are of this many seconds: long enough to be read, short enough to be now. */
const NOW = 3;
/** Quantiles and shares need more observations than a few seconds have. */
const MINUTE = 60;

/** One tile per reading: `{ id, label, value, unit, detail, series, known }`. `series` may hold nulls, where nothing was measured. */
export function readings(history) {
  return [
    running(history),
    generated(history),
    cache(history),
    latency(history, "first-token", "Time to first token", "vllm:time_to_first_token_seconds"),
    latency(history, "between-tokens", "Between tokens", "vllm:inter_token_latency_seconds"),
    prefixCache(history),
    preemptions(history),
    responses(history),
  ];
}

function tile(id, label, value, unit, detail, series) {
  const known = value !== "–";
  return { id, label, value, unit: known ? unit : "", detail: detail ?? (known ? "" : "not reported"), series, known };
}

function running(history) {
  const read = (metrics) => metrics.sum("vllm:num_requests_running");
  const waiting = history.latest.sum("vllm:num_requests_waiting");
  const detail = waiting === null ? undefined : `${count(waiting)} waiting`;
  return tile("running", "Running", count(read(history.latest)), "requests", detail, history.values(read));
}

function generated(history) {
  const read = (span) => span.rate("vllm:generation_tokens_total");
  const now = history.last(NOW);
  const total = history.latest.sum("vllm:generation_tokens_total");
  const parts = [];
  const prompts = now?.rate("vllm:prompt_tokens_total") ?? null;
  if (prompts !== null) parts.push(`prompts ${rate(prompts)}/s`);
  if (total !== null) parts.push(`${count(total)} in all`);
  return tile("generated", "Generated", rate(now && read(now)), "tokens/s", parts.join(" · ") || undefined, history.spans(NOW, read));
}

function cache(history) {
  const read = (metrics) => metrics.sum("vllm:kv_cache_usage_perc");
  const used = history.latest.sum("host_kv_blocks_used");
  const all = history.latest.sum("host_kv_blocks");
  const cached = history.latest.sum("host_kv_blocks_cached");
  const parts = [];
  if (used !== null && all !== null) parts.push(`${count(used)} of ${count(all)} blocks`);
  if (cached !== null) parts.push(`${count(cached)} cached`);
  return tile("kv-cache", "KV cache in use", share(read(history.latest)), "", parts.join(" · ") || undefined, history.values(read));
}

function latency(history, id, label, name) {
  const whole = readHistogram(history.latest, name);
  const minute = history.last(MINUTE);
  const recent = minute && difference(whole, readHistogram(minute.earlier, name));
  // After a quiet minute the figures since the start say more than none; the text says which they are.
  const isRecent = recent !== null && recent.count > 0;
  const shown = isRecent ? recent : whole;
  const series = history.spans(NOW, ({ earlier, later }) => mean(difference(readHistogram(later, name), readHistogram(earlier, name))));
  const detail = detailOfLatency(whole, shown, isRecent);
  return tile(id, label, quantileText(quantile(shown, 0.5)), "P50", detail, series);
}

function detailOfLatency(whole, shown, isRecent) {
  if (whole === null) return undefined;
  if (whole.count === 0) return "nothing measured yet";
  const figures = `P99 ${quantileText(quantile(shown, 0.99))} · mean ${duration(mean(shown))}`;
  return isRecent ? figures : `${figures} · since start`;
}

function prefixCache(history) {
  const hits = "vllm:prefix_cache_hits_total";
  const queries = "vllm:prefix_cache_queries_total";
  const ratio = (found, asked) => (found === null || !(asked > 0) ? null : found / asked);
  const whole = { found: history.latest.sum(hits), asked: history.latest.sum(queries) };
  const minute = history.last(MINUTE);
  const recent = minute && { found: minute.increase(hits), asked: minute.increase(queries) };
  const isRecent = recent !== null && recent.asked > 0;
  const { found, asked } = isRecent ? recent : whole;
  const detail = asked > 0 ? `${count(found)} of ${count(asked)} prompt tokens${isRecent ? "" : " · since start"}` : "nothing looked up yet";
  const series = history.spans(NOW, (span) => ratio(span.increase(hits), span.increase(queries)));
  return tile("prefix-cache", "Prefix cache hits", share(ratio(found, asked)), "", asked === null ? undefined : detail, series);
}

function preemptions(history) {
  const name = "vllm:num_preemptions_total";
  const recent = history.last(MINUTE)?.increase(name) ?? null;
  const detail = recent === null ? undefined : `${count(recent)} in the last minute`;
  return tile("preemptions", "Preemptions", count(history.latest.sum(name)), "", detail, history.spans(NOW, (span) => span.increase(name)));
}

function responses(history) {
  const name = "host_http_responses_total";
  const now = history.last(NOW);
  const byStatus = history.latest
    .labelValues(name, "status")
    .sort()
    .map((status) => `${status} × ${count(history.latest.sum(name, { status }))}`);
  const value = rate(now && now.rate(name));
  return tile("responses", "Responses", value, "per second", byStatus.join(" · ") || undefined, history.spans(NOW, (span) => span.rate(name)));
}
