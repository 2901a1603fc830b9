// Draws of sampling.cu. For one block of THREADS threads, all of which call these functions and get the token.
#pragma once
#include "sampling_cut.cuh"

__device__ __forceinline__ u32 part_of(u32 len) { return (len + WARPS * 128 - 1) / (WARPS * 128) * 128; }

// The weight of the tokens of `cut` and above within `start..end`, summed over the warp.
__device__ __forceinline__ u64 weigh(const Values values, u64 cut, float min_p, u32 start, u32 end) {
    u64 sum = 0;
    for (u32 token = start + threadIdx.x % 32 * 4; token < end; token += STRIP) {
        float4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i].x = v[i].y = v[i].z = v[i].w = NOT_A_NUMBER;
            if (token + i * 128 < end) v[i] = load4(values.row, values.len, token + i * 128);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
            for (int e = 0; e < 4; e++) {
                if (!(f[e] >= values.scale.least)) continue;
                if (cut == 0 || values.order(f[e], token + i * 128 + e) >= cut) sum += values.scale.weight(f[e], min_p);
            }
        }
    }
    return warp_sum_u64(sum);
}
// Weighs the row in one part a warp: `s.sums`, seen by all.
__device__ __noinline__ void weigh_parts(Shared& s, u64 cut, float min_p) {
    const Values values = s.values;
    const u32 warp = threadIdx.x / 32, part = part_of(values.len);
    const u64 sum = weigh(values, cut, min_p, warp * part, min((warp + 1) * part, values.len));
    __syncthreads();
    if (threadIdx.x % 32 == 0) s.sums[warp] = sum;
    __syncthreads();
}
// Which of 32 parts the number `at` falls in; takes what is before it off.
__device__ __forceinline__ u32 part_at(u64 sum, u64& at) {
    const u64 upto = warp_scan_u64(sum);
    const u32 part = __ffs(__ballot_sync(~0u, upto > at)) - 1;
    at -= __shfl_sync(~0u, upto - sum, part);
    return part;
}
// floor(uniform x total), where uniform = (bits >> 11) x 2^-53
__device__ __forceinline__ u64 scaled(u64 bits, u64 total) { return __umul64hi(bits & ~2047ull, total); }

__device__ __noinline__ int draw_from_row(Shared& s, u64 cut, float min_p) {
    const Values values = s.values;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, part = part_of(values.len), piece = part / 32;
    weigh_parts(s, cut, min_p);
    const u64 sum = s.sums[lane];
    u64 at = scaled(s.bits, warp_sum_u64(sum));
    const u32 start = part_at(sum, at) * part;
    const u32 piece_start = min(start + warp * piece, values.len), piece_end = min(piece_start + piece, values.len);
    const u64 piece_sum = weigh(values, cut, min_p, piece_start, piece_end);
    if (lane == 0) s.more_sums[warp] = piece_sum;
    __syncthreads();
    u32 token = start + part_at(s.more_sums[lane], at) * piece;
    for (;; token += 32) {  // all warps do the same
        const float v = token + lane < values.len ? values.row[token + lane] : NOT_A_NUMBER;
        const u64 weight = values.order(v, token + lane) >= cut ? values.scale.weight(v, min_p) : 0;
        const u64 all = warp_sum_u64(weight);
        if (at < all) return token + part_at(weight, at);
        at -= all;
    }
}

// Draws from the first tokens of the head.
__device__ __noinline__ int draw_from_head(Shared& s, u32 len, float min_p) {
    const Values values = s.values;
    const u32 t = threadIdx.x;
    if (len == 1) return token_of(s.head[0]);
    __syncthreads();
    for (u32 i = t; i < len; i += THREADS) s.head[i] = s.head[i] << 32 | s.head[i] >> 32;  // now by id, the lowest first
    __syncthreads();
    sort_head(s, len);
    u64 weights[2], total;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const u32 at = t * 2 + i;
        weights[i] = at < len ? values.scale.weight(value_of(s.head[at] << 32), min_p) : 0;
    }
    const u64 before = block_scan(s, weights[0] + weights[1], total), at = scaled(s.bits, total);
    if (before <= at && at < before + weights[0]) s.found = t * 2;
    if (before + weights[0] <= at && at < before + weights[0] + weights[1]) s.found = t * 2 + 1;
    __syncthreads();
    return ~(u32)(s.head[s.found] >> 32);
}

__device__ __forceinline__ u64 mixed(u64 v) {  // SplitMix64
    v += 0x9e3779b97f4a7c15ull;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
    v = (v ^ v >> 27) * 0x94d049bb133111ebull;
    return v ^ v >> 31;
}
// The weight that makes up the share `mass` of `total`.
__device__ __forceinline__ u64 enough_of(float mass, u64 total) {
    const u64 enough = (u64)ceil((double)mass * (double)total);
    return max(min(enough, total), 1ull);
}

// A strip's weight, relative to the row's greatest value.
__device__ __forceinline__ u64 strip_weight(const Shared& s, u64 weight) {
    const Scale& scale = s.values.scale;
    if (weight == 0) return 0;
    const double exponent = ((double)value_of(s.best[threadIdx.x]) - (double)scale.greatest) / (double)scale.temperature;
    return (u64)((double)weight * exp(exponent));
}

// Draws from the whole row. `weight`: of the strip that has this thread's number, as the scan left it.
__device__ __noinline__ int draw_from_strips(Shared& s, u64 weight) {
    const Values values = s.values;
    const u32 t = threadIdx.x;
    const u64 mine = strip_weight(s, weight);
    u64 total;
    const u64 before = block_scan(s, mine, total), at = scaled(s.bits, total);
    if (before <= at && at < before + mine) {
        const double share = (double)(at - before) / (double)mine;
        s.found = t;
        s.before = min((u64)(share * (double)weight), weight - 1);
    }
    __syncthreads();
    // A lane takes 16 tokens; all warps do the same.
    const u32 strip = (u32)s.found, first = strip * STRIP + t % 32 * 16;
    const Scale scale = scale_of(value_of(s.best[strip]), values.scale.temperature);
    u64 rest = s.before, weights[16], sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float4 v = load4(values.row, values.len, first + i * 4);
        const float f[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int e = 0; e < 4; e++) sum += weights[i * 4 + e] = scale.weight(f[e], 0.f);
    }
    const u32 lane = part_at(sum, rest);
    u32 token = first;
#pragma unroll
    for (int i = 0; i < 15; i++) {  // past the tokens whose shares end before
        const bool is_past = token == first + i && rest >= weights[i];
        if (is_past) rest -= weights[i], token++;
    }
    return __shfl_sync(~0u, token, lane);
}

// An order that all tokens of the share `min_p` of the greatest weight reach; a little low, as their weights are looked at again.
__device__ __forceinline__ u64 cut_for_min_p(const Scale& scale, float min_p) {
    const float margin = fabsf(scale.greatest) * 1e-6f;
    const float least = scale.greatest - margin + scale.temperature * (logf(min_p) - 0.01f);
    return max(order_of(key_for(DRAW, least), ~0u), 1ull);
}

__device__ __forceinline__ int draw(const SamplingArgs& a, Shared& s) {
    const SampleRow& row = s.row;
    const u32 t = threadIdx.x;
    const bool has_top_k = cuts_top_k(row, a.vocab_len), has_top_p = row.top_p < 1.f;
    u64 total = 0;
    if (needs_weights(row, a.vocab_len)) {
        const u64 weight = t < a.num_strips ? a.weights[(u64)blockIdx.x * a.num_strips + t] : 0;
        if (!has_top_p) return draw_from_strips(s, weight);
        block_scan(s, strip_weight(s, weight), total);
    }
    // The head that is cut from: that of top-k, or a small one and then a large one, as most nuclei are small.
    const u32 many = max(a.num_strips - a.num_strips / 8, 1);
    for (u32 wanted = has_top_k ? row.top_k : min(many, SMALL_HEAD);; wanted = many) {
        u64 cut = 0;
        if (!has_top_k && !has_top_p) cut = cut_for_min_p(s.values.scale, row.min_p);
        else if (wanted <= many || a.vocab_len <= HEAD_LEN) cut = cut_for(s, a.num_strips, wanted);
        const u32 found = cut ? gather_head(s, cut) : HEAD_LEN + 1;
        if (found > HEAD_LEN) break;
        sort_head(s, found);
        u32 len = has_top_k ? min(row.top_k, found) : found;
        if (!has_top_p) return draw_from_head(s, len, row.min_p);
        u64 weights[2], head_total;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const u32 at = t * 2 + i;
            weights[i] = at < len ? s.values.scale.weight(value_of(s.head[at]), 0.f) : 0;
        }
        if (has_top_k) block_scan(s, weights[0] + weights[1], total);
        if (find_sum(s, weights[0], weights[1], enough_of(row.top_p, total), head_total)) {
            return draw_from_head(s, s.found + 1, row.min_p);
        }
        if (wanted >= many) break;
    }
    u64 cut = 0;
    if (has_top_k) {
        cut = select(s, 0, false, row.top_k);
        weigh_parts(s, cut, 0.f);
        total = warp_sum_u64(s.sums[t % 32]);
    }
    if (has_top_p) cut = select(s, cut, true, enough_of(row.top_p, total));
    return draw_from_row(s, cut, row.min_p);
}
