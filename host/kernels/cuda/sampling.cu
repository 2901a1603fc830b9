// From rows of logits to tokens, each row by its own settings. Two launches:
//   sampling_scan    grid (ceil(strips / 8), rows), 256 threads: one warp a strip of 512 tokens. Shapes the logits of rows that
//                    ask for it (mask, stop tokens, bias, penalties) into `shaped`, and notes the best token of each strip.
//   sampling_choose  grid (rows), 1024 threads: reduces the strips. Greedy rows are done then; others cut (top-k, top-p, min-p)
//                    and draw. Then logprobs and the slot's state.
//   sampling_count   grid (ceil(tokens / 256)), 256 threads: counts the tokens that a slot starts with.
// Layouts: logits fp32 [row][vocab_len], shaped fp32 [row][stride], occurrences u16 [slot][stride], strips [row][num_strips], with
// stride = vocab_len rounded up to 4. Limits: vocab_len <= 524,288 (1024 strips); no limit on rows but the grid's.
//
// A token is compared by one number, its order: (key of its value << 32) | ~id. Keys grow with the value, so a greater order is a
// likelier token, and equal values go by the lower id. A cut is an order: tokens below it are out. 0 is the order of no token.
//
// Weights are exp((value - greatest) / temperature) in steps of 2^-44, as integers: their sums do not depend on the order, so any
// way of adding them up gives the same token. The draw walks the tokens that are left by id, the lowest first. Where nothing is cut
// the scan has weighed each strip by the strip's own greatest value: the draw picks a strip, then a token of it.
//
// How a cut is found: if r strips have a token that reaches some value, so have at least r tokens, and only those strips hold any. So
// the head of the distribution is a few KB of the row. It is sorted in shared memory. What does not fit there (a flat nucleus,
// thousands of equal values) is found by histograms over the whole row: first of the distance from the greatest value, which
// spreads well, then of the digits of the order. That takes a hundred microseconds and more, and is rare.
#include "common.cuh"

constexpr u32 STRIP = 512;                  // tokens
constexpr u32 SCAN_WARPS = 8, THREADS = 1024, WARPS = THREADS / 32;
constexpr u32 HEAD_LEN = 2048;              // tokens that are sorted in shared memory
constexpr u32 BINS = 2048;
constexpr u32 MAX_LOGPROBS = 20;
constexpr u32 PENALTIES = 1, MASKED = 2, UNDECIDED = 4, BAN_STOPS = 8, CONTINUES = 16;
constexpr int NOTHING_LEFT = -1, NO_MASK_YET = -2, NOT_REACHED = -3;
constexpr float LEAST_LOGPROB = -9999.f;
constexpr float FARTHEST = 31.f;            // e^-31 is less than a step of a weight: what is farther from the greatest weighs nothing
constexpr float LEAST_TEMPERATURE = 1e-20f; // below, the reciprocal could overflow; nothing but the greatest is left long before

#define INFINITE __uint_as_float(0x7f800000u)
#define NOT_A_NUMBER __uint_as_float(0x7fc00000u)

struct SampleRow {
    u64 seed, position;
    int slot;
    u32 logits_row, flags;
    int draft;
    float temperature, top_p, min_p;
    u32 top_k;
    float repetition_penalty, presence_penalty, frequency_penalty;
    int num_logprobs;
    u32 bias_start, bias_len, stop_start, stop_len, mask_start, mask_len;
};

struct RowLogprobs {
    float chosen;
    int top_ids[MAX_LOGPROBS];
    float top[MAX_LOGPROBS];
};

struct SamplingArgs {
    const float* logits;
    const SampleRow* rows;
    const u32* bias_tokens;
    const float* bias_values;
    const u32* stop_tokens;
    const u32* mask_words;
    float* shaped;
    u64* best;               // [row][strip] greatest order among the shaped logits
    u64* raw_best;           // the same of the raw ones; of rows that want logprobs
    float* raw_sum;          // sum of exp(raw - greatest of the strip)
    u64* weights;            // of the strips, as if each one's best token weighed 1; of rows that need it
    unsigned short* occurrences;
    int* last_token;         // [slot]
    int* alive;              // [slot]
    int* chosen;             // [row]
    RowLogprobs* logprobs;   // [row]
    u32 vocab_len, stride, num_strips, num_logits_rows, max_slots, num_bias, num_stops, num_mask_words;
};

// ---- values and their order
__device__ __forceinline__ u32 key_of(float v) {  // 0 for NaN
    if (v != v) return 0;
    const u32 bits = __float_as_uint(v + 0.f);    // -0 becomes 0, as they are equal
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float value_of(u64 order) {
    const u32 key = (u32)(order >> 32);
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}
__device__ __forceinline__ u32 token_of(u64 order) { return ~(u32)order; }
__device__ __forceinline__ u64 order_of(u32 key, u32 token) { return key ? (u64)key << 32 | (u32)~token : 0; }

// Infinite logits: minus infinity is out, except for logprobs. A draw takes plus infinity only where nothing finite is left, so there
// it comes after all numbers.
constexpr u32 BEHIND_ALL = 1;
enum Kind { GREEDY, DRAW, RAW };
__device__ __forceinline__ u32 key_for(Kind kind, float v) {
    if (kind == RAW) return key_of(v);
    if (!(v > -INFINITE)) return 0;
    return kind == DRAW && v == INFINITE ? BEHIND_ALL : key_of(v);
}

// Four values from `token` (a multiple of 4) on; NaN beyond the vocabulary.
__device__ __forceinline__ float4 load4(const float* row, u32 len, u32 token) {
    if (token + 3 < len && ((u64)(row + token) & 15) == 0) return *(const float4*)(row + token);
    float4 v;
    v.x = token + 0 < len ? row[token + 0] : NOT_A_NUMBER;
    v.y = token + 1 < len ? row[token + 1] : NOT_A_NUMBER;
    v.z = token + 2 < len ? row[token + 2] : NOT_A_NUMBER;
    v.w = token + 3 < len ? row[token + 3] : NOT_A_NUMBER;
    return v;
}

// ---- rows
// Why a row chooses nothing, or 0. What a row says is never trusted with addresses.
__device__ __forceinline__ int skips(const SamplingArgs& a, const SampleRow& row) {
    if (row.slot < 0 || (u32)row.slot >= a.max_slots || row.logits_row >= a.num_logits_rows) return NOTHING_LEFT;
    if (row.flags & UNDECIDED) return NO_MASK_YET;
    if ((row.flags & CONTINUES) && a.alive[row.slot] == 0) return NOT_REACHED;
    return 0;
}
__device__ __forceinline__ bool is_shaped(const SampleRow& row) {
    return (row.flags & (PENALTIES | MASKED | BAN_STOPS)) || row.bias_len > 0;
}
// The part of a range of a side array that exists.
__device__ __forceinline__ u32 within(u32 start, u32 len, u32 all) { return start < all ? min(len, all - start) : 0; }

__device__ __forceinline__ float penalised(float v, u32 occurrence, const SampleRow& row) {
    if (occurrence == 0) return v;
    v = v > 0.f ? v / row.repetition_penalty : v * row.repetition_penalty;
    const u32 in_output = occurrence & 0x7fffu;
    if (in_output) {  // not contracted to a multiply-add, so that the bits are the same as on the CPU
        v = __fsub_rn(v, row.presence_penalty);
        v = __fsub_rn(v, __fmul_rn(row.frequency_penalty, (float)in_output));
    }
    return v;
}

// How values weigh, relative to the greatest.
struct Scale {
    float greatest, temperature, reciprocal, least;  // least: what is below weighs nothing
    // (v - greatest) / temperature, for v from `least` on
    __device__ __forceinline__ float exponent(float v) const {
        const float difference = v - greatest, quotient = difference * reciprocal;
        return fmaf(fmaf(-quotient, temperature, difference), reciprocal, quotient);
    }
    // 0 where it is less than a step, or less than the share `min_p` of the greatest weight.
    __device__ __forceinline__ u64 weight(float v, float min_p) const {
        if (!(v >= least && v < INFINITE)) return 0;
        const float w = expf(exponent(v));
        if (w < min_p) return 0;
        const u32 bits = __float_as_uint(w);  // the mantissa of 1 is 2^44, that of less is shifted
        return (u64)(bits & 0x7fffffu | 0x800000u) << 21 >> min(127 - (bits >> 23), 63u);
    }
    // Distance from the greatest value in bins: 0 for the greatest itself.
    __device__ __forceinline__ u32 bin(float v) const {
        if (v == greatest) return 0;
        return v >= least ? (u32)fminf(-exponent(v) * ((BINS - 1) / FARTHEST), BINS - 1.f) : BINS - 1;
    }
};
__device__ __forceinline__ Scale scale_of(float greatest, float temperature) {
    temperature = fmaxf(temperature, LEAST_TEMPERATURE);
    return {greatest, temperature, 1.f / temperature, greatest - FARTHEST * temperature};
}
// Whether a row's draw needs the weights of whole strips: top-k makes them superfluous, and min-p alone is a cut at a known value.
__device__ __forceinline__ bool cuts_top_k(const SampleRow& row, u32 len) { return row.top_k > 0 && row.top_k < len; }
__device__ __forceinline__ bool needs_weights(const SampleRow& row, u32 len) {
    return row.temperature != 0.f && !cuts_top_k(row, len) && (row.top_p < 1.f || row.min_p == 0.f);
}

__device__ __forceinline__ u64 warp_sum_u64(u64 v) {
#pragma unroll
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
    return v;
}
__device__ __forceinline__ u64 warp_max_order(u32 key, u32 token) {
    const u32 best = __reduce_max_sync(~0u, key);
    const u32 least = __reduce_min_sync(~0u, key == best ? token : ~0u);
    return order_of(best, least);
}

extern "C" __global__ void __launch_bounds__(SCAN_WARPS * 32) sampling_scan(const __grid_constant__ SamplingArgs a) {
    __shared__ __align__(16) float strips[SCAN_WARPS][STRIP];
    pdl_trigger();
    pdl_wait();
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, strip = blockIdx.x * SCAN_WARPS + warp;
    if (strip >= a.num_strips) return;
    const SampleRow& row = a.rows[blockIdx.y];
    if (skips(a, row)) return;
    const u32 len = a.vocab_len, start = strip * STRIP, first = start + lane * 4;
    const float* logits = a.logits + (u64)row.logits_row * len;
    const u64 out = (u64)blockIdx.y * a.num_strips + strip;
    float4 v[4];
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = load4(logits, len, first + i * 128);

    if (row.num_logprobs >= 0) {
        u32 key = 0, token = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const u32 k = key_of(f[j]);
                if (k > key) key = k, token = first + i * 128 + j;
            }
        }
        const u64 best = warp_max_order(key, token);
        const float greatest = value_of(best);
        float sum = 0.f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (f[j] > -INFINITE) sum += expf(f[j] - greatest);
        }
        sum = warp_sum(sum);
        if (lane == 0) a.raw_best[out] = best, a.raw_sum[out] = sum;
    }

    if (is_shaped(row)) {
        const u32 num_stops = row.flags & BAN_STOPS ? within(row.stop_start, row.stop_len, a.num_stops) : 0;
        const u32 num_bias = within(row.bias_start, row.bias_len, a.num_bias);
        if (row.flags & MASKED) {
            const u32 num_words = within(row.mask_start, row.mask_len, a.num_mask_words);
            const u32* words = a.mask_words + row.mask_start;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const u32 token = first + i * 128, word = token / 32;
                const u32 bits = word < num_words ? words[word] >> token % 32 : 0;
                if (!(bits & 1)) v[i].x = -INFINITE;
                if (!(bits & 2)) v[i].y = -INFINITE;
                if (!(bits & 4)) v[i].z = -INFINITE;
                if (!(bits & 8)) v[i].w = -INFINITE;
            }
        }
        if (num_stops + num_bias) {
            float* s = strips[warp];
#pragma unroll
            for (int i = 0; i < 4; i++) *(float4*)(s + lane * 4 + i * 128) = v[i];
            __syncwarp();
            for (u32 e = lane; e < num_stops; e += 32) {
                const u32 at = a.stop_tokens[row.stop_start + e] - start;
                if (at < STRIP) s[at] = -INFINITE;
            }
            __syncwarp();
            for (u32 e = lane; e < num_bias; e += 32) {
                const u32 at = a.bias_tokens[row.bias_start + e] - start;
                if (at < STRIP) s[at] += a.bias_values[row.bias_start + e];
            }
            __syncwarp();
#pragma unroll
            for (int i = 0; i < 4; i++) v[i] = *(const float4*)(s + lane * 4 + i * 128);
        }
        float* shaped = a.shaped + (u64)blockIdx.y * a.stride;
        const unsigned short* occurrences = a.occurrences + (u64)row.slot * a.stride;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const u32 token = first + i * 128;
            if (token >= a.stride) continue;
            if (row.flags & PENALTIES) {
                const uint2 o = *(const uint2*)(occurrences + token);
                v[i].x = penalised(v[i].x, o.x & 0xffffu, row);
                v[i].y = penalised(v[i].y, o.x >> 16, row);
                v[i].z = penalised(v[i].z, o.y & 0xffffu, row);
                v[i].w = penalised(v[i].w, o.y >> 16, row);
            }
            *(float4*)(shaped + token) = v[i];
        }
    }

    float greatest = -INFINITE;
    u32 token = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (f[j] > greatest) greatest = f[j], token = first + i * 128 + j;
    }
    u64 best = warp_max_order(key_for(GREEDY, greatest), token);
    if (row.temperature != 0.f && best && value_of(best) == INFINITE) {
        u32 key = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const u32 k = key_for(DRAW, f[j]);
                if (k > key) key = k, token = first + i * 128 + j;
            }
        }
        best = warp_max_order(key, token);
    }
    if (lane == 0) a.best[out] = best;

    if (needs_weights(row, len)) {
        u64 sum = 0;
        if (best && (u32)(best >> 32) != BEHIND_ALL) {
            const Scale scale = scale_of(value_of(best), row.temperature);
#pragma unroll
            for (int i = 0; i < 4; i++)
                sum += scale.weight(v[i].x, 0.f) + scale.weight(v[i].y, 0.f) + scale.weight(v[i].z, 0.f) + scale.weight(v[i].w, 0.f);
        }
        sum = warp_sum_u64(sum);
        if (lane == 0) a.weights[out] = sum;
    }
}

// ---- the choice
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
__device__ __noinline__ u32 gather_head(Shared& s, u32 num_strips, u64 cut) {
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

// Looks along 2 x THREADS numbers, two a thread, for the place where their sum reaches `target` (at least 1). Sets `s.found` to that
// place and `s.before` to the sum before it; returns whether there is one.
__device__ __forceinline__ bool find_sum(Shared& s, u64 x, u64 y, u64 target, u64& total) {
    const u64 before = block_scan(s, x + y, total);
    if (total < target) return false;
    if (before < target && target <= before + x) s.found = threadIdx.x * 2, s.before = before;
    if (before + x < target && target <= before + x + y) s.found = threadIdx.x * 2 + 1, s.before = before + x;
    __syncthreads();
    return true;
}

// Finds the token, from the likeliest on, with which the number (or the weight) of the tokens of `cut` and above reaches `target`, by
// histograms of the row; returns its order. `cut` if they never reach it.
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

// ---- walks over the whole row
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
    const u32 many = max(a.num_strips - a.num_strips / 8, 1);
    u64 cut = 0;
    if (has_top_k) {
        if (row.top_k <= many || a.vocab_len <= HEAD_LEN) cut = cut_for(s, a.num_strips, row.top_k);
    } else if (has_top_p) {
        cut = cut_for(s, a.num_strips, many);
    } else {  // min-p alone; a little lower, as what weighs too little is seen to later
        const float greatest = s.values.scale.greatest, margin = fabsf(greatest) * 1e-6f;
        const float least = greatest - margin + s.values.scale.temperature * (logf(row.min_p) - 0.01f);
        cut = max(order_of(key_for(DRAW, least), ~0u), 1ull);
    }
    const u32 found = cut ? gather_head(s, a.num_strips, cut) : HEAD_LEN + 1;
    if (found <= HEAD_LEN) {
        sort_head(s, found);
        u32 len = has_top_k ? min(row.top_k, found) : found;
        bool is_enough = true;
        if (has_top_p) {
            u64 weights[2], head_total;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const u32 at = t * 2 + i;
                weights[i] = at < len ? s.values.scale.weight(value_of(s.head[at]), 0.f) : 0;
            }
            if (has_top_k) block_scan(s, weights[0] + weights[1], total);
            is_enough = find_sum(s, weights[0], weights[1], enough_of(row.top_p, total), head_total);
            if (is_enough) len = s.found + 1;
        }
        if (is_enough) return draw_from_head(s, len, row.min_p);
    }
    cut = 0;
    if (has_top_k) {
        cut = select(s, 0, false, row.top_k);
        weigh_parts(s, cut, 0.f);
        total = warp_sum_u64(s.sums[t % 32]);
    }
    if (has_top_p) cut = select(s, cut, true, enough_of(row.top_p, total));
    return draw_from_row(s, cut, row.min_p);
}

// Nothing of a masked row is left without its stop tokens: those that the mask allows come back, as nothing else can.
__device__ __noinline__ void restore_stops(const SamplingArgs& a, Shared& s, float* shaped, Kind kind) {
    const SampleRow& row = s.row;
    const u32 num_stops = within(row.stop_start, row.stop_len, a.num_stops);
    const u32 num_bias = within(row.bias_start, row.bias_len, a.num_bias);
    const u32 num_words = within(row.mask_start, row.mask_len, a.num_mask_words);
    for (u32 e = threadIdx.x; e < num_stops; e += THREADS) {
        const u32 token = a.stop_tokens[row.stop_start + e], word = token / 32;
        if (token >= a.vocab_len || word >= num_words) continue;
        if (!(a.mask_words[row.mask_start + word] >> token % 32 & 1)) continue;
        float v = a.logits[(u64)row.logits_row * a.vocab_len + token];
        for (u32 i = 0; i < num_bias; i++)
            if (a.bias_tokens[row.bias_start + i] == token) v += a.bias_values[row.bias_start + i];
        if (row.flags & PENALTIES) v = penalised(v, a.occurrences[(u64)row.slot * a.stride + token], row);
        shaped[token] = v;
    }
    __syncthreads();
    const u32 lane = threadIdx.x % 32;
    for (u32 strip = threadIdx.x / 32; strip < a.num_strips; strip += WARPS) {
        u32 key = 0, token = 0;
        for (u32 i = lane; i < STRIP; i += 32) {
            const u32 at = strip * STRIP + i, k = at < a.vocab_len ? key_for(kind, shaped[at]) : 0;
            if (k > key) key = k, token = at;
        }
        const u64 best = warp_max_order(key, token);
        u64 sum = 0;
        if (best && needs_weights(row, a.vocab_len)) {
            const Scale scale = scale_of(value_of(best), row.temperature);
            for (u32 i = lane; i < STRIP; i += 32)
                if (strip * STRIP + i < a.vocab_len) sum += scale.weight(shaped[strip * STRIP + i], 0.f);
        }
        sum = warp_sum_u64(sum);
        if (lane == 0) s.best[strip] = best, a.weights[(u64)blockIdx.x * a.num_strips + strip] = sum;
    }
    __syncthreads();
}

__device__ __noinline__ void write_logprobs(const SamplingArgs& a, Shared& s, u32 token, RowLogprobs* out) {
    const u32 t = threadIdx.x, lane = t % 32, num_top = min((u32)s.row.num_logprobs, MAX_LOGPROBS);
    const u64 strip = (u64)blockIdx.x * a.num_strips + t;
    __syncthreads();
    const u64 best = t < a.num_strips ? a.raw_best[strip] : 0;
    s.best[t] = best;
    const float greatest = value_of(block_max(s, best));
    const float* raw = a.logits + (u64)s.row.logits_row * a.vocab_len;
    if (t == 0) s.values = {raw, a.vocab_len, RAW, scale_of(greatest, 1.f)};
    double sum = best && value_of(best) > -INFINITE ? (double)a.raw_sum[strip] * exp((double)(value_of(best) - greatest)) : 0.;
#pragma unroll
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    if (lane == 0) s.real_sums[t / 32] = sum;
    __syncthreads();
    sum = s.real_sums[lane];
#pragma unroll
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    const double log_sum = log(sum);
    const auto logprob = [&](float v) {
        const float p = (float)((double)(v - greatest) - log_sum);
        return greatest < INFINITE && p >= LEAST_LOGPROB ? p : LEAST_LOGPROB;  // also for NaN
    };
    if (t == 0) out->chosen = logprob(raw[token]);
    if (num_top == 0) return;
    u32 found = HEAD_LEN + 1;
    if (num_top <= a.num_strips || a.vocab_len <= HEAD_LEN) found = gather_head(s, a.num_strips, cut_for(s, a.num_strips, num_top));
    if (found > HEAD_LEN) found = gather_above(s, max(select(s, 0, false, num_top), 1ull));
    sort_head(s, found);
    if (t < num_top) {
        out->top_ids[t] = t < found ? (int)token_of(s.head[t]) : -1;
        out->top[t] = t < found ? logprob(value_of(s.head[t])) : LEAST_LOGPROB;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) sampling_choose(const __grid_constant__ SamplingArgs a) {
    __shared__ Shared s;
    pdl_trigger();
    pdl_wait();
    const u32 t = threadIdx.x, index = blockIdx.x;
    if (t < sizeof(SampleRow) / 4) ((u32*)&s.row)[t] = ((const u32*)(a.rows + index))[t];
    const u64 best = t < a.num_strips ? a.best[(u64)index * a.num_strips + t] : 0;
    s.best[t] = best;
    __syncthreads();
    if (t == 0) s.skip = skips(a, s.row);
    u64 order = block_max(s, best);
    if (s.skip) {
        if (t == 0) a.chosen[index] = s.skip;
        return;
    }
    const SampleRow& row = s.row;
    const bool is_greedy = row.temperature == 0.f;
    const Kind kind = is_greedy ? GREEDY : DRAW;
    float* shaped = a.shaped + (u64)index * a.stride;
    if (order == 0 && (row.flags & MASKED) && (row.flags & BAN_STOPS)) {
        restore_stops(a, s, shaped, kind);
        order = block_max(s, s.best[t]);
    }
    int chosen = order ? (int)token_of(order) : NOTHING_LEFT;
    if (order && !is_greedy && (u32)(order >> 32) != BEHIND_ALL) {
        const float* values = is_shaped(row) ? shaped : a.logits + (u64)row.logits_row * a.vocab_len;
        if (t == 0) {
            s.values = {values, a.vocab_len, DRAW, scale_of(value_of(order), row.temperature)};
            s.bits = mixed(mixed(row.seed) ^ row.position);
        }
        __syncthreads();
        chosen = draw(a, s);
    }
    if (t == 0) {
        a.chosen[index] = chosen;
        a.alive[row.slot] = row.draft >= 0 && chosen == row.draft;
        if (chosen >= 0) {
            a.last_token[row.slot] = chosen;
            unsigned short* occurrence = a.occurrences + (u64)row.slot * a.stride + chosen;
            if ((row.flags & PENALTIES) && (*occurrence & 0x7fffu) != 0x7fffu) ++*occurrence;
        }
    }
    if (chosen >= 0 && row.num_logprobs >= 0) write_logprobs(a, s, chosen, a.logprobs + index);
}

struct CountArgs {
    u32* occurrences;        // of the slot, two tokens a word
    const u32* prompt;
    const u32* output;
    u32 prompt_len, output_len, vocab_len;
};

extern "C" __global__ void __launch_bounds__(256) sampling_count(const CountArgs a) {
    pdl_trigger();
    pdl_wait();
    const u32 i = blockIdx.x * 256 + threadIdx.x;
    if (i >= a.prompt_len + a.output_len) return;
    const bool is_prompt = i < a.prompt_len;
    const u32 token = is_prompt ? a.prompt[i] : a.output[i - a.prompt_len];
    if (token >= a.vocab_len) return;
    u32* word = a.occurrences + token / 2;
    const u32 shift = token % 2 * 16;
    if (is_prompt) {
        atomicOr(word, 0x8000u << shift);
        return;
    }
    for (u32 seen = *(volatile u32*)word;;) {
        if ((seen >> shift & 0x7fffu) == 0x7fffu) return;
        const u32 old = atomicCAS(word, seen, seen + (1u << shift));
        if (old == seen) return;
        seen = old;
    }
}
