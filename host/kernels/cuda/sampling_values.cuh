// Rows of sampling.cu, the order of tokens and how they weigh.
#pragma once
#include "common.cuh"

constexpr u32 STRIP = 512;                  // tokens
constexpr u32 SCAN_WARPS = 8, THREADS = 1024, WARPS = THREADS / 32;
constexpr u32 HEAD_LEN = 2048;              // tokens that are sorted in shared memory
constexpr u32 SMALL_HEAD = 64;              // tokens that are looked for first
constexpr u32 BINS = 2048;
constexpr u32 MAX_LOGPROBS = 20;
constexpr u32 PENALTIES = 1, MASKED = 2, UNDECIDED = 4, BAN_STOPS = 8, CONTINUES = 16, SCORES = 32;
constexpr int NOTHING_LEFT = -1, NO_MASK_YET = -2, NOT_REACHED = -3;
constexpr float LEAST_LOGPROB = -9999.f;
constexpr float FARTHEST = 31.f;            // e^-31 is less than a step of a weight: what is farther away weighs nothing
constexpr float LEAST_TEMPERATURE = 1e-20f; // below, the reciprocal could overflow; all but the greatest are out long before

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

// Infinite logits: minus infinity is out, except for logprobs. A draw takes plus infinity only where nothing finite is left, so
// there it comes after all numbers.
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
// Whether a row's draw needs the weights of whole strips: top-k makes them superfluous, min-p alone is a cut at a known value.
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
