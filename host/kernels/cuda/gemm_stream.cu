// Skinny matrix product for up to 8 tokens, persistent. See gemm.cuh for the operands and the order of summation.
//
// Names: gemm_stream_<stages>. Threads: 12 warps (8 compute, 4 epilogue). Grid: G blocks, a multiple of `splits`; block i belongs
// to K split i % splits and takes tiles i/splits, i/splits + G/splits, ... Shared memory: 8 rings of stages x 2 KB | two buffers
// of 8 shares x 8 tokens x 20 floats | x's slice of this split, M rows of its chunks' 128 bytes and 16 more.
//   * Every compute warp is one share of K and runs its own cp.async ring, on across tiles: no block barrier in the main loop.
//   * x's slice is loaded once. The 16 bytes between rows keep ldmatrix free of bank conflicts. Columns >= M read row M-1 again:
//   mma
//     columns are independent, and theirs are never stored.
//   * Reductions and epilogues are the other four warps' (two buffers, named barriers), so the stream of weights never waits for
//   them.
//     They must be separate: a memory fence in a warp with cp.async in flight drains its ring (measured: half the speed).
//   * With splits the blocks leave partials and meet once, at the end: the last to arrive at a tile adds them, in order. (A fence
//   and a
//     counter after every tile cost half the bandwidth.)
// Limits: K a multiple of 64, N of 16; with splits at most MAX_FINISHED tiles a block.
#include "gemm.cuh"

constexpr int SHARES = 8, TOKENS = 8, EPILOGUE_WARPS = 4, MAX_FINISHED = 256, TILE_BYTES = 2048;
constexpr int COMPUTE_THREADS = SHARES * 32, EPILOGUE_THREADS = EPILOGUE_WARPS * 32,
              STREAM_THREADS = COMPUTE_THREADS + EPILOGUE_THREADS;
constexpr int ROW_STRIDE = 20, SHARE_STRIDE = TOKENS * ROW_STRIDE, BUFFER = SHARES * SHARE_STRIDE;  // floats: [share][token][row]
enum { BARRIER_X = 1, BARRIER_SCALES = 2, BARRIER_FULL = 3, BARRIER_EMPTY = 5 };  // FULL and EMPTY: one a buffer

template <int ST>
__device__ __forceinline__ void gemm_stream(const GemmArgs& a) {
    extern __shared__ __align__(128) unsigned char smem[];
    __shared__ float scale[TOKENS];
    __shared__ int finished[MAX_FINISHED], num_finished;  // splits: the tiles that this block came last at
    if (!threadIdx.x) num_finished = 0;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int splits = a.splits, split = blockIdx.x % splits, step = gridDim.x / splits, first = blockIdx.x / splits,
              tiles = a.n / 16;
    float* buffers = (float*)(smem + SHARES * ST * TILE_BYTES);
    pdl_trigger();

    if (warp < SHARES) {  // ================= compute warps: stream weights, multiply
        const int chunks = a.k / 64, c0 = (int)((long long)chunks * split / splits),
                  nc = (int)((long long)chunks * (split + 1) / splits) - c0;
        const size_t row_bytes = (size_t)a.k * 2;
        const TileRows tr(a);
        const int row4 = lane >> 3, piece = lane & 7;
        const u32 ring = smem_u32(smem) + warp * (ST * TILE_BYTES), xs = smem_u32(buffers + 2 * BUFFER), x_row = nc * 128 + 16;

        // The next chunk to fetch: runs ST-1 chunks ahead of the arithmetic, across tiles.
        int tile_in = warp < nc ? first : tiles, chunk_in = warp;
        auto load_w = [&](int slot) {
            if (tile_in >= tiles) return;
            const char* from =
                (const char*)a.w + (size_t)(tile_in * tr.rows + row4) * row_bytes + (c0 + chunk_in) * 128 + piece * 16;
            tr.copy(ring + slot * TILE_BYTES, lane, from);
            chunk_in += SHARES;
            if (chunk_in >= nc) {
                chunk_in = warp;
                tile_in += step;
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
            if (token < a.m)
                cp16(xs + token * x_row + c * 128 + piece * 16,
                     (const char*)a.x + token * row_bytes + (c0 + c) * 128 + piece * 16);
        }
        cp_commit();
        const u32 x_at = xs + min(lane & 7, a.m - 1) * x_row + (lane >> 3) * 16;
        cp_wait<0>();
        bar_sync(BARRIER_X, COMPUTE_THREADS);

        int slot = 0, it = 0;
        for (int tile = first; tile < tiles; tile += step, it++) {
            float acc[4] = {0, 0, 0, 0};
            for (int c = warp; c < nc; c += SHARES) {
                cp_wait<ST - 2>();
                __syncwarp();
                load_w(slot ? slot - 1 : ST - 1);  // the slot that the last round read
                cp_commit();
                const u32 w_at = weight_fragment(ring + slot * TILE_BYTES, lane);
#pragma unroll
                for (int b = 0; b < 2; b++) {
                    const uint4 w0 = ldmatrix(w_at ^ (b * 64)), w1 = ldmatrix(w_at ^ (b * 64 + 32)),
                                x = ldmatrix(x_at + c * 128 + b * 64);
                    mma16816(acc, w0.x, w0.y, w0.z, w0.w, x.x, x.y);
                    mma16816(acc, w1.x, w1.y, w1.z, w1.w, x.z, x.w);
                }
                if (++slot == ST) slot = 0;
            }
            const int buffer = it & 1;  // hand over
            float* share = buffers + buffer * BUFFER + warp * SHARE_STRIDE;
            if (it >= 2) bar_sync(BARRIER_EMPTY + buffer, STREAM_THREADS);
#pragma unroll
            for (int i = 0; i < 4; i++) share[(2 * t + (i & 1)) * ROW_STRIDE + g + (i >> 1) * 8] = acc[i];
            bar_arrive(BARRIER_FULL + buffer, STREAM_THREADS);
        }
        cp_wait<0>();
    } else {  // ================= epilogue warps
        const int tid = threadIdx.x - COMPUTE_THREADS;
        pdl_wait();
        row_scales(a, scale, warp - SHARES, EPILOGUE_WARPS);
        bar_sync(BARRIER_SCALES, EPILOGUE_THREADS);
        int it = 0;
        for (int tile = first; tile < tiles; tile += step, it++) {
            const int buffer = it & 1;
            bar_sync(BARRIER_FULL + buffer, STREAM_THREADS);
            auto totals = [&](const Quarter(&q)[1], float4(&v)[1]) {
                const float* p = buffers + buffer * BUFFER + q[0].m * ROW_STRIDE + q[0].quarter * 4;
                float4 even = make_float4(0, 0, 0, 0), odd = even;
#pragma unroll 2  // more at once would not fit the registers that two blocks leave
                for (int s = 0; s < SHARES; s += 2) {
                    even = add4(even, *(const float4*)(p + s * SHARE_STRIDE));
                    odd = add4(odd, *(const float4*)(p + (s + 1) * SHARE_STRIDE));
                }
                v[0] = add4(even, odd);
            };
            if (splits > 1)  // partials now, the rest after the last tile
                deal<1>(1, a.m, 2, tid, EPILOGUE_THREADS, [&](const Quarter(&q)[1], int) {
                    float4 v[1];
                    totals(q, v);
                    *(float4*)(partial_at(a, split, tile, q[0].m) + q[0].quarter * 4) = v[0];
                });
            else
                finish<1>(a, scale, 1, tid, EPILOGUE_THREADS, [&](int) { return tile; }, totals);
            if (tile + 2 * step < tiles) bar_arrive(BARRIER_EMPTY + buffer, STREAM_THREADS);
        }
    }
    if (splits == 1) return;
    // ================= splits: count this block in at each of its tiles; finish those where it came last
    __threadfence();
    __syncthreads();
    for (int tile = first + threadIdx.x * step; tile < tiles; tile += STREAM_THREADS * step)
        if (atomicAdd(a.arrivals + tile, 1u) == splits - 1) {
            a.arrivals[tile] = 0;
            finished[atomicAdd(&num_finished, 1)] = tile;
        }
    __syncthreads();
    __threadfence();
    auto tile_at = [&](int i) { return finished[i]; };
    finish<1>(a, scale, num_finished, threadIdx.x, STREAM_THREADS, tile_at,
              [&](const Quarter(&q)[1], float4(&v)[1]) { sum_partials(a, q, tile_at, v); });
}

#define STREAM(STAGES) \
    extern "C" __global__ void __launch_bounds__(STREAM_THREADS, 2) gemm_stream_##STAGES(const GemmArgs a) { \
        gemm_stream<STAGES>(a); \
    }
STREAM(2)
STREAM(4)
STREAM(6)
