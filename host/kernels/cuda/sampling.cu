// From rows of logits to tokens, each row by its own settings. Two launches:
//   sampling_scan    grid (ceil(strips / 8), rows), 256 threads: one warp a strip of 512 tokens. Shapes the logits of rows that
//                    ask for it (mask, stop tokens, bias, penalties) into `shaped`, and notes the best token of each strip.
//   sampling_choose  grid (rows), 1024 threads: reduces the strips. Greedy rows are done then; others cut (top-k, top-p, min-p)
//                    and draw. Then logprobs and the slot's state. Rows that score have their token given: logprobs only.
//   sampling_count   grid (ceil(tokens / 256)), 256 threads: counts the tokens that a slot starts with.
// Layouts: logits fp32 [row][vocab_len], shaped fp32 [row][stride], occurrences u16 [slot][stride], strips [row][num_strips],
// with stride = vocab_len rounded up to 4. Limits: vocab_len <= 524,288 (1024 strips); no limit on rows but the grid's.
//
// A token is compared by one number, its order: (key of its value << 32) | ~id. Keys grow with the value, so a greater order is a
// likelier token, and equal values go by the lower id. A cut is an order: tokens below it are out. 0 is the order of no token.
//
// Weights are exp((value - greatest) / temperature) in steps of 2^-44, as integers: their sums do not depend on the order, so
// any way of adding them up gives the same token. The draw walks the tokens that are left by id, the lowest first. Where nothing
// is cut, the scan has weighed each strip by the strip's own greatest value: the draw picks a strip, then a token of it.
//
// How a cut is found: if r strips have a token that reaches some value, then at least r tokens do, and only those strips hold
// any. So the head of the distribution is a few KB of the row. It is sorted in shared memory. What does not fit there (a flat
// nucleus, thousands of equal values) is found by histograms over the whole row: first of the distance from the greatest value,
// which spreads well, then of the digits of the order. That takes a hundred microseconds and more, and is rare.
#include "sampling_draw.cuh"

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
                sum += scale.weight(v[i].x, 0.f) + scale.weight(v[i].y, 0.f) +
                       scale.weight(v[i].z, 0.f) + scale.weight(v[i].w, 0.f);
        }
        sum = warp_sum_u64(sum);
        if (lane == 0) a.weights[out] = sum;
    }
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
    if (num_top <= a.num_strips || a.vocab_len <= HEAD_LEN) found = gather_head(s, cut_for(s, a.num_strips, num_top));
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
    if (row.flags & SCORES) {  // the token is given: nothing is chosen, and nothing of the slot changes
        const bool scores = order && (u32)row.draft < a.vocab_len;
        if (t == 0) a.chosen[index] = scores ? row.draft : NOTHING_LEFT;
        if (scores && row.num_logprobs >= 0) write_logprobs(a, s, row.draft, a.logprobs + index);
        return;
    }
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
