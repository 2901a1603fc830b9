// Prefill attention (prefill_attention.cuh says what that is) by Hopper's wgmma and bulk tensor copies, for HD = 128.
//   cache    as a tensor map: rows of 128 numbers in the order [page][K|V][kv head][PAGE_LEN], boxes of PAGE_LEN rows and 64
//            numbers, 128-byte swizzle
//
// grid = multiprocessors, at most tiles * kv heads. Blocks stay and take the next (tile, kv head), the kv heads of a tile side by
// side, so that the copies for one run while another is computed. Three warpgroups:
//   0     copies: warp 0 takes work and fills a ring of 2 stages, 128 keys and 128 values each, page by page; warps 1 and 2 copy
//         the queries
//   1, 2  each computes 64 packed rows: queries in shared memory, scores, weights and output in registers
// A computing warpgroup has two products in flight: the scores of keys j and the weighted values j - 1, and computes exponentials
// meanwhile. (Letting the two warpgroups take turns at issuing, as FlashAttention-3 does, was 1 % slower on an H100.)
// Shared memory, from the first multiple of 1024 on:
//   queries  [slot][warpgroup][half of HD][64 rows][64]   32 KB a slot, of which there are two; the output leaves through them
//   keys     [stage][half of HD][128 tokens][64]          32 KB a stage
//   values   the same
//   barriers, and the work of both slots
// All rows are 128 bytes with the 16-byte chunks swizzled, as wgmma and the copies have it.
#include "prefill_attention.cuh"

struct __align__(128) TensorMap {
    u64 opaque[16];
};

struct WgmmaArgs {
    TensorMap cache;
    PrefillArgs rest;
    int num_tiles;
};

constexpr int HD = 128;
constexpr int WG_ROWS = 64;    // of a warpgroup
constexpr int BN = 128;        // keys of a tile
constexpr int STAGES = 2;      // of keys and values
constexpr int SLOTS = 2;       // for work: its queries, then its output
constexpr int QUERY_COPIERS = 64;
constexpr int PAGES_A_TILE = BN / PAGE_LEN;
constexpr u32 ROW_BYTES = 128;                            // half of a head
constexpr u32 Q_HALF = WG_ROWS * ROW_BYTES, Q_BYTES = 2 * Q_HALF;
constexpr u32 KV_HALF = BN * ROW_BYTES, KV_BYTES = 2 * KV_HALF;
constexpr u32 BOX_BYTES = PAGE_LEN * ROW_BYTES;
constexpr u32 KEYS = SLOTS * 2 * Q_BYTES, VALUES = KEYS + STAGES * KV_BYTES;
// Barriers of 8 bytes, STAGES or SLOTS of each, and the work in the slots.
constexpr u32 FULL_KEYS = VALUES + STAGES * KV_BYTES, FULL_VALUES = FULL_KEYS + STAGES * 8;
constexpr u32 EMPTY_KEYS = FULL_VALUES + STAGES * 8, EMPTY_VALUES = EMPTY_KEYS + STAGES * 8;
constexpr u32 FULL_WORK = EMPTY_VALUES + STAGES * 8, FULL_QUERIES = FULL_WORK + SLOTS * 8, EMPTY_SLOT = FULL_QUERIES + SLOTS * 8;
constexpr u32 WORK = EMPTY_SLOT + SLOTS * 8, WORK_BYTES = 32;

// ---- barriers in shared memory
__device__ __forceinline__ void barrier_init(u32 barrier, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
__device__ __forceinline__ void barrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void barrier_arrive_expecting(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}" ::"r"(barrier), "r"(parity) : "memory");
}
// Of a computing warpgroup alone.
__device__ __forceinline__ void warpgroup_sync(int wg) { asm volatile("bar.sync %0, 128;" ::"r"(1 + wg) : "memory"); }
// Makes what this thread stored to shared memory visible to wgmma and bulk copies.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void copy_box(u32 to, const TensorMap* map, int column, int row, u32 barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
        "l"(map), "r"(column), "r"(row), "r"(barrier)
        : "memory");
}

__device__ __forceinline__ void sts16(u32 to, uint4 v) {
    asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
// ---- wgmma: D[64x128] += A[64x16] B[16x128]. Each warp of the warpgroup has 16 rows of D, laid out as of mma16816, 16 times.
// A descriptor says where a matrix is, with rows of 128 swizzled bytes: in units of 16 bytes the address, the distance of
// 64-number blocks along the rows (only where the rows are not the dimension that is summed over), and that of groups of 8 rows.
__device__ __forceinline__ u64 descriptor(u32 address, u32 block_bytes) {
    return (u64)(address >> 4) | (u64)(block_bytes >> 4) << 16 | (u64)(8 * ROW_BYTES >> 4) << 32 | 1ull << 62;
}
#define R4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define R16(d, i) R4(d, i), R4(d, i + 4), R4(d, i + 8), R4(d, i + 12)
#define R64(d) R16(d, 0), R16(d, 16), R16(d, 32), R16(d, 48)
#define D64 \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
    "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31," \
    "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
    "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"

// A and B in shared memory, both with the numbers that are summed over side by side.
template <int ADDS> __device__ __forceinline__ void wgmma_shared(float (&d)[64], u64 a, u64 b) {
    asm volatile(
        "{\n.reg .pred adds;\nsetp.ne.b32 adds, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " D64 ", %64, %65, adds, 1, 1, 0, 0;\n}"
        : R64(d)
        : "l"(a), "l"(b), "n"(ADDS));
}
// A in registers as of mma16816, B in shared memory with its columns side by side.
__device__ __forceinline__ void wgmma_registers(float (&d)[64], u32 a0, u32 a1, u32 a2, u32 a3, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " D64 ", {%64,%65,%66,%67}, %68, 1, 1, 1, 1;"
        : R64(d)
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b));
}
__device__ __forceinline__ void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most N groups are in flight.
template <int N> __device__ __forceinline__ void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
// Keeps the compiler from moving uses of these registers across this point: it cannot know that products write them later.
__device__ __forceinline__ void pin(float (&d)[64]) {
#pragma unroll
    for (int i = 0; i < 64; i++) asm volatile("" : "+f"(d[i])::"memory");
}

// Byte offset of the 16-byte chunk (0..7) of a row of 128 bytes.
__device__ __forceinline__ u32 swizzled(int row, int chunk) { return row * ROW_BYTES + ((chunk ^ (row & 7)) << 4); }

// Work that was taken beyond the first of each block. A launch brings it back to 0 (see take_work), and launches do not overlap.
__device__ u32 num_taken = 0;

// What warp 0 tells the others. No tiles: stop.
struct Work {
    int num_tiles, kv_head;
    int q_start;              // the sequence's first row of q and out
    int start;                // position of its first token
    int first_row, last_row;  // packed
};
__device__ __forceinline__ void store(u32 to, const Work& work) {
    sts16(to, make_uint4(work.num_tiles, work.kv_head, work.q_start, work.start));
    sts16(to + 16, make_uint4(work.first_row, work.last_row, 0, 0));
}
__device__ __forceinline__ Work load(u32 from) {
    const uint4 a = lds16(from), b = lds16(from + 16);
    return {(int)a.x, (int)a.y, (int)a.z, (int)a.w, (int)b.x, (int)b.y};
}

// A page of a tile that the sequence fills in part or not at all: its tokens, and zeros. What lies behind may be NaN, which 0 * V
// would spread.
__device__ __forceinline__ void copy_page(u32 to, const bf16* from, int num_tokens, int lane) {
    const int chunk = lane & 15;
    to += (chunk >> 3) * KV_HALF;
#pragma unroll 4
    for (int row = lane >> 4; row < PAGE_LEN; row += 2) {
        uint4 v = make_uint4(0, 0, 0, 0);
        if (row < num_tokens) v = *(const uint4*)(from + row * HD + chunk * 8);
        sts16(to + swizzled(row, chunk & 7), v);
    }
}

// Fills the ring for one work, `filled` tiles after the launch's first.
__device__ __forceinline__ void copy_keys_and_values(const WgmmaArgs& args, const Work& work, int seq, int kv_len, u32 shared,
                                                     int filled, int lane) {
    const PrefillArgs& a = args.rest;
    const int* pages = a.pages + a.page_start[seq];
    const int last_page = (kv_len - 1) / PAGE_LEN;
    int some_pages = 0;  // a lane's one of the next 32
    for (int j = 0; j < work.num_tiles; j++) {
        const int stage = (filled + j) % STAGES, first_page = j * PAGES_A_TILE;
        if (first_page % 32 == 0) some_pages = pages[min(first_page + lane, last_page)];
        if (filled + j == 0) pdl_wait();  // the work and the pages are the step's; the newest keys come from the kernel before
        const int num_whole = min(kv_len / PAGE_LEN - first_page, PAGES_A_TILE);
#pragma unroll
        for (int which = 0; which < 2; which++) {
            const u32 to = shared + (which ? VALUES : KEYS) + stage * KV_BYTES;
            const u32 full = shared + (which ? FULL_VALUES : FULL_KEYS) + stage * 8;
            auto row = [&](int p) {  // of the cache as rows of a head
                const int page = __shfl_sync(~0u, some_pages, (first_page + p) % 32);
                return ((page * 2 + which) * a.num_kv_heads + work.kv_head) * PAGE_LEN;
            };
            barrier_wait(shared + (which ? EMPTY_VALUES : EMPTY_KEYS) + stage * 8, ((filled + j) / STAGES & 1) ^ 1);
            if (num_whole < PAGES_A_TILE) {
                for (int p = num_whole; p < PAGES_A_TILE; p++)
                    copy_page(to + p * BOX_BYTES, a.cache + (long long)row(p) * HD, kv_len - (first_page + p) * PAGE_LEN, lane);
                fence_async();
                __syncwarp();
            }
            if (lane == 0) barrier_arrive_expecting(full, num_whole * 2 * BOX_BYTES);
#pragma unroll
            for (int p = 0; p < PAGES_A_TILE; p++) {
                const int at = row(p);
                if (lane == 0 && p < num_whole) {
                    copy_box(to + p * BOX_BYTES, &args.cache, 0, at, full);
                    copy_box(to + KV_HALF + p * BOX_BYTES, &args.cache, HD / 2, at, full);
                }
            }
            __syncwarp();
        }
    }
}

// Warp 0: takes work, tells the others, and copies keys and values.
__device__ __forceinline__ void take_work(const WgmmaArgs& args, u32 shared, int lane) {
    const PrefillArgs& a = args.rest;
    const int num_works = args.num_tiles * a.num_kv_heads;
    int number = blockIdx.x, filled = 0;
    for (int i = 0;; i++) {
        Work work = {};
        int seq = 0, kv_len = 0;
        if (number < num_works) {
            const int* tile = a.tiles + 2 * (number / a.num_kv_heads);
            seq = tile[0];
            kv_len = a.kv_len[seq];
            const int q_len = a.q_len[seq];
            work.kv_head = number % a.num_kv_heads;
            work.q_start = a.q_start[seq];
            work.start = kv_len - q_len;
            work.first_row = tile[1] * BM;
            work.last_row = min(work.first_row + BM, q_len * a.group) - 1;
            work.num_tiles = (work.start + work.last_row / a.group) / BN + 1;  // up to the last row's position
        }
        const int slot = i % SLOTS;
        barrier_wait(shared + EMPTY_SLOT + slot * 8, (i / SLOTS & 1) ^ 1);
        if (lane == 0) {
            store(shared + WORK + slot * WORK_BYTES, work);
            barrier_arrive(shared + FULL_WORK + slot * 8);
        }
        if (work.num_tiles == 0) break;
        copy_keys_and_values(args, work, seq, kv_len, shared, filled, lane);
        filled += work.num_tiles;
        // As late as possible, so that who is done first takes the longest that is left. The count wraps to 0 at num_works, which
        // is how often the blocks take: all work but their first, and once each in vain.
        if (lane == 0) number = gridDim.x + atomicInc(&num_taken, num_works - 1);
        number = __shfl_sync(~0u, number, 0);
    }
}

// Warps 1 and 2: the queries of the work in each slot.
__device__ __forceinline__ void copy_queries(const PrefillArgs& a, u32 shared, int thread) {
    const int chunk = thread % 16;
    for (int i = 0;; i++) {
        const int slot = i % SLOTS;
        barrier_wait(shared + FULL_WORK + slot * 8, i / SLOTS & 1);
        const Work work = load(shared + WORK + slot * WORK_BYTES);
        if (work.num_tiles == 0) break;
        const bf16* from = a.q + (long long)work.q_start * a.q_stride + work.kv_head * a.group * HD + chunk * 8;
        const u32 to = shared + slot * 2 * Q_BYTES + (chunk >> 3) * Q_HALF;
        for (int row = thread / 16; row < BM; row += QUERY_COPIERS / 16) {
            const int packed = min(work.first_row + row, work.last_row), token = packed / a.group;
            const bf16* head = from + (long long)token * a.q_stride + (packed - token * a.group) * HD;
            const bool exists = work.first_row + row <= work.last_row;
            cp16_or_zero(to + row / WG_ROWS * Q_BYTES + swizzled(row % WG_ROWS, chunk & 7), head, exists);
        }
        cp_commit();
        cp_wait<0>();
        fence_async();
        barrier_arrive(shared + FULL_QUERIES + slot * 8);
    }
}

// A computing warpgroup's part of the work in `slot`, whose keys and values begin `filled` tiles after the launch's first.
__device__ __forceinline__ void attend(const PrefillArgs& a, const Work& work, u32 shared, int slot, int filled, int wg) {
    const int thread = threadIdx.x % 128, warp = thread >> 5, lane = thread & 31, g = lane >> 2, t = lane & 3;
    const int first_row = work.first_row + wg * WG_ROWS, start = work.start;
    const u32 queries = shared + (slot * 2 + wg) * Q_BYTES;
    float o[64], s[64];  // [column / 8][row g | g + 8][column 2t, 2t + 1], of 16 rows a warp
    u32 p[32];           // weights, the A operand of 8 products
    float row_max[2] = {MINUS_INFINITY, MINUS_INFINITY}, row_sum[2] = {0, 0}, shrink[2];
#pragma unroll
    for (int i = 0; i < 64; i++) o[i] = 0;
    const int all_see = start + first_row / a.group + 1;  // keys that the first row sees
    const int position[2] = {start + (first_row + warp * 16 + g) / a.group, start + (first_row + warp * 16 + g + 8) / a.group};
    const u64 q_matrix = descriptor(queries, 0), k_matrix = descriptor(shared + KEYS, 0);
    const u64 v_matrix = descriptor(shared + VALUES, KV_HALF);

    auto wait = [&](u32 full, int j) { barrier_wait(shared + full + (filled + j) % STAGES * 8, (filled + j) / STAGES & 1); };
    auto release = [&](u32 empty, int j) {
        if (lane == 0) barrier_arrive(shared + empty + (filled + j) % STAGES * 8);
    };
    auto begin_scores = [&](int j) {
        const u64 keys = k_matrix + (filled + j) % STAGES * (KV_BYTES >> 4);
        wgmma_begin();
        wgmma_shared<0>(s, q_matrix, keys);
#pragma unroll
        for (int k = 1; k < HD / 16; k++)  // 16 numbers are 32 bytes of a row; the other half of the head lies elsewhere
            wgmma_shared<1>(s, q_matrix + (k / 4) * (Q_HALF >> 4) + k % 4 * 2, keys + (k / 4) * (KV_HALF >> 4) + k % 4 * 2);
        wgmma_commit();
    };
    auto begin_output = [&](int j) {
        const u64 values = v_matrix + (filled + j) % STAGES * (KV_BYTES >> 4);
        wgmma_begin();
#pragma unroll
        for (int k = 0; k < BN / 16; k++)  // 16 tokens are 16 rows
            wgmma_registers(o, p[4 * k], p[4 * k + 1], p[4 * k + 2], p[4 * k + 3], values + k * (16 * ROW_BYTES >> 4));
        wgmma_commit();
    };
    auto softmax = [&](int j) {  // scores to weights that are yet to be divided by their sum
        if ((j + 1) * BN > all_see) {
            const int last[2] = {position[0] - j * BN - 2 * t, position[1] - j * BN - 2 * t};
#pragma unroll
            for (int i = 0; i < 64; i++)
                if (i / 4 * 8 + (i & 1) > last[i >> 1 & 1]) s[i] = MINUS_INFINITY;
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float m = row_max[r];  // finite after the first tile: every row sees key 0
#pragma unroll
            for (int i = 2 * r; i < 64; i += 4) m = fmaxf(m, fmaxf(s[i], s[i + 1]));
            m = fmaxf(m, __shfl_xor_sync(~0u, m, 1));
            m = fmaxf(m, __shfl_xor_sync(~0u, m, 2));
            shrink[r] = exp2_approx((row_max[r] - m) * a.scale);
            row_max[r] = m;
            const float offset = m * a.scale;
            float sum[2] = {0, 0};
#pragma unroll
            for (int i = 2 * r; i < 64; i += 4)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    s[i + e] = exp2_approx(fmaf(s[i + e], a.scale, -offset));
                    sum[e] += s[i + e];
                }
            row_sum[r] = fmaf(row_sum[r], shrink[r], sum[0] + sum[1]);
        }
    };
    auto pack = [&] {  // columns 8i.. and 8i + 8.. are the two halves of 16 tokens
#pragma unroll
        for (int i = 0; i < 32; i++) p[i] = pack_bf(s[2 * i], s[2 * i + 1]);
    };

    wait(FULL_KEYS, 0);
    begin_scores(0);
    wgmma_wait<0>();
    pin(s);
    release(EMPTY_KEYS, 0);
    softmax(0);
    pack();
    for (int j = 1; j < work.num_tiles; j++) {
        wait(FULL_KEYS, j);
        begin_scores(j);
        wait(FULL_VALUES, j - 1);
        begin_output(j - 1);
        wgmma_wait<1>();
        pin(s);
        release(EMPTY_KEYS, j);
        softmax(j);
        wgmma_wait<0>();
        pin(o);
        release(EMPTY_VALUES, j - 1);
        if (__any_sync(~0u, shrink[0] != 1.f || shrink[1] != 1.f)) {  // rare on long contexts
#pragma unroll
            for (int i = 0; i < 64; i++) o[i] *= shrink[i >> 1 & 1];
        }
        pack();
    }
    wait(FULL_VALUES, work.num_tiles - 1);
    begin_output(work.num_tiles - 1);
    float inverse[2];
    inverse_sums(inverse, row_sum);
    wgmma_wait<0>();
    pin(o);
    release(EMPTY_VALUES, work.num_tiles - 1);

    // ---- out through the memory of the queries, each warp its own 16 rows, whole rows at a time
    warpgroup_sync(wg);
#pragma unroll
    for (int i = 0; i < 16; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const u32 to = queries + (i / 8) * Q_HALF + swizzled(warp * 16 + g + 8 * r, i % 8) + 4 * t;
            const u32 pair = pack_bf(o[4 * i + 2 * r] * inverse[r], o[4 * i + 2 * r + 1] * inverse[r]);
            asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(pair) : "memory");
        }
    __syncwarp();
    bf16* out = a.out + (long long)work.q_start * a.num_kv_heads * a.group * HD;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int row = warp * 16 + i * 2 + lane / 16, chunk = lane % 16, packed = first_row + row;
        if (packed > work.last_row) continue;
        const int token = packed / a.group, head = work.kv_head * a.group + packed % a.group;
        *(uint4*)(out + ((long long)token * a.num_kv_heads * a.group + head) * HD + chunk * 8) =
            lds16(queries + (chunk >> 3) * Q_HALF + swizzled(row, chunk & 7));
    }
    __syncwarp();
    if (lane == 0) barrier_arrive(shared + EMPTY_SLOT + slot * 8);
}

extern "C" __global__ void __launch_bounds__(384, 1) prefill_attention_wgmma(const __grid_constant__ WgmmaArgs a) {
    extern __shared__ unsigned char unaligned[];
    const u32 shared = (smem_u32(unaligned) + 1023) / 1024 * 1024;
    const int wg = threadIdx.x / 128;
    pdl_trigger();
    if (threadIdx.x == 0) {
#pragma unroll
        for (int i = 0; i < STAGES; i++) {
            barrier_init(shared + FULL_KEYS + i * 8, 1);
            barrier_init(shared + FULL_VALUES + i * 8, 1);
            barrier_init(shared + EMPTY_KEYS + i * 8, 8);  // the computing warps
            barrier_init(shared + EMPTY_VALUES + i * 8, 8);
        }
#pragma unroll
        for (int i = 0; i < SLOTS; i++) {
            barrier_init(shared + FULL_WORK + i * 8, 1);
            barrier_init(shared + FULL_QUERIES + i * 8, QUERY_COPIERS);
            barrier_init(shared + EMPTY_SLOT + i * 8, 8);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        fence_async();
    }
    __syncthreads();
    if (wg == 0) {  // 168 registers a thread at the start, as launched: 72 + 2 * 216 = 3 * 168
        asm volatile("setmaxnreg.dec.sync.aligned.u32 72;");
        const int warp = threadIdx.x / 32;
        if (warp == 0) {
            take_work(a, shared, threadIdx.x);
        } else {
            pdl_wait();
            if (warp <= 2) copy_queries(a.rest, shared, threadIdx.x - 32);
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 216;");
        pdl_wait();
        for (int i = 0, filled = 0;; i++) {
            const int slot = i % SLOTS;
            barrier_wait(shared + FULL_WORK + slot * 8, i / SLOTS & 1);
            const Work work = load(shared + WORK + slot * WORK_BYTES);
            if (work.num_tiles == 0) break;
            barrier_wait(shared + FULL_QUERIES + slot * 8, i / SLOTS & 1);
            attend(a.rest, work, shared, slot, filled, wg - 1);
            filled += work.num_tiles;
        }
    }
}
