// Skinny matrix product for up to 16 tokens, persistent. See gemm.cuh for the operands and the order of summation.
//
// Names: gemm_stream_<tokens>_<tiles a strip>_<stages>. Threads: 12 warps (8 compute, 4 epilogue). Grid: G blocks, a multiple of
// `splits`; block i belongs to K split i % splits and takes strips i/splits, i/splits + G/splits, ... of `tiles a strip` tiles each.
// Shared memory: 8 rings of stages x tiles x 2 KB, two reduction buffers, x's slice of this split: see SHARED in gemm.rs.
//   * Every compute warp is one share of K and runs its own cp.async ring, on across strips: no block barrier in the main loop.
//   * x's slice sits in shared memory, [token][k] with rows 16 bytes off a multiple of 128, loaded once. Columns >= M read row M-1
//     again: mma columns are independent, and theirs are never stored.
//   * Reductions and epilogues are the other four warps' (two buffers, named barriers), so the stream of weights never waits for them.
//     They must be separate: a memory fence in a warp with cp.async in flight drains its ring (measured: half the speed).
//   * With splits the blocks leave partials and meet once, at the end: the last to arrive at a strip adds them, in order. (A fence and a
//     counter after every strip cost half the bandwidth.)
// Limits: K a multiple of 64, N of 16; with splits at most MAX_FINISHED tiles a block.
#include "gemm.cuh"

constexpr int SHARES = 8, EPILOGUE_WARPS = 4, MAX_FINISHED = 256;
constexpr int COMPUTE_THREADS = SHARES * 32, EPILOGUE_THREADS = EPILOGUE_WARPS * 32, STREAM_THREADS = COMPUTE_THREADS + EPILOGUE_THREADS;
enum { BARRIER_X = 1, BARRIER_SCALES = 2, BARRIER_FULL = 3, BARRIER_EMPTY = 5 };  // FULL and EMPTY: one a reduction buffer

template <int NT, int RT, int ST> __device__ __forceinline__ void gemm_stream(const GemmArgs& a) {
    constexpr int MT = 8 * NT, RS = 16 * RT + 4, STAGE = RT * 2048, RING = SHARES * ST * STAGE;
    constexpr int BUFFER = SHARES * MT * RS;  // floats of one reduction buffer: [share][token][row]
    extern __shared__ __align__(128) unsigned char smem[];  // ring | two reduction buffers | x
    __shared__ float scale[MT];
    __shared__ int finished[MAX_FINISHED], num_finished;  // splits: the tiles that this block came last at
    if (!threadIdx.x) num_finished = 0;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int splits = a.splits, split = blockIdx.x % splits, step = gridDim.x / splits, first = blockIdx.x / splits;
    const int tiles = a.n / 16, strips = (tiles + RT - 1) / RT;
    float* red = (float*)(smem + RING);
    pdl_trigger();

    if (warp < SHARES) {  // ================= compute warps: stream weights, multiply
        const int chunks = a.k / 64, c0 = (int)((long long)chunks * split / splits), nc = (int)((long long)chunks * (split + 1) / splits) - c0;
        const size_t row_bytes = (size_t)a.k * 2;
        const TileRows tr(a);
        const int row4 = lane >> 3, piece = lane & 7;
        const u32 ring = smem_u32(smem) + warp * (ST * STAGE), xs = smem_u32(smem) + RING + 2 * BUFFER * 4, x_row = nc * 128 + 16;

        // The next chunk to fetch: runs ST-1 chunks ahead of the arithmetic, across strips.
        int strip_in = warp < nc ? first : strips, chunk_in = warp;
        auto load_w = [&](int slot) {
            if (strip_in >= strips) return;
            const char* p = (const char*)a.w + (size_t)(strip_in * RT * tr.rows + row4) * row_bytes + (c0 + chunk_in) * 128 + piece * 16;
#pragma unroll
            for (int r = 0; r < RT; r++)
                if (r == 0 || strip_in * RT + r < tiles)  // a last strip of fewer tiles: what is there is never stored
                    tr.copy(ring + slot * STAGE + r * 2048, lane, p + (size_t)(r * tr.rows) * row_bytes);
            chunk_in += SHARES;
            if (chunk_in >= nc) {
                chunk_in = warp;
                strip_in += step;
            }
        };
#pragma unroll
        for (int s = 0; s < ST - 1; s++) {
            load_w(s);  // weights depend on nothing
            cp_commit();
        }
        pdl_wait();
        const int quads = (a.m + 3) / 4;
        for (int u = warp; u < nc * quads; u += SHARES) {  // x's slice: 4 tokens x 128 bytes an instruction
            const int c = u / quads, token = (u - c * quads) * 4 + row4;
            if (token < a.m) cp16(xs + token * x_row + c * 128 + piece * 16, (const char*)a.x + token * row_bytes + (c0 + c) * 128 + piece * 16);
        }
        cp_commit();
        u32 x_at[NT];
#pragma unroll
        for (int n = 0; n < NT; n++) x_at[n] = xs + min(n * 8 + (lane & 7), a.m - 1) * x_row + (lane >> 3) * 16;
        cp_wait<0>();
        bar_sync(BARRIER_X, COMPUTE_THREADS);

        int slot = 0, it = 0;
        for (int strip = first; strip < strips; strip += step, it++) {
            float acc[RT][NT][4];
#pragma unroll
            for (int r = 0; r < RT; r++)
#pragma unroll
                for (int n = 0; n < NT; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) acc[r][n][i] = 0;
            for (int c = warp; c < nc; c += SHARES) {
                cp_wait<ST - 2>();
                __syncwarp();
                load_w(slot ? slot - 1 : ST - 1);  // the slot that the last round read
                cp_commit();
                const u32 w_at = weight_fragment(ring + slot * STAGE, lane);
#pragma unroll
                for (int b = 0; b < 2; b++) {
                    uint4 w[RT][2], x[NT];
#pragma unroll
                    for (int r = 0; r < RT; r++)
#pragma unroll
                        for (int j = 0; j < 2; j++) w[r][j] = ldmatrix((w_at ^ ((b * 2 + j) * 32)) + r * 2048);
#pragma unroll
                    for (int n = 0; n < NT; n++) x[n] = ldmatrix(x_at[n] + c * 128 + b * 64);
#pragma unroll
                    for (int n = 0; n < NT; n++)
#pragma unroll
                        for (int r = 0; r < RT; r++) mma16816(acc[r][n], w[r][0].x, w[r][0].y, w[r][0].z, w[r][0].w, x[n].x, x[n].y);
#pragma unroll
                    for (int n = 0; n < NT; n++)
#pragma unroll
                        for (int r = 0; r < RT; r++) mma16816(acc[r][n], w[r][1].x, w[r][1].y, w[r][1].z, w[r][1].w, x[n].z, x[n].w);
                }
                if (++slot == ST) slot = 0;
            }
            const int buffer = it & 1;  // hand over
            float* q = red + buffer * BUFFER + warp * MT * RS;
            if (it >= 2) bar_sync(BARRIER_EMPTY + buffer, STREAM_THREADS);
#pragma unroll
            for (int r = 0; r < RT; r++)
#pragma unroll
                for (int n = 0; n < NT; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) q[(n * 8 + 2 * t + (i & 1)) * RS + r * 16 + g + (i >> 1) * 8] = acc[r][n][i];
            bar_arrive(BARRIER_FULL + buffer, STREAM_THREADS);
        }
        cp_wait<0>();
    } else {  // ================= epilogue warps
        const int tid = threadIdx.x - COMPUTE_THREADS;
        pdl_wait();
        row_scales(a, scale, warp - SHARES, EPILOGUE_WARPS);
        bar_sync(BARRIER_SCALES, EPILOGUE_THREADS);
        int it = 0;
        for (int strip = first; strip < strips; strip += step, it++) {
            const int buffer = it & 1, tile0 = strip * RT, num_tiles = min(RT, tiles - tile0);
            const float* shares = red + buffer * BUFFER;
            bar_sync(BARRIER_FULL + buffer, STREAM_THREADS);
            auto totals = [&](const Quarter (&q)[1], float4 (&v)[1]) {
                const float* p = shares + q[0].m * RS + q[0].i * 16 + q[0].quarter * 4;
                float4 even = make_float4(0, 0, 0, 0), odd = even;
#pragma unroll 2  // more at once would not fit the registers that two blocks leave
                for (int s = 0; s < SHARES; s += 2) {
                    even = add4(even, *(const float4*)(p + s * MT * RS));
                    odd = add4(odd, *(const float4*)(p + (s + 1) * MT * RS));
                }
                v[0] = add4(even, odd);
            };
            if (splits > 1)  // partials now, the rest after the last strip
                deal<1>(num_tiles, a.m, 2, tid, EPILOGUE_THREADS, [&](const Quarter (&q)[1], int) {
                    float4 v[1];
                    totals(q, v);
                    *(float4*)(partial_at(a, split, tile0 + q[0].i, q[0].m) + q[0].quarter * 4) = v[0];
                });
            else
                finish<1>(a, scale, num_tiles, tid, EPILOGUE_THREADS, [&](int i) { return tile0 + i; }, totals);
            if (strip + 2 * step < strips) bar_arrive(BARRIER_EMPTY + buffer, STREAM_THREADS);
        }
    }
    if (splits == 1) return;
    // ================= splits: count this block in at each of its strips; finish those where it came last
    __threadfence();
    __syncthreads();
    const int mine = first < strips ? (strips - first + step - 1) / step : 0;
    for (int j = threadIdx.x; j < mine; j += STREAM_THREADS) {
        const int strip = first + j * step;
        if (atomicAdd(a.arrivals + strip, 1u) != splits - 1) continue;
        a.arrivals[strip] = 0;
        for (int tile = strip * RT; tile < min(strip * RT + RT, tiles); tile++) finished[atomicAdd(&num_finished, 1)] = tile;
    }
    __syncthreads();
    __threadfence();
    auto tile_at = [&](int i) { return finished[i]; };
    finish<1>(a, scale, num_finished, threadIdx.x, STREAM_THREADS, tile_at,
           [&](const Quarter (&q)[1], float4 (&v)[1]) { sum_partials(a, q, tile_at, v); });
}

#define STREAM(TOKENS, TILES, STAGES, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(STREAM_THREADS, BLOCKS) gemm_stream_##TOKENS##_##TILES##_##STAGES(const GemmArgs a) { \
        gemm_stream<TOKENS / 8, TILES, STAGES>(a); \
    }
STREAM(8, 1, 2, 2)
STREAM(8, 1, 3, 2)
STREAM(8, 1, 4, 2)
STREAM(8, 1, 6, 2)
