// What the skinny matrix products share: y[M,N] = x[M,K] . W[N,K]^T, bf16 in, fp32 accumulate, 1 <= M <= 64.
//
// Orientation: weights are the 16-row operand of mma.m16n8k16, tokens the 8-wide one. Fragments come by ldmatrix, whose four
// registers are one weight fragment, or two of the tokens'. (Plain 16-byte loads of eight numbers of a row need no ldmatrix, but
// every weight fragment is then put together from two loads, by four moves a product: measured, slower from 17 tokens on.)
//
// ORDER OF SUMMATION: the same for every M, so that a row's bits do not depend on the rows beside it. K is cut into 64-wide
// chunks and `splits` contiguous ranges of them (a function of N and K only). Chunk c of a range belongs to share c % 8; a share
// adds its chunks in ascending order in one mma accumulator, 16 k a step; a range is (((q0+q2)+q4)+q6) + (((q1+q3)+q5)+q7), each
// side from 0; ranges are added in order. Two kernels keep it: gemm_stream.cu gives each share a warp, gemm_tile.cu lets one warp
// walk the even or the odd shares.
//
// A tile is 16 mma rows: 16 rows of W, or for SILU_MUL 8 gate rows and the 8 matching up rows, so that no weight is laid out
// anew. The epilogue's products and sums are spelled as __fmul_rn and __fadd_rn: the compiler may fuse others, and differently in
// each kernel.
#pragma once
#include "common.cuh"

enum { STORE = 0, RESIDUAL = 1, SILU_MUL = 2, LOGITS = 3 };

struct GemmArgs {
    const bf16 *w, *x;  // [N][K], [M][K]
    const float* sums;  // of squares of x's rows before the norm's weight, [M][K/16], or null: r[m] = 1
    void* out;  // STORE: bf16 [M][N]; RESIDUAL: bf16 [M][N], next product's input; SILU_MUL: bf16 [M][N/2]; LOGITS: fp32 [M][N]
    float* residual;          // RESIDUAL: fp32 [M][N], updated in place
    const bf16* norm_weight;  // RESIDUAL: [N], of the norm that follows
    float* sums_out;          // RESIDUAL: sums of squares of the residual over 16 columns each, [M][N/16]
    float* partials;          // splits > 1: [split][N/16][M][16]
    u32* arrivals;            // splits > 1: one a tile or block, all zero on entry, left zero
    int m, n, k, epilogue;
    int splits, stages;  // stages: of gemm_tile's ring
    float inv_k, eps;    // r[m] = rsqrt(sum of sums[m] / K + eps)
};

__device__ __forceinline__ void bar_sync(int id, int n) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n) : "memory"); }
__device__ __forceinline__ void bar_arrive(int id, int n) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(n) : "memory"); }

// Rows of a chunk lie in shared memory 128 bytes apart, a row's 16-byte piece p at place p ^ (row & 7): neither copies nor
// ldmatrix have bank conflicts. A copy instruction of a warp takes 4 rows x 128 bytes; this is where it puts rows 4i..4i+3 of a
// place, aligned to 128 bytes.
__device__ __forceinline__ u32 copy_to(u32 place, int lane, int i) {
    const int row = lane >> 3, piece = lane & 7;
    return ((place + row * 128 + ((piece ^ row) * 16)) ^ ((i & 1) * 64)) + i * 512;
}
// Where the lane's row of ldmatrix begins: of 16 weight rows and the 16 k of step 0 (step j: ^ j * 32), or of 8 tokens and the 32
// k of steps 0 and 1 (2 and 3: ^ 64).
__device__ __forceinline__ u32 weight_fragment(u32 place, int lane) {
    const int row = lane & 7;
    return place + (lane & 15) * 128 + ((lane >> 4) ^ row) * 16;
}
__device__ __forceinline__ u32 token_fragments(u32 place, int lane) {
    const int row = lane & 7;
    return place + row * 128 + ((lane >> 3) ^ row) * 16;
}
__device__ __forceinline__ uint4 ldmatrix(u32 at) {
    uint4 v;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(at)
                 : "memory");
    return v;
}

// The rows of W that a tile's copies read: tile i begins at row i * rows. In bytes: `quad` to the next four rows, `half` to the
// tile's lower half.
struct TileRows {
    int rows;
    size_t quad, half;
    __device__ __forceinline__ TileRows(const GemmArgs& a)
        : rows(a.epilogue == SILU_MUL ? 8 : 16),
          quad((size_t)a.k * 8),
          half((size_t)(a.epilogue == SILU_MUL ? a.n / 2 : 8) * a.k * 2) {}
    // Copies one tile's chunk, whose lane begins at `from`.
    __device__ __forceinline__ void copy(u32 place, int lane, const char* from) const {
        cp16(copy_to(place, lane, 0), from);
        cp16(copy_to(place, lane, 1), from + quad);
        cp16(copy_to(place, lane, 2), from + half);
        cp16(copy_to(place, lane, 3), from + half + quad);
    }
};

// Four numbers at once: the epilogues' unit.
__device__ __forceinline__ float4 ld4_cg(const float* p) {
    float4 v;
    asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3},[%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
    return v;
}
__device__ __forceinline__ float4 add4(float4 a, float4 b) {
    return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z), __fadd_rn(a.w, b.w));
}
__device__ __forceinline__ float4 scale4(float4 a, float r) {
    return make_float4(__fmul_rn(a.x, r), __fmul_rn(a.y, r), __fmul_rn(a.z, r), __fmul_rn(a.w, r));
}
__device__ __forceinline__ void store4(void* out, size_t at, float4 v) {  // rounded to bf16
    *(uint2*)((bf16*)out + at) = make_uint2(pack_bf(v.x, v.y), pack_bf(v.z, v.w));
}

// scale[m] = r[m], by `num_warps` warps. Eight lanes a row, always: the order of summation is part of the result.
__device__ __forceinline__ void row_scales(const GemmArgs& a, float* scale, int warp, int num_warps) {
    const int lane = threadIdx.x & 31, part = lane & 7, quads = a.k / 64;
    for (int m0 = warp * 4 + (lane >> 3); m0 - (lane >> 3) < a.m; m0 += num_warps * 8) {
        const int rows[2] = {m0, m0 + num_warps * 4};  // two at once: this is all latency
        float v[2] = {0, 0};
        if (a.sums) {
#pragma unroll 5
            for (int i = part; i < quads; i += 8)
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const float4 s = ld4_cg(a.sums + (size_t)min(rows[j], a.m - 1) * (quads * 4) + i * 4);
                    v[j] = __fadd_rn(v[j], __fadd_rn(__fadd_rn(s.x, s.y), __fadd_rn(s.z, s.w)));
                }
        }
#pragma unroll
        for (int j = 0; j < 2; j++) {
#pragma unroll
            for (int o = 4; o; o >>= 1) v[j] = __fadd_rn(v[j], __shfl_xor_sync(~0u, v[j], o));
            if (!part && rows[j] < a.m) scale[rows[j]] = a.sums ? rsqrtf(__fmaf_rn(v[j], a.inv_k, a.eps)) : 1.f;
        }
    }
}

// A quarter of a tile (four rows of W, four columns of y) for one row of x.
struct Quarter {
    int i, m, quarter;  // the i-th tile of those at hand
};

// Deals the quarters of num_tiles tiles and num_rows rows of x to num_threads threads, `1 << log_width` quarters of each, and
// calls f(U of them, how many of these count); the others are valid, too: what must be fetched is fetched for U at once. Tiles
// run fastest, so that neighbours write neighbouring columns.
template <int U, class F>
__device__ __forceinline__ void deal(int num_tiles, int num_rows, int log_width, int tid, int num_threads, F f) {
    const int team = tid >> log_width, teams = num_threads >> log_width, quarter = tid & ((1 << log_width) - 1);
    const int step_rows = teams / num_tiles, step_tiles = teams - step_rows * num_tiles;
    int m = team / num_tiles, i = team - m * num_tiles;
    while (m < num_rows) {
        Quarter q[U];
        int num = 0;
#pragma unroll
        for (int j = 0; j < U; j++) {
            if (m < num_rows) num = j + 1;
            q[j] = m < num_rows ? Quarter{i, m, quarter} : q[0];
            m += step_rows;
            i += step_tiles;
            if (i >= num_tiles) {
                i -= num_tiles;
                ++m;
            }
        }
        f(q, num);
    }
}

__device__ __forceinline__ float* partial_at(const GemmArgs& a, int split, int tile, int m) {
    return a.partials + (((size_t)split * (a.n / 16) + tile) * a.m + m) * 16;
}

// The sums of U quarters' partials, in the order of the splits.
template <int U, class T>
__device__ __forceinline__ void sum_partials(const GemmArgs& a, const Quarter (&q)[U], T tile_at, float4 (&v)[U]) {
    const size_t stride = (size_t)(a.n / 16) * a.m * 16;
    const float* p[U];
#pragma unroll
    for (int j = 0; j < U; j++) {
        p[j] = partial_at(a, 0, tile_at(q[j].i), q[j].m) + q[j].quarter * 4;
        v[j] = make_float4(0, 0, 0, 0);
    }
#pragma unroll 4
    for (int s = 0; s < a.splits; s++)
#pragma unroll
        for (int j = 0; j < U; j++) v[j] = add4(v[j], ld4_cg(p[j] + s * stride));
}

// The epilogue of num_tiles tiles by num_threads threads (whole warps). tile_at(i) = number of the i-th tile; values(U quarters,
// their sums) fetches the products.
template <int U, class T, class V>
__device__ __forceinline__ void finish(const GemmArgs& a, const float* scale, int num_tiles, int tid, int num_threads, T tile_at,
                                       V values) {
    if (num_tiles == 0) return;
    if (a.epilogue == SILU_MUL) {
        deal<U>(num_tiles, a.m, 1, tid, num_threads, [&](const Quarter(&q)[U], int num) {
            Quarter lower[U];
#pragma unroll
            for (int j = 0; j < U; j++) lower[j] = {q[j].i, q[j].m, q[j].quarter + 2};
            float4 gate[U], up[U];
            values(q, gate);
            values(lower, up);
#pragma unroll
            for (int j = 0; j < U; j++) {
                if (j >= num) break;
                const float r = scale[q[j].m];
                auto silu_mul = [&](float gate, float up) {
                    gate = __fmul_rn(gate, r);
                    return __fmul_rn(__fdiv_rn(gate, __fadd_rn(1.f, __expf(-gate))), __fmul_rn(up, r));
                };
                const float4 v = make_float4(silu_mul(gate[j].x, up[j].x), silu_mul(gate[j].y, up[j].y),
                                             silu_mul(gate[j].z, up[j].z), silu_mul(gate[j].w, up[j].w));
                store4(a.out, (size_t)q[j].m * (a.n / 2) + tile_at(q[j].i) * 8 + q[j].quarter * 4, v);
            }
        });
    } else if (a.epilogue == RESIDUAL) {
        const u32 team = 0xfu << (threadIdx.x & 28);
        deal<U>(num_tiles, a.m, 2, tid, num_threads, [&](const Quarter(&q)[U], int num) {
            float4 y[U], before[U];
            uint2 weights[U];
            size_t at[U];
#pragma unroll
            for (int j = 0; j < U; j++) {
                const int n = tile_at(q[j].i) * 16 + q[j].quarter * 4;
                at[j] = (size_t)q[j].m * a.n + n;
                before[j] = *(const float4*)(a.residual + at[j]);
                weights[j] = *(const uint2*)(a.norm_weight + n);
            }
            values(q, y);
#pragma unroll
            for (int j = 0; j < U; j++) {
                if (j >= num) break;
                const float4 v = add4(before[j], scale4(y[j], scale[q[j].m]));
                *(float4*)(a.residual + at[j]) = v;
                store4(a.out, at[j],
                       make_float4(__fmul_rn(v.x, bf_lo(weights[j].x)), __fmul_rn(v.y, bf_hi(weights[j].x)),
                                   __fmul_rn(v.z, bf_lo(weights[j].y)), __fmul_rn(v.w, bf_hi(weights[j].y))));
                float sum = __fadd_rn(__fadd_rn(__fmul_rn(v.x, v.x), __fmul_rn(v.y, v.y)),
                                      __fadd_rn(__fmul_rn(v.z, v.z), __fmul_rn(v.w, v.w)));
#pragma unroll
                for (int s = 1; s < 4; s <<= 1) sum = __fadd_rn(sum, __shfl_xor_sync(team, sum, s));
                if (!q[j].quarter) a.sums_out[(size_t)q[j].m * (a.n / 16) + tile_at(q[j].i)] = sum;
            }
        });
    } else {
        deal<U>(num_tiles, a.m, 2, tid, num_threads, [&](const Quarter(&q)[U], int num) {
            float4 y[U];
            values(q, y);
#pragma unroll
            for (int j = 0; j < U; j++) {
                if (j >= num) break;
                const size_t at = (size_t)q[j].m * a.n + tile_at(q[j].i) * 16 + q[j].quarter * 4;
                const float4 v = scale4(y[j], scale[q[j].m]);
                if (a.epilogue == LOGITS)
                    *(float4*)((float*)a.out + at) = v;
                else
                    store4(a.out, at, v);
            }
        });
    }
}
