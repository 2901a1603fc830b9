// What the skinny matrix products share: y[M,N] = x[M,K] . W[N,K]^T, bf16 in, fp32 accumulate, 1 <= M <= 64.
//
// Orientation: weights are the 16-row operand of mma.m16n8k16, tokens the 8-wide one. The k order inside a 32-wide block is free as
// long as W and x agree, so lane (g,t) takes k = 8t..8t+7 of the block: 16 bytes, whose four registers feed two mma steps. No
// ldmatrix; fragments are plain 16-byte shared loads.
//
// ORDER OF SUMMATION: the same for every M, so that a row's bits do not depend on the rows beside it. K is cut into 64-wide chunks and
// `splits` contiguous ranges of them (a function of N and K only). Chunk c of a range belongs to share c % 8; a share adds its chunks
// in ascending order in one mma accumulator; a range is (((q0+q2)+q4)+q6) + (((q1+q3)+q5)+q7), each side from 0; ranges are added in order.
// Two kernels keep it: gemm_stream.cu gives each share a warp, gemm_tile.cu lets one warp walk the even or the odd shares.
//
// A tile is 16 mma rows: 16 rows of W, or for SILU_MUL 8 gate rows and the 8 matching up rows, so that no weight is laid out anew.
// The epilogue's products and sums are spelled as __fmul_rn and __fadd_rn: the compiler may fuse others, and differently in each kernel.
#pragma once
#include "common.cuh"

enum { STORE = 0, RESIDUAL = 1, SILU_MUL = 2, LOGITS = 3 };

struct GemmArgs {
    const bf16 *w, *x;          // [N][K], [M][K]
    const float* sums;          // of squares of x's rows before the norm's weight, [M][K/16], or null: r[m] = 1
    void* out;                  // STORE: bf16 [M][N]; RESIDUAL: bf16 [M][N], next product's input; SILU_MUL: bf16 [M][N/2]; LOGITS: fp32 [M][N]
    float* residual;            // RESIDUAL: fp32 [M][N], updated in place
    const bf16* norm_weight;    // RESIDUAL: [N], of the norm that follows
    float* sums_out;            // RESIDUAL: sums of squares of the residual over 16 columns each, [M][N/16]
    float* partials;            // splits > 1: [split][N/16][M][16]
    u32* arrivals;              // splits > 1: one a strip, all zero on entry, left zero
    int m, n, k, epilogue;
    int splits, stages;         // stages: of gemm_tile's ring
    float inv_k, eps;           // r[m] = rsqrt(sum of sums[m] / K + eps)
};

__device__ __forceinline__ void bar_sync(int id, int n) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n) : "memory"); }
__device__ __forceinline__ void bar_arrive(int id, int n) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(n) : "memory"); }

// Where a warp's copy instruction puts its 4 rows x 128 bytes of a chunk: cell (row, 16-byte piece) lands at its fragment slot, 64
// bytes flipped in the second 32-block, so that neither the copy nor the fragment load has bank conflicts. A group of 8 rows takes 1024
// bytes: [32-block][lane][16]. Rows 4..7 of the group are 256 bytes further.
__device__ __forceinline__ int copy_cell(int lane) {
    const int row = lane >> 3, piece = lane & 7, block = piece >> 2;
    return block * 512 + ((row * 64 + (piece & 3) * 16) ^ (block * 64));
}
__device__ __forceinline__ int fragment_cell(int lane, int block) { return block * 512 + ((lane * 16) ^ (block * 64)); }

// The rows of W that a tile's copies read: tile i begins at row i * rows, its lower half is `half` numbers further.
struct TileRows {
    int rows;
    size_t half;
    __device__ __forceinline__ TileRows(const GemmArgs& a)
        : rows(a.epilogue == SILU_MUL ? 8 : 16), half((size_t)(a.epilogue == SILU_MUL ? a.n / 2 : 8) * a.k) {}
};

// scale[m] = r[m], by `num_warps` warps. Eight lanes a row, always: the order of summation is part of the result.
__device__ __forceinline__ void row_scales(const GemmArgs& a, float* scale, int warp, int num_warps) {
    const int lane = threadIdx.x & 31, part = lane & 7, quads = a.k / 64;
    for (int m0 = warp * 4; m0 < a.m; m0 += num_warps * 4) {
        const int m = m0 + (lane >> 3);
        float v = 0;
        if (a.sums && m < a.m) {
            const float* row = a.sums + (size_t)m * (quads * 4);
#pragma unroll 5
            for (int i = part; i < quads; i += 8) {
                float4 s;
                asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3},[%4];" : "=f"(s.x), "=f"(s.y), "=f"(s.z), "=f"(s.w) : "l"(row + i * 4) : "memory");
                v = __fadd_rn(v, __fadd_rn(__fadd_rn(s.x, s.y), __fadd_rn(s.z, s.w)));
            }
        }
#pragma unroll
        for (int o = 4; o; o >>= 1) v = __fadd_rn(v, __shfl_xor_sync(~0u, v, o));
        if (!part && m < a.m) scale[m] = a.sums ? rsqrtf(__fmaf_rn(v, a.inv_k, a.eps)) : 1.f;
    }
}

// Calls f(i, m, column) for all tiles i < num_tiles and rows m < num_rows: teams of 2^log_width threads take one (tile, row) each, tiles
// running fastest, so that neighbouring teams write neighbouring columns.
template <class F> __device__ __forceinline__ void deal(int num_tiles, int num_rows, int log_width, int tid, int num_threads, F f) {
    const int team = tid >> log_width, teams = num_threads >> log_width, column = tid & ((1 << log_width) - 1);
    const int step_rows = teams / num_tiles, step_tiles = teams - step_rows * num_tiles;
    int m = team / num_tiles, i = team - m * num_tiles;
    while (m < num_rows) {
        f(i, m, column);
        m += step_rows;
        i += step_tiles;
        if (i >= num_tiles) {
            i -= num_tiles;
            ++m;
        }
    }
}

__device__ __forceinline__ float* partial_at(const GemmArgs& a, int split, int tile, int m) {
    return a.partials + (((size_t)split * (a.n / 16) + tile) * a.m + m) * 16;
}

// The epilogue of num_tiles tiles by num_threads threads (whole warps). tile_at(i) = number of the i-th tile; value(i, row, m) = its sum.
template <class T, class V>
__device__ __forceinline__ void finish(const GemmArgs& a, const float* scale, int num_tiles, int tid, int num_threads, T tile_at, V value) {
    if (num_tiles == 0) return;
    auto scaled = [&](int i, int row, int m) { return __fmul_rn(value(i, row, m), scale[m]); };
    if (a.epilogue == SILU_MUL) {
        deal(num_tiles, a.m, 3, tid, num_threads, [&](int i, int m, int column) {
            const float gate = scaled(i, column, m), up = scaled(i, column + 8, m);
            const float silu = __fdiv_rn(gate, __fadd_rn(1.f, __expf(-gate)));
            ((bf16*)a.out)[(size_t)m * (a.n / 2) + tile_at(i) * 8 + column] = f2bf(__fmul_rn(silu, up));
        });
    } else if (a.epilogue == RESIDUAL) {
        const u32 team = 0xffffu << (threadIdx.x & 16);
        deal(num_tiles, a.m, 4, tid, num_threads, [&](int i, int m, int column) {
            const int tile = tile_at(i), n = tile * 16 + column;
            const size_t o = (size_t)m * a.n + n;
            const float v = __fadd_rn(a.residual[o], scaled(i, column, m));
            a.residual[o] = v;
            ((bf16*)a.out)[o] = f2bf(__fmul_rn(v, bf2f(a.norm_weight[n])));
            float sum = __fmul_rn(v, v);
#pragma unroll
            for (int s = 8; s; s >>= 1) sum = __fadd_rn(sum, __shfl_xor_sync(team, sum, s));
            if (!column) a.sums_out[(size_t)m * (a.n / 16) + tile] = sum;
        });
    } else if (a.epilogue == LOGITS) {
        deal(num_tiles, a.m, 4, tid, num_threads, [&](int i, int m, int column) {
            ((float*)a.out)[(size_t)m * a.n + tile_at(i) * 16 + column] = scaled(i, column, m);
        });
    } else {
        deal(num_tiles, a.m, 4, tid, num_threads, [&](int i, int m, int column) {
            ((bf16*)a.out)[(size_t)m * a.n + tile_at(i) * 16 + column] = f2bf(scaled(i, column, m));
        });
    }
}

// The sum of a tile's partials, in the order of the splits.
__device__ __forceinline__ float sum_of_partials(const GemmArgs& a, int tile, int row, int m) {
    float v = 0;
    const size_t stride = (size_t)(a.n / 16) * a.m * 16;
    const float* p = partial_at(a, 0, tile, m) + row;
#pragma unroll 4
    for (int s = 0; s < a.splits; s++) v = __fadd_rn(v, ld_cg(p + s * stride));
    return v;
}
