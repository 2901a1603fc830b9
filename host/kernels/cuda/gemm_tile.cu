// Skinny matrix product for up to 64 tokens; for few, gemm_stream is faster. See gemm.cuh for
// the operands and the order of summation.
//
// Names: gemm_tile_<tokens>_<tiles a warp>_<token groups>. Threads: 64 x warps, in two halves: one walks the even shares of K,
// the other the odd ones, and each has its own ring and barrier, so that one half computes while the other waits. A warp owns
// `tiles a warp` tiles and one group of the tokens; the block BT = warps / groups x tiles. Grid: (ceil(N/16 / BT), splits).
// Shared memory, two times: stages x (x: tokens x 128 bytes | W: BT x 2 KB), used again for the sums: 2 x tokens x (BT*16 + 4)
// floats. The launcher gives the larger. Splits meet in global memory: partials and a counter, the last to arrive adds. (A
// cluster that meets in shared memory instead was no faster on an H100.) Two accumulators a warp: of the share, and the sum of
// the shares before it. Limits: K a multiple of 64, N of 16, at most MAX_WARPS warps a half.
#include "gemm.cuh"

template <int MT, int RT, int TG>
__device__ __forceinline__ void gemm_tile(const GemmArgs& a) {
    constexpr int NT = MT / 8 / TG, FETCHED = (RT + TG - 1) / TG;  // of a warp: token columns / 8, tiles that it fetches at most
    extern __shared__ __align__(128) unsigned char smem[];
    __shared__ float scale[MT];
    __shared__ int is_last;
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, warps = blockDim.x / 64;
    const int half = threadIdx.x >= blockDim.x / 2, warp = (threadIdx.x >> 5) - half * warps;
    const int block_tiles = warps / TG * RT, tiles = a.n / 16, tile0 = blockIdx.x * block_tiles, split = blockIdx.y,
              splits = a.splits, stages = a.stages;
    const int chunks = a.k / 64, c0 = (int)((long long)chunks * split / splits),
              nc = (int)((long long)chunks * (split + 1) / splits) - c0;
    const int count = (nc + 1 - half) / 2;  // chunks of this half
    // Share after share, each in steps of 8 chunks.
    auto next = [&](int c) { return c + 8 < nc ? c + 8 : (c & 7) + 2; };

    const int rows_at = warp / TG * RT, tokens_at = warp % TG * NT;  // tiles and token columns before this warp's
    const u32 stage_bytes = block_tiles * 2048 + MT * 128;
    const u32 ring = smem_u32(smem) + half * stages * stage_bytes;
    const size_t row_bytes = (size_t)a.k * 2;
    const TileRows tr(a);
    const int row4 = lane >> 3, at_in_row = c0 * 128 + (lane & 7) * 16;
    const char* w_from[FETCHED];
#pragma unroll
    for (int r = 0; r < FETCHED; r++)  // past the end: the last tile again, never stored
        w_from[r] =
            (const char*)a.w + (size_t)(min(tile0 + warp + r * warps, tiles - 1) * tr.rows + row4) * row_bytes + at_in_row;
    const char* x_from = (const char*)a.x + (size_t)(warp * 4 + row4) * row_bytes + at_in_row;

    auto load_w = [&](int slot, int c) {
        const u32 place = ring + slot * stage_bytes + MT * 128 + warp * 2048;
#pragma unroll
        for (int r = 0; r < FETCHED; r++)
            if (RT % TG == 0 || warp + r * warps < block_tiles) tr.copy(place + r * warps * 2048, lane, w_from[r] + c * 128);
    };
    auto load_x = [&](int slot, int c) {
        const u32 place = ring + slot * stage_bytes;
        const char* p = x_from + c * 128;
        for (int q = warp; q * 4 < a.m;
             q += warps, p += warps * tr.quad)  // four tokens; columns >= M stay as they are, never stored
            if (q * 4 + row4 < a.m) cp16(copy_to(place, lane, q), p);
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
        if (stages == 2)
            cp_wait<0>();
        else if (stages == 3)
            cp_wait<1>();
        else if (stages == 4)
            cp_wait<2>();
        else if (stages == 5)
            cp_wait<3>();
        else
            cp_wait<4>();
        bar_sync(1 + half, warps * 32);  // all parts of x are there, and the slot of the last round has been read
        if (done + stages - 1 < count) {
            const int refill = slot ? slot - 1 : stages - 1;
            load_w(refill, c_in);
            load_x(refill, c_in);
            c_in = next(c_in);
        }
        cp_commit();
        const u32 x_at = token_fragments(ring + slot * stage_bytes + tokens_at * 1024, lane);
        const u32 w_at = weight_fragment(ring + slot * stage_bytes + MT * 128 + rows_at * 2048, lane);
#pragma unroll
        for (int b = 0; b < 2; b++) {
            uint4 w[RT][2], x[NT];
#pragma unroll
            for (int r = 0; r < RT; r++)
#pragma unroll
                for (int j = 0; j < 2; j++) w[r][j] = ldmatrix((w_at ^ ((b * 2 + j) * 32)) + r * 2048);
#pragma unroll
            for (int n = 0; n < NT; n++) x[n] = ldmatrix((x_at ^ (b * 64)) + n * 1024);
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int r = 0; r < RT; r++) mma16816(acc[r][n], w[r][0].x, w[r][0].y, w[r][0].z, w[r][0].w, x[n].x, x[n].y);
#pragma unroll
            for (int n = 0; n < NT; n++)
#pragma unroll
                for (int r = 0; r < RT; r++) mma16816(acc[r][n], w[r][1].x, w[r][1].y, w[r][1].z, w[r][1].w, x[n].z, x[n].w);
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
    const int num_tiles = min(block_tiles, tiles - tile0), row_stride = block_tiles * 16 + 4;
    float* sums = (float*)smem;
    float* mine = sums + half * MT * row_stride + rows_at * 16 + tokens_at * 8 * row_stride;
#pragma unroll
    for (int r = 0; r < RT; r++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) mine[(n * 8 + 2 * t + (i & 1)) * row_stride + r * 16 + g + (i >> 1) * 8] = sum[r][n][i];
    __syncthreads();
    auto tile_at = [&](int i) { return tile0 + i; };
    auto totals = [&](const Quarter(&q)[2], float4(&v)[2]) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const float* p = sums + q[j].m * row_stride + q[j].i * 16 + q[j].quarter * 4;
            v[j] = add4(*(const float4*)p, *(const float4*)(p + MT * row_stride));
        }
    };
    if (splits == 1) {
        finish<2>(a, scale, num_tiles, threadIdx.x, blockDim.x, tile_at, totals);
        return;
    }
    deal<2>(num_tiles, a.m, 2, threadIdx.x, blockDim.x, [&](const Quarter(&q)[2], int num) {
        float4 v[2];
        totals(q, v);
#pragma unroll
        for (int j = 0; j < 2; j++)
            if (j < num) *(float4*)(partial_at(a, split, tile0 + q[j].i, q[j].m) + q[j].quarter * 4) = v[j];
    });
    __threadfence();
    __syncthreads();
    if (!threadIdx.x) {
        is_last = atomicAdd(a.arrivals + blockIdx.x, 1u) == splits - 1;
        if (is_last) a.arrivals[blockIdx.x] = 0;
    }
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    finish<2>(a, scale, num_tiles, threadIdx.x, blockDim.x, tile_at,
              [&](const Quarter(&q)[2], float4(&v)[2]) { sum_partials(a, q, tile_at, v); });
}

// Bounds that leave room for the accumulators: MAX_WARPS warps a half.
#define TILE(TOKENS, TILES, GROUPS, MAX_WARPS, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(MAX_WARPS * 64, BLOCKS) \
        gemm_tile_##TOKENS##_##TILES##_##GROUPS(const GemmArgs a) { \
        gemm_tile<TOKENS, TILES, GROUPS>(a); \
    }
TILE(16, 1, 1, 5, 2)
TILE(32, 1, 1, 5, 2)
TILE(64, 2, 2, 8, 1)
TILE(64, 5, 2, 4, 1)
