// Prefill attention (prefill_attention.cuh says what that is) by mma.sync and cp.async: any card from compute capability 8.0 on.
//
// grid = tiles * kv heads, the kv heads of a tile side by side: blocks start in the order of the tiles, and those that run at a
// time walk the same keys together. 8 warps of 16 packed rows each; 64 keys and their values in each of 2 stages.
// Shared memory: 2 stages * 2 * 64 * HD * 2 bytes.
// Limits: HD 64 and 128.
#include "prefill_attention.cuh"

constexpr int BN = 64;   // keys of a tile
constexpr int THREADS = 256;

__device__ __forceinline__ void ldmatrix(u32 (&r)[4], u32 addr) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(addr)
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_trans(u32 (&r)[4], u32 addr) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(addr)
                 : "memory");
}

// Byte offset of a row's 16-byte chunk. 8 chunks side by side lie in all banks, and so do 8 below each other.
// In memory aligned to a row, the address of chunk c ^ d is that of chunk c, ^ (d << 4); rows 8 apart are swizzled alike.
template <int HD> __device__ __forceinline__ u32 swizzled(int row, int chunk) {
    return row * (HD * 2) + ((chunk ^ (row & 7)) << 4);
}

template <int HD> __device__ __forceinline__ void prefill(const PrefillArgs& a) {
    constexpr int CHUNKS = HD / 8;                    // 16-byte chunks of a row
    constexpr int COPY_STEP = THREADS / 2 / CHUNKS;   // rows of a page that are copied at a time
    constexpr u32 TILE_BYTES = BN * HD * 2;           // K or V of a stage
    constexpr u32 STAGE_BYTES = 2 * TILE_BYTES;
    static_assert(BM * HD * 2 == STAGE_BYTES, "the queries pass through the second stage");
    static_assert(BN == 2 * PAGE_LEN && COPY_STEP % 8 == 0, "the rows that a thread copies are 8 or 16 apart in one page");
    extern __shared__ __align__(256) unsigned char shared[];
    const u32 ring = smem_u32(shared);
    pdl_trigger();
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int kv_head = blockIdx.x % a.num_kv_heads;
    const int* tile = a.tiles + 2 * (blockIdx.x / a.num_kv_heads);
    const int seq = tile[0], first_row = tile[1] * BM;  // packed
    const int q_len = a.q_len[seq], start = a.kv_len[seq] - q_len, num_rows = q_len * a.group;
    const int last_row = min(first_row + BM, num_rows) - 1;
    const int end = start + last_row / a.group + 1;          // keys that the tile's last row sees
    const int first_masked = (start + first_row / a.group + 1) / BN;  // tile of keys that its first row does not see all of
    const int num_tiles = (end + BN - 1) / BN;
    const int* pages = a.pages + a.page_start[seq];
    const int num_pages = (end + PAGE_LEN - 1) / PAGE_LEN;

    // ---- global -> shared: half of the block copies one page of a tile, half the other
    const int copy_page = threadIdx.x / (THREADS / 2), copy_chunk = threadIdx.x % CHUNKS;
    const int copy_row = copy_page * PAGE_LEN + threadIdx.x % (THREADS / 2) / CHUNKS;
    const int v_offset = a.num_kv_heads * PAGE_LEN * HD;  // from a key to its value; half a page
    const bf16* cache = a.cache + (long long)(kv_head * PAGE_LEN + copy_row % PAGE_LEN) * HD + copy_chunk * 8;
    int next_page;  // of the tile that is copied next: read early, since the copy cannot begin without it
    auto read_page = [&](int j) { next_page = pages[min(2 * j + copy_page, num_pages - 1)]; };
    auto copy_tile = [&](int j) {
        const u32 to = ring + (j & 1) * STAGE_BYTES + swizzled<HD>(copy_row, copy_chunk);
        const bf16* from = cache + (long long)next_page * (2 * v_offset);
        const int left = end - j * BN - copy_row;  // what lies behind is not ours and may be NaN, which 0 * V would spread
#pragma unroll
        for (int row = 0; row < PAGE_LEN; row += COPY_STEP) {
            cp16_or_zero(to + row * HD * 2, from + row * HD, row < left);
            cp16_or_zero(to + TILE_BYTES + row * HD * 2, from + v_offset + row * HD, row < left);
        }
        cp_commit();
    };
    read_page(0);
    pdl_wait();  // the work and the pages are the step's; queries and the newest keys come from the kernel before
#pragma unroll
    for (int i = 0; i < BM / (2 * COPY_STEP); i++) {
        const int row = i * 2 * COPY_STEP + threadIdx.x / CHUNKS, packed = min(first_row + row, last_row);
        const int token = packed / a.group, head = kv_head * a.group + packed % a.group;
        const bf16* q = a.q + (long long)(a.q_start[seq] + token) * a.q_stride + head * HD + copy_chunk * 8;
        cp16_or_zero(ring + STAGE_BYTES + swizzled<HD>(row, copy_chunk), q, first_row + row <= last_row);
    }
    copy_tile(0);
    read_page(1);
    cp_wait<0>();
    __syncthreads();

    // ---- this warp's 16 rows stay in registers
    u32 q[HD / 16][4];
#pragma unroll
    for (int k = 0; k < HD / 16; k++)
        ldmatrix(q[k], ring + STAGE_BYTES + swizzled<HD>(warp * 16 + (lane & 15), 2 * k + (lane >> 4)));
    const u32 key_lane = ring + swizzled<HD>((lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
    const u32 value_lane = ring + TILE_BYTES + swizzled<HD>(lane & 15, lane >> 4);
    float o[HD / 8][4];
#pragma unroll
    for (int i = 0; i < HD / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) o[i][e] = 0;
    float row_max[2] = {MINUS_INFINITY, MINUS_INFINITY}, row_sum[2] = {0, 0};  // of rows g and g + 8; sums of this lane's columns

    for (int j = 0; j < num_tiles; j++) {
        if (j) cp_wait<0>();
        __syncthreads();  // tile j is there, and nobody reads the other stage any more
        if (j + 1 < num_tiles) {
            copy_tile(j + 1);
            read_page(j + 2);
        }
        const u32 keys = key_lane + (j & 1) * STAGE_BYTES, values = value_lane + (j & 1) * STAGE_BYTES;
        float s[BN / 8][4];
#pragma unroll
        for (int i = 0; i < BN / 8; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) s[i][e] = 0;
#pragma unroll
        for (int k = 0; k < HD / 16; k++)
#pragma unroll
            for (int i = 0; i < BN / 16; i++) {
                u32 b[4];
                ldmatrix(b, (keys ^ (k << 5)) + i * 16 * HD * 2);
                mma16816(s[2 * i], q[k][0], q[k][1], q[k][2], q[k][3], b[0], b[1]);
                mma16816(s[2 * i + 1], q[k][0], q[k][1], q[k][2], q[k][3], b[2], b[3]);
            }
        if (j >= first_masked) {
            const int row = first_row + warp * 16 + g, seen = start - j * BN - 2 * t;  // not before: registers are scarce
            const int last[2] = {seen + row / a.group, seen + (row + 8) / a.group};
#pragma unroll
            for (int i = 0; i < BN / 8; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (i * 8 + (e & 1) > last[e >> 1]) s[i][e] = MINUS_INFINITY;
        }
        float shrink[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float m = row_max[r];  // finite after the first tile: every row sees key 0
#pragma unroll
            for (int i = 0; i < BN / 8; i++) m = fmaxf(m, fmaxf(s[i][2 * r], s[i][2 * r + 1]));
            m = fmaxf(m, __shfl_xor_sync(~0u, m, 1));
            m = fmaxf(m, __shfl_xor_sync(~0u, m, 2));
            shrink[r] = exp2_approx((row_max[r] - m) * a.scale);
            row_max[r] = m;
            const float offset = m * a.scale;
            float sum = 0;
#pragma unroll
            for (int i = 0; i < BN / 8; i++)
#pragma unroll
                for (int e = 2 * r; e < 2 * r + 2; e++) {
                    s[i][e] = exp2_approx(fmaf(s[i][e], a.scale, -offset));
                    sum += s[i][e];
                }
            row_sum[r] = fmaf(row_sum[r], shrink[r], sum);
        }
        if (__any_sync(~0u, shrink[0] != 1.f || shrink[1] != 1.f)) {  // rare on long contexts
#pragma unroll
            for (int i = 0; i < HD / 8; i++)
#pragma unroll
                for (int e = 0; e < 4; e++) o[i][e] *= shrink[e >> 1];
        }
#pragma unroll
        for (int k = 0; k < BN / 16; k++) {
            const u32 p0 = pack_bf(s[2 * k][0], s[2 * k][1]), p1 = pack_bf(s[2 * k][2], s[2 * k][3]);
            const u32 p2 = pack_bf(s[2 * k + 1][0], s[2 * k + 1][1]), p3 = pack_bf(s[2 * k + 1][2], s[2 * k + 1][3]);
#pragma unroll
            for (int i = 0; i < HD / 16; i++) {
                u32 b[4];
                ldmatrix_trans(b, (values ^ (i << 5)) + k * 16 * HD * 2);
                mma16816(o[2 * i], p0, p1, p2, p3, b[0], b[1]);
                mma16816(o[2 * i + 1], p0, p1, p2, p3, b[2], b[3]);
            }
        }
    }

    // ---- divide, and out through shared memory: each warp its own 16 rows, whole rows at a time
    __syncthreads();
    float inverse[2];
    inverse_sums(inverse, row_sum);
#pragma unroll
    for (int i = 0; i < HD / 8; i++)
#pragma unroll
        for (int r = 0; r < 2; r++)
            *(u32*)(shared + swizzled<HD>(warp * 16 + g + 8 * r, i) + 4 * t) =
                pack_bf(o[i][2 * r] * inverse[r], o[i][2 * r + 1] * inverse[r]);
    __syncwarp();
    constexpr int ROWS_A_STORE = 32 / CHUNKS;
#pragma unroll
    for (int i = 0; i < 16 / ROWS_A_STORE; i++) {
        const int row = warp * 16 + i * ROWS_A_STORE + lane / CHUNKS, packed = first_row + row;
        if (packed >= num_rows) continue;
        const int token = packed / a.group, head = kv_head * a.group + packed % a.group;
        bf16* out = a.out + ((long long)(a.q_start[seq] + token) * a.num_kv_heads * a.group + head) * HD + lane % CHUNKS * 8;
        *(uint4*)out = *(const uint4*)(shared + swizzled<HD>(row, lane % CHUNKS));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) prefill_attention_64(const PrefillArgs a) { prefill<64>(a); }
extern "C" __global__ void __launch_bounds__(THREADS, 1) prefill_attention_128(const PrefillArgs a) { prefill<128>(a); }
