// Prefill attention: causal attention of new tokens over the paged cache, several sequences in one launch. Two kernels do it.
//
// Sequence s has rows q_start[s] .. + q_len[s] of q and out, and kv_len[s] tokens in the cache, the new ones included. Its i-th
// row stands at position kv_len - q_len + i and sees the keys 0..=position.
//   q, out   [row][head][HD], heads of one kv head side by side; q rows are q_stride numbers apart, out rows num_heads * HD
//   cache    [page][K|V][kv head][PAGE_LEN][HD]; sequence s has the pages pages[page_start[s]] ..
//   tiles    (sequence, q tile) pairs, in the order in which they shall be worked on
// The `group` query heads of a kv head are packed: packed row = token * group + head within the group. A q tile is 128 packed
// rows of one sequence, so that few tokens still fill it and keys and values are read once for the group.
//
// The tiles of keys begin at position 0 whatever the chunk, and one that a row sees nothing of changes none of its bits, so a row
// is the same however its prompt was cut and whatever else is in the launch. The two kernels differ from each other.
// Limits: q_stride a multiple of 8, q, cache and out aligned to 16 bytes.
#pragma once
#include "common.cuh"

struct PrefillArgs {
    const bf16* q;
    const bf16* cache;
    bf16* out;
    const int* tiles;
    const int* q_start;
    const int* q_len;
    const int* kv_len;
    const int* page_start;
    const int* pages;
    int q_stride, num_kv_heads, group;
    float scale;  // of the scores, times log2(e): the softmax is made of powers of two
};

constexpr int BM = 128;  // packed rows of a q tile
#define MINUS_INFINITY __int_as_float(0xff800000)

__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
// Copies 16 bytes, or writes as many zeros.
__device__ __forceinline__ void cp16_or_zero(u32 dst, const void* src, bool copies) {
    int bytes = copies ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(dst), "l"(src), "r"(bytes) : "memory");
}
// 1 / the softmax's sums of a lane's two rows; each lane of a quad has summed its own keys.
__device__ __forceinline__ void inverse_sums(float (&inverse)[2], const float (&row_sum)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = row_sum[r];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        inverse[r] = 1.f / sum;
    }
}
