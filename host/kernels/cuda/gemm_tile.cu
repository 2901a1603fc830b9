// Skinny matrix product for 17 to 64 tokens (and for fewer where gemm_stream's slice of x does not fit shared memory). See gemm.cuh for
// the operands and the order of summation.
//
// Names: gemm_tile_<tokens>_<tiles a warp>. Threads: 64 x warps, in two halves: one walks the even shares of K, the other the odd ones,
// and each has its own ring and barrier, so that one half computes while the other waits. A warp owns `tiles a warp` tiles and all
// tokens; the block BT = warps x tiles. Grid: (ceil(N/16 / BT), splits).
// Shared memory, two times: stages x (x: tokens x 128 bytes | W: warps x tiles x 2 KB), used again for the sums: 2 x tokens x (BT*16 + 4)
// floats. The launcher gives the larger. W's part is the warp's own, x's the half's.
// Two accumulators a warp: of the share, and the sum of the shares before it.
// Limits: K a multiple of 64, N of 16, at most MAX_WARPS warps a half.
#include "gemm.cuh"

template <int MT, int RT> __device__ __forceinline__ void gemm_tile(const GemmArgs& a) {
    constexpr int NT = MT / 8;
    extern __shared__ __align__(128) unsigned char smem[];
    __shared__ float scale[MT];
    __shared__ int is_last;
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, warps = blockDim.x / 64;
    const int half = threadIdx.x >= blockDim.x / 2, warp = (threadIdx.x >> 5) - half * warps;
    const int tiles = a.n / 16, tile0 = blockIdx.x * warps * RT, split = blockIdx.y, splits = a.splits, stages = a.stages;
    const int chunks = a.k / 64, c0 = (int)((long long)chunks * split / splits), nc = (int)((long long)chunks * (split + 1) / splits) - c0;
    const int count = (nc + 1 - half) / 2;  // chunks of this half
    // Share after share, each in steps of 8 chunks.
    auto next = [&](int c) { return c + 8 < nc ? c + 8 : (c & 7) + 2; };

    const u32 stage_bytes = warps * (RT * 2048) + MT * 128;
    const u32 ring = smem_u32(smem) + half * stages * stage_bytes;
    const u32 w_at = MT * 128 + warp * (RT * 2048);
    const size_t K = a.k;
    const TileRows tr(a);
    const bf16* w_from[RT];
#pragma unroll
    for (int r = 0; r < RT; r++)  // past the end: the last tile again, never stored
        w_from[r] = a.w + (size_t)(min(tile0 + warp * RT + r, tiles - 1) * tr.rows + (lane >> 3)) * K + (size_t)c0 * 64 + (lane & 7) * 8;
    const bf16* x_from = a.x + (size_t)(warp * 4 + (lane >> 3)) * K + (size_t)c0 * 64 + (lane & 7) * 8;

    auto load_w = [&](int slot, int c) {
        const u32 d = ring + slot * stage_bytes + w_at + copy_cell(lane);
#pragma unroll
        for (int r = 0; r < RT; r++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                cp16(d + r * 2048 + (i >> 1) * 1024 + (i & 1) * 256, w_from[r] + (size_t)c * 64 + (i >> 1) * tr.half + (i & 1) * 4 * K);
    };
    auto load_x = [&](int slot, int c) {
        const u32 d = ring + slot * stage_bytes + copy_cell(lane);
        const bf16* p = x_from + (size_t)c * 64;
        for (int q = warp; q * 4 < a.m; q += warps, p += (size_t)warps * 4 * K)  // four tokens; columns >= M stay as they are, never stored
            if (q * 4 + (lane >> 3) < a.m) cp16(d + (q >> 1) * 1024 + (q & 1) * 256, p);
    };

    pdl_trigger();
    int c_in = half;  // the next chunk to fetch
    for (int s = 0; s < stages - 1; s++)
        if (s < count) {
            load_w(s, c_in);  // weights depend on nothing
            c_in = next(c_in);
        }
    pdl_wait();
    int c = half;
    for (int s = 0; s < stages - 1; s++) {
        if (s < count) load_x(s, c);
        c = next(c);
        cp_commit();
    }
    row_scales(a, scale, threadIdx.x >> 5, warps * 2);  // while the loads fly

    float acc[RT][NT][4], sum[RT][NT][4];
#pragma unroll
    for (int r = 0; r < RT; r++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) acc[r][n][i] = sum[r][n][i] = 0;

    int slot = 0;
    c = half;
    for (int done = 0; done < count; done++) {
        if (stages == 2) cp_wait<0>();
        else if (stages == 3) cp_wait<1>();
        else if (stages == 4) cp_wait<2>();
        else if (stages == 5) cp_wait<3>();
        else cp_wait<4>();
        bar_sync(1 + half, warps * 32);  // all parts of x are there, and the slot of the last round has been read
        if (done + stages - 1 < count) {
            const int refill = slot ? slot - 1 : stages - 1;
            load_w(refill, c_in);
            load_x(refill, c_in);
            c_in = next(c_in);
        }
        cp_commit();
        const u32 sx = ring + slot * stage_bytes, sw = sx + w_at;
#pragma unroll
        for (int b = 0; b < 2; b++) {
            const u32 cell = fragment_cell(lane, b);
            uint4 w[RT][2], x[NT];
#pragma unroll
            for (int r = 0; r < RT; r++) {
                w[r][0] = lds16(sw + r * 2048 + cell);
                w[r][1] = lds16(sw + r * 2048 + 1024 + cell);
            }
#pragma unroll
            for (int n = 0; n < NT; n++) x[n] = lds16(sx + n * 1024 + cell);
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int r = 0; r < RT; r++) mma16816(acc[r][n], w[r][0].x, w[r][1].x, w[r][0].y, w[r][1].y, x[n].x, x[n].y);
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int r = 0; r < RT; r++) mma16816(acc[r][n], w[r][0].z, w[r][1].z, w[r][0].w, w[r][1].w, x[n].z, x[n].w);
        }
        if (c + 8 >= nc) {  // the share's last chunk
#pragma unroll
            for (int r = 0; r < RT; r++)
#pragma unroll
                for (int n = 0; n < NT; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        sum[r][n][i] = __fadd_rn(sum[r][n][i], acc[r][n][i]);
                        acc[r][n][i] = 0;
                    }
        }
        c = next(c);
        if (++slot == stages) slot = 0;
    }
    cp_wait<0>();
    __syncthreads();

    // ---- the two halves meet in shared memory: [half][token][row]
    const int num_tiles = min(warps * RT, tiles - tile0), row_stride = warps * RT * 16 + 4;
    float* sums = (float*)smem;
    float* mine = sums + half * MT * row_stride + warp * RT * 16;
#pragma unroll
    for (int r = 0; r < RT; r++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) mine[(n * 8 + 2 * t + (i & 1)) * row_stride + r * 16 + g + (i >> 1) * 8] = sum[r][n][i];
    __syncthreads();
    auto tile_at = [&](int i) { return tile0 + i; };
    auto total = [&](int i, int row, int m) {
        const float* p = sums + m * row_stride + i * 16 + row;
        return __fadd_rn(p[0], p[MT * row_stride]);
    };
    if (splits == 1) {
        finish(a, scale, num_tiles, threadIdx.x, blockDim.x, tile_at, total);
        return;
    }
    deal(num_tiles, a.m, 4, threadIdx.x, blockDim.x, [&](int i, int m, int row) { partial_at(a, split, tile0 + i, m)[row] = total(i, row, m); });
    __threadfence();
    __syncthreads();
    if (!threadIdx.x) {
        is_last = atomicAdd(a.arrivals + blockIdx.x, 1u) == splits - 1;
        if (is_last) a.arrivals[blockIdx.x] = 0;
    }
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    finish(a, scale, num_tiles, threadIdx.x, blockDim.x, tile_at, [&](int i, int row, int m) { return sum_of_partials(a, tile0 + i, row, m); });
}

// Bounds that leave room for the accumulators: MAX_WARPS warps a half.
#define TILE(TOKENS, TILES, MAX_WARPS, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(MAX_WARPS * 64, BLOCKS) gemm_tile_##TOKENS##_##TILES(const GemmArgs a) { gemm_tile<TOKENS, TILES>(a); }
TILE(16, 1, 5, 2)
TILE(32, 1, 5, 2)
TILE(32, 2, 8, 1)
TILE(64, 1, 5, 1)
TILE(64, 2, 4, 1)
