// Cuts of sampling.cu: the likeliest tokens of a row, or the token with which they reach some number or weight. For one block of
// THREADS threads, all of which call these functions with the same arguments.
#pragma once
#include "sampling_values.cuh"

// One row's values.
struct Values {
    const float* row;
    u32 len;
    Kind kind;
    Scale scale;
    __device__ __forceinline__ u64 order(float v, u32 token) const { return order_of(key_for(kind, v), token); }
};

struct Shared {
    SampleRow row;
    Values values;
    u64 best[THREADS];       // of the strips; 0 beyond the last
    u32 strips[THREADS];     // that a head is gathered from
    union {
        u64 head[HEAD_LEN];  // orders
        struct { u32 count[BINS], low[BINS], high[BINS]; } bins;  // tokens, and the halves of their weight
    };
    u64 sums[WARPS], more_sums[WARPS];
    double real_sums[WARPS];
    u64 bits;                // the row's random number
    u64 found, before;       // what a search found, and the sum before it
    u32 head_len, strips_len;
    int skip;
};

__device__ __forceinline__ u64 warp_scan_u64(u64 v) {  // inclusive
    const u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const u64 below = __shfl_up_sync(~0u, v, o);
        if (lane >= (u32)o) v += below;
    }
    return v;
}
__device__ __forceinline__ u64 block_max(Shared& s, u64 v) {
#pragma unroll
    for (int o = 16; o; o >>= 1) v = max(v, __shfl_xor_sync(~0u, v, o));
    __syncthreads();
    if (threadIdx.x % 32 == 0) s.sums[threadIdx.x / 32] = v;
    __syncthreads();
    v = s.sums[threadIdx.x % 32];
#pragma unroll
    for (int o = 16; o; o >>= 1) v = max(v, __shfl_xor_sync(~0u, v, o));
    return v;
}
// The sum over the threads before this one; `total` gets that over all.
__device__ __forceinline__ u64 block_scan(Shared& s, u64 v, u64& total) {
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u64 sum = warp_scan_u64(v);
    __syncthreads();
    if (lane == 31) s.sums[warp] = sum;
    __syncthreads();
    const u64 sums = warp_scan_u64(s.sums[lane]);
    total = __shfl_sync(~0u, sums, 31);
    const u64 before = __shfl_sync(~0u, sums, (warp + 31) % 32);
    return sum - v + (warp ? before : 0);
}

// Sorts the head, the greatest first. `s.head[..len]` is written and seen by all, before and after.
__device__ __noinline__ void sort_head(Shared& s, u32 len) {
    if (len <= THREADS / 8) {  // eight threads count how many are greater than one order
        const u32 i = threadIdx.x / 8;
        const u64 mine = i < len ? s.head[i] : 0;
        u32 rank = 0;
        for (u32 j = threadIdx.x % 8; j < len; j += 8) rank += s.head[j] > mine;
#pragma unroll
        for (int o = 4; o; o >>= 1) rank += __shfl_xor_sync(~0u, rank, o);
        __syncthreads();
        if (i < len && threadIdx.x % 8 == 0) s.head[rank] = mine;
        __syncthreads();
        return;
    }
    u32 padded = THREADS / 4;
    while (padded < len) padded *= 2;
    for (u32 i = len + threadIdx.x; i < padded; i += THREADS) s.head[i] = 0;
    __syncthreads();
    for (u32 run = 2; run <= padded; run *= 2)
        for (u32 step = run / 2; step; step /= 2) {
            const u32 i = threadIdx.x * 2 - (threadIdx.x & (step - 1)), j = i + step;
            if (j < padded) {
                const u64 x = s.head[i], y = s.head[j];
                const bool descends = (i & run) == 0;
                if ((x < y) == descends) s.head[i] = y, s.head[j] = x;
            }
            __syncthreads();
        }
}

__device__ __forceinline__ void push_head(Shared& s, u64 order) {
    const u32 at = atomicAdd(&s.head_len, 1);
    if (at < HEAD_LEN) s.head[at] = order;
}

// An order that the best tokens of at least r strips reach, if possible not many more; 1, that of any token, if fewer have one.
__device__ __noinline__ u64 cut_for(Shared& s, u32 num_strips, u32 r) {
    const u32 key = (u32)(s.best[threadIdx.x] >> 32);
    const u32 enough = r + min(r, num_strips - min(r, num_strips)) / 4;
    u32 cut = 0;
    for (u32 bit = 1u << 31; bit; bit >>= 1) {
        const u32 higher = cut | bit, reach_it = __syncthreads_count(key >= higher);
        if (reach_it < r) continue;
        cut = higher;
        if (reach_it <= enough) break;
    }
    return max((u64)cut << 32, 1ull);
}

// Gathers the tokens of `cut` and above from the strips that have any; returns how many. More than HEAD_LEN: they do not fit.
__device__ __noinline__ u32 gather_head(Shared& s, u64 cut) {
    const Values values = s.values;
    const u32 t = threadIdx.x, lane = t % 32;
    if (t == 0) s.strips_len = s.head_len = 0;
    __syncthreads();
    if (s.best[t] >= cut) s.strips[atomicAdd(&s.strips_len, 1)] = t;
    __syncthreads();
    const u32 strips_len = s.strips_len;
    for (u32 i = t / 32; i < strips_len; i += WARPS) {
        const u32 first = s.strips[i] * STRIP + lane * 4;
        float4 v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) v[j] = load4(values.row, values.len, first + j * 128);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float f[4] = {v[j].x, v[j].y, v[j].z, v[j].w};
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const u64 order = values.order(f[e], first + j * 128 + e);
                if (order >= cut) push_head(s, order);
            }
        }
    }
    __syncthreads();
    return s.head_len;
}

// Gathers all tokens of `cut` and above. The caller knows that they fit.
__device__ __noinline__ u32 gather_above(Shared& s, u64 cut) {
    const Values values = s.values;
    if (threadIdx.x == 0) s.head_len = 0;
    __syncthreads();
    for (u32 token = threadIdx.x * 4; token < values.len; token += THREADS * 4) {
        const float4 v = load4(values.row, values.len, token);
        const float f[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const u64 order = values.order(f[e], token + e);
            if (order >= cut) push_head(s, order);
        }
    }
    __syncthreads();
    return min(s.head_len, HEAD_LEN);
}

// Looks along 2 x THREADS numbers, two a thread, for the place where their sum reaches `target` (at least 1). Sets `s.found` to
// that place and `s.before` to the sum before it; returns whether there is one.
__device__ __forceinline__ bool find_sum(Shared& s, u64 x, u64 y, u64 target, u64& total) {
    const u64 before = block_scan(s, x + y, total);
    if (total < target) return false;
    if (before < target && target <= before + x) s.found = threadIdx.x * 2, s.before = before;
    if (before + x < target && target <= before + x + y) s.found = threadIdx.x * 2 + 1, s.before = before + x;
    __syncthreads();
    return true;
}

// Finds the token, from the likeliest on, with which the number (or the weight) of the tokens of `cut` and above reaches
// `target`, by histograms of the row; returns its order. `cut` if they never reach it.
__device__ __noinline__ u64 select(Shared& s, u64 cut, bool by_weight, u64 target) {
    const Values values = s.values;
    const u32 t = threadIdx.x, rounds = (values.len + THREADS * 4 - 1) / (THREADS * 4);
    u32 bin = 0;
    u64 prefix = 0, total;
    // Level 0 is the distance from the greatest value, levels 1 to 6 the digits of the order: 11 bits each, 9 at last.
    int level = 0;
    const auto shift_of = [](int level) { return level < 6 ? 64 - 11 * level : 0; };
    // Whether a token is among those that the levels before left.
    const auto is_in = [&](float v, u64 order) {
        if (order == 0 || order < cut) return false;
        if (values.kind != RAW && !(v >= values.scale.least)) return false;
        if (level > 0 && values.scale.bin(v) != bin) return false;
        return level < 2 || order >> shift_of(level - 1) == prefix;
    };
    for (;;) {
        __syncthreads();
        for (u32 i = t; i < BINS; i += THREADS) s.bins.count[i] = s.bins.low[i] = s.bins.high[i] = 0;
        __syncthreads();
        float4 next = load4(values.row, values.len, t * 4);
        for (u32 round = 0; round < rounds; round++) {
            const u32 token = (round * THREADS + t) * 4;
            const float4 v = next;
            next = load4(values.row, values.len, token + THREADS * 4);
            const float f[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const u64 order = values.order(f[e], token + e);
                const bool in = is_in(f[e], order);
                u32 at = BINS;
                if (in && level == 0) at = values.scale.bin(f[e]);
                if (in && level > 0) at = BINS - 1 - (u32)(order >> shift_of(level) & (level < 6 ? 2047 : 511));
                u64 weight = in && by_weight ? values.scale.weight(f[e], 0.f) : 0;
                u32 count = in;
                // Equal values would queue up at one bin.
                const u32 least = __reduce_min_sync(~0u, at);
                const bool is_one_bin = least == __reduce_max_sync(~0u, at);
                if (is_one_bin) {
                    if (least == BINS) continue;
                    count = 32;
                    if (by_weight) weight = warp_sum_u64(weight);
                }
                if (in && (!is_one_bin || t % 32 == 0)) {
                    atomicAdd(&s.bins.count[at], count);
                    if (by_weight) {
                        const u32 low = (u32)weight, old = atomicAdd(&s.bins.low[at], low);
                        const u32 high = (u32)(weight >> 32) + (old + low < low);
                        if (high) atomicAdd(&s.bins.high[at], high);
                    }
                }
            }
        }
        __syncthreads();
        u64 sums[2];
#pragma unroll
        for (int i = 0; i < 2; i++)
            sums[i] = by_weight ? (u64)s.bins.high[t * 2 + i] << 32 | s.bins.low[t * 2 + i] : s.bins.count[t * 2 + i];
        if (!find_sum(s, sums[0], sums[1], target, total)) return cut;
        target -= s.before;
        const u32 found = (u32)s.found, count = s.bins.count[found];
        if (level == 0) bin = found;
        else prefix = level < 6 ? prefix << 11 | (BINS - 1 - found) : prefix << 9 | (BINS - 1 - found);
        level++;
        if (count <= HEAD_LEN || level > 6) break;
    }
    __syncthreads();
    if (t == 0) s.head_len = 0;
    __syncthreads();
    for (u32 token = t * 4; token < values.len; token += THREADS * 4) {
        const float4 v = load4(values.row, values.len, token);
        const float f[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const u64 order = values.order(f[e], token + e);
            if (is_in(f[e], order)) push_head(s, order);
        }
    }
    __syncthreads();
    const u32 len = min(s.head_len, HEAD_LEN);
    sort_head(s, len);
    u64 amounts[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const u32 at = t * 2 + i;
        amounts[i] = at >= len ? 0 : by_weight ? values.scale.weight(value_of(s.head[at]), 0.f) : 1;
    }
    if (!find_sum(s, amounts[0], amounts[1], target, total)) return cut;
    return s.head[s.found];
}
