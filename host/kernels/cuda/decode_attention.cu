// Attention of one new token a sequence over the paged key/value cache: QK-norm + RoPE + append of the new key and value +
// split-KV flash decoding, with the merge of the splits inside.
//
// HD is the head length; G query heads share a key/value head. A row is a sequence; numbers are bf16 unless said otherwise.
//   qkv         [rows][(heads + 2 kv heads) * HD]   queries, keys, values
//   cache       [page][K|V][kv head][PAGE_LEN][HD]   of one layer
//   pages       i32; row m's page numbers begin at pages[page_start[m]]
//   len         i32 [rows]: tokens including the new one; 0 = a padded row, whose output becomes zeros
//   rope        fp32 [position][HD/2][cos, sin]; dimension i turns with i + HD/2
//   out         [rows][heads * HD]
//   partials    fp32 [rows][kv heads][MAX_CHUNKS][G * (HD + 2), up to a multiple of 32]: outputs, maxima, sums. Undefined after
//               the launch.
//   counters    u32 [rows][kv heads]: zero on entry and on exit
//
// grid = (kv heads, chunks, rows), WARPS warps, WARPS * 128 * HD bytes of dynamic shared memory. A block owns one chunk of one
// sequence and kv head; how long a chunk is follows from the sequence's own length alone, so that what stands beside a sequence
// in the batch does not change a bit of its result. Blocks beyond a row's own chunks leave. In this order of the grid the chunks
// of a sequence run at about the same time, and their partial results are still in L2 when the last of them merges them.
//
// Warp w takes every WARPS-th page of the chunk, through a place for K and one for V of its own in shared memory, where the next
// page is on its way as soon as this one has been used: no barrier in the main loop. Three blocks fit an SM of 228 KB, 192 KB in
// flight; two do as well. Twice the depth gained 0.3 us for 1 to 10 sequences of 256 tokens and lost with more (H100).
//   * scores: mma with K as the operand of 16 rows (tokens) and the group's heads as the 8 columns;
//   * P.V:    mma with V transposed as the operand of 16 rows (dimensions) and P as the 8 columns, so a lane's columns are the
//             same two heads in both products and rescaling needs no exchange between lanes.
// Rows of a tile that are not old tokens are zero-filled and never read: 0 * NaN is NaN. The new token's row is patched in.
// The block with the last token normalises, rotates and stores the new key and value; all others need only the queries.
// Before pdl_wait() it reads only what earlier steps or the step's input hold: lengths, page numbers, tables, old K and V.
#include "common.cuh"

struct DecodeAttentionArgs {
    const bf16* qkv;
    bf16* cache;
    const int* len;
    const int* page_start;
    const int* pages;
    const float* rope;
    const bf16* q_norm;  // [HD], null = no QK-norm
    const bf16* k_norm;
    bf16* out;
    float* partials;
    u32* counters;
    float eps;
};

constexpr int WARPS = 4, THREADS = 32 * WARPS;
constexpr int MAX_CHUNKS = 16;
constexpr int MIN_CHUNK = 256;            // tokens; the Rust side knows these numbers too
constexpr int STRIDE = WARPS * PAGE_LEN;  // tokens that the block's warps take at a time: chunks are multiples of it
constexpr float NOTHING = -3e38f;         // the maximum of no scores

__device__ __forceinline__ int chunk_len(int len) {
    return max(MIN_CHUNK, (len + MAX_CHUNKS * STRIDE - 1) / (MAX_CHUNKS * STRIDE) * STRIDE);
}
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
// What is read once should leave L2 before what is used again.
__device__ __forceinline__ u64 evict_first() {
    u64 policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
__device__ __forceinline__ void cp16_or_zero(u32 dst, const void* src, bool is_read, u64 policy) {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::128B [%0], [%1], 16, %2, %3;" ::"r"(dst), "l"(src),
                 "r"(is_read ? 16 : 0), "l"(policy)
                 : "memory");
}
__device__ __forceinline__ void sts16(u32 address, uint4 v) {
    asm volatile("st.shared.v4.u32 [%0],{%1,%2,%3,%4};" ::"r"(address), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
__device__ __forceinline__ void ldmatrix(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_trans(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
__device__ __forceinline__ u32 transpose8x8(u32 v) {
    u32 r;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
    return r;
}
__device__ __forceinline__ float4 ld4_cg(const float* p) {
    float4 v;
    asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3},[%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p) : "memory");
    return v;
}
__device__ __forceinline__ void add_scaled(float4& y, float f, float4 v) {
    y.x += f * v.x; y.y += f * v.y; y.z += f * v.z; y.w += f * v.w;
}
__device__ __forceinline__ void store4(bf16* p, float4 v, float f) {
    *(uint2*)p = make_uint2(pack_bf(v.x * f, v.y * f), pack_bf(v.z * f, v.w * f));
}
__device__ __forceinline__ void discard(float* p) { asm volatile("discard.global.L2 [%0], 128;" ::"l"(p) : "memory"); }  // a line
// Adds one after all writes of the block that came before a barrier, and before all reads that come after the next one.
__device__ __forceinline__ u32 arrive(u32* counter) {
    u32 before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    return before;
}

template <int HD, int G> __device__ __forceinline__ void decode_attention(const DecodeAttentionArgs& a) {
    constexpr int TILE = PAGE_LEN * HD * 2;     // bytes of a page's K or V rows of one head
    constexpr int ROW_CHUNKS = HD / 8;          // 16-byte pieces of a row; piece c of row r is stored in place c ^ (r & 7)
    constexpr int ROWS_A_COPY = 32 / ROW_CHUNKS;
    constexpr int Q_STRIDE = HD + 8;            // padded, so that the fragments' loads touch all banks
    constexpr int O_STRIDE = HD + 4;
    constexpr int PARTIAL = (G * (HD + 2) + 31) / 32 * 32;
    constexpr int ROUNDS_OUT = (G * HD / 4 + THREADS - 1) / THREADS;  // a thread has four neighbouring outputs at a time
    extern __shared__ __align__(128) unsigned char ring[];
    __shared__ __align__(16) bf16 queries[G][Q_STRIDE];
    __shared__ __align__(16) bf16 new_kv[2][HD];
    __shared__ float warp_max[WARPS][8], warp_sums[WARPS][8];
    __shared__ float chunk_weight[8][MAX_CHUNKS];
    __shared__ bool is_last;

    const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, g = lane >> 2, t = lane & 3;
    const int h = blockIdx.x, chunk = blockIdx.y, m = blockIdx.z, num_kv = gridDim.x, num_heads = num_kv * G;
    pdl_trigger();
    const int len = a.len[m], pos = len - 1, page_start = a.page_start[m];
    const int chunk_tokens = chunk_len(len), num_chunks = (len + chunk_tokens - 1) / chunk_tokens;
    bf16* const out = a.out + ((u64)m * num_heads + (u64)h * G) * HD;
    if (chunk >= num_chunks) {
        pdl_wait();
        if (len == 0 && chunk == 0)
            for (int x = tid; x < G * HD; x += THREADS) out[x] = 0;
        return;
    }
    const int begin = chunk * chunk_tokens + warp * PAGE_LEN, end = min(len, (chunk + 1) * chunk_tokens);
    const int num_tiles = begin < end ? (end - begin + STRIDE - 1) / STRIDE : 0;  // of this warp
    const bool has_new = chunk == num_chunks - 1;
    const int* const pages = a.pages + page_start;

    // ---- fetching
    const u32 places = smem_u32(ring) + warp * (2 * TILE);
    const u64 policy = evict_first();
    const int copy_row = lane / ROW_CHUNKS, copy_piece = lane % ROW_CHUNKS;
    int page_numbers = 0;  // lane l has the page number of tile 32 n + l
    auto fetch = [&](int tile, int which) {
        if (tile < num_tiles) {
            if (which == 0 && (tile & 31) == 0) {
                int mine = tile + lane;
                page_numbers = mine < num_tiles ? pages[begin / PAGE_LEN + mine * WARPS] : 0;
            }
            const u64 page = (u32)__shfl_sync(~0u, page_numbers, tile & 31);
            const bf16* src = a.cache + (((page * 2 + which) * num_kv + h) * PAGE_LEN + copy_row) * HD + copy_piece * 8;
            const u32 dst = places + which * TILE + copy_row * (HD * 2);
            const int old_rows = pos - (begin + tile * STRIDE) - copy_row;
#pragma unroll
            for (int i = 0; i < PAGE_LEN / ROWS_A_COPY; i++) {
                int row = i * ROWS_A_COPY;
                const u32 piece = copy_piece ^ ((row + copy_row) & 7);
                cp16_or_zero(dst + row * (HD * 2) + (piece << 4), src + row * HD, row < old_rows, policy);
            }
        }
        cp_commit();  // also where nothing was fetched: the waits count groups
    };
    fetch(0, 0);
    fetch(0, 1);

    // ---- norm and rotation: a warp a head, a lane has dimensions 2l, 2l+1 and their partners
    constexpr int ROUNDS = (G + 2 + WARPS - 1) / WARPS;  // heads 0..G-1 are queries, G the new key, G+1 the new value
    const bool has_dims = lane < HD / 4;
    u32 w[ROUNDS][2], x[ROUNDS][2];
    float4 turn = make_float4(0, 0, 0, 0);
    if (has_dims) turn = *(const float4*)(a.rope + ((u64)pos * (HD / 2) + 2 * lane) * 2);
#pragma unroll
    for (int r = 0; r < ROUNDS; r++) {
        const bf16* norm = warp + r * WARPS < G ? a.q_norm : a.k_norm;
        w[r][0] = w[r][1] = 0;
        if (has_dims && norm) {
            w[r][0] = *(const u32*)(norm + 2 * lane);
            w[r][1] = *(const u32*)(norm + HD / 2 + 2 * lane);
        }
    }
    pdl_wait();
#pragma unroll
    for (int r = 0; r < ROUNDS; r++) {
        const int j = warp + r * WARPS;
        const int head = j < G ? h * G + j : num_heads + (j - G) * num_kv + h;
        const bf16* src = a.qkv + ((u64)m * (num_heads + 2 * num_kv) + head) * HD;
        x[r][0] = x[r][1] = 0;
        if (has_dims && (j < G || (has_new && j < G + 2))) {
            x[r][0] = *(const u32*)(src + 2 * lane);
            x[r][1] = *(const u32*)(src + HD / 2 + 2 * lane);
        }
    }
#pragma unroll
    for (int r = 0; r < ROUNDS; r++) {
        const int j = warp + r * WARPS;
        if (j <= G) {
            float x0 = bf_lo(x[r][0]), x1 = bf_hi(x[r][0]), x2 = bf_lo(x[r][1]), x3 = bf_hi(x[r][1]);
            if (j < G ? a.q_norm != nullptr : a.k_norm != nullptr) {
                float scale = rsqrtf(warp_sum(x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3) * (1.f / HD) + a.eps);
                x0 *= scale * bf_lo(w[r][0]); x1 *= scale * bf_hi(w[r][0]);
                x2 *= scale * bf_lo(w[r][1]); x3 *= scale * bf_hi(w[r][1]);
            }
            x[r][0] = pack_bf(x0 * turn.x - x2 * turn.y, x1 * turn.z - x3 * turn.w);
            x[r][1] = pack_bf(x2 * turn.x + x0 * turn.y, x3 * turn.z + x1 * turn.w);
        }
        if (has_dims && (j < G || (has_new && j < G + 2))) {
            bf16* dst = j < G ? queries[j] : new_kv[j - G];
            *(u32*)(dst + 2 * lane) = x[r][0];
            *(u32*)(dst + HD / 2 + 2 * lane) = x[r][1];
            if (j >= G) {
                const u64 page = (u32)pages[pos / PAGE_LEN];
                bf16* row = a.cache + (((page * 2 + (j - G)) * num_kv + h) * PAGE_LEN + pos % PAGE_LEN) * HD;
                *(u32*)(row + 2 * lane) = x[r][0];
                *(u32*)(row + HD / 2 + 2 * lane) = x[r][1];
            }
        }
    }
    __syncthreads();

    // ---- the main loop. Columns 2t, 2t+1 of the lane are its heads; columns from G on are zeros.
    u32 q[HD / 16][2];
#pragma unroll
    for (int j = 0; j < HD / 16; j++) {
        q[j][0] = g < G ? *(const u32*)&queries[g < G ? g : 0][16 * j + 2 * t] : 0;
        q[j][1] = g < G ? *(const u32*)&queries[g < G ? g : 0][16 * j + 8 + 2 * t] : 0;
    }
    float o[HD / 16][4], top[2] = {NOTHING, NOTHING}, sum[2] = {0, 0};
#pragma unroll
    for (int j = 0; j < HD / 16; j++) o[j][0] = o[j][1] = o[j][2] = o[j][3] = 0;
    constexpr float LOG2E = 1.4426950408889634f;
    constexpr float SCALE = HD == 128 ? 0.08838834764831845f * LOG2E : 0.125f * LOG2E;  // HD^-1/2, for powers of two
    // ldmatrix: lane l names row l % 8 of matrix l / 8. K: token halves, then dimension halves; V: the other way round.
    const int k_row = (lane & 7) + (lane & 8), k_piece = lane >> 4;
    const int v_row = (lane & 7) + ((lane & 16) >> 1), v_piece = (lane >> 3) & 1;
    for (int tile = 0; tile < num_tiles; tile++) {
        const int first = begin + tile * STRIDE, new_row = pos - first;
        const bool is_patched = has_new && new_row < PAGE_LEN;
        const u32 patch = new_row * (HD * 2) + ((lane ^ (new_row & 7)) << 4);
        cp_wait<1>();  // K is there, V may be on its way
        __syncwarp();
        const u32 k_tile = places, v_tile = places + TILE;
        if (is_patched) {
            if (lane < ROW_CHUNKS) sts16(k_tile + patch, *(const uint4*)&new_kv[0][lane * 8]);
            __syncwarp();
        }
        float s[2][4];  // of tokens 16 i + g and 16 i + g + 8
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float even[4] = {0, 0, 0, 0}, odd[4] = {0, 0, 0, 0};  // two chains: mma takes its time
#pragma unroll
            for (int j = 0; j < HD / 16; j++) {
                u32 k[4];
                ldmatrix(k, k_tile + (16 * i + k_row) * (HD * 2) + (((2 * j + k_piece) ^ (lane & 7)) << 4));
                mma16816(j % 2 ? odd : even, k[0], k[1], k[2], k[3], q[j][0], q[j][1]);
            }
#pragma unroll
            for (int c = 0; c < 4; c++) s[i][c] = even[c] + odd[c];
        }
        __syncwarp();
        fetch(tile + 1, 0);

        u32 p[2][2];
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int c = 0; c < 4; c++) s[i][c] = first + 16 * i + 8 * (c / 2) + g < end ? s[i][c] * SCALE : NOTHING;
        float fade[2];
#pragma unroll
        for (int c = 0; c < 2; c++) {
            float most = fmaxf(fmaxf(s[0][c], s[0][c + 2]), fmaxf(s[1][c], s[1][c + 2]));
#pragma unroll
            for (int l = 4; l < 32; l *= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, l));
            most = fmaxf(most, top[c]);
            fade[c] = exp2_fast(top[c] - most);
            top[c] = most;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                s[i][c] = exp2_fast(s[i][c] - most);
                s[i][c + 2] = exp2_fast(s[i][c + 2] - most);
            }
            sum[c] = sum[c] * fade[c] + ((s[0][c] + s[0][c + 2]) + (s[1][c] + s[1][c + 2]));
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            p[i][0] = transpose8x8(pack_bf(s[i][0], s[i][1]));
            p[i][1] = transpose8x8(pack_bf(s[i][2], s[i][3]));
        }
#pragma unroll
        for (int j = 0; j < HD / 16; j++) { o[j][0] *= fade[0]; o[j][1] *= fade[1]; o[j][2] *= fade[0]; o[j][3] *= fade[1]; }
        cp_wait<1>();
        __syncwarp();
        if (is_patched) {
            if (lane < ROW_CHUNKS) sts16(v_tile + patch, *(const uint4*)&new_kv[1][lane * 8]);
            __syncwarp();
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < HD / 16; j++) {
                u32 v[4];
                ldmatrix_trans(v, v_tile + (16 * i + v_row) * (HD * 2) + (((2 * j + v_piece) ^ (lane & 7)) << 4));
                mma16816(o[j], v[0], v[1], v[2], v[3], p[i][0], p[i][1]);
            }
        __syncwarp();
        fetch(tile + 1, 1);
    }

    // ---- merge the warps. A warp's outputs lie where its K was: nothing is on its way there any more.
    float* const outputs = (float*)ring;  // [WARPS][..] of G rows
    constexpr int WARP_FLOATS = 2 * TILE / 4;
    cp_wait<0>();
    __syncwarp();
#pragma unroll
    for (int c = 0; c < 2; c++) {
#pragma unroll
        for (int l = 4; l < 32; l *= 2) sum[c] += __shfl_xor_sync(~0u, sum[c], l);
        if (g == 0) { warp_max[warp][2 * t + c] = top[c]; warp_sums[warp][2 * t + c] = sum[c]; }
        if (2 * t + c < G) {
            float* dst = outputs + warp * WARP_FLOATS + (2 * t + c) * O_STRIDE + g;
#pragma unroll
            for (int j = 0; j < HD / 16; j++) { dst[16 * j] = o[j][c]; dst[16 * j + 8] = o[j][c + 2]; }
        }
    }
    __syncthreads();
    float* const partials = a.partials + ((u64)m * num_kv + h) * MAX_CHUNKS * PARTIAL;
    float* const mine = partials + chunk * PARTIAL;
    const bool is_whole = num_chunks == 1;
#pragma unroll
    for (int e = 0; e < ROUNDS_OUT; e++) {
        const int x = 4 * (e * THREADS + tid), head = x / HD;
        if (x >= G * HD) break;
        float most = NOTHING, total = 0;
        float4 y = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int v = 0; v < WARPS; v++) most = fmaxf(most, warp_max[v][head]);
#pragma unroll
        for (int v = 0; v < WARPS; v++) {  // a warp without a token has zeros
            const float f = exp2_fast(warp_max[v][head] - most);
            add_scaled(y, f, *(const float4*)(outputs + v * WARP_FLOATS + head * O_STRIDE + x % HD));
            total += f * warp_sums[v][head];
        }
        if (is_whole) store4(out + x, y, 1 / total);
        else {
            *(float4*)(mine + x) = y;
            if (x % HD == 0) { mine[G * HD + head] = most; mine[G * HD + G + head] = total; }
        }
    }
    if (is_whole) return;

    // ---- merge the chunks, in their order, by the block that comes last
    __syncthreads();
    if (tid == 0) {
        u32* counter = a.counters + m * num_kv + h;
        is_last = arrive(counter) == (u32)num_chunks - 1;
        if (is_last) *counter = 0;
    }
    __syncthreads();
    if (!is_last) return;
    const int head_here = tid / MAX_CHUNKS, chunk_here = tid % MAX_CHUNKS;  // THREADS = 8 * MAX_CHUNKS
    float chunk_max = NOTHING, chunk_sum = 0;
    if (head_here < G && chunk_here < num_chunks) {
        const float* of_chunk = partials + chunk_here * PARTIAL + G * HD + head_here;
        chunk_max = ld_cg(of_chunk);
        chunk_sum = ld_cg(of_chunk + G);
    }
    float4 part[MAX_CHUNKS];  // all on their way at once
#pragma unroll
    for (int e = 0; e < ROUNDS_OUT; e++) {
        const int x = 4 * (e * THREADS + tid);
#pragma unroll
        for (int c = 0; c < MAX_CHUNKS; c++) {
            part[c] = make_float4(0, 0, 0, 0);
            if (c < num_chunks && x < G * HD) part[c] = ld4_cg(partials + c * PARTIAL + x);
        }
        if (e == 0) {
            float most = chunk_max;
#pragma unroll
            for (int l = 1; l < MAX_CHUNKS; l *= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, l));
            const float f = exp2_fast(chunk_max - most);
            float total = f * chunk_sum;
#pragma unroll
            for (int l = 1; l < MAX_CHUNKS; l *= 2) total += __shfl_xor_sync(~0u, total, l);
            chunk_weight[head_here][chunk_here] = head_here < G ? f / total : 0;
            __syncthreads();
        }
        if (x < G * HD) {
            float4 y = make_float4(0, 0, 0, 0);
#pragma unroll
            for (int c = 0; c < MAX_CHUNKS; c++) add_scaled(y, chunk_weight[x / HD][c], part[c]);
            store4(out + x, y, 1);
        }
    }
    // Nobody needs the partial results any more: L2 need not write them to memory, which costs 3 % at 64 sequences of 1024 tokens
    // (H100). With few rows there is little to write, and this would take longer.
    if (gridDim.z < 16) return;
    __syncthreads();
    for (int x = tid * 32; x < num_chunks * PARTIAL; x += THREADS * 32) discard(partials + x);
}

#define KERNEL(HD, G)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS, HD == 64 ? 5 : 3)                                               \
        decode_attention_##HD##_##G(const DecodeAttentionArgs args) {                                                     \
        decode_attention<HD, G>(args);                                                                                    \
    }
KERNEL(64, 1)
KERNEL(64, 3)
KERNEL(64, 4)
KERNEL(64, 8)
KERNEL(128, 2)
KERNEL(128, 4)
KERNEL(128, 5)
KERNEL(128, 8)
