// The ops between the matrix products of prompts and of wide batches, and what is done once at the start. All are limited by
// memory traffic: 16-byte accesses, one pass where possible.
#include "common.cuh"

// Columns whose squares are summed together: the skinny matrix product's epilogue does the same.
constexpr int COLUMNS_PER_SUM = 16;

// x = embedding rows, as the fp32 residual stream [M][hidden]; and, if next_norm is given, what the first skinny product
// reads: bf16(x * next_norm) and the sums of squares of every 16 columns. grid = M, 256 threads; hidden % 16 == 0.
struct EmbedArgs {
    const bf16* table;      // [vocab][hidden]
    const int* ids;         // [M] token ids; negative: the token that the slot's last choice left on the device
    const int* slots;       // [M]
    const int* last_token;  // [slots]
    const bf16* next_norm;  // [hidden] or null
    float* residual;        // [M][hidden]
    bf16* out;              // [M][hidden]
    float* sums;            // [M][hidden / 16]
    int hidden;
};

extern "C" __global__ void __launch_bounds__(256) embed(const EmbedArgs a) {
    pdl_trigger();
    pdl_wait();
    const int m = blockIdx.x;
    int id = a.ids[m];
    if (id < 0) id = max(a.last_token[a.slots[m]], 0);  // nothing was chosen: what this row computes is thrown away
    const bf16* row = a.table + (size_t)id * a.hidden;
    float* residual = a.residual + (size_t)m * a.hidden;
    for (int i = threadIdx.x; i < a.hidden; i += 256) {
        float x = bf2f(row[i]);
        residual[i] = x;
        if (!a.next_norm) continue;
        a.out[(size_t)m * a.hidden + i] = f2bf(x * bf2f(a.next_norm[i]));
        float square = x * x;
        // hidden is a multiple of 16 and i of consecutive lanes is consecutive, so 16 lanes leave the loop together.
        const u32 lanes = 0xffffu << (threadIdx.x & 16);
#pragma unroll
        for (int o = 8; o; o >>= 1) square += __shfl_xor_sync(lanes, square, o);
        if (i % COLUMNS_PER_SUM == 0) a.sums[((size_t)m * a.hidden + i) / COLUMNS_PER_SUM] = square;
    }
}

// out[r] = bf16(x[rows[r]] / rms(x[rows[r]]) * weight). grid = rows, 256 threads; hidden % 4 == 0.
struct RmsNormArgs {
    const float* x;      // [..][hidden]
    const int* rows;     // [R], or null: row r
    const bf16* weight;  // [hidden]
    bf16* out;           // [R][hidden]
    int hidden;
    float eps;
};

extern "C" __global__ void __launch_bounds__(256) rms_norm(const RmsNormArgs a) {
    __shared__ float partial[8];
    pdl_trigger();
    pdl_wait();
    const int r = blockIdx.x, tid = threadIdx.x, quads = a.hidden / 4;
    const float4* x = (const float4*)(a.x + (size_t)(a.rows ? a.rows[r] : r) * a.hidden);
    float sum = 0;
    for (int i = tid; i < quads; i += 256) {
        float4 v = x[i];
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    sum = warp_sum(sum);
    if (!(tid & 31)) partial[tid >> 5] = sum;
    __syncthreads();
    sum = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) sum += partial[i];
    const float scale = rsqrtf(sum / a.hidden + a.eps);
    const uint2* weight = (const uint2*)a.weight;
    uint2* out = (uint2*)(a.out + (size_t)r * a.hidden);
    for (int i = tid; i < quads; i += 256) {
        float4 v = x[i];
        uint2 w = weight[i];
        out[i] = make_uint2(pack_bf(v.x * scale * bf_lo(w.x), v.y * scale * bf_hi(w.x)), pack_bf(v.z * scale * bf_lo(w.y), v.w * scale * bf_hi(w.y)));
    }
}

// out[s] = the sum of rows starts[s] .. starts[s] + lens[s] of x, in fp32, one row after the other. grid = (ceil(hidden / 256), S),
// 256 threads: one a column. Once for each text that becomes a vector, so its few blocks matter little.
struct SumRowsArgs {
    const bf16* x;      // [..][hidden]
    const int* starts;  // [S]
    const int* lens;    // [S]
    float* out;         // [S][hidden]
    int hidden;
};

extern "C" __global__ void __launch_bounds__(256) sum_rows(const SumRowsArgs a) {
    pdl_trigger();
    pdl_wait();
    const int column = blockIdx.x * 256 + threadIdx.x, s = blockIdx.y;
    if (column >= a.hidden) return;
    const bf16* x = a.x + (size_t)a.starts[s] * a.hidden + column;
    const int len = a.lens[s];
    float sum = 0;
#pragma unroll 8
    for (int r = 0; r < len; r++) sum += bf2f(x[(size_t)r * a.hidden]);
    a.out[(size_t)s * a.hidden + column] = sum;
}

// out = silu(gate) * up, 8 numbers a thread. gate_up: [M][gate F | up F], out: [M][F]; F % 8 == 0. grid covers M * F / 8.
struct SiluMulArgs {
    const bf16* gate_up;
    bf16* out;
    int num_rows, ffn;
};

__device__ __forceinline__ float silu_mul_one(float gate, float up) { return gate / (1.f + __expf(-gate)) * up; }
__device__ __forceinline__ u32 silu_mul_pair(u32 gate, u32 up) {
    return pack_bf(silu_mul_one(bf_lo(gate), bf_lo(up)), silu_mul_one(bf_hi(gate), bf_hi(up)));
}

extern "C" __global__ void __launch_bounds__(256) silu_mul(const SiluMulArgs a) {
    pdl_trigger();
    pdl_wait();
    const int pieces = a.ffn / 8;
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    if (i >= (u64)a.num_rows * pieces) return;
    const u64 row = i / pieces, piece = i % pieces;
    const uint4* in = (const uint4*)(a.gate_up + row * 2 * a.ffn);
    uint4 gate = in[piece], up = in[pieces + piece];
    ((uint4*)a.out)[i] = make_uint4(silu_mul_pair(gate.x, up.x), silu_mul_pair(gate.y, up.y), silu_mul_pair(gate.z, up.z), silu_mul_pair(gate.w, up.w));
}

// Heads of new tokens: queries and keys are normalised (if a norm is given) and turned by their position, queries in place, keys
// and values put into the cache. One warp a (token, head); grid covers T * (heads + 2 kv heads) / 8 warps of 256 threads.
struct QkNormRopeArgs {
    bf16* qkv;             // [T][q heads | k heads | v heads][HD]
    bf16* cache;           // one layer's, see common.cuh
    const int* positions;  // [T]
    const int* places;     // [T] page * PAGE_LEN + the token's place in the page
    const bf16* q_norm;    // [HD] or null
    const bf16* k_norm;
    const float* rope;     // [position][HD / 2][cos, sin]
    int num_tokens, num_heads, num_kv_heads;
    float eps;
};

// Lane l holds dimensions l*N.. of the lower half and their partners in the upper half (N = HD / 64).
template <int HD> __device__ __forceinline__ void qk_norm_rope_body(const QkNormRopeArgs& a) {
    constexpr int N = HD / 64, HALF = HD / 2;
    pdl_trigger();
    pdl_wait();
    const int heads = a.num_heads + 2 * a.num_kv_heads, lane = threadIdx.x & 31;
    const u64 unit = (u64)blockIdx.x * 8 + (threadIdx.x >> 5);
    if (unit >= (u64)a.num_tokens * heads) return;
    const int token = unit / heads, head = unit % heads;
    const bool is_q = head < a.num_heads, is_k = !is_q && head < a.num_heads + a.num_kv_heads;
    bf16* in = a.qkv + unit * HD;
    const int place = a.places[token], kv_head = head - a.num_heads - (is_k ? 0 : a.num_kv_heads);
    bf16* out = is_q ? in : a.cache + ((((size_t)(place / PAGE_LEN) * 2 + !is_k) * a.num_kv_heads + kv_head) * PAGE_LEN + place % PAGE_LEN) * HD;
    float lo[N], hi[N];
#pragma unroll
    for (int i = 0; i < N; i++) {
        lo[i] = bf2f(in[lane * N + i]);
        hi[i] = bf2f(in[HALF + lane * N + i]);
    }
    if (is_q || is_k) {
        const bf16* norm = is_q ? a.q_norm : a.k_norm;
        if (norm) {
            float sum = 0;
#pragma unroll
            for (int i = 0; i < N; i++) sum += lo[i] * lo[i] + hi[i] * hi[i];
            const float scale = rsqrtf(warp_sum(sum) * (1.f / HD) + a.eps);
#pragma unroll
            for (int i = 0; i < N; i++) {
                lo[i] *= scale * bf2f(norm[lane * N + i]);
                hi[i] *= scale * bf2f(norm[HALF + lane * N + i]);
            }
        }
        const float* turn = a.rope + ((size_t)a.positions[token] * HALF + lane * N) * 2;
#pragma unroll
        for (int i = 0; i < N; i++) {
            const float c = turn[2 * i], s = turn[2 * i + 1], x = lo[i], y = hi[i];
            lo[i] = x * c - y * s;
            hi[i] = y * c + x * s;
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        out[lane * N + i] = f2bf(lo[i]);
        out[HALF + lane * N + i] = f2bf(hi[i]);
    }
}

extern "C" __global__ void __launch_bounds__(256) qk_norm_rope_64(const QkNormRopeArgs a) { qk_norm_rope_body<64>(a); }
extern "C" __global__ void __launch_bounds__(256) qk_norm_rope_128(const QkNormRopeArgs a) { qk_norm_rope_body<128>(a); }

// table[position][pair] = cos and sin of position * frequencies[pair], computed in double. grid covers positions * pairs.
struct RopeTableArgs {
    const float* frequencies;  // [pairs], radians a position
    float* table;
    int num_positions, num_pairs;
};

extern "C" __global__ void __launch_bounds__(256) rope_table(const RopeTableArgs a) {
    const u64 i = (u64)blockIdx.x * 256 + threadIdx.x;
    if (i >= (u64)a.num_positions * a.num_pairs) return;
    double s, c;
    sincos((double)(i / a.num_pairs) * (double)a.frequencies[i % a.num_pairs], &s, &c);
    a.table[2 * i] = (float)c;
    a.table[2 * i + 1] = (float)s;
}

// Seeded noise, evenly spread over -width/2..width/2, 4 numbers a thread: weights for speed tests. grid covers len / 4.
struct NoiseArgs {
    bf16* out;
    u64 len, seed;
    float width;
};

__device__ __forceinline__ u64 mix(u64 z) {  // SplitMix64 (Steele, Lea, Flood 2014)
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

extern "C" __global__ void __launch_bounds__(256) noise(const NoiseArgs a) {
    const u64 i = ((u64)blockIdx.x * 256 + threadIdx.x) * 4;
    if (i >= a.len) return;
    const u64 bits = mix(mix(a.seed) ^ i);
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (i + j < a.len) a.out[i + j] = f2bf(((bits >> (16 * j) & 0xffff) * (1.f / 65536) - 0.5f) * a.width);
}

// Reads `len` pieces of 16 bytes and does next to nothing with them: what the memory can deliver. Grid-stride.
struct ReadArgs {
    const uint4* in;
    u64 len;
    u32* out;  // written if all bits agree, which they do not
};

extern "C" __global__ void __launch_bounds__(512) read_all(const ReadArgs a) {
    u32 all = 0;
    const u64 step = (u64)gridDim.x * 512;
    u64 i = (u64)blockIdx.x * 512 + threadIdx.x;
    for (; i + 7 * step < a.len; i += 8 * step) {
        uint4 v[8];
#pragma unroll
        for (int j = 0; j < 8; j++)
            asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3},[%4];" : "=r"(v[j].x), "=r"(v[j].y), "=r"(v[j].z), "=r"(v[j].w) : "l"(a.in + i + j * step));
#pragma unroll
        for (int j = 0; j < 8; j++) all ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
    for (; i < a.len; i += step) all ^= a.in[i].x ^ a.in[i].y ^ a.in[i].z ^ a.in[i].w;
    if (all == 0x9e3779b9u) *a.out = all;
}
